package oauth

import (
	"slices"
	"strings"
)

// Bounds of a scope parameter.
const (
	MaxScopeLength = 4096
	MaxScopeTokens = 128
)

// Scope is a set of scope tokens in the order in which they were first named
// (RFC 6749 §3.3: the order does not matter).
type Scope []string

// ParseScope reads a space-delimited scope parameter. It refuses characters
// outside the grammar of RFC 6749 §3.3; duplicates are dropped.
func ParseScope(text string) (Scope, error) {
	if len(text) > MaxScopeLength {
		return nil, Refuse("scope-too-long", InvalidScope, "The scope parameter is longer than the server reads.")
	}
	var scope Scope
	for token := range strings.SplitSeq(text, " ") {
		if token == "" {
			continue
		}
		if !validScopeToken(token) {
			return nil, Refuse("scope-malformed", InvalidScope, "A scope has a character that RFC 6749 section 3.3 does not allow.")
		}
		if !slices.Contains(scope, token) {
			if len(scope) == MaxScopeTokens {
				return nil, Refuse("scope-too-long", InvalidScope, "The scope parameter names more scopes than the server reads.")
			}
			scope = append(scope, token)
		}
	}
	return scope, nil
}

// validScopeToken: 1*( %x21 / %x23-5B / %x5D-7E ), RFC 6749 §3.3.
func validScopeToken(token string) bool {
	for i := range len(token) {
		if c := token[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return token != ""
}

// String returns the space-delimited form.
func (s Scope) String() string { return strings.Join(s, " ") }

// Has says whether the set contains the token.
func (s Scope) Has(token string) bool { return slices.Contains(s, token) }

// Covers says whether every token of other is in s.
func (s Scope) Covers(other Scope) bool {
	return !slices.ContainsFunc(other, func(token string) bool { return !s.Has(token) })
}

// Keep returns the tokens of s for which keep is true, in the order of s.
func (s Scope) Keep(keep func(token string) bool) Scope {
	var kept Scope
	for _, token := range s {
		if keep(token) {
			kept = append(kept, token)
		}
	}
	return kept
}

// Intersect returns the tokens of s that are also in other.
func (s Scope) Intersect(other Scope) Scope { return s.Keep(other.Has) }

// Without returns the tokens of s that are not in other.
func (s Scope) Without(other Scope) Scope {
	return s.Keep(func(token string) bool { return !other.Has(token) })
}

// Union returns s followed by the tokens of other that s does not have.
func (s Scope) Union(other Scope) Scope {
	return append(slices.Clone(s), other.Without(s)...)
}

package oauth

import (
	"fmt"
	"slices"
	"strings"
)

// MaxScopeValue is as long as the value of a scope's parameter gets, in
// characters.
const MaxScopeValue = 64

// A declared scope may have parameters: document:read:{id} is the form of
// document:read:42 and of no other number of parts. A parameter stands for a
// whole part, and its value has the characters that no URL escapes
// (RFC 3986 §2.3), so that a value never adds or hides a part.
const scopeParts = ":"

// scopeParameter returns the name of a part {name}.
func scopeParameter(part string) (string, bool) {
	name, opened := strings.CutPrefix(part, "{")
	name, closed := strings.CutSuffix(name, "}")
	return name, opened && closed && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

func scopeValue(text string) bool {
	return text != "" && len(text) <= MaxScopeValue && !strings.ContainsFunc(text, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-._~", c))
	})
}

// ScopeHasParameters says whether a declared scope is a form.
func ScopeHasParameters(declared string) bool {
	return strings.IndexByte(declared, '{') >= 0 || strings.IndexByte(declared, '}') >= 0
}

// CheckScopeForm says why a declared scope with braces is no form, or nil.
func CheckScopeForm(declared string) error {
	var seen []string
	for i, part := range strings.Split(declared, scopeParts) {
		name, is := scopeParameter(part)
		switch {
		case !is && ScopeHasParameters(part):
			return fmt.Errorf("%q is no parameter: it is a whole part between colons, a name of lower-case letters in braces, as in document:read:{id}", part)
		case is && i == 0:
			return fmt.Errorf("the first part of %q says what kind of thing it is about and cannot be a parameter", declared)
		case is && slices.Contains(seen, name):
			return fmt.Errorf("the parameter %s is there twice", name)
		case is:
			seen = append(seen, name)
		}
	}
	return nil
}

// ScopeValues returns the names and values, in turn, of the parameters by
// which a scope is one of the declared form. A declared scope without
// parameters matches itself alone, and a form never matches itself.
func ScopeValues(declared, token string) (pairs []string, matches bool) {
	if !ScopeHasParameters(declared) {
		return nil, declared == token
	}
	wanted, parts := strings.Split(declared, scopeParts), strings.Split(token, scopeParts)
	if len(wanted) != len(parts) {
		return nil, false
	}
	for i, part := range parts {
		name, is := scopeParameter(wanted[i])
		switch {
		case is && scopeValue(part):
			pairs = append(pairs, name, part)
		case is || part != wanted[i]:
			return nil, false
		}
	}
	return pairs, true
}

// ScopesOverlap says whether a scope could be of both declared ones.
func ScopesOverlap(a, b string) bool {
	ours, theirs := strings.Split(a, scopeParts), strings.Split(b, scopeParts)
	if len(ours) != len(theirs) {
		return false
	}
	for i := range ours {
		_, free := scopeParameter(ours[i])
		_, open := scopeParameter(theirs[i])
		if !free && !open && ours[i] != theirs[i] || free && !open && !scopeValue(theirs[i]) || open && !free && !scopeValue(ours[i]) {
			return false
		}
	}
	return true
}

// FillScope returns the scope of a declared form for the values that value
// returns by name, and false when one of them cannot be a value.
func FillScope(declared string, value func(name string) string) (string, bool) {
	parts := strings.Split(declared, scopeParts)
	for i, part := range parts {
		name, is := scopeParameter(part)
		if !is {
			continue
		}
		if parts[i] = value(name); !scopeValue(parts[i]) {
			return "", false
		}
	}
	return strings.Join(parts, scopeParts), true
}

// Admits says whether the token is one of the declared scopes, or of the form
// of one.
func (s Scope) Admits(token string) bool {
	for _, declared := range s {
		if DeclaredScopeAdmits(declared, token) {
			return true
		}
	}
	return false
}

// DeclaredScopeAdmits says whether the token is the declared scope, or of its form.
func DeclaredScopeAdmits(declared, token string) bool {
	if !ScopeHasParameters(declared) {
		return declared == token
	}
	_, matches := ScopeValues(declared, token)
	return matches
}

// AdmitsAll says whether s admits every token of other.
func (s Scope) AdmitsAll(other Scope) bool {
	return !slices.ContainsFunc(other, func(token string) bool { return !s.Admits(token) })
}

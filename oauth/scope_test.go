package oauth_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse/oauth"
)

func TestParseScope(t *testing.T) {
	for text, want := range map[string]oauth.Scope{
		"": nil, " ": nil, "openid": {"openid"}, "b a b  a": {"b", "a"}, "photos:read !#[]~": {"photos:read", "!#[]~"},
		strings.Repeat("x", oauth.MaxScopeLength): {strings.Repeat("x", oauth.MaxScopeLength)},
		strings.Repeat("a ", 2048):                {"a"},
	} {
		got, err := oauth.ParseScope(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%.20q is %q, %v", text, got, err)
		}
	}
	for text, rule := range map[string]string{
		`a"b`: "scope-malformed", `a\b`: "scope-malformed", "a\tb": "scope-malformed", "a\nb": "scope-malformed", "é": "scope-malformed", "a\x7f": "scope-malformed", "\x00": "scope-malformed",
		strings.Repeat("x", oauth.MaxScopeLength+1):     "scope-too-long",
		numbered(oauth.MaxScopeTokens+1, "s%d "):        "scope-too-long",
		numbered(oauth.MaxScopeTokens, "s%d ") + "s0 x": "scope-too-long",
	} {
		_, err := oauth.ParseScope(text)
		if refusal := wantRule(t, err, rule); refusal.Code != oauth.InvalidScope {
			t.Errorf("%.20q: %s", text, refusal.Code)
		}
	}
	if scope, err := oauth.ParseScope(numbered(oauth.MaxScopeTokens, "s%d ") + "s0 s1"); err != nil || len(scope) != oauth.MaxScopeTokens {
		t.Errorf("%d scopes, %v", len(scope), err)
	}
}

func TestScopeSets(t *testing.T) {
	a, b := oauth.Scope{"x", "y", "z"}, oauth.Scope{"y", "w"}
	for name, test := range map[string]struct {
		got  oauth.Scope
		want string
	}{
		"intersect": {a.Intersect(b), "y"}, "without": {a.Without(b), "x z"}, "union": {a.Union(b), "x y z w"},
		"keep none": {a.Keep(func(string) bool { return false }), ""}, "union of none": {oauth.Scope(nil).Union(b), "y w"},
	} {
		if test.got.String() != test.want {
			t.Errorf("%s: %q, want %q", name, test.got, test.want)
		}
	}
	if a.String() != "x y z" || !a.Has("x") || a.Has("X") || a.Covers(b) || !a.Covers(oauth.Scope{"z", "x"}) || !a.Covers(nil) || oauth.Scope(nil).Covers(b) {
		t.Error("the sets are wrong")
	}
	// A union leaves its operands alone, whatever room they have.
	roomy := append(make(oauth.Scope, 0, 8), "a")
	first, second := roomy.Union(oauth.Scope{"b"}), roomy.Union(oauth.Scope{"c"})
	if first.String() != "a b" || second.String() != "a c" || roomy.String() != "a" {
		t.Errorf("%q, %q, %q", first, second, roomy)
	}
}

func FuzzParseScope(f *testing.F) {
	for _, seed := range []string{"", "openid", "openid profile  openid", `a"b`, "a\tb", "é", strings.Repeat("s ", 200)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		scope, err := oauth.ParseScope(text)
		if err != nil {
			if refusal, ok := errors.AsType[*oauth.Error](err); !ok || refusal.Code != oauth.InvalidScope || len(scope) > 0 {
				t.Errorf("%q: %q, %v", text, scope, err)
			}
			return
		}
		again, err := oauth.ParseScope(scope.String())
		if err != nil || !slices.Equal(again, scope) {
			t.Errorf("%q: %q, then %q, %v", text, scope, again, err)
		}
		for i, token := range scope {
			if strings.ContainsAny(token, " \"\\") || slices.Contains(scope[:i], token) || !strings.Contains(text, token) {
				t.Errorf("%q: %q", text, token)
			}
		}
		if len(scope) > oauth.MaxScopeTokens || !scope.Covers(again) {
			t.Errorf("%q: %q", text, scope)
		}
	})
}

package oauth

import (
	"slices"
	"strings"
	"testing"
)

func TestScopeForms(t *testing.T) {
	const form = "document:read:{id}"
	for token, want := range map[string]bool{
		"document:read:42": true, "document:read:a-b._~Z": true, "document:read:" + strings.Repeat("9", MaxScopeValue): true,
		"document:read:" + strings.Repeat("9", MaxScopeValue+1): false,
		form: false, "document:read:": false, "document:read": false, "document:read:4:2": false, "document:write:42": false, "Document:read:42": false,
		"document:read:*": false, "document:read:a/b": false, "document:read:%34": false, "document:read:{42}": false, "document:read:{": false,
		"xdocument:read:42": false, "document:read:42:": false, "": false, "document:read:é": false, "document:read:a+b": false, "document:read:a,b": false,
	} {
		if got := (Scope{form}).Admits(token); got != want {
			t.Errorf("%s admits %q: %v", form, token, got)
		}
	}
	if pairs, _ := ScopeValues("a:{x}:b:{y}", "a:1:b:2"); !slices.Equal(pairs, []string{"x", "1", "y", "2"}) {
		t.Errorf("the values are %v", pairs)
	}
	if !(Scope{"a:b", form}).AdmitsAll(Scope{"a:b", "document:read:1", "document:read:2"}) || (Scope{"a:b", form}).AdmitsAll(Scope{"a:b", "a:c"}) {
		t.Error("AdmitsAll")
	}
	for text, value := range map[string]string{"document:read:42": "42", "": "4:2", " ": ""} {
		if got, filled := FillScope(form, func(string) string { return value }); got != strings.TrimSpace(text) || filled != (got != "") {
			t.Errorf("filled with %q it is %q", value, got)
		}
	}
}

func TestWhatIsNoScopeForm(t *testing.T) {
	for form, good := range map[string]bool{
		"document:read:{id}": true, "org:{org}:doc:{doc}": true, "{a}:b": false, "a:{}": false, "a:{B}": false, "a:x{b}": false, "a:{b}x": false,
		"a:{b": false, "a:b}": false, "a:{b}:{b}": false, "a:{{b}}": false, "a:{b c}": false,
	} {
		if err := CheckScopeForm(form); (err == nil) != good {
			t.Errorf("%q: %v", form, err)
		}
	}
}

func TestScopesThatOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"a:{x}", "a:b", true}, {"a:{x}", "a:{y}", true}, {"a:{x}", "b:{x}", false}, {"a:{x}", "a:b:c", false}, {"a:{x}:c", "a:b:{y}", true},
		{"a:b", "a:b", true}, {"a:b", "a:c", false}, {"a:{x}", "a:b*", false},
	} {
		if ScopesOverlap(test.a, test.b) != test.want || ScopesOverlap(test.b, test.a) != test.want {
			t.Errorf("%s and %s", test.a, test.b)
		}
	}
}

func FuzzScopeValues(f *testing.F) {
	f.Add("document:read:{id}", "document:read:42")
	f.Add("a:{x}:{y}", "a:1:2")
	f.Fuzz(func(t *testing.T, declared, token string) {
		pairs, matches := ScopeValues(declared, token)
		if !matches || !ScopeHasParameters(declared) || CheckScopeForm(declared) != nil {
			return
		}
		values := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			values[pairs[i]] = pairs[i+1]
		}
		if again, filled := FillScope(declared, func(name string) string { return values[name] }); !filled || again != token {
			t.Errorf("%q of %q becomes %q", token, declared, again)
		}
	})
}

package oauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse/oauth"
)

// wantRule fails unless err refuses by the rule, and returns the refusal.
func wantRule(t *testing.T, err error, rule string) *oauth.Error {
	t.Helper()
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		t.Fatalf("the error is %v, want the refusal %s", err, rule)
	}
	if refusal.Rule != rule || !strings.HasPrefix(refusal.ID, rule+".") {
		t.Errorf("refused by %s (%s), want %s", refusal.Rule, refusal.ID, rule)
	}
	if _, known := oauth.LookupRule(refusal.ID); !known {
		t.Errorf("the rule %s has no text", refusal.ID)
	}
	return refusal
}

func TestParseForm(t *testing.T) {
	form, err := oauth.ParseForm("a=1&b=&c&%64=x+y%20z&&e=a=b&resource=r1&resource=&resource=r2&f=%C3%BC;g")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "1", "b": "", "c": "", "d": "x y z", "e": "a=b", "f": "ü;g", "g": "", "resource": ""} {
		if form.Get(name) != want || form.Has(name) != (want != "") {
			t.Errorf("%s is %q, has is %v", name, form.Get(name), form.Has(name))
		}
	}
	for name, sent := range map[string]bool{"a": true, "b": true, "c": true, "g": false, "A": false} {
		if form.Sent(name) != sent {
			t.Errorf("%s: sent is %v", name, form.Sent(name))
		}
	}
	if got := form.Resources(); !slices.Equal(got, []string{"r1", "r2"}) {
		t.Errorf("resources are %q", got)
	}
	if zero := (oauth.Form{}); zero.Has("a") || zero.Sent("a") || zero.Get("a") != "" || zero.Resources() != nil {
		t.Error("the zero form has parameters")
	}
}

func numbered(count int, each string) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, each, i)
	}
	return b.String()
}

func TestParseFormRefuses(t *testing.T) {
	for _, test := range []struct{ raw, rule string }{
		{"a=1&a=1", "form-repeated-parameter"}, {"a&a", "form-repeated-parameter"}, {"a=&%61=2", "form-repeated-parameter"}, {"=1&=2", "form-repeated-parameter"},
		{"a=%", "form-encoding"}, {"a=%zz", "form-encoding"}, {"%=1", "form-encoding"}, {"a=%ff", "form-encoding"}, {"a=\xff", "form-encoding"}, {"\xc3=1", "form-encoding"},
		{"a=%00", "form-encoding"}, {"a%00=1", "form-encoding"},
		{"a=" + strings.Repeat("x", oauth.MaxParameterLength+1), "form-parameter-too-long"},
		{numbered(oauth.MaxParameters+1, "p%d=1&"), "form-too-many-parameters"},
		{numbered(oauth.MaxResources+1, "resource=r%d&"), "form-too-many-parameters"},
		{strings.Repeat("x=&", 1_000_000), "form-repeated-parameter"},
	} {
		_, err := oauth.ParseForm(test.raw)
		if refusal := wantRule(t, err, test.rule); refusal.Code != oauth.InvalidRequest || refusal.Status != http.StatusBadRequest {
			t.Errorf("%.20s: %s %d", test.raw, refusal.Code, refusal.Status)
		}
	}
	for _, good := range []string{
		"", "&", "&&&", "a=" + strings.Repeat("x", oauth.MaxParameterLength), numbered(oauth.MaxParameters, "p%d=1&"), numbered(oauth.MaxResources, "resource=r%d&"),
		strings.Repeat("&", 1_000_000),
	} {
		if _, err := oauth.ParseForm(good); err != nil {
			t.Errorf("%.20s: %v", good, err)
		}
	}
}

// brokenBody fails while it is read.
type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }

func TestReadForm(t *testing.T) {
	post := func(target, contentType string, body io.Reader) *http.Request {
		r := httptest.NewRequest(http.MethodPost, target, body)
		r.Header.Set("Content-Type", contentType)
		return r
	}
	const form = "application/x-www-form-urlencoded"
	for _, contentType := range []string{form, form + "; charset=utf-8", "Application/X-WWW-Form-Urlencoded"} {
		got, err := oauth.ReadForm(post("/token", contentType, strings.NewReader("a=1")))
		if err != nil || got.Get("a") != "1" {
			t.Errorf("%s: %q, %v", contentType, got.Get("a"), err)
		}
	}
	for _, test := range []struct {
		r      *http.Request
		rule   string
		status int
	}{
		{post("/token?a=1", form, strings.NewReader("a=1")), "form-query-not-allowed", 400},
		{post("/token", "", strings.NewReader("a=1")), "form-content-type", 400},
		{post("/token", "application/json", strings.NewReader("{}")), "form-content-type", 400},
		{post("/token", "multipart/form-data; boundary=x", strings.NewReader("")), "form-content-type", 400},
		{post("/token", form+"; charset", strings.NewReader("a=1")), "form-content-type", 400},
		{post("/token", form, brokenBody{io.ErrUnexpectedEOF}), "form-unreadable", 400},
		{post("/token", form, brokenBody{&http.MaxBytesError{Limit: 1}}), "form-too-large", 413},
		{post("/token", form, strings.NewReader("a=1&a=1")), "form-repeated-parameter", 400},
	} {
		_, err := oauth.ReadForm(test.r)
		refusal := wantRule(t, err, test.rule)
		if refusal.Status != test.status || test.rule == "form-unreadable" != (refusal.Cause != nil) {
			t.Errorf("%s: status %d, cause %v", test.rule, refusal.Status, refusal.Cause)
		}
	}
}

func FuzzParseForm(f *testing.F) {
	for _, seed := range []string{"", "a=1", "a=1&a=2", "a=%C3%BC&b=%", "resource=x&resource=y", "grant_type=authorization_code&code=ghc_x&redirect_uri=https%3A%2F%2Fapp.example%2Fcb", "a;b=1", "\xff", "%00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		form, err := oauth.ParseForm(raw)
		values, liberal := url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
		if err != nil {
			if refusal, ok := errors.AsType[*oauth.Error](err); !ok || refusal.Code != oauth.InvalidRequest {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if liberal != nil {
			t.Fatalf("%q is read, but not by net/url: %v", raw, liberal)
		}
		for name, all := range values {
			if name == "resource" {
				continue
			}
			if len(all) != 1 || form.Get(name) != all[0] || !form.Sent(name) || !utf8.ValidString(name+all[0]) {
				t.Errorf("%q: %q is %q, net/url says %q", raw, name, form.Get(name), all)
			}
		}
	})
}

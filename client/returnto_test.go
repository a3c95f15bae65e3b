package client_test

import (
	"net/url"
	"strings"
	"testing"

	"gatehouse/client"
	"gatehouse/internal/spec"
)

func TestAddressesToReturnTo(t *testing.T) {
	spec.Covers(t, "OR-01")
	hostile := []string{
		"//evil", `/\evil`, "/\t/evil", "/%09/evil", "/%5cevil", "///evil", `\\evil`, "https:evil", "https://evil", "/.//evil", "/x/../..//evil",
		"", "evil", "javascript:alert(1)", "/\n/evil", "/%0a/evil", "/%2f/evil", "/%2fevil", "/%252fevil", "/%255cevil", "/..", "/x/%2e%2e/y", " /evil", "/evil ", "\u00a0//evil",
		"/x//evil", "//", "/\x00", "/\u2028/evil", "http:///evil", "/x\r\nLocation: https://evil", strings.Repeat("/x", 600), "/%zz", "?x", "#x", "/\u0085/evil", "/\xff",
	}
	for _, one := range hostile {
		if got := client.LocalPath(one); got != "/" {
			t.Errorf("%q leads to %q", one, got)
		}
	}
	for _, one := range []string{"/", "/inbox", "/inbox/", "/inbox?x=//y&z=https://evil", "/a%20b", "/caf%C3%A9", "/inbox#top", "/a;b=1/c,d"} {
		if got := client.LocalPath(one); got != one {
			t.Errorf("%q leads to %q", one, got)
		}
	}
	p := newProvider(t)
	a := p.application(t, client.Config{})
	for _, one := range append(hostile[:12:12], "/good?x=1") {
		b := newBrowser(t)
		opened := b.get(a.URL + "/login?return_to=" + url.QueryEscape(one))
		landed := b.get(b.get(opened.to(t)).to(t)).Header.Get("Location")
		if want := client.LocalPath(one); landed != want {
			t.Errorf("%q leads to %q, want %q", one, landed, want)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/inbox?x=1", "//evil", `/\evil`, "/%2f/evil", "/.//evil", "/a/../b", "/%09/x", "/x#y", "/\u2028"} {
		f.Add(seed)
	}
	base, err := url.Parse("https://app.example/callback?code=1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := client.LocalPath(text)
		// As a browser reads it: controls at the ends go, tabs and line ends vanish,
		// backslashes are slashes (WHATWG URL §4.4).
		read := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.Trim(got, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f "))
		target, err := base.Parse(read)
		if err != nil || target.Host != base.Host || target.Scheme != "https" || strings.HasPrefix(target.Path, "//") {
			t.Fatalf("%q leads to %q, which is %v (%v)", text, got, target, err)
		}
		if again := client.LocalPath(got); again != got {
			t.Fatalf("%q leads to %q, and that to %q", text, got, again)
		}
	})
}

package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"gatehouse/internal/proxy"
	"gatehouse/internal/spec"
)

var badPaths = []string{
	"", "photos", "//evil.example", "/a//b", "/./a", "/a/.", "/a/..", "/a/../b", "/..", "/a/%2e%2e/b", "/a/.%2e/b", "/a/%2E/b",
	"/a%2fb", "/a%2Fb", "/a%5cb", `/a\b`, "/a;x=1", "/a%3bx", "/%61dmin", "/a%2d", "/a%252fb", "/a%00b", "/a%0d%0ab", "/a%7f", "/a%", "/a%4", "/a%zz",
	"/a b", "/a\x00", "/a\x7f", "/é", "/a%ff", "/a%c0%ae", "/a<b", "/a#b", "/a?b", "/a|b", "/[a]", "/a^b", "/a`b", `/a"b`,
}

var goodPaths = []string{"/", "/a", "/a/", "/a/b.c", "/..a", "/a..", "/.well-known/x", "/a%20b", "/%C3%A9", "/a:b@c", "/a,b=(c)!$&'*+", "/~x-_", "/a%3Fb", "/a%23"}

func TestPathsWithOneMeaning(t *testing.T) {
	spec.Covers(t, "PN-03")
	for _, one := range badPaths {
		if proxy.CheckPath(one) == nil {
			t.Errorf("%q is accepted", one)
		}
	}
	for _, one := range goodPaths {
		if err := proxy.CheckPath(one); err != nil {
			t.Errorf("%q: %v", one, err)
		}
	}
}

func TestTargets(t *testing.T) {
	spec.Covers(t, "SS-12")
	for _, test := range []struct {
		method, target string
		good           bool
	}{
		{"GET", "/a?b=c%2f..%2f", true},
		{"GET", "http://app.example/a", true}, // RFC 9112 §3.2.2: it must be taken
		{"GET", "http://evil.example/a", false},
		{"GET", "http://app.example@evil.example/a", false},
		{"GET", "http://user@app.example/a", false},
		{"GET", "https://app.example/a", true},
		{"GET", "ftp://app.example/a", false},
		{"GET", "file:///a", false},
		{"OPTIONS", "*", false},
		{"CONNECT", "app.example:443", false},
		{"GET", "/a#b", false},
		{"GET", "/a b", false},
		{"GET", "/a%20b", true},
		{"GET", "/a?b\x01", false},
		{"GET", "/" + strings.Repeat("a", proxy.MaxTargetBytes), false},
	} {
		r := &http.Request{Method: test.method, RequestURI: test.target, Host: "app.example"}
		var err error
		if r.URL, err = url.ParseRequestURI(test.target); err != nil {
			r.URL = &url.URL{Host: test.target}
			if test.method != "CONNECT" {
				continue // net/http answers 400
			}
		}
		if err := proxy.CheckTarget(r, "app.example"); (err == nil) != test.good {
			t.Errorf("%s %.40s: %v", test.method, test.target, err)
		}
	}
}

// What is accepted reads the same once, twice and cleaned, and whoever decodes it.
func FuzzPath(f *testing.F) {
	for _, one := range append(badPaths, goodPaths...) {
		f.Add(one)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if proxy.CheckPath(target) != nil {
			return
		}
		once, err := url.PathUnescape(target)
		if err != nil {
			t.Fatalf("%q: %v", target, err)
		}
		if strings.ContainsAny(once, "%\\;\x00\r\n") {
			t.Errorf("%q decodes to %q", target, once)
		}
		cleaned := path.Clean(once)
		if strings.HasSuffix(once, "/") && once != "/" {
			cleaned += "/"
		}
		if cleaned != once || strings.Count(once, "/") != strings.Count(target, "/") {
			t.Errorf("%q decodes to %q and is cleaned to %q", target, once, cleaned)
		}
		base := &url.URL{Scheme: "https", Host: "api.example"}
		resolved, err := base.Parse(target)
		if err != nil || resolved.Host != "api.example" || resolved.Path != once {
			t.Errorf("%q is resolved to %v, %v", target, resolved, err)
		}
	})
}

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern  string
		yes, not []string
	}{
		{"/", []string{"/"}, []string{"/a", "", "//"}},
		{"/photos", []string{"/photos"}, []string{"/photos/", "/Photos", "/photos/1", "/photosx", "/"}},
		{"/photos/{id}", []string{"/photos/1", "/photos/{id}"}, []string{"/photos/", "/photos", "/photos/1/", "/photos/1/2"}},
		{"/photos/{id}/raw", []string{"/photos/1/raw"}, []string{"/photos//raw", "/photos/1", "/photos/1/raw/2"}},
		{"/photos/{rest...}", []string{"/photos/", "/photos/1", "/photos/1/2/"}, []string{"/photos", "/"}},
		{"/{all...}", []string{"/", "/a", "/a/b"}, []string{"", "a"}},
		{"/über uns", []string{"/über uns"}, []string{"/%C3%BCber uns"}},
	} {
		p, err := proxy.ParsePattern(test.pattern)
		if err != nil || p.String() != test.pattern {
			t.Errorf("%s: %v", test.pattern, err)
		}
		for _, one := range test.yes {
			if !p.Match(one) {
				t.Errorf("%s does not match %q", test.pattern, one)
			}
		}
		for _, one := range test.not {
			if p.Match(one) {
				t.Errorf("%s matches %q", test.pattern, one)
			}
		}
	}
	for _, bad := range []string{"", "photos", "/photos/", "/a//b", "/a/*", "/a/:id", "/:id/b", "/a{id}", "/{id", "/{}", "/{...}", "/{a...}/b", "/{a}/{a}", "/..", "/a/./b", "/a;b", `/a\b`, "/%61", "/{{a}}", "/a?b", "/" + strings.Repeat("a", proxy.MaxPatternBytes)} {
		if _, err := proxy.ParsePattern(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// Patterns mean what they mean to net/http, for the paths that are let through.
func FuzzPattern(f *testing.F) {
	f.Add("/photos/{id}", "/photos/1")
	f.Add("/photos/{rest...}", "/photos/")
	f.Add("/a/{b}/c", "/a/x/c")
	f.Fuzz(func(t *testing.T, pattern, target string) {
		p, err := proxy.ParsePattern(pattern)
		if err != nil || proxy.CheckPath(target) != nil {
			return
		}
		r, err := http.NewRequest("GET", target, nil)
		if err != nil {
			return
		}
		theirs, ok := matched(pattern, r)
		if !ok {
			return
		}
		// The path / is one path here, and in net/http all that there are.
		if pattern == "/" {
			theirs = r.URL.Path == "/"
		}
		if ours := p.Match(r.URL.Path); ours != theirs {
			t.Errorf("%q and %q: %v, net/http says %v", pattern, target, ours, theirs)
		}
	})
}

// matched asks net/http; ok says that it takes the pattern.
func matched(pattern string, r *http.Request) (match, ok bool) {
	defer func() {
		if recover() != nil {
			match, ok = false, false
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, r)
	return recorder.Code == http.StatusTeapot, true
}

package proxy_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"gatehouse/internal/proxy"
)

// relationPatterns are of all forms, and relationPaths tell them apart.
var (
	relationPatterns = []string{
		"/", "/{a}", "/{rest...}", "/x", "/x/{rest...}", "/x/y", "/x/{b}", "/{a}/y", "/{a}/{b}", "/{a}/{rest...}", "/x/{b}/z", "/x/y/{rest...}", "/{a}/y/z", "/x/{b}/{rest...}",
	}
	relationPaths = func() []string {
		paths := []string{"/"}
		segments := []string{"x", "y", "z", "w"}
		for _, a := range segments {
			paths = append(paths, "/"+a, "/"+a+"/")
			for _, b := range segments {
				paths = append(paths, "/"+a+"/"+b, "/"+a+"/"+b+"/")
				for _, c := range segments {
					paths = append(paths, "/"+a+"/"+b+"/"+c, "/"+a+"/"+b+"/"+c+"/")
				}
			}
		}
		return paths
	}()
)

func parsed(t testing.TB, text string) proxy.Pattern {
	t.Helper()
	p, err := proxy.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPatternsAgainstEachOther(t *testing.T) {
	for _, one := range relationPatterns {
		for _, other := range relationPatterns {
			p, q := parsed(t, one), parsed(t, other)
			covers, overlaps := true, false
			for _, path := range relationPaths {
				covers = covers && (p.Match(path) || !q.Match(path))
				overlaps = overlaps || p.Match(path) && q.Match(path)
			}
			if p.Covers(q) != covers || p.Overlaps(q) != overlaps {
				t.Errorf("%s and %s: covers %v, overlaps %v; by their paths %v, %v", one, other, p.Covers(q), p.Overlaps(q), covers, overlaps)
			}
		}
	}
}

func TestTree(t *testing.T) {
	var tree proxy.Tree[proxy.Pattern]
	if tree.Find("/", func(proxy.Pattern) bool { return true }) {
		t.Error("an empty tree finds something")
	}
	for _, one := range relationPatterns {
		tree.Add(parsed(t, one), parsed(t, one))
	}
	for _, path := range relationPaths {
		var want, got []string
		for _, one := range relationPatterns {
			if parsed(t, one).Match(path) {
				want = append(want, one)
			}
		}
		var seen []proxy.Pattern
		tree.Find(path, func(p proxy.Pattern) bool {
			for _, before := range seen {
				if before.Covers(p) {
					t.Errorf("%s: %s comes before %s, which is narrower", path, before, p)
				}
			}
			seen, got = append(seen, p), append(got, p.String())
			return false
		})
		if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("%s: found %q, want %q", path, got, want)
		}
		if n := 0; len(want) > 0 && (!tree.Find(path, func(proxy.Pattern) bool { n++; return true }) || n != 1) {
			t.Errorf("%s: %d visits after it was found", path, n)
		}
	}
	if tree.Find("x", func(proxy.Pattern) bool { return true }) {
		t.Error("a path without a slash is found")
	}
}

func TestValuesOfVariables(t *testing.T) {
	values := map[string]string{}
	parsed(t, "/a/{b}/c/{d}/{rest...}").Values("/a/1/c/2/3/4", func(name, value string) { values[name] = value })
	if !maps.Equal(values, map[string]string{"b": "1", "d": "2", "rest": "3/4"}) {
		t.Errorf("%v", values)
	}
}

// FuzzHeaders: whatever a request's headers are called, none that means the same to some
// server as one of ours is left, and nothing else is taken away.
func FuzzHeaders(f *testing.F) {
	for _, one := range []string{"X-Forwarded-For", "x_gatehouse_subject", "X.Remote.User", "Accept", "X-Tenant", "é", ""} {
		f.Add(one, "value")
	}
	filter := newFilter(f, "X-Tenant-*", "X-Role")
	f.Fuzz(func(t *testing.T, name, value string) {
		h := http.Header{name: {value}, "X-Kept": {"1"}}
		filter.Request(h)
		_, left := h[name]
		if left && (filter.Identifies(name) || filter.Identifies(proxy.Alias(name)) || filter.Identifies(http.CanonicalHeaderKey(name))) {
			t.Errorf("%q is left", name)
		}
		if !left && !filter.Identifies(name) && proxy.Alias(name) != "cookie" {
			t.Errorf("%q is taken away", name)
		}
		if h.Get("X-Kept") != "1" {
			t.Error("another one is gone")
		}
	})
}

func TestAnswersToOtherOriginsWhereAnUpstreamMayGiveThem(t *testing.T) {
	h := func() http.Header {
		return http.Header{"Access-Control-Allow-Origin": {"*"}, "Strict-Transport-Security": {"max-age=1"}, "X-Role": {"1"}, "Set-Cookie": {"__Host-Http-session=evil"}}
	}
	plain, with := h(), h()
	newFilter(t).Response(plain)
	newFilter(t).WithCORS().Response(with)
	if len(plain) != 1 || len(with) != 2 || with.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v, %v", plain, with)
	}
	request := http.Header{"X-Forwarded-For": {"1"}}
	if newFilter(t).WithCORS().Request(request); len(request) != 0 {
		t.Errorf("%v", request)
	}
}

func TestNearerPatterns(t *testing.T) {
	for _, test := range []struct {
		one, other string
		nearer     bool
	}{
		{"/admin", "/{a}", true}, {"/{a}", "/admin", false}, {"/admin", "/{rest...}", true}, {"/{rest...}", "/admin", false},
		{"/admin/{rest...}", "/{a}", true}, {"/photos", "/photos/{rest...}", true}, {"/photos/{rest...}", "/photos", false},
		{"/a/{b}", "/a/{b}", false}, {"/a/{b}/c", "/a/{b}/{rest...}", true}, {"/{a}", "/a/{rest...}", false},
	} {
		if got := parsed(t, test.one).Nearer(parsed(t, test.other)); got != test.nearer {
			t.Errorf("%s nearer than %s: %v", test.one, test.other, got)
		}
	}
}

func TestPartsOfPaths(t *testing.T) {
	for _, test := range []struct {
		path     string
		segments int
		want     string
	}{{"/a/b/c", 1, "/b/c"}, {"/a/b/c", 2, "/c"}, {"/a", 1, "/"}, {"/a/", 1, "/"}, {"/a%20b/c", 1, "/c"}, {"/a/b", 0, "/a/b"}} {
		if got := proxy.Below(test.path, test.segments); got != test.want {
			t.Errorf("%s without %d: %s, want %s", test.path, test.segments, got, test.want)
		}
	}
	for _, test := range []struct {
		pattern, above string
		segments       int
		is             bool
	}{
		{"/api/photos", "/api", 1, true}, {"/api", "/api", 1, true}, {"/api/{rest...}", "/api", 1, true}, {"/a/b/{c}", "/a/b", 2, true},
		{"/apix", "/api", 0, false}, {"/{a}/b", "/a", 0, false}, {"/{rest...}", "/a", 0, false}, {"/a", "/", 0, false}, {"/a", "", 0, false}, {"/a", "/a/", 0, false}, {"/a", "a", 0, false},
	} {
		if segments, is := parsed(t, test.pattern).Under(test.above); is != test.is || is && segments != test.segments {
			t.Errorf("%s under %s: %d, %v", test.pattern, test.above, segments, is)
		}
	}
	if p := parsed(t, "/Admin/{Id}").Loose(); !p.Match(proxy.Loose("/ADMIN/X")) || p.Match("/Admin/x") {
		t.Error("a loose pattern tells letters' case")
	}
}

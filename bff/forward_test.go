package bff_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/bff"
	"gatehouse/internal/spec"
	"gatehouse/kv"
)

func TestOtherSitesReachNoAPI(t *testing.T) {
	spec.Covers(t, "BB-03", "CF-14")
	s := newStage(t, nil, nil)
	b := s.browser()
	b.signIn()
	for about, headers := range map[string]http.Header{
		"a form or a link":        {},
		"an image":                {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"image"}},
		"no header":               {"Sec-Fetch-Site": {"same-origin"}},
		"another value":           with(ours, "X-Csrf", "0"),
		"twice":                   {"X-Csrf": {"1", "1"}, "Sec-Fetch-Site": {"same-origin"}},
		"a sibling":               with(ours, "Sec-Fetch-Site", "same-site"),
		"another site":            with(ours, "Sec-Fetch-Site", "cross-site"),
		"typed":                   with(ours, "Sec-Fetch-Site", "none"),
		"another origin":          with(ours, "Origin", "https://evil.example"),
		"a sandbox":               with(ours, "Origin", "null"),
		"a sibling's origin":      {"X-Csrf": {"1"}, "Origin": {"https://x.app.example"}},
		"another port":            {"X-Csrf": {"1"}, "Origin": {origin + ":8443"}},
		"the right one and wrong": {"X-Csrf": {"1"}, "Origin": {origin, "https://evil.example"}},
	} {
		for _, method := range []string{"GET", "POST"} {
			wantRefusal(t, method+" of "+about, b.do(method, "/api/photos", headers, nil), http.StatusForbidden, bff.CodeCrossSite)
		}
		wantRefusal(t, "who, for "+about, b.do("GET", "/bff/user", headers, nil), http.StatusForbidden, bff.CodeCrossSite)
	}
	preflight := b.do("OPTIONS", "/api/photos", http.Header{"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"x-csrf"}}, nil)
	if preflight.StatusCode < 400 || preflight.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a preflight: %v", preflight)
	}
	if s.calls() != 0 {
		t.Errorf("the API saw %d requests", s.calls())
	}
	for about, headers := range map[string]http.Header{
		"a page": ours, "an older browser": {"X-Csrf": {"1"}}, "with an origin": with(ours, "Origin", origin),
	} {
		if p := b.do("GET", "/api/photos", headers, nil); p.StatusCode != http.StatusOK {
			t.Errorf("%s: %v", about, p)
		}
	}
}

func TestNobodyReachesNoAPI(t *testing.T) {
	s := newStage(t, nil, nil)
	b := s.browser()
	for _, method := range []string{"GET", "POST"} {
		wantRefusal(t, method, b.do(method, "/api/photos", with(ours, "Accept", "text/html"), nil), http.StatusUnauthorized, bff.CodeLoginRequired)
	}
	if s.calls() != 0 {
		t.Error("the API was called for nobody")
	}
}

// Nothing is passed on but what a route names, and nowhere but to its upstream.
func TestOnlyWhatIsConfiguredIsForwarded(t *testing.T) {
	spec.Covers(t, "BB-05", "SS-12", "PN-03")
	s := newStage(t, nil, nil)
	b := s.browser()
	b.signIn()
	for path, status := range map[string]int{
		"/api": 404, "/api/": 404, "/api/other": 404, "/api/photos/1/raw": 404, "/api/Photos": 404, "/apiphotos": 200, // the page
		"/api/photos/": 404, "/v1/photos": 200, // the page
		"/api/photos?access_token=x": 400,
	} {
		if p := b.call("GET", path); p.StatusCode != status || status == 200 && p.text != "the page" {
			t.Errorf("%s: %v", path, p)
		}
	}
	for method, path := range map[string]string{"DELETE": "/api/photos", "POST": "/api/photos/1", "PUT": "/api/photos", "OPTIONS": "/api/photos", "PROPFIND": "/api/photos"} {
		if p := b.call(method, path); p.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(p.Header.Get("Allow"), "GET, HEAD") {
			t.Errorf("%s %s: %v", method, path, p)
		}
	}
	for _, method := range []string{"X-HTTP-Method-Override", "X_Method_Override"} {
		b.do("GET", "/api/photos", with(ours, method, "DELETE"), nil)
		if left := s.last().Header; left.Get(method) != "" {
			t.Errorf("the API sees %v", left)
		}
	}
	before := s.calls()
	for _, target := range []string{
		"http://evil.example/api/photos", "//evil.example/api/photos", "/api//photos", "/api/@evil.example/../photos", "/api/..//evil", "/api/../bff/user", "/api/%2e%2e/bff/user",
		"/api/photos/..%2fsecret", "/api/photos/%2e%2e", "/api/photos/a;b", "/api/photos/%252e", `/api/photos/..\secret`, "/%61pi/photos", "/api/photos/.",
	} {
		if status := b.raw("GET " + target + " HTTP/1.1"); status != http.StatusBadRequest {
			t.Errorf("%s: %d", target, status)
		}
	}
	if s.calls() != before {
		t.Errorf("the API saw %v", s.last().URL)
	}
	if p := b.call("GET", "/api/photos/a%20b%3F?x=%2F..%2F&y"); p.text != "GET /v1/photos/a%20b%3F?x=%2F..%2F&y" {
		t.Errorf("%v", p)
	}
	if p := b.call("HEAD", "/api/photos/1"); p.StatusCode != http.StatusOK {
		t.Errorf("%v", p)
	}
	if p := b.call("DELETE", "/api/photos/1"); p.text != "DELETE /v1/photos/1" {
		t.Errorf("%v", p)
	}
	// Whatever host a request names, the upstream is asked by its own name.
	r := b.request("GET", "/api/photos", ours, nil)
	r.Host = "evil.example"
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if host := s.last().Host; "http://"+host != s.api.URL {
		t.Errorf("the API was asked as %s", host)
	}
}

// raw sends a request line as it is.
func (b *browser) raw(requestLine string) int {
	b.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(b.fronts[b.replica].URL, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprintf(connection, "%s\r\nHost: app.example\r\nX-CSRF: 1\r\nCookie: __Host-Http-bff=%s\r\nConnection: close\r\n\r\n", requestLine, b.jar["__Host-Http-bff"])
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		b.Fatalf("%s: %v", requestLine, err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestTheAPISeesOurHeadersOrNone(t *testing.T) {
	spec.Covers(t, "PX-01", "PX-04", "PX-06", "PX-17")
	s := newStage(t, nil, func(c *bff.Config) { c.IdentityHeaders = []string{"X-Tenant-*"} })
	b := s.browser()
	b.signIn()
	evil := with(ours, "Authorization", "Bearer evil", "X_forwarded_user", "evil", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil", "X-Forwarded-Proto", "http", "Forwarded", "for=evil",
		"Remote-User", "evil", "Dpop", "evil", "X-Tenant-Id", "evil", "X-Original-Url", "/evil", "X-Real-Ip", "6.6.6.6", "Client-Cert", "evil", "Connection", "close, Authorization, X-Forwarded-For")
	b.jar["other"] = "kept"
	for _, one := range []struct{ method, path, token string }{
		{"GET", "/api/photos", "Bearer " + s.line.seen()[0]}, {"POST", "/api/photos", "Bearer " + s.line.seen()[0]},
		{"GET", "/open/x", ""}, {"OPTIONS", "/open/x", ""},
	} {
		if p := b.do(one.method, one.path, evil, nil); p.StatusCode != http.StatusOK {
			t.Errorf("%s %s: %v", one.method, one.path, p)
		}
		saw := s.last().Header
		for name, values := range saw {
			if strings.Contains(strings.Join(values, " "), "evil") || slices.Contains(values, "6.6.6.6") {
				t.Errorf("%s %s: the API saw %s: %v", one.method, one.path, name, values)
			}
		}
		if saw.Get("Authorization") != one.token || saw.Get("X-Forwarded-For") != "127.0.0.1" || saw.Get("X-Forwarded-Host") != "app.example" || saw.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("%s %s: the API saw %v", one.method, one.path, saw)
		}
		if saw.Get("Cookie") != "other=kept" {
			t.Errorf("%s %s: the API saw the cookies %q", one.method, one.path, saw.Get("Cookie"))
		}
	}
}

func TestAnswersOfTheAPI(t *testing.T) {
	s := newStage(t, nil, nil)
	b := s.browser()
	b.signIn()
	handle := b.jar["__Host-Http-bff"]
	p := b.call("GET", "/api/cached")
	if b.jar["__Host-Http-bff"] != handle || b.jar["theme"] != "dark" {
		t.Errorf("cookies %v", b.jar)
	}
	if h := p.Header; h.Get("Cache-Control") != "no-store" || h.Get("Vary") != "Cookie" || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("%v", p)
	}
	// What the API refuses is its own word.
	if p := b.call("GET", "/api/refuse"); p.StatusCode != http.StatusForbidden || !strings.Contains(p.Header.Get("WWW-Authenticate"), "insufficient_scope") {
		t.Errorf("%v", p)
	}
	if p := b.do("POST", "/api/photos", ours, strings.NewReader(strings.Repeat("x", 1<<10))); p.StatusCode != http.StatusOK {
		t.Errorf("%v", p)
	}
	for _, body := range []io.Reader{strings.NewReader(strings.Repeat("x", 1<<10+1)), io.MultiReader(strings.NewReader(strings.Repeat("x", 4<<10)))} {
		wantRefusal(t, "a large body", b.do("POST", "/api/photos", ours, body), http.StatusRequestEntityTooLarge, bff.CodeTooLarge)
	}
	wantRefusal(t, "an upgrade", b.do("GET", "/api/photos", with(ours, "Upgrade", "websocket", "Connection", "Upgrade"), nil), http.StatusBadRequest, bff.CodeNoStream)
	s.api.CloseClientConnections()
	s.api.Close()
	wantRefusal(t, "the API is away", b.call("GET", "/api/photos"), http.StatusBadGateway, bff.CodeBadUpstream)
	if !b.signedIn() {
		t.Error("the API's outage ended the session")
	}
}

func TestAnAPIThatHangs(t *testing.T) {
	s := newStage(t, nil, func(c *bff.Config) { c.Upstreams[0].Timeout = 100 * time.Millisecond })
	b := s.browser()
	b.signIn()
	wantRefusal(t, "the API hangs", b.call("GET", "/api/hang"), http.StatusGatewayTimeout, bff.CodeBadUpstream)
	if !b.signedIn() {
		t.Error("the session ended")
	}
}

// A store that fails on demand.
type failing struct {
	kv.Store
	mu   sync.Mutex
	away bool
}

func (f *failing) set(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func (f *failing) Get(ctx context.Context, key string) ([]byte, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, false, errors.New("connection refused")
	}
	return f.Store.Get(ctx, key)
}

func TestOutagesEndNoSession(t *testing.T) {
	spec.Covers(t, "FT-18")
	store := &failing{Store: kv.NewMemory(kv.MemoryConfig{})}
	s := newStage(t, []kv.Store{store}, nil)
	b := s.browser()
	b.signIn()
	store.set(true)
	for _, one := range [][2]string{{"GET", "/bff/user"}, {"GET", "/api/photos"}, {"POST", "/bff/logout"}} {
		p := b.call(one[0], one[1])
		wantRefusal(t, one[1], p, http.StatusServiceUnavailable, bff.CodeUnavailable)
		if p.Header.Get("Retry-After") == "" || p.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", one[1], p)
		}
	}
	store.set(false)
	if !b.signedIn() {
		t.Error("the outage ended the session")
	}
}

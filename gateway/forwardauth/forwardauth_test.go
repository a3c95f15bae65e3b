package forwardauth_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gatehouse/gateway"
	"gatehouse/gateway/forwardauth"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

// decisions are given in order; requests are what was asked about.
type decisions struct {
	decision gateway.Decision
	requests []gateway.Request
}

func (d *decisions) Decide(_ context.Context, r gateway.Request) gateway.Decision {
	d.requests = append(d.requests, r)
	return d.decision
}

var local = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func quiet(c forwardauth.Config) forwardauth.Config {
	if c.Proxies == nil {
		c.Proxies = local
	}
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

// ask asks as a proxy does; headers are names and values.
func ask(t *testing.T, d *decisions, c forwardauth.Config, peer string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := forwardauth.New(d, quiet(c))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "http://gateway.internal/decide", nil)
	r.RemoteAddr = peer
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const proxyPeer = "127.0.0.1:4711"

// told is how Traefik and Caddy tell of a request.
func told(more ...string) []string {
	return append([]string{"X-Forwarded-Method", "POST", "X-Forwarded-Uri", "/photos/1%3B?x=/admin", "X-Forwarded-Host", "api.example:8443", "X-Forwarded-Proto", "https"}, more...)
}

func TestTheProxysWordIsTheRequest(t *testing.T) {
	for about, test := range map[string]struct {
		headers forwardauth.Headers
		told    []string
	}{
		"Traefik and Caddy": {forwardauth.Headers{}, told("X-Original-Uri", "/else", "X-Original-Method", "GET")},
		"a WebSocket":       {forwardauth.Forwarded(), []string{"X-Forwarded-Method", "POST", "X-Forwarded-Uri", "/photos/1%3B?x=/admin", "X-Forwarded-Host", "api.example:8443", "X-Forwarded-Proto", "wss"}},
		"nginx": {forwardauth.Headers{Method: "X-Original-Method", URI: "X-Original-URI", Host: "X-Original-Host", Scheme: "X-Original-Proto"},
			[]string{"X-Original-Method", "POST", "X-Original-Uri", "/photos/1%3B?x=/admin", "X-Original-Host", "api.example:8443", "X-Original-Proto", "https", "X-Forwarded-Uri", "/else"}},
		"the ingress": {forwardauth.Original(), []string{"X-Original-Method", "POST", "X-Original-Url", "https://api.example:8443/photos/1%3B?x=/admin", "X-Forwarded-Method", "GET"}},
	} {
		d := &decisions{decision: gateway.Decision{Allowed: true, Status: 200, Set: http.Header{"X-Gatehouse-Subject": {"ada"}, "Authorization": {"Bearer exchanged"}}}}
		w := ask(t, d, forwardauth.Config{Headers: test.headers}, proxyPeer, append(test.told, "Authorization", "Bearer t")...)
		if w.Code != http.StatusOK || w.Header().Get("X-Gatehouse-Subject") != "ada" || w.Header().Get("Authorization") != "Bearer exchanged" || w.Header().Get("Cache-Control") != "no-store" || w.Body.Len() > 0 {
			t.Errorf("%s: %d %v %s", about, w.Code, w.Header(), w.Body)
			continue
		}
		r := d.requests[0]
		if r.Method != "POST" || r.Target != "/photos/1%3B?x=/admin" || r.Host != "api.example:8443" || r.Scheme != "https" || r.Peer != netip.MustParseAddr("127.0.0.1") || r.Header.Get("Authorization") != "Bearer t" || r.Explain {
			t.Errorf("%s: asked about %+v", about, r)
		}
	}
}

func TestRefusalsAreToldAsTheGatewayTellsThem(t *testing.T) {
	missing := oauth.Refuse("resource-token-missing", "", "The request carries no access token.").WithStatus(http.StatusUnauthorized)
	for _, test := range []struct {
		decision gateway.Decision
		body     string
	}{
		{gateway.Decision{Status: 401, Refusal: missing, Header: http.Header{"Www-Authenticate": {`Bearer realm="gatehouse"`}}}, ""},
		{gateway.Decision{Status: 403, Refusal: oauth.Refuse("resource-scope", oauth.InsufficientScope, "More."), Header: http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope"`}}}, "insufficient_scope"},
		{gateway.Decision{Status: 429, Refusal: oauth.Refuse("x", oauth.TemporarilyUnavailable, "Slower."), Header: http.Header{"Retry-After": {"3"}}}, "Slower."},
		{gateway.Decision{Status: 503, Refusal: oauth.Refuse("x", oauth.TemporarilyUnavailable, "Away."), Header: http.Header{"Retry-After": {"1"}}}, "temporarily_unavailable"},
	} {
		test.decision.Set = http.Header{"X-Gatehouse-Subject": {"ada"}} // never told of a request that is refused
		w := ask(t, &decisions{decision: test.decision}, forwardauth.Config{}, proxyPeer, told()...)
		if w.Code != test.decision.Status || !strings.Contains(w.Body.String(), test.body) || w.Body.Len() > 0 != (test.body != "") || w.Header().Get("X-Gatehouse-Subject") != "" {
			t.Errorf("%d: %d %v %s", test.decision.Status, w.Code, w.Header(), w.Body)
		}
		for name, values := range test.decision.Header {
			if got := w.Header()[name]; len(got) != 1 || got[0] != values[0] {
				t.Errorf("%d: %s is %q", test.decision.Status, name, got)
			}
		}
	}
}

// Nobody but the proxies may tell of requests.
func TestStrangersAreNotHeard(t *testing.T) {
	spec.Covers(t, "PX-06")
	d := &decisions{decision: gateway.Decision{Allowed: true, Status: 200}}
	for _, peer := range []string{"192.0.2.7:1", "[2001:db8::1]:1", "@", "", "127.0.0.1"} {
		if w := ask(t, d, forwardauth.Config{}, peer, told("X-Forwarded-For", "127.0.0.1")...); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "forward-auth-peer") {
			t.Errorf("%q: %d %s", peer, w.Code, w.Body)
		}
	}
	if len(d.requests) > 0 {
		t.Errorf("decided about %v", d.requests)
	}
	for _, peer := range []string{proxyPeer, "[::1]:1", "[::ffff:127.0.0.1]:1"} {
		if w := ask(t, d, forwardauth.Config{}, peer, told()...); w.Code != http.StatusOK {
			t.Errorf("%q: %d %s", peer, w.Code, w.Body)
		}
	}
}

func TestWhatIsMissingOrTwofoldIsRefused(t *testing.T) {
	spec.Covers(t, "PX-06", "PX-02")
	without := func(name string) (left []string) {
		for i, all := 0, told(); i < len(all); i += 2 {
			if all[i] != name {
				left = append(left, all[i], all[i+1])
			}
		}
		return left
	}
	d := &decisions{decision: gateway.Decision{Allowed: true, Status: 200}}
	for about, headers := range map[string][]string{
		"no method":           without("X-Forwarded-Method"),
		"no path":             without("X-Forwarded-Uri"),
		"no host":             without("X-Forwarded-Host"),
		"no scheme":           without("X-Forwarded-Proto"),
		"an empty method":     append(without("X-Forwarded-Method"), "X-Forwarded-Method", ""),
		"two methods":         told("X-Forwarded-Method", "GET"),
		"two paths":           told("X-Forwarded-Uri", "/public"),
		"the same path twice": told("X-Forwarded-Uri", "/photos/1%3B?x=/admin"),
		"another spelling":    told("X_Forwarded_Uri", "/public"),
		"small letters":       told("x-forwarded-method", "GET"),
		"a dot":               told("X-Forwarded.Host", "public.example"),
		"a list of hosts":     append(without("X-Forwarded-Host"), "X-Forwarded-Host", "public.example, api.example"),
		"a host with a path":  append(without("X-Forwarded-Host"), "X-Forwarded-Host", "public.example/x"),
		"a host with a user":  append(without("X-Forwarded-Host"), "X-Forwarded-Host", "x@public.example"),
		"a list of schemes":   append(without("X-Forwarded-Proto"), "X-Forwarded-Proto", "https,http"),
		"another scheme":      append(without("X-Forwarded-Proto"), "X-Forwarded-Proto", "HTTPS"),
		"a URL for a path":    append(without("X-Forwarded-Uri"), "X-Forwarded-Uri", "https://api.example/public"),
		"a path without root": append(without("X-Forwarded-Uri"), "X-Forwarded-Uri", "photos"),
		"no method's name":    append(without("X-Forwarded-Method"), "X-Forwarded-Method", "GET /"),
	} {
		if w := ask(t, d, forwardauth.Config{}, proxyPeer, headers...); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "forward-auth-headers") {
			t.Errorf("%s: %d %s", about, w.Code, w.Body)
		}
	}
	for about, address := range map[string]string{"no scheme": "//api.example/x", "no path": "https://api.example", "only a query": "https://api.example?x", "a user": "https://u@api.example/x", "a slash the other way": `https://api.example\x/y`} {
		if w := ask(t, d, forwardauth.Config{Headers: forwardauth.Original()}, proxyPeer, "X-Original-Method", "GET", "X-Original-Url", address); w.Code != http.StatusBadRequest {
			t.Errorf("a URL with %s: %d %s", about, w.Code, w.Body)
		}
	}
	if len(d.requests) > 0 {
		t.Errorf("decided about %v", d.requests)
	}
	if w := ask(t, d, forwardauth.Config{}, proxyPeer, told()...); w.Code != http.StatusOK {
		t.Errorf("told well: %d %s", w.Code, w.Body)
	}
}

// Identity headers could only be taken away by the proxy: a request that brings one gets
// no further.
func TestIdentityHeadersOfTheCallerAreRefused(t *testing.T) {
	spec.Covers(t, "PX-01", "PX-02")
	d := &decisions{decision: gateway.Decision{Allowed: true, Status: 200}}
	own := forwardauth.Config{Identity: gateway.Identity{HeaderPrefix: "X-Caller-", JWTHeader: "Who-Asks"}}
	for _, test := range []struct {
		config forwardauth.Config
		name   string
	}{
		{forwardauth.Config{}, "X-Gatehouse-Subject"}, {forwardauth.Config{}, "X_Gatehouse_Subject"}, {forwardauth.Config{}, "x-gatehouse-anything"},
		{own, "X-Caller-Subject"}, {own, "X-Caller_Subject"}, {own, "Who-Asks"}, {own, "who_asks"},
	} {
		if w := ask(t, d, test.config, proxyPeer, told(test.name, "root")...); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "forward-auth-identity") || strings.Contains(w.Body.String(), "root") {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
	}
	if len(d.requests) > 0 {
		t.Errorf("decided about %v", d.requests)
	}
	if w := ask(t, d, own, proxyPeer, told("X-Gatehouse-Subject", "no matter")...); w.Code != http.StatusOK {
		t.Errorf("a header of no meaning: %d %s", w.Code, w.Body)
	}
}

// What the answer does not say it says by empty headers, so that a proxy which copies what
// is there leaves nothing of the client's.
func TestEveryIdentityHeaderIsAnswered(t *testing.T) {
	spec.Covers(t, "PX-01", "PX-17")
	d := &decisions{decision: gateway.Decision{Allowed: true, Status: 200, Set: http.Header{"X-Gatehouse-Subject": {"ada"}}}}
	w := ask(t, d, forwardauth.Config{Identity: gateway.Identity{Claims: map[string]string{"Tenant": "tenant"}}}, proxyPeer, told("Authorization", "Bearer t")...)
	for name, want := range map[string]string{"X-Gatehouse-Subject": "ada", "X-Gatehouse-Client-Id": "", "X-Gatehouse-Identity": "", "X-Gatehouse-Tenant": "", "Authorization": ""} {
		if values := w.Header()[name]; len(values) != 1 || values[0] != want {
			t.Errorf("%s is %q, want %q", name, values, want)
		}
	}
}

func TestConfigurationsSayWhatIsWrong(t *testing.T) {
	for about, test := range map[string]struct {
		config forwardauth.Config
		says   string
	}{
		"nobody":         {forwardauth.Config{}, "Proxies must name"},
		"everybody":      {forwardauth.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, "everybody"},
		"no network":     {forwardauth.Config{Proxies: []netip.Prefix{{}}}, "everybody"},
		"too many":       {forwardauth.Config{Proxies: make([]netip.Prefix, 257)}, "1 to 256"},
		"half":           {forwardauth.Config{Proxies: local, Headers: forwardauth.Headers{Method: "X-Method"}}, "Headers needs"},
		"both":           {forwardauth.Config{Proxies: local, Headers: forwardauth.Headers{Method: "X-Method", URL: "X-URL", URI: "X-URI"}}, "in the place of"},
		"twice":          {forwardauth.Config{Proxies: local, Headers: forwardauth.Headers{Method: "X-Told", URL: "x_told"}}, "two things"},
		"another's":      {forwardauth.Config{Proxies: local, Headers: forwardauth.Headers{Method: "Authorization", URL: "X-URL"}}, "cannot be the header"},
		"no header name": {forwardauth.Config{Proxies: local, Headers: forwardauth.Headers{Method: "X Method", URL: "X-URL"}}, "cannot be the header"},
	} {
		if _, err := forwardauth.New(&decisions{}, test.config); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", about, err)
		}
	}
}

func TestTheLogTellsOfQuestionsThatWereRefused(t *testing.T) {
	var log bytes.Buffer
	h, err := forwardauth.New(&decisions{}, forwardauth.Config{Proxies: local, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "http://gateway.internal/decide?secret", nil)
	r.Header.Set("Authorization", "Bearer secret")
	h.ServeHTTP(httptest.NewRecorder(), r)
	if !strings.Contains(log.String(), "error_id=forward-auth-peer.") || !strings.Contains(log.String(), "peer=192.0.2.1") || strings.Contains(log.String(), "secret") {
		t.Errorf("the log is %s", log.String())
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("GET", "/photos?x#", "api.example", "https")
	f.Add("", "//x", "[::1]:80", "ws")
	f.Fuzz(func(t *testing.T, method, uri, host, scheme string) {
		d := &decisions{decision: gateway.Decision{Allowed: true, Status: 200}}
		w := ask(t, d, forwardauth.Config{}, proxyPeer, "X-Forwarded-Method", method, "X-Forwarded-Uri", uri, "X-Forwarded-Host", host, "X-Forwarded-Proto", scheme)
		if w.Code != http.StatusOK && len(d.requests) > 0 || w.Code == http.StatusOK && len(d.requests) != 1 {
			t.Fatalf("answered %d after %d decisions", w.Code, len(d.requests))
		}
		// What is decided about is what was told, or nothing.
		for _, r := range d.requests {
			if r.Method != method || r.Target != uri || r.Host != host || !slices.Contains([]string{"http", "https", "ws", "wss"}, scheme) {
				t.Errorf("told %q %q %q %q, decided about %+v", method, uri, host, scheme, r)
			}
		}
	})
}

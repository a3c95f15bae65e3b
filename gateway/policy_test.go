package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"gatehouse/gateway"
	"gatehouse/internal/proxy"
	"gatehouse/internal/proxy/proxytest"
	"gatehouse/internal/spec"
	"gatehouse/resource"
)

// raw sends octets and returns what proxytest.Raw does.
func (s *stage) raw(text string) (statuses []int, closed bool) {
	s.Helper()
	return proxytest.Raw(s, s.front.URL, text)
}

// TestSmuggling: a request that two readers could divide differently is refused and ends its
// connection, and the upstream never sees a second one.
func TestSmuggling(t *testing.T) {
	spec.Covers(t, "PX-13")
	s := newStage(t, nil)
	const head = "POST /public/x HTTP/1.1\r\nHost: a.example\r\n"
	const inner = "GET /admin HTTP/1.1\r\nHost: a.example\r\nX-Smuggled: 1\r\n\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(inner)+5)
	for name, text := range map[string]string{
		"TE.TE, one that is none":       head + "Transfer-Encoding: xchunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"TE.TE, a list":                 head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + inner,
		"two lengths":                   head + length + "Content-Length: 0\r\n\r\n" + inner,
		"a list of lengths":             head + "Content-Length: 0, 5\r\n\r\n" + inner,
		"a length with a sign":          head + "Content-Length: +0\r\n\r\n" + inner,
		"a length that is none":         head + "Content-Length: 0x0\r\n\r\n" + inner,
		"a space before the colon":      head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + inner,
		"a tab before the colon":        head + "Content-Length\t: 5\r\n\r\n" + inner,
		"a name with a space in it":     head + "X Y: 1\r\n\r\n" + inner,
		"a NUL in a header":             head + "X-Y: a\x00b\r\n\r\n" + inner,
		"two hosts":                     "GET /public/x HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n" + inner,
		"no host":                       "GET /public/x HTTP/1.1\r\n\r\n" + inner,
		"a host with a path":            "GET /public/x HTTP/1.1\r\nHost: a.example/b\r\n\r\n" + inner,
		"a host with a user":            "GET /public/x HTTP/1.1\r\nHost: u@a.example\r\n\r\n" + inner,
		"a line without a version":      "GET /public/x\r\nHost: a.example\r\n\r\n" + inner,
		"a version of nobody's":         "GET /public/x HTTP/3.7\r\nHost: a.example\r\n\r\n" + inner,
		"a target with a space":         "GET /public/x y HTTP/1.1\r\nHost: a.example\r\n\r\n" + inner,
		"a chunk's length that is none": head + "Transfer-Encoding: chunked\r\n\r\n-1\r\nabcd\r\n0\r\n\r\n" + inner,
		"a chunk's length too long":     head + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nabcd\r\n0\r\n\r\n" + inner,
		"a chunk ended by LF":           head + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" + inner,
	} {
		before := len(s.echo.requests())
		statuses, closed := s.raw(text)
		after := s.echo.requests()[before:]
		smuggled := slices.ContainsFunc(after, func(one saw) bool { return one.Header.Get("X-Smuggled") != "" || one.Target == "/admin" })
		if len(statuses) != 1 || statuses[0] < 400 || !closed || smuggled {
			t.Errorf("%s: answers %v, closed %v; the upstream saw %v", name, statuses, closed, after)
		}
	}
	// Both forms of length are one request with the chunks' (RFC 9112 §6.3), and what follows on
	// the connection is not read: a proxy in front may have found another end.
	const alone, next = "POST /public/z HTTP/1.1\r\nHost: a.example\r\n", "GET /public/y HTTP/1.1\r\nHost: a.example\r\n\r\n"
	// Of those above some bodies may still be breaking off at the upstream.
	seen := func() (requests int) {
		for _, one := range s.echo.requests() {
			if one.Target != "/public/x" {
				requests++
			}
		}
		return requests
	}
	for name, text := range map[string]string{
		"CL.TE":                alone + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next,
		"TE.CL":                alone + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + next,
		"chunks by themselves": alone + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next,
		// RFC 9112 §6.1: there are no chunks in HTTP/1.0, and who says so is not believed.
		"chunks in HTTP/1.0": strings.Replace(alone, "1.1", "1.0", 1) + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + next,
		"no length in 1.0":   strings.Replace(alone, "1.1", "1.0", 1) + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + next,
	} {
		before := seen()
		statuses, closed := s.raw(text)
		if n := seen() - before; !slices.Equal(statuses, []int{200}) || !closed || n != 1 {
			t.Errorf("%s: answers %v, closed %v, the upstream saw %d", name, statuses, closed, n)
		}
	}
	// A folded header is one header, also for the upstream.
	if statuses, _ := s.raw("GET /public/x HTTP/1.1\r\nHost: a.example\r\nX-Fold: a\r\n X-Gatehouse-Subject: mallory\r\nConnection: close\r\n\r\n"); len(statuses) != 1 {
		t.Errorf("folded: %v", statuses)
	} else if statuses[0] == 200 {
		if got := s.echo.last(t).Header; got.Get("X-Gatehouse-Subject") != "" {
			t.Errorf("folded: the upstream saw %v", got)
		}
	}
	// The connection for which all of this is meant still works.
	if statuses, _ := s.raw("GET /public/x HTTP/1.1\r\nHost: a.example\r\n\r\nGET http://a.example/public/y HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n"); !slices.Equal(statuses, []int{200, 200}) {
		t.Errorf("two good requests: %v", statuses)
	}
}

// TestTwoNamesOfAHost: over HTTP/2 a request can have :authority and Host.
func TestTwoNamesOfAHost(t *testing.T) {
	s := newStage(t, nil)
	for name, test := range map[string]struct {
		host   string
		header http.Header
		want   int
	}{
		"one":               {"a.example", nil, 404},
		"twice the same":    {"a.example", http.Header{"Host": {"a.example"}}, 404},
		"two":               {"a.example", http.Header{"Host": {"b.example"}}, 400},
		"three":             {"a.example", http.Header{"Host": {"a.example", "a.example"}}, 400},
		"empty":             {"", nil, 400},
		"a dot at the end":  {"a.example.", nil, 400},
		"two dots":          {"a..example", nil, 400},
		"a port that is no": {"a.example:x", nil, 400},
		"an empty port":     {"a.example:", nil, 400},
		"a comma":           {"a.example,b.example", nil, 400},
		"IPv6":              {"[::1]:80", nil, 404},
		"IPv6 that is none": {"[::x]", nil, 400},
		"brackets":          {"[", nil, 400},
		"a bracket open":    {"[::1", nil, 400},
		"one too many":      {"[::1]]", nil, 400},
		"a port too large":  {"a.example:65536", nil, 400},
		"a port as large":   {"a.example:65535", nil, 404},
		"letters that grow": {"\u023a.example", nil, 400},
		"a Kelvin sign":     {"\u212a.example", nil, 400},
		"no UTF-8":          {"\xff.example:80", nil, 400},
	} {
		header := test.header
		if header == nil {
			header = http.Header{}
		}
		d := s.gateway.Decide(t.Context(), gateway.Request{Scheme: "https", Host: test.host, Method: "GET", Target: "/none", Header: header, Peer: loopback})
		if d.Status != test.want || test.want == 400 && d.Reason != "gateway-host" {
			t.Errorf("%s: %d %s", name, d.Status, d.Reason)
		}
	}
}

// TestPathsThatAreProtected: no way of writing a protected path reaches it by a public route.
func TestPathsThatAreProtected(t *testing.T) {
	spec.Covers(t, "PN-01", "PN-03", "SS-12")
	s := newStage(t, func(_ *stage, c *gateway.Config) { // the widest public route that there can be
		c.Routes = append(c.Routes, gateway.Route{Name: "rest", Match: gateway.Match{Path: "/{rest...}"}, Public: true, Upstream: "echo"})
	})
	for _, target := range []string{
		"/admin", "/admin?x=/public", "/admin?/public/x", "/public/../admin", "/public/..%2fadmin", "/public/..%2Fadmin", "/public/%2e%2e/admin", "/public/.%2e/admin", "//admin", "/./admin", "/admin/", "/ADMIN", "/Admin", "/admin;x", "/admin;/x", "/%61dmin",
		"/public/..;/admin", `/public\..\admin`, "/public/%5c../admin", "/admin%2f", "/admin%00", "/admin%20/..", "/admin/.", "/x/../admin", "/%2e/admin", "/%252e%252e/admin", "/admin%3b", "/aDmIn/", "/public//../admin",
		"http://evil.example/admin", "http://u@a.example/admin", "/@evil.example/../admin", "//evil.example/admin", "/adm%69n", "/admin/%2e", "/photos/%2e%2e%2fadmin", "/photos/..%5cadmin",
	} {
		before := len(s.echo.requests())
		statuses, _ := s.raw("GET " + target + " HTTP/1.1\r\nHost: a.example\r\nX-Original-Url: /public/x\r\nX-Forwarded-Uri: /public/x\r\nX-Rewrite-Url: /public/x\r\nX-Forwarded-Prefix: /public\r\nX-Http-Method-Override: OPTIONS\r\nConnection: close\r\n\r\n")
		if len(statuses) != 1 || statuses[0] != 401 && statuses[0] != 400 {
			t.Errorf("%s: %v", target, statuses)
		}
		if after := s.echo.requests(); len(after) != before {
			t.Errorf("%s: the upstream saw %v", target, after[before:])
		}
	}
	for _, target := range []string{"/public..", "/other", "/administrator", "/x/admin", "/", "/Other/"} {
		wants(t, target, s.do("GET", target, nil, nil), http.StatusOK, "")
	}
	wants(t, "with the right token", s.do("GET", "/admin", bearer(s.issuer.token(t, claims{"scope": "admin"})), nil), http.StatusOK, "")
}

// TestPathsOfExactUpstreams: an upstream that tells case and slashes apart has them told apart.
func TestPathsOfExactUpstreams(t *testing.T) {
	routes := func(exact bool) func(*stage, *gateway.Config) {
		return func(_ *stage, c *gateway.Config) {
			c.Upstreams[0].ExactPaths = exact
			c.Routes = []gateway.Route{
				{Name: "users", Match: gateway.Match{Path: "/users/{id}"}, Public: true, Upstream: "echo"},
				{Name: "me", Match: gateway.Match{Path: "/users/me"}, Authentication: "photos", Upstream: "echo"},
				{Name: "list", Match: gateway.Match{Path: "/photos"}, Authentication: "photos", Needs: resource.Needs{Scopes: []string{"list"}}, Upstream: "echo"},
				{Name: "one", Match: gateway.Match{Path: "/photos/{rest...}"}, Authentication: "photos", Upstream: "echo"},
				{Name: "post", Match: gateway.Match{Path: "/photos", Methods: []string{"POST"}}, Authentication: "photos", Upstream: "echo", Needs: resource.Needs{Scopes: []string{"post"}}},
			}
		}
	}
	loose, exact := newStage(t, routes(false)), newStage(t, routes(true))
	for _, test := range []struct {
		target               string
		wantLoose, wantExact int
	}{
		{"GET /users/7", 200, 200}, {"GET /users/me", 401, 401}, {"GET /users/ME", 400, 200}, {"GET /users/Mel", 200, 200}, {"GET /users/me/", 404, 404},
		{"GET /photos", 401, 401}, {"POST /photos", 401, 401}, {"GET /photos/", 400, 401}, {"GET /photos/7/", 401, 401}, {"GET /Photos/x", 404, 404},
	} {
		method, path, _ := strings.Cut(test.target, " ")
		wants(t, "loose "+test.target, loose.do(method, path, nil, nil), test.wantLoose, "")
		wants(t, "exact "+test.target, exact.do(method, path, nil, nil), test.wantExact, "")
	}
}

// numbers are made by a rule, so that a failure can be had again.
type numbers struct{ state *big.Int }

func (n *numbers) next(below int) int {
	n.state.Mul(n.state, big.NewInt(6364136223846793005))
	n.state.Add(n.state, big.NewInt(1442695040888963407))
	n.state.And(n.state, new(big.Int).SetUint64(1<<64-1))
	return int(new(big.Int).Rsh(n.state, 33).Int64() % int64(below))
}

func (n *numbers) one(of []string) string { return of[n.next(len(of))] }

// TestThePolicySawWhatTheUpstreamSees: for 50,000 paths and sets of headers, what was judged is
// what arrived, byte for byte, and no managed header of the caller's.
func TestThePolicySawWhatTheUpstreamSees(t *testing.T) {
	spec.Covers(t, "PX-01", "PX-06", "PX-12", "PN-03")
	var arrived *http.Request
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived = r.Clone(r.Context()) }))
	t.Cleanup(upstream.Close)
	s := newStage(t, func(s *stage, c *gateway.Config) {
		forwarding(gateway.Forward{Headers: true})(s, c)
		c.Upstreams = append(c.Upstreams, gateway.Upstream{Name: "seen", URL: upstream.URL})
		for i := range c.Routes {
			c.Routes[i].Upstream = "seen"
		}
		c.Routes = append(c.Routes, gateway.Route{Name: "rest", Match: gateway.Match{Path: "/{rest...}"}, Public: true, Upstream: "seen"})
	})
	token := s.issuer.token(t, claims{"scope": "photos:read photos:write admin"})
	n := &numbers{big.NewInt(42)}
	pieces := []string{"/", "/", "/", "admin", "photos", "public", "any", "a", "1", "..", ".", "%2e", "%2f", "%5c", `\`, ";", "%3b", "%00", "%20", "%61", "%C3%A9", "%ff", "%", "?", "?a=/admin", "&b", "=", "#", "@", ":", "A", "%2F", "~", "%25", "+"}
	names := []string{
		"X-Gatehouse-Subject", "x_gatehouse_subject", "X-Forwarded-For", "X_Forwarded_User", "X-Original-Url", "Forwarded", "X-Real-Ip", "Client-Cert", "X-Ssl-Client-Dn", "Remote-User", "X-Auth-Request-User",
		"X-Gatehouse-Identity", "X-Http-Method-Override", "Accept", "X-Custom", "Content-Language", "X_Custom", "Te", "Keep-Alive", "Proxy-Connection", "Connection", "Upgrade", "Cookie",
	}
	values := []string{"mallory", "/public/x", "close", "X-Gatehouse-Issuer", "X-Gatehouse-Subject, X-Forwarded-For", "a=b", "keep-alive", "127.0.0.1"}
	passed, refused := 0, 0
	count := 50_000
	if testing.Short() {
		count = 5_000
	}
	for range count {
		target := "/"
		for range 1 + n.next(6) {
			target += n.one(pieces)
		}
		method := n.one([]string{"GET", "GET", "PUT", "DELETE", "OPTIONS", "HEAD"})
		header := http.Header{}
		for range n.next(6) {
			header.Add(n.one(names), n.one(values))
		}
		if n.next(2) == 0 {
			header.Set("Authorization", "Bearer "+token)
		}
		request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: a.example\r\n\r\n")))
		if err != nil {
			refused++
			continue // net/http answers 400
		}
		for name, values := range header {
			request.Header[name] = values
		}
		request.RemoteAddr = "192.0.2.7:1234"
		d := s.gateway.Decide(t.Context(), gateway.Request{Scheme: "http", Host: "a.example", Method: method, Target: target, Header: request.Header.Clone(), Peer: loopback, Explain: true})
		arrived = nil
		w := httptest.NewRecorder()
		s.gateway.ServeHTTP(w, request)
		if d.Allowed != (arrived != nil) {
			t.Fatalf("%s %s: decided %v %s, answered %d, arrived %v", method, target, d.Allowed, d.Reason, w.Code, arrived)
		}
		if !d.Allowed {
			if w.Code < 400 {
				t.Fatalf("%s %s: %s is answered %d", method, target, d.Reason, w.Code)
			}
			refused++
			continue
		}
		passed++
		path, _, _ := strings.Cut(target, "?")
		sent, query, _ := strings.Cut(arrived.RequestURI, "?")
		if sent != path || arrived.Method != method || query != "" && !strings.Contains(target, "?") || proxy.CheckPath(sent) != nil {
			t.Fatalf("%s %s arrived as %s %s", method, target, arrived.Method, arrived.RequestURI)
		}
		public := d.Route == "public" || d.Route == "rest"
		for name, values := range arrived.Header {
			ours := map[string]string{"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": "a.example", "X-Forwarded-Proto": "http"}[name]
			if !public && strings.HasPrefix(name, "X-Gatehouse-") {
				ours = d.Set.Get(name)
			}
			if s.gateway.Managed(name) && (ours == "" || len(values) != 1 || values[0] != ours) {
				t.Fatalf("%s %s with %v: %s: %q arrived", method, target, header, name, values)
			}
		}
		if !public && arrived.Header.Get("X-Gatehouse-Subject") != "alice" {
			t.Fatalf("%s %s with %v: the subject is %q", method, target, header, arrived.Header.Get("X-Gatehouse-Subject"))
		}
	}
	if passed < count/20 || refused < count/20 {
		t.Errorf("%d passed and %d were refused: the test says little", passed, refused)
	}
	t.Logf("%d passed, %d were refused", passed, refused)
}

// TestAnswersOfUpstreams: what speaks for the whole origin, and bodies that are too large.
func TestAnswersOfUpstreams(t *testing.T) {
	s := newStage(t, func(s *stage, c *gateway.Config) {
		c.Upstreams = append(c.Upstreams, gateway.Upstream{Name: "cors", URL: s.echo.URL, CORS: true, Host: "inner.example"})
		c.Routes = append(c.Routes, gateway.Route{Name: "cors", Match: gateway.Match{Path: "/cors"}, Public: true, Upstream: "cors"})
	})
	if p := s.do("GET", "/public/x", nil, nil); p.Header.Get("Access-Control-Allow-Origin") != "" || s.echo.last(t).Host == "inner.example" {
		t.Errorf("%v", p)
	}
	if p := s.do("GET", "/cors", nil, nil); p.Header.Get("Access-Control-Allow-Origin") != "*" || s.echo.last(t).Host != "inner.example" {
		t.Errorf("%v", p)
	}
	p := s.do("POST", "/any/x", bearer(s.issuer.token(t, nil)), strings.NewReader(strings.Repeat("x", 2<<10)))
	wants(t, "a large body", p, http.StatusRequestEntityTooLarge, "gateway-body-too-large")
	var body map[string]string
	if err := json.Unmarshal([]byte(p.text), &body); err != nil || strings.Contains(p.text, "127.0.0.1") || strings.Contains(p.text, "http:") {
		t.Errorf("%v, %v", p, err)
	}
	wants(t, "one that fits", s.do("POST", "/any/x", bearer(s.issuer.token(t, nil)), strings.NewReader(strings.Repeat("x", 1<<10))), http.StatusOK, "")
}

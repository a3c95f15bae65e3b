package gateway_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/gateway"
	"gatehouse/internal/proxy"
)

// FuzzRequest: whatever a request's target and headers are, nothing protected is reached without a
// token, what is decided is what is done, and what arrives has one meaning and no header that only
// the gateway may set.
func FuzzRequest(f *testing.F) {
	for _, one := range [][4]string{
		{"GET", "/public/x", "X-Gatehouse-Subject", "mallory"}, {"GET", "/public/..%2fadmin", "X_Forwarded_User", "x"}, {"PUT", "/ADMIN/", "Connection", "X-Forwarded-For"},
		{"OPTIONS", "http://a.example/admin", "Upgrade", "websocket"}, {"GET", "/any?access_token=x", "Authorization", "Bearer x.y.z"},
	} {
		f.Add(one[0], one[1], one[2], one[3])
	}
	var arrived *http.Request
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived = r.Clone(r.Context()) }))
	f.Cleanup(upstream.Close)
	s := newStage(f, func(_ *stage, c *gateway.Config) {
		c.Upstreams[0].URL = upstream.URL
		c.Routes = append(c.Routes, gateway.Route{Name: "rest", Match: gateway.Match{Path: "/{rest...}"}, Public: true, Upstream: "echo"})
	})
	f.Fuzz(func(t *testing.T, method, target, name, value string) {
		text := method + " " + target + " HTTP/1.1\r\nHost: a.example\r\n" + name + ": " + value + "\r\nContent-Length: 0\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil || r.ContentLength != 0 || r.Body != http.NoBody {
			return // net/http answers 400
		}
		r.RemoteAddr, arrived = "192.0.2.7:1234", nil
		d := s.gateway.Decide(t.Context(), gateway.Request{Scheme: "http", Host: r.Host, Method: r.Method, Target: r.RequestURI, Header: r.Header.Clone(), Peer: loopback, Explain: true})
		w := httptest.NewRecorder()
		s.gateway.ServeHTTP(w, r)
		if arrived == nil {
			if d.Allowed && w.Code < 500 {
				t.Fatalf("%q: allowed, and answered %d", text, w.Code)
			}
			return
		}
		if !d.Allowed || d.Route != "public" && d.Route != "rest" {
			t.Fatalf("%q: decided %s on %q, and it arrived", text, d.Reason, d.Route)
		}
		path, _, _ := strings.Cut(arrived.RequestURI, "?")
		if proxy.CheckPath(path) != nil || strings.EqualFold(strings.TrimSuffix(path, "/"), "/admin") || arrived.Method != r.Method {
			t.Fatalf("%q arrived as %s %s", text, arrived.Method, arrived.RequestURI)
		}
		for name := range arrived.Header {
			if s.gateway.Managed(name) && name != "X-Forwarded-For" && name != "X-Forwarded-Host" && name != "X-Forwarded-Proto" {
				t.Fatalf("%q: %s arrived", text, name)
			}
		}
	})
}

package front_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/proxy/proxytest"
	"gatehouse/internal/spec"
)

// heard is an API that remembers what reached it.
type heard struct {
	mu       sync.Mutex
	requests []string
}

func (h *heard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, fmt.Sprintf("%s %s %d %v", r.Method, r.RequestURI, len(body), r.Header["X-Smuggled"]))
}

// take returns what came since it was asked last.
func (h *heard) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := h.requests
	h.requests = nil
	return requests
}

// openAPI starts a BFF that passes on whatever is asked for below /open, and the API that
// hears it.
func openAPI(t *testing.T) (api *heard, address string) {
	t.Helper()
	api = &heard{}
	upstream := httptest.NewServer(api)
	t.Cleanup(upstream.Close)
	text := strings.Replace(yaml(discovery(t), ""), "upstreams:\n", `upstreams:
  - {path: /open, url: '`+upstream.URL+`', anonymous: true, routes: [{path: '/{rest...}', methods: [GET, POST]}]}
`, 1)
	var log proxytest.Log
	address, stop := start(t, place(t, with(map[string]string{"bff.yaml": text})), &log)
	t.Cleanup(func() { stop() })
	return api, address
}

// TestSmuggling: a request that two readers could divide differently is refused and ends
// its connection, or is one request that ends it; the API never sees a second one.
func TestSmuggling(t *testing.T) {
	spec.Covers(t, "PX-13")
	api, address := openAPI(t)

	const head = "POST /open/x HTTP/1.1\r\nHost: app.example\r\n"
	const inner = "GET /open/hidden HTTP/1.1\r\nHost: app.example\r\nX-Smuggled: 1\r\n\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(inner)+5)
	for name, sent := range map[string]string{
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
		"two hosts":                     "GET /open/x HTTP/1.1\r\nHost: app.example\r\nHost: b.example\r\n\r\n" + inner,
		"no host":                       "GET /open/x HTTP/1.1\r\n\r\n" + inner,
		"a host with a path":            "GET /open/x HTTP/1.1\r\nHost: app.example/b\r\n\r\n" + inner,
		"a line without a version":      "GET /open/x\r\nHost: app.example\r\n\r\n" + inner,
		"a version of nobody's":         "GET /open/x HTTP/3.7\r\nHost: app.example\r\n\r\n" + inner,
		"a target with a space":         "GET /open/x y HTTP/1.1\r\nHost: app.example\r\n\r\n" + inner,
		"a chunk's length that is none": head + "Transfer-Encoding: chunked\r\n\r\n-1\r\nabcd\r\n0\r\n\r\n" + inner,
		"a chunk's length too long":     head + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nabcd\r\n0\r\n\r\n" + inner,
		"a chunk ended by LF":           head + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" + inner,
	} {
		statuses, closed := proxytest.Raw(t, address, sent)
		smuggled := slices.ContainsFunc(api.take(), func(one string) bool { return strings.Contains(one, "hidden") })
		if len(statuses) != 1 || statuses[0] < 400 || !closed || smuggled {
			t.Errorf("%s: answers %v, closed %v, smuggled %v", name, statuses, closed, smuggled)
		}
	}
	// Chunks are one request (RFC 9112 §6.3), and what follows is not read: a proxy in
	// front may have read another end.
	for name, sent := range map[string]string{
		"CL.TE":                head + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"TE.CL":                head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + inner,
		"chunks by themselves": head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
	} {
		statuses, closed := proxytest.Raw(t, address, sent)
		if got := api.take(); len(statuses) != 1 || !closed || len(got) > 1 || slices.ContainsFunc(got, func(one string) bool { return strings.Contains(one, "hidden") }) {
			t.Errorf("%s: answers %v, closed %v; the API saw %v", name, statuses, closed, got)
		}
	}
	// HTTP/1.0 has no chunks: who thinks that it had finds another end than who does not
	// (RFC 9112 §6.1). The BFF's own endpoints end such connections, too.
	const old = "POST /open/x HTTP/1.0\r\nHost: app.example\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n"
	for name, sent := range map[string]string{
		"chunks in HTTP/1.0":            old + "\r\n0\r\n\r\n" + inner,
		"chunks in HTTP/1.0, a length":  old + "Content-Length: 5\r\n\r\n0\r\n\r\n" + inner,
		"TE.CL at a health endpoint":    "POST /bff/livez HTTP/1.1\r\nHost: app.example\r\n" + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"TE.CL at another":              "POST /bff/readyz HTTP/1.1\r\nHost: app.example\r\n" + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"TE.CL for the server itself":   "OPTIONS * HTTP/1.1\r\nHost: app.example\r\n" + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"TE.CL where somebody signs in": "POST /bff/login HTTP/1.1\r\nHost: app.example\r\n" + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
	} {
		statuses, closed := proxytest.Raw(t, address, sent)
		if got := api.take(); len(statuses) != 1 || !closed || slices.ContainsFunc(got, func(one string) bool { return strings.Contains(one, "hidden") }) {
			t.Errorf("%s: answers %v, closed %v; the API saw %v", name, statuses, closed, got)
		}
	}
	// The connection for which all of this is meant still works.
	statuses, _ := proxytest.Raw(t, address, head+"Content-Length: 5\r\n\r\nabcde"+"GET https://app.example/open/y HTTP/1.1\r\nHost: app.example\r\n\r\n")
	if got := api.take(); !slices.Equal(statuses, []int{200, 200}) || !slices.Equal(got, []string{"POST /x 5 []", "GET /y 0 []"}) {
		t.Errorf("two good requests: %v; the API saw %v", statuses, got)
	}
}

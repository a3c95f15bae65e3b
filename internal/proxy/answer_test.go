package proxy_test

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"gatehouse/internal/proxy"
	"gatehouse/internal/spec"
)

// saying is an upstream that answers each request with these octets.
func saying(t *testing.T, octets string) *url.URL {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				for requests := bufio.NewReader(connection); ; {
					if _, err := http.ReadRequest(requests); err != nil {
						return
					}
					if _, err := io.WriteString(connection, octets); err != nil {
						return
					}
				}
			}()
		}
	}()
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}
}

// An upstream that answers nonsense gets no answer through in our name, neither as a
// header nor behind the body, and none that says more than it does.
func TestAnswersThatAreNone(t *testing.T) {
	spec.Covers(t, "XS-07", "PX-17")
	for name, test := range map[string]struct {
		octets   string
		status   int
		body     string
		trailers []string
	}{
		"a lone CR":                    {"HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: x=y\r\nContent-Length: 2\r\n\r\nok", 502, "", nil},
		"a NUL":                        {"HTTP/1.1 200 OK\r\nX-A: b\x00\r\nContent-Length: 2\r\n\r\nok", 502, "", nil},
		"two lengths":                  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nokok", 502, "", nil},
		"both lengths":                 {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", nil},
		"no status line":               {"what is this\r\n\r\n", 502, "", nil},
		"a status below all":           {"HTTP/1.1 099 Hm\r\nContent-Length: 2\r\n\r\nok", 502, "", nil},
		"a status of 0":                {"HTTP/1.1 000 Hm\r\nContent-Length: 2\r\n\r\nok", 502, "", nil},
		"a status of four":             {"HTTP/1.1 2000 Hm\r\nContent-Length: 2\r\n\r\nok", 502, "", nil},
		"another protocol, unasked":    {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502, "", nil},
		"an answer behind the answer":  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, "ok", nil},
		"trailers":                     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie, X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: __Host-Http-session=evil\r\nAccess-Control-Allow-Origin: *\r\n\r\n", 200, "ok", []string{"X-Sum"}},
		"trailers that nobody told of": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\nClear-Site-Data: \"*\"\r\n\r\n", 200, "ok", []string{"X-Sum"}},
		"trailers that do not come":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie, X-Sum\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", []string{"X-Sum"}},
		"what is right":                {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", nil},
	} {
		u, _ := newUpstream(t, nil)
		u.URL = saying(t, test.octets)
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u.Serve(w, r, "/", proxy.NewTransport(), nil)
		}))
		response, err := http.Get(front.URL)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		front.Close()
		if err != nil || response.StatusCode != test.status || test.body != string(text) || response.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v %q, %v", name, response.StatusCode, response.Header, text, err)
		}
		if got := slices.Sorted(maps.Keys(response.Trailer)); !slices.Equal(got, test.trailers) {
			t.Errorf("%s: the trailers %v", name, response.Trailer)
		}
	}
}

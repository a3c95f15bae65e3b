package gate_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
)

// HTTP/2 without TLS is spoken where the configuration says so, by clients that begin with
// it; the rules are the same, and who says no more than that does not stay.
func TestH2C(t *testing.T) {
	spec.Covers(t, "DS-06", "PX-13")
	i := newIssuer(t)
	read := i.token(t, "photos:read", "one")
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	get2 := func(address string, headers ...string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(headers); at += 2 {
			r.Header.Set(headers[at], headers[at+1])
		}
		response, err := transport.RoundTrip(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		return response, err
	}
	for _, admitted := range []bool{true, false} {
		more := ""
		if admitted {
			more = "h2c: true\n"
		}
		g := start(t, place(t, files(yaml(i.URL, echo(t), more))))
		response, err := get2(g.public+"/photos/1", bearer(read)...)
		if admitted != (err == nil) || admitted && (response.StatusCode != 200 || response.ProtoMajor != 2) {
			t.Errorf("h2c %v: %v, %v", admitted, response, err)
		}
		if admitted {
			for path, want := range map[string]int{"/photos/1": 401, "/nothing": 404, "/public/a%2fb": 400, "/.gatehouse/readyz": 200} {
				if response, err := get2(g.public + path); err != nil || response.StatusCode != want {
					t.Errorf("%s: %v, %v", path, response, err)
				}
			}
		}
		if status, _, text := get(t, g.public+"/public/x", "Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "Http2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"); status != 200 || !strings.Contains(text, "/public/x") || strings.Contains(text, "h2c") {
			t.Errorf("h2c %v, by an Upgrade: %d %s", admitted, status, text)
		}
		for _, begun := range []string{"PRI * HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nnonsense"} {
			connection, err := net.Dial("tcp", strings.TrimPrefix(g.public, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(connection, begun)
			_ = connection.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.Copy(io.Discard, connection); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("h2c %v, %q: it stays", admitted, begun)
			}
			_ = connection.Close()
		}
		g.stopped()
	}
}

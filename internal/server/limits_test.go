package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/spec"
)

// send writes a request as it stands and returns the answer.
func (r *running) send(t *testing.T, head string) *http.Response {
	t.Helper()
	conn := r.dial(t)
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestHeadersAreBounded(t *testing.T) {
	spec.Covers(t, "FT-32", "DS-06")
	r := run(t)
	many := func(count int, name string) string {
		var b strings.Builder
		for n := range count {
			fmt.Fprintf(&b, "%s-%d: a value of a header that is quite usual\r\n", name, n)
		}
		return b.String()
	}
	const end = "Host: x\r\nConnection: close\r\n\r\n"
	for name, c := range map[string]struct {
		head string
		want int
	}{
		"usual":          {"GET /livez HTTP/1.1\r\n" + end, 200},
		"much but fine":  {"GET /livez HTTP/1.1\r\n" + many(300, "X") + end, 200},
		"header 100 kB":  {"GET /livez HTTP/1.1\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n" + end, 431},
		"1000 headers":   {"GET /livez HTTP/1.1\r\n" + many(1000, "X") + end, 431},
		"8000 cookies":   {"GET /livez HTTP/1.1\r\nCookie: " + strings.Repeat("a=bcde; ", 8000) + "\r\n" + end, 431},
		"URI 64 kB":      {"GET /livez?" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\n" + end, 431},
		"two lengths":    {"POST /token HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + end, 400},
		"line in a name": {"GET /livez HTTP/1.1\r\nX\rY: 1\r\n" + end, 400},
		"no host":        {"GET /livez HTTP/1.1\r\n\r\n", 400},
		"another's URL":  {"GET http://evil.example/livez HTTP/1.1\r\n" + end, 200},
		"asterisk":       {"OPTIONS * HTTP/1.1\r\n" + end, 404},
		"h2c preface":    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404},
	} {
		if got := r.send(t, c.head); got.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, got.StatusCode, c.want)
		}
	}
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	spec.Covers(t, "FT-35", "DS-09")
	r := run(t, func(s *Server) { s.limits.readHeader = 50 * time.Millisecond })
	conn := r.dial(t)
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // ends when the server closes
	if err != nil && !errors.Is(err, io.EOF) || strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("%q, %v", answer, err)
	}
	if response, _ := r.ask(t, "/livez"); response.StatusCode != http.StatusOK {
		t.Errorf("another caller: %d", response.StatusCode)
	}
}

func TestSlowBodyIsCutOff(t *testing.T) {
	spec.Covers(t, "FT-35", "DS-09")
	r := run(t, func(s *Server) { s.limits.read = 100 * time.Millisecond })
	conn := r.dial(t)
	if _, err := io.WriteString(conn, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type="); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || strings.HasPrefix(string(answer), "HTTP/1.1 5") || strings.HasPrefix(string(answer), "HTTP/1.1 2") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	spec.Covers(t, "FT-35")
	r := run(t, func(s *Server) { s.limits.idle = 50 * time.Millisecond })
	conn := r.dial(t)
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	spec.Covers(t, "FT-29")
	r := run(t)
	const head = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	if got := r.send(t, head+"Content-Length: 1048576\r\n\r\n"+strings.Repeat("x", 65<<10)); got.StatusCode != http.StatusRequestEntityTooLarge || !got.Close {
		t.Errorf("a form of 1 MB: %d, closes: %v", got.StatusCode, got.Close)
	}
	conn := r.dial(t)
	if _, err := io.WriteString(conn, head+"Transfer-Encoding: chunked\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan *http.Response, 1)
	go func() {
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Error(err)
		}
		answered <- response
	}()
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 4096, strings.Repeat("x", 4096))
	for range 1000 { // endless, but for the test
		if _, err := io.WriteString(conn, chunk); err != nil {
			break
		}
	}
	if response := <-answered; response != nil && response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("an endless form: %d", response.StatusCode)
	}
}

// begin sends a token request up to its body, and returns when the server
// reads it.
func (r *running) begin(t *testing.T, form string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := r.dial(t)
	_, err := fmt.Fprintf(conn, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(form))
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return conn, reader
}

const secretForm = "grant_type=client_credentials&client_id=web&client_secret=wrong"

func TestStopDrainsRequestsInFlight(t *testing.T) {
	spec.Covers(t, "FT-27")
	r := run(t)
	conn, reader := r.begin(t, secretForm)
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	eventually(t, "nobody new is let in", func() bool {
		late, err := net.Dial("tcp", r.address)
		if err == nil {
			_ = late.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("stopped with a request in flight: %v", err)
	default:
	}
	if _, err := io.WriteString(conn, secretForm); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("%v, %v", response, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestStopCutsOffAfterTheTimeout(t *testing.T) {
	r := run(t, func(s *Server) { s.config.ShutdownTimeout = config.Duration(50 * time.Millisecond) })
	r.begin(t, secretForm)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(r.log.String(), "requests were cut off") {
		t.Errorf("nobody was told: %s", r.log)
	}
}

func TestServeThatCannotListen(t *testing.T) {
	r := run(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	other := open(t, Config{PublicURL: "http://127.0.0.1:8080", Data: dataDirectory(t)}, r.log.logger())
	if err := other.Serve(context.Background(), closed); err == nil {
		t.Error("served on a closed listener")
	}
}

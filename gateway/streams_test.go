package gateway_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/gateway"
	"gatehouse/internal/spec"
	"gatehouse/revocation"
)

// talking is an upstream of streams.
func talking(t testing.TB) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		switch r.URL.Path {
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: first\n\n")
			_ = controller.Flush()
			<-r.Context().Done()
		case "/flood":
			w.Header().Set("Content-Type", "text/event-stream")
			for _, err := io.WriteString(w, "data: first\n\n"); err == nil && r.Context().Err() == nil; _, err = io.WriteString(w, strings.Repeat("x", 8<<10)) {
				continue
			}
		case "/socket":
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
			connection, buffered, err := controller.Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer connection.Close()
			for {
				line, err := buffered.ReadString('\n')
				if err != nil {
					return
				}
				_, _ = buffered.WriteString("echo " + line)
				_ = buffered.Flush()
			}
		case "/grpc": // both directions at once, and trailers
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			w.WriteHeader(http.StatusOK)
			_ = controller.Flush()
			lines := bufio.NewReader(r.Body)
			for line, err := lines.ReadString('\n'); err == nil; line, err = lines.ReadString('\n') {
				fmt.Fprintf(w, "%s te=%s echo %s", r.Proto, r.Header.Get("Te"), line)
				_ = controller.Flush()
			}
			w.Header().Set("Grpc-Status", "0")
			w.Header().Set(http.TrailerPrefix+"Grpc-Message", "done")
		case "/hang":
			<-r.Context().Done()
		}
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func streaming(follow bool) func(*stage, *gateway.Config) {
	return func(s *stage, c *gateway.Config) {
		upstream := talking(s)
		c.Upstreams = append(c.Upstreams, gateway.Upstream{Name: "talking", URL: upstream.URL}, gateway.Upstream{Name: "h2c", URL: upstream.URL, H2C: true})
		for _, path := range []string{"/events", "/flood", "/socket"} {
			c.Routes = append(c.Routes, gateway.Route{Name: path[1:], Match: gateway.Match{Path: path}, Authentication: "photos", Upstream: "talking", Stream: true, Origins: []string{"https://app.example"}})
		}
		c.Routes = append(c.Routes,
			gateway.Route{Name: "grpc", Match: gateway.Match{Path: "/grpc", Methods: []string{"POST"}}, Authentication: "photos", Upstream: "h2c", Stream: true},
			gateway.Route{Name: "open", Match: gateway.Match{Path: "/open/{rest...}"}, StripPrefix: "/open", Public: true, Upstream: "talking", Stream: true},
			gateway.Route{Name: "hang", Match: gateway.Match{Path: "/hang"}, Public: true, Upstream: "talking", Timeout: 50 * time.Millisecond},
		)
		c.Authentications[0].Resource.Feed = follow
		c.StreamCheck = 20 * time.Millisecond
	}
}

// stream opens a stream and reads its beginning.
func (s *stage) stream(path, raw string) *http.Response {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), "GET", s.front.URL+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	if raw != "" {
		r.Header = bearer(raw)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = response.Body.Close() })
	first := make([]byte, len("data: first"))
	if _, err := io.ReadFull(response.Body, first); err != nil || response.StatusCode != http.StatusOK {
		s.Fatalf("%s: %d %q, %v", path, response.StatusCode, first, err)
	}
	return response
}

// isCut waits for the stream's end, which comes before the time.
func isCut(t testing.TB, about string, stream io.Reader) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stream)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: the stream goes on", about)
	}
}

// TestStreamsEndWithTheirToken: by revocation.
func TestStreamsEndWithTheirToken(t *testing.T) {
	s := newStage(t, streaming(true))
	victim, other := s.issuer.token(t, nil), s.issuer.token(t, claims{"jti": "jti-2", "gid": "gid-2"})
	eventually(t, "the feed is heard", func() bool { return s.do("GET", "/photos/1", bearer(victim), nil).StatusCode == 200 })
	events, socket, kept := s.stream("/events", victim), s.socket(victim, ""), s.stream("/events", other)
	slow := s.stream("/flood", victim) // of which nothing is read
	if n := s.gateway.Stats().Streams; n != 4 {
		t.Errorf("%d streams", n)
	}
	s.issuer.revoke(revocation.GrantHandle, "gid-1")
	isCut(t, "events", events.Body)
	isCut(t, "a socket", socket)
	eventually(t, "that of which nothing is read, too", func() bool { return s.gateway.Stats().Streams == 1 })
	_ = slow.Body.Close()
	wants(t, "anew", s.do("GET", "/events", bearer(victim), nil), http.StatusUnauthorized, "resource-token-revoked")
	again := s.stream("/events", other)
	s.gateway.EndStreams()
	isCut(t, "all", kept.Body)
	isCut(t, "all", again.Body)
}

// TestStreamsEndWithTheirTokensTime, and those without a token do not.
func TestStreamsEndWithTheirTokensTime(t *testing.T) {
	s := newStage(t, streaming(false))
	public, long := s.stream("/open/events", ""), s.stream("/events", s.issuer.token(t, nil))
	short := s.stream("/events", s.issuer.token(t, claims{"exp": time.Now().Add(2 * time.Second).Unix()}))
	isCut(t, "events", short.Body)
	if n := s.gateway.Stats().Streams; n != 2 {
		t.Errorf("%d streams are open, want those with a longer token and without one", n)
	}
	_, _ = public.Body.Close(), long.Body.Close()
	eventually(t, "nothing is left", func() bool { return s.gateway.Stats().Streams == 0 })
}

// TestStreamsOfOpaqueTokens end when their issuer says so.
func TestStreamsOfOpaqueTokens(t *testing.T) {
	s := newStage(t, streaming(false))
	s.issuer.mu.Lock()
	s.issuer.active["gha_1"] = fmt.Sprintf(`{"active":true,"iss":%q,"aud":%q,"client_id":"web","sub":"alice","exp":%d}`, s.issuer.URL, audience, time.Now().Add(2*time.Second).Unix())
	s.issuer.mu.Unlock()
	isCut(t, "events", s.stream("/events", "gha_1").Body)
}

// socket opens a WebSocket, as far as HTTP is concerned.
func (s *stage) socket(raw, origin string) net.Conn {
	s.Helper()
	connection, status := s.upgrade("/socket", raw, origin, "websocket")
	if status != http.StatusSwitchingProtocols {
		s.Fatalf("status %d", status)
	}
	return connection
}

func (s *stage) upgrade(path, raw, origin, protocol string) (net.Conn, int) {
	s.Helper()
	at := strings.TrimPrefix(s.front.URL, "http://")
	connection, err := net.Dial("tcp", at)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = connection.Close() })
	text := "GET " + path + " HTTP/1.1\r\nHost: " + at + "\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n"
	if raw != "" {
		text += "Authorization: Bearer " + raw + "\r\n"
	}
	if origin != "" {
		text += "Origin: " + origin + "\r\n"
	}
	if _, err := io.WriteString(connection, text+"\r\n"); err != nil {
		s.Fatal(err)
	}
	buffered := bufio.NewReader(connection)
	response, err := http.ReadResponse(buffered, nil)
	if err != nil {
		s.Fatal(err)
	}
	return buffer{connection, buffered}, response.StatusCode
}

// buffer is a connection of which something may have been read.
type buffer struct {
	net.Conn
	r *bufio.Reader
}

func (b buffer) Read(p []byte) (int, error) { return b.r.Read(p) }

func TestWebSockets(t *testing.T) {
	s := newStage(t, streaming(false))
	raw := s.issuer.token(t, nil)
	for _, origin := range []string{"", s.front.URL, "https://app.example"} {
		socket := s.socket(raw, origin)
		_, _ = io.WriteString(socket, "hello\n")
		if line, err := bufio.NewReader(socket).ReadString('\n'); err != nil || line != "echo hello\n" {
			t.Errorf("%q: %q, %v", origin, line, err)
		}
		_ = socket.Close()
	}
	for _, test := range []struct {
		about, path, raw, origin string
		want                     int
	}{
		{"no token", "/socket", "", "", 401},
		{"a page elsewhere", "/socket", raw, "https://evil.example", 403},
		{"a page of this host, by another scheme", "/socket", raw, strings.Replace(s.front.URL, "http:", "https:", 1), 403},
		{"a page of no origin", "/socket", raw, "null", 403},
		{"a route that is no stream", "/any/socket", raw, "", 400},
	} {
		if _, got := s.upgrade(test.path, test.raw, test.origin, "websocket"); got != test.want {
			t.Errorf("%s: %d, want %d", test.about, got, test.want)
		}
	}
	// Other protocols are not changed to: the request is answered as it is.
	if _, got := s.upgrade("/any/x", raw, "", "h2c"); got != http.StatusOK || s.echo.last(t).Header.Get("Upgrade") != "" {
		t.Errorf("h2c: %d, %v", got, s.echo.last(t).Header)
	}
}

// TestHTTP2AndGRPC: over TLS and HTTP/2 to the gateway, over h2c to the upstream, in both
// directions at once, with trailers; and cut when the token ends.
func TestHTTP2AndGRPC(t *testing.T) {
	s := newStage(t, streaming(true))
	front := httptest.NewUnstartedServer(s.gateway)
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	raw := s.issuer.token(t, nil)
	eventually(t, "the feed is heard", func() bool { return s.do("GET", "/photos/1", bearer(raw), nil).StatusCode == 200 })
	call := func() (*io.PipeWriter, *http.Response) {
		t.Helper()
		body, writer := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "POST", front.URL+"/grpc", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = with(bearer(raw), "Te", "trailers", "Content-Type", "application/grpc")
		response, err := front.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusOK || response.Proto != "HTTP/2.0" {
			t.Fatalf("%d %s", response.StatusCode, response.Proto)
		}
		return writer, response
	}
	writer, response := call()
	lines := bufio.NewReader(response.Body)
	for i := range 3 {
		fmt.Fprintf(writer, "message %d\n", i)
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("HTTP/2.0 te=trailers echo message %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
	}
	_ = writer.Close()
	if _, err := io.Copy(io.Discard, lines); err != nil || response.Trailer.Get("Grpc-Status") != "0" || response.Trailer.Get("Grpc-Message") != "done" {
		t.Errorf("trailers %v, %v", response.Trailer, err)
	}
	_ = response.Body.Close()
	writer, response = call()
	defer writer.Close()
	s.issuer.revoke(revocation.GrantHandle, "gid-1")
	isCut(t, "a call", response.Body)
	if response.Trailer.Get("Grpc-Status") != "" {
		t.Error("a call that was cut ends well")
	}
}

func TestTimeouts(t *testing.T) {
	s := newStage(t, streaming(false))
	wants(t, "an upstream that does not answer", s.do("GET", "/hang", nil, nil), http.StatusGatewayTimeout, "gateway-upstream-timeout")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", s.front.URL+"/open/hang", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultTransport.RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stream has a time limit: %v", err)
	}
	eventually(t, "the stream of who went away is closed", func() bool { return s.gateway.Stats().Streams == 0 })
	s.lets("a request in time")
}

// TestPolicyFollowsTheHost and not the handshake: a request for another host than the
// connection was made for is refused.
func TestPolicyFollowsTheHost(t *testing.T) {
	spec.Covers(t, "PX-15")
	s := newStage(t, func(_ *stage, c *gateway.Config) {
		c.Routes = append(c.Routes, gateway.Route{Name: "of-a-host", Match: gateway.Match{Hosts: []string{"public.example"}, Path: "/{rest...}"}, Public: true, Upstream: "echo"})
	})
	front := httptest.NewUnstartedServer(s.gateway)
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	at, err := url.Parse(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"http/1.1", "h2"} {
		get := func(serverName, host, path string) int {
			t.Helper()
			transport := &http.Transport{
				TLSClientConfig:   &tls.Config{ServerName: serverName, InsecureSkipVerify: true, NextProtos: []string{version}},
				ForceAttemptHTTP2: version == "h2",
			}
			defer transport.CloseIdleConnections()
			r, err := http.NewRequest("GET", front.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			response, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			return response.StatusCode
		}
		for _, test := range []struct {
			serverName, host, path string
			want                   int
		}{
			{"public.example", "public.example", "/photos/1", 200},
			{"PUBLIC.example", "public.EXAMPLE:" + at.Port(), "/photos/1", 200},
			{"public.example", "photos.example", "/photos/1", 421},
			{"photos.example", "public.example", "/photos/1", 421},
			{"photos.example", "photos.example", "/photos/1", 401},
			{"", "photos.example", "/photos/1", 401},
		} {
			if got := get(test.serverName, test.host, test.path); got != test.want {
				t.Errorf("%s: the handshake names %q, the request %q: %d, want %d", version, test.serverName, test.host, got, test.want)
			}
		}
	}
}

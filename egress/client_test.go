package egress_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/egress"
	"gatehouse/internal/spec"
)

// canary is a server at a loopback address that counts who reaches it.
type canary struct {
	*httptest.Server
	visits atomic.Int32
}

func newCanary(t *testing.T, handler http.HandlerFunc) *canary {
	t.Helper()
	c := &canary{}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.visits.Add(1)
		handler(w, r)
	}))
	c.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that end on purpose
	c.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.visits.Add(1)
		}
	}
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *canary) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.Certificate())
	return pool
}

func (c *canary) port() string {
	_, port, _ := net.SplitHostPort(c.Listener.Addr().String())
	return port
}

func client(t *testing.T, config egress.Config) *egress.Client {
	t.Helper()
	c, err := egress.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HTTP().CloseIdleConnections)
	return c
}

func hello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "max-age=60")
	_, _ = io.WriteString(w, "hello")
}

// SS-02: a key set at a loopback, private or metadata address is refused when it is registered and
// again when it is fetched.
func TestSS02SpecialUseAddressesAreNeverReached(t *testing.T) {
	spec.Covers(t, "SS-02")
	c := newCanary(t, hello)
	guarded := client(t, egress.Config{RootCAs: c.roots()})
	port := c.port()
	for _, target := range []string{
		"https://127.0.0.1:" + port, "https://127.0.0.2:" + port, "https://[::ffff:127.0.0.1]:" + port, "https://[::ffff:7f00:1]:" + port,
		"https://0.0.0.0:" + port, "https://[::]:" + port, "https://[::1]:" + port, "https://10.0.0.1/jwks", "https://192.168.1.1",
		"https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/", "https://100.100.100.200/", "https://[64:ff9b::7f00:1]:" + port, "https://[2002:7f00:1::]:" + port,
	} {
		if err := guarded.CheckURL(target); !errors.Is(err, egress.ErrAddress) {
			t.Errorf("%s at registration: %v", target, err)
		}
		if _, _, err := guarded.Get(t.Context(), target); !errors.Is(err, egress.ErrAddress) {
			t.Errorf("%s when fetched: %v", target, err)
		}
		if response, err := guarded.HTTP().Get(target); !errors.Is(err, egress.ErrAddress) {
			t.Errorf("%s through HTTP(): %v, %v", target, response, err)
		}
	}
	// Names show what they are only when they are dialled; spellings that some resolvers take for
	// addresses are names too.
	for _, name := range []string{"localhost", "LOCALHOST"} {
		target := "https://" + name + ":" + port
		if err := guarded.CheckURL(target); err != nil {
			t.Errorf("%s at registration: %v", target, err)
		}
		if _, _, err := guarded.Get(t.Context(), target); !errors.Is(err, egress.ErrAddress) {
			t.Errorf("%s when fetched: %v", target, err)
		}
	}
	for _, name := range []string{"localhost.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1."} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, _, err := guarded.Get(ctx, "https://"+name+":"+port); err == nil {
			t.Errorf("%s was fetched", name)
		}
		cancel()
	}
	if visits := c.visits.Load(); visits != 0 {
		t.Errorf("the canary was reached %d times", visits)
	}

	for _, allowed := range []string{"127.0.0.1", "127.0.0.1:" + port, "127.0.0.0/8"} {
		body, header, err := client(t, egress.Config{RootCAs: c.roots(), Allow: []string{allowed}}).Get(t.Context(), c.URL)
		if err != nil || string(body) != "hello" || header.Get("Cache-Control") != "max-age=60" {
			t.Errorf("allowed by %s: %q, %v, %v", allowed, body, header, err)
		}
	}
	if _, _, err := client(t, egress.Config{RootCAs: c.roots(), Allow: []string{"127.0.0.1:1"}}).Get(t.Context(), c.URL); !errors.Is(err, egress.ErrAddress) {
		t.Errorf("another port is allowed: %v", err)
	}
	if visits := c.visits.Load(); visits == 0 {
		t.Error("the canary does not count")
	}
}

// A name on the allow-list may have any address; the certificate is still checked against the name.
func TestAllowedNames(t *testing.T) {
	c := newCanary(t, hello)
	target := "https://localhost:" + c.port()
	allowed := client(t, egress.Config{RootCAs: c.roots(), Allow: []string{"localhost:" + c.port()}})
	_, _, err := allowed.Get(t.Context(), target)
	var hostname x509.HostnameError
	if !errors.As(err, &hostname) {
		t.Errorf("a certificate of another name: %v", err)
	}
	if c.visits.Load() == 0 {
		t.Error("the allowed name was not dialled")
	}
	if _, _, err := client(t, egress.Config{Allow: []string{"127.0.0.1"}}).Get(t.Context(), c.URL); err == nil {
		t.Error("a certificate of an unknown authority was accepted")
	}
}

func TestPlainHTTPNeedsTheAllowList(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(hello))
	t.Cleanup(server.Close)
	if _, _, err := client(t, egress.Config{}).Get(t.Context(), server.URL); !errors.Is(err, egress.ErrURL) {
		t.Errorf("%v", err)
	}
	if err := client(t, egress.Config{}).CheckURL("http://example.com/"); !errors.Is(err, egress.ErrURL) {
		t.Errorf("%v", err)
	}
	if body, _, err := client(t, egress.Config{Allow: []string{"127.0.0.1"}}).Get(t.Context(), server.URL); err != nil || string(body) != "hello" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestURLsThatAreNotFetched(t *testing.T) {
	guarded := client(t, egress.Config{})
	for _, target := range []string{
		"", "https://", "https:///path", "//example.com", "example.com", "ftp://example.com", "file:///etc/passwd", "https:example.com", "gopher://example.com", "HTTP://example.com",
		"https://user@example.com", "https://user:secret@example.com", "https://@example.com", "https://example.com#fragment", "https://example.com/#",
		"https://example.com:/", "https://exa mple.com", "https://example.com\\@evil", "https://example.com/\n", "https://ex\u00e4mple.com", "https://[fe80::1%25eth0]/",
		"https://example.com:port", "https://" + strings.Repeat("a", 3000), "data:text/plain,x", "javascript:alert(1)",
	} {
		if err := guarded.CheckURL(target); !errors.Is(err, egress.ErrURL) {
			t.Errorf("%q: %v", target, err)
		}
		if _, _, err := guarded.Get(t.Context(), target); !errors.Is(err, egress.ErrURL) {
			t.Errorf("Get %q: %v", target, err)
		}
		if err := guarded.CheckURL(target); err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	for _, target := range []string{"https://example.com", "HTTPS://EXAMPLE.com:8443/a/b?c=d%20e", "https://8.8.8.8/", "https://[2606:4700::1111]:444/x"} {
		if err := guarded.CheckURL(target); err != nil {
			t.Errorf("%q: %v", target, err)
		}
	}
	if _, err := guarded.HTTP().Get("https://user@example.com/"); !errors.Is(err, egress.ErrURL) {
		t.Errorf("through HTTP(): %v", err)
	}
}

// SS-06, SS-10: a redirect is not followed, wherever it leads and however many there are, and nothing
// travels on with it.
func TestSS06RedirectsAreNotFollowed(t *testing.T) {
	spec.Covers(t, "SS-06")
	inner := newCanary(t, hello)
	for _, status := range []int{301, 302, 303, 307, 308} {
		outer := newCanary(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/self" {
				http.Redirect(w, r, "/self", status)
				return
			}
			http.Redirect(w, r, inner.URL, status)
		})
		roots := outer.roots()
		roots.AddCert(inner.Certificate())
		allowed := client(t, egress.Config{RootCAs: roots, Allow: []string{"127.0.0.1"}})
		for _, path := range []string{"/", "/self"} {
			if _, _, err := allowed.Get(t.Context(), outer.URL+path); !errors.Is(err, egress.ErrRedirect) {
				t.Errorf("%d at %s: %v", status, path, err)
			}
			response, err := allowed.HTTP().Get(outer.URL + path)
			if err != nil || response.StatusCode != status {
				t.Fatalf("%d at %s through HTTP(): %v", status, path, err)
			}
			_ = response.Body.Close()
		}
		if visits := outer.visits.Load(); visits > 8 { // four requests and their connections
			t.Errorf("%d: %d visits", status, visits)
		}
	}
	if visits := inner.visits.Load(); visits != 0 {
		t.Errorf("a redirect was followed %d times", visits)
	}
}

// SS-09: bodies and headers without end, slow ones, and compressed ones cost at most what is written.
func TestSS09AnswersAreBounded(t *testing.T) {
	spec.Covers(t, "SS-09")
	const limit, patience = 1000, 300 * time.Millisecond
	var bomb bytes.Buffer
	zipper := gzip.NewWriter(&bomb)
	_, _ = zipper.Write(make([]byte, 100*limit))
	_ = zipper.Close()

	c := newCanary(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("Accept-Encoding: %s", got)
		}
		switch r.URL.Path {
		case "/exact":
			_, _ = w.Write(make([]byte, limit))
		case "/exact-chunked":
			_, _ = w.Write(make([]byte, limit/2))
			w.(http.Flusher).Flush()
			_, _ = w.Write(make([]byte, limit/2))
		case "/announced":
			w.Header().Set("Content-Length", strconv.Itoa(limit+1))
			_, _ = w.Write(make([]byte, limit+1))
		case "/endless":
			for {
				if _, err := w.Write(make([]byte, limit)); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		case "/drip":
			for {
				if _, err := w.Write([]byte("x")); err != nil || r.Context().Err() != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(patience / 10)
			}
		case "/silent":
			<-r.Context().Done()
		case "/headers":
			for i := range 1000 {
				w.Header().Set("X-"+strconv.Itoa(i), strings.Repeat("x", 100))
			}
		}
	})
	allowed := client(t, egress.Config{RootCAs: c.roots(), Allow: []string{"127.0.0.1"}, MaxBytes: limit})
	hasty := client(t, egress.Config{RootCAs: c.roots(), Allow: []string{"127.0.0.1"}, MaxBytes: limit, Timeout: patience})

	for _, path := range []string{"/exact", "/exact-chunked"} {
		if body, _, err := allowed.Get(t.Context(), c.URL+path); err != nil || len(body) != limit {
			t.Errorf("%s: %d bytes, %v", path, len(body), err)
		}
	}
	if body, header, err := allowed.Get(t.Context(), c.URL+"/bomb"); err != nil || !bytes.Equal(body, bomb.Bytes()) || header.Get("Content-Encoding") != "gzip" {
		t.Errorf("/bomb: %d bytes, %v; it must not be unpacked", len(body), err)
	}
	tooLarge := func(err error) bool { return errors.Is(err, egress.ErrTooLarge) }
	for _, test := range []struct {
		path   string
		client *egress.Client
		want   func(error) bool
	}{
		{"/announced", allowed, tooLarge},
		{"/endless", allowed, tooLarge},
		{"/headers", allowed, func(err error) bool { return err != nil && !isTimeout(err) }},
		{"/drip", hasty, isTimeout},
		{"/silent", hasty, isTimeout},
	} {
		start := time.Now()
		if body, _, err := test.client.Get(t.Context(), c.URL+test.path); !test.want(err) {
			t.Errorf("%s: %d bytes, %v", test.path, len(body), err)
		}
		if took := time.Since(start); took > egress.DefaultTimeout {
			t.Errorf("%s took %v", test.path, took)
		}
		response, err := test.client.HTTP().Get(c.URL + test.path)
		if err == nil {
			_, err = io.ReadAll(response.Body)
			_ = response.Body.Close()
		}
		if !test.want(err) {
			t.Errorf("%s through HTTP(): %v", test.path, err)
		}
	}
}

// Headers that never end come from a server that is not net/http.
func TestSS09EndlessHeaders(t *testing.T) {
	spec.Covers(t, "SS-09")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	finished := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-finished })
	go func() {
		defer close(finished)
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = connection.Close() }()
		_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\n")
		for err == nil {
			_, err = io.WriteString(connection, "X: "+strings.Repeat("x", 1000)+"\r\n")
		}
	}()
	allowed := client(t, egress.Config{Allow: []string{"127.0.0.1"}, Timeout: 2 * time.Second})
	if _, _, err := allowed.Get(t.Context(), "http://"+listener.Addr().String()); err == nil || isTimeout(err) {
		t.Errorf("%v; the size should end it before the time does", err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func TestStatusAndContext(t *testing.T) {
	c := newCanary(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/204" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.NotFound(w, r)
	})
	allowed := client(t, egress.Config{RootCAs: c.roots(), Allow: []string{"127.0.0.1"}})
	for path, want := range map[string]int{"/204": 204, "/404": 404} {
		var status *egress.StatusError
		if _, _, err := allowed.Get(t.Context(), c.URL+path); !errors.As(err, &status) || status.Status != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := allowed.Get(ctx, c.URL); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestNoProxyNoCookies(t *testing.T) {
	spec.Covers(t, "SS-10")
	proxy := newCanary(t, hello)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	var cookies atomic.Int32
	c := newCanary(t, func(w http.ResponseWriter, r *http.Request) {
		cookies.Add(int32(len(r.Cookies())))
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		hello(w, r)
	})
	allowed := client(t, egress.Config{RootCAs: c.roots(), Allow: []string{"127.0.0.1"}})
	for range 2 {
		if _, _, err := allowed.Get(t.Context(), c.URL); err != nil {
			t.Fatal(err)
		}
	}
	if cookies.Load() != 0 {
		t.Error("a cookie came back")
	}
	// Go never sends loopback requests to a proxy, so a public name shows whether one is asked.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, _, _ = allowed.Get(ctx, "https://name.invalid/")
	if proxy.visits.Load() != 0 {
		t.Error("the environment's proxy was asked")
	}
}

func TestNewClientRefusesABadAllowList(t *testing.T) {
	if _, err := egress.NewClient(egress.Config{Allow: []string{"https://a.example"}}); err == nil || !strings.Contains(err.Error(), "https://a.example") {
		t.Errorf("%v", err)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{"https://example.com/", "https://[::ffff:127.0.0.1]:1/", "http://a", "https://a:b@c#d", "https://127.0.0.1\\@x"} {
		f.Add(seed)
	}
	guarded, err := egress.NewClient(egress.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if guarded.CheckURL(target) != nil {
			return
		}
		parsed, err := url.Parse(target)
		if err != nil || parsed.Scheme != "https" || parsed.User != nil || parsed.Fragment != "" || parsed.Hostname() == "" {
			t.Errorf("%q passed", target)
		}
		if address := net.ParseIP(parsed.Hostname()); address != nil && (address.IsLoopback() || address.IsPrivate() || address.IsUnspecified()) {
			t.Errorf("%q passed", target)
		}
	})
}

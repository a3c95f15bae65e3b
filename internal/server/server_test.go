package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/secrecy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const webSecret = "web-secret-that-is-long-enough-to-be-random"

const tenantFile = `
clients:
  - client_id: web
    client_secret: ` + webSecret + `
    redirect_uris: [https://app.example/cb]
    grant_types: [authorization_code, client_credentials]
    scope: openid
`

// record is a log that a test reads.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *record) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// kept is a data directory that was started once: keys are slow to make.
var kept struct {
	sync.Mutex
	files map[string][]byte
}

// dataDirectory returns a directory with keys and the tenant of these tests.
// Its path is short: that of a Unix socket is bounded.
func dataDirectory(t *testing.T) string {
	t.Helper()
	directory := shortDirectory(t)
	kept.Lock()
	defer kept.Unlock()
	if kept.files == nil {
		first := shortDirectory(t)
		file := filepath.Join(first, "tenant.yaml")
		write(t, file, tenantFile)
		s := open(t, Config{PublicURL: "http://127.0.0.1:8080", Data: first, Apply: file}, slog.New(slog.DiscardHandler))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		kept.files = map[string][]byte{}
		for _, name := range []string{databaseFile, keyFile} {
			content, err := os.ReadFile(filepath.Join(first, name))
			if err != nil {
				t.Fatal(err)
			}
			kept.files[name] = content
		}
	}
	for name, content := range kept.files {
		write(t, filepath.Join(directory, name), string(content))
	}
	return directory
}

func shortDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return directory
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, c Config, log *slog.Logger) *Server {
	t.Helper()
	c.PasswordHashing = PasswordHashing{MemoryMiB: 19, Passes: 1, Slots: 1}
	s, err := Open(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// running is a server on a real listener.
type running struct {
	*Server
	log     *record
	address string
	scheme  string
	client  *http.Client
	stop    func() error // ends Serve and returns what it did
	stopped chan struct{}
}

// run starts a server whose configuration and limits are changed first.
func run(t *testing.T, changes ...func(*Server)) *running {
	t.Helper()
	r := &running{log: &record{}, scheme: "http", stopped: make(chan struct{})}
	r.Server = open(t, Config{PublicURL: "http://127.0.0.1:8080", Data: dataDirectory(t)}, r.log.logger())
	for _, change := range changes {
		change(r.Server)
	}
	r.listen(t)
	return r
}

// listen serves until the test ends or stop is called.
func (r *running) listen(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var served error
	go func() {
		defer close(r.stopped)
		served = r.Serve(ctx, listener)
	}()
	r.stop = func() error {
		cancel()
		<-r.stopped
		return served
	}
	r.client = r.newClient(t, nil)
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("serving ended with %v", err)
		}
		var secrets secrecy.Ledger
		secrets.Add(secrecy.ClientSecret, webSecret)
		secrets.Search("the log", []byte(r.log.String()))
		secrets.Report(t)
	})
}

func (r *running) newClient(t *testing.T, trust *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (r *running) url(path string) string { return r.scheme + "://" + r.address + path }

// ask sends a GET and returns the answer with its body.
func (r *running) ask(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	response, err := r.client.Get(r.url(path))
	if err != nil {
		t.Fatal(err)
	}
	return response, body(t, response)
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// dial opens a bare connection.
func (r *running) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// eventually fails the test unless the condition holds within seconds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestServeAnswersAndLeavesNothingBehind(t *testing.T) {
	begin := time.Now()
	r := run(t)
	response, text := r.ask(t, "/.well-known/openid-configuration")
	if response.StatusCode != http.StatusOK || !strings.Contains(text, `"issuer":"http://127.0.0.1:8080"`) {
		t.Errorf("%d %s", response.StatusCode, text)
	}
	t.Logf("from a furnished directory to the first answer: %v", time.Since(begin))
	if got := response.Header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("HSTS over http: %s", got)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", r.address); err == nil {
		t.Error("still listening")
	}
	if _, err := os.Stat(ControlSocket(r.config.Data)); err == nil {
		t.Error("the control socket was left behind")
	}
}

func TestTheHostHeaderDecidesNothing(t *testing.T) {
	r := run(t)
	request, err := http.NewRequest(http.MethodGet, r.url("/.well-known/openid-configuration"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "evil.example"
	request.Header.Set("X-Forwarded-Host", "evil.example")
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if text := body(t, response); response.StatusCode != http.StatusOK || strings.Contains(text, "evil") {
		t.Errorf("%d %s", response.StatusCode, text)
	}
}

func TestHealth(t *testing.T) {
	r := run(t)
	for _, path := range []string{"/livez", "/readyz"} {
		if response, text := r.ask(t, path); response.StatusCode != http.StatusOK || !strings.Contains(text, `"status"`) {
			t.Errorf("%s: %d %s", path, response.StatusCode, text)
		}
	}
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the snapshot is too old to serve", func() bool {
		response, _ := r.ask(t, "/authorize")
		return response.StatusCode == http.StatusServiceUnavailable
	})
	response, text := r.ask(t, "/readyz")
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "1" || !strings.Contains(text, "not-ready") {
		t.Errorf("%d, Retry-After %q, %s", response.StatusCode, response.Header.Get("Retry-After"), text)
	}
	if response, text := r.ask(t, "/livez"); response.StatusCode != http.StatusOK {
		t.Errorf("the process lives, but: %d %s", response.StatusCode, text)
	}
}

func TestSweepRuns(t *testing.T) {
	r := run(t, func(s *Server) { s.limits.sweep = 10 * time.Millisecond })
	events := func() int {
		found, err := r.store.Events(t.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{})
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if events() == 0 {
		t.Error("the directory was furnished without an event")
	}
	brief := gatehouse.Settings{EventRetention: config.Duration(time.Millisecond)}
	if err := r.store.PutSettings(t.Context(), gatehouse.DefaultTenant, brief, gatehouse.Event{Kind: gatehouse.EventSettingsChanged}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "old events are swept away", func() bool { return events() == 0 })
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a failing sweep is logged", func() bool { return strings.Contains(r.log.String(), "expired rows could not be removed") })
}

func TestAccessLog(t *testing.T) {
	r := run(t, func(s *Server) { s.config.Log.Access = true })
	r.ask(t, "/authorize?client_id=in-the-query&state=in-the-query")
	r.ask(t, "/%0d%0ainjected")
	response, err := r.client.PostForm(r.url("/token"), url.Values{"client_secret": {"in-the-body"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = body(t, response)
	var lines []string
	eventually(t, "three lines", func() bool {
		lines = nil
		for line := range strings.Lines(r.log.String()) {
			if strings.Contains(line, "msg=request ") {
				lines = append(lines, line)
			}
		}
		return len(lines) == 3
	})
	for i, parts := range [][]string{
		{"method=GET", "path=/authorize ", "status=400", "address=127.0.0.1", "took=", "request="},
		{"method=GET", `path="/\r\ninjected"`, "status=404"},
		{"method=POST", "path=/token ", "status=401", "request=" + response.Header.Get("X-Request-Id")},
	} {
		for _, part := range parts {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d lacks %s: %s", i, part, lines[i])
			}
		}
		if strings.Contains(lines[i], "in-the-") {
			t.Errorf("line %d tells the query or the body: %s", i, lines[i])
		}
	}
	quiet := run(t)
	quiet.ask(t, "/livez")
	if strings.Contains(quiet.log.String(), "msg=request ") {
		t.Error("there is an access log that nobody asked for")
	}
}

func TestLogLevelsAndFormats(t *testing.T) {
	for _, c := range []struct {
		log  Log
		want []string
	}{
		{Log{}, []string{`"msg":"info"`, `"msg":"warn"`, `"msg":"error"`}},
		{Log{Level: "debug", Format: "text"}, []string{"msg=debug", "msg=info", "msg=warn", "msg=error"}},
		{Log{Level: "warn", Format: "json"}, []string{`"msg":"warn"`, `"msg":"error"`}},
		{Log{Level: "error", Format: "text"}, []string{"msg=error"}},
	} {
		var out bytes.Buffer
		log := c.log.Logger(&out)
		log.Debug("debug")
		log.Info("info")
		log.Warn("warn")
		log.Error("error")
		if strings.Count(out.String(), "\n") != len(c.want) {
			t.Errorf("%+v wrote\n%s", c.log, &out)
		}
		for _, part := range c.want {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%+v lacks %s:\n%s", c.log, part, &out)
			}
		}
	}
}

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Bounds of the harness itself.
const (
	readyWithin = 20 * time.Second // from start to the line of --json, under load
	stopsWithin = 10 * time.Second
	nodeWithin  = 8 * time.Minute // of a busy machine; half a minute of a quiet one
)

// builtBinary holds the path of the gatehouse binary that TestMain built.
var builtBinary string

func TestMain(m *testing.M) {
	status, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		status = 1
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) (status int, err error) {
	dir, err := os.MkdirTemp("", "gatehouse-interop-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	builtBinary = filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-o", builtBinary, "gatehouse/cmd/gatehouse")
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building cmd/gatehouse: %w\n%s", err, output)
	}
	return m.Run(), nil
}

// devLine is the line that `gatehouse dev --json` prints.
type devLine struct {
	Issuer     string      `json:"issuer"`
	Playground string      `json:"playground"`
	API        string      `json:"api"`
	BFF        string      `json:"bff"`
	Gateway    string      `json:"gateway"`
	Users      []devUser   `json:"users"`
	Clients    []devClient `json:"clients"`
}

type devUser struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Sub      string `json:"sub"`
}

type devClient struct {
	ClientID                string   `json:"client_id"`
	ClientSecret            string   `json:"client_secret,omitempty"`
	RedirectURIs            []string `json:"redirect_uris"`
	GrantTypes              []string `json:"grant_types"`
	Scope                   string   `json:"scope"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method"`
}

// stage is a running gatehouse and what its clients need to know.
type stage struct {
	Dev      devLine
	Callback string // origin of the clients' callback, a free port of 127.0.0.1
	Express  string // origin of the application made with express, another free port
	Apache   string // origin of Apache, which stands before an https server
	// authority is the file of the certificate that an https server shows.
	authority string
	command   *exec.Cmd
	log       *lockedBuffer
	ended     chan struct{} // closed when the process has ended, with outcome
	outcome   error
	stopped   bool
}

// start runs `gatehouse dev --json` until the test ends.
func start(t *testing.T) *stage {
	t.Helper()
	s := &stage{Callback: "http://" + freeAddress(t), Express: "http://" + freeAddress(t)}
	tenant := filepath.Join(t.TempDir(), "tenant.yaml")
	s.fill(t, "tenant.yaml", tenant)
	began := time.Now()
	s.readLine(t, s.run(t, "dev", "--json", "--port", "0", "--data", t.TempDir(), "--apply", tenant))
	t.Logf("ready after %v: %s", time.Since(began).Round(time.Millisecond), s.Dev.Issuer)
	return s
}

// readLine waits for the line by which `gatehouse dev --json` says that it is ready.
func (s *stage) readLine(t *testing.T, stdout io.Reader) {
	t.Helper()
	line := make(chan error, 1)
	go func() {
		line <- json.NewDecoder(stdout).Decode(&s.Dev)
		_, _ = io.Copy(io.Discard, stdout)
	}()
	select {
	case err := <-line:
		if err != nil {
			t.Fatalf("gatehouse dev --json printed no line: %v\n%s", err, s.log)
		}
	case <-time.After(readyWithin):
		t.Fatalf("gatehouse dev was not ready after %v\n%s", readyWithin, s.log)
	}
}

// run starts the binary, without the settings of whoever runs the tests, and
// has it stopped at the test's end.
func (s *stage) run(t *testing.T, arguments ...string) (stdout io.Reader) {
	t.Helper()
	s.log, s.ended = &lockedBuffer{}, make(chan struct{})
	s.command = exec.Command(builtBinary, arguments...)
	s.command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "GATEHOUSE_") })
	reader, writer := io.Pipe()
	s.command.Stdout, s.command.Stderr = writer, s.log
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.outcome = s.command.Wait()
		_ = writer.Close()
		close(s.ended)
	}()
	t.Cleanup(func() { s.stop(t) })
	return reader
}

// stop ends the server as Ctrl-C does and checks that it went in good order.
func (s *stage) stop(t *testing.T) {
	t.Helper()
	if s.stopped {
		return
	}
	s.stopped = true
	select {
	case <-s.ended:
		t.Errorf("gatehouse ended before it was told to: %v\n%s", s.outcome, s.log)
		return
	default:
	}
	if err := s.command.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	timer := time.AfterFunc(stopsWithin, func() { _ = s.command.Process.Kill() })
	defer timer.Stop()
	<-s.ended
	if s.outcome != nil {
		t.Errorf("gatehouse ended with %v\n%s", s.outcome, s.log)
	}
}

// client returns the ready client for which the condition holds.
func (s *stage) client(t *testing.T, kind string, wanted func(devClient) bool) devClient {
	t.Helper()
	for _, c := range s.Dev.Clients {
		if wanted(c) {
			return c
		}
	}
	t.Fatalf("gatehouse dev offers no %s client", kind)
	return devClient{}
}

// fill writes a file of testdata with the callback's addresses, and further
// pairs of placeholder and text.
func (s *stage) fill(t *testing.T, name, path string, more ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	named := strings.Replace(s.Callback, "127.0.0.1", "localhost", 1)
	pairs := append([]string{"CALLBACK_NAMED", named, "CALLBACK/", s.Callback + "/", "EXPRESS/", s.Express + "/", "APACHE/", s.Apache + "/"}, more...)
	if err := os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// freeAddress returns a port of 127.0.0.1 on which nothing listens just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// node runs a program of node/ and returns the lines it printed.
func (s *stage) node(t *testing.T, program string, more map[string]string) []string {
	t.Helper()
	environment := s.told(t, more)
	ctx, cancel := context.WithTimeout(t.Context(), nodeWithin)
	defer cancel()
	command := exec.CommandContext(ctx, nodePath(t), program)
	command.Dir = "node"
	command.Env = append(os.Environ(), environment)
	if s.authority != "" {
		command.Env = append(command.Env, "NODE_EXTRA_CA_CERTS="+s.authority)
	}
	// The program closes its browser on SIGTERM; killed, it could not.
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopsWithin
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Errorf("node %s: %v\n%s", program, err, stderr.String())
	} else if stderr.Len() > 0 {
		t.Logf("node %s:\n%s", program, stderr.String())
	}
	return strings.Split(strings.TrimSpace(stdout.String()), "\n")
}

// told returns the variable that tells a program about the server, and more.
func (s *stage) told(t *testing.T, more map[string]string) string {
	t.Helper()
	all := map[string]any{"dev": s.Dev, "callback": s.Callback, "express": s.Express}
	for name, value := range more {
		all[name] = value
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return "GATEHOUSE_INTEROP=" + string(text)
}

func nodePath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, "Node.js 20 or newer is not installed: apt-get install nodejs npm")
	}
	if _, err := os.Stat(filepath.Join("node", "node_modules", ".package-lock.json")); err != nil {
		missing(t, "the npm packages are not installed: (cd interop/node && npm ci)")
	}
	return path
}

func chromiumPath(t *testing.T) string {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	if path == "" {
		path = "/usr/bin/chromium"
	}
	if _, err := exec.LookPath(path); err != nil {
		missing(t, "Chromium is not at "+path+": apt-get install chromium, or set CHROMIUM to its path")
	}
	return path
}

// missing skips the test for want of something on the machine, or fails it
// where GATEHOUSE_TEST_SERVICES=1 says that everything is there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("GATEHOUSE_TEST_SERVICES") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// plainHTTP returns a client that follows no redirect.
func plainHTTP(jar http.CookieJar) *http.Client {
	return &http.Client{
		Jar: jar, Timeout: stopsWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// lockedBuffer collects the server's log.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

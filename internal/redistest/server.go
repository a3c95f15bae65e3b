package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// servicesVariable is 1 when nothing may be skipped for lack of a service.
	servicesVariable = "GATEHOUSE_TEST_SERVICES"

	startTime = 20 * time.Second
	callTime  = 5 * time.Second

	// portAttempts is how often a server may find that another process took its port.
	portAttempts = 5
)

// Need skips the test where Redis is not installed, or fails it where no service may be missing.
func Need(t testing.TB) {
	t.Helper()
	for _, program := range []string{"redis-server", "redis-sentinel"} {
		if _, err := exec.LookPath(program); err != nil {
			const advice = "%s is not installed; scripts/test installs it (Debian: redis-server, redis-sentinel)"
			if os.Getenv(servicesVariable) == "1" {
				t.Fatalf(advice, program)
			}
			t.Skipf(advice, program)
		}
	}
}

// Server is a Redis server, or a sentinel, that a test started.
type Server struct {
	// Port is on 127.0.0.1; it stays the same when the server is started again.
	Port int
	// Dir is the server's own directory.
	Dir string
	// Password is what the test's own commands sign in with, as the default user; a test that
	// starts a server with one sets it.
	Password string

	program   string
	arguments []string
	command   *exec.Cmd
	ended     chan struct{}
}

// Start starts a server without persistence, with further arguments as on its command line, such as
// "--maxmemory-policy", "allkeys-lru".
func Start(t testing.TB, arguments ...string) *Server {
	t.Helper()
	Need(t)
	s := &Server{Dir: t.TempDir(), program: "redis-server", arguments: append([]string{"--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"}, arguments...)}
	s.begin(t)
	return s
}

// StartSentinel starts a sentinel with the lines of a configuration, which it rewrites.
func StartSentinel(t testing.TB, lines ...string) *Server {
	t.Helper()
	Need(t)
	s := &Server{Dir: t.TempDir(), program: "redis-sentinel"}
	file := filepath.Join(s.Dir, "sentinel.conf")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.arguments = []string{file}
	s.begin(t)
	return s
}

func (s *Server) begin(t testing.TB) {
	t.Helper()
	t.Cleanup(func() { s.Kill(t) })
	for range portAttempts {
		s.Port = freePort(t)
		if s.run(t) {
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
	t.Fatalf("%s does not start:\n%s", s.program, log)
}

// Addr is the server's host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Again starts a server that was killed, on its old port.
func (s *Server) Again(t testing.TB) {
	t.Helper()
	if !s.run(t) {
		t.Fatalf("%s does not start again", s.program)
	}
}

// run says whether the server came up.
func (s *Server) run(t testing.TB) bool {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	arguments := s.arguments
	if s.program == "redis-sentinel" { // its file comes first
		arguments = append(append([]string{}, arguments...), "--bind", "127.0.0.1", "--port", strconv.Itoa(s.Port))
	} else {
		arguments = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.Port), "--dir", s.Dir}, arguments...)
	}
	s.command = exec.Command(s.program, arguments...)
	s.command.Stdout, s.command.Stderr = log, log
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(command *exec.Cmd, ended chan struct{}) {
		_ = command.Wait()
		close(ended)
	}(s.command, s.ended)
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.ended:
			return false
		default:
		}
		reply, err := s.ask("PING")
		if reply == "PONG" || err != nil && strings.HasPrefix(err.Error(), "NOAUTH") {
			return true
		}
	}
	s.Kill(t)
	return false
}

// Kill ends the server at once, as a power cut does.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.command == nil {
		return
	}
	if err := s.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("killing %s: %v", s.program, err)
	}
	<-s.ended
}

// Hang stops the server in its tracks, as an overloaded machine does: connections are accepted and
// nothing is answered. Wake lets it go on.
func (s *Server) Hang(t testing.TB) { s.signal(t, "-STOP") }

// Wake ends what Hang began.
func (s *Server) Wake(t testing.TB) { s.signal(t, "-CONT") }

func (s *Server) signal(t testing.TB, name string) {
	t.Helper()
	if output, err := exec.Command("kill", name, strconv.Itoa(s.command.Process.Pid)).CombinedOutput(); err != nil {
		t.Fatalf("kill %s: %v, %s", name, err, output)
	}
}

// Do runs a command and returns its reply, a list as the texts in it divided by spaces.
func (s *Server) Do(t testing.TB, words ...string) string {
	t.Helper()
	reply, err := s.ask(words...)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	return reply
}

func (s *Server) ask(words ...string) (string, error) {
	conn, err := s.dial()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(callTime))
	replies := bufio.NewReader(conn)
	if s.Password != "" {
		if _, err := call(conn, replies, "AUTH", s.Password); err != nil {
			return "", err
		}
	}
	return call(conn, replies, words...)
}

func (s *Server) dial() (net.Conn, error) {
	for i, argument := range s.arguments { // a server that speaks TLS alone
		if argument == "--unixsocket" {
			return net.DialTimeout("unix", s.arguments[i+1], callTime)
		}
	}
	return net.DialTimeout("tcp", s.Addr(), callTime)
}

func call(w io.Writer, r *bufio.Reader, words ...string) (string, error) {
	request := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		request += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(w, request); err != nil {
		return "", err
	}
	return readReply(r)
}

func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil || len(line) < 3 {
		return "", fmt.Errorf("reading a reply: %q, %w", line, err)
	}
	kind, text := line[0], strings.TrimSpace(line[1:])
	switch kind {
	case '-':
		return "", errors.New(text)
	case '$':
		length, err := strconv.Atoi(text)
		if err != nil || length < 0 {
			return "", err
		}
		body := make([]byte, length+2)
		_, err = io.ReadFull(r, body)
		return string(body[:length]), err
	case '*':
		count, err := strconv.Atoi(text)
		var parts []string
		for range count {
			part, wrong := readReply(r)
			err = errors.Join(err, wrong)
			parts = append(parts, part)
		}
		return strings.Join(parts, " "), err
	}
	return text, nil
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// slack is by how much a machine that tests may be slower than one that serves.
	slack = 5
	// readyWithin is from a start to readiness, stopWithin from SIGTERM to the end.
	readyWithin = slack * 5 * time.Second
	stopWithin  = 30 * time.Second
	// answerWithin is when a request that found no answer is given up.
	answerWithin = 30 * time.Second
	// A caller with patience asks so often, with a pause.
	askedAgain = 50
	askPause   = 200 * time.Millisecond
)

// server is a `gatehouse serve` in a process of its own.
type server struct {
	*house
	name             string
	binary           string
	program          string // the command, "" for serve
	address, metrics string
	limited          func(*exec.Cmd) // changes how the process is started
	process          *exec.Cmd       // nil when it does not run
	ended            chan struct{}   // closed when it has
}

func (s *server) configFile() string { return filepath.Join(s.directory, s.name+".yaml") }
func (s *server) logFile() string    { return filepath.Join(s.directory, s.name+".log") }

func (s *server) log() string {
	text, _ := os.ReadFile(s.logFile())
	return string(text)
}

// configure adds a line to the configuration.
func (s *server) configure(line string) {
	s.Helper()
	text, err := os.ReadFile(s.configFile())
	if err != nil {
		s.Fatal(err)
	}
	s.write(s.name+".yaml", string(text)+line+"\n")
}

// begin starts the process, which is not ready yet.
func (s *server) begin() {
	s.Helper()
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	command := exec.Command(s.binary, cmp.Or(s.program, "serve"), "--config", s.configFile())
	command.Env, command.Stderr = environment(), log
	if s.limited != nil {
		s.limited(command)
	}
	if err := command.Start(); err != nil {
		s.Fatal(err)
	}
	ended := make(chan struct{})
	s.process, s.ended = command, ended
	go func() {
		_ = command.Wait()
		close(ended)
	}()
}

// start starts the process and waits until it is ready.
func (s *server) start() {
	s.Helper()
	s.begin()
	s.awaits("/readyz", http.StatusOK, readyWithin)
}

// awaits fails the test unless the server comes to answer a path with a status.
func (s *server) awaits(path string, status int, within time.Duration) {
	s.Helper()
	var last answer
	var err error
	for begin := time.Now(); time.Since(begin) < within; time.Sleep(10 * time.Millisecond) {
		if last, err = s.get(path); err == nil && last.status == status {
			return
		}
		select {
		case <-s.ended:
			s.Fatalf("%s has ended\n%s", s.name, s.log())
		default:
		}
	}
	s.Fatalf("after %v %s answers %s by %d %s %v, want %d\n%s", within, s.name, path, last.status, last.text, err, status, s.log())
}

// kill ends the process as it stands, if it runs.
func (s *server) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill() // SIGKILL
		<-s.ended
		s.process = nil
	}
}

// stop asks the process to end and waits for that.
func (s *server) stop() {
	s.Helper()
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		if code := s.process.ProcessState.ExitCode(); code != 0 {
			s.Errorf("%s ended with %d\n%s", s.name, code, s.log())
		}
		s.process = nil
	case <-time.After(stopWithin):
		s.Errorf("%s does not end", s.name)
		s.kill()
	}
}

// command is a command on the server's configuration.
func (s *server) command(arguments ...string) *exec.Cmd {
	command := exec.Command(s.binary, append(arguments, "--config", s.configFile())...)
	command.Env = environment()
	return command
}

// gatehouse runs a command and returns what it says.
func (s *server) gatehouse(arguments ...string) (said string, err error) {
	output, err := s.command(arguments...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("gatehouse %s: %w", strings.Join(arguments, " "), err)
	}
	return string(output), err
}

// answer is what a server answered.
type answer struct {
	status int
	header http.Header
	text   string
}

// member is a member of a JSON object as text, "" when it is absent.
func (a answer) member(name string) string {
	var members map[string]any
	if json.Unmarshal([]byte(a.text), &members) != nil || members[name] == nil {
		return ""
	}
	return fmt.Sprint(members[name])
}

// callers keep connections for many at once and follow no redirect.
func callers() *http.Client {
	return &http.Client{
		Timeout: answerWithin, Transport: &http.Transport{MaxIdleConnsPerHost: 128},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *server) get(path string) (answer, error) {
	return s.do(s.callers, http.MethodGet, path, nil)
}

// post sends a form for a client that authenticates by Basic.
func (s *server) post(path, client, secret string, form url.Values) (answer, error) {
	return s.do(s.callers, http.MethodPost, path, form, "Authorization", basic(client, secret))
}

func basic(client, secret string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(client, secret)
	return r.Header.Get("Authorization")
}

// do sends a request and reads the answer. An error means that there was none.
func (s *server) do(by *http.Client, method, path string, form url.Values, header ...string) (answer, error) {
	for again := 0; ; again++ {
		said, err := s.once(by, method, path, form, header...)
		if err != nil || said.status != http.StatusServiceUnavailable || path == "/readyz" || s.impatient || again == askedAgain {
			return said, err
		}
		s.putOff.Add(1)
		time.Sleep(askPause)
	}
}

func (s *server) once(by *http.Client, method, path string, form url.Values, header ...string) (answer, error) {
	r, err := http.NewRequest(method, "http://"+s.address+path, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", s.issuer)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := by.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// What the clients do.

func (s *server) redeem(code string) (answer, error) {
	return s.post("/token", "web", webSecret, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	})
}

func (s *server) refresh(token string) (answer, error) {
	return s.post("/token", "web", webSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (s *server) revoke(token string) (answer, error) {
	return s.post("/revoke", "web", webSecret, url.Values{"token": {token}})
}

func (s *server) introspect(token string) (answer, error) {
	return s.post("/introspect", "web", webSecret, url.Values{"token": {token}})
}

// introspectEnded introspects a token that has ended, perhaps at another server. A refresh
// token is inactive everywhere at once, an access token within a second.
func (s *server) introspectEnded(token string) (said answer, err error) {
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		said, err = s.introspect(token)
		if err != nil || said.member("active") != "true" || strings.HasPrefix(token, "ghr_") || overdue(begin, switched) > 0 {
			return said, err
		}
	}
}

// service asks for a token that no row records.
func (s *server) service() (answer, error) {
	return s.post("/token", "svc", svcSecret, url.Values{"grant_type": {"client_credentials"}})
}

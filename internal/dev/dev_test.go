package dev_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/internal/dev"
)

const patience = 30 * time.Second

// lines is a standard output of which the first line can be waited for.
type lines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	first chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() == 0 {
		defer close(l.first)
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// stage is a dev.Run under way.
type stage struct {
	dev.Ready
	out  *lines
	log  *lines
	stop func() error
	http *http.Client
}

// start runs dev until the test ends or stop is called.
func start(t *testing.T, o dev.Options) *stage {
	t.Helper()
	s := &stage{out: &lines{first: make(chan struct{})}, log: &lines{first: make(chan struct{})}}
	o.Stdout, o.Stderr = s.out, s.log
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- dev.Run(ctx, o) }()
	transport := &http.Transport{}
	s.http = &http.Client{Transport: transport, Timeout: patience}
	s.stop = sync.OnceValue(func() error {
		transport.CloseIdleConnections()
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			t.Fatal("dev does not stop")
			return nil
		}
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("dev ended with %v", err)
		}
	})
	select {
	case <-s.out.first:
	case err := <-ended:
		ended <- nil // for who stops it
		t.Fatalf("dev ended before it was ready: %v\n%s", err, s.log)
	case <-time.After(patience):
		t.Fatalf("dev is not ready\n%s", s.log)
	}
	if o.JSON {
		if err := json.Unmarshal([]byte(s.out.String()), &s.Ready); err != nil {
			t.Fatalf("%v: %s", err, s.out)
		}
	}
	return s
}

// fails runs dev and returns why it does not start.
func fails(t *testing.T, o dev.Options) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o.Stdout, o.Stderr = io.Discard, io.Discard
	err := dev.Run(ctx, o)
	if err == nil {
		t.Fatal("dev started")
	}
	return err.Error()
}

func (s *stage) client(t *testing.T, id string) dev.Client {
	t.Helper()
	at := slices.IndexFunc(s.Clients, func(c dev.Client) bool { return c.ClientID == id })
	if at < 0 {
		t.Fatalf("no client %s in %+v", id, s.Clients)
	}
	return s.Clients[at]
}

// call asks with a bearer token, unless it is "".
func (s *stage) call(t *testing.T, method, address, token, body string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return s.do(t, request)
}

func (s *stage) do(t *testing.T, request *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := s.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

// token gets an access token by client credentials, "" when they are refused.
func (s *stage) token(t *testing.T, id, secret, scope string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
	request, err := http.NewRequestWithContext(t.Context(), "POST", s.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(id, secret)
	_, text := s.do(t, request)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return answer.AccessToken
}

func TestStageFromStartToEnd(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	s := start(t, dev.Options{JSON: true})
	if strings.Count(s.out.String(), "\n") != 1 {
		t.Errorf("not one line: %s", s.out)
	}
	if response, text := s.call(t, "GET", s.Issuer+"/.well-known/openid-configuration", "", ""); response.StatusCode != http.StatusOK || !strings.Contains(text, `"issuer":"`+s.Issuer+`"`) {
		t.Errorf("metadata: %d %s", response.StatusCode, text)
	}
	if response, text := s.call(t, "GET", s.Playground+"/", "", ""); response.StatusCode != http.StatusOK || !strings.Contains(text, "pg-start") {
		t.Errorf("playground: %d", response.StatusCode)
	}
	machine := s.client(t, "machine")
	reader := s.token(t, "machine", machine.ClientSecret, "photos:read")
	writer := s.token(t, "machine", machine.ClientSecret, "photos:read photos:write")
	if reader == "" || writer == "" {
		t.Fatal("no token")
	}
	for _, test := range []struct {
		name, method, token string
		status              int
		challenge           string
	}{
		{"no token", "GET", "", 401, `Bearer`},
		{"not a token", "GET", "nonsense", 401, `error="invalid_token"`},
		{"a good token", "GET", reader, 200, ""},
		{"too little scope", "POST", reader, 403, `error="insufficient_scope"`},
		{"enough scope", "POST", writer, 201, ""},
	} {
		response, text := s.call(t, test.method, s.API+"/photos", test.token, `{"title": "Sunset"}`)
		challenge := response.Header.Get("WWW-Authenticate")
		if response.StatusCode != test.status || !strings.Contains(challenge, test.challenge) || test.challenge == "" && challenge != "" {
			t.Errorf("%s: %d %q %s", test.name, response.StatusCode, challenge, text)
		}
		if test.status == 403 && !strings.Contains(challenge, `scope="photos:write"`) { // RFC 6750 §3
			t.Errorf("%s: %q does not say which scope is missing", test.name, challenge)
		}
		if test.name == "no token" && strings.Contains(challenge, "error") { // RFC 6750 §3.1
			t.Errorf("%s: %q tells an error", test.name, challenge)
		}
	}
	if entries, _ := os.ReadDir(temporary); len(entries) != 1 {
		t.Errorf("%d directories for temporary data", len(entries))
	}
	if err := s.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if entries, _ := os.ReadDir(temporary); len(entries) != 0 {
		t.Errorf("%s is left behind", entries[0].Name())
	}
	if _, err := s.http.Get(s.Issuer + "/livez"); err == nil {
		t.Error("somebody still answers")
	}
	if log := s.log.String(); strings.Contains(log, machine.ClientSecret) || strings.Contains(log, writer) {
		t.Error("a secret is in the log")
	}
}

// TestTwoLinesOfShell runs what the text says a newcomer should type.
// TestTheSampleAPIRefusesWhatWasRevoked within a second, though it asks nobody about a token.
func TestTheSampleAPIRefusesWhatWasRevoked(t *testing.T) {
	s := start(t, dev.Options{JSON: true, Port: 0, PortGiven: true})
	machine := s.client(t, "machine")
	token := s.token(t, machine.ClientID, machine.ClientSecret, "photos:read")
	if response, body := s.call(t, http.MethodGet, s.API+"/photos", token, ""); response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", response.StatusCode, body)
	}
	request, err := http.NewRequest(http.MethodPost, s.Issuer+"/revoke", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(machine.ClientID, machine.ClientSecret)
	if response, body := s.do(t, request); response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", response.StatusCode, body)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		response, body := s.call(t, http.MethodGet, s.API+"/photos", token, "")
		if response.StatusCode == http.StatusUnauthorized && strings.Contains(response.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("it is still %d %s\n%s", response.StatusCode, body, s.log)
		}
	}
}

func TestTwoLinesOfShell(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the lines are for machines with %s", tool)
		}
	}
	s := start(t, dev.Options{})
	var commands []string
	for line := range strings.Lines(s.out.String()) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "curl ") {
			commands = append(commands, line)
		}
	}
	if len(commands) != 2 {
		t.Fatalf("%d commands in\n%s", len(commands), s.out)
	}
	for i, want := range []string{`"access_token"`, "The gatehouse at dawn"} {
		output, err := exec.CommandContext(t.Context(), "sh", "-c", commands[i]).CombinedOutput()
		if err != nil || !strings.Contains(string(output), want) {
			t.Errorf("%s\n%v: %s", commands[i], err, output)
		}
	}
}

func TestOwnRedirectURIs(t *testing.T) {
	own := []string{"http://127.0.0.1:3000/signed-in", "com.example.app:/callback"}
	s := start(t, dev.Options{JSON: true, RedirectURIs: own})
	for _, id := range []string{"web", "spa"} {
		if got := s.client(t, id).RedirectURIs; len(got) != 5 || !slices.Equal(got[:2], own) {
			t.Errorf("%s has %q", id, got)
		}
	}
	if got := s.client(t, "playground").RedirectURIs; !slices.Equal(got, []string{s.Playground + "/callback"}) {
		t.Errorf("the playground has %q", got)
	}
	if complaint := fails(t, dev.Options{RedirectURIs: []string{"http://localhost:3000/callback"}}); !strings.Contains(complaint, "gatehouse dev --redirect-uri http://127.0.0.1:3000/callback") {
		t.Error(complaint)
	}
	if complaint := fails(t, dev.Options{RedirectURIs: []string{"https://*.example/callback"}}); !strings.Contains(complaint, "wildcard") {
		t.Error(complaint)
	}
}

func TestStageWithoutPeopleInTheLine(t *testing.T) {
	s := start(t, dev.Options{JSON: true})
	if len(s.Users) != 2 || s.Users[0].Username != "alice" || s.Users[1].Username != "bob" || s.Users[0].Password == "" || s.Users[0].Sub == s.Users[1].Sub {
		t.Errorf("users: %+v", s.Users)
	}
	for _, client := range s.Clients {
		public := client.TokenEndpointAuthMethod == "none"
		if public != (client.ClientSecret == "") {
			t.Errorf("client %s: public %v, secret %q", client.ClientID, public, client.ClientSecret)
		}
	}
}

const ownFile = `
resources:
  - identifier: https://notes.example
    scopes:
      notes:read: Read your notes
clients:
  - client_id: notes-batch
    client_secret: notes-batch-0123456789abcdefghijklmnop
    grant_types: [client_credentials]
    scope: notes:read
  - client_id: generated
    grant_types: [client_credentials]
    scope: notes:read
  - client_id: web
    client_name: My own web
    redirect_uris: [https://own.example/callback]
users:
  - username: carol
    password: correct horse battery
  - username: bob
    password: a password of my own
`

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tenant.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestOwnScopesWin over those of the demonstration, which would be of two
// resources otherwise.
func TestOwnScopesWin(t *testing.T) {
	s := start(t, dev.Options{JSON: true, Apply: writeFile(t, "resources:\n  - identifier: https://own.example/photos\n    scopes: {'photos:read': See}\n")})
	issued := s.token(t, "machine", s.client(t, "machine").ClientSecret, "photos:read")
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(issued, ".")[1])
	if err != nil || !strings.Contains(string(claims), `"aud":"https://own.example/photos"`) {
		t.Errorf("the token is for %s, %v", claims, err)
	}
	if s.token(t, "machine", s.client(t, "machine").ClientSecret, "photos:write") == "" {
		t.Error("the demonstration lost more than it had to")
	}
}

func TestOwnTenantFile(t *testing.T) {
	s := start(t, dev.Options{JSON: true, Apply: writeFile(t, ownFile), RedirectURIs: []string{"http://127.0.0.1:3000/cb"}})
	for _, id := range []string{"notes-batch", "generated"} {
		if s.token(t, id, s.client(t, id).ClientSecret, "notes:read") == "" {
			t.Errorf("the secret of %s does not work", id)
		}
	}
	if web := s.client(t, "web"); web.ClientSecret == "" || !slices.Equal(web.RedirectURIs, []string{"https://own.example/callback", "http://127.0.0.1:3000/cb"}) {
		t.Errorf("web is %+v", web)
	}
	passwords := map[string]string{}
	for _, user := range s.Users {
		passwords[user.Username] = user.Password
	}
	if len(s.Users) != 3 || passwords["carol"] != "correct horse battery" || passwords["bob"] != "a password of my own" || passwords["alice"] == "" {
		t.Errorf("users: %+v", s.Users)
	}
	if _, text := s.call(t, "GET", s.Playground+"/config.json", "", ""); strings.Contains(text, "of my own") || !strings.Contains(text, "alice") {
		t.Errorf("the playground tells %s", text)
	}
	if complaint := fails(t, dev.Options{Apply: writeFile(t, "clients:\n  - client_id: x\n    grant_types: [implicit]\n")}); !strings.Contains(complaint, "tenant.yaml") || !strings.Contains(complaint, "clients[0] (x).grant_types[0]") {
		t.Error(complaint)
	}
	sector := "clients:\n  - client_id: x\n    token_endpoint_auth_method: none\n    subject_type: pairwise\n    redirect_uris: [https://x.example/cb]\n    sector_identifier_uri: https://127.0.0.1/sector.json\n"
	if complaint := fails(t, dev.Options{Apply: writeFile(t, sector)}); !strings.Contains(complaint, "could not be fetched") {
		t.Errorf("%s", complaint)
	}
	if complaint := fails(t, dev.Options{Apply: "/nowhere/tenant.yaml"}); !strings.Contains(complaint, "no such file") {
		t.Error(complaint)
	}
}

func TestEndBeforeReady(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel) // while the first keys are made
	if err := dev.Run(ctx, dev.Options{Stdout: io.Discard, Stderr: io.Discard}); err != nil {
		t.Errorf("wanting to stop is no error: %v", err)
	}
}

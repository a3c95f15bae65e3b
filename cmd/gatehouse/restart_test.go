package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// devProcess is a `gatehouse dev` of its own process.
type devProcess struct {
	Issuer, Playground, API string
	APIResource             string `json:"api_resource"`
	Users                   []struct{ Username, Password string }
	Clients                 []struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	kill func()
}

// startDev runs `gatehouse dev --json` in a process of its own until it is
// killed.
func startDev(t *testing.T, args ...string) *devProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self)
	command.Args = append([]string{"gatehouse", "dev", "--json"}, args...) // as which TestMain runs it
	said := &strings.Builder{}
	command.Stderr = said
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	running := true
	p := &devProcess{kill: func() {
		if running {
			running = false
			_ = command.Process.Kill() // SIGKILL
			_ = command.Wait()
		}
	}}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || json.Unmarshal([]byte(line), p) != nil {
		p.kill()
		t.Fatalf("no line: %v %q\n%s", err, line, said)
	}
	return p
}

const (
	ownCallback = "http://127.0.0.1:3000/callback"
	ownVerifier = "a-verifier-that-is-as-long-as-RFC-7636-wants-it"
)

// person is a browser at which somebody sits.
type person struct {
	t    *testing.T
	http *http.Client
}

func newPerson(t *testing.T) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t, &http.Client{
		Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), ownCallback) {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}}
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// code authorizes the client web and returns the code. It signs in and allows
// where it is asked to.
func (p *person) code(at *devProcess, prompt string) string {
	p.t.Helper()
	challenge := sha256.Sum256([]byte(ownVerifier))
	query := url.Values{
		"client_id": {"web"}, "response_type": {"code"}, "redirect_uri": {ownCallback}, "scope": {"openid offline_access photos:read"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if prompt != "" {
		query.Set("prompt", prompt)
	}
	response, err := p.http.Get(at.Issuer + "/authorize?" + query.Encode())
	for range 3 {
		if err != nil {
			p.t.Fatal(err)
		}
		page, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			p.t.Fatal(err)
		}
		if location, err := response.Location(); err == nil {
			if location.Query().Get("code") == "" {
				p.t.Fatalf("no code: %s", location)
			}
			return location.Query().Get("code")
		}
		form := url.Values{"username": {at.Users[0].Username}, "password": {at.Users[0].Password}, "decision": {"allow"}}
		for _, field := range hiddenField.FindAllStringSubmatch(string(page), -1) {
			form.Set(field[1], html.UnescapeString(field[2]))
		}
		request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, at.Issuer+response.Request.URL.Path, strings.NewReader(form.Encode()))
		if err != nil {
			p.t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", at.Issuer)
		if response, err = p.http.Do(request); err != nil {
			p.t.Fatal(err)
		}
	}
	p.t.Fatalf("no answer to the authorization request, but %s from %s", response.Status, response.Request.URL)
	return ""
}

type devTokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func (p *person) tokens(at *devProcess, form url.Values) devTokens {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, at.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, client := range at.Clients {
		if client.ID == "web" {
			request.SetBasicAuth(client.ID, client.Secret)
		}
	}
	response, err := p.http.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	var got devTokens
	if err != nil || json.Unmarshal(text, &got) != nil || got.Access == "" || got.Refresh == "" {
		p.t.Fatalf("%s: %d %s", form.Get("grant_type"), response.StatusCode, text)
	}
	return got
}

func (p *person) redeem(at *devProcess, code string) devTokens {
	p.t.Helper()
	return p.tokens(at, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {ownCallback}, "code_verifier": {ownVerifier}})
}

func (p *person) refresh(at *devProcess, old devTokens) devTokens {
	p.t.Helper()
	return p.tokens(at, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}})
}

func (p *person) callAPI(at *devProcess, token string) {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, at.API+"/photos", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := p.http.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		p.t.Errorf("the API at %s answers %s, %s", at.API, response.Status, response.Header.Get("WWW-Authenticate"))
	}
}

// What was issued before a crash goes on to work after it: the stage comes
// back at its addresses, and PhotoAPI keeps its identifier where it cannot.
func TestDevSurvivesKill(t *testing.T) {
	args := []string{"--port", "0", "--redirect-uri", ownCallback, "--data", t.TempDir()}
	before := startDev(t, args...)
	alice := newPerson(t)
	unredeemed := alice.code(before, "")
	tokens := alice.redeem(before, alice.code(before, "none"))
	alice.callAPI(before, tokens.Access)
	before.kill()

	after := startDev(t, args...)
	if after.Issuer != before.Issuer || after.Playground != before.Playground || after.API != before.API || after.APIResource != "" {
		t.Fatalf("it was at %s, %s and %s, and is at %s, %s and %s", before.Issuer, before.Playground, before.API, after.Issuer, after.Playground, after.API)
	}
	alice.callAPI(after, tokens.Access)
	alice.callAPI(after, alice.redeem(after, unredeemed).Access)
	tokens = alice.refresh(after, tokens)
	alice.callAPI(after, tokens.Access)
	alice.callAPI(after, alice.redeem(after, alice.code(after, "none")).Access) // session and consent
	after.kill()

	// Another program has taken PhotoAPI's port meanwhile.
	thief, err := net.Listen("tcp4", strings.TrimPrefix(before.API, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = thief.Close() }()
	port := before.Issuer[strings.LastIndex(before.Issuer, ":")+1:]
	moved := startDev(t, append(args, "--port", port)...)
	if moved.Issuer != before.Issuer || moved.Playground != before.Playground || moved.API == before.API || moved.APIResource != before.API {
		t.Fatalf("it was at %s, %s and %s, and is at %s, %s and %s (%s)", before.Issuer, before.Playground, before.API, moved.Issuer, moved.Playground, moved.API, moved.APIResource)
	}
	alice.callAPI(moved, tokens.Access)
	tokens = alice.refresh(moved, tokens)
	alice.callAPI(moved, tokens.Access)
	alice.callAPI(moved, alice.redeem(moved, alice.code(moved, "none")).Access)
}

package dev_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/dev"
	"gatehouse/oauth"
)

// person is somebody at a browser that keeps cookies.
type person struct {
	*testing.T
	http *http.Client
	s    *stage
}

func (s *stage) person(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &person{t, &http.Client{Jar: jar, Transport: transport, Timeout: patience}, s}
}

// do sends a request of the page's own, with the header that no other site can send.
func (p *person) do(method, address, origin string, form url.Values) (*http.Response, string) {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("X-CSRF", "1")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
	}
	response, err := p.http.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.Fatal(err)
	}
	return response, string(text)
}

var hidden = regexp.MustCompile(`name="(i|csrf)" value="([^"]*)"`)

func fields(page string) url.Values {
	form := url.Values{}
	for _, found := range hidden.FindAllStringSubmatch(page, -1) {
		form.Set(found[1], html.UnescapeString(found[2]))
	}
	return form
}

// signIn goes from an address to the page behind the sign-in and the consent.
func (p *person) signIn(address, username, password string) *http.Response {
	p.Helper()
	response, page := p.do("GET", address, "", nil)
	if strings.Contains(page, `id="login-form"`) {
		form := fields(page)
		form.Set("username", username)
		form.Set("password", password)
		response, page = p.do("POST", p.s.Issuer+"/login", p.s.Issuer, form)
	}
	if strings.Contains(page, `id="consent-allow"`) {
		form := fields(page)
		form.Set("decision", "allow")
		response, page = p.do("POST", p.s.Issuer+"/consent", p.s.Issuer, form)
	}
	if response.StatusCode != http.StatusOK {
		p.Fatalf("the sign-in ends at %s with %d: %.300s\n%s", response.Request.URL, response.StatusCode, page, p.s.log)
	}
	return response
}

// seenCaller is what an API tells of its caller.
type seenCaller struct {
	Certificate string
	Claims      struct {
		Sub, Aud, ClientID, Scope string
		Act                       *actor
	}
}

type actor struct {
	Sub string
	Act *actor
}

func (c *seenCaller) UnmarshalJSON(text []byte) error {
	var seen struct {
		Certificate string
		Claims      struct {
			Sub, Aud, Scope string
			ClientID        string `json:"client_id"`
			Act             *actor
		}
	}
	err := json.Unmarshal(text, &seen)
	c.Certificate, c.Claims.Sub, c.Claims.Aud, c.Claims.ClientID, c.Claims.Scope, c.Claims.Act = seen.Certificate, seen.Claims.Sub, seen.Claims.Aud, seen.Claims.ClientID, seen.Claims.Scope, seen.Claims.Act
	return err
}

type chain struct{ PhotoAPI, Thumbnails seenCaller }

// TestTheWholePicture is design §2 by itself: a browser with a cookie, the backend for
// frontend, an API, and a second API that is called with an exchanged token over mTLS.
func TestTheWholePicture(t *testing.T) {
	s := start(t, dev.Options{JSON: true})
	alice := s.person(t)
	if response, _ := alice.do("GET", s.BFF+"/api/photos", "", nil); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %d", response.StatusCode)
	}
	if end := alice.signIn(s.BFF+"/bff/login?return_to=/", "alice", "white-rabbit"); !strings.HasPrefix(end.Request.URL.String(), s.BFF) {
		t.Fatalf("the sign-in ends at %s", end.Request.URL)
	}
	response, text := alice.do("GET", s.BFF+"/api/photos", "", nil)
	var album struct{ Photos []dev.Photo }
	if err := json.Unmarshal([]byte(text), &album); err != nil || response.StatusCode != http.StatusOK || len(album.Photos) != 3 {
		t.Fatalf("%d %s\n%s", response.StatusCode, text, s.log)
	}
	response, text = alice.do("GET", s.BFF+"/api/photos/"+album.Photos[0].ID+"/thumbnail", "", nil)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(text, "<svg") {
		t.Errorf("the thumbnail: %d %s\n%s", response.StatusCode, text, s.log)
	}
	response, text = alice.do("GET", s.BFF+"/api/chain", "", nil)
	var seen chain
	if err := json.Unmarshal([]byte(text), &seen); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v: %d %s\n%s", err, response.StatusCode, text, s.log)
	}
	if c := seen.PhotoAPI.Claims; c.Sub != "demo-alice" || c.Aud != s.API || c.ClientID != "photos-gateway" || c.Act == nil || c.Act.Sub != "photos-gateway" || c.Act.Act != nil {
		t.Errorf("PhotoAPI sees %+v", seen.PhotoAPI)
	}
	if c := seen.Thumbnails.Claims; c.Sub != "demo-alice" || c.Aud != "urn:gatehouse:dev:thumbnails" || c.ClientID != "photoapi" || c.Act == nil || c.Act.Sub != "photoapi" || c.Scope != "photos:read" {
		t.Errorf("the thumbnails API sees %+v", seen.Thumbnails)
	} else if inner := c.Act.Act; inner == nil || inner.Sub != "photos-gateway" || inner.Act != nil { // RFC 8693 §4.1
		t.Errorf("before PhotoAPI acted %+v", inner)
	}
	if seen.Thumbnails.Certificate != "photoapi" {
		t.Errorf("the certificate is of %q", seen.Thumbnails.Certificate)
	}
	response, text = alice.do("POST", s.BFF+"/bff/logout", s.BFF, nil)
	if response.StatusCode != http.StatusOK || !strings.Contains(text, s.Issuer) {
		t.Errorf("the logout: %d %s", response.StatusCode, text)
	}
	if response, _ := alice.do("GET", s.BFF+"/api/photos", "", nil); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", response.StatusCode)
	}
	if strings.Contains(s.log.String(), "eyJ") || strings.Contains(s.log.String(), "ghr_") {
		t.Error("a token is in the log")
	}
}

// TestASignOutAtTheIssuer ends the session of the backend for frontend, and what both
// APIs still did for a token of the same session.
func TestASignOutAtTheIssuer(t *testing.T) {
	s := start(t, dev.Options{JSON: true})
	alice := s.person(t)
	alice.signIn(s.BFF+"/bff/login?return_to=/", "alice", "white-rabbit")
	// Without offline_access it ends with the session.
	token := alice.token("photos:read openid")
	glances := s.watch(t, token)
	if first := <-glances; first.PhotoAPI != http.StatusOK || first.Thumbnails != http.StatusOK {
		t.Fatalf("before: %+v\n%s", first, s.log)
	}
	_, page := alice.do("GET", s.Issuer+"/logout", "", nil)
	action := regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(page)
	if action == nil {
		t.Fatalf("no form: %.400s", page)
	}
	if response, text := alice.do("POST", s.Issuer+html.UnescapeString(action[1]), s.Issuer, fields(page)); response.StatusCode != http.StatusOK || !strings.Contains(text, "logout-done") {
		t.Fatalf("the sign-out: %d %.400s", response.StatusCode, text)
	}
	var last glance
	for seen := range glances {
		last = seen
	}
	if last.PhotoAPI != http.StatusUnauthorized || last.Thumbnails != http.StatusUnauthorized {
		t.Errorf("after: %+v\n%s", last, s.log)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		response, _ := alice.do("GET", s.BFF+"/bff/user", "", nil)
		if response.StatusCode == http.StatusUnauthorized {
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("the session goes on: %d\n%s", response.StatusCode, s.log)
		}
	}
}

// token gets an access token as the public client spa, without offline_access, so that
// it ends with the session.
func (p *person) token(scope string) string {
	p.Helper()
	const verifier = "a-code-verifier-of-at-least-forty-three-characters"
	const callback = "http://127.0.0.1/callback"
	p.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { p.http.CheckRedirect = nil }()
	response, page := p.do("GET", p.s.Issuer+"/authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {"spa"}, "redirect_uri": {callback}, "scope": {scope}, "state": {"state"},
		"code_challenge": {oauth.ChallengeS256(verifier)}, "code_challenge_method": {"S256"},
	}.Encode(), "", nil)
	if strings.Contains(page, `id="consent-allow"`) {
		form := fields(page)
		form.Set("decision", "allow")
		response, page = p.do("POST", p.s.Issuer+"/consent", p.s.Issuer, form)
	}
	location, err := response.Location()
	if err != nil {
		p.Fatalf("no answer: %d %.300s", response.StatusCode, page)
	}
	_, text := p.do("POST", p.s.Issuer+"/token", p.s.Issuer, url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"spa"}, "redirect_uri": {callback}, "code": {location.Query().Get("code")}, "code_verifier": {verifier},
	})
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.AccessToken == "" {
		p.Fatalf("no token: %s", text)
	}
	return answer.AccessToken
}

type glance struct {
	MS                   int64
	PhotoAPI, Thumbnails int
}

// watch opens PhotoAPI's stream; the channel is closed when that has ended.
func (s *stage) watch(t *testing.T, token string) <-chan glance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.API+"/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := s.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("watching: %d\n%s", response.StatusCode, s.log)
	}
	glances := make(chan glance, 100)
	go func() {
		defer close(glances)
		defer func() { _ = response.Body.Close() }()
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			data, found := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			var one glance
			if found && json.Unmarshal(data, &one) == nil {
				glances <- one
			}
		}
	}()
	return glances
}

// TestTheSecondAPITakesNobodyElse: neither without a certificate, nor with another's.
func TestTheSecondAPITakesNobodyElse(t *testing.T) {
	s := start(t, dev.Options{JSON: true})
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // whoever it is, it must not answer us
	t.Cleanup(transport.CloseIdleConnections)
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Get(s.Thumbnails + "/caller")
	if err == nil {
		_ = response.Body.Close()
		t.Errorf("without a certificate it answers %d", response.StatusCode)
	}
	// A machine has no user; what it begins is in the chain as well.
	machine := s.client(t, "machine")
	token := s.token(t, machine.ClientID, machine.ClientSecret, "photos:read")
	response, text := s.call(t, "GET", s.API+"/chain", token, "")
	var seen chain
	if err := json.Unmarshal([]byte(text), &seen); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v: %d %s\n%s", err, response.StatusCode, text, s.log)
	}
	if c := seen.Thumbnails.Claims; c.Sub != "machine" || c.Act == nil || c.Act.Sub != "photoapi" || c.Act.Act != nil {
		t.Errorf("the thumbnails API sees %+v", seen.Thumbnails)
	}
}

// TestTheGatewayStandsBeforeTheAPI and lets through what its routes say.
func TestTheGatewayStandsBeforeTheAPI(t *testing.T) {
	s := start(t, dev.Options{JSON: true})
	machine := s.client(t, "machine")
	reader := s.token(t, machine.ClientID, machine.ClientSecret, "photos:read")
	writer := s.token(t, machine.ClientID, machine.ClientSecret, "photos:read photos:write")
	for _, test := range []struct {
		name, method, path, token string
		status                    int
		challenge                 string
	}{
		{"about", "GET", "/", "", http.StatusOK, ""},
		{"no token", "GET", "/photos", "", http.StatusUnauthorized, "Bearer"},
		{"no token of ours", "GET", "/photos", "nonsense", http.StatusUnauthorized, `error="invalid_token"`},
		{"a reader", "GET", "/photos", reader, http.StatusOK, ""},
		{"a reader who writes", "POST", "/photos", reader, http.StatusForbidden, `scope="photos:write"`},
		{"a writer", "POST", "/photos", writer, http.StatusCreated, ""},
		{"no route", "GET", "/elsewhere", reader, http.StatusNotFound, ""},
		{"a path of two meanings", "GET", "/x/..%2fphotos", reader, http.StatusBadRequest, ""},
	} {
		response, text := s.call(t, test.method, s.Gateway+test.path, test.token, `{"title": "Sunset"}`)
		if response.StatusCode != test.status || !strings.Contains(response.Header.Get("WWW-Authenticate"), test.challenge) {
			t.Errorf("%s: %d %q %s", test.name, response.StatusCode, response.Header.Get("WWW-Authenticate"), text)
		}
	}
	// A machine has one album, by whatever way it comes.
	_, through := s.call(t, "GET", s.Gateway+"/photos", reader, "")
	if _, direct := s.call(t, "GET", s.API+"/photos", reader, ""); through != direct || !strings.Contains(direct, "Sunset") {
		t.Errorf("through the gateway %s, directly %s", through, direct)
	}
	preflight, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, s.Gateway+"/photos", nil)
	if err != nil {
		t.Fatal(err)
	}
	preflight.Header.Set("Origin", s.Playground)
	preflight.Header.Set("Access-Control-Request-Method", "GET")
	preflight.Header.Set("Access-Control-Request-Headers", "authorization")
	if response, _ := s.do(t, preflight); response.StatusCode != http.StatusNoContent || response.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("the playground may not call: %d %v", response.StatusCode, response.Header)
	}
	revoke, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Issuer+"/revoke", strings.NewReader(url.Values{"token": {reader}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	revoke.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	revoke.SetBasicAuth(machine.ClientID, machine.ClientSecret)
	if response, text := s.do(t, revoke); response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", response.StatusCode, text)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		response, text := s.call(t, "GET", s.Gateway+"/photos", reader, "")
		if response.StatusCode == http.StatusUnauthorized {
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("a revoked token comes through: %d %s", response.StatusCode, text)
		}
	}
}

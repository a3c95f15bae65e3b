package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/jose"
)

// standIn stands in for the test that an example has not.
type standIn struct{ testing.TB }

func (standIn) Helper()                  {}
func (standIn) Cleanup(func())           {}
func (standIn) Context() context.Context { return context.Background() }
func (standIn) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }

// exampleIssuer is an issuer at which alice is signed in and allows everything,
// and an API at /api that takes its tokens.
func exampleIssuer() (issuer *httptest.Server, end func()) {
	p := newProvider(standIn{})
	p.answer = func(w http.ResponseWriter, r *http.Request) bool {
		now := time.Now().Unix()
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/"):
			if r.Header.Get("Authorization") == "" {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			_, _ = io.WriteString(w, "here are your photos.")
		case r.URL.Path == "/device":
			writeJSON(w, http.StatusOK, map[string]any{"device_code": "d", "user_code": "WDJB-MJHT", "verification_uri": p.URL + "/device", "expires_in": 60, "interval": 1})
		case r.URL.Path == "/token" && strings.HasSuffix(r.PostForm.Get("grant_type"), ":device_code"):
			writeJSON(w, http.StatusOK, map[string]any{"access_token": "a", "token_type": "Bearer", "expires_in": 600,
				"id_token": sign(standIn{}, p.key, jose.TypeJWT, claims{"iss": p.issuer, "sub": "alice", "aud": "cli", "iat": now, "exp": now + 60})})
		case r.URL.Path == "/token" && strings.HasSuffix(r.PostForm.Get("grant_type"), ":token-exchange"):
			writeJSON(w, http.StatusOK, map[string]any{"access_token": "b", "token_type": "Bearer", "expires_in": 600, "issued_token_type": client.TypeAccessToken, "scope": r.PostForm.Get("scope")})
		default:
			return false
		}
		return true
	}
	return p.Server, p.Close
}

func exampleServer(handler http.Handler) *httptest.Server { return httptest.NewServer(handler) }

// person is somebody with a browser.
type person struct{ *http.Client }

func exampleBrowser() person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	return person{&http.Client{Jar: jar}}
}

func (p person) ask(address, accept string) (status int, text string) {
	request, err := http.NewRequest("GET", address, nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Accept", accept)
	response, err := p.Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body))
}

var refreshTag = regexp.MustCompile(`http-equiv="refresh" content="0;url=([^"]*)"`)

// open opens a page and follows where it leads.
func (p person) open(address string) string {
	_, text := p.ask(address, "text/html")
	if tag := refreshTag.FindStringSubmatch(text); tag != nil {
		origin := strings.Join(strings.SplitN(address, "/", 4)[:3], "/")
		return p.open(origin + tag[1])
	}
	return text
}

// fetch is what a script does.
func (p person) fetch(address string) string {
	status, text := p.ask(address, "application/json")
	return fmt.Sprint(status, " ", text)
}

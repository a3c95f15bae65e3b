package bff_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/kv"
)

// audienceOf is the aud of the token that a request had.
func audienceOf(t *testing.T, r *http.Request) string {
	t.Helper()
	_, raw, _ := strings.Cut(r.Header.Get("Authorization"), "Bearer ")
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("%s had no JWT", r.URL.Path)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Audience string `json:"aud"`
		Scope    string `json:"scope"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Audience + " " + claims.Scope
}

// ofAlbums has photos by the token of the login, and albums by one of their own.
func ofAlbums(c *bff.Config) {
	c.Issuers[0].Client.Scope += " albums:read"
	c.Upstreams[0].Routes = append(c.Upstreams[0].Routes, bff.Route{Path: "/albums", Methods: []string{"GET"}, Resource: "https://albums.example"})
	c.Upstreams = append(c.Upstreams, bff.Upstream{Path: "/more", URL: c.Upstreams[0].URL, Resource: "https://albums.example", Routes: []bff.Route{
		{Path: "/albums", Methods: []string{"GET"}}, {Path: "/photos", Methods: []string{"GET"}, Resource: "https://photos.example"},
	}})
}

// An API gets a token for itself alone, which is had once, kept with the session in all
// processes, and with which the session goes on.
func TestATokenForEachAPI(t *testing.T) {
	spec.Covers(t, "RFC8707-2.2-1")
	store := kv.NewMemory(kv.MemoryConfig{})
	s := newStage(t, []kv.Store{store, store}, ofAlbums)
	b := s.browser()
	b.signIn()
	for range 2 {
		for _, test := range []struct{ path, token string }{
			{"/api/photos", "https://photos.example "}, {"/api/albums", "https://albums.example "}, {"/more/albums", "https://albums.example "}, {"/more/photos", "https://photos.example "},
		} {
			if p := b.call("GET", test.path); p.StatusCode != http.StatusOK {
				t.Fatalf("%s: %v\n%s", test.path, p, s.log)
			}
			got := audienceOf(t, s.last())
			other := map[bool]string{true: "photos:read", false: "albums:read"}[strings.Contains(test.token, "albums")]
			if !strings.HasPrefix(got, test.token) || strings.Contains(got, other) {
				t.Errorf("%s: the token is for %s", test.path, got)
			}
		}
		b.replica = 1
	}
	// The login's, one for albums, one for photos.
	if got := s.line.asked("/token"); got != 3 {
		t.Errorf("%d token requests", got)
	}
	for _, token := range s.line.seen() {
		if strings.Contains(b.text.String(), token) || strings.Contains(s.log.String(), token) {
			t.Error("a token came to the browser, or into the log")
		}
	}
	if p := b.call("POST", "/bff/logout"); p.StatusCode != http.StatusOK || b.signedIn() {
		t.Errorf("%v", p)
	}
	wantRefusal(t, "after the logout", b.call("GET", "/api/albums"), http.StatusUnauthorized, bff.CodeLoginRequired)
}

// Many requests at once for several APIs, at several processes, cost one token request for
// each API and no session: they spend one refresh token after the other.
func TestTokensForAPIsAtOnce(t *testing.T) {
	spec.Covers(t, "BB-06")
	store := kv.NewMemory(kv.MemoryConfig{})
	s := newStage(t, []kv.Store{store, store}, ofAlbums)
	b := s.browser()
	b.signIn()
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range 40 {
		one := b.copied()
		one.replica = i % 2
		all.Go(func() {
			<-begin
			if p := one.call("GET", []string{"/api/albums", "/more/photos"}[i/2%2]); p.StatusCode != http.StatusOK {
				t.Errorf("%v", p)
			}
		})
	}
	close(begin)
	all.Wait()
	if got := s.line.asked("/token"); got != 3 {
		t.Errorf("%d token requests", got)
	}
	if !b.signedIn() {
		t.Error("the session is over")
	}
}

// What the issuer refuses for one API, or cannot say now, is no matter of the others' or of
// the session's.
func TestNoTokenForOneAPI(t *testing.T) {
	s := newStage(t, nil, ofAlbums)
	b := s.browser()
	b.signIn()
	s.line.set(func() { s.line.answer["/token"], s.line.code = 400, "invalid_target" })
	wantRefusal(t, "no token", b.call("GET", "/api/albums"), http.StatusInternalServerError, bff.CodeServerError)
	asked := s.line.asked("/token")
	wantRefusal(t, "a moment later", b.call("GET", "/api/albums"), http.StatusInternalServerError, bff.CodeServerError)
	if s.line.asked("/token") != asked {
		t.Error("the issuer is asked again at once")
	}
	if p := b.call("GET", "/api/photos"); p.StatusCode != http.StatusOK {
		t.Errorf("another API: %v", p)
	}
	s.line.set(func() { delete(s.line.answer, "/token") })
	if p := b.call("GET", "/more/photos"); p.StatusCode != http.StatusOK {
		t.Errorf("a token for another API: %v", p)
	}
	other := s.browser()
	other.signIn()
	s.line.set(func() { s.line.cut["/token"] = true })
	p := other.call("GET", "/api/albums")
	wantRefusal(t, "the issuer is away", p, http.StatusServiceUnavailable, bff.CodeUnavailable)
	if p.Header.Get("Retry-After") == "" || !other.signedIn() {
		t.Errorf("%v", p)
	}
}

// Without a refresh token there is none for an API of its own, and signing in again, which
// would change nothing, is not asked for.
func TestNoRefreshToken(t *testing.T) {
	s := newStage(t, nil, func(c *bff.Config) {
		ofAlbums(c)
		c.Issuers[0].Client.HTTPClient = &http.Client{Transport: withoutRefresh{c.Issuers[0].Client.HTTPClient.Transport}}
	})
	b := s.browser()
	b.signIn()
	wantRefusal(t, "no refresh token", b.call("GET", "/api/albums"), http.StatusBadGateway, bff.CodeServerError)
	if p := b.call("GET", "/api/photos"); p.StatusCode != http.StatusOK {
		t.Errorf("by the token of the login: %v", p)
	}
}

// Mistakes about resources are told before anybody signs in.
func TestResourcesThatAreNone(t *testing.T) {
	for about, change := range map[string]func(*bff.Upstream){
		"no URI":           func(u *bff.Upstream) { u.Resource = "photos" },
		"a fragment":       func(u *bff.Upstream) { u.Routes[0].Resource = "https://photos.example#x" },
		"without a token":  func(u *bff.Upstream) { u.Anonymous, u.Resource = true, "https://photos.example" },
		"a route's own":    func(u *bff.Upstream) { u.Anonymous, u.Routes[0].Resource = true, "https://photos.example" },
		"more than enough": func(u *bff.Upstream) { u.Routes = manyResources() },
	} {
		c := bff.Config{
			URL: origin, Issuers: []bff.Issuer{{Issuer: "https://id.example"}},
			Upstreams: []bff.Upstream{{Path: "/api", URL: "https://api.example", Routes: []bff.Route{{Path: "/a", Methods: []string{"GET"}}}}},
		}
		c.Issuers[0].Client.ClientID = "app"
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		change(&c.Upstreams[0])
		if err := c.Check(); err == nil || !strings.Contains(strings.ToLower(err.Error()), "resource") {
			t.Errorf("%s: %v", about, err)
		}
	}
}

func manyResources() (routes []bff.Route) {
	for at := range client.MaxMoreResources + 1 {
		path := fmt.Sprintf("/r%d", at)
		routes = append(routes, bff.Route{Path: path, Methods: []string{"GET"}, Resource: "https://api.example" + path})
	}
	return routes
}

// withoutRefresh is the way to an issuer that gives no refresh tokens.
type withoutRefresh struct{ http.RoundTripper }

func (w withoutRefresh) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.RoundTripper.RoundTrip(r)
	if err != nil || r.URL.Path != "/token" {
		return response, err
	}
	var tokens map[string]any
	if err := json.NewDecoder(response.Body).Decode(&tokens); err != nil {
		return nil, err
	}
	delete(tokens, "refresh_token")
	text, err := json.Marshal(tokens)
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	response.Header.Del("Content-Length")
	return response, err
}

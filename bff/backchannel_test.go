package bff_test

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/kv"
)

// foreign is an issuer of somebody else's that signs everybody in as alice.
type foreign struct {
	*httptest.Server
	t   *testing.T
	key *jose.PrivateKey

	mu     sync.Mutex
	nonces map[string]string // by code
}

func newForeign(t *testing.T) *foreign {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256, "key-1")
	if err != nil {
		t.Fatal(err)
	}
	f := &foreign{t: t, key: key, nonces: map[string]string{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *foreign) sign(typ string, claims map[string]any) string {
	f.t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		f.t.Fatal(err)
	}
	raw, err := f.key.Sign(typ, payload)
	if err != nil {
		f.t.Fatal(err)
	}
	return raw
}

func (f *foreign) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	query := r.URL.Query()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer(map[string]any{"issuer": f.URL, "authorization_endpoint": f.URL + "/authorize", "token_endpoint": f.URL + "/token", "jwks_uri": f.URL + "/jwks", "backchannel_logout_supported": true})
	case "/jwks":
		answer(jose.KeySet{Keys: []jose.PublicKey{f.key.Public()}})
	case "/authorize":
		code := rand.Text()
		f.nonces[code] = query.Get("nonce")
		http.Redirect(w, r, query.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {query.Get("state")}}.Encode(), http.StatusSeeOther)
	case "/token":
		now := time.Now().Unix() - 2 // a logout of the same second would be for this login, too
		nonce := f.nonces[r.PostFormValue("code")]
		answer(map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 600, "id_token": f.sign(jose.TypeJWT, map[string]any{
			"iss": f.URL, "sub": "alice", "sid": "sid-1", "aud": "app", "iat": now, "exp": now + 300, "nonce": nonce,
		})})
	}
}

// An issuer's word ends sessions and their streams at every replica, once, and
// nothing but its word does.
func TestBackChannelLogout(t *testing.T) {
	spec.Covers(t, "LO-04")
	f := newForeign(t)
	store := kv.NewMemory(kv.MemoryConfig{})
	s := newStage(t, []kv.Store{store, store}, func(c *bff.Config) {
		c.Issuers = []bff.Issuer{{Issuer: f.URL, Client: client.Config{ClientID: "app", Logger: slog.New(slog.DiscardHandler)}}}
	})
	b := s.browser()
	signIn := func() {
		t.Helper()
		begun := b.do("GET", "/bff/login", nil, nil)
		response, err := http.DefaultTransport.RoundTrip(httptest.NewRequest("GET", begun.Header.Get("Location"), nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		back, err := response.Location()
		if err != nil {
			t.Fatal(err)
		}
		if done := b.do("GET", back.RequestURI(), nil, nil); done.StatusCode != http.StatusOK {
			t.Fatalf("%v\n%s", done, s.log)
		}
	}
	signIn()
	now := time.Now().Unix()
	good := func() map[string]any {
		return map[string]any{
			"iss": f.URL, "aud": "app", "iat": now, "exp": now + 120, "jti": rand.Text(), "sid": "sid-1", "sub": "alice",
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		}
	}
	post := func(token string) page {
		stranger := s.browser() // the issuer has no cookies and no header
		return stranger.do("POST", "/bff/backchannel-logout", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	}
	changed := func(name string, value any) map[string]any {
		c := good()
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	other := newForeign(t)
	for about, token := range map[string]string{
		"no events": f.sign("logout+jwt", changed("events", nil)), "no iat": f.sign("logout+jwt", changed("iat", nil)), "no jti": f.sign("logout+jwt", changed("jti", nil)),
		"no aud": f.sign("logout+jwt", changed("aud", nil)), "another's": f.sign("logout+jwt", changed("aud", "other")), "no exp": f.sign("logout+jwt", changed("exp", nil)),
		"expired": f.sign("logout+jwt", changed("exp", now-600)), "a nonce": f.sign("logout+jwt", changed("nonce", "n")), "an access token": f.sign("at+jwt", good()),
		"another issuer": f.sign("logout+jwt", changed("iss", other.URL)), "another key": other.sign("logout+jwt", good()), "nothing": "", "garbage": "a.b.c",
	} {
		if p := post(token); p.StatusCode != http.StatusBadRequest || !b.signedIn() {
			t.Errorf("%s: %v", about, p)
		}
	}
	events := b.open("events")
	webSocket := b.open("socket")
	b.replica = 1
	elsewhere := b.open("events")
	b.replica = 0
	token := f.sign("logout+jwt", good())
	p := post(token)
	if p.StatusCode != http.StatusOK || !strings.Contains(p.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("%v", p)
	}
	wantEnd(t, "events", events)
	wantEnd(t, "a WebSocket", webSocket)
	wantEnd(t, "events at the other replica", elsewhere)
	if b.signedIn() {
		t.Error("the session lives on")
	}
	if p := post(token); p.StatusCode != http.StatusBadRequest {
		t.Errorf("used twice: %v", p)
	}
	if p := post(f.sign("logout+jwt", changed("sid", "nobody's"))); p.StatusCode != http.StatusOK {
		t.Errorf("a session that there is not: %v", p)
	}
}

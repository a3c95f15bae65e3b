package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/kv"
)

func TestLogout(t *testing.T) {
	spec.Covers(t, "SE-04", "CF-11")
	p := newProvider(t)
	var ended []client.Ended
	a := p.application(t, client.Config{PostLogoutRedirectURI: "http://127.0.0.1/bye", OnSessionEnd: func(e client.Ended) { ended = append(ended, e) }})
	b := newBrowser(t)
	b.signIn(a)
	idToken := a.logins[0].Tokens.IDToken.Reveal()
	refresh := a.logins[0].Tokens.RefreshToken.Reveal()
	thief := newBrowser(t)
	for name, cookie := range b.jar {
		thief.jar[name] = cookie
	}

	for name, headers := range map[string]http.Header{
		"another site": {"Sec-Fetch-Site": {"cross-site"}}, "a sibling": {"Sec-Fetch-Site": {"same-site"}},
		"another origin": {"Origin": {"https://evil.example"}}, "a sandboxed frame": {"Origin": {"null"}},
	} {
		forger := newBrowser(t)
		forger.jar, forger.headers = b.jar, headers
		if answer := forger.do("POST", a.URL+"/logout", nil); answer.StatusCode != http.StatusForbidden || b.me(a) == "" {
			t.Errorf("%s: %d, signed in as %q", name, answer.StatusCode, b.me(a))
		}
	}
	for _, method := range []string{"GET", "HEAD"} {
		if answer := b.do(method, a.URL+"/logout", nil); answer.StatusCode != http.StatusMethodNotAllowed || b.me(a) == "" {
			t.Errorf("%s: %d, signed in as %q", method, answer.StatusCode, b.me(a))
		}
	}
	b.headers = http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {a.URL}}
	answer := b.do("POST", a.URL+"/logout", nil)
	target, err := url.Parse(answer.to(t))
	if err != nil {
		t.Fatal(err)
	}
	query := target.Query()
	if target.Path != "/logout" || query.Get("kept") != "1" || query.Get("id_token_hint") != idToken || query.Get("client_id") != clientID || query.Get("post_logout_redirect_uri") != "http://127.0.0.1/bye" {
		t.Errorf("sent to %s", target)
	}
	if thief.me(a) != "" || len(b.jar) != 1 {
		t.Errorf("the session lives on: %q, cookies %v", thief.me(a), b.names())
	}
	// The way back is that of this logout, once.
	for _, state := range []string{"", "another", query.Get("state") + "x"} {
		if answer := b.get(a.URL + "/bye?state=" + state); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("state %q: %d", state, answer.StatusCode)
		}
	}
	if answer := thief.get(a.URL + "/bye?state=" + query.Get("state")); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("another browser: %d", answer.StatusCode)
	}
	if answer := b.get(a.URL + "/bye?state=" + query.Get("state")); answer.StatusCode != http.StatusOK || answer.text != "bye" || len(b.jar) != 0 {
		t.Errorf("%d %s, cookies %v", answer.StatusCode, answer.text, b.names())
	}
	if answer := b.get(a.URL + "/bye?state=" + query.Get("state")); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a second time: %d", answer.StatusCode)
	}
	if form, _ := p.last(); p.seen("/revoke") != 1 || form.Get("token") != refresh || form.Get("token_type_hint") != "refresh_token" {
		t.Errorf("%d revocations, the last of %v", p.seen("/revoke"), form)
	}
	if want := []client.Ended{{Issuer: p.issuer, Subject: "alice", SessionID: "sid-1", Session: ended[0].Session, Reason: client.EndedByLogout}}; !slices.Equal(ended, want) || ended[0].Session == "" {
		t.Errorf("told of %+v", ended)
	}
	if answer := b.do("POST", a.URL+"/logout", nil); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/" {
		t.Errorf("a second logout: %d to %s", answer.StatusCode, answer.Header.Get("Location"))
	}
}

func TestRevocationsAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		b := newBrowser(t)
		b.network = network
		b.signIn(a)
		p.change(func(p *provider) {
			p.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if down := r.URL.Path == "/revoke" && len(p.refresh) > 0 && time.Now().Second()%20 < 10; down {
					w.WriteHeader(http.StatusServiceUnavailable)
					return true
				}
				return false
			}
		})
		if answer := b.do("POST", a.URL+"/logout", nil); answer.StatusCode != http.StatusSeeOther {
			t.Errorf("logout waits for the issuer: %d", answer.StatusCode)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if len(p.refresh) != 0 || p.seen("/revoke") < 2 {
			t.Errorf("%d live refresh tokens after %d revocations", len(p.refresh), p.seen("/revoke"))
		}
	})
}

func (p *provider) logoutToken(change claims) claims {
	now := time.Now().Unix()
	return claims{
		"iss": p.issuer, "aud": clientID, "iat": now, "exp": now + 120, "jti": rand.Text(), "sub": "alice", "sid": "sid-1",
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}.with(change)
}

// backChannel tells the application of a logout.
func backChannel(t *testing.T, a *application, raw string) page {
	t.Helper()
	return newBrowser(t).do("POST", a.URL+"/backchannel", url.Values{"logout_token": {raw}})
}

func TestBackChannelLogout(t *testing.T) {
	spec.Covers(t, "LO-04", "OIDCBCL-2.6-1")
	p := newProvider(t)
	a := p.application(t, client.Config{})
	b := newBrowser(t)
	b.signIn(a)
	event := "http://schemas.openid.net/event/backchannel-logout"
	now := time.Now().Unix()
	signed := func(c claims) string { return sign(t, p.key, jose.TypeLogoutToken, c) }
	for name, raw := range map[string]string{
		"nothing": "", "garbage": "garbage",
		"no iss": signed(p.logoutToken(claims{"iss": nil})), "another iss": signed(p.logoutToken(claims{"iss": "https://other.example"})),
		"no aud": signed(p.logoutToken(claims{"aud": nil})), "another aud": signed(p.logoutToken(claims{"aud": "other"})),
		"no iat": signed(p.logoutToken(claims{"iat": nil})), "an old iat": signed(p.logoutToken(claims{"iat": now - 86400})), "iat ahead": signed(p.logoutToken(claims{"iat": now + 3600})),
		"no exp": signed(p.logoutToken(claims{"exp": nil})), "expired": signed(p.logoutToken(claims{"exp": now - 60})), "far ahead": signed(p.logoutToken(claims{"exp": now + 86400*365})),
		"no jti": signed(p.logoutToken(claims{"jti": nil})), "a nonce": signed(p.logoutToken(claims{"nonce": "n"})),
		"no events": signed(p.logoutToken(claims{"events": nil})), "events that are a list": signed(p.logoutToken(claims{"events": []string{event}})),
		"another event":      signed(p.logoutToken(claims{"events": map[string]any{"https://other.example/event": map[string]any{}}})),
		"an event of a text": signed(p.logoutToken(claims{"events": map[string]any{event: "yes"}})), "an event of null": signed(p.logoutToken(claims{"events": map[string]any{event: nil}})),
		"neither sub nor sid": signed(p.logoutToken(claims{"sub": nil, "sid": nil})),
		"an ID token":         sign(t, p.key, jose.TypeJWT, p.logoutToken(claims{"events": nil, "nonce": "n"})),
		"an access token":     sign(t, p.key, jose.TypeAccessToken, p.logoutToken(nil)),
		"none":                compact(`{"alg":"none","typ":"logout+jwt"}`, p.logoutToken(nil), func(string) []byte { return []byte("x") }),
		"HS256":               compact(`{"alg":"HS256","typ":"logout+jwt"}`, p.logoutToken(nil), hmacBy([]byte(clientSecret))),
		"a foreign key":       sign(t, mustGenerate(jose.ES256, "key-1"), jose.TypeLogoutToken, p.logoutToken(nil)),
		"an unknown key":      sign(t, mustGenerate(jose.ES256, "other"), jose.TypeLogoutToken, p.logoutToken(nil)),
	} {
		t.Run(name, func(t *testing.T) {
			if answer := backChannel(t, a, raw); answer.StatusCode != http.StatusBadRequest || answer.Header.Get("Cache-Control") != "no-store" || b.me(a) == "" {
				t.Errorf("%d, signed in as %q", answer.StatusCode, b.me(a))
			}
		})
	}
	if answer := newBrowser(t).do("GET", a.URL+"/backchannel?logout_token="+signed(p.logoutToken(nil)), nil); answer.StatusCode != http.StatusMethodNotAllowed || b.me(a) == "" {
		t.Errorf("GET: %d", answer.StatusCode)
	}
	// Of somebody, or some session, that is not here: nothing to do, and done.
	for _, change := range []claims{{"sid": "sid-2"}, {"sub": "bob", "sid": nil}, {"sub": "bob"}} {
		if answer := backChannel(t, a, signed(p.logoutToken(change))); answer.StatusCode != http.StatusOK || b.me(a) == "" {
			t.Errorf("%v: %d, signed in as %q", change, answer.StatusCode, b.me(a))
		}
	}
	good := signed(p.logoutToken(nil))
	if answer := backChannel(t, a, good); answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" || b.me(a) != "" {
		t.Errorf("%d, signed in as %q", answer.StatusCode, b.me(a))
	}
	// Used again, it ends no later session: one of another sid, as a new sign-in has.
	p.change(func(p *provider) { p.idToken = func(c claims) claims { return c.with(claims{"sid": "sid-3"}) } })
	if b.signIn(a); b.me(a) == "" {
		t.Fatal("not signed in again")
	}
	if answer := backChannel(t, a, good); answer.StatusCode != http.StatusBadRequest || b.me(a) == "" {
		t.Errorf("a replay: %d, signed in as %q", answer.StatusCode, b.me(a))
	}
}

func TestLogoutOfAllSessionsOfSomebody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		var ended []client.Ended
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}, OnSessionEnd: func(e client.Ended) { ended = append(ended, e) }})
		var browsers []*browser
		for i, sub := range []string{"alice", "alice", "bob"} {
			p.change(func(p *provider) {
				p.idToken = func(c claims) claims { return c.with(claims{"sub": sub, "sid": fmt.Sprint("s", i)}) }
			})
			b := newBrowser(t)
			b.network = network
			b.signIn(a)
			browsers = append(browsers, b)
		}
		time.Sleep(time.Second)
		tell := func(c claims) int {
			b := newBrowserAs(browsers[0])
			return b.do("POST", a.URL+"/backchannel", url.Values{"logout_token": {sign(t, p.key, jose.TypeLogoutToken, c)}}).StatusCode
		}
		if got := tell(p.logoutToken(claims{"sid": nil})); got != http.StatusOK {
			t.Fatal(got)
		}
		if browsers[0].me(a) != "" || browsers[1].me(a) != "" || browsers[2].me(a) == "" {
			t.Errorf("alice is %q and %q, bob %q", browsers[0].me(a), browsers[1].me(a), browsers[2].me(a))
		}
		if len(ended) != 2 || ended[0].Subject != "alice" || ended[0].Reason != client.EndedByBackChannel {
			t.Errorf("told of %+v", ended)
		}
		// A login that was under way when the word came makes no session.
		p.change(func(p *provider) { p.idToken = nil })
		late := browsers[0].callbackOf(a)
		if got := tell(p.logoutToken(claims{"sid": nil})); got != http.StatusOK {
			t.Fatal(got)
		}
		if answer := browsers[0].get(late); browsers[0].me(a) != "" || answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d, signed in as %q", answer.StatusCode, browsers[0].me(a))
		}
		time.Sleep(time.Second)
		if browsers[0].signIn(a); browsers[0].me(a) == "" {
			t.Error("alice cannot sign in any more")
		}
	})
}

// JW-17: what strangers send does not make us fetch.
func TestLogoutTokensOfUnknownKeys(t *testing.T) {
	spec.Covers(t, "JW-17")
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		b := newBrowser(t)
		b.network = network
		const tokens, minutes = 600, 10
		payload := p.logoutToken(nil)
		for i := range tokens {
			raw := compact(fmt.Sprintf(`{"alg":"ES256","kid":"random-%d"}`, i), payload, func(string) []byte { return make([]byte, 64) })
			if answer := b.do("POST", a.URL+"/backchannel", url.Values{"logout_token": {raw}}); answer.StatusCode != http.StatusBadRequest {
				t.Fatal(answer.StatusCode)
			}
			time.Sleep(minutes * time.Minute / tokens)
		}
		if n := p.seen("/jwks"); n > minutes+1 {
			t.Errorf("%d fetches in %d minutes", n, minutes)
		}
	})
}

// awayStore fails on demand.
type awayStore struct {
	kv.Store
	mu   sync.Mutex
	away bool
}

func (s *awayStore) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *awayStore) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errors.New("the store is away")
	}
	return nil
}

func (s *awayStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.err(); err != nil {
		return false, err
	}
	return s.Store.Add(ctx, key, value, ttl)
}

func (s *awayStore) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := s.err(); err != nil {
		return nil, false, err
	}
	return s.Store.Get(ctx, key)
}

func (s *awayStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Set(ctx, key, value, ttl)
}

func (s *awayStore) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := s.err(); err != nil {
		return false, err
	}
	return s.Store.Swap(ctx, key, old, new, ttl)
}

func (s *awayStore) Delete(ctx context.Context, key string) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key)
}

var sealingKey = []byte("0123456789abcdef0123456789abcdef")

func TestStoreAway(t *testing.T) {
	p := newProvider(t)
	store := &awayStore{Store: kv.NewMemory(kv.MemoryConfig{})}
	a := p.application(t, client.Config{Store: store, Keys: [][]byte{sealingKey}})
	b := newBrowser(t)
	b.signIn(a)
	cookies := len(b.jar)
	half := newBrowser(t)
	callback := half.callbackOf(a)
	store.set(true)
	for name, answer := range map[string]page{
		"a page":       b.get(a.URL + "/me"),
		"a logout":     b.do("POST", a.URL+"/logout", nil),
		"a callback":   half.get(callback),
		"back channel": backChannel(t, a, sign(t, p.key, jose.TypeLogoutToken, p.logoutToken(nil))),
	} {
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
	}
	if len(b.jar) != cookies || p.seen("/token") != 1 {
		t.Errorf("cookies %v, %d token requests", b.names(), p.seen("/token"))
	}
	store.set(false)
	if b.me(a) == "" {
		t.Error("the session is lost")
	}
	if half.get(callback); half.me(a) == "" {
		t.Error("the login is lost")
	}
}

// What lies in a store says nothing to whoever reads it.
func TestStoresHoldNoSecrets(t *testing.T) {
	spec.Covers(t, "SE-13")
	p := newProvider(t)
	seen := &seeingStore{Store: kv.NewMemory(kv.MemoryConfig{})}
	a := p.application(t, client.Config{Store: seen, Keys: [][]byte{sealingKey}})
	b := newBrowser(t)
	b.signIn(a)
	tokens := a.logins[0].Tokens
	for _, cookie := range b.jar {
		for name, text := range map[string]string{"cookie": cookie.Value, "access token": tokens.AccessToken.Reveal(), "refresh token": tokens.RefreshToken.Reveal(), "subject": "alice"} {
			if strings.Contains(seen.all.String(), text) {
				t.Errorf("the store holds the %s", name)
			}
		}
	}
	if seen.all.Len() == 0 {
		t.Error("nothing is in the store")
	}
	// Replicas with the key read it, others do not.
	for key, want := range map[string]bool{string(sealingKey): true, "another key of 32 random bytes, y": false} {
		other := p.client(t, client.Config{Store: seen, Keys: [][]byte{[]byte(key)[:32]}, RedirectURI: a.URL + "/callback"})
		r, _ := http.NewRequest("GET", a.URL, nil)
		for _, cookie := range b.jar {
			r.AddCookie(cookie)
		}
		if s, err := other.Session(r); want != (err == nil) || want && s.Subject() != "alice" {
			t.Errorf("with the key %q: %v", key, err)
		}
	}
	if _, err := client.New(t.Context(), p.issuer, client.Config{ClientID: clientID, Store: seen}); err == nil {
		t.Error("a shared store is taken without a key")
	}
}

// seeingStore remembers everything that was put into it.
type seeingStore struct {
	kv.Store
	all strings.Builder
}

func (s *seeingStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	fmt.Fprintln(&s.all, key, string(value))
	return s.Store.Add(ctx, key, value, ttl)
}

func (s *seeingStore) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	fmt.Fprintln(&s.all, key, string(new))
	return s.Store.Swap(ctx, key, old, new, ttl)
}

func (s *seeingStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	fmt.Fprintln(&s.all, key, string(value))
	return s.Store.Set(ctx, key, value, ttl)
}

func TestLoginsThatOthersBegin(t *testing.T) {
	spec.Covers(t, "OIDCC-4-1", "OR-01")
	p := newProvider(t)
	a := p.application(t, client.Config{})
	start := func(parameters url.Values) (page, *browser) {
		b := newBrowser(t)
		return b.get(a.URL + "/initiate?" + parameters.Encode()), b
	}
	for _, iss := range []string{"", "https://other.example", p.issuer + "/"} {
		if answer, _ := start(url.Values{"iss": {iss}}); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("iss %q: %d", iss, answer.StatusCode)
		}
	}
	for target, want := range map[string]string{
		a.URL + "/inbox?x=1": "/inbox?x=1", strings.ToUpper(a.URL) + "/inbox?x=1": "/inbox?x=1", a.URL: "/", "https://evil.example/inbox": "/", a.URL + ".evil.example/": "/", a.URL + "@evil.example/": "/", "//evil.example": "/", a.URL + "//evil.example": "/", "": "/",
	} {
		answer, b := start(url.Values{"iss": {p.issuer}, "login_hint": {"alice@example.com"}, "target_link_uri": {target}})
		if hint := queryOf(t, answer.to(t)).Get("login_hint"); hint != "alice@example.com" {
			t.Errorf("login_hint %q", hint)
		}
		if got := b.get(b.get(answer.to(t)).to(t)).Header.Get("Location"); got != want {
			t.Errorf("%s leads to %q, want %q", target, got, want)
		}
	}
	b := newBrowser(t)
	if answer := b.do("POST", a.URL+"/initiate", url.Values{"iss": {p.issuer}}); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("POST: %d", answer.StatusCode)
	}
}

// TestOriginsAsBrowsersWriteThem: an address may be registered in another form than that of Origin.
func TestOriginsAsBrowsersWriteThem(t *testing.T) {
	p := newProvider(t)
	for redirectURI, origins := range map[string]map[string]int{
		"https://App.example:443/callback": {"https://app.example": http.StatusSeeOther, "https://app.example:444": http.StatusForbidden, "http://app.example": http.StatusForbidden, "https://app.example:80": http.StatusForbidden},
		"http://127.0.0.1:80/callback":     {"http://127.0.0.1": http.StatusSeeOther, "http://127.0.0.1:8080": http.StatusForbidden, "https://127.0.0.1": http.StatusForbidden, "null": http.StatusForbidden},
		"http://127.0.0.1:4430/callback":   {"http://127.0.0.1:4430": http.StatusSeeOther, "http://127.0.0.1": http.StatusForbidden},
	} {
		c := p.client(t, client.Config{RedirectURI: redirectURI})
		for origin, want := range origins {
			r := httptest.NewRequest(http.MethodPost, "/logout", nil)
			r.Header.Set("Origin", origin)
			w := httptest.NewRecorder()
			c.LogoutHandler().ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s at %s: %d, want %d", origin, redirectURI, w.Code, want)
			}
		}
	}
}

func TestGroupsAreBounded(t *testing.T) {
	sessions := client.KVSessions{Store: kv.NewMemory(kv.MemoryConfig{})}
	ctx := t.Context()
	for i := range client.MaxGroup + 2 {
		id := fmt.Sprint("id-", i)
		if err := sessions.Join(ctx, "group", id, time.Hour); err != nil {
			t.Fatal(err)
		}
		if saved, err := sessions.Save(ctx, id, nil, []byte("sealed"), time.Hour); err != nil || !saved {
			t.Fatal(saved, err)
		}
	}
	members, err := sessions.Members(ctx, "group")
	if err != nil || len(members) != client.MaxGroup || members[0] != "id-2" {
		t.Errorf("%d members from %s, %v", len(members), members[0], err)
	}
	for id, want := range map[string]bool{"id-0": false, "id-1": false, "id-2": true} {
		if _, found, err := sessions.Load(ctx, id); err != nil || found != want {
			t.Errorf("%s is there: %v, %v", id, found, err)
		}
	}
	var joining sync.WaitGroup
	barrier := make(chan struct{})
	for i := range 16 {
		joining.Go(func() {
			<-barrier
			if err := sessions.Join(ctx, "many", fmt.Sprint(i), time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	close(barrier)
	joining.Wait()
	if members, err := sessions.Members(ctx, "many"); err != nil || len(members) != 16 {
		t.Errorf("%d members, %v", len(members), err)
	}
}

func (s *seeingStore) holds(text string) bool { return strings.Contains(s.all.String(), text) }

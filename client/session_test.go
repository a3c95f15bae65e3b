package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/kv"
)

// session is the one of the browser.
func (b *browser) session(a *application) *client.Session {
	b.t.Helper()
	r, err := http.NewRequest("GET", a.URL, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, cookie := range b.jar {
		r.AddCookie(cookie)
	}
	s, err := a.party.Session(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func TestWhatASessionKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		_, a, b := signedIn(t, client.Config{UserInfo: true, SessionLife: time.Hour})
		s := b.session(a)
		who := s.Identity()
		if s.Issuer() != a.party.Issuer() || s.Subject() != "alice" || who.Issuer != s.Issuer() || who.Subject != "alice" || who.SessionID != "sid-1" || !who.AuthTime.Equal(now.Truncate(time.Second)) {
			t.Errorf("%+v", who)
		}
		if string(who.Claims.Raw["sub"]) != `"alice"` || !who.Claims.Has("nonce") {
			t.Errorf("claims %s", who.Claims.Raw)
		}
		if s.UserInfo().Text("email") != "alice@example.com" || s.UserInfo().Text("sub_") != "" || s.Value("user") != "17" {
			t.Errorf("%s %q", s.UserInfo(), s.Value("user"))
		}
		var person struct{ Email string }
		if err := s.UserInfo().Decode(&person); err != nil || person.Email != "alice@example.com" {
			t.Errorf("%+v, %v", person, err)
		}
		if s.Began().Unix() != now.Unix() || s.Ends().Unix() != now.Unix()+3600 {
			t.Errorf("from %v to %v", s.Began(), s.Ends())
		}
	})
}

// A token that a resource refuses is renewed for the session and for the source.
func TestRefusedTokensOfPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, b := signedIn(t, client.Config{})
		renew := func(source client.Renewer) {
			t.Helper()
			before := p.refreshes()
			first, err := source.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if again, err := source.Renew(t.Context(), first); err != nil || again.AccessToken.Reveal() != first.AccessToken.Reveal() || p.refreshes() != before {
				t.Errorf("a token of this second: %v after %d refreshes", err, p.refreshes()-before)
			}
			time.Sleep(10 * time.Second)
			second, err := source.Renew(t.Context(), first)
			if err != nil || second.AccessToken.Reveal() == first.AccessToken.Reveal() || p.refreshes() != before+1 {
				t.Errorf("%v after %d refreshes", err, p.refreshes()-before)
			}
			// Whoever comes later with the old one gets the new one.
			if third, err := source.Renew(t.Context(), first); err != nil || third.AccessToken.Reveal() != second.AccessToken.Reveal() || p.refreshes() != before+1 {
				t.Errorf("%v after %d refreshes", err, p.refreshes()-before)
			}
		}
		renew(b.session(a))
		stale := b.session(a)
		if tokens, err := stale.Token(t.Context()); err != nil || tokens.RefreshToken.IsZero() {
			t.Errorf("%v", err)
		}
		source, _ := loggedIn(t, p, b.network.(direct), client.SourceConfig{})
		renew(source)
	})
}

func TestLoginsThatNobodyOpened(t *testing.T) {
	spec.Covers(t, "CF-11")
	p := newProvider(t)
	a := p.application(t, client.Config{})
	for name, headers := range map[string]http.Header{
		"a prefetch": {"Sec-Purpose": {"prefetch;prerender"}}, "an old prefetch": {"Purpose": {"prefetch"}},
		"a frame": {"Sec-Fetch-Dest": {"iframe"}}, "an image": {"Sec-Fetch-Dest": {"image"}}, "a script": {"Sec-Fetch-Dest": {"empty"}},
	} {
		b := newBrowser(t)
		b.headers = headers
		if answer := b.get(a.URL + "/login"); answer.StatusCode != http.StatusBadRequest || len(b.jar) != 0 {
			t.Errorf("%s: %d, cookies %v", name, answer.StatusCode, b.names())
		}
	}
	b := newBrowser(t)
	if answer := b.do("HEAD", a.URL+"/login", nil); answer.StatusCode != http.StatusBadRequest || len(b.jar) != 0 {
		t.Errorf("HEAD: %d", answer.StatusCode)
	}
	b.headers = http.Header{"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}}
	if answer := b.get(a.URL + "/login"); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("a person: %d", answer.StatusCode)
	}
}

func TestLoginsWhileTheIssuerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		delete(network, "127.0.0.1:1")
		var told error
		a := p.application(t, client.Config{Lazy: true, HTTPClient: &http.Client{Transport: network}})
		b := newBrowser(t)
		b.network = network
		if answer := b.get(a.URL + "/login"); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || len(b.jar) != 0 {
			t.Errorf("%d", answer.StatusCode)
		}
		network.host("127.0.0.1:1", p)
		time.Sleep(2 * time.Second)
		if b.signIn(a); b.me(a) == "" {
			t.Errorf("not signed in: %v", told)
		}
	})
}

func TestConfigurationsThatCannotBe(t *testing.T) {
	p := newProvider(t)
	for name, config := range map[string]client.Config{
		"no client": {}, "a malformed scope": {ClientID: "web", Scope: `a"b`}, "a response mode": {ClientID: "web", ResponseMode: "fragment"},
		"a relative address": {ClientID: "web", RedirectURI: "/callback"}, "a fragment": {ClientID: "web", RedirectURI: "https://app.example/#x"}, "plain http": {ClientID: "web", RedirectURI: "http://app.example/callback"},
		"plain http afterwards": {ClientID: "web", PostLogoutRedirectURI: "http://app.example/bye"}, "skew": {ClientID: "web", Skew: time.Hour}, "an algorithm": {ClientID: "web", Algorithms: []jose.Algorithm{"HS256"}},
		"a cookie's name": {ClientID: "web", CookieName: "a b"}, "a long name": {ClientID: "web", CookieName: strings.Repeat("a", 40)}, "a time": {ClientID: "web", SessionLife: -time.Second},
		"metadata": {ClientID: "web", Metadata: &client.Metadata{TokenEndpoint: "http://app.example/token"}},
	} {
		if c, err := client.New(t.Context(), p.issuer, config); err == nil || !strings.HasPrefix(err.Error(), "client: ") {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	for _, good := range []client.Config{
		{ClientID: "web", RedirectURI: "com.example.app:/callback"}, {ClientID: "web", RedirectURI: "http://app.example/callback", InsecureAllowHTTP: true},
		{ClientID: "web", Metadata: &client.Metadata{TokenEndpoint: p.URL + "/token"}},
	} {
		c, err := client.New(t.Context(), p.issuer, good)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = c.Close()
	}
	c := p.client(t, client.Config{Metadata: &client.Metadata{TokenEndpoint: p.URL + "/token"}})
	if _, err := c.Introspect(t.Context(), client.NewSecret("x"), ""); err == nil || !strings.Contains(err.Error(), "introspection_endpoint") {
		t.Errorf("an endpoint that is missing: %v", err)
	}
	if _, _, err := c.Begin(t.Context(), client.AuthorizationRequest{}); err == nil {
		t.Error("a login without an authorization_endpoint begins")
	}
	if _, _, err := p.client(t, client.Config{}).Begin(t.Context(), client.AuthorizationRequest{}); err == nil || !strings.Contains(err.Error(), "RedirectURI") {
		t.Errorf("without RedirectURI: %v", err)
	}
	if p.seen("/.well-known/*") != 3 {
		t.Errorf("%d fetches of metadata for three clients that bring none", p.seen("/.well-known/*"))
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for want, test := range map[string]struct {
		err    error
		status int
	}{
		"check ClientID":             {&client.RefusedError{Op: "refresh", Status: 401, Code: "invalid_client"}, 500},
		"register the client for":    {&client.RefusedError{Op: "refresh", Status: 400, Code: "unauthorized_client"}, 500},
		"begin anew":                 {&client.RefusedError{Op: "code exchange", Status: 400, Code: "invalid_grant"}, 400},
		"look at the issuer":         {&client.RefusedError{Op: "refresh", Status: 404}, 500},
		"scopes that the client":     {&client.RefusedError{Op: "refresh", Status: 400, Code: "invalid_scope"}, 500},
		"try again in 3s":            {&client.UnavailableError{Op: "refresh", RetryAfter: 3 * time.Second}, 503},
		"begin a login":              {client.ErrNoSession, 401},
		"begin a new login":          {fmt.Errorf("wrapped: %w", client.ErrSessionEnded), 401},
		"offline_access":             {client.ErrTokenExpired, 401},
		"the ID token was refused":   {&client.InvalidError{Op: "code exchange", Detail: "the ID token was refused"}, 502},
		"login: no: access_denied":   {&client.LoginError{Reason: client.Denied, Detail: "no", Code: "access_denied"}, 403},
		"name the API in Resources":  {client.ErrForeignResource, 500},
		"of another kind altogether": {errors.New("of another kind altogether"), 500},
	} {
		if got := test.err.Error(); !strings.Contains(got, want) || client.StatusOf(test.err) != test.status {
			t.Errorf("%s: %d, want %q and %d", got, client.StatusOf(test.err), want, test.status)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{"7": 7 * time.Second, "0": 0, "": 0, "-1": 0, "soon": 0, "999999": time.Hour, "date": time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			p, network := newDirectProvider(t)
			c := p.client(t, client.Config{HTTPClient: &http.Client{Transport: network}})
			if text == "date" {
				text = time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
			}
			p.fails(func(w http.ResponseWriter) {
				w.Header().Set("Retry-After", text)
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			_, err := c.Exchange(t.Context(), client.Exchange{SubjectToken: client.NewSecret("x")})
			if away, ok := errors.AsType[*client.UnavailableError](err); !ok || away.RetryAfter != want {
				t.Errorf("%q: %v", text, err)
			}
		})
	}
}

func TestLongAddressesToReturnTo(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{Scope: "openid " + strings.Repeat("x", 2500)})
	b := newBrowser(t)
	long := a.URL + "/" + strings.Repeat("x", 1000)
	answer := b.get(long)
	if answer.StatusCode != http.StatusBadRequest || len(b.jar) != 0 {
		t.Errorf("a cookie that no browser keeps: %d, %v", answer.StatusCode, b.names())
	}
	a = p.application(t, client.Config{})
	for _, length := range []int{900, 5000} {
		b := newBrowser(t)
		target := "/" + strings.Repeat("x", length)
		landed := b.get(b.get(b.get(a.URL + target).to(t)).to(t)).Header.Get("Location")
		if !slices.Contains([]string{target, "/"}, landed) || length < 1000 && landed != target {
			t.Errorf("%d characters lead to %.20s", length, landed)
		}
	}
}

// tampered is a store in whose sessions somebody changed a bit.
type tampered struct {
	kv.Store
	flip bool
}

func (s *tampered) Get(ctx context.Context, key string) ([]byte, bool, error) {
	value, found, err := s.Store.Get(ctx, key)
	if found && s.flip && strings.HasPrefix(key, "client session ") {
		value[len(value)/2] ^= 1
	}
	return value, found, err
}

// TestSessionsAreThoseOfTheStore: one that was opened before serves only while the store has the
// very same.
func TestSessionsAreThoseOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &tampered{Store: kv.NewMemory(kv.MemoryConfig{})}
		_, a, b := signedIn(t, client.Config{Store: store, Keys: [][]byte{[]byte("0123456789abcdef0123456789abcdef")}})
		r, err := http.NewRequest("GET", a.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, cookie := range b.jar {
			r.AddCookie(cookie)
		}
		for _, flip := range []bool{false, false, true, false} {
			store.flip = flip
			s, err := a.party.Session(r)
			if flip != errors.Is(err, client.ErrNoSession) || !flip && s.Subject() != "alice" {
				t.Errorf("tampered with: %v; %v", flip, err)
			}
		}
		live := b.session(a)
		if err := store.Delete(t.Context(), "client session "+live.ID()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.party.Session(r); !errors.Is(err, client.ErrNoSession) {
			t.Errorf("one that is gone: %v", err)
		}
	})
}

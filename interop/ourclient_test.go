package interop

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/jose"
)

func basicConfig() client.Config {
	return client.Config{ClientID: "basic: +%", ClientSecret: client.NewSecret(awkwardSecret), Scope: "openid offline_access email", UserInfo: true}
}

func (f *foreign) discovery(t *testing.T) {
	c := f.new(t, basicConfig())
	m, err := c.Metadata(t.Context())
	if err != nil || m.Issuer != f.issuer || m.PushedAuthorizationRequestEndpoint == "" || m.DeviceAuthorizationEndpoint == "" || !m.AuthorizationResponseIssParameterSupported {
		t.Errorf("%+v, %v", m, err)
	}
	var invalid *client.InvalidError
	if _, err := client.New(t.Context(), strings.Replace(f.issuer, "127.0.0.1", "localhost", 1), basicConfig()); !errors.As(err, &invalid) {
		t.Errorf("under another name: %v", err)
	}
}

// The ID token is RS256, UserInfo signed by ES256, the secret in Basic.
func (f *foreign) code(t *testing.T) {
	s := f.open(t, "basic", basicConfig())
	if words := s.signIn(t); words[0] != "alice" || words[1] != "alice@example.com" {
		t.Errorf("%q", words)
	}
}

func (f *foreign) otherAlgorithm(t *testing.T) {
	s := f.open(t, "es256", client.Config{ClientID: "es256", ClientSecret: client.NewSecret(awkwardSecret), AuthMethod: client.AuthPost, Algorithms: []jose.Algorithm{jose.ES256}})
	if words := s.signIn(t); words[0] != "alice" {
		t.Errorf("%q", words)
	}
}

func (f *foreign) formPost(t *testing.T) {
	config := basicConfig()
	config.ResponseMode = "form_post"
	s := f.open(t, "basic", config)
	if words := s.signIn(t); words[0] != "alice" {
		t.Errorf("%q", words)
	}
}

func (f *foreign) pushed(t *testing.T) {
	s := f.open(t, "jwt", client.Config{ClientID: "jwt", PrivateKey: f.key, Scope: "openid offline_access", PushRequests: true})
	if words := s.signIn(t); words[0] != "alice" {
		t.Errorf("%q", words)
	}
	address, _, err := s.Begin(t.Context(), client.AuthorizationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if query := queryOf(t, address); len(query) != 2 || query.Get("request_uri") == "" {
		t.Errorf("the front channel has %v", query)
	}
}

func queryOf(t *testing.T, address string) url.Values {
	t.Helper()
	uri, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return uri.Query()
}

// The provider takes a second use of a refresh token for a theft and ends the
// grant: fifty requests at the end must make one refresh.
func (f *foreign) refresh(t *testing.T) {
	s := f.open(t, "basic", basicConfig())
	first := s.signIn(t)
	for range 3 {
		time.Sleep((accessTokenLife + 1) * time.Second)
		var asking sync.WaitGroup
		barrier := make(chan struct{})
		for range 50 {
			asking.Go(func() {
				<-barrier
				if _, status := s.me(t); status != http.StatusOK {
					t.Errorf("status %d", status)
				}
			})
		}
		close(barrier)
		asking.Wait()
	}
	if words, status := s.me(t); status != http.StatusOK || words[2] == first[2] {
		t.Errorf("%d %q", status, words)
	}
	if stats := s.Stats(); stats.Renewals != 3 || stats.Failures != 0 {
		t.Errorf("%+v", stats)
	}
}

func (f *foreign) refreshRevoked(t *testing.T) {
	s := f.open(t, "basic", basicConfig())
	s.signIn(t)
	session := s.session(t)
	tokens, err := session.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), tokens.RefreshToken, "refresh_token"); err != nil {
		t.Fatal(err)
	}
	time.Sleep((accessTokenLife + 1) * time.Second)
	if _, err := session.Token(t.Context()); !errors.Is(err, client.ErrSessionEnded) {
		t.Errorf("%v", err)
	}
	if _, status := s.me(t); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
}

// session is that of the person's browser.
func (s *site) session(t *testing.T) *client.Session {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.origin, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range s.client.Jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	session, err := s.Session(r)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func (f *foreign) logout(t *testing.T) {
	config := basicConfig()
	config.PostLogoutRedirectURI = f.originOf("basic") + "/bye"
	s := f.open(t, "basic", config)
	s.signIn(t)
	at, err := url.Parse(s.origin + "/logout")
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.post(at, at, url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	end := s.walk(t, response.Header.Get("Location"), "", alice)
	if end.body != "bye" {
		t.Errorf("stopped at %s with %d: %.600s", end.address, end.status, end.body)
	}
	if _, status := s.me(t); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
}

// Alice signs out at the provider, and our application hears of it.
func (f *foreign) backChannel(t *testing.T) {
	s := f.open(t, "basic", basicConfig())
	s.signIn(t)
	m, err := s.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if end := s.walk(t, m.EndSessionEndpoint, "", alice); end.status != http.StatusOK {
		t.Errorf("stopped at %s with %d: %.600s", end.address, end.status, end.body)
	}
	for deadline := time.Now().Add(stopsWithin); ; time.Sleep(50 * time.Millisecond) {
		if _, status := s.me(t); status == http.StatusUnauthorized {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the session lives on")
		}
	}
}

func (f *foreign) loopback(t *testing.T) {
	c := f.new(t, client.Config{ClientID: "native", Scope: "openid offline_access"})
	w := newWalker(t)
	w.fill = fillForeign
	walked := make(chan page, 1)
	login, err := c.LoginByLoopback(t.Context(), client.LoopbackConfig{
		Request: client.AuthorizationRequest{Prompt: "consent"},
		Open:    func(address string) error { go func() { walked <- w.walk(t, address, "", alice) }(); return nil },
	})
	if err != nil || login.Subject != "alice" || login.Tokens.RefreshToken.IsZero() {
		t.Fatalf("%+v, %v", login, err)
	}
	if end := <-walked; end.status != http.StatusOK {
		t.Errorf("the browser shows %d", end.status)
	}
	source := c.Source(login.Tokens, client.SourceConfig{Identity: login.Identity})
	time.Sleep((accessTokenLife + 1) * time.Second)
	if tokens, err := source.Token(t.Context()); err != nil || tokens.AccessToken.Reveal() == login.Tokens.AccessToken.Reveal() {
		t.Errorf("%v", err)
	}
}

func (f *foreign) device(t *testing.T) {
	c := f.new(t, client.Config{ClientID: "native", Scope: "openid offline_access"})
	device, err := c.Device(t.Context(), client.DeviceRequest{})
	if err != nil {
		t.Fatal(err)
	}
	w := newWalker(t)
	w.fill = fillForeign
	if end := w.walk(t, device.VerificationURIComplete, "", alice); end.status != http.StatusOK {
		t.Fatalf("stopped at %s with %d: %.600s", end.address, end.status, end.body)
	}
	login, err := device.Wait(t.Context())
	if err != nil || login.Subject != "alice" || login.Tokens.RefreshToken.IsZero() {
		t.Errorf("%+v, %v", login, err)
	}
}

func (f *foreign) deviceDenied(t *testing.T) {
	c := f.new(t, client.Config{ClientID: "native"})
	device, err := c.Device(t.Context(), client.DeviceRequest{})
	if err != nil {
		t.Fatal(err)
	}
	w := newWalker(t)
	w.fill = func(page string, who person) (string, url.Values, bool) {
		action, values, ok := fillForeign(page, who)
		if values.Has("confirm") {
			values.Del("confirm")
			values.Set("abort", "yes")
		}
		return action, values, ok && !strings.Contains(page, "interrupted")
	}
	w.walk(t, device.VerificationURIComplete, "", alice)
	_, err = device.Wait(t.Context())
	if refused, ok := errors.AsType[*client.LoginError](err); !ok || refused.Code != "access_denied" {
		t.Errorf("%v", err)
	}
}

func (f *foreign) clientCredentials(t *testing.T) {
	for _, config := range []client.Config{basicConfig(), {ClientID: "jwt", PrivateKey: f.key}} {
		things, err := f.new(t, config).Credentials(client.CredentialsConfig{Scope: "things:read", Resource: thingsAPI})
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := things.Token(t.Context())
		if err != nil || tokens.Scope.String() != "things:read" || strings.Count(tokens.AccessToken.Reveal(), ".") != 2 {
			t.Errorf("%+v, %v", tokens, err)
		}
	}
}

func (f *foreign) introspection(t *testing.T) {
	c := f.new(t, basicConfig())
	own, err := c.Credentials(client.CredentialsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := own.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Introspect(t.Context(), tokens.AccessToken, "access_token"); err != nil || !got.Active || got.ClientID != "basic: +%" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Revoke(t.Context(), tokens.AccessToken, "access_token"); err != nil {
		t.Error(err)
	}
	for _, token := range []client.Secret{tokens.AccessToken, client.NewSecret("nobody-s")} {
		if got, err := c.Introspect(t.Context(), token, ""); err != nil || got.Active {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func (f *foreign) registration(t *testing.T) {
	registered, err := client.Register(t.Context(), f.issuer, client.Registration{
		RedirectURIs: []string{f.originOf("basic") + "/callback"}, ClientName: "Registered", GrantTypes: []string{"authorization_code", "client_credentials"},
	}, client.RegisterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := f.new(t, registered.Config()).Credentials(client.CredentialsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Token(t.Context()); err != nil {
		t.Error(err)
	}
	if err := registered.Read(t.Context()); err != nil || registered.Registration.ClientName != "Registered" {
		t.Errorf("%+v, %v", registered.Registration, err)
	}
	if err := registered.Update(t.Context(), client.Registration{RedirectURIs: registered.Registration.RedirectURIs, ClientName: "Renamed"}); err != nil || registered.Registration.ClientName != "Renamed" {
		t.Errorf("%+v, %v", registered.Registration, err)
	}
	if err := registered.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	if err := registered.Read(t.Context()); client.StatusOf(err) == http.StatusServiceUnavailable || err == nil {
		t.Errorf("after its end: %v", err)
	}
}

func (f *foreign) refusals(t *testing.T) {
	config := basicConfig()
	config.ClientSecret = client.NewSecret("a wrong secret")
	own, err := f.new(t, config).Credentials(client.CredentialsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = own.Token(t.Context())
	if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Code != "invalid_client" || bytes.Contains([]byte(err.Error()), []byte("a wrong secret")) {
		t.Errorf("%v", err)
	}
	s := f.open(t, "basic", basicConfig())
	if end := s.walk(t, s.origin+"/callback?error=access_denied&state=x&iss="+url.QueryEscape(f.issuer), "", alice); end.status != http.StatusBadRequest {
		t.Errorf("an answer that nobody asked for: %d", end.status)
	}
}

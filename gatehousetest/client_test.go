package gatehousetest_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
	"gatehouse/kv"
)

const clientTenant = `
resources:
  - identifier: https://photos.example
    scopes:
      - name: photos:read
        description: See your photos
clients:
  - client_id: web
    client_name: Example Web
    client_secret: web-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://app.example/cb]
    post_logout_redirect_uris: [https://app.example/bye]
    grant_types: [authorization_code, refresh_token, client_credentials]
    scope: openid profile email offline_access photos:read
users:
  - username: alice
    password: wonderland-alice
    name: Alice Example
    email: alice@example.com
`

// wire is the way from the application to the server; it can lose answers.
type wire struct {
	issuer *gatehousetest.Issuer

	mu     sync.Mutex
	lose   int // answers of the token endpoint
	tokens int // requests to it
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.issuer.RoundTrip(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.URL.Path == "/token" {
		w.tokens++
		if w.lose > 0 {
			w.lose--
			return nil, errors.New("connection reset by peer")
		}
	}
	return response, err
}

func (w *wire) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tokens
}

// application is one that a person uses with a browser of the server's, by way of
// one or more replicas of ours.
type application struct {
	*testing.T
	wire     *wire
	replicas []*client.Client
	browser  *gatehousetest.Browser
	cookies  map[string]string
	login    client.Login
}

func newApplication(t *testing.T, issuer *gatehousetest.Issuer, replicas int) *application {
	t.Helper()
	a := &application{T: t, wire: &wire{issuer: issuer}, browser: issuer.NewBrowser(t), cookies: map[string]string{}}
	store := kv.NewMemory(kv.MemoryConfig{})
	for range replicas {
		c, err := client.New(t.Context(), issuer.URL, client.Config{
			ClientID: "web", ClientSecret: client.NewSecret(webSecret), RedirectURI: "https://app.example/cb", PostLogoutRedirectURI: "https://app.example/bye",
			Scope: "openid profile email offline_access photos:read", Resources: []string{"https://photos.example"}, UserInfo: true,
			Store: store, Keys: [][]byte{[]byte("0123456789abcdef0123456789abcdef")}, SessionLife: 60 * 24 * time.Hour, SessionIdle: 40 * 24 * time.Hour,
			HTTPClient: &http.Client{Transport: a.wire}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		a.replicas = append(a.replicas, c)
	}
	return a
}

func (a *application) serve(handler http.Handler, r *http.Request) *http.Response {
	for name, value := range a.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	for _, cookie := range w.Result().Cookies() {
		if a.cookies[cookie.Name] = cookie.Value; cookie.MaxAge < 0 {
			delete(a.cookies, cookie.Name)
		}
	}
	return w.Result()
}

// signIn begins at one replica and ends at the other, as behind a balancer.
func (a *application) signIn() {
	a.Helper()
	begun := a.serve(a.replicas[0].LoginHandler(), httptest.NewRequest("GET", "https://app.example/login", nil))
	page := a.browser.SignIn(begun.Header.Get("Location"), "alice", "wonderland-alice")
	if page.Location == nil {
		a.Fatalf("%d at %s: %s", page.StatusCode, page.Path, page.Text)
	}
	last := a.replicas[len(a.replicas)-1]
	done := a.serve(last.CallbackHandler(func(_ *http.Request, login *client.Login) error { a.login = *login; return nil }), httptest.NewRequest("GET", page.Location.String(), nil))
	if done.StatusCode != http.StatusSeeOther {
		a.Fatalf("the callback is answered %d\n%s", done.StatusCode, a.wire.issuer.Log())
	}
}

func (a *application) session(replica int) (*client.Session, error) {
	r := httptest.NewRequest("GET", "https://app.example/", nil)
	for name, value := range a.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return a.replicas[replica].Session(r)
}

func (a *application) token(replica int) (string, error) {
	s, err := a.session(replica)
	if err != nil {
		return "", err
	}
	tokens, err := s.Token(a.Context())
	return tokens.AccessToken.Reveal(), err
}

func TestOurClientAtOurServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: clientTenant, Engine: gatehousetest.SQLite})
		defer stop()
		a := newApplication(t, issuer, 2)
		a.signIn()
		if a.login.Subject == "" || a.login.UserInfo.Text("email") != "alice@example.com" || a.login.ACR == "" || a.login.AuthTime.IsZero() {
			t.Errorf("%+v", a.login)
		}
		introspected, err := a.replicas[0].Introspect(t.Context(), a.login.Tokens.RefreshToken, "refresh_token")
		if err != nil || !introspected.Active || introspected.Subject != a.login.Subject {
			t.Errorf("%+v, %v", introspected, err)
		}
		times, pause := 8, 2*time.Hour // longer than the access tokens here, and than the grace
		if nightly() {
			times, pause = 25, 24*time.Hour
		}
		seen := map[string]bool{}
		for round := range times {
			for replica := range a.replicas {
				access, err := a.token(replica)
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				seen[access] = true
			}
			time.Sleep(pause)
		}
		if len(seen) != times || a.wire.asked() != times {
			t.Errorf("%d tokens by %d requests", len(seen), a.wire.asked())
		}
	})
}

func TestOurClientLosesAnswersOfOurServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: clientTenant, Engine: gatehousetest.SQLite})
		defer stop()
		a := newApplication(t, issuer, 1)
		a.signIn()
		for _, lost := range []int{1, 2, 1} {
			time.Sleep(time.Hour)
			a.wire.mu.Lock()
			a.wire.lose = lost
			a.wire.mu.Unlock()
			for range 4 { // once more after the pause, if it was lost twice
				if _, err := a.token(0); err == nil {
					break
				}
				time.Sleep(2 * time.Second)
			}
			if _, err := a.token(0); err != nil {
				t.Errorf("after %d lost answers: %v", lost, err)
			}
		}
		if strings.Contains(issuer.Log(), "refresh-replayed") {
			t.Error("the server takes a repeated request for a theft")
		}
	})
}

func TestStormAtOurServer(t *testing.T) {
	spec.Covers(t, "BB-06")
	synctest.Test(t, func(t *testing.T) {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: clientTenant, Engine: gatehousetest.SQLite})
		defer stop()
		a := newApplication(t, issuer, 2)
		a.signIn()
		for round := range 3 {
			time.Sleep(time.Hour)
			before := a.wire.asked()
			var asking sync.WaitGroup
			barrier := make(chan struct{})
			for i := range 200 {
				asking.Go(func() {
					<-barrier
					if _, err := a.token(i % 2); err != nil {
						t.Error(err)
					}
				})
			}
			close(barrier)
			asking.Wait()
			if n := a.wire.asked() - before; n != 1 {
				t.Errorf("round %d: %d refreshes", round, n)
			}
		}
	})
}

func TestOurClientSignsOutAtOurServer(t *testing.T) {
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: clientTenant})
	a := newApplication(t, issuer, 1)
	a.signIn()
	tokens := a.login.Tokens
	out := a.serve(a.replicas[0].LogoutHandler(), httptest.NewRequest("POST", "https://app.example/logout", nil))
	if _, err := a.session(0); !errors.Is(err, client.ErrNoSession) || len(a.cookies) != 1 {
		t.Errorf("%v, cookies %v", err, a.cookies)
	}
	if got, err := a.replicas[0].Introspect(t.Context(), tokens.RefreshToken, ""); err != nil || got.Active {
		t.Errorf("the refresh token outlives the session: %+v, %v", got, err)
	}
	page := a.browser.Get(out.Header.Get("Location"))
	if page.Location == nil || !strings.HasPrefix(page.Location.String(), "https://app.example/bye?state=") {
		t.Fatalf("%d at %s, sent to %v", page.StatusCode, page.Path, page.Location)
	}
	bye := a.replicas[0].LoggedOutHandler(http.NotFoundHandler())
	if back := a.serve(bye, httptest.NewRequest("GET", page.Location.String(), nil)); back.StatusCode != http.StatusNotFound {
		t.Errorf("back from the logout: %d", back.StatusCode)
	}
	// The server has forgotten her, too.
	address, _, err := a.replicas[0].Begin(t.Context(), client.AuthorizationRequest{Prompt: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if page := a.browser.Get(address); page.Location == nil || page.Location.Query().Get("error") != "login_required" {
		t.Errorf("%d at %s, sent to %v", page.StatusCode, page.Path, page.Location)
	}
}

func TestOurClientByItself(t *testing.T) {
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: clientTenant})
	a := newApplication(t, issuer, 1)
	photos, err := a.replicas[0].Credentials(client.CredentialsConfig{Scope: "photos:read", Resource: "https://photos.example"})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := photos.Token(t.Context())
	if err != nil || tokens.Scope.String() != "photos:read" {
		t.Fatalf("%+v, %v", tokens, err)
	}
	if err := a.replicas[0].Revoke(t.Context(), tokens.AccessToken, "access_token"); err != nil {
		t.Error(err)
	}
	foreign, err := a.replicas[0].Credentials(client.CredentialsConfig{Resource: "https://elsewhere.example"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = foreign.Token(t.Context())
	if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Code != "invalid_target" || refused.Description == "" {
		t.Errorf("%v", err)
	}
	// The code of a login is good for its own transaction alone.
	_, mallory, err := a.replicas[0].Begin(t.Context(), client.AuthorizationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	address, _, err := a.replicas[0].Begin(t.Context(), client.AuthorizationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answer := a.browser.SignIn(address, "alice", "wonderland-alice").Location.Query()
	answer.Set("state", mallory.State)
	callback := httptest.NewRequest("GET", "https://app.example/cb?"+url.Values(answer).Encode(), nil)
	if done := a.serve(a.replicas[0].CallbackHandler(nil), callback); done.StatusCode != http.StatusBadRequest {
		t.Errorf("a code that was injected is answered %d", done.StatusCode)
	}
}

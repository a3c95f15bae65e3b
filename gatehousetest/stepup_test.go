package gatehousetest_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/gatehousetest"
	"gatehouse/oauth"
	"gatehouse/resource"
)

// TestAnAPIAsksForANewSignIn is RFC 9470 with our own parts: an API finds the sign-in behind a token
// too old and says so, the application has the person sign in anew, and then the API is content.
func TestAnAPIAsksForANewSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: clientTenant, Engine: gatehousetest.SQLite})
		defer stop()
		quiet := slog.New(slog.DiscardHandler)
		rs, err := resource.New(t.Context(), resource.Config{Issuer: issuer.URL, Audience: "https://photos.example", HTTPClient: &http.Client{Transport: issuer}, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer rs.Close()
		deletes := rs.Guard(resource.Needs{Scopes: []string{"photos:read"}, MaxAuthAge: 5 * time.Minute})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		calls := func(login *client.Login) *http.Response {
			r := httptest.NewRequest(http.MethodDelete, "https://photos.example/photos/1", nil)
			r.Header.Set("Authorization", "Bearer "+login.Tokens.AccessToken.Reveal())
			w := httptest.NewRecorder()
			deletes.ServeHTTP(w, r)
			return w.Result()
		}
		c, err := client.New(t.Context(), issuer.URL, client.Config{
			ClientID: "web", ClientSecret: client.NewSecret(webSecret), RedirectURI: "https://app.example/cb",
			Scope: "openid photos:read", Resources: []string{"https://photos.example"}, HTTPClient: &http.Client{Transport: issuer}, Logger: quiet,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		browser := issuer.NewBrowser(t)
		// signIn goes through a login; the person types the password only if the page asks.
		signIn := func(asked client.AuthorizationRequest) (login *client.Login, typed bool) {
			t.Helper()
			address, transaction, err := c.Begin(t.Context(), asked)
			if err != nil {
				t.Fatal(err)
			}
			page := browser.Get(address)
			if typed = page.Location == nil; typed {
				page = browser.SignIn(address, "alice", "wonderland-alice")
			}
			form, err := oauth.ParseForm(page.Location.RawQuery)
			if err != nil {
				t.Fatal(err)
			}
			if login, err = c.Finish(t.Context(), transaction, form); err != nil {
				t.Fatal(err)
			}
			return login, typed
		}
		login, _ := signIn(client.AuthorizationRequest{})
		if answer := calls(login); answer.StatusCode != http.StatusOK {
			t.Fatalf("a fresh sign-in: %d", answer.StatusCode)
		}
		time.Sleep(7 * time.Minute)
		// Another login does not help by itself: the person is still signed in from before.
		login, typed := signIn(client.AuthorizationRequest{})
		if typed {
			t.Error("the person was asked again without a reason")
		}
		answer := calls(login)
		if answer.StatusCode != http.StatusUnauthorized {
			t.Fatalf("an old sign-in: %d", answer.StatusCode)
		}
		challenges := client.ParseChallenges(answer.Header)
		if len(challenges) != 1 {
			t.Fatalf("%v", answer.Header)
		}
		asked, is := challenges[0].StepUp()
		if !is || asked.MaxAge != 5*time.Minute {
			t.Fatalf("%+v of %v", asked, challenges)
		}
		login, typed = signIn(asked)
		if !typed || time.Since(login.AuthTime) > time.Minute {
			t.Errorf("typed: %v; signed in %v ago", typed, time.Since(login.AuthTime))
		}
		if answer := calls(login); answer.StatusCode != http.StatusOK {
			t.Errorf("after the new sign-in: %d %v", answer.StatusCode, answer.Header)
		}
		// And no loop: what is young enough is not asked for again.
		if _, typed = signIn(asked); typed {
			t.Error("a sign-in that is young enough was asked for again")
		}
	})
}

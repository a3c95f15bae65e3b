package interop

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/client"
	"gatehouse/resource"
)

// api is an API of ours that takes the provider's tokens.
func (f *foreign) api(t *testing.T, config resource.Config) func(raw, scope string) (status int, text string) {
	t.Helper()
	config.Issuer, config.Logger = f.issuer, slog.New(slog.DiscardHandler)
	config.ClientID, config.ClientSecret = "basic: +%", awkwardSecret
	rs, err := resource.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rs.Close)
	return func(raw, scope string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "/things", nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		w := httptest.NewRecorder()
		rs.Require(scope)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			access, _ := resource.AccessFrom(r.Context())
			user, is := access.User()
			if !is {
				user.Subject = "nobody"
			}
			_, _ = io.WriteString(w, user.Subject+" by "+access.ClientID)
		})).ServeHTTP(w, r)
		return w.Code, w.Body.String() + w.Header().Get("WWW-Authenticate")
	}
}

// protectedAPI has our middleware take tokens of the provider's: JWTs checked by its keys, opaque ones
// introspected, of a service and of a person.
func (f *foreign) protectedAPI(t *testing.T) {
	wants := func(status int, text string, wantStatus int, want string) {
		t.Helper()
		if status != wantStatus || !strings.Contains(text, want) {
			t.Errorf("%d %s, want %d %s", status, text, wantStatus, want)
		}
	}
	c := f.new(t, basicConfig())
	token := func(of string) client.Secret {
		t.Helper()
		credentials, err := c.Credentials(client.CredentialsConfig{Scope: "things:read", Resource: of})
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := credentials.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tokens.AccessToken
	}
	for _, audience := range []string{thingsAPI, opaqueThingsAPI} {
		raw := token(audience)
		if isJWT := strings.Count(raw.Reveal(), ".") == 2; isJWT != (audience == thingsAPI) {
			t.Fatalf("the token for %s is a JWT: %v", audience, isJWT)
		}
		ask := f.api(t, resource.Config{Audience: audience, Opaque: true})
		status, text := ask(raw.Reveal(), "things:read")
		wants(status, text, http.StatusOK, "nobody by basic: +%")
		status, text = ask(raw.Reveal(), "things:write")
		wants(status, text, http.StatusForbidden, "insufficient_scope")
		status, text = ask(raw.Reveal()[1:], "things:read")
		wants(status, text, http.StatusUnauthorized, "invalid_token")
		status, text = f.api(t, resource.Config{Audience: "https://elsewhere.example/", Opaque: true})(raw.Reveal(), "things:read")
		wants(status, text, http.StatusUnauthorized, "invalid_token")
	}
	// What it says has ended is refused.
	ended := token(opaqueThingsAPI)
	if err := c.Revoke(t.Context(), ended, "access_token"); err != nil {
		t.Error(err)
	}
	status, text := f.api(t, resource.Config{Audience: opaqueThingsAPI, Opaque: true})(ended.Reveal(), "things:read")
	wants(status, text, http.StatusUnauthorized, "invalid_token")

	// A person's token; and their ID token, which is none.
	native := f.new(t, client.Config{ClientID: "native", Scope: "openid things:read", Resources: []string{thingsAPI}})
	w := newWalker(t)
	w.fill = fillForeign
	walked := make(chan page, 1)
	login, err := native.LoginByLoopback(t.Context(), client.LoopbackConfig{
		Open: func(address string) error { go func() { walked <- w.walk(t, address, "", alice) }(); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-walked
	ask := f.api(t, resource.Config{Audience: thingsAPI})
	status, text = ask(login.Tokens.AccessToken.Reveal(), "things:read")
	wants(status, text, http.StatusOK, login.Subject+" by native")
	status, text = ask(login.Tokens.IDToken.Reveal(), "things:read")
	wants(status, text, http.StatusUnauthorized, "invalid_token")
}

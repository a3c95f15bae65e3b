package gatehousetest_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"gatehouse/client"
	"gatehouse/gatehousetest"
	"gatehouse/oauth"
	"gatehouse/resource"
)

const (
	albumsAPI  = "https://albums.example"
	billingAPI = "https://billing.example"

	chainTenant = `
resources:
  - identifier: ` + albumsAPI + `
    scopes: {"albums:read": See your albums, "albums:write": Change your albums}
  - identifier: ` + billingAPI + `
    scopes: {"billing:read": See your invoices}
    token_format: opaque
clients:
  - client_id: web
    client_secret: ` + webSecret + `
    redirect_uris: [https://app.example/cb]
    grant_types: [authorization_code]
    scope: openid albums:read
  - client_id: albums-server
    client_secret: albums-secret-that-is-long-enough-to-be-random
    grant_types: ["urn:ietf:params:oauth:grant-type:token-exchange"]
    scope: albums:read
    introspects: [` + albumsAPI + `]
    token_exchange: {accepts: [` + albumsAPI + `], audiences: [` + billingAPI + `]}
  - client_id: billing-server
    client_secret: billing-secret-that-is-long-enough-to-be-random
    grant_types: [client_credentials]
    introspects: [` + billingAPI + `]
users:
  - username: alice
    password: wonderland-alice
`
)

// network leads to handlers by their origins, and to the issuer from everywhere else.
type network struct {
	issuer   *gatehousetest.Issuer
	handlers map[string]http.Handler
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	handler, known := n.handlers[r.URL.Scheme+"://"+r.URL.Host]
	if !known {
		return n.issuer.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestAnAPICallsAnotherForItsCaller is the whole way of a user's call: an application, an API that
// takes its token, exchanges it, and calls another one, all with our own libraries at our own server.
func TestAnAPICallsAnotherForItsCaller(t *testing.T) {
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: chainTenant})
	net := &network{issuer: issuer, handlers: map[string]http.Handler{}}
	wire := &http.Client{Transport: net}
	quiet := slog.New(slog.DiscardHandler)
	protects := func(config resource.Config) *resource.Server {
		config.Issuer, config.HTTPClient, config.Logger = issuer.URL, wire, quiet
		rs, err := resource.New(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(rs.Close)
		return rs
	}
	is := func(id, secret string, config client.Config) *client.Client {
		config.ClientID, config.ClientSecret, config.HTTPClient, config.Logger = id, client.NewSecret(secret), wire, quiet
		c, err := client.New(t.Context(), issuer.URL, config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}

	// Billing takes opaque tokens, and tells who calls, and for whom.
	billing := protects(resource.Config{Audience: billingAPI, Opaque: true, ClientID: "billing-server", ClientSecret: "billing-secret-that-is-long-enough-to-be-random"})
	net.handlers[billingAPI] = billing.Require("albums:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, _ := resource.AccessFrom(r.Context())
		actor, err := access.Claims.Actor()
		if err != nil || actor == nil {
			http.Error(w, "nobody acts", http.StatusTeapot)
			return
		}
		user, _ := access.User()
		_ = json.NewEncoder(w).Encode([]string{user.Subject, actor.Subject, access.ClientID})
	}))

	// Albums calls billing for its callers.
	albums := protects(resource.Config{Audience: albumsAPI})
	server := is("albums-server", "albums-secret-that-is-long-enough-to-be-random", client.Config{})
	exchange := client.Exchange{Resources: []string{billingAPI}}
	net.handlers[albumsAPI] = albums.Require("albums:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		theirs, err := resource.BearerToken(r.Header.Values("Authorization"))
		if err != nil {
			t.Error(err)
		}
		asked := exchange
		asked.SubjectToken = client.NewSecret(theirs)
		tokens, err := server.Exchange(r.Context(), asked)
		if refused, is := errors.AsType[*client.RefusedError](err); is {
			http.Error(w, string(refused.Code), http.StatusBadGateway)
			return
		} else if err != nil {
			t.Error(err)
			return
		}
		if tokens.IssuedType != client.TypeAccessToken || tokens.Expiry.IsZero() || !tokens.RefreshToken.IsZero() {
			t.Errorf("%+v", tokens)
		}
		api := &http.Client{Transport: &client.Transport{Source: tokens, Resources: []string{billingAPI}, Base: net}}
		response, err := api.Get(billingAPI + "/invoices")
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = response.Body.Close() }()
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}))

	// Alice signs in, and her application calls albums.
	web := is("web", webSecret, client.Config{RedirectURI: "https://app.example/cb", Scope: "openid albums:read", Resources: []string{albumsAPI}})
	address, transaction, err := web.Begin(t.Context(), client.AuthorizationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answer := issuer.NewBrowser(t).SignIn(address, "alice", "wonderland-alice")
	form, err := oauth.ParseForm(answer.Location.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	login, err := web.Finish(t.Context(), transaction, form)
	if err != nil {
		t.Fatal(err)
	}
	calls := func(at string, source client.TokenSource, wantStatus int, want string) {
		t.Helper()
		api := &http.Client{Transport: &client.Transport{Source: source, Resources: []string{at}, Base: net}}
		response, err := api.Get(at + "/albums")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		said, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != wantStatus || want != "" && string(said) != want+"\n" {
			t.Errorf("%d %s (%v), want %d %s", response.StatusCode, said, err, wantStatus, want)
		}
	}
	done := `["` + login.Subject + `","albums-server","albums-server"]`
	calls(albumsAPI, login.Tokens, http.StatusOK, done)
	// The token of the call is good for albums alone.
	calls(billingAPI, login.Tokens, http.StatusUnauthorized, "")
	for name, test := range map[string]struct {
		change func()
		code   string
	}{
		"a target that the policy does not name": {func() { exchange.Resources = []string{albumsAPI} }, "invalid_target"},
		"more than the caller may":               {func() { exchange.Scope = "albums:write" }, "invalid_scope"},
		"a token of the wrong kind":              {func() { exchange.SubjectTokenType = client.TypeRefreshToken }, "invalid_request"},
		"an actor who is nobody":                 {func() { exchange.ActorToken = client.NewSecret("nobody") }, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			good := exchange
			defer func() { exchange = good }()
			test.change()
			calls(albumsAPI, login.Tokens, http.StatusBadGateway, test.code)
		})
	}
	calls(albumsAPI, login.Tokens, http.StatusOK, done)
	// What has ended can be exchanged no more, though albums, which does not follow the feed, takes it.
	if err := web.Revoke(t.Context(), login.Tokens.AccessToken, ""); err != nil {
		t.Fatal(err)
	}
	calls(albumsAPI, login.Tokens, http.StatusBadGateway, "invalid_request")
}

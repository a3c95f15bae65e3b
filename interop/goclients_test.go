package interop

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// goClients is coreos/go-oidc with golang.org/x/oauth2 against a server.
type goClients struct {
	*testing.T
	server   *stage
	provider *oidc.Provider
	names    []string
}

func testGoClients(t *testing.T, server *stage) {
	provider, err := oidc.NewProvider(t.Context(), server.Dev.Issuer)
	if err != nil {
		t.Fatalf("discovery: %v", err)
	}
	g := &goClients{T: t, server: server, provider: provider}
	g.check("discovery", g.discovery)
	for _, kind := range []string{"demo-web", "demo-spa", "basic", "post", "public"} {
		g.check("code-pkce-"+kind, func(t *testing.T) { g.codeAndPKCE(t, kind) })
	}
	g.check("auto-detected-auth-style", g.autoDetectedAuthStyle)
	g.check("id-token-for-another-audience-refused", g.wrongAudience)
	g.check("id-token-es256-not-expected-refused", g.wrongAlgorithm)
	g.check("refresh-through-token-source", g.refreshThroughTokenSource)
	g.check("refresh-replay-ends-grant", g.refreshAfterReplay)
	g.check("wrong-verifier-refused", g.wrongVerifier)
	g.check("code-twice-refused", g.codeTwice)
	g.check("client-credentials", g.clientCredentials)
	g.check("client-credentials-wrong-secret", g.clientCredentialsWrongSecret)
	if wanted := goClientChecks(); !slices.Equal(g.names, wanted) {
		t.Errorf("the checks were\n%s\nwant\n%s", strings.Join(g.names, "\n"), strings.Join(wanted, "\n"))
	}
}

func (g *goClients) check(name string, body func(t *testing.T)) {
	g.names = append(g.names, name)
	g.Run(name, body)
}

func (g *goClients) discovery(t *testing.T) {
	endpoint := g.provider.Endpoint()
	for name, address := range map[string]string{
		"authorization": endpoint.AuthURL, "token": endpoint.TokenURL, "userinfo": g.provider.UserInfoEndpoint(),
	} {
		if !strings.HasPrefix(address, g.server.Dev.Issuer+"/") {
			t.Errorf("%s endpoint %q is not at the issuer", name, address)
		}
	}
	var more struct {
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := g.provider.Claims(&more); err != nil || !slices.Contains(more.Algorithms, oidc.RS256) {
		t.Errorf("ID token algorithms %v, %v", more.Algorithms, err)
	}
}

func hasSecret(c devClient) bool {
	return c.ClientSecret != "" && slices.Contains(c.GrantTypes, "authorization_code")
}

func isPublic(c devClient) bool { return c.TokenEndpointAuthMethod == "none" }

func isMachine(c devClient) bool { return slices.Contains(c.GrantTypes, "client_credentials") }

// client returns the library's configuration of one kind of client, and the
// person who signs in there with their sub.
func (g *goClients) client(t *testing.T, kind string, scopes ...string) (config oauth2.Config, who devUser) {
	t.Helper()
	config = oauth2.Config{
		Endpoint: g.provider.Endpoint(), RedirectURL: g.server.Callback + "/callback",
		Scopes: append([]string{oidc.ScopeOpenID}, scopes...),
	}
	who = devUser{Username: "greta", Password: "a swim across the lake", Sub: "user-greta"}
	config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	switch kind {
	case "demo-web", "demo-spa":
		wanted := hasSecret
		if kind == "demo-spa" {
			wanted = isPublic
		}
		demo := g.server.client(t, kind, wanted)
		config.ClientID, config.ClientSecret, config.RedirectURL = demo.ClientID, demo.ClientSecret, demo.RedirectURIs[0]
		if demo.TokenEndpointAuthMethod != "client_secret_basic" {
			config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
		}
		who = g.server.Dev.Users[0]
	case "basic":
		config.ClientID, config.ClientSecret = "interop-web", "interop-web-0123456789abcdefghijklmnop"
	case "post":
		config.ClientID, config.ClientSecret = "interop-post", "interop-post-0123456789abcdefghijklmnop"
		config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	case "public":
		config.ClientID, config.RedirectURL = "interop-native", "http://127.0.0.1:50123/callback"
		config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return config, who
}

// request is an authorization request that has been answered with a code.
type request struct {
	code, verifier, nonce string
}

func (g *goClients) authorize(t *testing.T, config oauth2.Config, who devUser) request {
	t.Helper()
	r := request{verifier: oauth2.GenerateVerifier(), nonce: oauth2.GenerateVerifier()}
	state := oauth2.GenerateVerifier()
	address := config.AuthCodeURL(state, oidc.Nonce(r.nonce), oauth2.S256ChallengeOption(r.verifier))
	answer := newWalker(t).authorize(t, address, config.RedirectURL, person{who.Username, who.Password})
	if answer.Get("error") != "" || answer.Get("state") != state || answer.Get("iss") != g.server.Dev.Issuer {
		t.Fatalf("the answer was %v, want state %s and iss %s", answer, state, g.server.Dev.Issuer)
	}
	r.code = answer.Get("code")
	return r
}

func (g *goClients) exchange(t *testing.T, config oauth2.Config, r request) *oauth2.Token {
	t.Helper()
	tokens, err := config.Exchange(t.Context(), r.code, oauth2.VerifierOption(r.verifier))
	if err != nil {
		t.Fatalf("exchange: %v", err)
	}
	return tokens
}

// verify checks the ID token as go-oidc's manual tells.
func (g *goClients) verify(t *testing.T, config oauth2.Config, tokens *oauth2.Token) *oidc.IDToken {
	t.Helper()
	raw, _ := tokens.Extra("id_token").(string)
	verified, err := g.provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatalf("ID token: %v", err)
	}
	return verified
}

func (g *goClients) codeAndPKCE(t *testing.T, kind string) {
	config, who := g.client(t, kind, "profile")
	r := g.authorize(t, config, who)
	tokens := g.exchange(t, config, r)
	verified := g.verify(t, config, tokens)
	if verified.Nonce != r.nonce || verified.Subject != who.Sub {
		t.Errorf("nonce %q and sub %q, want %q and %q", verified.Nonce, verified.Subject, r.nonce, who.Sub)
	}
	if err := verified.VerifyAccessToken(tokens.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	if err := verified.VerifyAccessToken(tokens.AccessToken + "x"); err == nil {
		t.Error("at_hash fits another access token")
	}
	info, err := g.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(tokens))
	if err != nil {
		t.Fatalf("userinfo: %v", err)
	}
	var claims struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	}
	if err := info.Claims(&claims); err != nil || info.Subject != who.Sub || claims.Name == "" {
		t.Errorf("userinfo of %s with name %q, %v", info.Subject, claims.Name, err)
	}
	if claims.Email != "" {
		t.Errorf("the e-mail address %q was not asked for", claims.Email)
	}
	if expiry := time.Until(tokens.Expiry); expiry <= 0 || expiry > time.Hour {
		t.Errorf("expires in %v", expiry)
	}
}

// x/oauth2 finds out by itself which client authentication works: it sends
// Basic first, and the parameters if that was refused.
func (g *goClients) autoDetectedAuthStyle(t *testing.T) {
	for _, kind := range []string{"basic", "post", "public"} {
		config, who := g.client(t, kind)
		config.Endpoint.AuthStyle = oauth2.AuthStyleAutoDetect
		g.verify(t, config, g.exchange(t, config, g.authorize(t, config, who)))
	}
}

func (g *goClients) wrongAudience(t *testing.T) {
	config, who := g.client(t, "basic")
	tokens := g.exchange(t, config, g.authorize(t, config, who))
	raw, _ := tokens.Extra("id_token").(string)
	_, err := g.provider.Verifier(&oidc.Config{ClientID: "interop-post"}).Verify(t.Context(), raw)
	if err == nil || !strings.Contains(err.Error(), "audience") {
		t.Errorf("an ID token for interop-web passed as one for interop-post: %v", err)
	}
	g.verify(t, config, tokens)
}

func (g *goClients) wrongAlgorithm(t *testing.T) {
	config, who := g.client(t, "basic")
	tokens := g.exchange(t, config, g.authorize(t, config, who))
	raw, _ := tokens.Extra("id_token").(string)
	strict := &oidc.Config{ClientID: config.ClientID, SupportedSigningAlgs: []string{oidc.ES256}}
	if _, err := g.provider.Verifier(strict).Verify(t.Context(), raw); err == nil {
		t.Error("the ID token is not RS256 although the client asked for nothing else")
	}
	g.verify(t, config, tokens)
}

func (g *goClients) refreshThroughTokenSource(t *testing.T) {
	for _, kind := range []string{"basic", "public"} {
		config, who := g.client(t, kind, oidc.ScopeOfflineAccess)
		tokens := g.exchange(t, config, g.authorize(t, config, who))
		seen := []string{tokens.RefreshToken}
		for range 3 {
			tokens.Expiry = time.Now().Add(-time.Minute) // the library refreshes what has expired
			next, err := config.TokenSource(t.Context(), tokens).Token()
			if err != nil {
				t.Fatalf("%s: refresh: %v", kind, err)
			}
			if next.AccessToken == tokens.AccessToken || slices.Contains(seen, next.RefreshToken) {
				t.Errorf("%s: the refresh brought nothing new", kind)
			}
			if verified := g.verify(t, config, next); verified.Subject != who.Sub || verified.Nonce != "" {
				t.Errorf("%s: refreshed ID token of %s with nonce %q", kind, verified.Subject, verified.Nonce)
			}
			seen = append(seen, next.RefreshToken)
			tokens = next
		}
	}
}

func (g *goClients) refreshAfterReplay(t *testing.T) {
	config, who := g.client(t, "basic", oidc.ScopeOfflineAccess)
	first := g.exchange(t, config, g.authorize(t, config, who))
	second := g.refresh(t, config, first)
	third := g.refresh(t, config, second)
	for _, replayed := range []*oauth2.Token{first, third} { // an old one, then the newest
		_, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: replayed.RefreshToken}).Token()
		assertRefused(t, err, http.StatusBadRequest, "invalid_grant")
	}
}

func (g *goClients) refresh(t *testing.T, config oauth2.Config, tokens *oauth2.Token) *oauth2.Token {
	t.Helper()
	next, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	return next
}

func (g *goClients) wrongVerifier(t *testing.T) {
	config, who := g.client(t, "public")
	r := g.authorize(t, config, who)
	_, err := config.Exchange(t.Context(), r.code, oauth2.VerifierOption(oauth2.GenerateVerifier()))
	assertRefused(t, err, http.StatusBadRequest, "invalid_grant")
	_, err = config.Exchange(t.Context(), r.code)
	assertRefused(t, err, http.StatusBadRequest, "invalid_grant")
	g.verify(t, config, g.exchange(t, config, r))
}

func (g *goClients) codeTwice(t *testing.T) {
	config, who := g.client(t, "basic")
	r := g.authorize(t, config, who)
	tokens := g.exchange(t, config, r)
	userinfo := g.provider.UserInfoEndpoint()
	if status := get(t, userinfo, tokens.AccessToken); status != http.StatusOK {
		t.Errorf("userinfo before: %d", status)
	}
	_, err := config.Exchange(t.Context(), r.code, oauth2.VerifierOption(r.verifier))
	assertRefused(t, err, http.StatusBadRequest, "invalid_grant")
	if status := get(t, userinfo, tokens.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("userinfo after the second redemption: %d, want 401", status)
	}
}

func (g *goClients) clientCredentials(t *testing.T) {
	demo := g.server.client(t, "machine", isMachine)
	style := oauth2.AuthStyleInHeader
	if demo.TokenEndpointAuthMethod == "client_secret_post" {
		style = oauth2.AuthStyleInParams
	}
	config := clientcredentials.Config{
		ClientID: demo.ClientID, ClientSecret: demo.ClientSecret,
		TokenURL: g.provider.Endpoint().TokenURL, Scopes: []string{"photos:read"}, AuthStyle: style,
	}
	tokens, err := config.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if tokens.RefreshToken != "" || tokens.Extra("id_token") != nil {
		t.Error("a refresh token or an ID token for a machine")
	}
	photos := g.server.Dev.API + "/photos"
	for bearer, want := range map[string]int{tokens.AccessToken: http.StatusOK, "": http.StatusUnauthorized, "x" + tokens.AccessToken: http.StatusUnauthorized} {
		if status := get(t, photos, bearer); status != want {
			t.Errorf("GET /photos: %d, want %d", status, want)
		}
	}
	answer, err := config.Client(context.WithoutCancel(t.Context())).Get(photos)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the library's own client: %s", answer.Status)
	}
}

func (g *goClients) clientCredentialsWrongSecret(t *testing.T) {
	demo := g.server.client(t, "machine", isMachine)
	config := clientcredentials.Config{
		ClientID: demo.ClientID, ClientSecret: demo.ClientSecret + "x",
		TokenURL: g.provider.Endpoint().TokenURL, AuthStyle: oauth2.AuthStyleInHeader,
	}
	_, err := config.Token(t.Context())
	assertRefused(t, err, http.StatusUnauthorized, "invalid_client")
}

// assertRefused says that the library saw the refusal as RFC 6749 §5.2 has it.
func assertRefused(t *testing.T, err error, status int, code string) {
	t.Helper()
	refusal, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		t.Errorf("got %v, want %d %s", err, status, code)
		return
	}
	if refusal.Response.StatusCode != status || refusal.ErrorCode != code || refusal.ErrorDescription == "" {
		t.Errorf("got %d %q %q, want %d %s", refusal.Response.StatusCode, refusal.ErrorCode, refusal.ErrorDescription, status, code)
	}
}

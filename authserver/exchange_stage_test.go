package authserver_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
)

const (
	exchangeGrant = gatehouse.GrantTokenExchange
	tokenType     = "urn:ietf:params:oauth:token-type:"
	photosAPI     = "https://photos.example"
	ledgerAPI     = "https://ledger.example"
)

// exchangers are further clients: gateway receives the photos' tokens and calls
// the ledger with them; deep is the ledger's server, which calls on; twin
// impersonates; desk exchanges what is its own.
const exchangers = `
  - client_id: gateway
    client_secret: gateway-secret-that-is-long-enough-to-be-random
    grant_types: [client_credentials, "urn:ietf:params:oauth:grant-type:token-exchange"]
    scope: photos:read ledger:read
    token_exchange: {accepts: [https://photos.example], audiences: [https://ledger.example, https://photos.example]}
  - client_id: deep
    client_secret: deep-secret-that-is-long-enough-to-be-random
    grant_types: ["urn:ietf:params:oauth:grant-type:token-exchange"]
    scope: photos:read photos:write ledger:read
    token_exchange: {accepts: [https://ledger.example], audiences: [https://photos.example]}
  - client_id: twin
    client_secret: twin-secret-that-is-long-enough-to-be-random
    grant_types: ["urn:ietf:params:oauth:grant-type:token-exchange"]
    scope: photos:read
    token_exchange: {accepts: [https://photos.example, https://ledger.example], audiences: [https://photos.example], impersonation: true}
  - client_id: desk
    client_name: Example Desk
    client_secret: desk-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://desk.example/cb]
    grant_types: [authorization_code, refresh_token, "urn:ietf:params:oauth:grant-type:token-exchange"]
    scope: openid profile offline_access photos:read ledger:read
    token_exchange: {audiences: [https://ledger.example], id_tokens: true}
  - client_id: careful
    client_name: Example Careful
    client_secret: careful-secret-that-is-long-enough-to-be-ran
    redirect_uris: [https://careful.example/cb]
    grant_types: [authorization_code, refresh_token, client_credentials]
    scope: openid photos:read
    may_act: twin
`

func init() {
	for id, secret := range map[string]string{
		"gateway": "gateway-secret-that-is-long-enough-to-be-random", "deep": "deep-secret-that-is-long-enough-to-be-random",
		"twin": "twin-secret-that-is-long-enough-to-be-random", "desk": "desk-secret-that-is-long-enough-to-be-random",
		"careful": "careful-secret-that-is-long-enough-to-be-ran",
	} {
		secrets[id] = secret
	}
}

// exchangeStage is a server with the exchangers.
func exchangeStage(t *testing.T) *stage {
	t.Helper()
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: tenantWith(exchangers)})
	return &stage{t, issuer, issuer.NewBrowser(t)}
}

// exchange presents an access token for one for the ledger, unless the pairs say
// otherwise.
func (s *stage) exchange(client, subject string, pairs ...string) gatehousetest.Answer {
	s.Helper()
	return s.token(client, with(url.Values{
		"grant_type": {exchangeGrant}, "subject_token": {subject}, "subject_token_type": {tokenType + "access_token"}, "resource": {ledgerAPI},
	}, pairs))
}

// exchanged is the access token of an exchange that goes well.
func (s *stage) exchanged(client, subject string, pairs ...string) string {
	s.Helper()
	return s.wants(s.exchange(client, subject, pairs...), http.StatusOK, "").Member("access_token")
}

// tokensFor signs alice in to a client with a callback of its own.
func (s *stage) tokensFor(client, scope string) tokens {
	s.Helper()
	callback := "https://" + client + ".example/cb"
	code := s.code("client_id", client, "redirect_uri", callback, "scope", scope)
	return tokensOf(s.wants(s.token(client, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}), http.StatusOK, ""))
}

// told is what introspection says of a token to the client that it was issued
// to.
func (s *stage) told(client, token string) gatehousetest.Answer {
	s.Helper()
	return s.wants(s.post("/introspect", client, url.Values{"token": {token}}), http.StatusOK, "")
}

// wantExchanged asks whether tokens, by their clients,
// are active.
func (s *stage) wantExchanged(active bool, tokens map[string]string) {
	s.Helper()
	for _, client := range slices.Sorted(maps.Keys(tokens)) {
		if answer := s.told(client, tokens[client]); (answer.Member("active") == "true") != active {
			s.Errorf("the token of %s is %s, want active: %v", client, answer.Text, active)
		}
	}
}

package authserver_test

import (
	"net/http"
	"net/url"
	"testing"

	"gatehouse/gatehousetest"
)

// shortTenant has a client whose secret can be found by trying, and lets one
// failure pass in ten seconds.
const shortTenant = `
settings:
  rate_limits: {failures_per_address: 0.1}
resources:
  - identifier: https://photos.example
    scopes: {"photos:read": See your photos}
clients:
  - client_id: old
    client_secret: sesame
    insecure_short_secret: true
    token_endpoint_auth_method: client_secret_post
    grant_types: [client_credentials]
    scope: photos:read
`

func TestGuessingShortSecretsIsStopped(t *testing.T) {
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: shortTenant})
	s := &stage{t, issuer, issuer.NewBrowser(t)}
	with := func(secret string) url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {"old"}, "client_secret": {secret}}
	}
	for range 2 { // the second answer comes from memory
		s.wants(s.from(thief, "/token", "", with("sesame")), http.StatusOK, "")
	}
	s.wants(s.from(thief, "/token", "", with("guess")), http.StatusUnauthorized, "invalid_client")
	if answer := s.from(thiefsNeighbour, "/token", "", with("sesame")); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("from the thief's network the secret is still looked at: %d %s", answer.StatusCode, answer.Text)
	}
	s.wants(s.from("192.0.2.99:1", "/token", "", with("sesame")), http.StatusOK, "")
}

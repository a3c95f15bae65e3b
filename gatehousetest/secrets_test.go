package gatehousetest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

// witness is a test that keeps its errors to itself.
type witness struct {
	testing.TB
	errors []string
}

func (w *witness) Errorf(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}

// careless is a tenant whose names are its secrets.
const careless = `
clients:
  - client_id: web
    client_secret: web-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://app.example/cb]
    grant_types: [authorization_code, client_credentials]
    scope: openid
  - client_id: careless
    client_name: the-name-and-secret-of-a-careless-client
    client_secret: the-name-and-secret-of-a-careless-client
    redirect_uris: ["https://app.example/cb?s=the-address-of-a-careless-client"]
    scope: openid
  - client_id: the-password-that-is-a-client-id
    client_secret: another-secret-that-is-long-enough-to-be-random
    grant_types: [client_credentials]
users:
  - username: alice
    password: the-address-of-a-careless-client
  - username: bob
    password: the-password-that-is-a-client-id
`

// TestEverythingIsSearchedForSecrets plants a secret in each place that is
// looked at. Without it, a search that finds nothing would prove nothing.
func TestEverythingIsSearchedForSecrets(t *testing.T) {
	spec.Covers(t, "LG-01")
	w := &witness{TB: t}
	issuer, stop := gatehousetest.Run(w, gatehousetest.Options{Tenant: careless, Traces: true})
	browser := issuer.NewBrowser(t)
	web := func(form url.Values) {
		issuer.Post(t, "/token", "web", "web-secret-that-is-long-enough-to-be-random", form)
	}

	// In the log: a secret in the place of a name.
	issuer.Post(t, "/token", "web-secret-that-is-long-enough-to-be-random", "", url.Values{"grant_type": {"client_credentials"}})
	// In metrics and traces: a client's id that is somebody's password.
	issuer.Post(t, "/token", "the-password-that-is-a-client-id", "another-secret-that-is-long-enough-to-be-random", url.Values{"grant_type": {"client_credentials"}})
	// In the database.
	event := gatehouse.Event{Kind: gatehouse.EventApplied, Detail: map[string]string{"note": "another-secret-that-is-long-enough-to-be-random"}}
	if err := issuer.Server().Store().AppendEvent(t.Context(), gatehouse.DefaultTenant, event); err != nil {
		t.Fatal(err)
	}
	// On a page, and in an address.
	query := url.Values{"response_type": {"code"}, "client_id": {"careless"}, "redirect_uri": {"https://app.example/cb?s=the-address-of-a-careless-client"}, "scope": {"openid"}}
	browser.Get("/authorize?" + query.Encode()) // which lacks a challenge
	query.Set("code_challenge", oauth.ChallengeS256(verifier))
	query.Set("code_challenge_method", "S256")
	browser.Get("/authorize?" + query.Encode())
	web(url.Values{"grant_type": {"client_credentials"}})
	if seen := issuer.SecretsSeen(); seen < 10 {
		t.Errorf("%d secrets were seen", seen)
	}
	stop()

	said := strings.Join(w.errors, "\n")
	database := "the file gatehouse.db"
	if strings.Contains(said, "the database has") { // PostgreSQL
		database = "the database"
	}
	for _, want := range []string{
		"the log has a client secret, ", "the page of metrics has a password, in clear: the-…", "the traces has a password, in clear: the-…",
		database + " has a client secret, in clear: anot…", "the answer to GET /login has a client secret, in clear: the-…",
		"the header Location of the answer to GET /authorize has a password, ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("nobody said that %s", want)
		}
	}
	for _, secret := range []string{"web-secret-that", "another-secret-that", "the-password-that", "the-name-and", "the-address-of"} {
		if strings.Contains(said, secret) {
			t.Errorf("the report itself tells a secret: %s", said)
		}
	}
	if len(w.errors) != 1 {
		t.Errorf("%d errors: %s", len(w.errors), said)
	}
}

// TestACarefulTenantHasNothingToReport is the other half of the control: the
// same acts, with names that are no secrets.
func TestACarefulTenantHasNothingToReport(t *testing.T) {
	w := &witness{TB: t}
	issuer, stop := gatehousetest.Run(w, gatehousetest.Options{Tenant: twin, Traces: true})
	browser := issuer.NewBrowser(t)
	page := browser.SignIn(authorization, "alice", "wonderland-alice")
	tokens := redeem(t, issuer, page.Location.Query().Get("code"))
	refresh(t, issuer, tokens.Member("refresh_token"))
	if answer := issuer.Post(t, "/introspect", "web", webSecret, url.Values{"token": {tokens.Member("access_token")}}); answer.StatusCode != http.StatusOK {
		t.Errorf("%d %s", answer.StatusCode, answer.Text)
	}
	stop()
	if traces := issuer.Traces(); !strings.Contains(traces, "introspection") {
		t.Error("nothing was traced")
	}
	if len(w.errors) > 0 {
		t.Errorf("%q", w.errors)
	}
	// Names are told, secrets are not.
	if log := issuer.Log(); !strings.Contains(log, "issued") || slices.ContainsFunc([]string{webSecret, "wonderland-alice", tokens.Member("access_token")}, func(s string) bool { return strings.Contains(log, s) }) {
		t.Error("the log is not what was searched")
	}
}

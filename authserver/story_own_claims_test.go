package authserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// withClaims is the tenant of the stage with claims of its own, attributes for
// alice, and further settings.
var withClaims = `
settings:
  claims:
    - {claim: department, scope: profile, in: [userinfo, id_token]}
    - {claim: "https://example.com/tier", attribute: tier, scope: "photos:read", in: [access_token]}
    - {claim: floor, resource: https://ledger.example, in: [access_token]}
    - {claim: teams, scope: openid, in: [userinfo]}
` + strings.Replace(tenant, "    sub: sub-of-alice\n", "    sub: sub-of-alice\n    attributes: {department: Tea, tier: gold, floor: 3, teams: [hare, hatter], secret: never told}\n", 1)

func TestStoriesOfTheTenantsOwnClaims(t *testing.T) {
	tellIn(t, "oidc-core/own-claims", `A tenant makes claims of what it knows of its users: each is opened by a scope or for a resource, and stands where the
		tenant says. OpenID Connect Core §5.1.2.`, gatehousetest.Options{Tenant: withClaims}, func(s *story) {
		has := func(where string, claims map[string]any, want string) {
			s.Helper()
			got := ""
			for _, name := range []string{"department", "https://example.com/tier", "floor", "teams", "secret"} {
				if value, found := claims[name]; found {
					got += fmt.Sprintf("%s=%v ", name, value)
				}
			}
			if strings.TrimSpace(got) != want {
				s.Errorf("%s has %q, want %q", where, got, want)
			}
		}
		tokens := s.wants(s.exchange(s.code("scope", "openid profile photos:read")), http.StatusOK, "")
		has("the ID token", s.claimsOf(tokens.Member("id_token")), "department=Tea")
		has("the access token", s.claimsOf(tokens.Member("access_token")), "https://example.com/tier=gold")
		s.note("UserInfo for a token that is for the issuer.")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusOK, "")
		s.note("Without the scopes they stay closed.")
		less := s.wants(s.exchange(s.code("scope", "openid photos:write")), http.StatusOK, "")
		has("the ID token", s.claimsOf(less.Member("id_token")), "")
		has("the access token", s.claimsOf(less.Member("access_token")), "")
		if info := s.wants(s.bearer(less.Member("access_token")), http.StatusOK, ""); !strings.HasSuffix(info.Text, `"teams":["hare","hatter"]}`) {
			s.Errorf("UserInfo says %s", info.Text)
		}
		s.note("Asked for one by one, it comes where it was asked for; not where it does not stand.")
		one := s.wants(s.exchange(s.code("scope", "openid", "claims", `{"id_token":{"department":null,"teams":null}}`)), http.StatusOK, "")
		has("the ID token", s.claimsOf(one.Member("id_token")), "department=Tea")
		s.note("An opaque token tells its claims at introspection.")
		ledger := s.wants(s.exchange(s.code("scope", "openid ledger:read")), http.StatusOK, "")
		s.wants(s.post("/introspect", "web", "token", ledger.Member("access_token")), http.StatusOK, "")
		s.note("Of Bob nothing is known, and a machine is nobody.")
		bob := s.NewBrowser(s.T).SignIn(request("scope", "openid profile photos:read"), "bob", "builder-bob-builds")
		of := s.wants(s.exchange(bob.Location.Query().Get("code")), http.StatusOK, "")
		has("Bob's ID token", s.claimsOf(of.Member("id_token")), "")
		machine := s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", "photos:read"), http.StatusOK, "")
		has("the machine's token", s.claimsOf(machine.Member("access_token")), "")
		if answer := s.Do(s.T, must(http.NewRequest(http.MethodGet, s.URL+"/.well-known/openid-configuration", nil))); !strings.Contains(answer.Text, `"department","teams"]`) {
			s.Errorf("the metadata is %s", answer.Text)
		}
	})
}

// AD-05: settings that were written by another hand set nothing that means
// something already.
func TestAD05ReservedClaimsAreNeverSet(t *testing.T) {
	spec.Covers(t, "AD-05")
	reserved := []string{"iss", "sub", "aud", "exp", "azp", "acr", "amr", "scope", "roles", "cnf", "email_verified", "sid", "client_id", "gid", "jti", "active"}
	everywhere := []gatehouse.ClaimPlace{gatehouse.ClaimInIDToken, gatehouse.ClaimInUserInfo, gatehouse.ClaimInAccessToken}
	s := open(t, func(settings *gatehouse.Settings) {
		settings.Claims = []gatehouse.ClaimMapping{
			{Claim: "honest", Attribute: "x", Scope: "openid", In: everywhere},
			{Claim: "strayed", Attribute: "x", Resource: "https://ledger.example", In: everywhere},
		}
		for _, name := range reserved {
			settings.Claims = append(settings.Claims, gatehouse.ClaimMapping{Claim: name, Attribute: "x", Scope: "openid", In: everywhere})
		}
	})
	db := s.Server().Store()
	alice, _, err := db.User(t.Context(), "default", "sub-of-alice")
	if err != nil {
		t.Fatal(err)
	}
	alice.Attributes = gatehouse.Attributes{"x": "forged"}
	if _, err := db.PutUser(t.Context(), "default", alice, gatehouse.Event{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	tokens := s.wants(s.redeem(s.code("scope", "openid photos:read")), http.StatusOK, "")
	told := map[string]string{"UserInfo": s.userinfo(tokens.Member("access_token")).Text}
	for _, token := range []string{"id_token", "access_token"} {
		_, claims := decoded(tokens.Member(token))
		told[token] = string(claims)
	}
	told["introspection"] = s.introspect(tokens.Member("access_token")).Text
	for where, text := range told {
		if strings.Count(text, "forged") != 1 || !strings.Contains(text, `"honest":"forged"`) {
			t.Errorf("%s: %s", where, text)
		}
	}
}

func TestLargeTokensAreLogged(t *testing.T) {
	s := open(t, func(settings *gatehouse.Settings) {
		settings.Claims = []gatehouse.ClaimMapping{{Claim: "teams", Scope: "openid", In: []gatehouse.ClaimPlace{gatehouse.ClaimInIDToken}}}
	})
	db := s.Server().Store()
	alice, _, err := db.User(t.Context(), "default", "sub-of-alice")
	if err != nil {
		t.Fatal(err)
	}
	for size, warned := range map[int]bool{10: false, 5000: true} {
		before := len(s.Log())
		alice.Attributes = gatehouse.Attributes{"teams": strings.Repeat("x", size)}
		if _, err := db.PutUser(t.Context(), "default", alice, gatehouse.Event{Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		s.wants(s.redeem(s.code("scope", "openid")), http.StatusOK, "")
		said := s.Log()[before:]
		if strings.Contains(said, "large token") != warned || warned && (!strings.Contains(said, "teams") || strings.Contains(said, "xxxx")) {
			t.Errorf("of %d bytes the log says %s", size, said)
		}
	}
}

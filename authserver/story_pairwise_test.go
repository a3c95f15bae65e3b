package authserver_test

import (
	"net/http"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

func TestStoriesOfPairwiseSubjects(t *testing.T) {
	tellIn(t, "oidc-core/pairwise", `Clients of one sector, the host of their redirect URIs, know a user by the same identifier, those of another sector by
		another, and none of them by the user's own. It is that of the ID token, UserInfo, the access token and introspection, and hints name it.
		OpenID Connect Core §8 and §17.3.`, gatehousetest.Options{Tenant: tenantWith(`
  - {client_id: left, client_secret: left-secret-that-is-long-enough-to-be-random, redirect_uris: [https://pair.example/cb], grant_types: [authorization_code, refresh_token], scope: openid photos:read, subject_type: pairwise, post_logout_redirect_uris: [https://pair.example/bye]}
  - {client_id: right, client_secret: right-secret-that-is-long-enough-to-be-random, redirect_uris: ["https://pair.example:8443/cb"], scope: openid photos:read, subject_type: pairwise}
  - {client_id: elsewhere, client_secret: elsewhere-secret-that-is-long-enough-to-be-ran, redirect_uris: [https://elsewhere.example/cb], scope: openid photos:read, subject_type: pairwise}
`)}, func(s *story) {
		spec.Covers(s.T, "OIDCC-8-2", "OIDCC-17.3-1", "OIDCC-8.1-1")
		redirects := map[string]string{"left": "https://pair.example/cb", "right": "https://pair.example:8443/cb", "elsewhere": "https://elsewhere.example/cb"}
		credentials := map[string]string{
			"left":      "left-secret-that-is-long-enough-to-be-random",
			"right":     "right-secret-that-is-long-enough-to-be-random",
			"elsewhere": "elsewhere-secret-that-is-long-enough-to-be-ran",
		}
		post := func(client, path string, pairs ...string) gatehousetest.Answer {
			s.Helper()
			return s.send(http.MethodPost, path, encoded(pairs...), "Content-Type", formType, "Authorization", basic(client, credentials[client]))
		}
		subs, tokens := map[string]string{}, map[string]gatehousetest.Answer{}
		for _, client := range []string{"left", "right", "elsewhere"} {
			s.note("The client " + client + ".")
			code := s.code("client_id", client, "redirect_uri", redirects[client])
			tokens[client] = s.wants(post(client, "/token", "grant_type", "authorization_code", "code", code, "redirect_uri", redirects[client], "code_verifier", verifier), http.StatusOK, "")
			subs[client], _ = s.claimsOf(tokens[client].Member("id_token"))["sub"].(string)
			info := s.wants(s.bearer(tokens[client].Member("access_token")), http.StatusOK, "")
			asked := s.wants(post(client, "/introspect", "token", tokens[client].Member("access_token")), http.StatusOK, "")
			access := s.claimsOf(tokens[client].Member("access_token"))["sub"]
			if subs[client] == "sub-of-alice" || len(subs[client]) != 43 || info.Member("sub") != subs[client] || asked.Member("sub") != subs[client] || access != subs[client] {
				s.Errorf("%s: ID token %q, UserInfo %q, introspection %q, access token %q", client, subs[client], info.Member("sub"), asked.Member("sub"), access)
			}
			if asked.Member("username") != "" {
				s.Errorf("%s: introspection tells the username", client)
			}
		}
		if subs["left"] != subs["right"] || subs["left"] == subs["elsewhere"] {
			s.Errorf("the identifiers are %v", subs)
		}
		s.note("A resource server sees what the token says.")
		s.wants(s.post("/introspect", "photos-api", "token", tokens["left"].Member("access_token")), http.StatusOK, "")
		s.note("A refresh, and a refresh token that is asked about.")
		again := s.wants(post("left", "/token", "grant_type", "refresh_token", "refresh_token", tokens["left"].Member("refresh_token")), http.StatusOK, "")
		if sub := s.claimsOf(again.Member("id_token"))["sub"]; sub != subs["left"] {
			s.Errorf("after the refresh the sub is %v", sub)
		}
		if asked := s.wants(post("left", "/introspect", "token", again.Member("refresh_token")), http.StatusOK, ""); asked.Member("sub") != subs["left"] {
			s.Errorf("the refresh token's sub is %q", asked.Member("sub"))
		}

		s.note("Hints: the ID token, and the sub in claims, by the name that this client knows; the user's own is nobody here.")
		left := []string{"client_id", "left", "redirect_uri", redirects["left"], "prompt", "none"}
		for _, test := range []struct{ name, value, want string }{
			{"id_token_hint", again.Member("id_token"), ""},
			{"claims", `{"id_token":{"sub":{"value":"` + subs["left"] + `"}}}`, ""},
			{"claims", `{"id_token":{"sub":{"value":"` + subs["elsewhere"] + `"}}}`, "login_required"},
			{"claims", `{"id_token":{"sub":{"value":"sub-of-alice"}}}`, "login_required"},
		} {
			location, err := s.Once(http.MethodGet, request(append(left, test.name, test.value)...), nil).Location()
			if err != nil || location.Query().Get("error") != test.want {
				s.Errorf("%s=%s: sent to %v", test.name, test.value, location)
			}
		}
		s.note("Signed in as somebody else, the user is asked for the one who is meant.")
		s.later(time.Minute)
		page := s.visit(request("client_id", "left", "redirect_uri", redirects["left"], "claims", `{"id_token":{"sub":{"value":"`+subs["elsewhere"]+`"}}}`))
		if page.Path != "/login" {
			s.Errorf("answered at %s", page.Path)
		}
		s.note("The hint signs out.")
		back := s.logout("id_token_hint", again.Member("id_token"), "post_logout_redirect_uri", "https://pair.example/bye")
		if back.Location == nil || back.Location.String() != "https://pair.example/bye" {
			s.Errorf("sent to %v", back.Location)
		}
		s.note("With the session its tokens have ended.")
		s.wants(s.bearer(again.Member("access_token")), http.StatusUnauthorized, "invalid_token")
		if asked := post("left", "/introspect", "token", again.Member("access_token")); asked.Member("active") != "false" {
			s.Errorf("introspection says %s", asked.Text)
		}
	})
}

// TestPairwiseTokensEndWithTheirUser: a token names its user by the client's
// identifier, and ends with the user all the same.
func TestPairwiseTokensEndWithTheirUser(t *testing.T) {
	s := open(t)
	db := s.Server().Store()
	web, _, err := db.Client(t.Context(), "default", "web")
	if err != nil {
		t.Fatal(err)
	}
	web.SubjectType = gatehouse.SubjectPairwise
	if err := db.PutClient(t.Context(), "default", web, gatehouse.Event{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	tokens := []gatehousetest.Answer{s.wants(s.redeem(s.code()), http.StatusOK, ""), s.wants(s.redeem(s.code("scope", "openid ledger:read")), http.StatusOK, "")}
	for _, answer := range tokens {
		token := answer.Member("access_token")
		if s.introspect(token).Member("active") != "true" || s.userinfo(token).StatusCode != http.StatusOK {
			t.Error("the token does not live")
		}
	}
	if _, err := db.DisableUser(t.Context(), "default", "sub-of-alice", true, gatehouse.Event{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	for _, answer := range tokens {
		token := answer.Member("access_token")
		if s.introspect(token).Member("active") != "false" || s.userinfo(token).StatusCode != http.StatusUnauthorized {
			t.Error("the token outlives its user")
		}
		s.wants(s.refresh(answer.Member("refresh_token")), http.StatusBadRequest, "invalid_grant")
	}
}

package authserver_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

func TestStoriesOfRevocation(t *testing.T) {
	tell(t, "rfc7009/refresh-token", `Revoking a refresh token ends its grant: neither it nor the access tokens of the grant are good any more.
		RFC 7009 §2.1 and §2.2.`, func(s *story) {
		spec.Covers(s.T, "RFC7009-2-1", "RFC7009-2.1-4", "RFC7009-2.1-6", "RFC7009-2.2-1")
		tokens := s.tokens()
		s.wants(s.post("/revoke", "web", "token", tokens.Member("refresh_token"), "token_type_hint", "refresh_token"), http.StatusOK, "")
		s.note("All of it is refused from now on.")
		s.wants(s.renew(tokens.Member("refresh_token")), http.StatusBadRequest, "invalid_grant")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusUnauthorized, "invalid_token")
		s.wants(s.post("/introspect", "photos-api", "token", tokens.Member("access_token")), http.StatusOK, "")
		s.note("Once more, and for a token that never was: the answer is the same.")
		s.wants(s.post("/revoke", "web", "token", tokens.Member("refresh_token")), http.StatusOK, "")
		s.wants(s.post("/revoke", "web", "token", "nonsense"), http.StatusOK, "")
	})

	tell(t, "rfc7009/access-token", `Revoking an access token ends that token alone. A wrong hint changes nothing. RFC 7009 §2.1.`, func(s *story) {
		spec.Covers(s.T, "RFC7009-2.1-1", "RFC7009-2.1-5")
		tokens := s.tokens()
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusOK, "")
		s.wants(s.post("/revoke", "web", "token", tokens.Member("access_token"), "token_type_hint", "refresh_token"), http.StatusOK, "")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusUnauthorized, "invalid_token")
		s.note("The grant lives: its refresh token yields a new access token.")
		next := s.wants(s.renew(tokens.Member("refresh_token")), http.StatusOK, "")
		s.wants(s.bearer(next.Member("access_token")), http.StatusOK, "")
	})

	tell(t, "rfc7009/opaque-access-token", `Opaque access tokens are revoked like any other. RFC 7009 §2.1.`, func(s *story) {
		tokens := s.tokens("scope", "openid ledger:read")
		s.wants(s.post("/revoke", "web", "token", tokens.Member("access_token")), http.StatusOK, "")
		s.wants(s.post("/introspect", "web", "token", tokens.Member("access_token")), http.StatusOK, "")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusUnauthorized, "invalid_token")
	})

	tell(t, "rfc7009/foreign-token", `Another client's token is left alone, and the answer does not tell whether there was one. RFC 7009 §2.1.`, func(s *story) {
		spec.Covers(s.T, "RFC7009-2.1-3", "IN-04", "RFC7009-2.1-2")
		tokens := s.tokens()
		s.wants(s.post("/revoke", "spa", "token", tokens.Member("refresh_token")), http.StatusOK, "")
		s.wants(s.post("/revoke", "svc", "token", tokens.Member("access_token")), http.StatusOK, "")
		s.note("Both live.")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusOK, "")
		s.wants(s.renew(tokens.Member("refresh_token")), http.StatusOK, "")
		s.note("A public client names itself and revokes its own.")
		spa := []string{"client_id", "spa", "redirect_uri", "https://spa.example/cb"}
		own := s.Issuer.Post(s.T, "/token", "spa", "", url.Values{"grant_type": {"authorization_code"}, "code": {s.code(spa...)}, "code_verifier": {verifier}}).Member("refresh_token")
		s.wants(s.post("/revoke", "spa", "token", own), http.StatusOK, "")
		s.wants(s.post("/token", "spa", "grant_type", "refresh_token", "refresh_token", own), http.StatusBadRequest, "invalid_grant")
	})

	tell(t, "rfc7009/unavailable", `A revocation that could not be stored is 503, so that the client knows that the token lives and tries again.
		RFC 7009 §2.2.1.`, func(s *story) {
		spec.Covers(s.T, "RFC7009-2.2.1-2", "IN-05")
		tokens := s.tokens()
		s.breakTable("grants")
		s.breakTable("endings")
		s.note("The database has lost the tables that say so.")
		s.wants(s.post("/revoke", "web", "token", tokens.Member("refresh_token")), http.StatusServiceUnavailable, "server_error")
		s.wants(s.post("/revoke", "web", "token", tokens.Member("access_token")), http.StatusServiceUnavailable, "server_error")
		s.note("What needs no storing is answered as ever.")
		s.wants(s.post("/revoke", "web", "token", "nonsense"), http.StatusOK, "")
		s.wants(s.post("/revoke", "web"), http.StatusBadRequest, "invalid_request")
		s.note("The database has gone away altogether.")
		if err := s.Issuer.Server().Store().Close(); err != nil {
			s.Fatal(err)
		}
		s.wants(s.post("/revoke", "web", "token", tokens.Member("refresh_token")), http.StatusServiceUnavailable, "temporarily_unavailable")
	})

	tell(t, "rfc7009/refusals", `The client authenticates as at the token endpoint, and says which token it means. RFC 7009 §2.1 and §2.2.1.`, func(s *story) {
		spec.Covers(s.T, "RFC7009-2.2.1-1")
		s.wants(s.post("/revoke", "web"), http.StatusBadRequest, "invalid_request")
		s.wants(s.post("/revoke", "", "token", "nonsense"), http.StatusUnauthorized, "invalid_client")
		s.wants(s.send(http.MethodPost, "/revoke", encoded("token", "nonsense"), "Content-Type", formType, "Authorization", basic("web", "wrong")), http.StatusUnauthorized, "invalid_client")
		s.wants(s.send(http.MethodGet, "/revoke?token=nonsense", "", "Authorization", basic("web", secrets["web"])), http.StatusMethodNotAllowed, "")
	})
}

func TestStoriesOfIntrospection(t *testing.T) {
	tell(t, "rfc7662/who-may-ask", `A resource server asks about tokens for its own audience, a client about its own; to everybody else a token is
		just not active. RFC 7662 §2.2 and §4.`, func(s *story) {
		spec.Covers(s.T, "RFC7662-2.1-1", "RFC7662-2.1-3", "RFC7662-2.2-1", "RFC7662-2.2-2", "RFC7662-2.2-3", "RFC7662-2.2-4", "IN-01", "RFC7662-4-2")
		token := s.tokens().Member("access_token")
		s.note("The resource that the token is for; unknown parameters and a wrong hint change nothing.")
		s.wants(s.post("/introspect", "photos-api", "token", token, "token_type_hint", "refresh_token", "frobnicate", "yes"), http.StatusOK, "")
		s.note("The client that it was issued to.")
		s.wants(s.post("/introspect", "web", "token", token), http.StatusOK, "")
		s.note("Another client.")
		s.wants(s.post("/introspect", "svc", "token", token), http.StatusOK, "")
		s.note("The same resource about a token for another.")
		other := s.tokens("scope", "openid ledger:read").Member("access_token")
		s.wants(s.post("/introspect", "photos-api", "token", other), http.StatusOK, "")
		s.note("Something that is no token.")
		s.wants(s.post("/introspect", "photos-api", "token", "nonsense"), http.StatusOK, "")
	})

	tell(t, "rfc7662/kinds-of-tokens", `Opaque tokens, tokens of services, refresh tokens, and what is never active: ID tokens. RFC 7662 §2.2.`, func(s *story) {
		tokens := s.tokens("scope", "openid ledger:read")
		s.note("An opaque access token. Only this server can open it.")
		s.wants(s.post("/introspect", "web", "token", tokens.Member("access_token")), http.StatusOK, "")
		s.note("A refresh token, asked about by its client and by a resource.")
		s.wants(s.post("/introspect", "web", "token", tokens.Member("refresh_token")), http.StatusOK, "")
		s.wants(s.post("/introspect", "photos-api", "token", tokens.Member("refresh_token")), http.StatusOK, "")
		s.note("A token without a user.")
		machine := s.Issuer.Post(s.T, "/token", "svc", secrets["svc"], url.Values{"grant_type": {"client_credentials"}, "scope": {"photos:read"}})
		s.wants(s.post("/introspect", "photos-api", "token", machine.Member("access_token")), http.StatusOK, "")
		s.note("An ID token is none to introspect.")
		s.wants(s.post("/introspect", "web", "token", tokens.Member("id_token")), http.StatusOK, "")
	})

	tell(t, "rfc7662/inactive", `A token stops being active when it expires, and when its user, its client or its session is no more.
		RFC 7662 §4.`, func(s *story) {
		spec.Covers(s.T, "RFC7662-4-1")
		ask := func(token, active string) {
			s.Helper()
			if got := s.wants(s.post("/introspect", "photos-api", "token", token), http.StatusOK, ""); got.Member("active") != active {
				s.Errorf("active is %s, want %s", got.Member("active"), active)
			}
		}
		store, ctx, by := s.Issuer.Server().Store(), context.Background(), gatehouse.Event{}
		token := s.tokens().Member("access_token")
		ask(token, "true")
		s.note("The user is switched off.")
		if _, err := store.DisableUser(ctx, gatehouse.DefaultTenant, "sub-of-alice", true, by); err != nil {
			s.Fatal(err)
		}
		ask(token, "false")
		if _, err := store.DisableUser(ctx, gatehouse.DefaultTenant, "sub-of-alice", false, by); err != nil {
			s.Fatal(err)
		}
		s.note("Switched on again: the old token stays dead, a new one lives, until its client is switched off.")
		ask(token, "false")
		s.later(2 * time.Second)
		token = s.tokens().Member("access_token")
		ask(token, "true")
		if _, err := store.DisableClient(ctx, gatehouse.DefaultTenant, "web", true, by); err != nil {
			s.Fatal(err)
		}
		ask(token, "false")
		s.note("A token of a service, until it expires.")
		token = s.Issuer.Post(s.T, "/token", "svc", secrets["svc"], url.Values{"grant_type": {"client_credentials"}, "scope": {"photos:read"}}).Member("access_token")
		s.later(599 * time.Second)
		ask(token, "true")
		s.later(2 * time.Second)
		ask(token, "false")
	})

	tell(t, "rfc7662/refusals", `Whoever asks authenticates; public clients cannot. RFC 7662 §2.1 and §2.3.`, func(s *story) {
		spec.Covers(s.T, "RFC7662-2.1-2", "RFC7662-2.3-1", "IN-03")
		s.wants(s.post("/introspect", "photos-api"), http.StatusBadRequest, "invalid_request")
		s.wants(s.post("/introspect", "", "token", "nonsense"), http.StatusUnauthorized, "invalid_client")
		s.wants(s.post("/introspect", "spa", "token", "nonsense"), http.StatusUnauthorized, "invalid_client")
		s.wants(s.send(http.MethodPost, "/introspect", encoded("token", "nonsense"), "Content-Type", formType, "Authorization", basic("photos-api", "wrong")),
			http.StatusUnauthorized, "invalid_client")
		s.wants(s.send(http.MethodPost, "/introspect", encoded("token", "nonsense"), "Content-Type", formType, "Authorization", "Bearer nonsense"),
			http.StatusUnauthorized, "invalid_client")
		s.note("Authenticated, the same question is no error.")
		s.wants(s.post("/introspect", "photos-api", "token", "nonsense"), http.StatusOK, "")
	})
}

func TestStoriesOfResources(t *testing.T) {
	tell(t, "rfc8707/one-of-several", `A grant may be for several resources, a token is for one: the resource parameter says which, at the code's
		redemption and at each refresh, and the scope is cut to it. RFC 8707 §2.`, func(s *story) {
		spec.Covers(s.T, "RFC8707-2-3", "RFC8707-2.1-1", "RFC8707-2.2-1", "RFC8707-2.2-2", "RFC8707-2.2-4", "RFC9068-3-1", "RFC9700-2.3-1", "RFC9700-4.9.1-1", "RFC9700-4.10.2-1", "RFC6749-10.3-2")
		target := request("scope", "openid photos:read photos:write ledger:read") + "&resource=https%3A%2F%2Fphotos.example&resource=https%3A%2F%2Fledger.example"
		s.SignIn(target, "alice", "wonderland-alice")
		back := s.visit(target)
		s.note("At redemption, for the ledger: an opaque token of five minutes.")
		tokens := s.wants(s.exchange(back.Location.Query().Get("code"), "resource", "https://ledger.example"), http.StatusOK, "")
		s.note("At refresh, for the photos.")
		next := s.wants(s.renew(tokens.Member("refresh_token"), "resource", "https://photos.example"), http.StatusOK, "")
		s.note("Without resource: the first that was granted.")
		last := s.wants(s.renew(next.Member("refresh_token")), http.StatusOK, "")
		s.note("Both at once, or another one, is refused.")
		s.wants(s.renew(last.Member("refresh_token"), "resource", "https://photos.example", "resource", "https://ledger.example"), http.StatusBadRequest, "invalid_target")
		s.wants(s.renew(last.Member("refresh_token"), "resource", "https://elsewhere.example"), http.StatusBadRequest, "invalid_target")
	})

	tell(t, "rfc8707/limited", `What was granted for one resource cannot be turned into a token for another. RFC 8707 §2.2.`, func(s *story) {
		spec.Covers(s.T, "RFC8707-2-1", "RFC8707-2-2")
		code := s.code("scope", "openid photos:read ledger:read", "resource", "https://photos.example")
		s.wants(s.exchange(code, "resource", "https://ledger.example"), http.StatusBadRequest, "invalid_target")
		s.note("The scope of the ledger was left out at the authorization endpoint.")
		s.wants(s.exchange(code), http.StatusOK, "")
		s.note("A resource that nobody registered, one with a fragment, and one that is no absolute URI.")
		for _, bad := range []string{"https://elsewhere.example", "https://photos.example#top", "photos"} {
			s.refused("invalid_target", "resource", bad)
		}
	})

	tellIn(t, "rfc8707/defaults", `Without resource the scopes say what a token is for; without scopes of a resource it is the client's default, else
		this server itself. RFC 8707 §2.2, RFC 9068 §3.`, gatehousetest.Options{Tenant: tenantWith(`
  - client_id: diary
    token_endpoint_auth_method: none
    redirect_uris: [https://diary.example/cb]
    scope: openid ledger:read photos:read
    default_resource: https://ledger.example
  - client_id: ledger-api
    client_secret: ledger-api-secret-that-is-long-enough-to-be
    grant_types: [client_credentials]
    introspects: [https://ledger.example]
`)}, func(s *story) {
		spec.Covers(s.T, "RFC8707-2.2-3")
		for _, scope := range []string{"openid photos:read", "openid"} {
			s.note("A client without a default asks for " + scope + ".")
			s.wants(s.exchange(s.code("scope", scope)), http.StatusOK, "")
		}
		s.note("One with a default asks for openid.")
		code := s.code("client_id", "diary", "redirect_uri", "https://diary.example/cb", "scope", "openid")
		tokens := s.wants(s.post("/token", "diary", "grant_type", "authorization_code", "code", code, "code_verifier", verifier), http.StatusOK, "")
		asked := s.send(http.MethodPost, "/introspect", encoded("token", tokens.Member("access_token")), "Content-Type", formType,
			"Authorization", basic("ledger-api", "ledger-api-secret-that-is-long-enough-to-be"))
		if asked.Member("aud") != "https://ledger.example" {
			s.Errorf("the token is for %q", asked.Member("aud"))
		}
	})

	tell(t, "rfc8707/client-credentials", `A service whose scopes belong to several resources names the one it means. RFC 8707 §2.2.`, func(s *story) {
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials"), http.StatusBadRequest, "invalid_target")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "resource", "https://ledger.example"), http.StatusOK, "")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "resource", "https://photos.example", "scope", "ledger:read"), http.StatusBadRequest, "invalid_target")
	})

	tell(t, "rfc9068/access-token", `A JWT access token: its header says at+jwt, its claims whose it is, whom it is for and where it comes from.
		Signed with the resource's algorithm, ES256 by default. RFC 9068 §2.`, func(s *story) {
		spec.Covers(s.T, "RFC9068-2.1-1", "RFC9068-2.1-2", "RFC9068-2.2-1", "RFC9068-2.2-2", "RFC9068-2.2.3-1", "RFC9068-6-1")
		s.note("For a user.")
		one := s.wants(s.exchange(s.code()), http.StatusOK, "")
		s.note("For a service: sub is the client itself, and there is no grant.")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", "photos:read"), http.StatusOK, "")
		s.note("Another for the same user, with a jti of its own.")
		two := s.wants(s.renew(one.Member("refresh_token")), http.StatusOK, "")
		if s.claimsOf(one.Member("access_token"))["jti"] == s.claimsOf(two.Member("access_token"))["jti"] {
			s.Error("two tokens have one jti")
		}
	})
}

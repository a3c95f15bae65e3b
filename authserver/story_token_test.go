package authserver_test

import (
	"net/http"
	"testing"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

func TestStoriesOfTheTokenEndpoint(t *testing.T) {
	tell(t, "rfc6749/token-refusals", `What the token endpoint refuses before any grant looks at it: methods, media types, repeated
		parameters, unknown grant types. RFC 6749 §3.2 and §5.2, RFC 9700 §2.4.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-3.2-1", "RFC6749-3.2-2", "RFC6749-3.2-3", "RFC6749-5.2-1", "RFC6749-4.3-2", "RFC6749-4.5-1", "RFC9700-2.4-1", "TX-10",
			"RFC9110-15.5.6-1", "RFC6749-2.3.1-3")
		s.note("GET is no way to ask for a token.")
		s.wants(s.send(http.MethodGet, "/token?grant_type=client_credentials", "", "Authorization", basic("svc", secrets["svc"])), http.StatusMethodNotAllowed, "")
		s.note("Parameters stand in the body; a query is refused, and no secret is read from it.")
		s.wants(s.send(http.MethodPost, "/token?grant_type=client_credentials&scope=photos:read", "", "Authorization", basic("svc", secrets["svc"]),
			"Content-Type", formType), http.StatusBadRequest, "invalid_request")
		s.wants(s.send(http.MethodPost, "/token?"+encoded("client_id", "evil", "client_secret", evilSecret), encoded("grant_type", "client_credentials"),
			"Content-Type", formType), http.StatusBadRequest, "invalid_request")
		s.note("JSON is not read either.")
		s.wants(s.send(http.MethodPost, "/token", `{"grant_type":"client_credentials"}`, "Authorization", basic("svc", secrets["svc"]),
			"Content-Type", "application/json"), http.StatusBadRequest, "invalid_request")
		s.note("A repeated parameter; a missing one; one without a value.")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", "photos:read", "scope", "photos:write"), http.StatusBadRequest, "invalid_request")
		s.wants(s.post("/token", "svc", "scope", "photos:read"), http.StatusBadRequest, "invalid_request")
		s.wants(s.post("/token", "svc", "grant_type", ""), http.StatusBadRequest, "invalid_request")
		s.note("Grant types: the password grant, an unknown one, and one that this client did not register.")
		s.wants(s.post("/token", "web", "grant_type", "password", "username", "alice", "password", "wonderland-alice"), http.StatusBadRequest, "unsupported_grant_type")
		s.wants(s.post("/token", "web", "grant_type", "urn:example:grant"), http.StatusBadRequest, "unsupported_grant_type")
		s.wants(s.post("/token", "web", "grant_type", "client_credentials"), http.StatusBadRequest, "unauthorized_client")
		s.note("Unknown parameters are ignored and empty ones absent, and so this request succeeds.")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", "photos:read", "resource", "", "frobnicate", "yes"), http.StatusOK, "")
	})

	tellIn(t, "rfc6749/client-authentication", `A client authenticates by the one method that it registered. Whatever is wrong, the answer is the
		same. RFC 6749 §2.3 and §5.2, RFC 7617.`, gatehousetest.Options{Tenant: tenantWith(`
  - client_id: "odd:id+%2F"
    client_secret: "odd:secret%20+&=of-at-least-thirty-two-characters"
    grant_types: [client_credentials]
    scope: photos:read
  - client_id: poster
    client_secret: poster-secret-that-is-long-enough-to-be-random
    token_endpoint_auth_method: client_secret_post
    grant_types: [client_credentials]
    scope: photos:read
`)}, func(s *story) {
		spec.Covers(s.T, "RFC6749-2.3-1", "RFC6749-2.3-2", "RFC6749-2.3.1-1", "RFC6749-2.3.1-2", "RFC6749-2.2-1", "RFC6749-3.2.1-1", "RFC6749-5.2-2", "CA-06", "CA-10",
			"OIDCC-9-1", "OIDCC-9-2", "OIDCC-3.1.3.1-1", "RFC9110-11.1-1", "RFC9700-2.5-1")
		grant := encoded("grant_type", "client_credentials", "scope", "photos:read")
		ask := func(body, authorization string) gatehousetest.Answer {
			s.Helper()
			headers := []string{"Content-Type", formType}
			if authorization != "" {
				headers = append(headers, "Authorization", authorization)
			}
			return s.send(http.MethodPost, "/token", body, headers...)
		}
		s.note("Basic, for a client that registered no method; the scheme's name is compared without regard to case.")
		s.wants(ask(grant, "bASIC "+basic("svc", secrets["svc"])[len("Basic "):]), http.StatusOK, "")
		s.note("Id and secret are form-encoded inside.")
		s.wants(ask(grant, basic("odd:id+%2F", "odd:secret%20+&=of-at-least-thirty-two-characters")), http.StatusOK, "")
		s.note("In the body, for a client that registered that.")
		const posterSecret = "poster-secret-that-is-long-enough-to-be-random"
		s.wants(ask(grant+"&"+encoded("client_id", "poster", "client_secret", posterSecret), ""), http.StatusOK, "")
		s.note("A wrong secret, an unknown client, and the right secret by the other method.")
		s.wants(ask(grant, basic("svc", "wrong")), http.StatusUnauthorized, "invalid_client")
		s.wants(ask(grant, basic("nobody", "wrong")), http.StatusUnauthorized, "invalid_client")
		s.wants(ask(grant, basic("poster", posterSecret)), http.StatusUnauthorized, "invalid_client")
		s.wants(ask(grant+"&"+encoded("client_id", "svc", "client_secret", secrets["svc"]), ""), http.StatusUnauthorized, "invalid_client")
		s.note("The client_id alone, for a client that has a secret.")
		s.wants(ask(grant+"&client_id=svc", ""), http.StatusUnauthorized, "invalid_client")
		s.note("Two methods at once, although both are right.")
		s.wants(ask(grant+"&"+encoded("client_id", "svc", "client_secret", secrets["svc"]), basic("svc", secrets["svc"])), http.StatusBadRequest, "invalid_request")
		s.note("Two clients at once.")
		s.wants(ask(grant+"&client_id=web", basic("svc", secrets["svc"])), http.StatusUnauthorized, "invalid_client")
		s.note("What is no Basic.")
		s.wants(ask(grant, "Basic !"), http.StatusUnauthorized, "invalid_client")
		s.wants(ask(grant, "Bearer something"), http.StatusUnauthorized, "invalid_client")
	})

	tell(t, "rfc6749/client-credentials", `A service gets a token of its own: no user, no refresh token, no ID token, and never more scope
		than it registered. RFC 6749 §4.4.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-4.4-1", "RFC6749-4.4-2", "RFC6749-4.4-3", "RFC6749-3.3-3", "RFC6749-3.3-1", "CA-08")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", "photos:read"), http.StatusOK, "")
		s.note("Without scope, and with the resource named, it gets what it registered there.")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "resource", "https://photos.example"), http.StatusOK, "")
		s.note("Scopes that nobody registered for it, and one that is none: tokens are case-sensitive.")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", "openid photos:read"), http.StatusBadRequest, "invalid_scope")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", "Photos:Read"), http.StatusBadRequest, "invalid_scope")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", `photos\read`), http.StatusBadRequest, "invalid_scope")
		s.note("A public client cannot prove who it is.")
		s.wants(s.post("/token", "spa", "grant_type", "client_credentials", "scope", "photos:read"), http.StatusBadRequest, "unauthorized_client")
	})

	tell(t, "rfc6749/refresh", `A refresh token is exchanged for its successor and a new access token. Whoever lost the answer may ask
		again for 30 seconds and gets the same successor. RFC 6749 §6, RFC 9700 §4.14.2.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-6-5", "RFC9700-4.14.2-1", "OIDCC-12.2-1", "OIDF-35", "OAUTH21-4.3.2-1", "RFC9068-2.2.1-1")
		s.note("The tokens of the first exchange.")
		first := s.wants(s.exchange(s.code()), http.StatusOK, "")
		s.later(5 * time.Minute)
		second := s.wants(s.renew(first.Member("refresh_token")), http.StatusOK, "")
		s.later(20 * time.Second)
		s.note("The answer was lost on its way: the same request again.")
		again := s.wants(s.renew(first.Member("refresh_token")), http.StatusOK, "")
		if again.Member("refresh_token") != second.Member("refresh_token") {
			s.Error("the successor is another one")
		}
		s.note("The successor works.")
		s.wants(s.renew(second.Member("refresh_token")), http.StatusOK, "")
	})

	tell(t, "rfc6749/refresh-narrowed", `A client may ask for less than it was granted; the successor keeps all of it. More is refused, but an
		offline_access that was not granted is ignored, since real clients repeat their first request. RFC 6749 §6.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-6-3", "RFC6749-6-4", "RT-10", "RFC9700-4.14.2-3")
		tokens := s.tokens("scope", "openid photos:read photos:write")
		s.note("Less.")
		narrow := s.wants(s.renew(tokens.Member("refresh_token"), "scope", "photos:read"), http.StatusOK, "")
		s.note("More.")
		s.wants(s.renew(narrow.Member("refresh_token"), "scope", "openid photos:read email"), http.StatusBadRequest, "invalid_scope")
		s.note("All of it, by repeating the first request.")
		all := s.wants(s.renew(narrow.Member("refresh_token"), "scope", "openid photos:read photos:write offline_access"), http.StatusOK, "")
		if all.Member("scope") != "openid photos:read photos:write" {
			s.Errorf("the scope is %q", all.Member("scope"))
		}
	})

	tell(t, "rfc6749/refresh-refusals", `A refresh token works for its client alone, and a stranger's attempt does not harm it.
		RFC 6749 §6 and §10.4.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-6-1", "RFC6749-6-2", "RFC6749-10.4-1", "RT-06", "RT-07", "OIDCC-12.1-1", "OIDCC-12.3-1", "RFC9700-4.14.2-6")
		token := s.tokens().Member("refresh_token")
		s.note("No token; no token of ours; an access token in its place.")
		s.wants(s.renew(""), http.StatusBadRequest, "invalid_request")
		s.wants(s.renew("ghr_nonsense"), http.StatusBadRequest, "invalid_grant")
		s.note("Without the client's secret.")
		s.wants(s.send(http.MethodPost, "/token", encoded("grant_type", "refresh_token", "refresh_token", token, "client_id", "web"),
			"Content-Type", formType), http.StatusUnauthorized, "invalid_client")
		s.note("By another client.")
		s.wants(s.post("/token", "spa", "grant_type", "refresh_token", "refresh_token", token), http.StatusBadRequest, "invalid_grant")
		s.note("It still works for its own.")
		s.wants(s.renew(token), http.StatusOK, "")
		s.note("A client that is not registered for refresh_token gets none, and cannot use one.")
		code := s.code("client_id", "basic", "redirect_uri", "https://basic.example/cb", "scope", "openid")
		s.wants(s.post("/token", "basic", "grant_type", "authorization_code", "code", code, "redirect_uri", "https://basic.example/cb",
			"code_verifier", verifier), http.StatusOK, "")
		s.wants(s.post("/token", "basic", "grant_type", "refresh_token", "refresh_token", token), http.StatusBadRequest, "unauthorized_client")
	})

	tell(t, "rfc6749/refresh-replayed", `A refresh token that comes again after the grace was stolen from somebody: the whole grant ends,
		with the access tokens that are still alive. RFC 9700 §4.14.2.`, func(s *story) {
		spec.Covers(s.T, "RFC9700-4.14.2-2", "RT-01", "OAUTH21-4.3.1-1")
		first := s.tokens()
		second := s.wants(s.renew(first.Member("refresh_token")), http.StatusOK, "")
		s.later(31 * time.Second)
		s.wants(s.renew(first.Member("refresh_token")), http.StatusBadRequest, "invalid_grant")
		s.note("The successor has ended with it, and so have the access tokens.")
		s.wants(s.renew(second.Member("refresh_token")), http.StatusBadRequest, "invalid_grant")
		s.wants(s.bearer(second.Member("access_token")), http.StatusUnauthorized, "invalid_token")
		s.note("The user signs in again, and all is well.")
		s.wants(s.bearer(s.tokens().Member("access_token")), http.StatusOK, "")
	})

	tell(t, "rfc6749/refresh-lifetimes", `A refresh token that nobody uses for 30 days expires; one that is used lives for 90 days at most,
		counted from the user's consent. RFC 9700 §4.14.2.`, func(s *story) {
		spec.Covers(s.T, "RFC9700-4.14.2-5", "RT-12")
		idle, used := s.tokens().Member("refresh_token"), s.tokens().Member("refresh_token")
		for range 3 {
			s.later(29 * 24 * time.Hour)
			used = s.wants(s.renew(used, "scope", "photos:read"), http.StatusOK, "").Member("refresh_token")
		}
		s.wants(s.renew(idle), http.StatusBadRequest, "invalid_grant")
		s.later(3*24*time.Hour + time.Second)
		s.wants(s.renew(used), http.StatusBadRequest, "invalid_grant")
	})
}

package authserver_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

func TestStoriesOfTheCodeGrant(t *testing.T) {
	tell(t, "rfc6749/code-grant", `A user signs in, allows what the client asks, and the client exchanges the code for tokens:
		the authorization code grant with PKCE and OpenID Connect, page by page.
		RFC 6749 §4.1, RFC 7636 §4, OpenID Connect Core §3.1.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-3.1-1", "RFC6749-4.1.2-4", "RFC6749-4.1.4-1", "RFC6749-5.1-1", "RFC6749-5.1-2", "RFC7636-4.2-2",
			"OIDCC-3.1.2.1-3", "OIDCC-3.1.2.5-1", "OIDCC-3.1.3.3-1", "OIDCC-3.1.3.3-2", "OIDCC-2-2", "OIDF-29", "PR-05",
			"RFC9700-2.1-5", "RFC9700-4.12-1", "RFC9700-2.1.1-3", "OIDCC-2-7", "OIDCC-2-8", "RFC9700-4.4.2-1")
		s.note("The client sends the browser to the authorization endpoint.")
		login := s.visit(request())
		s.note("The user signs in.")
		consent := s.submit(login, "/login", "username", "alice", "password", "wonderland-alice")
		s.note("The user allows the request, and the browser is sent back to the client.")
		back := s.submit(consent, "/consent", "decision", "allow")
		s.note("The client exchanges the code.")
		s.wants(s.exchange(back.Location.Query().Get("code")), http.StatusOK, "")
	})

	tell(t, "rfc6749/code-grant-public", `A public client has no secret: PKCE binds the code, and its refresh tokens are used once.
		RFC 6749 §2.1, RFC 9700 §2.1.1 and §2.2.2.`, func(s *story) {
		spec.Covers(s.T, "RFC9700-2.1.1-1", "RFC6749-4.1.3-1", "RFC9700-2.2.2-1", "OAUTH21-4.1.1-1", "RFC8252-8.4-2")
		spa := []string{"client_id", "spa", "redirect_uri", "https://spa.example/cb"}
		s.note("Without PKCE there is no code.")
		s.visit(request(append(spa, "code_challenge", "", "code_challenge_method", "")...))
		code := s.code(spa...)
		form := []string{"grant_type", "authorization_code", "code", code, "redirect_uri", "https://spa.example/cb", "code_verifier", verifier}
		s.note("A public client names itself.")
		s.wants(s.post("/token", "", form...), http.StatusUnauthorized, "invalid_client")
		s.note("With the verifier, the code is exchanged.")
		tokens := s.wants(s.post("/token", "spa", form...), http.StatusOK, "")
		s.note("Each refresh hands out a new refresh token.")
		s.wants(s.post("/token", "spa", "grant_type", "refresh_token", "refresh_token", tokens.Member("refresh_token")), http.StatusOK, "")
	})

	tell(t, "rfc6749/code-used-twice", `A second use of a code by its own client is refused and ends everything that came of the first:
		somebody has a copy. RFC 6749 §4.1.2 and §10.5, RFC 9700 §4.2.4.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-4.1.2-3", "RFC6749-10.5-1", "RFC9700-4.3.1-1", "OIDCC-3.1.3.2-3", "OIDF-27")
		code := s.code()
		tokens := s.wants(s.exchange(code), http.StatusOK, "")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusOK, "")
		s.note("Again, with everything right.")
		s.wants(s.exchange(code), http.StatusBadRequest, "invalid_grant")
		s.note("What the first exchange gave is worth nothing any more.")
		s.wants(s.renew(tokens.Member("refresh_token")), http.StatusBadRequest, "invalid_grant")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusUnauthorized, "invalid_token")
	})

	tell(t, "rfc6749/code-refusals", `A code is good for the client, the redirect URI and the verifier that it was issued for, and for
		nobody else; strangers' attempts do it no harm. RFC 6749 §4.1.3, RFC 7636 §4.6.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-4.1.2-2", "RFC6749-4.1.3-2", "RFC6749-4.1.3-3", "RFC6749-5.2-3", "RFC6749-5.2-4", "OIDCC-3.1.3.2-1",
			"OIDCC-3.1.3.2-2", "CD-02", "OAUTH21-4.1.3-2", "RFC6749-4.1.3-4", "RU-21")
		code := s.code()
		s.note("No code; no code of ours.")
		s.wants(s.exchange(""), http.StatusBadRequest, "invalid_request")
		s.wants(s.exchange("ghc_nonsense"), http.StatusBadRequest, "invalid_grant")
		s.note("Another client.")
		s.wants(s.send(http.MethodPost, "/token", encoded("grant_type", "authorization_code", "code", code, "redirect_uri", webCallback,
			"code_verifier", verifier, "client_id", "evil", "client_secret", evilSecret), "Content-Type", formType), http.StatusBadRequest, "invalid_grant")
		s.note("Another redirect URI, although it is registered, too.")
		s.wants(s.exchangeAs(code, "https://app.example/cb?kept=1", verifier), http.StatusBadRequest, "invalid_grant")
		s.note("Another verifier, and none.")
		s.wants(s.exchangeAs(code, webCallback, strings.ToUpper(verifier)), http.StatusBadRequest, "invalid_grant")
		s.wants(s.post("/token", "web", "grant_type", "authorization_code", "code", code, "redirect_uri", webCallback), http.StatusBadRequest, "invalid_grant")
		s.note("After all this the code still works for its owner; PKCE binds it, so that redirect_uri may be left out.")
		s.wants(s.post("/token", "web", "grant_type", "authorization_code", "code", code, "code_verifier", verifier), http.StatusOK, "")
	})

	tell(t, "rfc6749/code-expired", `A code lives for a minute. RFC 6749 §4.1.2.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-4.1.2-1", "CD-06")
		early, late := s.code(), s.code()
		s.later(59 * time.Second)
		s.wants(s.exchange(early), http.StatusOK, "")
		s.later(2 * time.Second)
		s.wants(s.exchange(late), http.StatusBadRequest, "invalid_grant")
	})

	tell(t, "rfc6749/consent-sent-twice", `A double click on Allow gets the same answer twice; once the code was redeemed, a page says that all is done.
		RFC 6749 §4.1.2.`, func(s *story) {
		login := s.Get(request())
		consent := s.Browser.Post("/login", login.With("username", "alice", "password", "wonderland-alice"))
		first := s.submit(consent, "/consent", "decision", "allow")
		again := s.submit(consent, "/consent", "decision", "allow")
		if first.Location == nil || again.Location == nil || first.Location.String() != again.Location.String() {
			s.Errorf("sent to %v and to %v", first.Location, again.Location)
		}
		s.wants(s.redeem(first.Location.Query().Get("code")), http.StatusOK, "")
		s.note("The client has exchanged the code meanwhile.")
		s.shows(s.submit(consent, "/consent", "decision", "allow"), "finished-page")
	})

	tell(t, "rfc6749/access-denied", `The user presses Cancel, and the client learns that, with its state. RFC 6749 §4.1.2.1.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-4.1.2.1-1", "RFC6749-4.1.2.1-6")
		login := s.Get(request())
		consent := s.Browser.Post("/login", login.With("username", "alice", "password", "wonderland-alice"))
		s.submit(consent, "/consent", "decision", "deny")
		s.note("Asked again, the user allows it.")
		if page := s.SignIn(request(), "alice", "wonderland-alice"); page.Location.Query().Get("code") == "" {
			s.Error("the user could not change their mind")
		}
	})
}

const evilSecret = "evil-secret-that-is-long-enough-to-be-random"

// exchangeAs redeems a code as web with another redirect URI or verifier.
func (s *story) exchangeAs(code, redirectURI, codeVerifier string) gatehousetest.Answer {
	s.Helper()
	return s.post("/token", "web", "grant_type", "authorization_code", "code", code, "redirect_uri", redirectURI, "code_verifier", codeVerifier)
}

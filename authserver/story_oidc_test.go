package authserver_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// claimsOf returns the claims of a JWT.
func (s *story) claimsOf(raw string) map[string]any {
	s.Helper()
	_, text := decoded(raw)
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		s.Fatalf("%q has no claims: %v", raw, err)
	}
	return claims
}

func TestStoriesOfIDTokens(t *testing.T) {
	tellIn(t, "oidc-core/id-token-algorithms", `ID tokens are signed with the algorithm that the client registered, RS256 if it chose none; access
		tokens with that of their resource. at_hash is made with the hash of the ID token's algorithm.
		OpenID Connect Core §2, §3.1.3.6 and §10.1.`, gatehousetest.Options{Tenant: tenantWith(`
  - {client_id: with-es256, token_endpoint_auth_method: none, redirect_uris: [https://es256.example/cb], scope: openid, id_token_signed_response_alg: ES256}
  - {client_id: with-ps256, token_endpoint_auth_method: none, redirect_uris: [https://ps256.example/cb], scope: openid, id_token_signed_response_alg: PS256}
  - {client_id: with-eddsa, token_endpoint_auth_method: none, redirect_uris: [https://eddsa.example/cb], scope: openid, id_token_signed_response_alg: EdDSA}
`)}, func(s *story) {
		spec.Covers(s.T, "OIDCC-2-5", "OIDCC-10.1-1", "OIDCC-3.1.3.6-1", "RFC7518-3.1-1", "OIDCC-15.1-2", "RFC9700-4.6.1-1", "OIDCC-16.11-1", "OIDCC-2-6")
		for _, name := range []string{"es256", "ps256", "eddsa"} {
			s.note("A client that registered " + strings.ToUpper(name) + ".")
			uri := "https://" + name + ".example/cb"
			code := s.code("client_id", "with-"+name, "redirect_uri", uri, "scope", "openid")
			s.wants(s.post("/token", "with-"+name, "grant_type", "authorization_code", "code", code, "redirect_uri", uri, "code_verifier", verifier), http.StatusOK, "")
		}
		s.note("One that registered nothing.")
		s.wants(s.exchange(s.code("scope", "openid")), http.StatusOK, "")
	})

	tell(t, "oidc-core/without-openid", `Without the scope openid there is no ID token, and the access token does not open UserInfo.
		OpenID Connect Core §3.1.2.1 and §5.3.1.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.1-2", "OIDCC-3.1.3.2-4", "OIDCC-3.1.2.2-2", "OIDCC-5.3.1-1", "RFC6750-3.1-3")
		tokens := s.wants(s.exchange(s.code("scope", "photos:read")), http.StatusOK, "")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusForbidden, "insufficient_scope")
		s.note("With openid there is one, and it does.")
		tokens = s.wants(s.exchange(s.code("scope", "openid photos:read")), http.StatusOK, "")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusOK, "")
	})

	tell(t, "oidc-core/without-nonce", `A nonce is optional in the code flow: one that was sent comes back unchanged, one that was not sent is
		absent. OpenID Connect Core §2 and §3.1.2.1.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-2-3", "OIDCC-3.1.2.1-6", "RFC9700-4.5.3-2")
		for _, nonce := range []string{"", `n-0S6 "_WzA2é`} {
			tokens := s.wants(s.exchange(s.code("nonce", nonce)), http.StatusOK, "")
			if got, _ := s.claimsOf(tokens.Member("id_token"))["nonce"].(string); got != nonce {
				s.Errorf("the nonce is %q, want %q", got, nonce)
			}
		}
	})

	tell(t, "oidc-core/without-pkce", `A confidential client of profile oidc may leave PKCE out, because OpenID Connect Basic does not know it; then
		the redirect URI binds the code, and a verifier that nobody asked for is refused. If it sends a challenge, it has to send the verifier.
		OpenID Connect Core §3.1, RFC 9700 §2.1.1.`, func(s *story) {
		spec.Covers(s.T, "OAUTH21-4.1.1-2", "OAUTH21-4.1.3-1", "RFC9700-2.1.1-4", "RFC9700-4.8.2-1", "PK-01", "PK-02")
		client := []string{"client_id", "basic", "redirect_uri", "https://basic.example/cb", "scope", "openid"}
		plain := append(client, "code_challenge", "", "code_challenge_method", "")
		token := func(code string, pairs ...string) gatehousetest.Answer {
			s.Helper()
			return s.post("/token", "basic", append([]string{"grant_type", "authorization_code", "code", code}, pairs...)...)
		}
		s.ask(plain...)
		s.note("The redirect URI has to be repeated, and no verifier sent.")
		code := s.code(plain...)
		s.wants(token(code), http.StatusBadRequest, "invalid_grant")
		s.wants(token(code, "redirect_uri", "https://basic.example/cb", "code_verifier", verifier), http.StatusBadRequest, "invalid_grant")
		s.wants(token(code, "redirect_uri", "https://basic.example/cb"), http.StatusOK, "")
		s.note("A challenge demands its verifier.")
		code = s.code(client...)
		s.wants(token(code, "redirect_uri", "https://basic.example/cb"), http.StatusBadRequest, "invalid_grant")
		s.wants(token(code, "redirect_uri", "https://basic.example/cb", "code_verifier", verifier), http.StatusOK, "")
		s.note("A client of the default profile cannot do without.")
		s.refused("invalid_request", "code_challenge", "", "code_challenge_method", "")
	})

	tell(t, "oidc-core/refreshed-id-token", `A refresh makes a new ID token: iss, sub, aud, auth_time and sid are those of the first, iat is new,
		and there is no nonce. OpenID Connect Core §12.2.`, func(s *story) {
		first := s.wants(s.exchange(s.code()), http.StatusOK, "")
		s.later(10 * time.Minute)
		next := s.wants(s.renew(first.Member("refresh_token")), http.StatusOK, "")
		before, after := s.claimsOf(first.Member("id_token")), s.claimsOf(next.Member("id_token"))
		for _, same := range []string{"iss", "sub", "aud", "auth_time", "sid"} {
			if before[same] != after[same] {
				s.Errorf("%s was %v and is %v", same, before[same], after[same])
			}
		}
		if before["iat"] == after["iat"] || after["nonce"] != nil {
			s.Errorf("iat %v after %v, nonce %v", after["iat"], before["iat"], after["nonce"])
		}
	})
}

func TestStoriesOfUserinfo(t *testing.T) {
	tell(t, "oidc-core/userinfo", `UserInfo takes the token in the Authorization header, by GET and POST, or in a POSTed form. Each scope
		opens its claims and no others; sub is that of the ID token. OpenID Connect Core §5.3 and §5.4.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-5.3-1", "OIDCC-5.3.2-1", "OIDCC-5.3.2-2", "OIDCC-5.4-1", "OIDCC-5.4-2", "OIDCC-5.1-1", "OIDCC-5.1.1-1", "OIDCC-5.1.2-1", "OIDF-31", "OIDF-33",
			"IN-07", "RFC6750-2.1-1", "RFC6750-2.2-1")
		all := s.wants(s.exchange(s.code("scope", "openid profile email address phone")), http.StatusOK, "")
		token := all.Member("access_token")
		s.note("GET; the scheme's name is compared without regard to case.")
		s.wants(s.bearer(token), http.StatusOK, "")
		s.wants(s.send(http.MethodGet, "/userinfo", "", "Authorization", "bearer "+token), http.StatusOK, "")
		s.note("POST with the header, and with a form.")
		s.wants(s.send(http.MethodPost, "/userinfo", "", "Authorization", "Bearer "+token), http.StatusOK, "")
		s.wants(s.send(http.MethodPost, "/userinfo", encoded("access_token", token), "Content-Type", formType), http.StatusOK, "")
		s.note("Each scope by itself.")
		for _, scope := range []string{"openid", "openid profile", "openid email", "openid address", "openid phone"} {
			s.wants(s.bearer(s.tokens("scope", scope).Member("access_token")), http.StatusOK, "")
		}
		s.note("A user about whom little is known: what has no value is left out.")
		bob := s.NewBrowser(s.T).SignIn(request("scope", "openid profile email address phone"), "bob", "builder-bob-builds")
		s.wants(s.bearer(s.redeem(bob.Location.Query().Get("code")).Member("access_token")), http.StatusOK, "")
	})

	tell(t, "rfc6750/opaque-token", `An opaque access token opens UserInfo like any other: this server alone can read it.
		RFC 6750 §2.1, OpenID Connect Core §5.3.`, func(s *story) {
		tokens := s.wants(s.exchange(s.code("scope", "openid email ledger:read")), http.StatusOK, "")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusOK, "")
		s.note("One character of it is another.")
		token := tokens.Member("access_token")
		s.wants(s.bearer(token[:50]+swapped(token[50])+token[51:]), http.StatusUnauthorized, "invalid_token")
		s.note("Its resource gave it five minutes.")
		s.later(5*time.Minute + time.Second)
		s.wants(s.bearer(token), http.StatusUnauthorized, "invalid_token")
	})

	tell(t, "rfc6750/challenges", `What UserInfo, as a protected resource, answers to requests without a good token. RFC 6750 §2 and §3.`, func(s *story) {
		spec.Covers(s.T, "RFC6750-2-1", "RFC6750-2.3-2", "RFC6750-3-1", "RFC6750-3-2", "RFC6750-3.1-1", "RFC6750-3.1-2", "OAUTH21-5.2-1", "OIDCC-5.3.3-1",
			"JW-24", "RFC9068-4-6", "RFC6750-5.2-2", "RFC6750-5.2-3", "RFC9068-5-2")
		tokens := s.tokens()
		token := tokens.Member("access_token")
		s.note("No token: a challenge without an error code. One in the query is not looked at.")
		s.wants(s.send(http.MethodGet, "/userinfo", ""), http.StatusUnauthorized, "")
		s.wants(s.send(http.MethodGet, "/userinfo?access_token="+token, ""), http.StatusUnauthorized, "")
		s.note("Two tokens, although both are good.")
		s.wants(s.send(http.MethodPost, "/userinfo", encoded("access_token", token), "Content-Type", formType, "Authorization", "Bearer "+token), http.StatusBadRequest, "invalid_request")
		s.note("Another scheme.")
		s.wants(s.send(http.MethodGet, "/userinfo", "", "Authorization", basic("web", secrets["web"])), http.StatusUnauthorized, "")
		s.note("Something that is no token; an ID token; a refresh token.")
		s.wants(s.bearer("nonsense"), http.StatusUnauthorized, "invalid_token")
		s.wants(s.bearer(tokens.Member("id_token")), http.StatusUnauthorized, "invalid_token")
		s.wants(s.bearer(tokens.Member("refresh_token")), http.StatusUnauthorized, "invalid_token")
		s.note("A good token of a client that acts for itself never has the scope openid.")
		machine := s.Issuer.Post(s.T, "/token", "svc", secrets["svc"], with(url.Values{}, []string{"grant_type", "client_credentials", "scope", "photos:read"}))
		s.wants(s.bearer(machine.Member("access_token")), http.StatusForbidden, "insufficient_scope")
		s.note("A body that is no form is not searched for a token.")
		s.wants(s.send(http.MethodPost, "/userinfo", encoded("access_token", token), "Content-Type", "text/plain"), http.StatusUnauthorized, "")
		s.note("The token itself is good, for ten minutes.")
		s.wants(s.bearer(token), http.StatusOK, "")
		s.later(10*time.Minute + time.Second)
		s.wants(s.bearer(token), http.StatusUnauthorized, "invalid_token")
	})
}

func TestStoriesOfSigningInAgain(t *testing.T) {
	tell(t, "oidc-core/prompt-none", `prompt=none shows no page: the answer is a code, or an error that says which page would have been needed.
		OpenID Connect Core §3.1.2.1 and §3.1.2.6.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.1-16", "OIDCC-3.1.2.1-7", "OIDCC-3.1.2.1-11", "OIDCC-3.1.2.3-2", "OIDCC-3.1.2.4-2", "OIDCC-3.1.2.6-1", "OIDF-18", "OIDF-20")
		s.note("Nobody is signed in.")
		s.refused("login_required", "prompt", "none")
		first := s.tokens()
		s.later(5 * time.Minute)
		s.note("Alice is signed in and has allowed this before: a code, with the same auth_time.")
		page := s.ask("prompt", "none")
		again := s.wants(s.exchange(page.Location.Query().Get("code")), http.StatusOK, "")
		for _, claim := range []string{"sub", "auth_time", "sid"} {
			if a, b := s.claimsOf(first.Member("id_token"))[claim], s.claimsOf(again.Member("id_token"))[claim]; a != b {
				s.Errorf("%s was %v and is %v", claim, a, b)
			}
		}
		s.note("More scope than she allowed.")
		s.refused("consent_required", "prompt", "none", "scope", "openid photos:read photos:write")
		s.note("With her own ID token as a hint, and with that of another user.")
		s.ask("prompt", "none", "id_token_hint", first.Member("id_token"))
		other := s.NewBrowser(s.T).SignIn(request(), "bob", "builder-bob-builds")
		bobs := s.redeem(other.Location.Query().Get("code")).Member("id_token")
		s.refused("login_required", "prompt", "none", "id_token_hint", bobs)
	})

	tell(t, "oidc-core/prompt-login", `prompt=login asks for the password although there is a session, and auth_time tells of the new sign-in.
		OpenID Connect Core §3.1.2.1.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.1-8", "OIDF-19", "SE-12")
		first := s.tokens()
		s.later(5 * time.Minute)
		login := s.visit(request("prompt", "login"))
		back := s.submit(login, "/login", "username", "alice", "password", "wonderland-alice")
		s.note("One password was enough: the browser is at the client with a code.")
		again := s.wants(s.exchange(back.Location.Query().Get("code")), http.StatusOK, "")
		if s.claimsOf(first.Member("id_token"))["auth_time"].(float64) >= s.claimsOf(again.Member("id_token"))["auth_time"].(float64) {
			s.Error("auth_time is not later")
		}
	})

	tell(t, "oidc-core/max-age", `A session that is older than max_age does not do; one that is not, does. OpenID Connect Core §3.1.2.1.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.1-12", "OIDCC-2-4")
		s.signIn()
		s.later(time.Minute)
		s.note("Two minutes old would do.")
		page := s.ask("max_age", "120")
		s.wants(s.exchange(page.Location.Query().Get("code")), http.StatusOK, "")
		s.note("It is older than a second.")
		login := s.visit(request("max_age", "1"))
		s.later(3 * time.Second)
		back := s.submit(login, "/login", "username", "alice", "password", "wonderland-alice")
		s.note("Judged when the request began, so that typing slowly is no loop.")
		s.wants(s.exchange(back.Location.Query().Get("code")), http.StatusOK, "")
		s.note("With prompt=none there is no page to show.")
		s.later(2 * time.Second)
		s.refused("login_required", "max_age", "1", "prompt", "none")
	})

	tell(t, "oidc-core/prompt-consent", `prompt=consent asks although all of it was allowed before. OpenID Connect Core §3.1.2.1.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.1-9")
		s.signIn()
		s.note("Without it, nobody is asked.")
		s.ask()
		consent := s.visit(request("prompt", "consent"))
		if back := s.submit(consent, "/consent", "decision", "allow"); back.Location == nil || back.Location.Query().Get("code") == "" {
			s.Error("no code")
		}
	})

	tell(t, "oidc-core/prompt-select-account", `prompt=select_account lets the user go on as who they are or sign in as another.
		OpenID Connect Core §3.1.2.1.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.1-10")
		s.signIn()
		s.later(time.Minute)
		login := s.visit(request("prompt", "select_account"))
		s.note("Alice goes on as herself.")
		if back := s.submit(login, "/login", "action", "continue"); back.Location == nil || back.Location.Query().Get("code") == "" {
			s.Error("no code")
		}
	})

	tell(t, "oidc-core/select-another-account", `From the same page another user signs in, and is asked for a consent of their own.
		OpenID Connect Core §3.1.2.1.`, func(s *story) {
		s.signIn()
		s.later(time.Minute)
		login := s.Get(request("prompt", "select_account"))
		consent := s.browse(http.MethodPost, "/login", url.Values{
			"i": {login.Hidden().Get("i")}, "csrf": {login.Hidden().Get("csrf")}, "username": {"bob"}, "password": {"builder-bob-builds"},
		})
		back := s.submit(consent, "/consent", "decision", "allow")
		tokens := s.wants(s.exchange(back.Location.Query().Get("code")), http.StatusOK, "")
		if s.claimsOf(tokens.Member("id_token"))["sub"] != "sub-of-bob" {
			s.Error("the code is not for bob")
		}
	})

	tell(t, "oidc-core/id-token-hint", `id_token_hint says whom the client expects. Somebody else's session does not do, and who signs in as
		somebody else gets login_required. It signs nobody in. OpenID Connect Core §3.1.2.1 and §3.1.2.2.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.1-16")
		other := s.NewBrowser(s.T).SignIn(request(), "bob", "builder-bob-builds")
		hint := s.redeem(other.Location.Query().Get("code")).Member("id_token")
		s.signIn()
		s.later(time.Minute)
		s.note("Alice is signed in, Bob is expected.")
		login := s.visit(request("id_token_hint", hint))
		s.note("Alice signs in again.")
		wrong := s.submit(login, "/login", "username", "alice", "password", "wonderland-alice")
		if wrong.Location == nil || wrong.Location.Query().Get("error") != "login_required" {
			s.Errorf("sent to %v", wrong.Location)
		}
		s.later(time.Minute)
		s.note("Bob does.")
		login = s.Get(request("id_token_hint", hint))
		back := s.submit(login, "/login", "username", "bob", "password", "builder-bob-builds")
		if back.Location == nil || back.Location.Query().Get("code") == "" {
			s.Errorf("sent to %v", back.Location)
		}
	})

	tell(t, "oidc-core/wrong-password", `A wrong password and an unknown name get the same page, and the right password afterwards works.
		OpenID Connect Core §3.1.2.3.`, func(s *story) {
		login := s.Get(request())
		wrong := s.submit(login, "/login", "username", "alice", "password", "wonderland-bob")
		unknown := s.submit(wrong, "/login", "username", "nobody", "password", "wonderland-bob")
		if a, b := wrong.StatusCode, unknown.StatusCode; a != b {
			s.Errorf("answered %d and %d", a, b)
		}
		s.submit(unknown, "/login", "username", "alice", "password", "wonderland-alice")
	})

	tell(t, "oidc-core/login-hint", `login_hint fills in the name. OpenID Connect Core §3.1.2.1.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-15.1-1")
		login := s.visit(request("login_hint", "alice@example.com"))
		s.note("The e-mail address signs in as well as the name.")
		s.submit(login, "/login", "username", "alice@example.com", "password", "wonderland-alice")
	})

	tell(t, "oidc-core/offline-access", `offline_access lets a grant outlive the session, if the user allows it; without it the grant ends with the
		session. A client that is not registered for refresh tokens does not get it. OpenID Connect Core §11.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-11-1", "OIDCC-11-2", "OIDCC-11-3", "RFC9700-4.14.2-4")
		s.signIn()
		s.note("It is never granted silently, although the rest was allowed before.")
		s.refused("consent_required", "prompt", "none", "scope", "openid offline_access photos:read")
		s.note("The consent page says what staying connected means.")
		consent := s.visit(request("scope", "openid offline_access photos:read"))
		back := s.Browser.Post("/consent", consent.With("decision", "allow"))
		offline := s.wants(s.exchange(back.Location.Query().Get("code")), http.StatusOK, "")
		online := s.tokens("scope", "openid photos:read")
		s.note("Alice signs out.")
		s.logout("id_token_hint", online.Member("id_token"))
		s.note("The grant with offline_access lives, the other has ended.")
		s.wants(s.renew(offline.Member("refresh_token")), http.StatusOK, "")
		s.wants(s.renew(online.Member("refresh_token")), http.StatusBadRequest, "invalid_grant")
		s.note("A client without refresh_token asks in vain.")
		code := s.code("client_id", "basic", "redirect_uri", "https://basic.example/cb", "scope", "openid offline_access")
		s.wants(s.post("/token", "basic", "grant_type", "authorization_code", "code", code, "redirect_uri", "https://basic.example/cb", "code_verifier", verifier), http.StatusOK, "")
	})
}

// swapped is another character than c.
func swapped(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

package authserver_test

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

func TestStoriesOfDocuments(t *testing.T) {
	tell(t, "rfc8414/metadata", `The server's metadata, derived from its endpoints. RFC 8414 §2 and §3.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-3.1-2", "RFC8414-2-1", "RFC8414-2-2", "RFC8414-2-3", "RFC8414-2-4", "RFC8414-2-5", "RFC8414-3-1", "RFC8414-3.1-1", "RFC8414-3.2-1", "RFC8414-3.3-1",
			"RFC9207-3-1", "RFC9700-2.1.1-5", "RFC9700-2.6-1", "OIDF-36", "OIDCRIL-2.1-1")
		metadata := s.wants(s.send(http.MethodGet, "/.well-known/oauth-authorization-server", ""), http.StatusOK, "")
		if endpoint := metadata.Member("authorization_endpoint"); endpoint != s.URL+"/authorize" || strings.ContainsAny(endpoint, "?#") {
			s.Errorf("the authorization endpoint is %q", endpoint)
		}
		s.note("What does not exist is 404: an issuer path that is none of ours, another document.")
		s.wants(s.send(http.MethodGet, "/.well-known/oauth-authorization-server/elsewhere", ""), http.StatusNotFound, "")
		s.wants(s.send(http.MethodGet, "/.well-known/openid-federation", ""), http.StatusNotFound, "")
	})

	tell(t, "oidc-discovery/configuration", `The OpenID Connect document is the same as that of RFC 8414. OpenID Connect Discovery §3 and §4.`, func(s *story) {
		spec.Covers(s.T, "OIDCD-3-1", "OIDCD-3-2", "OIDCD-3-3", "OIDCD-3-4", "OIDCD-3-5", "OIDCD-4-1", "OIDCD-4.2-1", "OIDCD-4.3-1", "OIDCC-8-1")
		s.wants(s.send(http.MethodGet, "/.well-known/openid-configuration", ""), http.StatusOK, "")
		s.note("HEAD asks for the headers alone.")
		s.wants(s.send(http.MethodHead, "/.well-known/openid-configuration", ""), http.StatusOK, "")
	})

	tell(t, "rfc8414/host-header", `Every URL comes from the configuration. What the request says about host and scheme changes nothing.
		RFC 8414 §6.2, RFC 9700 §4.13.`, func(s *story) {
		spec.Covers(s.T, "RFC8414-6.2-1", "PX-10", "RFC9700-4.13-1")
		page := s.send(http.MethodGet, request("redirect_uri", "https://evil.example/cb"), "", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https",
			"Forwarded", "for=203.0.113.9;host=evil.example;proto=https", "X-Forwarded-For", "203.0.113.9")
		s.wantsStatus(page, http.StatusBadRequest)
		r, err := http.NewRequest(http.MethodGet, "http://evil.example/.well-known/oauth-authorization-server", nil)
		if err != nil {
			s.Fatal(err)
		}
		r.Header.Set("X-Forwarded-Host", "evil.example")
		metadata := s.Do(s.T, r)
		s.note("The same with another Host header.")
		s.record(r, "", metadata)
		if metadata.Member("issuer") != s.URL {
			s.Errorf("the issuer is %q", metadata.Member("issuer"))
		}
	})

	tell(t, "rfc7517/key-set", `The keys that verify what this server signs: public parts only, each with its own kid, RS256 first because some old
		clients take the first. RFC 7517 §4 and §5.`, func(s *story) {
		spec.Covers(s.T, "RFC7517-4.2-1", "RFC7517-4.5-1", "RFC7517-8.5-1", "RFC7517-9.2-1", "OIDCD-3-6", "OIDCC-10.1.1-1")
		s.wants(s.send(http.MethodGet, "/jwks", ""), http.StatusOK, "")
		s.note("Tokens name these keys.")
		s.wants(s.exchange(s.code()), http.StatusOK, "")
	})

	tell(t, "rfc9110/paths-and-methods", `A method that an endpoint does not take is 405 with Allow; a path that is not written plainly is 404, never a
		redirect. RFC 9110 §15.5.6.`, func(s *story) {
		spec.Covers(s.T, "OIDF-6")
		s.wantsStatus(s.send(http.MethodPut, "/userinfo", ""), http.StatusMethodNotAllowed)
		s.wantsStatus(s.send(http.MethodHead, "/authorize", ""), http.StatusMethodNotAllowed)
		s.wantsStatus(s.send(http.MethodPost, "/jwks", ""), http.StatusMethodNotAllowed)
		for _, path := range []string{"/token/", "//token", "/./token", "/jwks/../token", "/%74oken", "/TOKEN"} {
			s.wantsStatus(s.send(http.MethodPost, path, ""), http.StatusNotFound)
		}
	})
}

func TestStoriesOfBrowserClients(t *testing.T) {
	tell(t, "cors/token", `Pages of registered clients call the token endpoint, userinfo and revocation from a browser; others cannot read the
		answer. No answer allows credentials, since no such endpoint takes a cookie. RFC 9700 §2.6, Fetch §3.2.`, func(s *story) {
		spec.Covers(s.T, "RFC9700-2.6-2", "RFC7009-2.3-1", "OIDCC-5.3-2")
		preflight := func(path, origin string) gatehousetest.Answer {
			s.Helper()
			return s.send(http.MethodOptions, path, "", "Origin", origin, "Access-Control-Request-Method", "POST",
				"Access-Control-Request-Headers", "authorization,dpop,content-type,mcp-protocol-version")
		}
		const ours = "https://spa.example"
		s.note("The preflight of a registered client's page.")
		for _, path := range []string{"/token", "/userinfo", "/revoke"} {
			if answer := preflight(path, ours); answer.Header.Get("Access-Control-Allow-Origin") != ours {
				s.Errorf("%s does not allow %s", path, ours)
			}
		}
		s.note("Of a page that nobody registered.")
		if answer := preflight("/token", "https://evil.example.org"); answer.Header.Get("Access-Control-Allow-Origin") != "" {
			s.Error("a strange origin is allowed")
		}
		s.note("The request itself: errors can be read, too.")
		s.wants(s.send(http.MethodPost, "/token", encoded("grant_type", "refresh_token", "refresh_token", "nonsense", "client_id", "spa"),
			"Content-Type", formType, "Origin", ours), http.StatusBadRequest, "invalid_grant")
		s.wants(s.send(http.MethodGet, "/userinfo", "", "Origin", ours), http.StatusUnauthorized, "")
	})

	tell(t, "cors/documents", `The documents may be read from anywhere. RFC 8414 §3, Fetch §3.2.`, func(s *story) {
		for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks"} {
			answer := s.send(http.MethodOptions, path, "", "Origin", "https://anywhere.example", "Access-Control-Request-Method", "GET",
				"Access-Control-Request-Headers", "mcp-protocol-version")
			if answer.Header.Get("Access-Control-Allow-Origin") != "*" {
				s.Errorf("%s is not open", path)
			}
		}
	})

	tell(t, "cors/never-at-authorization", `The authorization endpoint, the introspection endpoint and the pages answer no CORS request.
		RFC 9700 §2.6.`, func(s *story) {
		spec.Covers(s.T, "CF-14")
		for _, path := range []string{"/authorize", "/introspect", "/login", "/consent", "/logout"} {
			answer := s.send(http.MethodOptions, path, "", "Origin", "https://spa.example", "Access-Control-Request-Method", "POST")
			if answer.Header.Get("Access-Control-Allow-Origin") != "" {
				s.Errorf("%s answers CORS", path)
			}
		}
		if answer := s.send(http.MethodGet, request(), "", "Origin", "https://app.example"); answer.Header.Get("Access-Control-Allow-Origin") != "" {
			s.Error("the authorization endpoint answers CORS")
		}
	})
}

func TestStoriesOfResponseModes(t *testing.T) {
	tell(t, "oauth-form-post/code", `The answer as a form that the browser posts to the client: nothing stands in a URL. A button submits it where
		scripts are off. OAuth 2.0 Form Post Response Mode §2.`, func(s *story) {
		spec.Covers(s.T, "RFC9700-4.2.4-3", "RFC9700-4.3.2-1")
		s.signIn()
		page := s.ask("response_mode", "form_post", "state", `a "b" <c>`)
		form := page.Hidden()
		if form.Get("state") != `a "b" <c>` || form.Get("iss") != s.URL {
			s.Errorf("the form is %v", form)
		}
		s.wants(s.exchange(form.Get("code")), http.StatusOK, "")
	})

	tell(t, "oauth-form-post/errors", `Errors are posted in the same way. OAuth 2.0 Form Post Response Mode §2.`, func(s *story) {
		spec.Covers(s.T, "FORMPOST-2-2", "MULTIRESP-2.1-1", "OIDF-15")
		page := s.ask("response_mode", "form_post", "response_type", "")
		if page.Hidden().Get("error") != "invalid_request" {
			s.Errorf("the form is %v", page.Hidden())
		}
		s.ask("response_mode", "form_post", "prompt", "none")
		s.note("The user presses Cancel.")
		login := s.Get(request("response_mode", "form_post"))
		consent := s.Browser.Post("/login", login.With("username", "alice", "password", "wonderland-alice"))
		s.submit(consent, "/consent", "decision", "deny")
		s.note("A response mode that is none is refused by the default one.")
		s.refused("invalid_request", "response_mode", "fragment")
		s.refused("invalid_request", "response_mode", "query.jwt")
		s.note("query may be said aloud.")
		s.refused("unsupported_response_type", "response_mode", "query", "response_type", "token")
	})

	tell(t, "rfc9207/iss", `Every answer names its issuer, so that a client of several servers knows whose it is: codes and errors, by redirect and by
		form. RFC 9207 §2.`, func(s *story) {
		spec.Covers(s.T, "RFC9207-2-1", "RFC9207-2.3-1", "RFC9700-2.1-4", "PR-06")
		s.signIn()
		metadata := s.Do(s.T, must(http.NewRequest(http.MethodGet, s.URL+"/.well-known/oauth-authorization-server", nil)))
		for _, mode := range []string{"query", "form_post"} {
			for _, scope := range []string{"openid photos:read", "gardens:read"} {
				page := s.ask("response_mode", mode, "scope", scope)
				answer := page.Hidden()
				if page.Location != nil {
					answer = page.Location.Query()
				}
				if answer.Get("iss") != metadata.Member("issuer") || answer.Has("code") == answer.Has("error") {
					s.Errorf("%s, %s: %v", mode, scope, answer)
				}
			}
		}
	})

	tell(t, "rfc7636/challenges", `A challenge is the S256 of a verifier. Without a method it would be plain, which shows the verifier to whoever sees the
		request. RFC 7636 §4.2 to §4.4, RFC 9700 §2.1.1.`, func(s *story) {
		spec.Covers(s.T, "RFC7636-4.3-1", "RFC7636-4.3-2", "RFC7636-4.4.1-1", "RFC7636-7.2-1", "PK-03", "RFC9700-2.1.1-2")
		for _, method := range []string{"", "plain", "s256", "S512"} {
			s.refused("invalid_request", "code_challenge_method", method)
		}
		s.note("No challenge; a padded one; one that is too short.")
		s.refused("invalid_request", "code_challenge", "")
		s.refused("invalid_request", "code_challenge", challenge+"=")
		s.refused("invalid_request", "code_challenge", challenge[:42])
		s.note("The right one goes on.")
		s.ask()
	})

	tell(t, "rfc7636/verifiers", `The verifier is compared with the challenge by its S256. The third wrong one of the right client kills the code.
		RFC 7636 §4.1 and §4.6.`, func(s *story) {
		spec.Covers(s.T, "RFC7636-4.1-1", "RFC7636-4.6-1", "RFC7636-4.4-1", "RFC9700-4.2.4-2", "RFC9700-4.5.3-1", "PK-04")
		s.Public(challenge) // which is sent as a verifier below
		code := s.code()
		s.note("Empty, too short, with a character that no verifier has.")
		s.wants(s.exchangeAs(code, webCallback, ""), http.StatusBadRequest, "invalid_grant")
		s.wants(s.exchangeAs(code, webCallback, verifier[:42]), http.StatusBadRequest, "invalid_grant")
		s.wants(s.exchangeAs(code, webCallback, verifier+"%"), http.StatusBadRequest, "invalid_grant")
		s.note("The challenge itself is no verifier; this was the third wrong one.")
		s.wants(s.exchangeAs(code, webCallback, challenge), http.StatusBadRequest, "invalid_grant")
		s.wants(s.exchangeAs(code, webCallback, verifier), http.StatusBadRequest, "invalid_grant")
		s.note("With the right verifier at once, a code works.")
		s.wants(s.exchangeAs(s.code(), webCallback, verifier), http.StatusOK, "")
	})
}

func TestStoriesOfNativeApplications(t *testing.T) {
	native := func(uri string) []string {
		return []string{"client_id", "native", "redirect_uri", uri, "scope", "openid photos:read"}
	}

	tell(t, "rfc8252/loopback-port", `A native application listens on a port that its system gave it: the port of a registered loopback address may be any,
		and nothing else may differ. RFC 8252 §7.3 and §8.3.`, func(s *story) {
		spec.Covers(s.T, "RFC8252-7.3-1", "RFC8252-8.6-1", "OAUTH21-4.1.1-3", "RFC9700-2.1-1", "RU-13")
		s.ask(native("http://127.0.0.1:49152/cb")...)
		s.note("Another path, localhost, the other family, https.")
		for _, uri := range []string{"http://127.0.0.1:49152/other", "http://localhost:49152/cb", "http://[::1]:49152/cb", "https://127.0.0.1:49152/cb", "http://127.0.0.1.example:49152/cb"} {
			s.stopped(native(uri)...)
		}
		s.note("A code comes back to the port that was asked for.")
		code := s.code(native("http://127.0.0.1:49152/cb")...)
		s.wants(s.post("/token", "native", "grant_type", "authorization_code", "code", code, "redirect_uri", "http://127.0.0.1:49152/cb", "code_verifier", verifier), http.StatusOK, "")
		s.note("Anyone could pose as this client, and so the user is asked each time.")
		spec.Covers(s.T, "RFC6819-5.2.4.1-1", "CF-06")
		page := s.ask(append(native("http://127.0.0.1:49152/cb"), "prompt", "none")...)
		if page.Location == nil || page.Location.Query().Get("error") != "consent_required" {
			s.Errorf("answered %d, to %v", page.StatusCode, page.Location)
		}
		s.note("A public client with an https address is remembered, but not for more than was allowed.")
		spa := []string{"client_id", "spa", "redirect_uri", "https://spa.example/cb", "prompt", "none"}
		s.code("client_id", "spa", "redirect_uri", "https://spa.example/cb", "scope", "openid")
		for scope, want := range map[string]string{"openid": "", "openid photos:read": "consent_required"} {
			answer, err := s.Once(http.MethodGet, request(append(spa, "scope", scope)...), nil).Location()
			if err != nil || answer.Query().Get("error") != want {
				s.Errorf("%s: sent to %v", scope, answer)
			}
		}
	})

	tell(t, "rfc8252/private-scheme", `A private-use scheme is a domain name in reverse order, and matches exactly. RFC 8252 §7.1.`, func(s *story) {
		spec.Covers(s.T, "RU-20", "RFC8252-6-1", "RFC8252-8.1-1")
		s.stopped(native("com.example.app:/other")...)
		s.stopped(native("com.example.app://cb")...)
		s.note("Without PKCE there is no code.")
		s.ask(append(native("com.example.app:/cb"), "code_challenge", "", "code_challenge_method", "")...)
		code := s.code(native("com.example.app:/cb")...)
		s.wants(s.post("/token", "native", "grant_type", "authorization_code", "code", code, "redirect_uri", "com.example.app:/cb", "code_verifier", verifier), http.StatusOK, "")
	})
}

func TestStoriesOfNativeClientsOfTheWeb(t *testing.T) {
	tellIn(t, "rfc8252/https-and-secrets", `A native application that claims an https address is a client like any other. It is public: a secret that was
		shipped with it is none, and sending one is refused. RFC 8252 §7.2 and §8.5.`, gatehousetest.Options{Tenant: tenantWith(`
  - client_id: claimed
    application_type: native
    token_endpoint_auth_method: none
    redirect_uris: [https://claimed.example/cb]
    grant_types: [authorization_code, refresh_token]
    scope: openid photos:read
`)}, func(s *story) {
		spec.Covers(s.T, "RFC8252-7.2-1", "RFC8252-8.5-1")
		code := s.code("client_id", "claimed", "redirect_uri", "https://claimed.example/cb")
		form := []string{"grant_type", "authorization_code", "code", code, "redirect_uri", "https://claimed.example/cb", "code_verifier", verifier, "client_id", "claimed"}
		s.wants(s.post("/token", "", append(form, "client_secret", "shipped-with-the-application")...), http.StatusUnauthorized, "invalid_client")
		s.wants(s.send(http.MethodPost, "/token", encoded(form...), "Content-Type", formType, "Authorization", basic("claimed", "shipped-with-the-application")),
			http.StatusUnauthorized, "invalid_client")
		s.note("Without a secret the code works.")
		s.wants(s.post("/token", "", form...), http.StatusOK, "")
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

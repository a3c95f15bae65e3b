package authserver_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

func TestStoriesOfAuthenticationContexts(t *testing.T) {
	const password = "urn:gatehouse:acr:password"
	tell(t, "oidc-core/acr", `The acr says what kind of sign-in there was. acr_values is a wish: values that do not exist here are ignored. Demanded as
		essential by the claims parameter, a value that cannot be reached fails the request. OpenID Connect Core §3.1.2.1 and §5.5.1.1.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.1-17", "OIDCC-5.5.1.1-1", "OIDF-21")
		for _, wish := range []string{password, "urn:mace:incommon:iap:silver " + password, "1", ""} {
			tokens := s.tokens("acr_values", wish)
			for _, token := range []string{"id_token", "access_token"} {
				if acr := s.claimsOf(tokens.Member(token))["acr"]; acr != password {
					s.Errorf("acr_values=%s: the acr of the %s is %v", wish, token, acr)
				}
			}
		}
		s.wants(s.exchange(s.code("acr_values", password)), http.StatusOK, "")
		s.note("Demanded as essential: one that does not exist.")
		s.refused("unmet_authentication_requirements", "claims", `{"id_token":{"acr":{"essential":true,"values":["urn:mace:incommon:iap:silver"]}}}`)
		s.refused("unmet_authentication_requirements", "claims", `{"id_token":{"acr":{"essential":true,"value":"2"}}}`)
		s.note("One of several; any; one that is not essential.")
		for _, claims := range []string{
			`{"id_token":{"acr":{"essential":true,"values":["2","` + password + `"]}}}`, `{"id_token":{"acr":{"essential":true}}}`, `{"id_token":{"acr":{"value":"2"}}}`,
		} {
			if page := s.ask("claims", claims); page.Location == nil || !page.Location.Query().Has("code") {
				s.Errorf("%s: answered %d, to %v", claims, page.StatusCode, page.Location)
			}
		}
	})

	tell(t, "oidc-core/display", `display, ui_locales and claims_locales are wishes. The pages are the same for each display; another value is no error.
		OpenID Connect Core §3.1.2.1, §5.2 and §15.1. prompt=create waits for people who register themselves.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.1-14", "OIDCC-5.2-1", "PROMPTCREATE-4.1-1")
		s.signIn()
		for _, display := range []string{"page", "popup", "touch", "wap", "hologram"} {
			if page := s.ask("display", display, "claims_locales", "fr de"); page.Location == nil || !page.Location.Query().Has("code") {
				s.Errorf("%s: answered %d, to %v", display, page.StatusCode, page.Location)
			}
		}
		s.refused("invalid_request", "prompt", "create")
		answer := s.Do(s.T, must(http.NewRequest(http.MethodGet, s.URL+"/.well-known/openid-configuration", nil)))
		if !strings.Contains(answer.Text, `"display_values_supported":["page","popup","touch","wap"]`) || strings.Contains(answer.Text, `"create"`) {
			s.Errorf("the metadata is %s", answer.Text)
		}
	})
}

func TestStoriesOfTheClaimsParameter(t *testing.T) {
	tell(t, "oidc-core/claims", `Claims that are asked for one by one come where they were asked for: name at UserInfo only, email in the ID token
		only. The user sees the sentences of the scopes that would open them. OpenID Connect Core §5.5.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-5.5-1", "OIDCC-5.5-2", "OIDF-31")
		const claims = `{"userinfo":{"name":{"essential":true},"phone_number":null,"nickname":null,"frobnicated":{"essential":true}},"id_token":{"email":null,"auth_time":{"essential":true}},"other":{"more":[1]}}`
		s.signIn()
		s.note("What was allowed before does not cover it: the user is asked.")
		page := s.visit(request("scope", "openid", "claims", claims))
		if page.Path != "/consent" {
			s.Fatalf("answered %d at %s, to %v\n%s", page.StatusCode, page.Path, page.Location, page.Text)
		}
		for _, sentence := range []string{"see your profile", "see your e-mail address", "see your phone number"} {
			if !strings.Contains(page.Text, sentence) {
				s.Errorf("the consent page does not say %q", sentence)
			}
		}
		answer := s.submit(page, "/consent", "decision", "allow")
		if answer.Location == nil {
			s.Fatalf("answered %d at %s\n%s", answer.StatusCode, answer.Path, answer.Text)
		}
		tokens := s.wants(s.exchange(answer.Location.Query().Get("code")), http.StatusOK, "")
		id := s.claimsOf(tokens.Member("id_token"))
		if id["email"] != "alice@example.com" || id["name"] != nil || id["phone_number"] != nil || id["email_verified"] != nil {
			s.Errorf("the ID token has %v", id)
		}
		info := s.wants(s.bearer(tokens.Member("access_token")), http.StatusOK, "")
		if info.Member("name") != "Alice Example" || info.Member("phone_number") == "" || info.Member("email") != "" || info.Member("given_name") != "" {
			s.Errorf("UserInfo has %s", info.Text)
		}
		s.note("It is remembered with the scopes. A refresh keeps it.")
		if page := s.ask("scope", "openid", "claims", claims, "prompt", "none"); page.Location == nil || !page.Location.Query().Has("code") {
			s.Errorf("answered %d, to %v", page.StatusCode, page.Location)
		}
		again := s.wants(s.renew(tokens.Member("refresh_token")), http.StatusOK, "")
		if email := s.claimsOf(again.Member("id_token"))["email"]; email != "alice@example.com" {
			s.Errorf("the refreshed ID token's email is %v", email)
		}
		s.note("Without openid there is nobody to tell of.")
		code := s.code("scope", "photos:read", "claims", claims)
		if tokens := s.wants(s.redeem(code), http.StatusOK, ""); tokens.Member("id_token") != "" {
			s.Error("there is an ID token")
		}
	})

	tell(t, "oidc-core/claims-not-registered", `A client that may not ask for the scope email cannot get the address by the claims parameter, nor one that lost
		the scope since. OpenID Connect Core §5.5.`, func(s *story) {
		client := []string{"client_id", "basic", "redirect_uri", "https://basic.example/cb", "scope", "openid"}
		code := s.code(append(client, "claims", `{"id_token":{"email":{"essential":true},"name":null},"userinfo":{"email":null,"name":null}}`)...)
		tokens := s.wants(s.post("/token", "basic", "grant_type", "authorization_code", "code", code, "redirect_uri", "https://basic.example/cb", "code_verifier", verifier), http.StatusOK, "")
		if id := s.claimsOf(tokens.Member("id_token")); id["email"] != nil || id["name"] != "Alice Example" {
			s.Errorf("the ID token has %v", id)
		}
		if info := s.wants(s.bearer(tokens.Member("access_token")), http.StatusOK, ""); info.Member("email") != "" || info.Member("name") == "" {
			s.Errorf("UserInfo has %s", info.Text)
		}
	})

	tell(t, "oidc-core/claims-sub", `A sub in the claims parameter asks for one user: the request is answered for that user only. OpenID Connect Core
		§3.1.2.2 and §5.5.1.`, func(s *story) {
		spec.Covers(s.T, "OIDCC-3.1.2.2-3")
		s.signIn()
		s.ask("claims", `{"id_token":{"sub":{"value":"sub-of-alice"}}}`)
		s.note("Somebody else is signed in.")
		for _, claims := range []string{`{"id_token":{"sub":{"value":"sub-of-bob"}}}`, `{"userinfo":{"sub":{"values":["sub-of-bob"]}}}`} {
			s.refused("login_required", "claims", claims, "prompt", "none")
		}
		s.later(time.Minute)
		s.note("Bob is asked for, and Alice signs in all the same.")
		login := s.visit(request("claims", `{"id_token":{"sub":{"value":"sub-of-bob"}}}`))
		answer := s.submit(login, "/login", "username", "alice", "password", "wonderland-alice")
		if answer.Location == nil || answer.Location.Query().Get("error") != "login_required" {
			s.Errorf("answered %d, to %v", answer.StatusCode, answer.Location)
		}
		s.note("Two subs, or another one in the hint.")
		s.refused("invalid_request", "claims", `{"id_token":{"sub":{"values":["sub-of-bob","sub-of-alice"]}}}`)
		s.refused("invalid_request", "claims", `{"id_token":{"sub":{"value":"sub-of-bob"}}}`, "id_token_hint", s.tokens().Member("id_token"))
	})

	tell(t, "oidc-core/claims-malformed", `The claims parameter is strict JSON of the form that §5.5 gives, and not endless. OpenID Connect Core §5.5.`, func(s *story) {
		for _, claims := range []string{
			`{`, `[]`, `null`, `"userinfo"`, `{"userinfo":[]}`, `{"userinfo":{"name":true}}`, `{"userinfo":{"name":{"essential":"yes"}}}`,
			`{"userinfo":{"name":null,"name":null}}`, `{"userinfo":{"name":null},"userinfo":{}}`, `{"UserInfo":{}}`,
			`{"id_token":{"sub":{"values":"x"}}}`, `{} {}`, `{"userinfo":` + strings.Repeat(`{"a":`, 8) + `{}` + strings.Repeat(`}`, 9),
			`{"x":"` + strings.Repeat("x", 4096) + `"}`,
		} {
			s.refused("invalid_request", "claims", claims)
		}
		s.note("Null, and an empty object, are what everybody may send.")
		s.ask("claims", `{"userinfo":null,"id_token":{"name":{}}}`)
	})
}

func TestStoriesOfSignedUserinfo(t *testing.T) {
	tellIn(t, "oidc-core/userinfo-signed", `A client that registered userinfo_signed_response_alg gets UserInfo as a JWT that names issuer and client; the claims are
		the same. It is no ID token. OpenID Connect Core §5.3.2.`, gatehousetest.Options{Tenant: tenantWith(`
  - {client_id: signed, token_endpoint_auth_method: none, redirect_uris: [https://signed.example/cb], scope: openid profile email, userinfo_signed_response_alg: RS256, post_logout_redirect_uris: [https://signed.example/bye]}
  - {client_id: signed-es, token_endpoint_auth_method: none, redirect_uris: [https://signed-es.example/cb], scope: openid email, userinfo_signed_response_alg: ES256}
`)}, func(s *story) {
		spec.Covers(s.T, "OIDCC-5.3.2-3", "OIDF-34")
		for _, client := range []string{"signed", "signed-es"} {
			uri := "https://" + client + ".example/cb"
			asked := []string{"client_id", client, "redirect_uri", uri, "scope", "openid email"}
			tokens := s.wants(s.post("/token", client, "grant_type", "authorization_code", "code", s.code(asked...), "redirect_uri", uri, "code_verifier", verifier), http.StatusOK, "")
			answer := s.bearer(tokens.Member("access_token"))
			claims := s.claimsOf(answer.Text)
			if answer.Header.Get("Content-Type") != "application/jwt" || claims["iss"] != s.URL || claims["aud"] != client || claims["email"] != "alice@example.com" ||
				claims["sub"] != "sub-of-alice" || claims["nonce"] != nil || claims["exp"] != nil {
				s.Errorf("%s: %s %v", client, answer.Header.Get("Content-Type"), claims)
			}
			header, _ := decoded(answer.Text)
			if want := map[string]string{"signed": `"alg":"RS256"`, "signed-es": `"alg":"ES256"`}[client]; !strings.Contains(string(header), want) {
				s.Errorf("%s: the header is %s", client, header)
			}
			if page := s.ask(append(asked, "id_token_hint", answer.Text)...); page.Location == nil || page.Location.Query().Get("error") != "invalid_request" {
				s.Errorf("UserInfo as a hint: sent to %v", page.Location)
			}
		}
		s.note("Errors are as they always are.")
		s.wants(s.bearer("nonsense"), http.StatusUnauthorized, "invalid_token")
	})
}

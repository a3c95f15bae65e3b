package authserver_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// ask records one authorization request without following what comes of it.
func (s *story) ask(pairs ...string) gatehousetest.Page {
	s.Helper()
	target := request(pairs...)
	answer := s.Once(http.MethodGet, target, nil)
	s.record(answer.Request, "", answer)
	location, _ := answer.Location()
	return gatehousetest.Page{Answer: answer, Location: location, Path: answer.Request.URL.Path}
}

// refused asks and wants the error at the client's redirect URI.
func (s *story) refused(code string, pairs ...string) {
	s.Helper()
	page := s.ask(pairs...)
	if page.Location == nil || page.Location.Host != "app.example" || page.Location.Query().Get("error") != code ||
		page.Location.Query().Get("code") != "" {
		s.Errorf("%v was answered %d, to %v; want %s", pairs, page.StatusCode, page.Location, code)
	}
}

// stopped asks and wants a page of ours that leads nowhere.
func (s *story) stopped(pairs ...string) {
	s.Helper()
	page := s.ask(pairs...)
	if page.StatusCode != http.StatusBadRequest || page.Location != nil || !strings.Contains(page.Text, `id="error-page"`) {
		s.Errorf("%v was answered %d, to %v; want an error page", pairs, page.StatusCode, page.Location)
	}
}

func TestStoriesOfTheAuthorizationEndpoint(t *testing.T) {
	tell(t, "rfc6749/authorize-untrusted", `As long as client and redirect URI are not known to belong together, an error is a page for the
		user and the browser is sent nowhere, whatever else is wrong with the request. RFC 6749 §4.1.2.1, RFC 9700 §4.11.2.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-3.1.2.3-1", "RFC6749-3.1.2.3-2", "RFC6749-3.1.2.4-1", "RFC6749-4.1.1-2", "RFC6749-10.15-1", "RFC9700-2.1-2",
			"RFC9700-4.11.2-1", "RFC9700-4.11.2-2", "OIDCC-3.1.2.1-4", "OIDCC-3.1.2.6-6", "RU-15", "RFC8252-8.4-1", "OIDCC-3.1.2.2-1")
		s.note("No client, and one that nobody registered.")
		s.stopped("client_id", "")
		s.stopped("client_id", "nobody")
		s.note("A redirect URI that is not registered, and none where there are several.")
		s.stopped("redirect_uri", "https://app.example/cb/")
		s.stopped("redirect_uri", "https://evil.example/cb")
		s.stopped("redirect_uri", "")
		s.note("prompt=none and other mistakes beside it change nothing.")
		s.stopped("redirect_uri", "https://evil.example/cb", "prompt", "none", "response_type", "token", "response_mode", "form_post")
		s.note("With the registered one, the same mistake travels to the client.")
		s.refused("unsupported_response_type", "response_type", "token")
	})

	tell(t, "rfc6749/authorize-repeated-parameter", `A parameter that comes twice is refused on a page, since nobody can say which of the two is
		meant. RFC 6749 §3.1.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-3.1-6")
		s.visit(request() + "&scope=openid")
		s.visit(request() + "&redirect_uri=https%3A%2F%2Fevil.example%2Fcb")
		s.note("Two resources are no repetition. RFC 8707 §2.")
		page := s.visit("/authorize?" + encoded("response_type", "code", "client_id", "web", "redirect_uri", webCallback, "scope", "openid photos:read ledger:read",
			"code_challenge", challenge, "code_challenge_method", "S256", "resource", "https://photos.example", "resource", "https://ledger.example"))
		if page.Path != "/login" {
			s.Errorf("ended at %s", page.Path)
		}
	})

	tell(t, "rfc6749/authorize-refusals", `Every error code of the authorization endpoint, at the redirect URI, with state and iss.
		RFC 6749 §4.1.2.1, RFC 9207 §2, RFC 9700 §2.1.2, OpenID Connect Core §3.1.2.6.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-3.1.1-1", "RFC6749-4.1.2.1-3", "RFC6749-4.1.2.1-4", "RFC9700-2.1.2-1", "MULTIRESP-3-1", "OIDCC-3.1.2.6-2", "OIDCC-3.1.2.6-3",
			"OIDCC-3.1.2.6-4", "OIDCC-3.1.2.6-5", "OIDF-16", "OIDCC-6.1-2", "OIDCC-3.1.2.2-4", "RU-19", "SS-01", "OIDF-28", "RFC6749-5.2-5")
		s.note("The response type is code, and no other.")
		s.refused("invalid_request", "response_type", "")
		s.refused("unsupported_response_type", "response_type", "token")
		s.refused("unsupported_response_type", "response_type", "code id_token")
		s.refused("unsupported_response_type", "response_type", "none")
		s.note("The scope: unknown, not registered for the client, malformed.")
		s.refused("invalid_scope", "scope", "gardens:read")
		s.refused("invalid_scope", "scope", `photos:read "quoted"`)
		s.note("Request objects and registration by parameter are refused, not ignored.")
		s.refused("request_not_supported", "request", "eyJhbGciOiJub25lIn0.e30.")
		s.refused("request_uri_not_supported", "request_uri", "https://app.example/request.jwt")
		s.refused("registration_not_supported", "registration", `{"client_name":"me"}`)
		s.note("prompt and max_age.")
		s.refused("invalid_request", "prompt", "create")
		s.refused("invalid_request", "prompt", "none login")
		s.refused("invalid_request", "max_age", "-1")
		s.note("An ID token hint that is none.")
		s.refused("invalid_request", "id_token_hint", "eyJhbGciOiJub25lIn0.e30.")
		s.note("The same request without mistakes goes on to the login page.")
		s.ask()
	})

	tell(t, "rfc6749/authorize-ignored", `What the server does not know is ignored, what is empty counts as absent, and the order of
		parameters and scopes means nothing. RFC 6749 §3.1 and §3.3, OpenID Connect Core §3.1.2.1 and §15.1.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-3.1-4", "RFC6749-3.1-5", "RFC6749-3.3-2", "OIDCC-3.1.2.1-18", "OIDCC-15.1-1")
		s.signIn()
		s.note("Unknown parameters, and scopes that are the same in another order.")
		s.ask("scope", "photos:read openid", "frobnicate", "yes", "nonce", "")
		s.note("Parameters of OpenID Connect that only express a wish.")
		page := s.ask("display", "popup", "ui_locales", "fr de", "claims_locales", "fr", "acr_values", "urn:mace:incommon:iap:silver",
			"claims", `{"id_token":{"frobnicated":{"essential":true}}}`)
		s.note("None of them put a claim into the ID token.")
		s.exchange(page.Location.Query().Get("code"))
		s.note("An empty response_mode, prompt and max_age are as good as none.")
		s.visit(request() + "&response_mode=&prompt=&max_age=&request=")
	})

	tell(t, "rfc6749/authorize-by-post", `The authorization endpoint takes a form as well. The browser is sent on with a GET, because a POST
		from another site carries no cookie of ours. RFC 6749 §3.1, OpenID Connect Core §3.1.2.1.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-3.1-3", "OIDCC-3.1.2.1-1", "OIDCC-13.2-1")
		s.signIn()
		s.Origin = "https://app.example"
		form := with(url.Values{}, []string{"response_type", "code", "client_id", "web", "redirect_uri", webCallback, "scope", "openid photos:read",
			"state", "the state", "code_challenge", challenge, "code_challenge_method", "S256"})
		if page := s.browse(http.MethodPost, "/authorize", form); page.Location == nil || page.Location.Query().Get("code") == "" {
			s.Error("no code")
		}
		s.note("An error goes to the redirect URI at once.")
		form.Set("response_type", "token")
		s.browse(http.MethodPost, "/authorize", form)
		s.note("A body of another media type is not read.")
		s.wantsStatus(s.send(http.MethodPost, "/authorize", `{"client_id":"web"}`, "Content-Type", "application/json"), http.StatusBadRequest)
	})

	tell(t, "rfc6749/state-and-redirect-uri", `state comes back as it was sent, and the query of a registered redirect URI stays.
		RFC 6749 §3.1.2 and §4.1.1.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-3.1.2-2", "RFC6749-4.1.1-1", "OIDF-14", "OIDCC-3.1.2.1-5", "OIDF-54", "RFC9700-2.1-3")
		s.signIn()
		state := `a b+c&d=e%20"<é>` + "\t"
		s.note("Characters that need encoding.")
		for _, page := range []gatehousetest.Page{
			s.ask("state", state, "redirect_uri", "https://app.example/cb?kept=1"),
			s.ask("state", state, "redirect_uri", "https://app.example/cb?kept=1", "scope", "gardens:read"),
		} {
			if query := page.Location.Query(); query.Get("state") != state || query.Get("kept") != "1" {
				s.Errorf("came back as %v", query)
			}
		}
		s.note("No state, no state.")
		s.ask("state", "")
		s.note("A state of 2,000 characters and a nonce of 384.")
		long, nonce := strings.Repeat("s", 2000), strings.Repeat("n", 384)
		page := s.ask("state", long, "nonce", nonce)
		if page.Location.Query().Get("state") != long {
			s.Error("the long state did not come back")
		}
		tokens := s.redeem(page.Location.Query().Get("code"))
		if _, claims := decoded(tokens.Member("id_token")); !strings.Contains(string(claims), `"`+nonce+`"`) {
			s.Errorf("the long nonce is not in %s", claims)
		}
	})

	tellIn(t, "rfc6749/authorize-not-registered", `A client that did not register the authorization_code grant gets unauthorized_client; one that asks
		for a scope it did not register gets invalid_scope. RFC 6749 §4.1.2.1.`, gatehousetest.Options{Tenant: tenantWith(`
  - client_id: batch
    client_secret: batch-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://app.example/batch]
    grant_types: [client_credentials]
    scope: photos:read
  - client_id: single
    client_secret: single-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://app.example/single]
    scope: openid photos:read
`)}, func(s *story) {
		spec.Covers(s.T, "RFC6749-4.1.2.1-2", "RFC6749-3.3-4")
		s.refused("unauthorized_client", "client_id", "batch", "redirect_uri", "https://app.example/batch", "scope", "photos:read")
		single := []string{"client_id", "single", "redirect_uri", "https://app.example/single"}
		s.refused("invalid_scope", append(single, "scope", "openid photos:write")...)
		s.note("Without scope the client gets what it registered, except what signs users in. Its only redirect URI may be left out.")
		back := s.SignIn(request("client_id", "single", "redirect_uri", "", "scope", ""), "alice", "wonderland-alice")
		s.wants(s.send(http.MethodPost, "/token", encoded("grant_type", "authorization_code", "code", back.Location.Query().Get("code"), "code_verifier", verifier),
			"Content-Type", formType, "Authorization", basic("single", "single-secret-that-is-long-enough-to-be-random")), http.StatusOK, "")
	})
}

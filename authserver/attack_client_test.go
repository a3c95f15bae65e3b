package authserver_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// send posts a form with an Authorization header, "" for none.
func (s *stage) send(path, authorization string, form url.Values) gatehousetest.Answer {
	s.Helper()
	return s.sendRaw(path, authorization, form.Encode())
}

func (s *stage) sendRaw(path, authorization, body string) gatehousetest.Answer {
	s.Helper()
	r, err := http.NewRequest(http.MethodPost, s.URL+path, strings.NewReader(body))
	s.did(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return s.Do(s.T, r)
}

// photos is the request of a service for a token.
func photos(pairs ...string) url.Values {
	return with(url.Values{"grant_type": {"client_credentials"}, "scope": {"photos:read"}}, pairs)
}

// clientEndpoints are where clients authenticate, with what makes a good
// request of svc there.
var clientEndpoints = map[string]url.Values{
	"/token": photos(), "/introspect": {"token": {"x"}}, "/revoke": {"token": {"x"}},
}

func TestCA06OneMethodAndTheRegisteredOne(t *testing.T) {
	spec.Covers(t, "CA-06", "RFC6749-2.3-1", "RFC6749-2.3-2", "RFC6749-2.3.1-1", "RFC6749-2.3.1-3", "RFC6749-5.2-2")
	s := open(t)
	for path, form := range clientEndpoints {
		inBody := with(url.Values{"client_id": {"svc"}, "client_secret": {secrets["svc"]}}, nil)
		for name, values := range form {
			inBody[name] = values
		}
		identified := with(url.Values{"client_id": {"svc"}}, nil)
		for name, values := range form {
			identified[name] = values
		}
		right := basic("svc", secrets["svc"])
		s.wants(s.send(path, right, inBody), http.StatusBadRequest, "invalid_request")
		s.wants(s.send(path, "", inBody), http.StatusUnauthorized, "invalid_client")
		s.wants(s.send(path, "", identified), http.StatusUnauthorized, "invalid_client")
		s.wants(s.send(path, "", form), http.StatusUnauthorized, "invalid_client")
		for _, wrong := range []string{
			basic("svc", "wrong"), basic("svc", ""), basic("svc", secrets["web"]), basic("", ""), basic("web", secrets["svc"]), basic("unknown", "x"), basic("svc\x00", secrets["svc"]),
			"Basic", "Basic !", "Basic " + base64.StdEncoding.EncodeToString([]byte("svc")), "Basic " + base64.StdEncoding.EncodeToString([]byte("%zz:x")),
			"Bearer " + secrets["svc"], "Digest x", "Negotiate x", basic("svc", secrets["svc"]+" "), basic("\xff", "\xff"), basic("evil", secrets["evil"]),
		} {
			answer := s.wants(s.send(path, wrong, form), http.StatusUnauthorized, "invalid_client")
			if challenge := answer.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Basic realm=") {
				t.Errorf("%s: the challenge is %q", path, challenge)
			}
		}
		s.wants(s.send(path, right, with(identified, []string{"client_id", "web"})), http.StatusUnauthorized, "invalid_client")
		s.wants(s.send(path+"?client_id=svc&client_secret="+secrets["svc"], "", form), http.StatusBadRequest, "invalid_request")
		for _, part := range []string{"client_assertion", "client_assertion_type"} { // junk beside a right secret
			s.wants(s.send(path, right, with(maps.Clone(form), []string{part, "junk"})), http.StatusUnauthorized, "invalid_client")
		}
		s.wants(s.send(path, right, form), http.StatusOK, "")
		s.wants(s.send(path, right, with(identified, []string{"client_id", "svc"})), http.StatusOK, "")
		s.wants(s.send(path, strings.Replace(right, "Basic", "bAsIc", 1), form), http.StatusOK, "")

		// Two headers are one too many.
		r, _ := http.NewRequest(http.MethodPost, s.URL+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header["Authorization"] = []string{right, right}
		s.wants(s.Do(t, r), http.StatusUnauthorized, "invalid_client")
	}
	// Registered for the body, the header does not do.
	s.wants(s.send("/token", basic("evil", secrets["evil"]), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), http.StatusUnauthorized, "invalid_client")
	s.wants(s.token("evil", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), http.StatusBadRequest, "invalid_grant")
	// A secret does not make a public client another one.
	s.wants(s.send("/token", basic("spa", "x"), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), http.StatusUnauthorized, "invalid_client")
	s.wants(s.send("/token", "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {"spa"}, "client_secret": {"x"}}), http.StatusUnauthorized, "invalid_client")
	s.wants(s.send("/token", "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {"spa"}, "client_secret": {""}}), http.StatusBadRequest, "invalid_grant")
}

// TestSecretsWithReservedCharacters are form-encoded inside Basic.
func TestSecretsWithReservedCharacters(t *testing.T) {
	spec.Covers(t, "RFC6749-2.3.1-2", "OIDF-27")
	const text = `sp ace:colon+plus%percent&amp=equals/slash?ü"quote`
	s := open(t)
	s.change("svc", func(client *gatehouse.Client) { client.Secrets = []gatehouse.ClientSecret{hashed(text)} })
	s.wants(s.send("/token", basic("svc", secrets["svc"]), photos()), http.StatusUnauthorized, "invalid_client")
	s.wants(s.send("/token", "Basic "+base64.StdEncoding.EncodeToString([]byte("svc:"+text)), photos()), http.StatusUnauthorized, "invalid_client")
	s.wants(s.send("/token", basic("svc", text), photos()), http.StatusOK, "")
}

// TestCA10NothingTellsWhichClientsExist but the random part of the refusal's
// id differs.
func TestCA10NothingTellsWhichClientsExist(t *testing.T) {
	spec.Covers(t, "CA-10", "RFC6749-2.2-1")
	s := open(t)
	s.done(s.store().DisableClient(t.Context(), gatehouse.DefaultTenant, "photos-api", true, gatehouse.Event{Kind: gatehouse.EventClientChanged}))
	for path, form := range clientEndpoints {
		want := ""
		for _, authorization := range []string{basic("unknown", "x"), basic("svc", "x"), basic("photos-api", secrets["photos-api"]), basic("spa", "x"), basic("evil", secrets["evil"])} {
			answer := s.wants(s.send(path, authorization, form), http.StatusUnauthorized, "invalid_client")
			_, random, found := strings.Cut(answer.Text, "(client-authentication-failed.")
			if !found {
				t.Fatalf("refused otherwise: %s", answer.Text)
			}
			random, _, _ = strings.Cut(random, ")")
			answer.Header.Del("X-Request-Id")
			said := strings.ReplaceAll(fmt.Sprint(answer.Text, answer.Header), random, "random")
			if want == "" {
				want = said
			}
			if said != want {
				t.Errorf("%s: %s\nbefore: %s", path, said, want)
			}
		}
	}
}

func TestCA08GrantsAndScopesAreRegistered(t *testing.T) {
	spec.Covers(t, "CA-08", "RFC6749-4.4-1", "RFC6749-4.4-2", "RFC6749-4.5-1", "TX-09")
	s := open(t)
	s.wants(s.token("spa", photos()), http.StatusBadRequest, "unauthorized_client")
	s.wants(s.token("native", photos()), http.StatusBadRequest, "unauthorized_client")
	s.wants(s.token("web", photos()), http.StatusBadRequest, "unauthorized_client")
	// Nor a public client that somehow came to be registered for it.
	s.change("spa", func(client *gatehouse.Client) {
		client.GrantTypes = append(client.GrantTypes, gatehouse.GrantClientCredentials)
	})
	s.wants(s.token("spa", photos()), http.StatusBadRequest, "unauthorized_client")
	for _, grant := range []string{"authorization_code", "refresh_token"} {
		s.wants(s.token("svc", url.Values{"grant_type": {grant}, "code": {"x"}, "refresh_token": {"x"}}), http.StatusBadRequest, "unauthorized_client")
	}
	for _, scope := range []string{"photos:delete", "openid", "photos:read openid", "offline_access", "photos:READ", `"`, "photos:read\x0bphotos:write"} {
		s.wants(s.token("svc", photos("scope", scope)), http.StatusBadRequest, "invalid_scope")
	}
	s.wants(s.token("photos-api", photos()), http.StatusBadRequest, "invalid_scope")
	answer := s.wants(s.token("svc", photos()), http.StatusOK, "")
	if answer.Member("scope") != "photos:read" || answer.Member("refresh_token")+answer.Member("id_token") != "" {
		t.Errorf("the answer is %s", answer.Text)
	}
	if claims := s.claims(answer.Member("access_token")); claims["sub"] != "svc" || claims["client_id"] != "svc" || claims["gid"] != nil || claims["auth_time"] != nil {
		t.Errorf("the claims are %v", claims)
	}
	s.done(s.store().DisableClient(t.Context(), gatehouse.DefaultTenant, "svc", true, gatehouse.Event{Kind: gatehouse.EventClientChanged}))
	s.wants(s.token("svc", photos()), http.StatusUnauthorized, "invalid_client")
}

func TestAudiencesOfServices(t *testing.T) {
	spec.Covers(t, "RFC8707-2-1", "RFC8707-2.2-1")
	s := open(t)
	for _, test := range []struct {
		form  url.Values
		error string
		scope string
	}{
		{photos("scope", "photos:read ledger:read"), "invalid_target", ""},
		{photos("scope", ""), "invalid_target", ""},
		{photos("resource", "https://nowhere.example"), "invalid_target", ""},
		{photos("resource", "https://photos.example/"), "", "photos:read"},
		{photos("resource", "https://ledger.example"), "invalid_target", ""},
		{photos("resource", "https://photos.example#x"), "invalid_target", ""},
		{url.Values{"grant_type": {"client_credentials"}, "resource": {"https://photos.example", "https://ledger.example"}}, "invalid_target", ""},
		{url.Values{"grant_type": {"client_credentials"}, "resource": {"https://photos.example", "https://photos.example/"}}, "", "photos:read photos:write"},
		{photos("scope", "photos:read ledger:read", "resource", "https://ledger.example"), "", "ledger:read"},
	} {
		answer := s.token("svc", test.form)
		if test.error != "" {
			s.wants(answer, http.StatusBadRequest, test.error)
		} else if s.wants(answer, http.StatusOK, "").Member("scope") != test.scope {
			t.Errorf("%v: the scope is %q", test.form, answer.Member("scope"))
		}
	}
	many := url.Values{"grant_type": {"client_credentials"}, "resource": {"1", "2", "3", "4", "5", "6", "7", "8", "9"}}
	s.wants(s.token("svc", many), http.StatusBadRequest, "invalid_request")
}

// TestTheDefaultResourceStandsFirst among those that the scopes belong to.
func TestTheDefaultResourceStandsFirst(t *testing.T) {
	s := open(t)
	both := []string{"scope", "openid photos:read ledger:read"}
	if claims := s.claims(s.tokens(both...).access); claims["aud"] != "https://photos.example" || claims["scope"] != "openid photos:read" {
		t.Errorf("without a default: %v", claims)
	}
	s.change("web", func(client *gatehouse.Client) { client.DefaultResource = "https://ledger.example" })
	issued := s.tokens(both...)
	if told := s.introspect(issued.access); told.Member("aud") != "https://ledger.example" || told.Member("scope") != "openid ledger:read" {
		t.Errorf("with a default: %s", told.Text)
	}
	other := s.wants(s.refresh(issued.refresh, "resource", "https://photos.example"), http.StatusOK, "")
	if claims := s.claims(other.Member("access_token")); claims["aud"] != "https://photos.example" || claims["scope"] != "openid photos:read" {
		t.Errorf("the other one: %v", claims)
	}
	if aud := s.introspect(s.tokens("scope", "openid").access).Member("aud"); aud != "https://ledger.example" {
		t.Errorf("without resource scopes: %s", aud)
	}
}

// TestAResourceThatIsGone takes its tokens' audience away.
func TestAResourceThatIsGone(t *testing.T) {
	s := open(t)
	issued := s.tokens()
	s.done(s.store().DeleteResource(t.Context(), gatehouse.DefaultTenant, "https://photos.example", gatehouse.Event{Kind: gatehouse.EventResourceChanged}))
	s.wants(s.refresh(issued.refresh), http.StatusBadRequest, "invalid_target")
	s.wantAnswer(s.Get(request("scope", "openid")), webCallback, "")
}

func TestTX10PasswordAndOtherGrantTypes(t *testing.T) {
	spec.Covers(t, "TX-10", "RFC6749-4.3-2", "RFC9700-2.4-1")
	s := open(t)
	for _, grant := range []string{
		"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer",
		"urn:ietf:params:oauth:grant-type:device_code", "CLIENT_CREDENTIALS", "client_credentials ", "authorization_code\x01",
	} {
		for _, client := range []string{"web", "svc", "spa", "evil"} {
			form := url.Values{"grant_type": {grant}, "username": {"alice"}, "password": {"wonderland-alice"}, "scope": {"photos:read"}}
			answer := s.wants(s.token(client, form), http.StatusBadRequest, "unsupported_grant_type")
			if grant == "password" && !strings.Contains(answer.Member("error_description"), "response_type=code") {
				t.Errorf("the refusal does not name the replacement: %s", answer.Text)
			}
		}
	}
	s.wants(s.token("svc", url.Values{"scope": {"photos:read"}}), http.StatusBadRequest, "invalid_request")
	s.wants(s.token("svc", photos("grant_type", "client_credentials")), http.StatusOK, "")
}

// TestWithoutIntrospectionForPublicClients and without a token.
func TestIN03WhoMayIntrospect(t *testing.T) {
	spec.Covers(t, "IN-03", "RFC7662-2.1-1")
	s := open(t)
	issued := s.tokens()
	s.wants(s.post("/introspect", "spa", url.Values{"token": {issued.access}}), http.StatusUnauthorized, "invalid_client")
	s.wants(s.Issuer.Post(t, "/introspect", "", "", url.Values{"token": {issued.access}}), http.StatusUnauthorized, "invalid_client")
	s.wants(s.send("/introspect", "Bearer "+issued.access, url.Values{"token": {issued.access}}), http.StatusUnauthorized, "invalid_client")
	for _, path := range []string{"/introspect", "/revoke"} {
		s.wants(s.post(path, "web", url.Values{}), http.StatusBadRequest, "invalid_request")
		s.wants(s.post(path, "web", url.Values{"token": {""}}), http.StatusBadRequest, "invalid_request")
	}
	s.wantLive(issued)
}

package authserver_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

func TestPK01NoCodeWithoutAChallenge(t *testing.T) {
	spec.Covers(t, "PK-01", "OAUTH21-4.1.1-1", "RFC9700-2.1.1-1", "RFC7636-4.4.1-1")
	s := open(t)
	s.code()
	for _, client := range []string{"web", "spa", "evil"} {
		ask := func(pairs ...string) string {
			return request(append([]string{"client_id", client, "redirect_uri", callbacks[client], "scope", "openid"}, pairs...)...)
		}
		for _, missing := range [][]string{{"code_challenge", "", "code_challenge_method", ""}, {"code_challenge", ""}} {
			s.wantAnswer(s.Get(ask(missing...)), callbacks[client], "invalid_request")
			s.wantAnswer(s.postAuthorize(ask(missing...)), callbacks[client], "invalid_request")
		}
		s.wantAnswer(s.SignIn(ask(), "alice", "wonderland-alice"), callbacks[client], "")
	}
	// A confidential client of profile oidc may leave it out, a public one never.
	basic := func(pairs ...string) string {
		return request(append([]string{"client_id", "basic", "redirect_uri", callbacks["basic"], "scope", "openid"}, pairs...)...)
	}
	s.wantAnswer(s.SignIn(basic("code_challenge", "", "code_challenge_method", ""), "alice", "wonderland-alice"), callbacks["basic"], "")
	s.wantAnswer(s.Get(basic("code_challenge", "")), callbacks["basic"], "invalid_request")
	s.change("spa", func(client *gatehouse.Client) { client.Profile = gatehouse.ProfileOIDC })
	s.wantAnswer(s.Get(request("client_id", "spa", "redirect_uri", callbacks["spa"], "scope", "openid", "code_challenge", "", "code_challenge_method", "")), callbacks["spa"], "invalid_request")
}

func TestPK02Downgrade(t *testing.T) {
	spec.Covers(t, "PK-02", "PK-04", "RFC9700-2.1.1-3", "RFC7636-4.6-1")
	s := open(t)
	code := s.code()
	s.wants(s.redeem(code, "code_verifier", ""), http.StatusBadRequest, "invalid_grant")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {webCallback}, "code_verifier": {""}}
	s.wants(s.token("web", form), http.StatusBadRequest, "invalid_grant")
	s.wants(s.redeem(code), http.StatusOK, "")

	page := s.SignIn(request("client_id", "basic", "redirect_uri", callbacks["basic"], "scope", "openid", "code_challenge", "", "code_challenge_method", ""), "alice", "wonderland-alice")
	form = url.Values{"grant_type": {"authorization_code"}, "code": {page.Location.Query().Get("code")}, "redirect_uri": {callbacks["basic"]}, "code_verifier": {verifier}}
	s.wants(s.token("basic", form), http.StatusBadRequest, "invalid_grant")
	form.Set("code_verifier", "") // counts as absent
	s.wants(s.token("basic", form), http.StatusOK, "")
}

func TestPK03OnlyS256(t *testing.T) {
	spec.Covers(t, "PK-03", "RFC7636-4.3-1", "RFC7636-7.2-1", "RFC9700-2.1.1-2")
	s := open(t)
	s.code()
	for _, method := range []string{"plain", "", "s256", "S512", "S256 ", "none", "PLAIN"} {
		s.wantAnswer(s.Get(request("code_challenge_method", method)), webCallback, "invalid_request")
	}
	for _, challenge := range []string{verifier, "x", strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("A", 42) + "=", strings.Repeat("A", 42) + "B", strings.Repeat("A", 42) + "+", strings.Repeat("A", 86)} {
		s.wantAnswer(s.Get(request("code_challenge", challenge)), webCallback, "invalid_request")
	}
	s.wantPage(s.Get(request()+"&code_challenge_method=S256"), "form-repeated-parameter")
	s.wantAnswer(s.Get(request()), webCallback, "")
	if methods := s.metadata()["code_challenge_methods_supported"]; len(methods.([]any)) != 1 || methods.([]any)[0] != "S256" {
		t.Errorf("advertised: %v", methods)
	}
}

func TestPK05MalformedVerifiers(t *testing.T) {
	spec.Covers(t, "PK-05", "RFC7636-4.1-1")
	s := open(t)
	for _, wrong := range []string{
		verifier[:42], strings.Repeat("a", 129), verifier + "+", verifier + "/", verifier + "=", verifier + " ", verifier + "ü",
		strings.ToUpper(verifier), verifier + "x", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
	} {
		code := s.code()
		s.wants(s.redeem(code, "code_verifier", wrong), http.StatusBadRequest, "invalid_grant")
		s.wants(s.redeem(code), http.StatusOK, "")
	}
	code := s.code()
	s.wants(s.redeem(code, "code_verifier", verifier+"\x00"), http.StatusBadRequest, "invalid_request")
	s.wants(s.redeem(code), http.StatusOK, "")
}

// TestCD02CodesOfOthers: a code that was tampered with, cut, or moved into
// another kind of token is no code.
func TestCD02TamperedCodesAndTokens(t *testing.T) {
	spec.Covers(t, "CD-02", "RFC6749-10.3-1")
	s := open(t)
	code := s.code()
	for _, wrong := range tampered(code) {
		s.wants(s.redeem(wrong), http.StatusBadRequest, "invalid_grant")
	}
	issued := tokensOf(s.wants(s.redeem(code), http.StatusOK, ""))
	s.wants(s.redeem(issued.refresh), http.StatusBadRequest, "invalid_grant")
	s.wants(s.refresh(code), http.StatusBadRequest, "invalid_grant")
	s.wants(s.refresh(issued.access), http.StatusBadRequest, "invalid_grant")
	for _, wrong := range tampered(issued.refresh) {
		s.wants(s.refresh(wrong), http.StatusBadRequest, "invalid_grant")
		s.revoke("web", wrong)
		if text := s.introspect(wrong).Text; text != inactive {
			t.Errorf("introspection says %s", text)
		}
	}
	for _, wrong := range tampered(issued.access) {
		s.wants(s.userinfo(wrong), http.StatusUnauthorized, "invalid_token")
		s.revoke("web", wrong)
	}
	s.wantLive(issued)
	s.wants(s.redeem(""), http.StatusBadRequest, "invalid_request")
	s.wants(s.refresh(""), http.StatusBadRequest, "invalid_request")
}

// tampered returns texts that are nearly the one given.
func tampered(text string) []string {
	swapped := func(at int) string {
		other := byte('A')
		if text[at] == other {
			other = 'B'
		}
		return text[:at] + string(other) + text[at+1:]
	}
	wrong := []string{"x", text[1:], text[:len(text)-1], text + "A", text + "=", text + "." + text, strings.ToUpper(text), "ghc_", "ghr_", "gha_", "."}
	for at := 5; at < len(text)-1; at += 1 + len(text)/12 {
		wrong = append(wrong, swapped(at))
	}
	return append(wrong, text[:4]+"\u017f"+text[5:])
}

// TestBC16AStolenCodeInAnotherSession: whoever injects a code into a flow of
// their own has another verifier.
func TestBC16AStolenCodeInAnotherSession(t *testing.T) {
	spec.Covers(t, "RFC9700-4.5.3-1")
	s := open(t)
	code := s.code()
	s.wants(s.redeem(code, "code_verifier", "the-verifier-of-mallory-in-a-session-of-her-own"), http.StatusBadRequest, "invalid_grant")
	issued := s.wants(s.redeem(code), http.StatusOK, "")
	if nonce := s.claims(issued.Member("id_token"))["nonce"]; nonce != "the nonce" {
		t.Errorf("the nonce is %v", nonce)
	}
	if _, has := s.claims(s.tokens("nonce", "").id)["nonce"]; has {
		t.Error("a nonce that was not sent is in the ID token")
	}
}

// TestWrongRequestsGoBackWithTheirReason: once client and redirect URI are
// trusted.
func TestWrongRequestsGoBackWithTheirReason(t *testing.T) {
	spec.Covers(t, "RFC6749-4.1.2.1-4", "OIDCC-3.1.2.6-1")
	s := open(t)
	s.code()
	for _, test := range []struct{ name, value, want string }{
		{"request", "eyJhbGciOiJub25lIn0.e30.", "request_not_supported"},
		{"request_uri", "https://canary.test/r", "request_uri_not_supported"},
		{"request_uri", "urn:ietf:params:oauth:request_uri:x", "request_uri_not_supported"},
		{"registration", "{}", "registration_not_supported"},
		{"scope", "no:such", "invalid_scope"}, {"scope", "ledger:READ", "invalid_scope"},
		{"scope", "openid \"", "invalid_scope"}, {"scope", "openid\tphotos:read", "invalid_scope"}, {"scope", "openid é", "invalid_scope"},
		{"resource", "https://nowhere.example", "invalid_target"}, {"resource", "https://photos.example/x", "invalid_target"},
		{"prompt", "create", "invalid_request"}, {"prompt", "none login", "invalid_request"}, {"prompt", "LOGIN", "invalid_request"},
		{"max_age", "-1", "invalid_request"}, {"max_age", "1.5", "invalid_request"}, {"max_age", "x", "invalid_request"}, {"max_age", "99999999999999999999", "invalid_request"},
		{"id_token_hint", "x", "invalid_request"}, {"state", strings.Repeat("s", 6<<10), "invalid_request"},
	} {
		if test.name == "state" { // what is too long to be sealed
			test.name = "nonce"
			s.wantAnswer(s.NewBrowser(t).Get(request(test.name, test.value)), webCallback, test.want)
			s.wantAnswer(s.postAuthorize(request(test.name, test.value)), webCallback, test.want)
			continue
		}
		s.wantAnswer(s.Get(request(test.name, test.value)), webCallback, test.want)
		s.wantAnswer(s.postAuthorize(request(test.name, test.value)), webCallback, test.want)
	}
	s.wantAnswer(s.Get(request("client_id", "evil", "redirect_uri", callbacks["evil"], "scope", "photos:write")), callbacks["evil"], "invalid_scope")
	s.change("evil", func(client *gatehouse.Client) { client.GrantTypes = []string{gatehouse.GrantClientCredentials} })
	s.wantAnswer(s.Get(request("client_id", "evil", "redirect_uri", callbacks["evil"])), callbacks["evil"], "unauthorized_client")
	s.wantAnswer(s.Get(request()), webCallback, "")
}

// TestLineBreaksAreNoPartOfAnything: encoding/base64 skips them.
func TestLineBreaksAreNoPartOfAnything(t *testing.T) {
	s := open(t, func(settings *gatehouse.Settings) { settings.RateLimits.FailuresPerAddress = -1 })
	for count := range 100 {
		breaks := strings.Repeat("\n", count)
		for _, prefix := range []string{"ghc_", "ghr_", "gha_"} {
			s.wants(s.redeem(prefix+breaks+"AA"), http.StatusBadRequest, "invalid_grant")
			s.wants(s.refresh(prefix+breaks), http.StatusBadRequest, "invalid_grant")
		}
	}
	code := s.code()
	s.wants(s.redeem(code[:40]+"\n"+code[40:]), http.StatusBadRequest, "invalid_grant")
	s.wants(s.redeem(code[:40]+"\n"+code[41:]), http.StatusBadRequest, "invalid_grant")
	s.wants(s.redeem(code), http.StatusOK, "")
	opaque := s.wants(s.token("svc", photos("scope", "ledger:read")), http.StatusOK, "").Member("access_token")
	for text, active := range map[string]string{opaque[:40] + "\r\n" + opaque[40:]: "false", opaque: "true"} {
		if got := s.post("/introspect", "svc", url.Values{"token": {text}}).Member("active"); got != active {
			t.Errorf("%q is active: %s", text, got)
		}
	}
	challenge := oauth.ChallengeS256(verifier)
	s.wantAnswer(s.Get(request("code_challenge", challenge[:20]+"\n"+challenge[20:])), webCallback, "invalid_request")
	browser := s.anew(t)
	i := browser.Get(request()).Hidden().Get("i")
	s.wantPage(browser.Get("/login?i="+url.QueryEscape(i[:40]+"\n"+i[40:])), "interaction-invalid")
}

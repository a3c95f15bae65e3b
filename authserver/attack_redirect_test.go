package authserver_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// wantPage fails unless the request was refused on a page of ours: nothing
// leads to another origin (O1), nothing is given away (O2), and the page is
// one that may be shown (O3).
func (s *stage) wantPage(page gatehousetest.Page, rule string) {
	s.Helper()
	if page.Location != nil || page.Header.Get("Location") != "" || page.Header.Get("Refresh") != "" {
		s.Errorf("%s: sent to %v", rule, page.Location)
	}
	if page.StatusCode != http.StatusBadRequest || !strings.Contains(page.Text, `id="error-page"`) || !strings.Contains(page.Text, rule+".") {
		s.Errorf("answered with %d, want the error page of %s\n%s", page.StatusCode, rule, page.Text)
	}
	if strings.Contains(page.Text, `evil.`) && strings.Contains(page.Text, `href="https://evil`) {
		s.Errorf("%s: the page links to a stranger\n%s", rule, page.Text)
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		s.Errorf("the policy of the page is %q", policy)
	}
}

// wantAnswer fails unless the browser was sent back to a redirect URI with
// the error, or with a code for "".
func (s *stage) wantAnswer(page gatehousetest.Page, redirectURI, code string) url.Values {
	s.Helper()
	if page.Location == nil {
		s.Fatalf("not sent back: %d at %s\n%s", page.StatusCode, page.Path, page.Text)
	}
	base, raw, _ := strings.Cut(page.Location.String(), "?")
	query, err := url.ParseQuery(raw)
	if err != nil || base != strings.TrimSuffix(redirectURI, "?") || page.StatusCode != http.StatusSeeOther {
		s.Fatalf("sent with %d to %v, want %s", page.StatusCode, page.Location, redirectURI)
	}
	if query.Get("error") != code || query.Has("code") != (code == "") {
		s.Errorf("sent to %v, want the error %q", page.Location, code)
	}
	if iss := query["iss"]; !slices.Equal(iss, []string{s.URL}) { // RFC 9207 §2
		s.Errorf("iss is %q", iss)
	}
	for name, values := range query {
		if !slices.Contains([]string{"code", "state", "iss", "error", "error_description"}, name) || len(values) != 1 {
			s.Errorf("the answer has %s=%q", name, values)
		}
	}
	return query
}

// postAuthorize sends an authorization request by POST, as another site's
// form would.
func (s *stage) postAuthorize(target string) gatehousetest.Page {
	s.Helper()
	path, raw, _ := strings.Cut(target, "?")
	form, err := url.ParseQuery(raw)
	s.did(err)
	s.Origin = "https://app.example"
	defer func() { s.Origin = s.URL }()
	return s.Browser.Post(path, form)
}

// callbacks are a redirect URI of each client that has some.
var callbacks = map[string]string{
	"web": webCallback, "spa": "https://spa.example/cb", "native": "http://127.0.0.1/cb",
	"basic": "https://basic.example/cb", "evil": "https://evil.example/cb",
}

func TestRU01UnregisteredRedirectURIs(t *testing.T) {
	spec.Covers(t, "RU-01", "RFC6749-3.1.2.3-2", "RFC6749-3.1.2.4-1", "OIDF-14")
	s := open(t)
	for client, callback := range callbacks {
		for _, uri := range []string{"https://evil.test/cb", "https://evil.example/cb2", "http://localhost/cb", s.URL + "/authorize", "javascript:alert(1)"} {
			target := request("client_id", client, "redirect_uri", uri)
			s.wantPage(s.Get(target), "redirect-uri-unregistered")
			s.wantPage(s.postAuthorize(target), "redirect-uri-unregistered")
		}
		s.wantAnswer(s.anew(t).SignIn(request("client_id", client, "redirect_uri", callback, "scope", "openid"), "alice", "wonderland-alice"), callback, "")
	}
}

// TestRU02To10MutatedRedirectURIs: octet for octet, nothing else.
func TestRU02To10MutatedRedirectURIs(t *testing.T) {
	spec.Covers(t, "RU-02", "RU-04", "RU-05", "RU-10")
	s := open(t)
	s.code()
	for row, uris := range map[string][]string{
		"RU-02": {"http://127.0.0.1:80@evil.test/", "https://app.example@evil.test/cb", "https://app.example%40evil.test/cb", "https://user@app.example/cb", "https://app.example:443@evil.test/cb", "https://evil.test#@app.example/cb", `https://evil.test\@app.example/cb`},
		"RU-04": {"https://app.example.evil.test/cb", "https://app.exampleevil/cb", "https://app.example/cb.evil", "https://app.example/cbx", "https://app.example", "https://app.example/c"},
		"RU-05": {"https://app.example/cb/../x", "https://app.example/cb/..;/x", "https://app.example/cb/%2e%2e/x", "https://app.example/cb%2f..%2fx", "https://app.example/./cb", "https://app.example//cb", "https://app.example/cb/", "https://app.example/CB", "https://app.example/%63b", "HTTPS://app.example/cb", "https://APP.example/cb", "https://app.example:443/cb", " https://app.example/cb", "https://app.example/cb ", "https://app.example/cb\t", "https://app.example/cb%00"},
		"RU-10": {"https://app.example/cb#", "https://app.example/cb#x", "https://app.example/cb?", "https://app.example/cb?x=1", "https://app.example/cb?kept=2", "https://app.example/cb?kept=1&x=1", "https://app.example/cb?x=1&kept=1", "https://app.example/cb?kept=1#x", "https://app.example/cb?kept=%31"},
	} {
		for _, uri := range uris {
			t.Run(row+" "+uri, func(t *testing.T) {
				s := &stage{t, s.Issuer, s.Browser}
				s.wantPage(s.Get(request("redirect_uri", uri)), "redirect-uri-unregistered")
			})
		}
	}
	s.wantAnswer(s.Get(request()), webCallback, "")
	page := s.Get(request("redirect_uri", webCallback+"?kept=1"))
	if page.Location == nil || !strings.HasPrefix(page.Location.String(), webCallback+"?kept=1&code=ghc_") {
		t.Errorf("the registered query was not kept: %v", page.Location)
	}
}

func TestRU11DuplicatedParameters(t *testing.T) {
	spec.Covers(t, "RU-11", "RFC6749-3.1-6")
	s := open(t)
	s.code()
	good := request()
	for _, name := range []string{"redirect_uri", "client_id", "response_type", "state", "code_challenge", "code_challenge_method", "scope", "nonce", "prompt", "request_uri", "unknown"} {
		for _, values := range [][2]string{{"https://evil.test/cb", "https://evil.test/cb"}, {"web", "evil"}, {"", "x"}} {
			twice := "&" + name + "=" + url.QueryEscape(values[0]) + "&" + name + "=" + url.QueryEscape(values[1])
			for _, target := range []string{good + twice, "/authorize?" + twice[1:] + "&" + strings.TrimPrefix(good, "/authorize?")} {
				s.wantPage(s.Get(target), "form-repeated-parameter")
			}
		}
	}
	// Copies divided over query and body.
	form, _ := url.ParseQuery(strings.TrimPrefix(good, "/authorize?"))
	s.wantPage(s.Browser.Post("/authorize?redirect_uri=https%3A%2F%2Fevil.test", form), "form-query-not-allowed")
	s.wantAnswer(s.Get(good), webCallback, "")
	s.wantAnswer(s.postAuthorize(good), webCallback, "")
	s.wantAnswer(s.Get(good+"&resource=https%3A%2F%2Fphotos.example&resource=https%3A%2F%2Fledger.example"), webCallback, "") // RFC 8707 §2
}

func TestRU13LoopbackPorts(t *testing.T) {
	spec.Covers(t, "RU-13", "RFC8252-7.3-1", "RFC8252-8.4-1")
	s := open(t)
	ask := func(uri string) string {
		return request("client_id", "native", "redirect_uri", uri, "scope", "openid")
	}
	for _, uri := range []string{
		"http://[::1]:1234/cb", "http://[::1]/cb", "http://localhost/cb", "http://localhost:1234/cb", "https://127.0.0.1/cb", "http://127.0.0.1:1234/",
		"http://127.0.0.1:/cb", "http://127.0.0.1:123456/cb", "http://127.0.0.1:12x/cb", "http://127.0.0.2:1234/cb", "http://127.1:1234/cb", "http://127.0.0.1:1234/cb?x",
		"http://127.0.0.1:8080/cb", // the free port would lead to the issuer itself
		"http://127.0.0.1:1234@evil.test/cb", "http://127.0.0.1:80@evil.test:80/cb", "http://127.0.0.1.evil.test/cb", "http://0x7f.1:80/cb", "http://127.0.0.1:+80/cb",
	} {
		s.wantPage(s.Get(ask(uri)), "redirect-uri-unregistered")
	}
	for _, uri := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:49152/cb", "com.example.app:/cb"} {
		s.wantAnswer(s.SignIn(ask(uri), "alice", "wonderland-alice"), uri, "")
	}
	// The exception is decided on the registered value: an https one has none.
	s.wantPage(s.Get(request("redirect_uri", "https://app.example:8443/cb")), "redirect-uri-unregistered")
}

func TestRU20PrivateSchemesMatchExactly(t *testing.T) {
	spec.Covers(t, "RU-20", "RFC8252-7.1-1")
	s := open(t)
	for _, uri := range []string{"myapp://cb", "com.example.app://evil/cb", "com.example.app:/cb/../x", "COM.example.app:/cb", "com.example.app:///cb", "com.example.app:cb", "com.example.app:/cb#x"} {
		s.wantPage(s.Get(request("client_id", "native", "redirect_uri", uri, "scope", "openid")), "redirect-uri-unregistered")
	}
	s.wantAnswer(s.SignIn(request("client_id", "native", "redirect_uri", "com.example.app:/cb", "scope", "openid"), "alice", "wonderland-alice"), "com.example.app:/cb", "")
}

// TestRU15NothingRedirectsBeforeClientAndRedirectURIAreTrusted, whatever else
// is wrong.
func TestRU15NothingRedirectsBeforeClientAndRedirectURIAreTrusted(t *testing.T) {
	spec.Covers(t, "RU-15", "RFC6749-4.1.1-2", "RFC9700-4.11.2-1")
	s := open(t)
	for _, wrong := range [][]string{
		{}, {"response_type", "bogus"}, {"response_type", "token"}, {"scope", "no:such"}, {"scope", `"`}, {"prompt", "bogus"}, {"code_challenge", "x"},
		{"code_challenge_method", "plain"}, {"request", "eyJhbGciOiJub25lIn0.e30."}, {"request_uri", "https://evil.test/r"}, {"response_mode", "fragment"},
		{"response_mode", "form_post"}, {"max_age", "-1"}, {"id_token_hint", "x"}, {"resource", "https://nowhere.example"}, {"registration", "{}"}, {"prompt", "none"},
	} {
		evil := []string{"redirect_uri", "https://evil.test/cb"}
		s.wantPage(s.Get(request(slices.Concat(evil, wrong)...)), "redirect-uri-unregistered")
		unknown := slices.Concat(evil, wrong, []string{"client_id", "unknown"})
		s.wantPage(s.Get(request(unknown...)), "authorize-client-unknown")
		s.wantPage(s.postAuthorize(request(unknown...)), "authorize-client-unknown")
		s.wantPage(s.Get(request(slices.Concat(wrong, []string{"client_id", ""})...)), "authorize-client-missing")
		s.wantPage(s.Get(request(slices.Concat(wrong, []string{"redirect_uri", ""})...)), "redirect-uri-missing")
	}
	s.wantPage(s.Get("/authorize"), "authorize-client-missing")
	s.wantAnswer(s.SignIn(request(), "alice", "wonderland-alice"), webCallback, "")
	s.wantAnswer(s.Get(request("prompt", "none")), webCallback, "")
}

// TestRedirectURIMayBeLeftOutWhereThereIsNoChoice: but never with OpenID
// Connect, and then it cannot be added at the token endpoint in another form.
func TestRedirectURIMayBeLeftOutWhereThereIsNoChoice(t *testing.T) {
	s := open(t)
	ask := func(scope string) string {
		return request("client_id", "spa", "redirect_uri", "", "scope", scope)
	}
	s.wantPage(s.Get(ask("openid")), "redirect-uri-missing")
	form := func(code, uri string) url.Values {
		return with(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}}, []string{"redirect_uri", uri})
	}
	query := s.wantAnswer(s.SignIn(ask("photos:read"), "alice", "wonderland-alice"), "https://spa.example/cb", "")
	s.wants(s.token("spa", form(query.Get("code"), "https://evil.test/cb")), http.StatusBadRequest, "invalid_grant")
	s.wants(s.token("spa", form(query.Get("code"), "")), http.StatusOK, "")
	query = s.wantAnswer(s.Get(ask("photos:read")), "https://spa.example/cb", "")
	s.wants(s.token("spa", form(query.Get("code"), "https://spa.example/cb")), http.StatusOK, "")
}

func TestRU21RedirectURIAtTheTokenEndpoint(t *testing.T) {
	spec.Covers(t, "RU-21", "RFC6749-4.1.3-4")
	s := open(t)
	code := s.code()
	for _, uri := range []string{webCallback + "?kept=1", webCallback + "/", "https://evil.test/cb"} {
		s.wants(s.redeem(code, "redirect_uri", uri), http.StatusBadRequest, "invalid_grant")
	}
	s.wants(s.redeem(code, "redirect_uri", ""), http.StatusOK, "") // PKCE binds it
	// Without PKCE it has to be repeated.
	page := s.SignIn(request("client_id", "basic", "redirect_uri", callbacks["basic"], "scope", "openid", "code_challenge", "", "code_challenge_method", ""), "alice", "wonderland-alice")
	query := s.wantAnswer(page, callbacks["basic"], "")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {query.Get("code")}}
	s.wants(s.token("basic", form), http.StatusBadRequest, "invalid_grant")
	s.wants(s.token("basic", with(form, []string{"redirect_uri", callbacks["basic"]})), http.StatusOK, "")
}

// TestRU19AndTX10OnlyCodesByQueryOrForm: every other type and mode is an
// error, and nothing is issued.
func TestRU19AndTX10OnlyCodesByQueryOrForm(t *testing.T) {
	spec.Covers(t, "RU-19", "TX-10", "RFC9700-2.1.2-1", "RFC6749-4.1.2.1-3", "OIDF-15")
	s := open(t)
	s.code()
	for _, mode := range []string{"fragment", "web_message", "jwt", "query.jwt", "form_post.jwt", "QUERY", "query form_post"} {
		s.wantAnswer(s.Get(request("response_mode", mode)), webCallback, "invalid_request")
	}
	for _, kind := range []string{"token", "id_token", "code token", "code id_token", "id_token token", "code id_token token", "none", "CODE", "code code", "bogus"} {
		for _, target := range []string{request("response_type", kind), request("response_type", kind, "prompt", "none")} {
			s.wantAnswer(s.Get(target), webCallback, "unsupported_response_type")
			s.wantAnswer(s.postAuthorize(target), webCallback, "unsupported_response_type")
		}
	}
	for _, client := range []string{"evil", "spa", "basic"} {
		s.wantAnswer(s.Get(request("client_id", client, "redirect_uri", callbacks[client], "response_type", "token")), callbacks[client], "unsupported_response_type")
	}
	s.wantAnswer(s.Get(request("response_type", "")), webCallback, "invalid_request")
	s.wantEvents("code.issued", 1)
	s.wantAnswer(s.Get(request("response_mode", "query")), webCallback, "")
	if page := s.Get(request("response_mode", "form_post")); page.StatusCode != http.StatusOK || !strings.HasPrefix(page.Hidden().Get("code"), "ghc_") {
		t.Errorf("form_post: %d %s", page.StatusCode, page.Text)
	}
}

// TestPR06EveryAnswerNamesItsIssuer: also errors, also by form.
func TestPR06EveryAnswerNamesItsIssuer(t *testing.T) {
	spec.Covers(t, "PR-06", "RFC9207-2-1", "RFC9207-2.3-1", "RFC6749-4.1.1-1", "RFC6749-4.1.2.1-6", "OIDF-16", "OIDF-54")
	s := open(t)
	states := []string{"x", strings.Repeat("s", 128), strings.Repeat("long state ", 182), "&code=x&iss=https://evil.test", "ü\r\nLocation: https://evil.test\u010d\u010a", `"><script>alert(1)</script>`}
	for _, state := range states {
		for _, mode := range []string{"query", "form_post"} {
			for _, wrong := range []string{"", "prompt"} {
				target := request("response_mode", mode, "state", state)
				if wrong != "" {
					target += "&prompt=bogus"
				}
				page := s.SignIn(target, "alice", "wonderland-alice")
				query := page.Hidden()
				if mode == "query" {
					query = s.wantAnswer(page, webCallback, map[string]string{"": "", "prompt": "invalid_request"}[wrong])
				}
				if query.Get("iss") != s.URL || query.Get("state") != state || query.Has("error") == query.Has("code") || len(page.Header.Values("Location")) > 1 {
					t.Errorf("%s: iss %q, state %q of %q", mode, query.Get("iss"), query.Get("state"), state)
				}
				if mode == "form_post" && (page.Location != nil || strings.Contains(page.Text, "<script>alert") || !strings.Contains(page.Text, `action="`+webCallback+`"`)) {
					t.Errorf("form_post page: %s", page.Text)
				}
			}
		}
	}
	if query := s.wantAnswer(s.Get(request("state", "")), webCallback, ""); query.Has("state") {
		t.Error("a state that was not sent came back")
	}
}

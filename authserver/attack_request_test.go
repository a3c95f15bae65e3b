package authserver_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/spec"
)

// plain sends a request without a body.
func (s *stage) plain(method, target string, headers ...string) gatehousetest.Answer {
	s.Helper()
	r, err := http.NewRequest(method, s.URL+target, nil)
	s.did(err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return s.Do(s.T, r)
}

// endpointMethods are the endpoints of the protocol and what they serve.
var endpointMethods = map[string][]string{
	"/.well-known/oauth-authorization-server": {"GET"}, "/.well-known/openid-configuration": {"GET"}, "/jwks": {"GET"},
	"/authorize": {"GET", "POST"}, "/token": {"POST"}, "/userinfo": {"GET", "POST"}, "/introspect": {"POST"}, "/revoke": {"POST"}, "/logout": {"GET", "POST"},
	"/login": {"GET", "POST"}, "/consent": {"GET", "POST"},
}

func TestUncleanPathsAreNothing(t *testing.T) {
	spec.Covers(t, "AD-10")
	s := open(t)
	for path := range endpointMethods {
		last := strings.LastIndex(path, "/") + 1
		name := path[last:]
		for _, unclean := range []string{
			"/" + path, path + "/", path + "//", "/." + path, "/x/.." + path, path + "/.", path + "/..", path[:last] + "%" + "74" + name[1:], path + "%2f", path + "%00", path + ";x", path + "/x",
			strings.ToUpper(path), path[:last] + "\\" + name, path + ".json", path + "%20", "/default" + path, "/t/x" + path,
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions, http.MethodPut} {
				r := &http.Request{Method: method, URL: s.address(unclean), Header: http.Header{}}
				if answer := s.Do(t, r); answer.StatusCode != http.StatusNotFound || answer.Header.Get("Location") != "" {
					t.Errorf("%s %s: %d %s", method, unclean, answer.StatusCode, answer.Header.Get("Location"))
				}
			}
		}
		if answer := s.plain(endpointMethods[path][0], path); answer.StatusCode == http.StatusNotFound {
			t.Errorf("%s: 404", path)
		}
	}
	for _, path := range []string{"/", "/.well-known/", "/.well-known/webfinger", "/debug/pprof/", "/debug/vars", "/metrics", "/admin", "/register", "/par", "/device_authorization", "/.well-known/openid-configuration/x", "/oauth/token", "/robots.txt"} {
		if answer := s.plain(http.MethodGet, path); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

// address is the server's URL with the path as it was typed.
func (s *stage) address(path string) *url.URL {
	base, err := url.Parse(s.URL)
	s.did(err)
	base.Path = path
	if decoded, err := url.PathUnescape(path); err == nil && decoded != path {
		base.Path, base.RawPath = decoded, path
	}
	return base
}

func TestV102OtherMethods(t *testing.T) {
	spec.Covers(t, "RFC6749-3.2-1", "RFC6749-3.2-3", "RFC9110-15.5.6-1")
	s := open(t)
	s.code()
	for path, methods := range endpointMethods {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get"} {
			if slices.Contains(methods, method) || method == "HEAD" && slices.Contains(methods, "GET") && path != "/authorize" && path != "/logout" && path != "/login" && path != "/consent" {
				continue
			}
			answer := s.plain(method, path)
			if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Location") != "" {
				t.Errorf("%s %s: %d", method, path, answer.StatusCode)
			}
			allowed := strings.Split(answer.Header.Get("Allow"), ", ")
			for _, served := range methods {
				if !slices.Contains(allowed, served) {
					t.Errorf("%s %s: Allow is %v", method, path, allowed)
				}
			}
		}
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/jwks"} {
		head, get := s.plain(http.MethodHead, path), s.plain(http.MethodGet, path)
		if head.StatusCode != http.StatusOK || head.Header.Get("Content-Length") != get.Header.Get("Content-Length") {
			t.Errorf("HEAD %s: %d %v", path, head.StatusCode, head.Header)
		}
	}
	// HEAD acts for nobody.
	s.Once(http.MethodHead, request("prompt", "none"), nil)
	s.wantEvents(gatehouse.EventCodeIssued, 1)
}

func TestCF14OtherOrigins(t *testing.T) {
	spec.Covers(t, "CF-14", "RFC9700-2.6-3")
	s := open(t)
	allowed := func(method, path, origin string) (gatehousetest.Answer, string) {
		headers := []string{"Origin", origin}
		if method == http.MethodOptions {
			headers = append(headers, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, dpop, content-type, mcp-protocol-version")
		}
		answer := s.plain(method, path, headers...)
		if answer.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s: credentials are allowed", method, path)
		}
		return answer, answer.Header.Get("Access-Control-Allow-Origin")
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks"} {
		for _, method := range []string{http.MethodGet, http.MethodOptions} {
			if _, got := allowed(method, path, "https://anywhere.test"); got != "*" {
				t.Errorf("%s %s: %q", method, path, got)
			}
		}
	}
	for _, path := range []string{"/token", "/userinfo", "/revoke"} {
		for _, origin := range []string{"https://spa.example", "https://app.example", "http://127.0.0.1", "http://127.0.0.1:5173"} {
			for _, method := range []string{http.MethodPost, http.MethodOptions} {
				answer, got := allowed(method, path, origin)
				if got != origin || !slices.Contains(answer.Header.Values("Vary"), "Origin") {
					t.Errorf("%s %s from %s: %q, Vary %q", method, path, origin, got, answer.Header.Values("Vary"))
				}
				if method != http.MethodOptions {
					continue
				}
				names := strings.ToLower(answer.Header.Get("Access-Control-Allow-Headers"))
				for _, name := range []string{"authorization", "dpop", "content-type", "mcp-protocol-version"} {
					if !strings.Contains(names, name) {
						t.Errorf("%s: the preflight allows %q", path, names)
					}
				}
				if answer.StatusCode != http.StatusNoContent || !strings.Contains(answer.Header.Get("Access-Control-Allow-Methods"), "POST") {
					t.Errorf("%s: the preflight is answered with %d %v", path, answer.StatusCode, answer.Header)
				}
			}
		}
		for _, origin := range []string{
			"null", "https://evil.test", "http://spa.example", "https://spa.example.evil.test", "https://evilspa.example", "https://spa.example:8443", "https://SPA.example",
			"https://spa.example/", "https://sub.spa.example", "spa.example", "https://spa.example, https://evil.test", "http://localhost:5173", "http://[::1]:5173", "com.example.app:", "*", "",
		} {
			for _, method := range []string{http.MethodPost, http.MethodOptions} {
				if answer, got := allowed(method, path, origin); got != "" || answer.Header.Get("Access-Control-Allow-Headers") != "" {
					t.Errorf("%s %s from %s: %q", method, path, origin, got)
				}
			}
		}
	}
	for _, path := range []string{"/authorize", "/login", "/consent", "/logout", "/introspect"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			if answer, got := allowed(method, path, "https://spa.example"); got != "" || answer.Header.Get("Access-Control-Allow-Methods") != "" {
				t.Errorf("%s %s: %q", method, path, got)
			}
		}
	}
}

func TestMetadataAdvertisesWhatIsServedAndNothingElse(t *testing.T) {
	spec.Covers(t, "RFC8414-3-1", "RFC8414-3.3-1", "RFC8414-2-1", "OIDCD-4.3-1")
	s := open(t)
	first, second := s.plain(http.MethodGet, "/.well-known/oauth-authorization-server"), s.plain(http.MethodGet, "/.well-known/openid-configuration")
	if first.Text != second.Text || first.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the two documents differ:\n%s\n%s", first.Text, second.Text)
	}
	metadata := s.metadata()
	if metadata["issuer"] != s.URL {
		t.Errorf("issuer is %v", metadata["issuer"])
	}
	members := map[string]endpoint.Row{}
	for _, row := range s.Server().Rows() {
		if row.Metadata != "" {
			members[row.Metadata] = row
		}
	}
	for member, value := range metadata {
		if !strings.HasSuffix(member, "_endpoint") && member != "jwks_uri" {
			continue
		}
		row, served := members[member]
		if !served || value != s.URL+row.Path {
			t.Errorf("%s is %v", member, value)
			continue
		}
		if answer := s.plain(row.Methods[0], row.Path); answer.StatusCode == http.StatusNotFound || answer.StatusCode >= 500 || answer.StatusCode == http.StatusMethodNotAllowed {
			t.Errorf("%s answers %d", member, answer.StatusCode)
		}
		delete(members, member)
	}
	if len(members) > 0 {
		t.Errorf("served and not advertised: %v", members)
	}
	// Every grant type is known, every method accepted, every mode answered,
	// every prompt understood, every scope granted.
	for _, grant := range metadata["grant_types_supported"].([]any) {
		if answer := s.token("svc", url.Values{"grant_type": {grant.(string)}}); answer.Member("error") == "unsupported_grant_type" {
			t.Errorf("%v: %s", grant, answer.Text)
		}
	}
	if got := metadata["response_types_supported"].([]any); len(got) != 1 || got[0] != "code" {
		t.Errorf("response types are %v", got)
	}
	for _, mode := range metadata["response_modes_supported"].([]any) {
		s.wantAnswerBy(mode.(string))
	}
	for _, prompt := range metadata["prompt_values_supported"].([]any) {
		if page := s.Get(request("prompt", prompt.(string))); page.StatusCode >= 400 || page.Location != nil && page.Location.Query().Get("error") == "invalid_request" {
			t.Errorf("prompt=%v: %d %v", prompt, page.StatusCode, page.Location)
		}
	}
	keys := map[string]bool{}
	var set struct {
		Keys []struct{ Kid, Alg, D, P, K string }
	}
	s.did(json.Unmarshal([]byte(s.plain(http.MethodGet, "/jwks").Text), &set))
	for i, key := range set.Keys {
		if key.D+key.P+key.K != "" || keys[key.Kid] || key.Kid == "" || i == 0 && key.Alg != "RS256" {
			t.Errorf("key %d: %+v", i, key)
		}
		keys[key.Kid], keys[key.Alg] = true, true
	}
	for _, algorithm := range metadata["id_token_signing_alg_values_supported"].([]any) {
		if !keys[algorithm.(string)] {
			t.Errorf("no key signs %v", algorithm)
		}
	}
}

// wantAnswerBy fails unless the mode yields a code.
func (s *stage) wantAnswerBy(mode string) {
	s.Helper()
	page := s.SignIn(request("response_mode", mode), "alice", "wonderland-alice")
	if mode == "query" && (page.Location == nil || !page.Location.Query().Has("code")) || mode == "form_post" && !page.Hidden().Has("code") {
		s.Errorf("response_mode=%s: %d, sent to %v", mode, page.StatusCode, page.Location)
	}
}

// TestPX10HostAndForwardedHeadersChangeNothing.
func TestPX10HostAndForwardedHeadersChangeNothing(t *testing.T) {
	spec.Covers(t, "PX-10")
	s := open(t)
	hostile := []string{
		"X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "https", "X-Forwarded-Prefix", "/evil", "X-Forwarded-For", "10.0.0.1", "X-Forwarded-Port", "1", "X-Real-Ip", "10.0.0.1",
		"Forwarded", "host=evil.test;proto=https", "X-Original-Url", "/evil", "X-Rewrite-Url", "/evil", "X-Http-Method-Override", "PUT", "X-Client-Cert", "x", "Client-Cert", "x",
	}
	want := s.plain(http.MethodGet, "/.well-known/openid-configuration").Text
	ask := func(target string) gatehousetest.Answer {
		r, _ := http.NewRequest(http.MethodGet, s.URL+target, nil)
		for i := 0; i < len(hostile); i += 2 {
			r.Header.Set(hostile[i], hostile[i+1])
		}
		for _, cookie := range s.Cookies() {
			r.AddCookie(cookie)
		}
		r.URL.Host = "evil.test"
		return s.Do(t, r)
	}
	if got := ask("/.well-known/openid-configuration").Text; got != want {
		t.Errorf("the metadata are %s", got)
	}
	s.code()
	answer := ask(request())
	if location := answer.Header.Get("Location"); !strings.HasPrefix(location, webCallback+"?code=") || !strings.Contains(location, url.QueryEscape(s.URL)) {
		t.Errorf("sent to %s", location)
	}
	for _, event := range s.wantEvents(gatehouse.EventCodeIssued, 2) {
		if event.By.Address != "192.0.2.7" {
			t.Errorf("the address is %s", event.By.Address)
		}
	}
	login := ask(request("prompt", "login"))
	if !strings.HasPrefix(login.Header.Get("Location"), "/login?i=") {
		t.Errorf("sent to %s", login.Header.Get("Location"))
	}
}

func TestV101ParametersThatAreUnknownEmptyOrStrange(t *testing.T) {
	spec.Covers(t, "RFC6749-3.1-4", "RFC6749-3.1-5", "RFC6749-3.2-2", "RFC6749-3.3-2")
	s := open(t)
	s.code()
	s.wantAnswer(s.Get(request()+"&foo=bar&scope2=x&%5B%5D=1&=x"), webCallback, "")
	s.wantAnswer(s.Get(request("scope", "photos:read openid photos:read")), webCallback, "")
	s.wantAnswer(s.Get(request()+"&prompt=&max_age=&response_mode=&request=&request_uri=&resource=&id_token_hint="), webCallback, "")
	s.wantAnswer(s.SignIn(strings.Replace(request("scope", ""), "&state", "&scope=&state", 1), "alice", "wonderland-alice"), webCallback, "")
	s.wants(s.token("svc", photos("foo", "bar", "resource", "")), http.StatusOK, "")
	s.wants(s.sendRaw("/token", basic("svc", secrets["svc"]), "grant_type=client_credentials&scope=&&&x&"), http.StatusBadRequest, "invalid_target") // all its scopes: several resources
	for _, body := range []string{"grant_type=client_credentials&grant_type=client_credentials", "%zz=1", "a=%", "a=\xff", "a=%00", "scope=a&scope=b&grant_type=client_credentials"} {
		s.wants(s.sendRaw("/token", basic("svc", secrets["svc"]), body), http.StatusBadRequest, "invalid_request")
	}
	for _, kind := range []string{"", "application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded2"} {
		answer := s.bearer(http.MethodPost, "/token", photos().Encode(), http.Header{"Content-Type": {kind}, "Authorization": {basic("svc", secrets["svc"])}})
		s.wants(answer, http.StatusBadRequest, "invalid_request")
	}
	s.wants(s.bearer(http.MethodPost, "/token", photos().Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded;charset=UTF-8"}, "Authorization": {basic("svc", secrets["svc"])}}), http.StatusOK, "")
}

func TestDS01FT29FT30TooMuchOfAnything(t *testing.T) {
	spec.Covers(t, "DS-01", "FT-30", "FT-29", "FT-31", "DS-06")
	s := open(t)
	s.code()
	scopes := func(count int) string { return strings.TrimSpace(strings.Repeat("photos:read ", count)) }
	distinct := strings.Builder{}
	for i := range 200 {
		distinct.WriteString(" s" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + string(rune('a'+i/26)))
	}
	form := func(scope string) string { return photos("scope", scope).Encode() }
	for _, body := range []string{form(scopes(50_000)), form(scopes(1_300)), form(distinct.String()), strings.Repeat("a=1&", 10_000), strings.Repeat("x&", 20_000)} {
		answer := s.sendRaw("/token", basic("svc", secrets["svc"]), body)
		if answer.StatusCode != http.StatusBadRequest && answer.StatusCode != http.StatusRequestEntityTooLarge || answer.Member("access_token") != "" {
			t.Errorf("%.40s…: %d %s", body, answer.StatusCode, answer.Text)
		}
	}
	s.wantAnswer(s.Get(request("scope", scopes(400))), webCallback, "invalid_scope")
	s.wantAnswer(s.Get(request("scope", scopes(300))), webCallback, "")
	s.wantPage(s.Get(request("scope", scopes(50_000))), "form-parameter-too-long")
	s.wantPage(s.Get(request()+strings.Repeat("&x=1", 10_000)), "form-repeated-parameter")
	many := strings.Builder{}
	for i := range 200 {
		many.WriteString("&p" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + "=1")
	}
	s.wantPage(s.Get(request()+many.String()), "form-too-many-parameters")
	for name, claims := range map[string]string{ // FT-31: as much as fits into a parameter
		"deep": `{"userinfo":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, "deep objects": strings.Repeat(`{"userinfo":`, 1000) + "1" + strings.Repeat("}", 1000),
		"twice": `{"userinfo":{"name":null,"name":null}}`, "many": `{"userinfo":{` + strings.TrimSuffix(strings.Repeat(`"name":null,`, 1000), ",") + `}}`,
		"a large number": `{"userinfo":{"name":1e400}}`, "no JSON": `{"userinfo":`, "another case": `{"UserInfo":{"name":null}, "userinfo":{}}`,
	} {
		if page := s.Get(request("claims", claims)); page.Location == nil || page.Location.Query().Get("error") != "invalid_request" {
			t.Errorf("claims, %s: %d, sent to %v", name, page.StatusCode, page.Location)
		}
	}
	for _, size := range []int{64<<10 + 1, 1 << 20, 10 << 20} {
		body := "grant_type=client_credentials&x=" + strings.Repeat("y", size)
		s.wants(s.sendRaw("/token", basic("svc", secrets["svc"]), body), http.StatusRequestEntityTooLarge, "invalid_request")
	}
	s.wants(s.token("svc", photos()), http.StatusOK, "")
}

// TestDS04WhatNobodyFinishesStoresNothing.
func TestDS04WhatNobodyFinishesStoresNothing(t *testing.T) {
	spec.Covers(t, "DS-04")
	s := open(t)
	before, err := s.store().Events(t.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{})
	s.did(err)
	for range 50 {
		browser := s.NewBrowser(t)
		if page := browser.Get(request()); page.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", page.StatusCode, page.Text)
		}
	}
	after, err := s.store().Events(t.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{})
	s.did(err)
	if len(after) != len(before) {
		t.Errorf("%d events more", len(after)-len(before))
	}
	s.code()
}

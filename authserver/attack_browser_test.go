package authserver_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// walk goes through sign-in, consent, answer and sign-out step by step and
// returns every response on the way.
func (s *stage) walk() []gatehousetest.Answer {
	s.Helper()
	var all []gatehousetest.Answer
	step := func(method, target string, form url.Values) gatehousetest.Page {
		answer := s.Once(method, target, form)
		all = append(all, answer)
		return gatehousetest.Page{Answer: answer}
	}
	follow := func(page gatehousetest.Page) gatehousetest.Page {
		return step(http.MethodGet, page.Header.Get("Location"), nil)
	}
	login := follow(step(http.MethodGet, request("prompt", "consent"), nil))
	step(http.MethodPost, "/login", login.With("username", "alice", "password", "wrong"))
	consent := follow(follow(step(http.MethodPost, "/login", login.With("username", "alice", "password", "wonderland-alice"))))
	step(http.MethodPost, "/consent", consent.With("decision", "allow"))
	step(http.MethodGet, request("response_mode", "form_post", "scope", "openid"), nil)
	step(http.MethodGet, "/authorize?client_id=unknown", nil)
	confirm := step(http.MethodGet, "/logout", nil)
	step(http.MethodPost, "/logout/confirm", confirm.With())
	step(http.MethodGet, "/login?i=x", nil)
	return all
}

func TestSE02SE10CF01EveryAnswerToABrowser(t *testing.T) {
	spec.Covers(t, "SE-02", "SE-09", "SE-10", "SE-13", "CF-01", "PR-05", "RFC9700-4.16-1", "RFC9700-4.12-1", "RFC6265-4.1.2-1", "RFC9700-4.2.4-1")
	for _, issuer := range []string{"https://id.example", gatehousetest.URL} {
		s := openAt(t, issuer)
		secure := strings.HasPrefix(issuer, "https:")
		cookies := 0
		for _, answer := range s.walk() {
			header := answer.Header
			if header.Get("Cache-Control") != "no-store" || !strings.Contains(strings.Join(header.Values("Vary"), ","), "Cookie") {
				t.Errorf("%s %s: Cache-Control %q, Vary %q", answer.Request.Method, answer.Request.URL.Path, header.Get("Cache-Control"), header.Values("Vary"))
			}
			if secure != (header.Get("Strict-Transport-Security") != "") || header.Get("Referrer-Policy") != "strict-origin-when-cross-origin" {
				t.Errorf("%s: %v", answer.Request.URL.Path, header)
			}
			if answer.StatusCode >= 300 && answer.StatusCode < 400 {
				if answer.StatusCode != http.StatusSeeOther || answer.Text != "" {
					t.Errorf("%s redirects with %d %s", answer.Request.URL.Path, answer.StatusCode, answer.Text)
				}
			} else {
				policy := header.Get("Content-Security-Policy")
				for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
					if !strings.Contains(policy, part) {
						t.Errorf("%s: the policy %q lacks %s", answer.Request.URL.Path, policy, part)
					}
				}
				if header.Get("X-Frame-Options") != "DENY" || header.Get("Cross-Origin-Opener-Policy") != "same-origin" || strings.Contains(policy, "unsafe") {
					t.Errorf("%s: %v", answer.Request.URL.Path, header)
				}
			}
			for _, cookie := range answer.Cookies() {
				cookies++
				if !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" || cookie.SameSite != http.SameSiteLaxMode || cookie.Secure != secure || strings.HasPrefix(cookie.Name, "__Host-") != secure {
					t.Errorf("the cookie is %s", cookie.Raw)
				}
				for _, word := range []string{"alice", "web", "photos", "openid", "default"} {
					decoded, _ := base64.RawURLEncoding.DecodeString(cookie.Value)
					if strings.Contains(cookie.Value+string(decoded), word) {
						t.Errorf("the cookie %s tells %s", cookie.Name, word)
					}
				}
			}
		}
		if cookies < 4 {
			t.Errorf("only %d cookies were set", cookies)
		}
	}
}

// cookie returns the value of the browser's cookie whose name has the part.
func (s *stage) cookie(part string) *http.Cookie {
	s.Helper()
	for _, cookie := range s.Cookies() {
		if strings.Contains(cookie.Name, part) {
			return cookie
		}
	}
	return nil
}

// silentWith asks with prompt=none and a session cookie, and returns the
// error.
func (s *stage) silentWith(cookie *http.Cookie) string {
	s.Helper()
	r, _ := http.NewRequest(http.MethodGet, s.URL+request("prompt", "none"), nil)
	r.AddCookie(cookie)
	location, err := s.Do(s.T, r).Location()
	s.did(err)
	return location.Query().Get("error")
}

func TestSE01SE04SessionsAreNewAtSignInAndDeadAfterwards(t *testing.T) {
	spec.Covers(t, "SE-01", "SE-04", "OIDF-42")
	s := open(t)
	preset := &http.Cookie{Name: "gh-session-default-8080", Value: strings.Repeat("A", 43)}
	if got := s.silentWith(preset); got != "login_required" {
		t.Errorf("a made-up session: %q", got)
	}
	s.code()
	first := s.cookie("session")
	if got := s.silentWith(first); got != "" {
		t.Errorf("the session: %q", got)
	}
	s.code("prompt", "login")
	second := s.cookie("session")
	if first.Value == second.Value || s.silentWith(first) != "login_required" || s.silentWith(second) != "" {
		t.Error("the session did not change with the sign-in")
	}
	s.signOut()
	if s.cookie("session") != nil || s.silentWith(second) != "login_required" {
		t.Error("the session outlives the sign-out")
	}
	for name, end := range map[string]func() error{
		"a changed password": func() error {
			_, err := s.store().SetPassword(t.Context(), gatehouse.DefaultTenant, "sub-of-bob", "$argon2id$x", gatehouse.Event{Kind: gatehouse.EventUserChanged})
			return err
		},
	} {
		browser := s.anew(t)
		browser.SignIn(request(), "bob", "builder-bob-builds")
		cookie := browser.cookie("session")
		if s.silentWith(cookie) != "" {
			t.Fatalf("%s: bob is not signed in", name)
		}
		s.did(end())
		if s.silentWith(cookie) != "login_required" {
			t.Errorf("%s: the session lives", name)
		}
	}
}

// TestCF04HandlesBelongToOneBrowser: whose browser began finishes.
func TestCF04HandlesBelongToOneBrowser(t *testing.T) {
	spec.Covers(t, "CF-04", "CF-03", "CF-10", "RFC6749-10.12-1")
	s := open(t)
	mallory := s.anew(t)
	page := mallory.Get(request("client_id", "evil", "redirect_uri", callbacks["evil"]))
	s.code() // alice is signed in
	handle := page.Hidden().Get("i")
	s.wantPage(s.Get("/login?i="+handle), "interaction-other-browser")
	s.wantPage(s.Browser.Post("/login", page.With("username", "mallory", "password", "x")), "interaction-other-browser")
	page = mallory.Browser.Post("/login", page.With("username", "bob", "password", "builder-bob-builds"))
	if !strings.Contains(page.Text, `id="consent-allow"`) {
		t.Fatalf("bob: %d %s", page.StatusCode, page.Text)
	}
	s.wantPage(s.Get("/consent?i="+page.Hidden().Get("i")), "interaction-other-browser")
	s.wantPage(s.Browser.Post("/consent", page.With("decision", "allow")), "interaction-other-browser")

	// Forged forms: another origin, no token, another form's token.
	for _, origin := range []string{"https://evil.test", "null", "http://127.0.0.1:8081", "http://127.0.0.1"} {
		mallory.Origin = origin
		if answer := mallory.Once(http.MethodPost, "/consent", page.With("decision", "allow")); answer.StatusCode != http.StatusForbidden {
			t.Errorf("a form from %s: %d", origin, answer.StatusCode)
		}
	}
	mallory.Origin = s.URL
	for _, token := range []string{"", "x", s.Get(request("prompt", "login")).Hidden().Get("csrf")} {
		if answer := mallory.Once(http.MethodPost, "/consent", page.With("decision", "allow", "csrf", token)); answer.StatusCode != http.StatusForbidden {
			t.Errorf("a form with the token %q: %d", token, answer.StatusCode)
		}
	}
	s.wantAnswer(mallory.Browser.Post("/consent", page.With("decision", "allow")), callbacks["evil"], "")
}

// TestOR01OR04NoAddressInAParameterLeadsAway: there is no free return URL.
func TestOR01OR04NoAddressInAParameterLeadsAway(t *testing.T) {
	spec.Covers(t, "OR-01", "OR-04", "XS-01", "XS-07")
	s := open(t)
	login := s.Get(request())
	i := login.Hidden().Get("i")
	for _, evil := range []string{
		"//evil.test", `/\evil.test`, "/\t/evil.test", "/%09/evil.test", "/%5cevil.test", "///evil.test", `\\evil.test`, "https:evil.test", "/.//evil.test", "/x/../..//evil.test",
		"https://evil.test", "javascript:alert(1)", "\r\nLocation: https://evil.test", `"><script>alert(1)</script>`, "'><img src=x onerror=alert(1)>",
	} {
		extra := ""
		for _, name := range []string{"return_to", "rd", "next", "redirect", "goto", "continue", "lang", "theme", "ui_locales", "error_description"} {
			extra += "&" + name + "=" + url.QueryEscape(evil)
		}
		for _, target := range []string{"/login?i=" + i + extra, "/logout?x=1" + extra, "/logout/confirm?x=1" + extra, request() + extra, "/consent?i=" + url.QueryEscape(evil) + extra, "/authorize?client_id=" + url.QueryEscape(evil) + extra, request("login_hint", evil)} {
			page := s.NewBrowser(t).Get(target)
			if strings.HasPrefix(target, "/login") {
				page = s.Get(target)
			}
			if page.Location != nil || len(page.Header.Values("Location")) != 0 || leads(page.Text, evil) || strings.Contains(page.Text, "<script>") || strings.Contains(page.Text, "<img src=x") {
				t.Errorf("%s: %d, sent to %v\n%s", target, page.StatusCode, page.Location, page.Text)
			}
		}
	}
	for _, wrong := range tampered(i) {
		s.wantPage(s.Get("/login?i="+url.QueryEscape(wrong)), "interaction-invalid")
	}
	for _, stage := range []string{"/consent?i=", "/authorize?i=", "/authorize?posted="} {
		s.wantPage(s.Get(stage+i), "interaction-invalid")
	}
	s.wantAnswer(s.SignIn(request(), "alice", "wonderland-alice"), webCallback, "")
}

// leads says whether an attribute that a browser follows begins with the
// address.
func leads(page, address string) bool {
	for _, name := range []string{"href", "action", "formaction", "src", "content"} {
		if strings.Contains(page, name+`="`+address) {
			return true
		}
	}
	return false
}

func TestCF06PublicClientsOnTheOwnMachineAlwaysAsk(t *testing.T) {
	spec.Covers(t, "CF-06", "RFC8252-8.6-1")
	s := open(t)
	native := request("client_id", "native", "redirect_uri", "http://127.0.0.1:4321/cb", "scope", "openid")
	s.wantAnswer(s.SignIn(native, "alice", "wonderland-alice"), "http://127.0.0.1:4321/cb", "")
	if page := s.Get(native); !strings.Contains(page.Text, `id="consent-allow"`) {
		t.Errorf("not asked again: %d %s", page.StatusCode, page.Text)
	}
	s.wantAnswer(s.Get(native+"&prompt=none"), "http://127.0.0.1:4321/cb", "consent_required")
	// A wider scope asks, the same or a narrower one does not.
	s.wantAnswer(s.SignIn(request(), "alice", "wonderland-alice"), webCallback, "")
	s.wantSilent("")
	s.wantSilent("", "scope", "openid")
	s.wantSilent("consent_required", "scope", "openid photos:read photos:write")
	s.wantSilent("consent_required", "scope", "openid photos:read email")
	s.wantSilent("consent_required", "scope", "openid photos:read ledger:read")
	s.change("web", func(client *gatehouse.Client) { client.SkipConsent = true }) // an application of the house
	s.wantSilent("", "scope", "openid photos:read email")
}

// TestDenial tells the client and forgets nothing.
func TestDenial(t *testing.T) {
	spec.Covers(t, "RFC6749-4.1.2.1-1")
	s := open(t)
	page := s.Get(request())
	page = s.Browser.Post("/login", page.With("username", "alice", "password", "wonderland-alice"))
	form := page.With("decision", "deny")
	s.wantAnswer(s.Browser.Post("/consent", form), webCallback, "access_denied")
	s.wantEvents(gatehouse.EventConsentDenied, 1)
	s.wantSilent("consent_required")
	form.Set("decision", "allow") // the back button
	s.wantAnswer(s.Browser.Post("/consent", form), webCallback, "")
}

// TestConsentOfAnotherUserOrOfNobody is refused.
func TestConsentOfAnotherUserOrOfNobody(t *testing.T) {
	s := open(t)
	page := s.Get(request())
	page = s.Browser.Post("/login", page.With("username", "alice", "password", "wonderland-alice"))
	form := page.With("decision", "allow")
	other := s.Get(request("prompt", "login"))
	s.Browser.Post("/login", other.With("username", "bob", "password", "builder-bob-builds"))
	if answer := s.Once(http.MethodPost, "/consent", form); answer.StatusCode != http.StatusForbidden {
		t.Errorf("bob answered for alice: %d %s", answer.StatusCode, answer.Text)
	}
	s.signOut()
	if answer := s.Once(http.MethodPost, "/consent", form); answer.StatusCode != http.StatusForbidden {
		t.Errorf("nobody answered for alice: %d %s", answer.StatusCode, answer.Text)
	}
	s.wantEvents(gatehouse.EventCodeIssued, 0)
	s.code()
}

// TestTwoTabs do not disturb each other.
func TestTwoTabs(t *testing.T) {
	s := open(t)
	first, second := s.Get(request("state", "one")), s.Get(request("state", "two"))
	consent := s.Browser.Post("/login", first.With("username", "alice", "password", "wonderland-alice"))
	again := s.Browser.Post("/login", second.With("username", "alice", "password", "wonderland-alice"))
	if query := s.wantAnswer(s.Browser.Post("/consent", again.With("decision", "allow")), webCallback, ""); query.Get("state") != "two" {
		t.Errorf("the second tab: %v", query)
	}
	if query := s.wantAnswer(s.Browser.Post("/consent", consent.With("decision", "allow")), webCallback, ""); query.Get("state") != "one" {
		t.Errorf("the first tab: %v", query)
	}
}

func TestHintsNeverSignInAndOnlyTrueOnesCount(t *testing.T) {
	spec.Covers(t, "JW-13", "OIDCC-3.1.2.1-13", "LO-02")
	travel(t, func(s *stage) {
		alice := s.tokens()
		bob := s.anew(s.T)
		page := bob.SignIn(request(), "bob", "builder-bob-builds")
		bobs := tokensOf(s.wants(s.redeem(page.Location.Query().Get("code")), http.StatusOK, ""))
		nobody := s.anew(s.T)
		nobody.wantSilent("login_required", "id_token_hint", alice.id)
		s.wantSilent("", "id_token_hint", alice.id)
		s.wantSilent("login_required", "id_token_hint", bobs.id)
		time.Sleep(time.Hour)
		s.wantSilent("", "id_token_hint", alice.id) // expired, and still true
		for _, wrong := range []string{
			forged(s.T, alice.id, nil, map[string]any{"sub": "sub-of-bob"}, false), forged(s.T, alice.id, map[string]any{"alg": "none"}, nil, true),
			forged(s.T, alice.id, nil, map[string]any{"exp": 4e9}, false), alice.access, alice.refresh, "x",
		} {
			s.wantSilent("invalid_request", "id_token_hint", wrong)
		}
		// Issued to another client.
		s.wantAnswer(s.Get(request("client_id", "spa", "redirect_uri", callbacks["spa"], "scope", "openid", "id_token_hint", alice.id)), callbacks["spa"], "invalid_request")
		// Another user signs in than the hint names.
		page = nobody.Get(request("id_token_hint", alice.id))
		s.wantAnswer(nobody.Browser.Post("/login", page.With("username", "bob", "password", "builder-bob-builds")), webCallback, "login_required")
	})
}

var confirmPage = regexp.MustCompile(`id="logout-confirm-page"`)

func TestLO01LO03OnlyATrueHintSignsOutWithoutAsking(t *testing.T) {
	spec.Covers(t, "LO-01", "LO-03", "OR-07", "OIDF-37", "CF-11")
	const bye = "https://app.example/bye"
	s := open(t)
	alice := s.tokens()
	bob := s.anew(t)
	bobs := tokensOf(s.wants(s.redeem(bob.SignIn(request(), "bob", "builder-bob-builds").Location.Query().Get("code")), http.StatusOK, ""))
	out := func(pairs ...string) string {
		return "/logout?" + with(url.Values{"post_logout_redirect_uri": {bye}, "state": {"s"}}, pairs).Encode()
	}
	for _, hint := range []string{
		"", "x", bobs.id, alice.access, forged(t, alice.id, map[string]any{"alg": "none"}, nil, true), forged(t, alice.id, nil, map[string]any{"aud": "evil"}, false),
		forged(t, alice.id, nil, map[string]any{"exp": 4e9}, false), alice.id[:len(alice.id)-4] + "AAAA",
	} {
		for _, client := range []string{"", "web"} {
			target := out("id_token_hint", hint, "client_id", client)
			for _, page := range []gatehousetest.Page{s.Get(target), s.Browser.Post("/logout", s.values(target))} {
				if page.Location != nil || !confirmPage.MatchString(page.Text) {
					t.Errorf("%s: %d, sent to %v", target, page.StatusCode, page.Location)
				}
			}
		}
	}
	if page := s.Get(out("id_token_hint", alice.id, "client_id", "evil")); page.Location != nil || !confirmPage.MatchString(page.Text) {
		t.Errorf("another client than the hint's: sent to %v", page.Location)
	}
	s.wantSilent("") // nothing has signed alice out
	s.wantLive(alice)

	page := s.Get(out("id_token_hint", alice.id, "client_id", "web"))
	if page.Location == nil || page.Location.String() != bye+"?state=s" {
		t.Errorf("signed out: %d, sent to %v", page.StatusCode, page.Location)
	}
	s.wantSilent("login_required")
	s.wantDead(alice)
	for _, uri := range []string{"https://evil.test/bye", bye + "?x=1", bye + "/", webCallback, "//app.example/bye", "https://APP.example/bye", bye + "#"} {
		page := s.Get(out("id_token_hint", alice.id, "post_logout_redirect_uri", uri))
		if page.Location != nil || page.StatusCode != http.StatusOK || strings.Contains(page.Text, "evil.test") {
			t.Errorf("%s: %d, sent to %v", uri, page.StatusCode, page.Location)
		}
	}
	if page := s.Get(out("id_token_hint", alice.id, "state", "")); page.Location == nil || page.Location.String() != bye {
		t.Errorf("without a state: sent to %v", page.Location)
	}
	if page := s.Get(out()); page.Location != nil || page.StatusCode != http.StatusOK {
		t.Errorf("without a hint: sent to %v", page.Location)
	}
	s.wantPage(s.Get(out()+"&state=t"), "form-repeated-parameter")
}

// values returns the query of a target as a form.
func (s *stage) values(target string) url.Values {
	s.Helper()
	_, raw, _ := strings.Cut(target, "?")
	form, err := url.ParseQuery(raw)
	s.did(err)
	return form
}

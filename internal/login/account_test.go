package login

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

const firefoxOnLinux = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

// signInForAccount opens the account page and signs in for it.
func (b *browser) signInForAccount(username, password string) *http.Response {
	b.h.t.Helper()
	start := b.get("/account")
	login := b.get(start.Header.Get("Location"))
	form := hidden(bodyOf(login), "login-form")
	form.Set("username", username)
	form.Set("password", password)
	return b.post("/login", form)
}

// owner is a browser of Alice, signed in for her account page.
func (h *house) owner() *browser {
	h.t.Helper()
	b := h.browser()
	b.header.Set("User-Agent", firefoxOnLinux)
	if response := b.signInForAccount("alice", "correct horse"); response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != "/account" {
		h.t.Fatalf("%d to %q: %s", response.StatusCode, response.Header.Get("Location"), bodyOf(response))
	}
	return b
}

func (b *browser) account() string {
	b.h.t.Helper()
	response := b.get("/account")
	if response.StatusCode != http.StatusOK {
		b.h.t.Fatalf("%d to %s", response.StatusCode, response.Header.Get("Location"))
	}
	return bodyOf(response)
}

// tokenOf is the token of the forms that go to an action.
func tokenOf(page, action string) string {
	_, rest, _ := strings.Cut(page, `action="`+action+`"`)
	_, rest, _ = strings.Cut(rest, `name="csrf" value="`)
	token, _, _ := strings.Cut(rest, `"`)
	return token
}

// sends posts a form of the account page and returns the page that follows.
func (b *browser) sends(action string, pairs ...string) string {
	b.h.t.Helper()
	form := url.Values{"csrf": {tokenOf(b.account(), action)}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	response := b.post(action, form)
	wantStatus(b.h.t.(*testing.T), response, http.StatusSeeOther)
	location := response.Header.Get("Location")
	if !strings.HasPrefix(location, "/account?done=") {
		b.h.t.Fatalf("sent to %q", location)
	}
	return bodyOf(b.get(location))
}

// asRequest is what the box sees of the browser.
func (b *browser) asRequest() *endpoint.Request {
	return b.h.request(httptest.NewRequest(http.MethodGet, "/", nil))
}

func (h *house) sessionFor(subject, id string, ago time.Duration) {
	at := h.now.Add(-ago)
	h.sessions[sessionHash(id)] = gatehouse.Session{ID: id, Subject: subject, AuthTime: at, CreatedAt: at, LastSeenAt: at.Add(time.Minute), Address: "198.51.100.9",
		UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1"}
}

func TestAccountSignsInAndComesBackHereAlone(t *testing.T) {
	spec.Covers(t, "OR-04", "OR-01")
	h := newHouse(t)
	b := h.browser()
	for _, query := range []string{"", "?next=https://evil.example", "?return_to=//evil.example", `?rd=/\evil.example`} {
		response := b.get("/account" + query)
		wantStatus(t, response, http.StatusSeeOther)
		if to := response.Header.Get("Location"); !strings.HasPrefix(to, "/login?account=") || strings.Contains(to, "evil") {
			t.Fatalf("%q leads to %q", query, to)
		}
		if response.Header.Get("Cache-Control") != "no-store" {
			t.Error("the redirect may be cached")
		}
	}
	start := b.get("/account").Header.Get("Location")
	page := bodyOf(b.get(start))
	if !strings.Contains(page, english().SignInAccount) || strings.Contains(page, "client-logo") || strings.Contains(page, "{client}") {
		t.Fatalf("page: %s", page)
	}
	form := hidden(page, "login-form")
	form.Set("username", "alice")
	form.Set("password", "wrong")
	wrong := b.post("/login", form)
	wantStatus(t, wrong, http.StatusUnprocessableEntity)
	form = hidden(bodyOf(wrong), "login-form")
	form.Set("username", "alice")
	form.Set("password", "correct horse")
	form.Set("next", "https://evil.example/")
	response := b.post("/login", form)
	wantStatus(t, response, http.StatusSeeOther)
	if to := response.Header.Get("Location"); to != "/account" {
		t.Fatalf("sent to %q", to)
	}
	if !strings.Contains(b.account(), `id="account-page"`) {
		t.Error("no account page")
	}
	// The same page again offers to go on.
	again := b.post("/login", hidden(bodyOf(b.get(start)), "continue-form"))
	if to := again.Header.Get("Location"); to != "/account" {
		t.Errorf("going on leads to %q", to)
	}
}

// The interaction of the account page opens no other page, and no client's
// interaction the account's.
func TestAccountInteractionIsOfItsOwnKind(t *testing.T) {
	spec.Covers(t, "CF-04")
	h := newHouse(t)
	b := h.browser()
	_, sealed, _ := strings.Cut(b.get("/account").Header.Get("Location"), "account=")
	wantRefused(t, b.get("/login?i="+sealed), 400, "interaction-invalid")
	wantRefused(t, b.get("/consent?i="+sealed), 400, "interaction-invalid")
	for _, bad := range []string{b.begin(interaction.Interaction{}, interaction.StageLogin), "x"} {
		response := b.get("/login?account=" + bad)
		if response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != "/account" {
			t.Errorf("%.10q: %d to %q", bad, response.StatusCode, response.Header.Get("Location"))
		}
	}
	mallory := h.browser()
	mallory.get("/account")
	wantRefused(t, mallory.get("/login?account="+sealed), 400, "interaction-other-browser")
	wantRefused(t, h.browser().get("/login?account="+sealed), 400, "interaction-other-browser") // no cookies: told, not sent round in circles
	h.pass(2 * time.Hour)
	if to := b.get("/login?account=" + sealed).Header.Get("Location"); to != "/account" {
		t.Errorf("an old one leads to %q", to)
	}
	wantStatus(t, b.get(b.get("/account").Header.Get("Location")), http.StatusOK)
}

func TestAccountShowsSessions(t *testing.T) {
	h := newHouse(t)
	h.sessionFor("u-alice", "sid-phone", 26*time.Hour)
	h.sessionFor("u-bob", "sid-bob", time.Hour)
	b := h.owner()
	page := b.account()
	for _, want := range []string{"Firefox on Linux", english().ThisBrowser, "192.0.2.1", "Safari on iOS", "198.51.100.9", "19 November 2026, 10:00 UTC", "1\u00a0day ago", `value="sid-phone"`, "Alice Example"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	own, _, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(b.cookies[sessionName]), 0)
	if strings.Contains(page, "sid-bob") || strings.Contains(page, own.ID) || strings.Contains(page, b.cookies[sessionName]) {
		t.Error("the page tells more than it should")
	}
	alice := h.users["u-alice"]
	alice.Claims.Zoneinfo = "Europe/Berlin"
	h.users["u-alice"] = alice
	b.header.Set("Accept-Language", "de")
	page = b.account()
	for _, want := range []string{"Firefox unter Linux", "Dieser Browser", "19. November 2026, 11:00 CET", "vor 1\u00a0Tag", `<html lang="de">`, `datetime="2026-11-19T10:00:00Z"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in German", want)
		}
	}
	h.endpoints.Places = playedPlaces{}
	if page = b.account(); !strings.Contains(page, "Entenhausen (198.51.100.9)") || !strings.Contains(page, "<bdi>192.0.2.1</bdi>") {
		t.Error("places are not named")
	}
}

type playedPlaces struct{}

func (playedPlaces) Place(address, language string) (string, bool) {
	return "Entenhausen", address == "198.51.100.9" && language == "de"
}

func TestEndingSessions(t *testing.T) {
	spec.Covers(t, "AD-02")
	h := newHouse(t)
	h.sessionFor("u-alice", "sid-phone", 2*time.Hour)
	h.sessionFor("u-alice", "sid-tablet", 3*time.Hour)
	h.sessionFor("u-bob", "sid-bob", time.Hour)
	b := h.owner()
	if page := b.sends("/account/sessions", "session", "sid-phone"); !strings.Contains(page, english().NoteSessionEnded) || strings.Contains(page, "sid-phone") {
		t.Errorf("after the end: %s", page)
	}
	for _, foreign := range []string{"sid-bob", "sid-phone", "none", ""} {
		if page := b.sends("/account/sessions", "session", foreign); !strings.Contains(page, english().NoteSessionGone) {
			t.Errorf("%s: ended, says the page", foreign)
		}
	}
	if page := b.sends("/account/sessions", "action", "end-others"); !strings.Contains(page, english().NoteOthersEnded) || !strings.Contains(page, english().SessionsOnlyThis) {
		t.Errorf("after all others: %s", page)
	}
	if len(h.ended) != 2 || len(h.sessions) != 2 {
		t.Errorf("ended: %v", h.ended)
	}
}

func TestAccountShowsWhatIsAllowed(t *testing.T) {
	h := newHouse(t)
	h.allowances = []gatehouse.Allowance{
		{ClientID: "web", Scope: oauth.Scope{"openid", "email", "offline_access", "photos:read"}, Resources: []string{"https://api.photos.example"},
			Since: h.now.Add(-40 * day), LastUsedAt: h.now.Add(-3 * time.Minute), Offline: true},
		{ClientID: "native", Scope: oauth.Scope{"openid", "odd"}, Since: h.now},
		{ClientID: "gone", Scope: oauth.Scope{"openid"}, Since: h.now},
	}
	b := h.owner()
	response := b.get("/account")
	if csp := response.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "img-src 'self' https://cdn.photos.example;") {
		t.Errorf("policy %s", csp)
	}
	page := bodyOf(response)
	for _, want := range []string{"Photo Print", "<bdi>photos.example</bdi>", "see your e-mail address", "see your photos and albums", "PhotoAPI",
		"11 October 2026", "3\u00a0minutes ago", english().ConnectionOffline, english().OnDevice, english().NotInUse, `value="gone"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(page, "add photos") {
		t.Error("more than was allowed")
	}
	if page = b.sends("/account/permissions", "client_id", "web"); !strings.Contains(page, "You withdrew it.") || strings.Contains(page, "Photo Print") {
		t.Errorf("after withdrawing: %s", page)
	}
	if page = b.sends("/account/permissions", "client_id", "web"); !strings.Contains(page, english().NoteNothingWithdrawn) {
		t.Error("withdrawn twice")
	}
	other := h.browser()
	if response := other.signInForAccount("bob", "battery staple"); response.Header.Get("Location") != "/account" {
		t.Fatal("bob is not signed in")
	}
	foreign := url.Values{"csrf": {h.box.FormToken(other.asRequest(), other.cookies[bindingName], permissionsForm+"u-bob", interaction.Interaction{})}, "client_id": {"native"}}
	wantStatus(t, other.post("/account/permissions", foreign), http.StatusSeeOther)
	if got := h.withdrawn[len(h.withdrawn)-1]; got != "u-bob native" || len(h.allowances) != 2 {
		t.Errorf("withdrawn: %q, left %d", got, len(h.allowances))
	}
}

// Every form of the page is refused without the token of this browser, user
// and form, from elsewhere, and by GET.
func TestAccountFormsAreThisPersonsAlone(t *testing.T) {
	spec.Covers(t, "CF-03", "CF-11")
	h := newHouse(t)
	h.sessionFor("u-alice", "sid-phone", time.Hour)
	h.allowances = []gatehouse.Allowance{{ClientID: "web", Scope: oauth.Scope{"openid"}, Since: h.now}}
	b := h.owner()
	page := b.account()
	forms := map[string]url.Values{
		"/account/sessions":    {"session": {"sid-phone"}},
		"/account/permissions": {"client_id": {"web"}},
		"/account/password":    {"current": {"correct horse"}, "new": {"four unusual words"}, "again": {"four unusual words"}},
	}
	untouched := func(what string) {
		t.Helper()
		if len(h.ended) > 0 || len(h.withdrawn) > 0 || h.users["u-alice"].PasswordHash != "plain:correct horse" {
			t.Fatalf("%s: something was done", what)
		}
	}
	for action, form := range forms {
		genuine := tokenOf(page, action)
		for other := range forms {
			if other != action && tokenOf(page, other) == genuine {
				t.Fatalf("%s and %s have one token", action, other)
			}
			form.Set("csrf", tokenOf(page, other))
			if other != action {
				wantRefused(t, b.post(action, form), 403, "login-form-token")
			}
		}
		form.Set("csrf", genuine)
		for name, forged := range forgeries(form) {
			b.header = forged.header
			t.Log(action, name)
			wantRefused(t, b.post(action, forged.form), 403, forged.rule)
		}
		b.header = nil
		wantStatus(t, b.get(action+"?"+form.Encode()), http.StatusMethodNotAllowed)
		untouched(action)
		// Without a session: to sign in, and nothing else.
		stranger := h.browser()
		stranger.cookies[bindingName] = b.cookies[bindingName]
		if to := stranger.post(action, form).Header.Get("Location"); to != "/account" {
			t.Errorf("%s: a stranger is sent to %q", action, to)
		}
		untouched(action + " by a stranger")
	}
	// Bob signs in in the same browser: the page that Alice left open does nothing.
	wantStatus(t, b.get("/account?action=end-others"), http.StatusOK)
	wantSignedIn(t, b.signIn("bob", "battery staple"))
	for action, form := range forms {
		wantRefused(t, b.post(action, form), 403, "login-form-token")
	}
	untouched("bob")
}

func TestNoticesAreSigned(t *testing.T) {
	h := newHouse(t)
	b := h.owner()
	h.sessionFor("u-alice", "sid-phone", time.Hour)
	form := url.Values{"csrf": {tokenOf(b.account(), "/account/sessions")}, "session": {"sid-phone"}}
	location := b.post("/account/sessions", form).Header.Get("Location")
	said := english().NoteSessionEnded
	if !strings.Contains(bodyOf(b.get(location)), said) {
		t.Fatal("no notice")
	}
	for _, forged := range []string{
		"/account?done=session-ended", "/account?done=session-ended&sign=x", strings.Replace(location, "session-ended", "password-changed", 1),
		strings.Replace(location, "done=", "wait=1h&done=", 1), "/account?done=" + url.QueryEscape(hostile),
	} {
		page := bodyOf(b.get(forged))
		if strings.Contains(page, said) || strings.Contains(page, english().NotePasswordChanged) || strings.Contains(page, "<script>alert") {
			t.Errorf("%s put a notice there", forged)
		}
	}
	other := h.owner()
	if strings.Contains(bodyOf(other.get(location)), said) {
		t.Error("another browser shows it, too")
	}
}

func TestNewDeviceIsNoticed(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	for range 2 {
		wantSignedIn(t, b.signIn("alice", "correct horse"))
	}
	wantSignedIn(t, b.signIn("bob", "battery staple"))
	wantSignedIn(t, h.browser().signIn("alice", "correct horse"))
	got := ""
	for _, by := range h.signIns {
		got += map[bool]string{true: "new ", false: "known "}[by.NewDevice]
	}
	if got != "new known new new " {
		t.Errorf("sign-ins: %s", got)
	}
}

func TestAccountTellsWhatHappened(t *testing.T) {
	h := newHouse(t)
	b := h.owner()
	if page := b.account(); !strings.Contains(page, "Nothing in the last 30\u00a0days") {
		t.Error("the page does not say that nothing happened")
	}
	tell := func(kind gatehouse.EventKind, change func(*gatehouse.Event)) {
		e := gatehouse.Event{Kind: kind, Subject: "u-alice", At: h.now, LastAt: h.now, Count: 1, ClientID: "web",
			By: gatehouse.Circumstance{Address: "203.0.113.5", UserAgent: firefoxOnLinux}, Detail: map[string]string{}}
		if change != nil {
			change(&e)
		}
		h.told = append(h.told, e)
	}
	tell(gatehouse.EventNewDevice, nil)
	tell(gatehouse.EventLoginFailed, nil)
	tell(gatehouse.EventLoginFailed, func(e *gatehouse.Event) { e.Count = 17 })
	for _, kind := range []gatehouse.EventKind{gatehouse.EventRefreshReplayed, gatehouse.EventCodeReplayed, gatehouse.EventLostState, gatehouse.EventRedelivered, gatehouse.EventUserChanged, gatehouse.EventSessionEnded} {
		tell(kind, nil)
	}
	tell(gatehouse.EventUserChanged, func(e *gatehouse.Event) { e.Actor = "cli" })
	tell(gatehouse.EventSessionEnded, func(e *gatehouse.Event) { e.Detail["reason"] = string(gatehouse.EndedBySessionLimit) })
	tell(gatehouse.EventRefreshReplayed, func(e *gatehouse.Event) { e.ClientID = hostile })
	tell(gatehouse.EventNewDevice, func(e *gatehouse.Event) { e.Subject = "u-bob"; e.By.Address = "203.0.113.99" })
	tell(gatehouse.EventNewDevice, func(e *gatehouse.Event) { e.At = h.now.Add(-31 * day); e.By.Address = "203.0.113.99" })
	tell("something.else", nil)
	for _, language := range []string{"en", "de"} {
		b.header.Set("Accept-Language", language)
		page := b.account()
		catalogue := languages()[language]
		for _, sentence := range []string{catalogue.ToldNewDevice, catalogue.ToldFailedOnce, catalogue.ToldFailed, catalogue.ToldRefreshReplay, catalogue.ToldCodeReplay,
			catalogue.ToldLostState, catalogue.ToldRedelivered, catalogue.ToldPasswordChanged, catalogue.ToldPasswordSet, catalogue.ToldSessionEnded, catalogue.ToldSessionLimit} {
			want := string(fill(sentence, "client", "Photo Print", "place", "203.0.113.5", "device", deviceNamed(catalogue, firefoxOnLinux), "count", map[bool]string{true: "17", false: "1"}[sentence == catalogue.ToldFailed]))
			if !strings.Contains(page, want) {
				t.Errorf("%s: %q is not told", language, want)
			}
		}
		if strings.Contains(page, "203.0.113.99") || strings.Contains(page, "<script>alert") || strings.Count(page, "<li class=\"grave\">") != 5 {
			t.Errorf("%s: told too much, or too little", language)
		}
	}
}

func TestDevices(t *testing.T) {
	for agent, want := range map[string]string{
		firefoxOnLinux: "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36":                   "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36 Edg/131.0":         "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15":         "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0 Mobile Safari/604": "Chrome on iOS",
		"Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/133.0 Mobile Safari/605.1.15":     "Firefox on iPadOS",
		"Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0 Safari/537":  "Samsung Internet on Android",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36":                    "Chrome on ChromeOS",
		"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36 OPR/117.0":                     "Opera on Windows",
		"curl/8.14": "curl", "Something (Windows)": "a browser on Windows", "": "an unknown browser", "<script>": "an unknown browser",
	} {
		if got := deviceNamed(english(), agent); got != want {
			t.Errorf("%s: %q, want %q", agent, got, want)
		}
	}
}

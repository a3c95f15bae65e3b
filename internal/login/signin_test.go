package login

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/interaction"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

const (
	sessionName = "__Host-gh-session-default"
	deviceName  = "__Host-gh-device-default"
)

func wantStatus(t *testing.T, response *http.Response, status int) {
	t.Helper()
	if response.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", response.StatusCode, status, bodyOf(response))
	}
}

func wantSignedIn(t *testing.T, response *http.Response) {
	t.Helper()
	wantStatus(t, response, http.StatusSeeOther)
	if to := response.Header.Get("Location"); !strings.HasPrefix(to, "/authorize?i=") {
		t.Fatalf("sent to %q, want /authorize", to)
	}
}

func wantRefused(t *testing.T, response *http.Response, status int, rule string) {
	t.Helper()
	wantStatus(t, response, status)
	body := bodyOf(response)
	if !strings.Contains(body, `id="error-page"`) || !strings.Contains(body, `<code id="error-id">`+rule+".") {
		t.Fatalf("not an error page of rule %s: %s", rule, body)
	}
	if response.Header.Get("Location") != "" {
		t.Fatalf("an error page with a redirect to %q", response.Header.Get("Location"))
	}
}

func TestSignInMakesASessionAndResumes(t *testing.T) {
	spec.Covers(t, "OIDCC-3.1.2.3-1")
	h := newHouse(t)
	b := h.browser()
	i := b.begin(interaction.Interaction{State: "s", Scope: oauth.Scope{"openid"}}, interaction.StageLogin)
	began := h.now
	response := b.submit(i, "  ALICE@mail.example ", "correct horse")
	wantSignedIn(t, response)
	session, found, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(b.cookies[sessionName]), 0)
	if !found || session.Subject != "u-alice" || session.ID == "" || !session.AuthTime.Equal(began) || session.AMR[0] != "pwd" {
		t.Fatalf("session %+v, found %v", session, found)
	}
	if want := began.Add(h.tenant.Settings.SessionAbsoluteLifetime.Std()); !session.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v", session.ExpiresAt, want)
	}
	in := b.opened(response.Header.Get("Location"), interaction.StageResume)
	if in.Session != session.ID || in.State != "s" || !in.Scope.Has("openid") {
		t.Errorf("resumed with %+v", in)
	}
	if len(h.failures) != 0 {
		t.Errorf("failures counted: %v", h.failures)
	}
}

func TestSignInFaultsAndBadFormsAreRefused(t *testing.T) {
	spec.Covers(t, "OR-04")
	h := newHouse(t)
	b := h.browser()
	i := b.begin(interaction.Interaction{}, interaction.StageLogin)
	wantRefused(t, b.get("/login"), 400, "interaction-invalid")
	wantRefused(t, b.get("/login?i="+i[:len(i)-4]+"AAAA"), 400, "interaction-invalid")
	wantRefused(t, b.get("/login?i="+i+"&i="+i), 400, "form-repeated-parameter")
	wantRefused(t, b.get("/login?i="+b.begin(interaction.Interaction{}, interaction.StageConsent)), 400, "interaction-invalid")
	wantRefused(t, b.get("/login?i="+b.begin(interaction.Interaction{ClientID: "gone"}, interaction.StageLogin)), 400, "login-client-gone")
	wantRefused(t, b.post("/login", url.Values{"i": {"x"}}), 400, "interaction-invalid")
	wantRefused(t, b.post("/login?i="+i, url.Values{}), 400, "form-query-not-allowed")
	for _, path := range []string{"//evil.example", `/\evil.example`, "https://evil.example"} {
		response := b.get("/login?next=" + url.QueryEscape(path) + "&i=" + i)
		if body := bodyOf(response); strings.Contains(body, "evil.example") {
			t.Errorf("%s got into the page", path)
		}
	}

	h.fault = errors.New("disk on fire")
	wantRefused(t, b.get("/login?i="+i), 500, "server-error")
	h.fault = nil
	h.broken = errors.New("hash of another world")
	wantRefused(t, b.submit(i, "alice", "correct horse"), 500, "server-error")
	h.broken = nil
	h.pass(2 * time.Hour)
	wantRefused(t, b.get("/login?i="+i), 400, "interaction-expired")
	if strings.Contains(h.log.String(), "correct horse") {
		t.Error("a password is in the log")
	}
	if len(h.sessions) != 0 {
		t.Error("a session was made")
	}
	wantSignedIn(t, b.signIn("alice", "correct horse"))
}

func TestInteractionOfAnotherBrowserIsRefused(t *testing.T) {
	spec.Covers(t, "CF-04", "RFC9700-4.7.1-1")
	h := newHouse(t)
	mallory, alice := h.browser(), h.browser()
	login := mallory.begin(interaction.Interaction{}, interaction.StageLogin)
	consent := mallory.begin(interaction.Interaction{Session: "sid", Subject: "u-alice"}, interaction.StageConsent)
	wantSignedIn(t, alice.signIn("alice", "correct horse"))
	wantRefused(t, alice.get("/login?i="+login), 400, "interaction-other-browser")
	wantRefused(t, alice.get("/consent?i="+consent), 400, "interaction-other-browser")
	form := hidden(bodyOf(mallory.get("/login?i="+login)), "login-form")
	form.Set("username", "alice")
	form.Set("password", "correct horse")
	wantRefused(t, alice.post("/login", form), 400, "interaction-other-browser")
	wantRefused(t, h.browser().get("/login?i="+login), 400, "interaction-other-browser")
	wantSignedIn(t, mallory.post("/login", form))
}

// forgeries are ways to send a form that a page of ours did not send.
func forgeries(form url.Values) map[string]struct {
	form   url.Values
	header http.Header
	rule   string
} {
	without, wrong := url.Values{}, url.Values{}
	for name := range form {
		without.Set(name, form.Get(name))
		wrong.Set(name, form.Get(name))
	}
	without.Del("csrf")
	wrong.Set("csrf", "AAAA")
	type forgery = struct {
		form   url.Values
		header http.Header
		rule   string
	}
	return map[string]forgery{
		"without token":      {without, nil, "login-form-token"},
		"wrong token":        {wrong, nil, "login-form-token"},
		"foreign origin":     {form, http.Header{"Origin": {"https://evil.example"}}, "login-cross-site"},
		"null origin":        {form, http.Header{"Origin": {"null"}}, "login-cross-site"},
		"origin by suffix":   {form, http.Header{"Origin": {issuer + ".evil.example"}}, "login-cross-site"},
		"origin over http":   {form, http.Header{"Origin": {"http://id.example"}}, "login-cross-site"},
		"cross-site":         {form, http.Header{"Sec-Fetch-Site": {"cross-site"}}, "login-cross-site"},
		"a neighbour's site": {form, http.Header{"Sec-Fetch-Site": {"same-site"}}, "login-cross-site"},
	}
}

func TestForgedSignInIsRefused(t *testing.T) {
	spec.Covers(t, "CF-03", "CF-10", "CF-12", "RFC6749-10.12-1", "OIDCC-3.1.2.3-3")
	h := newHouse(t)
	b := h.browser()
	i := b.begin(interaction.Interaction{}, interaction.StageLogin)
	form := hidden(bodyOf(b.get("/login?i="+i)), "login-form")
	form.Set("username", "alice")
	form.Set("password", "correct horse")
	for name, forged := range forgeries(form) {
		b.header = forged.header
		response := b.post("/login", forged.form)
		if b.header != nil && response.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: a cookie was set", name)
		}
		wantRefused(t, response, 403, forged.rule)
	}
	b.header = nil
	if len(h.sessions) != 0 {
		t.Fatal("a session was made")
	}
	wantSignedIn(t, b.post("/login", form))

	other := b.begin(interaction.Interaction{}, interaction.StageLogin)
	form.Set("i", other)
	wantRefused(t, b.post("/login", form), 403, "login-form-token")
}

func TestWrongPasswordAndUnknownUserAreOneAnswer(t *testing.T) {
	spec.Covers(t, "EN-01")
	h := newHouse(t)
	var first *http.Response
	var firstBody string
	for _, name := range []string{"alice", "nosuch", "fed", "dis"} {
		b := h.browser()
		i := b.begin(interaction.Interaction{Start: h.now}, interaction.StageLogin)
		before := h.verified + h.dummies
		response := b.submit(i, name, "wrong")
		wantStatus(t, response, http.StatusUnprocessableEntity)
		if h.verified+h.dummies != before+1 {
			t.Errorf("%s: %d passwords checked, want one", name, h.verified+h.dummies-before)
		}
		body := bodyOf(response)
		for _, own := range []string{i, hidden(body, "login-form").Get("csrf"), `value="` + name + `"`} {
			body = strings.ReplaceAll(body, own, "")
		}
		response.Header.Del("X-Request-Id")
		response.Header.Del("Content-Length")
		if first == nil {
			first, firstBody = response, body
			if !strings.Contains(body, `role="alert"`) || !strings.Contains(body, `aria-describedby="login-error"`) {
				t.Errorf("the error is not announced: %s", body)
			}
			continue
		}
		if body != firstBody {
			t.Errorf("%s: another body:\n%s\n%s", name, body, firstBody)
		}
		if len(response.Header) != len(first.Header) {
			t.Errorf("%s: other headers: %v, %v", name, response.Header, first.Header)
		}
		for header := range first.Header {
			if response.Header.Get(header) != first.Header.Get(header) {
				t.Errorf("%s: %s: %q, %q", name, header, response.Header.Get(header), first.Header.Get(header))
			}
		}
	}
	if len(h.failures) != 4 {
		t.Errorf("%d failures counted, want 4", len(h.failures))
	}
	h.users["u-dis"] = gatehouse.User{Subject: "u-dis", Username: "dis", PasswordHash: "plain:correct horse"}
	wantSignedIn(t, h.browser().signIn("dis", "correct horse"))
}

func TestRightPasswordOfADisabledUserIsWrong(t *testing.T) {
	h := newHouse(t)
	wantStatus(t, h.browser().signIn("dis", "correct horse"), http.StatusUnprocessableEntity)
	h.refuseSessions = true // disabled between the check and the session
	b := h.browser()
	wantStatus(t, b.signIn("alice", "correct horse"), http.StatusUnprocessableEntity)
	if b.cookies[sessionName] != "" || b.cookies[deviceName] != "" {
		t.Errorf("cookies %v", b.cookies)
	}
	h.refuseSessions = false
	wantSignedIn(t, b.signIn("alice", "correct horse"))
}

func TestMissingFieldCostsNothing(t *testing.T) {
	h := newHouse(t)
	for range 20 {
		for _, pair := range [][2]string{{"", "x"}, {" ", "x"}, {"alice", ""}} {
			response := h.browser().signIn(pair[0], pair[1])
			wantStatus(t, response, http.StatusUnprocessableEntity)
			if !strings.Contains(bodyOf(response), english().MissingField) {
				t.Fatal("the page does not say what is missing")
			}
		}
	}
	if h.verified+h.dummies+len(h.failures) != 0 {
		t.Error("an incomplete form was counted")
	}
}

func TestBusyIsSaidAndNotCounted(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	h.busy = true
	for _, name := range []string{"alice", "nosuch"} {
		for range 20 {
			response := b.signIn(name, "correct horse")
			wantStatus(t, response, http.StatusServiceUnavailable)
			if response.Header.Get("Retry-After") != "2" || !strings.Contains(bodyOf(response), `id="login-form"`) {
				t.Fatal("no form, or no Retry-After")
			}
		}
	}
	h.busy = false
	wantSignedIn(t, b.signIn("alice", "correct horse"))
}

func TestOutdatedHashIsReplaced(t *testing.T) {
	h := newHouse(t)
	h.outdated = true
	wantStatus(t, h.browser().signIn("alice", "wrong"), http.StatusUnprocessableEntity)
	if len(h.rehashed) != 0 {
		t.Fatal("a wrong password was hashed")
	}
	h.hashBusy = true
	wantSignedIn(t, h.browser().signIn("alice", "correct horse"))
	if len(h.rehashed) != 0 {
		t.Fatal("hashed without a slot")
	}
	h.hashBusy = false
	wantSignedIn(t, h.browser().signIn("alice", "correct horse"))
	if h.rehashed["u-alice"] != "plain:correct horse" {
		t.Errorf("rehashed %v", h.rehashed)
	}
}

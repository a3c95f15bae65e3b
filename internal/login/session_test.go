package login

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/interaction"
	"gatehouse/internal/spec"
)

func TestSignInNeverKeepsAPresetSession(t *testing.T) {
	spec.Covers(t, "SE-01", "SE-13")
	h := newHouse(t)
	preset := interaction.NewCookieValue()
	b := h.browser()
	b.cookies[sessionName] = preset
	wantSignedIn(t, b.signIn("alice", "correct horse"))
	first := b.cookies[sessionName]
	if value, err := base64.RawURLEncoding.DecodeString(first); err != nil || len(value) < 32 || first == preset {
		t.Fatalf("the cookie is %q", first)
	}
	wantSignedIn(t, b.signIn("bob", "battery staple"))
	second := b.cookies[sessionName]
	if second == first {
		t.Fatal("the same cookie for two sign-ins")
	}
	for _, dead := range []string{preset, first} {
		if _, found, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(dead), 0); found {
			t.Errorf("session %s is alive", dead)
		}
	}
	if session, found, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(second), 0); !found || session.Subject != "u-bob" {
		t.Errorf("session %+v %v", session, found)
	}
}

func TestOpeningSignInTakesADeadSessionAway(t *testing.T) {
	spec.Covers(t, "SE-05")
	h := newHouse(t)
	b := h.browser()
	b.cookies[sessionName] = interaction.NewCookieValue()
	wantStatus(t, b.get("/login?i="+b.begin(interaction.Interaction{}, interaction.StageLogin)), http.StatusOK)
	if b.cookies[sessionName] != "" {
		t.Error("the dead session's cookie is still there")
	}
}

func TestCookiesStayAtHome(t *testing.T) {
	spec.Covers(t, "SE-02", "SE-09", "SE-10", "RFC6265-4.1.2-1")
	h := newHouse(t)
	b := h.browser()
	names := map[string]bool{}
	for _, response := range []*http.Response{b.signIn("alice", "correct horse"), h.browser().get("/logout/confirm"), b.get("/logout/confirm")} {
		for _, cookie := range response.Cookies() {
			names[cookie.Name] = true
			if !strings.HasPrefix(cookie.Name, "__Host-") || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
				t.Errorf("cookie %v", cookie)
			}
			for _, clear := range []string{"alice", "u-alice", "Alice"} {
				decoded, _ := base64.RawURLEncoding.DecodeString(cookie.Value)
				if strings.Contains(cookie.Value, clear) || strings.Contains(string(decoded), clear) {
					t.Errorf("cookie %s tells %s", cookie.Name, clear)
				}
			}
			if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Vary") != "Cookie" {
				t.Errorf("an answer with a cookie may be cached: %v", response.Header)
			}
		}
	}
	if !names[sessionName] || !names[deviceName] {
		t.Errorf("cookies seen: %v", names)
	}
}

func TestContinueAs(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	wantSignedIn(t, b.signIn("alice", "correct horse"))
	h.pass(10 * time.Minute)
	seconds := func(n int) *int { return &n }
	for _, test := range []struct {
		name    string
		in      interaction.Interaction
		offered bool
	}{
		{"nothing asked", interaction.Interaction{}, true},
		{"select_account", interaction.Interaction{Prompt: []string{"select_account"}}, true},
		{"login", interaction.Interaction{Prompt: []string{"login"}}, false},
		{"login and select_account", interaction.Interaction{Prompt: []string{"login", "select_account"}}, false},
		{"login, signed in since", interaction.Interaction{Prompt: []string{"login"}, Start: h.now.Add(-20 * time.Minute)}, true},
		{"young enough", interaction.Interaction{MaxAge: seconds(600)}, true},
		{"too old", interaction.Interaction{MaxAge: seconds(599)}, false},
		{"the user that is expected", interaction.Interaction{HintSubject: "u-alice"}, true},
		{"max_age=0", interaction.Interaction{MaxAge: seconds(0)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := b.begin(test.in, interaction.StageLogin)
			page := bodyOf(b.get("/login?i=" + i))
			form := hidden(page, "continue-form")
			if (len(form) > 0) != test.offered {
				t.Fatalf("offered %v, want %v", len(form) > 0, test.offered)
			}
			session, _, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(b.cookies[sessionName]), 0)
			if !test.offered {
				if !strings.Contains(page, `value="alice"`) {
					t.Error("the name is not filled in")
				}
				form = hidden(page, "login-form")
				form.Set("action", "continue")
				form.Set("session", session.ID)
				wantStatus(t, b.post("/login", form), http.StatusUnprocessableEntity)
				return
			}
			if !strings.Contains(page, "Alice Example (alice)") {
				t.Error("the page does not say as whom")
			}
			response := b.post("/login", form)
			wantSignedIn(t, response)
			if in := b.opened(response.Header.Get("Location"), interaction.StageResume); in.Session != session.ID {
				t.Errorf("session %q, want %q", in.Session, session.ID)
			}
		})
	}
}

func TestContinueAsSomebodyElseIsRefused(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	wantSignedIn(t, b.signIn("alice", "correct horse"))
	i := b.begin(interaction.Interaction{}, interaction.StageLogin)
	form := hidden(bodyOf(b.get("/login?i="+i)), "continue-form")
	wantSignedIn(t, b.signIn("bob", "battery staple")) // in another tab
	response := b.post("/login", form)
	wantStatus(t, response, http.StatusUnprocessableEntity)
	page := bodyOf(response)
	if !strings.Contains(page, english().SessionChanged) || !strings.Contains(page, `id="login-continue"`) {
		t.Fatalf("page: %s", page)
	}
	wantSignedIn(t, b.post("/login", hidden(page, "continue-form")))
}

func TestAnotherAccountIsExpected(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	wantSignedIn(t, b.signIn("alice", "correct horse"))
	i := b.begin(interaction.Interaction{HintSubject: "u-bob"}, interaction.StageLogin)
	page := bodyOf(b.get("/login?i=" + i))
	if !strings.Contains(page, "expects another account") || strings.Contains(page, "continue-form") || strings.Contains(page, `value="alice"`) {
		t.Fatalf("page: %s", page)
	}
	response := b.submit(i, "bob", "battery staple")
	wantSignedIn(t, response)
	if in := b.opened(response.Header.Get("Location"), interaction.StageResume); in.HintSubject != "u-bob" {
		t.Errorf("resumed with %+v", in)
	}
}

func TestBackAfterSigningIn(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	i := b.begin(interaction.Interaction{Prompt: []string{"login"}}, interaction.StageLogin)
	wantSignedIn(t, b.submit(i, "alice", "correct horse"))
	response := b.get("/login?i=" + i)
	wantStatus(t, response, http.StatusOK)
	wantSignedIn(t, b.post("/login", hidden(bodyOf(response), "continue-form")))
}

func TestSignOut(t *testing.T) {
	spec.Covers(t, "CF-11", "LO-03")
	h := newHouse(t)
	b := h.browser()
	wantSignedIn(t, b.signIn("alice", "correct horse"))
	cookie := b.cookies[sessionName]
	page := bodyOf(b.get("/logout/confirm"))
	for _, want := range []string{`id="logout-confirm-page"`, `id="logout-yes"`, "Alice Example (alice)"} {
		if !strings.Contains(page, want) {
			t.Fatalf("%s is not in %s", want, page)
		}
	}
	form := hidden(page, "logout-form")
	for name, forged := range forgeries(form) {
		b.header = forged.header
		response := b.post("/logout/confirm", forged.form)
		t.Log(name)
		wantRefused(t, response, 403, forged.rule)
	}
	b.header = nil
	if len(h.ended) != 0 || len(h.sessions) != 1 {
		t.Fatal("a GET or a forged POST signed out")
	}
	form.Set("post_logout_redirect_uri", "https://evil.example/")
	response := b.post("/logout/confirm", form)
	wantStatus(t, response, http.StatusOK)
	if body := bodyOf(response); !strings.Contains(body, `id="logout-done"`) || strings.Contains(body, "evil") || response.Header.Get("Location") != "" {
		t.Fatalf("answer: %s", body)
	}
	if _, found, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(cookie), 0); found || len(h.ended) != 1 || b.cookies[sessionName] != "" {
		t.Error("the session is alive")
	}
	for _, response := range []*http.Response{b.get("/logout/confirm"), b.post("/logout/confirm", form)} {
		wantStatus(t, response, http.StatusOK)
		if !strings.Contains(bodyOf(response), `id="logout-done"`) {
			t.Error("a signed-out browser is not told that it is signed out")
		}
	}
}

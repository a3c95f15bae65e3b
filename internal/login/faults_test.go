package login

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/interaction"
	"gatehouse/internal/secret"
)

var _ passwords = (*secret.Hasher)(nil)

// Whichever question to the store fails, the person is told so on a page, and
// nothing that was asked for has been said to be done.
func TestEveryFaultIsAPage(t *testing.T) {
	h := newHouse(t)
	h.outdated = true
	h.sessionFor("u-alice", "sid-phone", time.Hour)
	h.allowances = []gatehouse.Allowance{{ClientID: "web", Scope: photoScope}}
	h.told = []gatehouse.Event{{Kind: gatehouse.EventCodeReplayed, Subject: "u-alice", ClientID: "web", At: h.now}}
	b, consent := h.consent(interaction.Interaction{Scope: photoScope})
	login := b.begin(interaction.Interaction{}, interaction.StageLogin)
	signIn := hidden(bodyOf(b.get("/login?i="+login)), "login-form")
	signIn.Set("username", "alice")
	signIn.Set("password", "correct horse")
	wrong := hidden(bodyOf(b.get("/login?i="+login)), "login-form")
	wrong.Set("username", "alice")
	wrong.Set("password", "wrong")
	stranger := hidden(bodyOf(b.get("/login?i="+login)), "continue-form")
	stranger.Set("session", "another")
	decide := hidden(bodyOf(b.get("/consent?i="+consent)), "consent-form")
	decide.Set("decision", "allow")
	signOut := hidden(bodyOf(b.get("/logout/confirm")), "logout-form")
	account := bodyOf(b.get("/account"))
	ofAccount := func(action string, pairs ...string) func() *http.Response {
		form := url.Values{"csrf": {tokenOf(account, action)}}
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return func() *http.Response { return b.post(action, form) }
	}
	alice := h.users["u-alice"]
	for name, test := range map[string]struct {
		send   func() *http.Response
		status int
	}{
		"sign-in page":       {func() *http.Response { return b.get("/login?i=" + login) }, 200},
		"sign-in":            {func() *http.Response { return b.post("/login", signIn) }, 303},
		"wrong password":     {func() *http.Response { return b.post("/login", wrong) }, 422},
		"continue as nobody": {func() *http.Response { return b.post("/login", stranger) }, 422},
		"consent page":       {func() *http.Response { return b.get("/consent?i=" + consent) }, 200},
		"consent":            {func() *http.Response { return b.post("/consent", decide) }, 303},
		"account page":       {func() *http.Response { return b.get("/account") }, 200},
		"end a session":      {ofAccount("/account/sessions", "session", "sid-phone"), 303},
		"end the others":     {ofAccount("/account/sessions", "action", "end-others"), 303},
		"withdraw":           {ofAccount("/account/permissions", "client_id", "web"), 303},
		"change password":    {ofAccount("/account/password", "current", "correct horse", "new", unusual, "again", unusual), 303},
		"current is wrong":   {ofAccount("/account/password", "current", "wrong", "new", unusual, "again", unusual), 303},
		"sign-out page":      {func() *http.Response { return b.get("/logout/confirm") }, 200},
		"sign-out":           {func() *http.Response { return b.post("/logout/confirm", signOut) }, 200},
	} {
		h.fault = errors.New("disk on fire")
		for h.failAt = 1; ; h.failAt++ {
			cookies := maps.Clone(b.cookies)
			allowed := len(h.allowed)
			h.calls = 0
			response := test.send()
			if h.calls < h.failAt { // every question has been answered
				wantStatus(t, response, test.status)
				b.cookies = cookies
				break
			}
			t.Log(name, h.failAt)
			wantRefused(t, response, 500, "server-error")
			if b.cookies[sessionName] != cookies[sessionName] || len(h.allowed) != allowed {
				t.Errorf("%s: done in spite of the fault", name)
			}
		}
		// What was sent last may have ended the cookie's session.
		h.fault, h.failAt = nil, 0
		h.users["u-alice"] = alice
		wantSignedIn(t, b.signIn("alice", "correct horse"))
	}
}

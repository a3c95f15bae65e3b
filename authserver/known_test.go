package authserver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse"
)

// TestNothingIsIssuedForWhatIsOnlyKnown: a server that knows a session and its consents issues
// codes without reading them, and none for what ended at another one meanwhile.
func TestNothingIsIssuedForWhatIsOnlyKnown(t *testing.T) {
	tenant, by, event := gatehouse.DefaultTenant, gatehouse.Circumstance{}, gatehouse.Event{Kind: gatehouse.EventUserChanged}
	issued := webCallback + "?code="
	for _, test := range []struct {
		name         string
		end          func(s *stage, sessionID string)
		then, silent string // where the browser is sent
		after        func(s *stage)
	}{
		{"a session that ended", func(s *stage, sessionID string) {
			s.done(s.store().EndSession(s.Context(), tenant, sessionID, gatehouse.EndedByLogout, by))
		}, "/login?i=", "login_required", nil},
		{"a sign-out", func(s *stage, _ string) { s.signOut() }, "/login?i=", "login_required", nil},
		{"a disabled user", func(s *stage, _ string) {
			s.done(s.store().DisableUser(s.Context(), tenant, "sub-of-alice", true, event))
		}, "/login?i=", "login_required", func(s *stage) {
			s.done(s.store().DisableUser(s.Context(), tenant, "sub-of-alice", false, event))
		}},
		{"a changed password", func(s *stage, _ string) {
			user, _, err := s.store().User(s.Context(), tenant, "sub-of-alice")
			s.did(err)
			s.done(s.store().SetPassword(s.Context(), tenant, "sub-of-alice", user.PasswordHash, event))
		}, "/login?i=", "login_required", nil},
		{"a withdrawn consent", func(s *stage, _ string) {
			s.done(s.store().WithdrawConsent(s.Context(), tenant, "sub-of-alice", "web", by))
		}, "/consent?i=", "consent_required", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, silently := range []bool{false, true} {
				s := open(t)
				b := s.breakable()
				sessionID := s.claims(s.tokens().id)["sid"].(string)
				asked, want := request(), test.then
				if silently {
					asked, want = request("prompt", "none"), webCallback+"?error="+test.silent+"&"
				}
				cookies := s.Cookies() // also a thief has them, who keeps them after a sign-out
				ask := func() string {
					r := httptest.NewRequest(http.MethodGet, b.URL+asked, nil)
					for _, cookie := range cookies {
						r.AddCookie(cookie)
					}
					return b.answer(r).Header.Get("Location")
				}
				if location := ask(); !strings.HasPrefix(location, issued) {
					t.Fatalf("no code: %s", location)
				}
				for _, call := range []string{"Session", "Consent"} {
					b.db.fails = call
					if location := ask(); !strings.HasPrefix(location, issued) {
						t.Errorf("no code without %s of what is known: %s", call, location)
					}
				}
				b.db.fails = ""
				test.end(s, sessionID)
				for range 2 {
					if location := ask(); !strings.HasPrefix(location, want) {
						t.Errorf("sent to %q, want %q", location, want)
					}
				}
				if test.after != nil {
					test.after(s)
				}
				s.tokens() // the person signs in and allows anew
				cookies = s.Cookies()
				if location := ask(); !strings.HasPrefix(location, issued) {
					t.Errorf("no code afterwards: %s", location)
				}
			}
		})
	}
}

package authserver_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// logout records a request to the end-session endpoint.
func (s *story) logout(pairs ...string) gatehousetest.Page {
	s.Helper()
	return s.visit("/logout?" + encoded(pairs...))
}

// signedIn says whether prompt=none finds a session.
func (s *story) signedIn() bool {
	s.Helper()
	location, err := s.Once(http.MethodGet, request("prompt", "none"), nil).Location()
	return err == nil && location.Query().Get("code") != ""
}

// shows fails the test unless the page has the id.
func (s *story) shows(page gatehousetest.Page, id string) {
	s.Helper()
	if page.Location != nil || !strings.Contains(page.Text, `id="`+id+`"`) {
		s.Errorf("sent to %v, want the page %s\n%s", page.Location, id, page.Text)
	}
}

func TestStoriesOfLogout(t *testing.T) {
	const bye = "https://app.example/bye"

	tell(t, "oidc-logout/with-hint", `The ID token of the session says who is meant: the session ends at once, and the browser goes to the
		registered URI with the state. OpenID Connect RP-Initiated Logout §2 and §3.`, func(s *story) {
		spec.Covers(s.T, "OIDCRIL-2-1", "OIDCRIL-2-5", "OIDCRIL-2-6", "OIDCRIL-2-7", "OIDF-37", "OIDF-42", "SE-04")
		hint := s.tokens().Member("id_token")
		old := s.Cookies()
		back := s.logout("id_token_hint", hint, "post_logout_redirect_uri", bye, "state", "a b")
		if back.Location == nil || back.Location.String() != bye+"?state=a+b" {
			s.Errorf("sent to %v", back.Location)
		}
		s.note("The session is over.")
		s.refused("login_required", "prompt", "none")
		s.note("The cookie of that session is worth nothing, even for someone who kept it.")
		target, header := request("prompt", "none"), ""
		for _, cookie := range old {
			header += "; " + cookie.Name + "=" + cookie.Value
		}
		s.send(http.MethodGet, target, "", "Cookie", strings.TrimPrefix(header, "; "))
		s.note("Without state nothing is added.")
		hint = s.tokens().Member("id_token")
		if back := s.logout("id_token_hint", hint, "post_logout_redirect_uri", bye); back.Location == nil || back.Location.String() != bye {
			s.Errorf("sent to %v", back.Location)
		}
	})

	tell(t, "oidc-logout/without-hint", `Without a hint anybody may have sent the browser here, so the user is asked; the answer leads to a page
		of ours, whatever the request wished. OpenID Connect RP-Initiated Logout §2 and §6.`, func(s *story) {
		spec.Covers(s.T, "OIDCRIL-2-4", "OIDCRIL-6-1", "OIDCRIL-2-8")
		s.signIn()
		page := s.logout("client_id", "web", "post_logout_redirect_uri", bye, "state", "a")
		s.shows(page, "logout-confirm-page")
		s.note("Until the user says so, nothing has ended.")
		if !s.signedIn() {
			s.Error("the request alone signed out")
		}
		done := s.submit(page, "/logout/confirm")
		s.shows(done, "logout-done")
		if s.signedIn() {
			s.Error("still signed in")
		}
	})

	tell(t, "oidc-logout/by-post", `The same by POST. A POST from another site carries no session cookie, so that the browser is sent on with a
		GET, which does. OpenID Connect RP-Initiated Logout §2.`, func(s *story) {
		tokens := s.tokens()
		form := []string{"id_token_hint", tokens.Member("id_token"), "post_logout_redirect_uri", bye, "state", "a b", "client_id", "web"}
		s.note("What a browser sends when a page of the client's posts the form.")
		sent := s.send(http.MethodPost, "/logout", encoded(form...), "Content-Type", formType, "Origin", "https://app.example", "Sec-Fetch-Site", "cross-site")
		s.note("It follows with its cookies.")
		back := s.visit(sent.Header.Get("Location"))
		if back.Location == nil || back.Location.String() != bye+"?state=a+b" {
			s.Errorf("sent to %v", back.Location)
		}
		s.note("The session and its grants have ended.")
		s.wants(s.renew(tokens.Member("refresh_token")), http.StatusBadRequest, "invalid_grant")
		s.note("With a session cookie there is no detour.")
		again := s.tokens().Member("id_token")
		if page := s.browse(http.MethodPost, "/logout", url.Values{"id_token_hint": {again}}); page.Location != nil || s.signedIn() {
			s.Errorf("sent to %v, signed in: %v", page.Location, s.signedIn())
		}
	})

	tell(t, "oidc-logout/unregistered-uri", `A URI that is not registered for logout, octet for octet, is not visited: the session ends and a page of ours
		says so. OpenID Connect RP-Initiated Logout §3.`, func(s *story) {
		spec.Covers(s.T, "OIDCRIL-3-1", "OR-07")
		for _, uri := range []string{bye + "/", bye + "?x=1", webCallback, "https://evil.example/bye"} {
			hint := s.tokens().Member("id_token")
			s.shows(s.logout("id_token_hint", hint, "post_logout_redirect_uri", uri, "state", "a"), "logout-done")
		}
	})

	tell(t, "oidc-logout/bad-hints", `A hint that is forged, that belongs to another client than client_id names, or that was issued to another user,
		proves nothing: the user is asked. OpenID Connect RP-Initiated Logout §2.`, func(s *story) {
		spec.Covers(s.T, "OIDCRIL-2-2", "OIDCRIL-2-3", "LO-01")
		hint := s.tokens().Member("id_token")
		parts := strings.Split(hint, ".")
		other := s.NewBrowser(s.T).SignIn(request(), "bob", "builder-bob-builds")
		bobs := s.redeem(other.Location.Query().Get("code")).Member("id_token")
		s.note("Unsigned; with another signature; no token at all.")
		for _, bad := range []string{"eyJhbGciOiJub25lIn0." + parts[1] + ".", parts[0] + "." + parts[1] + "." + strings.Split(bobs, ".")[2], "nonsense"} {
			s.shows(s.logout("id_token_hint", bad, "post_logout_redirect_uri", bye), "logout-confirm-page")
		}
		s.note("Another client's.")
		s.shows(s.logout("id_token_hint", hint, "client_id", "spa", "post_logout_redirect_uri", bye), "logout-confirm-page")
		s.note("Another user's.")
		s.shows(s.logout("id_token_hint", bobs, "post_logout_redirect_uri", bye), "logout-confirm-page")
		s.note("The right one, long after it expired.")
		if !s.signedIn() {
			s.Error("a bad hint signed out")
		}
		s.later(3 * time.Hour)
		if back := s.logout("id_token_hint", hint, "client_id", "web", "post_logout_redirect_uri", bye); back.Location == nil || back.Location.String() != bye {
			s.Errorf("sent to %v", back.Location)
		}
	})

	tell(t, "oidc-logout/nobody-signed-in", `Where no session is, there is nothing to ask: a page, or the redirect that a valid hint allows.
		OpenID Connect RP-Initiated Logout §2.`, func(s *story) {
		hint := s.tokens().Member("id_token")
		stranger := s.NewBrowser(s.T)
		s.stage.Browser = stranger
		s.shows(s.logout(), "logout-done")
		s.shows(s.logout("post_logout_redirect_uri", bye, "state", "a"), "logout-done")
		if back := s.logout("id_token_hint", hint, "post_logout_redirect_uri", bye); back.Location == nil || back.Location.String() != bye {
			s.Errorf("sent to %v", back.Location)
		}
	})
}

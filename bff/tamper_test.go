package bff_test

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/internal/spec"
)

// changed returns the text with one character replaced by each of several, of the
// alphabet that it is written in and of others.
func changed(text string, at int) (all []string) {
	for _, other := range []string{"A", "B", "-", "0", ".", "=", ""} {
		if other != text[at:at+1] {
			all = append(all, text[:at]+other+text[at+1:])
		}
	}
	return all
}

// TestAChangedCookieIsNobodys changes each character of the cookies of a session and
// of a login, cuts them off, and lengthens them.
func TestAChangedCookieIsNobodys(t *testing.T) {
	spec.Covers(t, "BB-04")
	s := newStage(t, nil, nil)
	b := s.browser()
	b.signIn()
	mallory := s.browser()
	mallory.signIn()
	names := b.names()
	if len(names) != 1 {
		t.Fatalf("the cookies of a session are %v", names)
	}
	session := b.jar[names[0]]
	tries := []string{session[1:], session[:len(session)-1], session + "A", session + session, strings.ToUpper(session), session[:len(session)/2] + mallory.jar[names[0]][len(session)/2:]}
	for at := range session {
		tries = append(tries, changed(session, at)...)
	}
	thief := s.browser()
	for _, value := range tries {
		if value == session {
			continue
		}
		thief.jar = map[string]string{names[0]: value}
		wantRefusal(t, value, thief.call("GET", "/api/photos"), http.StatusUnauthorized, "login_required")
	}
	if !b.signedIn() || !mallory.signedIn() {
		t.Error("a session has ended by what others tried")
	}

	// A login that comes back with a changed cookie is not this browser's. The same
	// answer with the right one, afterwards, signs in.
	b = s.browser()
	back := b.callback("/bff/login?return_to=/here")
	begun := b.names()
	if len(begun) == 0 {
		t.Fatal("a login has no cookie")
	}
	for _, name := range begun {
		login := b.jar[name]
		for at := 0; at < len(login); at += max(1, len(login)/40) {
			for _, value := range changed(login, at)[:3] {
				thief.jar = map[string]string{name: value}
				if p := thief.do("GET", back, nil, nil); p.StatusCode < 400 || thief.signedIn() {
					t.Fatalf("at %d of %d (%q): %v", at, len(login), login[at], p.StatusCode)
				}
			}
		}
	}
	if done := b.do("GET", back, nil, nil); done.StatusCode != http.StatusOK || !b.signedIn() {
		t.Errorf("the right cookie: %v", done)
	}
}

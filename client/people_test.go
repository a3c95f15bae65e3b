package client_test

import (
	"net/http"
	"testing"

	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/kv"
)

// Two issuers on one store, who know people of the same names.
func TestPeopleAreOfTheirIssuers(t *testing.T) {
	spec.Covers(t, "FD-02")
	store := kv.NewMemory(kv.MemoryConfig{})
	one, two := newProvider(t), newProvider(t)
	here := one.application(t, client.Config{Store: store, Keys: [][]byte{sealingKey}, CookieName: "one", UserInfo: true})
	there := two.application(t, client.Config{Store: store, Keys: [][]byte{sealingKey}, CookieName: "two", UserInfo: true})
	b := newBrowser(t)
	b.signIn(here)
	b.signIn(there)
	if a, z := here.logins[0], there.logins[0]; a.Issuer == z.Issuer || a.Subject != z.Subject || a.UserInfo.Text("email") != z.UserInfo.Text("email") {
		t.Errorf("%+v and %+v", a.Identity, z.Identity)
	}
	// A session is worth nothing to the other client, even under its cookie's name.
	swapped := newBrowser(t)
	for name, cookie := range b.jar {
		for other := range b.jar {
			if other != name {
				renamed := *cookie
				renamed.Name = other
				swapped.jar[other] = &renamed
			}
		}
	}
	if swapped.me(here) != "" || swapped.me(there) != "" {
		t.Errorf("with each other's sessions: %q and %q", swapped.me(here), swapped.me(there))
	}
	// Nor does one issuer's logout end the other's session, sub and sid being the same.
	raw := sign(t, one.key, jose.TypeLogoutToken, one.logoutToken(nil))
	if answer := backChannel(t, there, raw); answer.StatusCode != http.StatusBadRequest || b.me(there) == "" {
		t.Errorf("%d, signed in as %q", answer.StatusCode, b.me(there))
	}
	if answer := backChannel(t, here, raw); answer.StatusCode != http.StatusOK || b.me(here) != "" || b.me(there) == "" {
		t.Errorf("%d, signed in as %q here and %q there", answer.StatusCode, b.me(here), b.me(there))
	}
	// The same e-mail address under another subject is somebody else.
	one.change(func(p *provider) {
		p.idToken = func(c claims) claims { return c.with(claims{"sub": "248289761001", "sid": "sid-9"}) }
		p.userinfo = claims{"sub": "248289761001", "email": "alice@example.com"}
	})
	b.signIn(here)
	if last := here.logins[len(here.logins)-1]; last.Subject != "248289761001" || last.UserInfo.Text("email") != here.logins[0].UserInfo.Text("email") {
		t.Errorf("%+v", last.Identity)
	}
}

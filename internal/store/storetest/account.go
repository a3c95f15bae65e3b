package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/oauth"
)

func account(t *testing.T, open Open) {
	t.Run("a user's sessions", func(t *testing.T) { userSessions(t, open) })
	t.Run("ending one's own", func(t *testing.T) { endingOwnSessions(t, open) })
	t.Run("a limit of sessions", func(t *testing.T) { sessionLimit(t, open) })
	t.Run("a limit under parallel sign-ins", func(t *testing.T) { sessionLimitRace(t, open) })
	t.Run("new devices", func(t *testing.T) { newDevices(t, open) })
	t.Run("what is allowed", func(t *testing.T) { allowances(t, open) })
	t.Run("changing the password", func(t *testing.T) { changingPassword(t, open) })
	t.Run("changing the password at once", func(t *testing.T) { changingPasswordRace(t, open) })
	t.Run("security events", func(t *testing.T) { securityEvents(t, open) })
}

// pictureAccount adds to picture what the account page asks.
func (s *stage) pictureAccount(tenant gatehouse.TenantID, look func(string, ...any)) {
	s.Helper()
	sessions, err := s.UserSessions(s.Context(), tenant, subject, 0)
	look("sessions of the user", sessions, err)
	allowed, err := s.Allowances(s.Context(), tenant, subject)
	look("allowed", allowed, err)
	told, err := s.SecurityEvents(s.Context(), tenant, subject, time.Time{}, 100)
	look("security", told, err)
}

// accountActs are the acts of the account page, for the isolation of tenants.
func accountActs() map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error {
	return map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error{
		"EndUserSession": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.EndUserSession(s.Context(), tenant, subject, sessionID, from))
		},
		"EndOtherSessions": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			count, err := s.EndOtherSessions(s.Context(), tenant, subject, "another", from)
			return did(count == 1, err)
		},
		"ChangePassword": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.ChangePassword(s.Context(), tenant, s.passwordChange("sid-next")))
		},
		"CreateSession with a limit": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			s.ok(s.PutSettings(s.Context(), tenant, gatehouse.Settings{MaxSessionsPerUser: 1}, byCLI))
			s.session(tenant, subject, "sid-limit")
			return nil
		},
	}
}

// listed are the ids of the user's sessions as the account page lists them.
func (s *stage) listed(subject string, idle time.Duration) string {
	s.Helper()
	sessions, err := s.UserSessions(s.Context(), tenant, subject, idle)
	s.ok(err)
	ids := ""
	for _, session := range sessions {
		ids += session.ID + " "
	}
	return ids
}

func userSessions(t *testing.T, open Open) {
	s := setUp(t, open, tenant, stranger)
	s.putUser(tenant, "sub-bob", "bob")
	s.clock.Move(time.Minute)
	s.session(tenant, "sub-bob", "sid-bob")
	s.session(tenant, subject, "sid-2")
	is(t, "sid-2 "+sessionID+" ")(s.listed(subject, 0), nil)
	is(t, "sid-bob ")(s.listed("sub-bob", 0), nil)
	is(t, "")(s.listed("nobody", 0), nil)

	want, _, err := s.Session(t.Context(), tenant, cookie("sid-2"), 0)
	s.ok(err)
	got, err := s.UserSessions(t.Context(), tenant, subject, 0)
	s.ok(err)
	same(t, want, got[0])

	s.clock.Move(2 * time.Hour)
	is(t, true)(s.alive("sid-2", 0), nil) // seen, and not written yet
	is(t, "sid-2 ")(s.listed(subject, time.Hour), nil)
	is(t, true)(s.EndSession(t.Context(), tenant, "sid-2", gatehouse.EndedByLogout, from))
	is(t, sessionID+" ")(s.listed(subject, 0), nil)
	s.clock.Move(7 * 24 * time.Hour)
	is(t, "")(s.listed(subject, 0), nil)
}

func endingOwnSessions(t *testing.T, open Open) {
	s := setUp(t, open)
	s.putUser(tenant, "sub-bob", "bob")
	s.session(tenant, "sub-bob", "sid-bob")
	for _, id := range []string{"a", "b", "c"} {
		s.clock.Move(time.Second)
		s.session(tenant, subject, id)
	}
	online, offline := s.redeemed("openid"), s.redeemed("openid", "offline_access")

	is(t, false)(s.EndUserSession(t.Context(), tenant, subject, "sid-bob", from)) // somebody else's
	is(t, false)(s.EndUserSession(t.Context(), tenant, "sub-bob", sessionID, from))
	is(t, false)(s.EndUserSession(t.Context(), stranger, subject, sessionID, from))
	is(t, "c b a "+sessionID+" ")(s.listed(subject, 0), nil)
	is(t, "sid-bob ")(s.listed("sub-bob", 0), nil)

	is(t, true)(s.EndUserSession(t.Context(), tenant, subject, sessionID, from))
	is(t, false)(s.EndUserSession(t.Context(), tenant, subject, sessionID, from))
	is(t, gatehouse.RotateEnded)(s.rotate(online, 1))
	is(t, gatehouse.EndedByOwner)(s.row(online.ID).EndReason, nil)
	is(t, gatehouse.RotateAccepted)(s.rotate(offline, 1))

	is(t, 2)(s.EndOtherSessions(t.Context(), tenant, subject, "b", from))
	is(t, 0)(s.EndOtherSessions(t.Context(), tenant, subject, "b", from))
	is(t, "b ")(s.listed(subject, 0), nil)
	is(t, "sid-bob ")(s.listed("sub-bob", 0), nil)
	for _, e := range s.events(gatehouse.EventSessionEnded) {
		if e.Detail["reason"] != string(gatehouse.EndedByOwner) || e.Subject != subject || e.By != from {
			t.Errorf("told as %+v", e)
		}
	}
}

func sessionLimit(t *testing.T, open Open) {
	s := setUp(t, open, tenant, stranger)
	s.putUser(tenant, "sub-bob", "bob")
	s.session(tenant, "sub-bob", "sid-bob")
	online := s.redeemed("openid")
	for _, id := range []string{"a", "b", "c"} { // without a limit
		s.clock.Move(time.Second)
		s.session(tenant, subject, id)
	}
	is(t, "c b a "+sessionID+" ")(s.listed(subject, 0), nil)

	s.ok(s.PutSettings(t.Context(), tenant, gatehouse.Settings{MaxSessionsPerUser: 3}, byCLI))
	s.clock.Move(time.Second)
	s.session(tenant, subject, "d")
	is(t, "d c b ")(s.listed(subject, 0), nil)
	is(t, gatehouse.EndedBySessionLimit)(s.row(online.ID).EndReason, nil)
	is(t, "sid-bob ")(s.listed("sub-bob", 0), nil)
	is(t, 2)(len(s.events(gatehouse.EventSessionEnded)), nil)

	// The session that is replaced makes room; nobody else has to go.
	s.clock.Move(time.Second)
	old := cookie("c")
	is(t, true)(s.CreateSession(t.Context(), tenant, cookie("e"), gatehouse.Session{ID: "e", Subject: subject, AuthTime: s.Now(), ExpiresAt: s.Now().Add(absolute)}, &old, from))
	is(t, "e d b ")(s.listed(subject, 0), nil)

	// Nor does one that was forgotten take the place of one that is used.
	s.clock.Move(23 * time.Hour)
	is(t, true)(s.alive("b", 0), nil)
	s.ok(s.AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "note"})) // writes down that it was seen
	s.clock.Move(2 * time.Hour)
	s.session(tenant, subject, "f")
	s.session(tenant, subject, "g")
	is(t, true)(s.alive("b", 24*time.Hour), nil)

	s.ok(s.PutSettings(t.Context(), tenant, gatehouse.Settings{MaxSessionsPerUser: 1}, byCLI))
	s.clock.Move(time.Second)
	s.session(tenant, subject, "h")
	is(t, "h ")(s.listed(subject, 24*time.Hour), nil)
	theirs, err := s.UserSessions(t.Context(), stranger, subject, 0)
	is(t, 1)(len(theirs), err)
}

func sessionLimitRace(t *testing.T, open Open) {
	s := setUp(t, open)
	other := &stage{TB: t, Store: open(t, s.clock), clock: s.clock}
	s.ok(s.PutSettings(t.Context(), tenant, gatehouse.Settings{MaxSessionsPerUser: 2}, byCLI))
	outcomes := race(t, func(racer int) (bool, error) {
		process := s
		if racer%2 == 1 {
			process = other
		}
		id := fmt.Sprint("sid-", racer)
		return process.CreateSession(t.Context(), tenant, cookie(id), gatehouse.Session{
			ID: id, Subject: subject, AuthTime: s.Now(), ExpiresAt: s.Now().Add(absolute),
		}, nil, from)
	})
	same(t, map[bool]int{true: racers}, outcomes)
	sessions, err := s.UserSessions(t.Context(), tenant, subject, 0)
	is(t, 2)(len(sessions), err)
}

func newDevices(t *testing.T, open Open) {
	s := setUp(t, open)
	s.putUser(tenant, "sub-bob", "bob")
	strange := from
	strange.NewDevice = true
	signIn := func(subject, id string, by gatehouse.Circumstance) {
		t.Helper()
		is(t, true)(s.CreateSession(t.Context(), tenant, cookie(id), gatehouse.Session{
			ID: id, Subject: subject, AuthTime: s.Now(), ExpiresAt: s.Now().Add(time.Hour),
		}, nil, by))
	}
	signIn("sub-bob", "bob-1", strange) // the very first sign-in
	is(t, 0)(len(s.events(gatehouse.EventNewDevice)), nil)
	signIn("sub-bob", "bob-2", from)
	is(t, 0)(len(s.events(gatehouse.EventNewDevice)), nil)
	signIn("sub-bob", "bob-3", strange)
	events := s.events(gatehouse.EventNewDevice)
	if len(events) != 1 || events[0].Subject != "sub-bob" || events[0].SessionID != "bob-3" || events[0].By != from {
		t.Fatalf("told as %+v", events)
	}
	// The sessions may have left long ago.
	s.clock.Move(30 * 24 * time.Hour)
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	signIn("sub-bob", "bob-4", strange)
	is(t, 2)(len(s.events(gatehouse.EventNewDevice)), nil)
}

func (s *stage) allowed(subject string) []gatehouse.Allowance {
	s.Helper()
	allowed, err := s.Allowances(s.Context(), tenant, subject)
	s.ok(err)
	return allowed
}

func allowances(t *testing.T, open Open) {
	s := setUp(t, open, tenant, stranger)
	s.ok(s.PutClient(t.Context(), tenant, gatehouse.Client{ID: "another"}, byCLI))
	is(t, 0)(len(s.allowed(subject)), nil)

	began := s.Now()
	issue := s.newIssue("openid", "photos:read")
	issue.Consents = []gatehouse.Consent{{Scope: []string{"openid"}}, {Resource: "https://api.example.com/", Scope: []string{"photos:read"}}}
	is(t, gatehouse.CodeAccepted)(s.issued(tenant, issue))
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, s.redemption(issue.Grant)))
	s.clock.Move(time.Hour)
	is(t, gatehouse.RotateAccepted)(s.rotate(issue.Grant, 1))
	want := gatehouse.Allowance{
		ClientID: clientID, Scope: oauth.Scope{"openid", "photos:read"}, Resources: []string{"https://api.example.com/"}, Since: began, LastUsedAt: s.Now(),
	}
	same(t, []gatehouse.Allowance{want}, s.allowed(subject))
	is(t, 0)(len(s.allowed("sub-bob")), nil)

	// A client that nobody is asked for has a grant alone.
	silent := s.newIssue("openid", "offline_access")
	silent.Grant.ClientID, silent.Grant.Resources = "another", nil
	is(t, gatehouse.CodeAccepted)(s.issued(tenant, silent))
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, s.redemption(silent.Grant)))
	house := gatehouse.Allowance{ClientID: "another", Scope: oauth.Scope{"openid", "offline_access"}, Since: s.Now(), LastUsedAt: s.Now(), Offline: true}
	same(t, []gatehouse.Allowance{house, want}, s.allowed(subject))

	// What remains of a consent whose grants have ended.
	is(t, true)(s.EndGrant(t.Context(), tenant, issue.Grant.ID, gatehouse.EndedByRevocation, from))
	want.LastUsedAt = time.Time{}
	same(t, []gatehouse.Allowance{house, want}, s.allowed(subject))

	is(t, true)(s.WithdrawConsent(t.Context(), tenant, subject, "another", from))
	same(t, []gatehouse.Allowance{want}, s.allowed(subject))
	is(t, true)(s.WithdrawConsent(t.Context(), tenant, subject, clientID, from))
	is(t, 0)(len(s.allowed(subject)), nil)
}

// passwordChange is a change of the user's password in the session of the stage.
func (s *stage) passwordChange(next string) gatehouse.PasswordChange {
	return gatehouse.PasswordChange{
		Subject: subject, OldPHC: "$argon2id$alice", NewPHC: "$argon2id$" + next, SessionID: sessionID, Hash: cookie(next), By: from,
		Session: gatehouse.Session{ID: next, AMR: []string{"pwd"}, ExpiresAt: s.Now().Add(absolute), Address: from.Address, UserAgent: from.UserAgent},
	}
}

func changingPassword(t *testing.T, open Open) {
	s := setUp(t, open)
	s.putUser(tenant, "sub-bob", "bob")
	s.session(tenant, "sub-bob", "sid-bob")
	s.session(tenant, subject, "sid-other")
	online, offline := s.redeemed("openid"), s.redeemed("openid", "offline_access")
	s.clock.Move(time.Minute)

	for name, spoil := range map[string]func(*gatehouse.PasswordChange){
		"another password":    func(c *gatehouse.PasswordChange) { c.OldPHC = "$argon2id$wrong" },
		"another's session":   func(c *gatehouse.PasswordChange) { c.SessionID = "sid-bob" },
		"no session":          func(c *gatehouse.PasswordChange) { c.SessionID = "" },
		"another's user name": func(c *gatehouse.PasswordChange) { c.Subject = "sub-bob" },
	} {
		change := s.passwordChange("sid-next")
		spoil(&change)
		if done, err := s.ChangePassword(t.Context(), tenant, change); done || err != nil {
			t.Errorf("%s: %v %v", name, done, err)
		}
	}
	is(t, false)(s.ChangePassword(t.Context(), stranger, s.passwordChange("sid-next")))
	is(t, true)(s.alive("sid-other", 0), nil)

	is(t, true)(s.ChangePassword(t.Context(), tenant, s.passwordChange("sid-next")))
	is(t, "sid-next ")(s.listed(subject, 0), nil)
	is(t, "sid-bob ")(s.listed("sub-bob", 0), nil)
	is(t, false)(s.alive(sessionID, 0), nil)
	session, found, err := s.Session(t.Context(), tenant, cookie("sid-next"), 0)
	if err != nil || !found || !session.AuthTime.Equal(s.Now()) || session.Subject != subject || !slices.Equal(session.AMR, []string{"pwd"}) {
		t.Fatalf("the session that follows: %+v %v %v", session, found, err)
	}
	user, _, err := s.User(t.Context(), tenant, subject)
	s.ok(err)
	if user.PasswordHash != "$argon2id$sid-next" || !user.PasswordChangedAt.Equal(s.Now()) {
		t.Fatalf("the user is %+v", user)
	}
	for _, g := range []gatehouse.Grant{online, offline} {
		is(t, gatehouse.EndedByPasswordChange)(s.row(g.ID).EndReason, nil)
		is(t, true)(s.tokenEnded(g), nil)
	}
	is(t, false)(s.ChangePassword(t.Context(), tenant, s.passwordChange("sid-again"))) // sent twice

	is(t, true)(s.DisableUser(t.Context(), tenant, subject, true, byCLI))
	change := s.passwordChange("sid-disabled")
	change.OldPHC, change.SessionID = "$argon2id$sid-next", "sid-next"
	is(t, false)(s.ChangePassword(t.Context(), tenant, change))
}

func changingPasswordRace(t *testing.T, open Open) {
	s := setUp(t, open)
	outcomes := race(t, func(racer int) (bool, error) {
		return s.ChangePassword(t.Context(), tenant, s.passwordChange(fmt.Sprint("sid-", racer)))
	})
	same(t, map[bool]int{true: 1, false: racers - 1}, outcomes)
	sessions, err := s.UserSessions(t.Context(), tenant, subject, 0)
	is(t, 1)(len(sessions), err)
}

func securityEvents(t *testing.T, open Open) {
	s := setUp(t, open, tenant, stranger)
	s.putUser(tenant, "sub-bob", "bob")
	told := func(subject string, since time.Time, limit int) string {
		t.Helper()
		events, err := s.SecurityEvents(t.Context(), tenant, subject, since, limit)
		s.ok(err)
		text := ""
		for _, e := range events {
			text += string(e.Kind) + " "
		}
		return text
	}
	is(t, "")(told(subject, time.Time{}, 10), nil) // a sign-in is nothing to tell

	elsewhere := gatehouse.Circumstance{Address: "198.51.100.9"}
	for range 3 {
		s.ok(s.CountFailedLogin(t.Context(), tenant, subject, "account", elsewhere))
	}
	s.ok(s.CountFailedLogin(t.Context(), tenant, "sub-bob", "another", elsewhere))
	s.ok(s.CountFailedLogin(t.Context(), tenant, "", "nobody", elsewhere))
	g := s.redeemed("openid")
	is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))
	is(t, gatehouse.RotateRedelivered)(s.rotate(g, 1)) // from where it began
	is(t, "login.failed ")(told(subject, time.Time{}, 10), nil)
	again := s.rotation(g, 1, "")
	again.By = elsewhere
	redelivered, err := s.RotateRefresh(t.Context(), tenant, again)
	is(t, gatehouse.RotateRedelivered)(redelivered.Outcome, err)
	is(t, "refresh.redelivered login.failed ")(told(subject, time.Time{}, 10), nil)

	s.clock.Move(time.Hour)
	later := s.Now()
	is(t, gatehouse.RotateReplayed)(s.rotate(g, 1))
	code := s.redeemed("openid")
	is(t, gatehouse.RedeemReplayed)(s.RedeemCode(t.Context(), tenant, s.redemption(code)))
	s.session(tenant, subject, "sid-2")
	is(t, true)(s.EndUserSession(t.Context(), tenant, subject, "sid-2", from))
	s.session(tenant, subject, "sid-3")
	is(t, true)(s.EndSession(t.Context(), tenant, "sid-3", gatehouse.EndedByLogout, from))
	is(t, true)(s.ChangePassword(t.Context(), tenant, s.passwordChange("sid-next")))
	recent := "user.changed session.ended code.replayed refresh.replayed "
	is(t, recent)(told(subject, later, 10), nil)
	is(t, recent+"refresh.redelivered login.failed ")(told(subject, time.Time{}, 10), nil)
	is(t, "user.changed session.ended ")(told(subject, time.Time{}, 2), nil)
	is(t, "login.failed ")(told("sub-bob", time.Time{}, 10), nil)
	events, err := s.SecurityEvents(t.Context(), stranger, subject, time.Time{}, 10)
	is(t, 0)(len(events), err)
}

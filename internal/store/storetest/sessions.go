package storetest

import (
	"fmt"
	"testing"
	"time"

	"gatehouse"
)

func sessions(t *testing.T, open Open) {
	t.Run("a session is read as it was created", func(t *testing.T) { sessionRoundTrip(t, open) })
	t.Run("idle and absolute lifetime", func(t *testing.T) { sessionLifetime(t, open) })
	t.Run("being seen is written along", func(t *testing.T) { seen(t, open) })
	t.Run("what is known of a session", func(t *testing.T) { knownSession(t, open) })
	t.Run("none begins for what has ended", func(t *testing.T) { noSession(t, open) })
	t.Run("another sign-in replaces", func(t *testing.T) { replacing(t, open) })
	t.Run("signing out", func(t *testing.T) { signingOut(t, open) })
}

func (s *stage) alive(id string, idle time.Duration) bool {
	s.Helper()
	_, found, err := s.Session(s.Context(), tenant, cookie(id), idle)
	s.ok(err)
	return found
}

func sessionRoundTrip(t *testing.T, open Open) {
	s := setUp(t, open)
	want := gatehouse.Session{
		ID: "sid-2", Subject: subject, AuthTime: s.Now(), AMR: []string{"pwd", "otp"}, ACR: "2", ExpiresAt: s.Now().Add(time.Hour),
		Address: "192.0.2.9", UserAgent: "browser/2",
	}
	is(t, true)(s.CreateSession(t.Context(), tenant, cookie("sid-2"), want, nil, from))
	want.CreatedAt, want.LastSeenAt = s.Now(), s.Now()
	got, found, err := s.Session(t.Context(), tenant, cookie("sid-2"), time.Minute)
	is(t, true)(found, err)
	same(t, want, got)
	is(t, false)(s.alive("sid-3", 0), nil)
	events := s.events(gatehouse.EventLogin)
	last := events[len(events)-1]
	if last.SessionID != "sid-2" || last.Subject != subject || last.By != from {
		t.Fatalf("the sign-in was told as %+v", last)
	}
}

func sessionLifetime(t *testing.T, open Open) {
	s := setUp(t, open)
	for range 6 {
		s.clock.Move(time.Hour - time.Millisecond)
		is(t, true)(s.alive(sessionID, time.Hour), nil)
	}
	s.clock.Move(time.Hour)
	is(t, false)(s.alive(sessionID, time.Hour), nil)
	is(t, true)(s.alive(sessionID, 0), nil) // no bound
	s.clock.Move(7*24*time.Hour - 7*time.Hour + 5*time.Millisecond)
	is(t, true)(s.alive(sessionID, 0), nil)
	s.clock.Move(time.Millisecond)
	is(t, false)(s.alive(sessionID, 0), nil)
}

func seen(t *testing.T, open Open) {
	s := setUp(t, open)
	other := &stage{TB: t, Store: open(t, s.clock), clock: s.clock}
	s.clock.Move(30 * time.Minute)
	is(t, true)(s.alive(sessionID, time.Hour), nil)
	s.clock.Move(45 * time.Minute)
	is(t, false)(other.alive(sessionID, time.Hour), nil) // not written yet
	is(t, true)(s.alive(sessionID, time.Hour), nil)
	s.ok(s.AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "note"})) // any act
	is(t, true)(other.alive(sessionID, time.Hour), nil)

	s.clock.Move(45 * time.Minute)
	third := open(t, s.clock)
	_, found, err := third.Session(t.Context(), tenant, cookie(sessionID), time.Hour)
	is(t, true)(found, err)
	s.ok(third.Close()) // or the end of the process
	s.clock.Move(30 * time.Minute)
	is(t, true)(other.alive(sessionID, time.Hour), nil)

	s.clock.Move(15 * time.Minute)
	is(t, true)(s.alive(sessionID, time.Hour), nil) // as whoever authorizes does first
	is(t, gatehouse.CodeAccepted)(s.issued(tenant, s.newIssue("openid")))
	s.clock.Move(45 * time.Minute)
	is(t, true)(other.alive(sessionID, time.Hour), nil)
}

// knownSession: what is known is what was read, within the same bounds, and nothing is issued for it when it ended elsewhere.
func knownSession(t *testing.T, open Open) {
	s := setUp(t, open)
	other := &stage{TB: t, Store: open(t, s.clock), clock: s.clock}
	known := func(idle time.Duration) bool {
		_, known := s.KnownSession(tenant, cookie(sessionID), idle)
		return known
	}
	is(t, false)(known(0), nil) // nobody asked yet
	is(t, true)(s.alive(sessionID, time.Hour), nil)
	read, _, err := s.Session(t.Context(), tenant, cookie(sessionID), time.Hour)
	s.ok(err)
	got, found := s.KnownSession(tenant, cookie(sessionID), time.Hour)
	is(t, true)(found, nil)
	same(t, read, got)

	// Being seen counts, and is written along.
	for range 3 {
		s.clock.Move(45 * time.Minute)
		is(t, true)(known(time.Hour), nil)
	}
	s.ok(s.AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "note"}))
	s.clock.Move(30 * time.Minute)
	is(t, true)(other.alive(sessionID, time.Hour), nil)
	s.clock.Move(time.Hour)
	is(t, false)(known(time.Hour), nil)
	is(t, true)(known(0), nil)

	issue := s.newIssue("openid")
	issue.Consents = []gatehouse.Consent{{Resource: "", Scope: []string{"openid"}}}
	is(t, gatehouse.CodeAccepted)(s.issued(tenant, issue))
	if _, err := s.Consent(t.Context(), tenant, subject, clientID); err != nil {
		t.Fatal(err)
	}
	is(t, true)(other.WithdrawConsent(t.Context(), tenant, subject, clientID, from))
	consents, found := s.KnownConsent(tenant, subject, clientID)
	if !found || len(consents) != 1 {
		t.Fatalf("what is known of the consents: %v, %v", consents, found)
	}
	relying := s.newIssue("openid")
	relying.ReliesOn = consents
	is(t, gatehouse.CodeUnconsented)(s.issued(tenant, relying))
	is(t, true)(other.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
	is(t, true)(known(0), nil)
	is(t, gatehouse.CodeWithdrawn)(s.issued(tenant, s.newIssue("openid")))
	is(t, false)(s.alive(sessionID, 0), nil)
	is(t, false)(known(0), nil) // forgotten

	// Nothing is known beyond the end of its life.
	is(t, true)(s.CreateSession(t.Context(), tenant, cookie("brief"), gatehouse.Session{ID: "brief", Subject: subject, AuthTime: s.Now(), ExpiresAt: s.Now().Add(time.Hour)}, nil, from))
	is(t, true)(s.alive("brief", 0), nil)
	s.clock.Move(time.Hour)
	_, found = s.KnownSession(tenant, cookie("brief"), 0)
	is(t, false)(found, nil)
}

func noSession(t *testing.T, open Open) {
	s := setUp(t, open)
	begun := s.Now()
	create := func(subject, id string, authTime time.Time) (bool, error) {
		return s.CreateSession(t.Context(), tenant, cookie(id), gatehouse.Session{
			ID: id, Subject: subject, AuthTime: authTime, ExpiresAt: authTime.Add(time.Hour),
		}, nil, from)
	}
	is(t, true)(create(subject, "a", begun))
	is(t, false)(create("nobody", "b", begun))
	s.clock.Move(time.Second)
	is(t, true)(s.SetPassword(t.Context(), tenant, subject, "$argon2id$new", byCLI))
	is(t, false)(create(subject, "c", begun)) // it was the old password
	is(t, true)(create(subject, "d", s.Now()))
	is(t, true)(s.DisableUser(t.Context(), tenant, subject, true, byCLI))
	is(t, false)(create(subject, "e", s.Now()))
	is(t, true)(s.DisableUser(t.Context(), tenant, subject, false, byCLI))
	is(t, true)(create(subject, "f", s.Now()))
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		is(t, false)(s.alive(id, 0), nil)
	}
	is(t, true)(s.alive("f", 0), nil)
}

func replacing(t *testing.T, open Open) {
	s := setUp(t, open)
	s.putUser(tenant, "sub-bob", "bob")
	replace := func(subject, id, old string) {
		t.Helper()
		hash := cookie(old)
		is(t, true)(s.CreateSession(t.Context(), tenant, cookie(id), gatehouse.Session{
			ID: id, Subject: subject, AuthTime: s.Now(), ExpiresAt: s.Now().Add(absolute),
		}, &hash, from))
		is(t, false)(s.alive(old, 0), nil)
		is(t, true)(s.alive(id, 0), nil)
	}
	online, offline := s.redeemed("openid"), s.redeemed("openid", "offline_access")
	// The same person: the grants go on, and end with the new session.
	replace(subject, "sid-2", sessionID)
	is(t, gatehouse.RotateAccepted)(s.rotate(online, 1))
	is(t, "sid-2")(s.row(online.ID).SessionID, nil)
	// Another person: grants that do not outlive the session end.
	replace("sub-bob", "sid-bob", "sid-2")
	is(t, gatehouse.RotateEnded)(s.rotate(online, 2))
	is(t, gatehouse.EndedByNewLogin)(s.row(online.ID).EndReason, nil)
	is(t, gatehouse.RotateAccepted)(s.rotate(offline, 1))
	replace("sub-bob", "sid-bob-2", "unknown")
	is(t, 2)(len(s.events(gatehouse.EventSessionEnded)), nil)
}

func signingOut(t *testing.T, open Open) {
	s := setUp(t, open)
	s.session(tenant, subject, "sid-other")
	online, offline := s.redeemed("openid"), s.redeemed("openid", "offline_access")
	elsewhere := s.newIssue("openid")
	elsewhere.Grant.SessionID = "sid-other"
	is(t, gatehouse.CodeAccepted)(s.issued(tenant, elsewhere))

	is(t, true)(s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
	is(t, false)(s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
	is(t, false)(s.EndSession(t.Context(), tenant, "unknown", gatehouse.EndedByLogout, from))
	is(t, false)(s.alive(sessionID, 0), nil)
	is(t, true)(s.alive("sid-other", 0), nil)
	is(t, gatehouse.RotateEnded)(s.rotate(online, 1))
	is(t, true)(s.tokenEnded(online), nil)
	is(t, gatehouse.RotateAccepted)(s.rotate(offline, 1))
	is(t, false)(s.tokenEnded(offline), nil)
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, s.redemption(elsewhere.Grant)))
	events := s.events(gatehouse.EventLogout, gatehouse.EventSessionEnded)
	is(t, "1 logout")(fmt.Sprint(len(events), " ", events[0].Kind), nil)
}

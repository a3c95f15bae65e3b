package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
)

func ledger(t *testing.T, open Open) {
	t.Run("events are filtered", func(t *testing.T) { eventFilters(t, open) })
	t.Run("what a stranger says of himself is clipped", func(t *testing.T) { clipped(t, open) })
	t.Run("failed logins are counted", func(t *testing.T) { failedLogins(t, open) })
	t.Run("a revoked token", func(t *testing.T) { revokedToken(t, open) })
	t.Run("tokens of a subject", func(t *testing.T) { subjectTokens(t, open) })
	t.Run("keys", func(t *testing.T) { keys(t, open) })
	t.Run("the life of keys", func(t *testing.T) { keyLife(t, open) })
	t.Run("after a restore", func(t *testing.T) { restoring(t, open) })
	t.Run("sweeping", func(t *testing.T) { sweeping(t, open) })
	t.Run("sweeping many", func(t *testing.T) { sweepingMany(t, open) })
	t.Run("sweeping what is in use", func(t *testing.T) { sweepingKept(t, open) })
}

func eventFilters(t *testing.T, open Open) {
	s := setUp(t, open, "furnished elsewhere")
	start := s.Now()
	for i := range 10 {
		s.clock.Move(time.Minute)
		s.ok(s.AppendEvent(t.Context(), tenant, gatehouse.Event{
			Kind: []gatehouse.EventKind{"a.one", "a.two"}[i%2], Subject: fmt.Sprint("sub-", i%3), ClientID: fmt.Sprint("client-", i%5),
			Grant: "handle", SessionID: "sid", By: from, Actor: "cli", Detail: map[string]string{"i": fmt.Sprint(i)},
		}))
	}
	all, err := s.Events(t.Context(), tenant, gatehouse.EventFilter{})
	is(t, 10)(len(all), err)
	same(t, gatehouse.Event{
		Seq: all[3].Seq, At: start.Add(4 * time.Minute), Kind: "a.two", Subject: "sub-0", ClientID: "client-3", Grant: "handle", SessionID: "sid",
		By: from, Actor: "cli", Count: 1, LastAt: start.Add(4 * time.Minute), Detail: map[string]string{"i": "3"},
	}, all[3])
	for _, row := range []struct {
		want   string
		filter gatehouse.EventFilter
	}{
		{"0123456789", gatehouse.EventFilter{}},
		{"6789", gatehouse.EventFilter{After: all[5].Seq}},
		{"456789", gatehouse.EventFilter{Since: start.Add(5 * time.Minute)}},
		{"0123", gatehouse.EventFilter{Until: start.Add(5 * time.Minute)}},
		{"02468", gatehouse.EventFilter{Kinds: []gatehouse.EventKind{"a.one"}}},
		{"0123456789", gatehouse.EventFilter{Kinds: []gatehouse.EventKind{"a.one", "a.two"}}},
		{"", gatehouse.EventFilter{Kinds: []gatehouse.EventKind{"a.on", "one", "a"}}},
		{"147", gatehouse.EventFilter{Subject: "sub-1"}},
		{"27", gatehouse.EventFilter{ClientID: "client-2"}},
		{"7", gatehouse.EventFilter{ClientID: "client-2", Subject: "sub-1"}},
		{"012", gatehouse.EventFilter{Limit: 3}},
		{"789", gatehouse.EventFilter{Limit: 3, Latest: true}},
		{"47", gatehouse.EventFilter{Limit: 2, Latest: true, Subject: "sub-1"}},
		{"", gatehouse.EventFilter{Subject: "nobody"}},
	} {
		events, err := s.Events(t.Context(), tenant, row.filter)
		s.ok(err)
		got := ""
		for _, e := range events {
			got += e.Detail["i"]
		}
		if got != row.want {
			t.Errorf("%+v selects %q, want %q", row.filter, got, row.want)
		}
	}
}

func failedLogins(t *testing.T, open Open) {
	s := setUp(t, open)
	fail := func(account, address string, times int) {
		for range times {
			s.clock.Move(time.Second)
			s.ok(s.CountFailedLogin(t.Context(), tenant, "sub-"+account, account, gatehouse.Circumstance{Address: address}))
		}
	}
	fail("alice", "192.0.2.1", 100)
	last := s.Now()
	fail("alice", "192.0.2.2", 3)
	fail("bob", "192.0.2.1", 2)
	s.clock.Move(10 * time.Minute)
	fail("alice", "192.0.2.1", 1)
	got := ""
	events := s.events(gatehouse.EventLoginFailed)
	for _, e := range events {
		got += fmt.Sprintf("%s %s %d, ", e.Detail["account"], e.By.Address, e.Count)
	}
	is(t, "alice 192.0.2.1 100, alice 192.0.2.2 3, bob 192.0.2.1 2, alice 192.0.2.1 1, ")(got, nil)
	// Names that nobody has are one event for each network, however many somebody invents.
	for n := range 200 {
		from := []string{"192.0.2.1", fmt.Sprintf("2001:db8::%x", n), "2001:db8:0:1::1"}[n%3]
		s.ok(s.CountFailedLogin(t.Context(), tenant, "", fmt.Sprint("invented ", n), gatehouse.Circumstance{Address: from}))
	}
	counts := map[string]int64{}
	for _, e := range s.events(gatehouse.EventLoginFailed)[len(events):] {
		counts[gatehouse.Network(e.By.Address)] += int64(e.Count)
		if len(e.Detail) > 0 || e.Subject != "" {
			t.Errorf("an event of nobody has %v and %q", e.Detail, e.Subject)
		}
	}
	if want := map[string]int64{"192.0.2.1": 67, "2001:db8::/64": 67, "2001:db8:0:1::/64": 66}; !maps.Equal(counts, want) {
		t.Errorf("%v", counts)
	}
	if first := events[0]; !first.LastAt.Equal(last) || last.Sub(first.At) != 99*time.Second {
		t.Fatalf("from %v to %v", first.At, first.LastAt)
	}
}

func revokedToken(t *testing.T, open Open) {
	s := setUp(t, open)
	g := s.redeemed("openid")
	token := gatehouse.TokenFacts{Handle: g.Handle, ID: "jti-1", ClientID: clientID, Subject: subject, IssuedAt: s.Now()}
	for range 3 {
		s.ok(s.RevokeToken(t.Context(), tenant, "jti-1", s.Now().Add(access), clientID, from))
	}
	is(t, true)(s.TokenEnded(t.Context(), tenant, token))
	token.ID = "jti-2"
	is(t, false)(s.TokenEnded(t.Context(), tenant, token))
	is(t, gatehouse.RotateAccepted)(s.rotate(g, 1)) // the grant lives
	is(t, 1)(len(s.events(gatehouse.EventTokenRevoked)), nil)
	is(t, false)(s.TokenEnded(t.Context(), tenant, gatehouse.TokenFacts{}))
}

func subjectTokens(t *testing.T, open Open) {
	s := setUp(t, open)
	token := gatehouse.TokenFacts{Handle: "of a grant that was exchanged", ID: "jti", ClientID: "another", Subject: subject, IssuedAt: s.Now().Truncate(time.Second)}
	is(t, false)(s.TokenEnded(t.Context(), tenant, token))
	is(t, true)(s.DisableUser(t.Context(), tenant, subject, true, byCLI))
	is(t, true)(s.TokenEnded(t.Context(), tenant, token))
	is(t, true)(s.DisableUser(t.Context(), tenant, subject, false, byCLI))
	is(t, true)(s.TokenEnded(t.Context(), tenant, token))
	token.IssuedAt = token.IssuedAt.Add(3 * time.Second)
	is(t, false)(s.TokenEnded(t.Context(), tenant, token))
	token.IssuedAt, token.Subject = s.Now(), "somebody else"
	is(t, false)(s.TokenEnded(t.Context(), tenant, token))
}

func keys(t *testing.T, open Open) {
	s := setUp(t, open)
	rsa := gatehouse.StoredKey{
		ID: "kid-1", Purpose: gatehouse.KeySign, Algorithm: "RS256", Sealed: []byte("sealed"), CreatedAt: s.Now(),
		PublishAt: s.Now(), SignFrom: s.Now().Add(time.Hour), SignUntil: s.Now().Add(2 * time.Hour), RemoveAt: s.Now().Add(3 * time.Hour),
	}
	mac := gatehouse.StoredKey{NumericID: 1<<32 - 1, Purpose: gatehouse.KeyMAC, Sealed: []byte("sealed, too"), CreatedAt: s.Now().Add(time.Second)}
	is(t, true)(s.AddKeys(t.Context(), tenant, []gatehouse.StoredKey{mac, rsa}, true))
	is(t, false)(s.AddKeys(t.Context(), tenant, []gatehouse.StoredKey{{ID: "kid-2", Purpose: gatehouse.KeySign}}, true))
	if _, err := s.AddKeys(t.Context(), tenant, []gatehouse.StoredKey{{ID: "kid-3", Purpose: gatehouse.KeySign, Algorithm: "ES256"}, rsa}, false); err == nil {
		t.Fatal("a key was added twice")
	}
	got, err := s.Keys(t.Context(), tenant)
	s.ok(err)
	same(t, []gatehouse.StoredKey{rsa, mac}, got)
	is(t, 2)(len(s.events(gatehouse.EventKeyCreated)), nil)

	_, found, err := s.KeyEncryptionKey(t.Context())
	is(t, false)(found, err)
	want := gatehouse.KeyEncryptionKey{ID: 1<<32 - 1, Canary: []byte("canary")}
	is(t, true)(s.SetKeyEncryptionKey(t.Context(), want))
	is(t, false)(s.SetKeyEncryptionKey(t.Context(), gatehouse.KeyEncryptionKey{ID: 2}))
	kek, found, err := s.KeyEncryptionKey(t.Context())
	is(t, true)(found, err)
	same(t, want, kek)
}

func sweeping(t *testing.T, open Open) {
	s := setUp(t, open)
	s.ok(s.PutSettings(t.Context(), tenant, gatehouse.Settings{EventRetention: config.Duration(10 * 24 * time.Hour)}, byCLI))
	issue := s.newIssue("openid")
	issue.Consents = []gatehouse.Consent{{Scope: []string{"openid"}}}
	is(t, gatehouse.CodeAccepted)(s.issued(tenant, issue))
	abandoned, ended, living := issue.Grant, s.redeemed("openid"), s.redeemed("openid", "offline_access")
	brief := s.issue("openid") // no refresh token, but a long access token
	redemption := s.redemption(brief)
	redemption.Refresh, redemption.AccessUntil = gatehouse.RefreshState{}, s.Now().Add(3*24*time.Hour)
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, redemption))
	is(t, true)(s.EndGrant(t.Context(), tenant, ended.ID, gatehouse.EndedByRevocation, from))
	s.ok(s.RevokeToken(t.Context(), tenant, "jti", s.Now().Add(2*24*time.Hour), clientID, from))

	is := func(what string, want, got bool) {
		t.Helper()
		if want != got {
			t.Errorf("%s is there: %v, want %v", what, got, want)
		}
	}
	there := func(g gatehouse.Grant) bool {
		_, found, err := s.Grant(t.Context(), tenant, g.ID)
		s.ok(err)
		return found
	}
	revoked := func() bool {
		ended, err := s.TokenEnded(t.Context(), tenant, gatehouse.TokenFacts{ID: "jti"})
		s.ok(err)
		return ended
	}
	sweep := func() int {
		t.Helper()
		removed, err := s.Sweep(t.Context())
		s.ok(err)
		return removed
	}
	if removed := sweep(); removed != 0 {
		t.Fatalf("%d rows left at once", removed)
	}
	s.clock.Move(14 * time.Minute)
	sweep()
	is("the ending of a grant whose token lives within the skew", true, s.tokenEnded(ended))
	s.clock.Move(2 * time.Minute)
	sweep()
	is("the ending of a grant whose token has expired", false, s.tokenEnded(ended))
	is("the ended grant", true, there(ended))
	is("the abandoned grant", true, there(abandoned))

	s.clock.Move(25 * time.Hour)
	sweep()
	is("the ended grant", false, there(ended))
	is("the abandoned grant", false, there(abandoned))
	is("the grant with a long access token", true, there(brief))
	is("the revocation of a token that lives", true, revoked())

	s.clock.Move(2 * 24 * time.Hour)
	sweep()
	is("the grant with a long access token", false, there(brief))
	is("the revocation of an expired token", false, revoked())
	is("the living grant", true, there(living))
	is("events within the retention", true, len(s.events()) > 0)

	s.clock.Move(8 * 24 * time.Hour)
	if removed := sweep(); removed == 0 {
		t.Error("nothing left after the retention")
	}
	is("events after the retention", false, len(s.events()) > 0)
	is("the living grant", true, there(living))
	s.ok(s.AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "note"}))

	s.clock.Move(absolute)
	sweep()
	is("the living grant after its absolute lifetime", false, there(living))
	consents, err := s.Consent(t.Context(), tenant, subject, clientID)
	s.ok(err)
	is("the consent", true, len(consents) == 1)
	if removed := sweep(); removed != 0 {
		t.Errorf("%d rows left in a swept database", removed)
	}
}

// sweepingMany has more rows than leave in one act, and other acts between.
func sweepingMany(t *testing.T, open Open) {
	s := setUp(t, open, tenant, stranger)
	race(t, func(racer int) (struct{}, error) {
		for i := range 40 {
			if err := s.AppendEvent(t.Context(), []gatehouse.TenantID{tenant, stranger}[racer%2], gatehouse.Event{Kind: "note", Detail: map[string]string{"i": fmt.Sprint(i)}}); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	last := s.events("note")
	s.clock.Move(365 * 24 * time.Hour)
	removed, err := s.Sweep(t.Context())
	s.ok(err)
	if removed < racers*40 {
		t.Fatalf("%d rows left, of at least %d", removed, racers*40)
	}
	if rest := len(s.events()); rest != 0 {
		t.Fatalf("%d events stayed", rest)
	}
	// A follower's cursor stays good: numbers are not given again.
	s.ok(s.AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "next"}))
	if next := s.events("next"); next[0].Seq <= last[len(last)-1].Seq {
		t.Fatalf("the number %d was given again", next[0].Seq)
	}
}

// sweepingKept has more grants come due in one act than it looks at, of which every other is still in use.
func sweepingKept(t *testing.T, open Open) {
	s := setUp(t, open)
	const each = 640 / racers
	var living, over [racers][]gatehouse.Grant
	race(t, func(racer int) (struct{}, error) {
		for range each / 2 {
			living[racer] = append(living[racer], s.redeemed("openid", "offline_access"))
			over[racer] = append(over[racer], s.issue("openid"))
		}
		return struct{}{}, nil
	})
	left := func(grants [racers][]gatehouse.Grant) (count int) {
		for _, g := range slices.Concat(grants[:]...) {
			_, found, err := s.Grant(t.Context(), tenant, g.ID)
			if s.ok(err); found {
				count++
			}
		}
		return count
	}
	s.clock.Move(25 * time.Hour)
	is(t, racers*(each/2))(s.Sweep(t.Context()))
	is(t, 0)(left(over), nil)
	is(t, racers*(each/2))(left(living), nil)
	is(t, 0)(s.Sweep(t.Context()))
	is(t, gatehouse.RotateAccepted)(s.rotate(living[0][0], 1))

	s.clock.Move(absolute)
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	is(t, 0)(left(living), nil)
}

func clipped(t *testing.T, open Open) {
	s := setUp(t, open)
	by := gatehouse.Circumstance{Address: "192.0.2.1", UserAgent: "\xffbrowser\x00" + strings.Repeat("x", 10_000), RequestID: "r2"}
	s.ok(s.AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "note", By: by}))
	agent := s.events("note")[0].By.UserAgent
	if !strings.HasPrefix(agent, "\uFFFDbrowser\uFFFDxxx") || len(agent) > 520 {
		t.Fatalf("%d bytes were kept: %q", len(agent), agent)
	}
}

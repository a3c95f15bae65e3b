package storetest

import (
	"fmt"
	"testing"
	"time"

	"gatehouse"
)

func rotations(t *testing.T, open Open) {
	t.Run("table", func(t *testing.T) { rotationTable(t, open) })
	t.Run("a predecessor is told the current state", func(t *testing.T) { redelivery(t, open) })
	t.Run("redeliveries do not pile up", func(t *testing.T) { redeliveryFlood(t, open) })
	t.Run("idle time is measured between uses", func(t *testing.T) { idleTime(t, open) })
}

// rotationTable starts each row with a chain at generation 5, rotated just now.
func rotationTable(t *testing.T, open Open) {
	const current = 5
	wait := func(by time.Duration) func(*stage, gatehouse.Grant, *gatehouse.Rotation) error {
		return func(s *stage, _ gatehouse.Grant, _ *gatehouse.Rotation) error { s.clock.Move(by); return nil }
	}
	disable := func(enableAgain bool) func(*stage, gatehouse.Grant, *gatehouse.Rotation) error {
		return func(s *stage, _ gatehouse.Grant, _ *gatehouse.Rotation) error {
			_, err := s.DisableClient(s.Context(), tenant, clientID, true, byCLI)
			if err == nil && enableAgain {
				_, err = s.DisableClient(s.Context(), tenant, clientID, false, byCLI)
			}
			return err
		}
	}
	const (
		replay = gatehouse.EndedByRefreshReplay
		lost   = gatehouse.EndedByLostState
	)
	for _, row := range []struct {
		name      string
		presented uint64
		fork      string
		prepare   func(*stage, gatehouse.Grant, *gatehouse.Rotation) error
		want      gatehouse.RotateOutcome
		ended     gatehouse.EndReason
	}{
		{"the current one", current, "", nil, gatehouse.RotateAccepted, ""},
		{"the current one, just before it is idle for too long", current, "", wait(idle - time.Millisecond), gatehouse.RotateAccepted, ""},
		{"the current one, idle for too long", current, "", wait(idle), gatehouse.RotateExpired, ""},
		{"the current one, client disabled", current, "", disable(false), gatehouse.RotateEnded, ""},
		{"the current one, client disabled and enabled", current, "", disable(true), gatehouse.RotateAccepted, ""},
		{"the current one, user disabled and enabled", current, "", func(s *stage, _ gatehouse.Grant, _ *gatehouse.Rotation) error {
			_, err := s.DisableUser(s.Context(), tenant, subject, true, byCLI)
			if err == nil {
				_, err = s.DisableUser(s.Context(), tenant, subject, false, byCLI)
			}
			return err
		}, gatehouse.RotateEnded, gatehouse.EndedByUserDisabled},
		{"the current one, revoked", current, "", func(s *stage, g gatehouse.Grant, _ *gatehouse.Rotation) error {
			_, err := s.EndGrant(s.Context(), tenant, g.ID, gatehouse.EndedByRevocation, from)
			return err
		}, gatehouse.RotateEnded, gatehouse.EndedByRevocation},

		{"the predecessor", current - 1, "", nil, gatehouse.RotateRedelivered, ""},
		{"the predecessor, at the end of the grace", current - 1, "", wait(grace - time.Millisecond), gatehouse.RotateRedelivered, ""},
		{"the predecessor, after the grace", current - 1, "", wait(grace), gatehouse.RotateReplayed, replay},
		{"the predecessor, after the grace, the system's clock set back", current - 1, "", func(s *stage, _ gatehouse.Grant, _ *gatehouse.Rotation) error {
			s.clock.Move(grace)
			s.Now()
			s.clock.Move(-grace)
			return nil
		}, gatehouse.RotateReplayed, replay},
		{"the predecessor, no grace", current - 1, "", func(_ *stage, _ gatehouse.Grant, r *gatehouse.Rotation) error { r.Grace = 0; return nil }, gatehouse.RotateReplayed, replay},
		{"the predecessor, client disabled", current - 1, "", disable(false), gatehouse.RotateEnded, ""},
		{"the predecessor, revoked", current - 1, "", func(s *stage, g gatehouse.Grant, _ *gatehouse.Rotation) error {
			_, err := s.EndGrant(s.Context(), tenant, g.ID, gatehouse.EndedByRevocation, from)
			return err
		}, gatehouse.RotateEnded, gatehouse.EndedByRevocation},
		{"a predecessor of another chain", current - 1, "fork", nil, gatehouse.RotateLostState, lost},

		{"an older one", current - 2, "", nil, gatehouse.RotateReplayed, replay},
		{"the first one", 1, "", nil, gatehouse.RotateReplayed, replay},
		{"an older one, no grace", current - 2, "", func(_ *stage, _ gatehouse.Grant, r *gatehouse.Rotation) error { r.Grace = 0; return nil }, gatehouse.RotateReplayed, replay},
		{"the current generation of another chain", current, "fork", nil, gatehouse.RotateLostState, lost},
		{"a later one", current + 1, "", nil, gatehouse.RotateLostState, lost},
		{"a much later one", 1 << 63, "", nil, gatehouse.RotateLostState, lost},
		{"unknown grant", current, "", func(_ *stage, _ gatehouse.Grant, r *gatehouse.Rotation) error {
			r.ID = gatehouse.GrantID{0xff}
			return nil
		}, gatehouse.RotateUnknown, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := setUp(t, open)
			g := s.redeemed("openid", "offline_access")
			for presented := uint64(1); presented < current; presented++ {
				is(t, gatehouse.RotateAccepted)(s.rotate(g, presented))
			}
			rotation := s.rotation(g, row.presented, row.fork)
			if row.prepare != nil {
				s.ok(row.prepare(s, g, &rotation))
			}
			before := s.row(g.ID)
			rotated, err := s.RotateRefresh(t.Context(), tenant, rotation)
			is(t, row.want)(rotated.Outcome, err)

			after := s.row(g.ID)
			if after.EndReason != row.ended {
				t.Fatalf("the grant ended by %q, want %q", after.EndReason, row.ended)
			}
			switch row.want {
			case gatehouse.RotateAccepted:
				same(t, rotated.Current, after.Refresh)
				is(t, row.presented+1)(after.Refresh.Generation, nil)
			case gatehouse.RotateRedelivered:
				same(t, rotated.Current, after.Refresh)
				same(t, before.Refresh, after.Refresh)
			default:
				same(t, before.Refresh, after.Refresh)
			}
			s.told(g, gatehouse.EventRedelivered, count(row.want == gatehouse.RotateRedelivered))
			s.told(g, gatehouse.EventRefreshReplayed, count(row.ended == replay))
			s.told(g, gatehouse.EventLostState, count(row.ended == lost))
			s.told(g, gatehouse.EventGrantEnded, count(row.ended != ""))
			if ended := s.tokenEnded(g); row.ended != "" && !ended {
				t.Fatal("the grant ended and its token lives")
			}
		})
	}

	t.Run("the absolute lifetime is not moved", func(t *testing.T) {
		s := setUp(t, open)
		g := s.redeemed("openid", "offline_access")
		for presented := uint64(1); presented <= 3; presented++ {
			s.clock.Move(absolute/4 - time.Hour)
			is(t, gatehouse.RotateAccepted)(s.rotate(g, presented))
		}
		s.clock.Move(g.ExpiresAt.Sub(s.Now()) - time.Millisecond)
		is(t, gatehouse.RotateAccepted)(s.rotate(g, 4))
		s.clock.Move(time.Millisecond)
		is(t, gatehouse.RotateExpired)(s.rotate(g, 5))
		is(t, gatehouse.RotateExpired)(s.rotate(g, 4)) // within the grace
		s.told(g, gatehouse.EventGrantEnded, 0)
	})

	t.Run("a database from before the redemption", func(t *testing.T) {
		s := setUp(t, open)
		g := s.issue("openid")
		is(t, gatehouse.RotateLostState)(s.rotate(g, 1))
		is(t, gatehouse.RedeemUnknown)(s.RedeemCode(t.Context(), tenant, s.redemption(g)))
		none := s.issue("openid")
		redemption := s.redemption(none)
		redemption.Refresh = gatehouse.RefreshState{}
		is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, redemption))
		is(t, gatehouse.RotateLostState)(s.rotate(none, 0))
	})

	t.Run("without a hash", func(t *testing.T) {
		s := setUp(t, open)
		g := s.redeemed("openid")
		rotation := s.rotation(g, 0, "")
		rotation.PresentedHash = nil
		if _, err := s.RotateRefresh(t.Context(), tenant, rotation); err == nil {
			t.Fatal("a rotation without a hash was answered")
		}
		is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))
	})

	t.Run("a question that panics", func(t *testing.T) {
		s := setUp(t, open)
		g := s.redeemed("openid")
		is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))
		rotation := s.rotation(g, 1, "")
		rotation.Succeeds = func(gatehouse.RefreshState) bool { panic("no answer") }
		if _, err := s.RotateRefresh(t.Context(), tenant, rotation); err == nil {
			t.Fatal("the panic was answered")
		}
		is(t, gatehouse.RotateAccepted)(s.rotate(g, 2))
	})
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func redelivery(t *testing.T, open Open) {
	s := setUp(t, open)
	g := s.redeemed("openid", "offline_access")
	is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))
	s.clock.Move(10 * time.Second)
	rotation := s.rotation(g, 1, "")
	rotation.AccessUntil = s.Now().Add(time.Hour)
	rotated, err := s.RotateRefresh(t.Context(), tenant, rotation)
	is(t, gatehouse.RotateRedelivered)(rotated.Outcome, err)
	row := s.row(g.ID)
	if !row.AccessUntil.Equal(rotation.AccessUntil) || !row.LastUsedAt.Equal(s.Now()) {
		t.Fatalf("the token that went with it is unknown: %+v", row)
	}
	// The grace is measured from the rotation, not from the last redelivery.
	s.clock.Move(20 * time.Second)
	is(t, gatehouse.RotateReplayed)(s.rotate(g, 1))
	s.clock.Move(59 * time.Minute)
	if !s.tokenEnded(g) {
		t.Fatal("the token of the redelivery outlives the grant")
	}
}

func redeliveryFlood(t *testing.T, open Open) {
	s := setUp(t, open)
	g := s.redeemed("openid", "offline_access")
	is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))
	for i := range 100 {
		rotation := s.rotation(g, 1, "")
		rotation.By.Address = fmt.Sprint("198.51.100.", i%50)
		rotated, err := s.RotateRefresh(t.Context(), tenant, rotation)
		is(t, gatehouse.RotateRedelivered)(rotated.Outcome, err)
	}
	events := s.events(gatehouse.EventRedelivered)
	total := 0
	for _, e := range events {
		total += e.Count
	}
	if len(events) != 9 || total != 100 || events[0].By.Address != "198.51.100.0" {
		t.Fatalf("100 redeliveries are %d events that count %d: %+v", len(events), total, events)
	}
	// The next generation is told anew.
	is(t, gatehouse.RotateAccepted)(s.rotate(g, 2))
	is(t, gatehouse.RotateRedelivered)(s.rotate(g, 2))
	s.told(g, gatehouse.EventRedelivered, 10)
}

func idleTime(t *testing.T, open Open) {
	s := setUp(t, open)
	g := s.redeemed("openid", "offline_access")
	for presented := uint64(1); presented <= 2; presented++ {
		s.clock.Move(idle - time.Second)
		is(t, gatehouse.RotateAccepted)(s.rotate(g, presented))
	}
	rotation := s.rotation(g, 3, "")
	rotation.Idle = 0 // no bound
	s.clock.Move(idle)
	rotated, err := s.RotateRefresh(t.Context(), tenant, rotation)
	is(t, gatehouse.RotateAccepted)(rotated.Outcome, err)
}

package storetest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
)

// followed is when a replica must know what another one changed, on a machine that is busy with other
// tests; package faults holds it to a second.
const followed = 20 * time.Second

// rounds is how often a race is run, tenfold by night.
func rounds(by int) int {
	if os.Getenv("GATEHOUSE_TEST_NIGHTLY") == "1" {
		return by * 10
	}
	return by
}

// replicated are a stage and another one on the same database.
func replicated(t *testing.T, open Open) [2]*stage {
	t.Helper()
	s := setUp(t, open)
	return [2]*stage{s, {TB: t, Store: open(t, s.clock), clock: s.clock}}
}

// soon fails the test unless the condition holds within a second.
func soon(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for begin := time.Now(); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > followed {
			t.Fatalf("%s: not after %v", what, followed)
		}
	}
}

func replicas(t *testing.T, open Open) {
	t.Run("one code", func(t *testing.T) {
		both := replicated(t, open)
		for range rounds(5) {
			g := both[0].issue("openid")
			outcomes := race(t, func(racer int) (gatehouse.Redeemed, error) {
				return both[racer%2].RedeemCode(t.Context(), tenant, both[0].redemption(g))
			})
			same(t, map[gatehouse.Redeemed]int{gatehouse.RedeemAccepted: 1, gatehouse.RedeemReplayed: racers - 1}, outcomes)
			is(t, true)(both[0].tokenEnded(g) || both[1].tokenEnded(g), nil) // where the replay was seen, at once
			soon(t, "the end of a replayed code's tokens", func() bool { return both[0].tokenEnded(g) && both[1].tokenEnded(g) })
			both[1].told(g, gatehouse.EventCodeReplayed, 1)
		}
	})
	t.Run("one refresh token without a grace", func(t *testing.T) {
		both := replicated(t, open)
		for range rounds(5) {
			g := both[0].redeemed("openid")
			outcomes := race(t, func(racer int) (gatehouse.RotateOutcome, error) {
				rotation := both[0].rotation(g, 1, "")
				rotation.Grace = 0
				rotated, err := both[racer%2].RotateRefresh(t.Context(), tenant, rotation)
				return rotated.Outcome, err
			})
			same(t, map[gatehouse.RotateOutcome]int{gatehouse.RotateAccepted: 1, gatehouse.RotateReplayed: 1, gatehouse.RotateEnded: racers - 2}, outcomes)
		}
	})
	t.Run("one refresh token", func(t *testing.T) {
		both := replicated(t, open)
		for range rounds(5) {
			g := both[0].redeemed("openid")
			outcomes := race(t, func(racer int) (gatehouse.RotateOutcome, error) { return both[racer%2].rotate(g, 1) })
			same(t, map[gatehouse.RotateOutcome]int{gatehouse.RotateAccepted: 1, gatehouse.RotateRedelivered: racers - 1}, outcomes)
		}
	})
	t.Run("who comes upon an end sees it", func(t *testing.T) {
		both := replicated(t, open)
		for name, comes := range map[string]func(g gatehouse.Grant) error{
			"a second revocation": func(g gatehouse.Grant) error {
				ended, err := both[1].EndGrant(t.Context(), tenant, g.ID, gatehouse.EndedByRevocation, gatehouse.Circumstance{})
				is(t, false)(ended, err)
				return err
			},
			"a refresh": func(g gatehouse.Grant) error {
				outcome, err := both[1].rotate(g, 1)
				is(t, gatehouse.RotateEnded)(outcome, err)
				return err
			},
			"a replayed code": func(g gatehouse.Grant) error {
				redeemed, err := both[1].RedeemCode(t.Context(), tenant, both[1].redemption(g))
				is(t, gatehouse.RedeemReplayed)(redeemed, err)
				return err
			},
		} {
			g := both[0].redeemed("openid")
			is(t, false)(both[1].tokenEnded(g), nil) // as of now: it does not look again by itself for a while
			is(t, true)(both[0].EndGrant(t.Context(), tenant, g.ID, gatehouse.EndedByRevocation, gatehouse.Circumstance{}))
			if err := comes(g); err == nil && !both[1].tokenEnded(g) {
				t.Errorf("%s: it was told of an end, and the token still lives", name)
			}
		}
	})
	t.Run("first keys", func(t *testing.T) {
		both := replicated(t, open)
		for round := range rounds(5) {
			fresh := gatehouse.TenantID(fmt.Sprint("fresh-", round))
			outcomes := race(t, func(racer int) (bool, error) {
				key := gatehouse.StoredKey{ID: fmt.Sprint("k", racer), Purpose: gatehouse.KeySign, CreatedAt: both[0].Now()}
				return both[racer%2].AddKeys(t.Context(), fresh, []gatehouse.StoredKey{key}, true)
			})
			same(t, map[bool]int{true: 1, false: racers - 1}, outcomes)
		}
	})
	t.Run("what one changes the other follows", func(t *testing.T) { followedChanges(t, open) })
	t.Run("what one ends the other refuses at once", func(t *testing.T) { refusedAtOnce(t, open) })
	t.Run("sessions", func(t *testing.T) {
		both := replicated(t, open)
		both[0].session(tenant, subject, "sid-new")
		is(t, true)(both[1].alive("sid-new", 0), nil)
		is(t, true)(both[1].EndSession(t.Context(), tenant, "sid-new", gatehouse.EndedByLogout, from))
		is(t, false)(both[0].alive("sid-new", 0), nil)
	})
	t.Run("counters", func(t *testing.T) {
		both := replicated(t, open)
		race(t, func(racer int) (struct{}, error) {
			_, err := both[racer%2].KV().Incr(t.Context(), "attempts", 1, time.Hour)
			return struct{}{}, err
		})
		sum, err := both[1].KV().Incr(t.Context(), "attempts", 0, time.Hour)
		is(t, int64(racers))(sum, err)
	})
	t.Run("events are followed without a gap", func(t *testing.T) { withoutGap(t, open) })
	t.Run("a user who is disabled while signing in", func(t *testing.T) { signingInRace(t, open) })
	t.Run("consent that is withdrawn while it is used", func(t *testing.T) { consentRace(t, open) })
}

func followedChanges(t *testing.T, open Open) {
	both := replicated(t, open)
	here, there := both[0], both[1]
	client := func() gatehouse.Client {
		client, _, err := there.Client(t.Context(), tenant, clientID)
		there.ok(err)
		return client
	}
	is(t, false)(client().Disabled(), nil)
	is(t, true)(here.DisableClient(t.Context(), tenant, clientID, true, byCLI))
	soon(t, "a disabled client", func() bool { return client().Disabled() })
	is(t, true)(here.DisableClient(t.Context(), tenant, clientID, false, byCLI))
	soon(t, "an enabled client", func() bool { return !client().Disabled() })
	is(t, true)(here.AddClientSecret(t.Context(), tenant, clientID, gatehouse.ClientSecret{ID: "s", Hash: []byte{1}}, here.Now(), byCLI))
	soon(t, "a new secret", func() bool { return len(client().Secrets) == 1 })
	here.ok(here.PutSettings(t.Context(), tenant, gatehouse.Settings{Name: "Renamed"}, byCLI))
	soon(t, "settings", func() bool {
		settings, _, err := there.Tenant(t.Context(), tenant)
		there.ok(err)
		return settings.Name == "Renamed"
	})
	is(t, true)(here.DeleteClient(t.Context(), tenant, clientID, byCLI))
	soon(t, "a deleted client", func() bool { return client().ID == "" })
}

// refusedAtOnce needs no snapshot: the statement looks.
func refusedAtOnce(t *testing.T, open Open) {
	both := replicated(t, open)
	here, there := both[0], both[1]
	g := here.redeemed("openid", "offline_access")
	is(t, true)(here.DisableClient(t.Context(), tenant, clientID, true, byCLI))
	is(t, gatehouse.CodeWithdrawn)(there.issued(tenant, there.newIssue("openid")))
	is(t, gatehouse.RotateEnded)(there.rotate(g, 1))
	is(t, true)(here.DisableClient(t.Context(), tenant, clientID, false, byCLI))
	is(t, gatehouse.RotateAccepted)(there.rotate(g, 1))
	is(t, true)(here.DisableUser(t.Context(), tenant, subject, true, byCLI))
	is(t, gatehouse.RotateEnded)(there.rotate(g, 2))
	is(t, true)(here.tokenEnded(g), nil)
	soon(t, "the end of a token", func() bool { return there.tokenEnded(g) }) // this one is in memory
	is(t, false)(there.alive(sessionID, 0), nil)
}

// withoutGap follows the events of two replicas by their numbers while they are told.
func withoutGap(t *testing.T, open Open) {
	both := replicated(t, open)
	const each = 20
	var telling atomic.Bool
	telling.Store(true)
	var seen []int64
	var follower sync.WaitGroup
	follower.Go(func() {
		for after, last := int64(0), false; ; {
			last = !telling.Load()
			events, err := both[1].Events(t.Context(), tenant, gatehouse.EventFilter{After: after, Kinds: []gatehouse.EventKind{"note"}})
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range events {
				seen, after = append(seen, e.Seq), e.Seq
			}
			if last && len(events) == 0 {
				return
			}
		}
	})
	race(t, func(racer int) (struct{}, error) {
		for range each {
			if err := both[racer%2].AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "note"}); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	telling.Store(false)
	follower.Wait()
	if len(seen) != racers*each {
		t.Fatalf("the follower saw %d events of %d", len(seen), racers*each)
	}
}

func signingInRace(t *testing.T, open Open) {
	for round := range rounds(3) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			both := replicated(t, open)
			race(t, func(racer int) (struct{}, error) {
				s := both[racer%2]
				if racer == 0 {
					_, err := s.DisableUser(t.Context(), tenant, subject, true, byCLI)
					return struct{}{}, err
				}
				for i := range 3 {
					id := fmt.Sprint("sid-", racer, "-", i)
					if _, err := s.CreateSession(t.Context(), tenant, cookie(id), gatehouse.Session{
						ID: id, Subject: subject, AuthTime: s.Now(), ExpiresAt: s.Now().Add(absolute),
					}, nil, from); err != nil {
						return struct{}{}, err
					}
				}
				return struct{}{}, nil
			})
			is(t, true)(both[1].DisableUser(t.Context(), tenant, subject, false, byCLI)) // which brings nothing back
			live, err := both[0].UserSessions(t.Context(), tenant, subject, 0)
			is(t, 0)(len(live), err)
		})
	}
}

func consentRace(t *testing.T, open Open) {
	for round := range rounds(3) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			both := replicated(t, open)
			grants := make([]gatehouse.Grant, racers)
			for i := range grants {
				grants[i] = both[0].redeemed("openid", "offline_access")
			}
			race(t, func(racer int) (struct{}, error) {
				s := both[racer%2]
				if racer == 0 {
					_, err := s.WithdrawConsent(t.Context(), tenant, subject, clientID, from)
					return struct{}{}, err
				}
				for generation := uint64(1); generation < 10; generation++ {
					if outcome, err := s.rotate(grants[racer], generation); err != nil || outcome != gatehouse.RotateAccepted {
						return struct{}{}, err
					}
				}
				return struct{}{}, nil
			})
			for _, g := range grants {
				if row := both[1].row(g.ID); !row.Ended() || !both[0].tokenEnded(g) {
					t.Fatalf("a grant was left behind: %+v", row)
				}
				soon(t, "the end of a token", func() bool { return both[1].tokenEnded(g) })
			}
		})
	}
}

// texts are what strangers may send and PostgreSQL does not store.
func texts(t *testing.T, open Open) {
	s := setUp(t, open)
	for _, text := range []string{"\x00", "a\x00b", "\xff", strings.Repeat("\xc3", 3)} {
		_, found, err := s.Client(t.Context(), tenant, text)
		is(t, false)(found, err)
		_, found, err = s.User(t.Context(), tenant, text)
		is(t, false)(found, err)
		_, found, err = s.UserByLogin(t.Context(), tenant, text)
		is(t, false)(found, err)
		s.ok(s.AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "note", ClientID: text, Detail: map[string]string{"said": text}}))
		is(t, true)(s.KV().Add(t.Context(), "key "+text, []byte(text), time.Hour))
	}
	_, found, err := s.Client(t.Context(), tenant, clientID)
	is(t, true)(found, err)
}

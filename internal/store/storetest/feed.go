package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/store"
	"gatehouse/revocation"
)

func feed(t *testing.T, open Open) {
	t.Run("what each act ends", func(t *testing.T) { endsOfActs(t, open) })
	t.Run("from a place on", func(t *testing.T) { resumed(t, open) })
	t.Run("expired ones are left out", func(t *testing.T) { expiredLeft(t, open) })
	t.Run("more than are remembered", func(t *testing.T) { manyEndings(t, open) })
	t.Run("the other replica", func(t *testing.T) { followedElsewhere(t, open) })
	t.Run("a pulse", func(t *testing.T) { pulse(t, open) })
	t.Run("none is missed", func(t *testing.T) { noneMissed(t, open) })
}

// errEnough ends a following.
var errEnough = errors.New("enough")

// followed is what a follower is told that has nothing more to wait for.
func (s *stage) followed(tenant gatehouse.TenantID, place int64) revocation.News {
	s.Helper()
	var all revocation.News
	err := s.FollowEndings(s.Context(), tenant, place, func(news revocation.News) error {
		all.Entries = append(all.Entries, news.Entries...)
		all.Place, all.AsOf = news.Place, news.AsOf
		if news.AsOf.IsZero() {
			return nil
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		s.Fatal(err)
	}
	return all
}

func endsOfActs(t *testing.T, open Open) {
	const longest, skew = 7 * 24 * time.Hour, 5 * time.Minute
	mark := func(claim revocation.Claim, value string) revocation.Entry {
		return revocation.Entry{Claim: claim, Value: value, Expiry: time.Time{}.Add(longest)}
	}
	for name, row := range map[string]struct {
		act  func(*stage, gatehouse.Grant) error
		want []revocation.Entry // expiry as a distance from now, watermarks without their time
	}{
		"one token": {
			func(s *stage, _ gatehouse.Grant) error {
				return s.RevokeToken(s.Context(), tenant, "jti", s.Now().Add(access), clientID, from)
			},
			[]revocation.Entry{{Claim: revocation.TokenID, Value: "jti", Expiry: time.Time{}.Add(access)}},
		},
		"a grant": {
			func(s *stage, g gatehouse.Grant) error {
				return did(s.EndGrant(s.Context(), tenant, g.ID, gatehouse.EndedByRevocation, from))
			},
			[]revocation.Entry{{Claim: revocation.GrantHandle, Expiry: time.Time{}.Add(access)}},
		},
		"a session": {
			func(s *stage, _ gatehouse.Grant) error {
				return did(s.EndSession(s.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
			},
			[]revocation.Entry{{Claim: revocation.GrantHandle, Expiry: time.Time{}.Add(access)}},
		},
		"a client": {
			func(s *stage, _ gatehouse.Grant) error {
				return did(s.DisableClient(s.Context(), tenant, clientID, true, byCLI))
			},
			[]revocation.Entry{mark(revocation.ClientID, clientID)},
		},
		"a user": {
			func(s *stage, _ gatehouse.Grant) error {
				return did(s.DisableUser(s.Context(), tenant, subject, true, byCLI))
			},
			[]revocation.Entry{mark(revocation.Subject, subject), {Claim: revocation.GrantHandle, Expiry: time.Time{}.Add(access)}},
		},
		"a password": {
			func(s *stage, _ gatehouse.Grant) error {
				return did(s.SetPassword(s.Context(), tenant, subject, "$argon2id$new", byCLI))
			},
			[]revocation.Entry{{Claim: revocation.GrantHandle, Expiry: time.Time{}.Add(access)}},
		},
		"a tenant": {
			func(s *stage, _ gatehouse.Grant) error {
				s.ok(s.PutSettings(s.Context(), tenant, gatehouse.Settings{AccessTokenLifetime: config.Duration(2 * longest)}, byCLI))
				return did(s.DisableTenant(s.Context(), tenant, true, byCLI))
			},
			[]revocation.Entry{{Claim: revocation.Issuer, Value: string(tenant), Expiry: time.Time{}.Add(2 * longest)}},
		},
		"a restore": {
			func(s *stage, _ gatehouse.Grant) error {
				_, err := s.EndEverything(s.Context(), tenant, byCLI)
				return err
			},
			[]revocation.Entry{mark(revocation.Issuer, string(tenant))},
		},
		"a key": {
			func(s *stage, _ gatehouse.Grant) error {
				key := gatehouse.StoredKey{ID: "k1", Purpose: gatehouse.KeySign, Algorithm: "ES256"}
				next := gatehouse.StoredKey{ID: "k2", Purpose: gatehouse.KeySign, Algorithm: "ES256", Generation: 1}
				is(s.TB, true)(s.AddKeys(s.Context(), tenant, []gatehouse.StoredKey{key}, true))
				return did(s.RevokeKey(s.Context(), tenant, gatehouse.KeyRevocation{Key: key, Until: s.Now().Add(access), Replacement: &next}, byCLI))
			},
			[]revocation.Entry{mark(revocation.KeyID, "k1")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := setUp(t, open, tenant, stranger)
			g := s.redeemed("openid")
			place := s.followed(tenant, 0).Place
			now := s.Now()
			s.ok(row.act(s, g))
			told := s.followed(tenant, place)
			if len(told.Entries) != len(row.want) {
				t.Fatalf("told %+v, want %+v", told.Entries, row.want)
			}
			for i, want := range row.want {
				got := told.Entries[i]
				watermark := want.Claim != revocation.GrantHandle && want.Claim != revocation.TokenID && want.Claim != revocation.KeyID
				if want.Value == "" {
					want.Value = g.Handle
				}
				if watermark != (got.IssuedUntil.Sub(now) == time.Second) || !watermark && !got.IssuedUntil.IsZero() {
					t.Errorf("%s: tokens that were issued until %v, now is %v", got.Claim, got.IssuedUntil, now)
				}
				if distance := got.Expiry.Sub(now); distance != want.Expiry.Sub(time.Time{})+skew {
					t.Errorf("%s: it goes after %v", got.Claim, distance)
				}
				if got.Claim != want.Claim || got.Value != want.Value {
					t.Errorf("told %s %q, want %s %q", got.Claim, got.Value, want.Claim, want.Value)
				}
			}
			if !told.AsOf.Equal(s.Now()) || told.Place <= place {
				t.Errorf("as of %v, now is %v", told.AsOf, s.Now())
			}
			if theirs := s.followed(stranger, 0); len(theirs.Entries) != 0 {
				t.Errorf("the tenant next door is told %+v", theirs.Entries)
			}
		})
	}
}

func (s *stage) revoke(jti string) {
	s.Helper()
	s.ok(s.RevokeToken(s.Context(), tenant, jti, s.Now().Add(access), clientID, from))
}

func values(entries []revocation.Entry) string {
	text := ""
	for _, e := range entries {
		text += e.Value + " "
	}
	return text
}

func resumed(t *testing.T, open Open) {
	s := setUp(t, open)
	s.revoke("a")
	first := s.followed(tenant, 0)
	is(t, "a ")(values(first.Entries), nil)
	is(t, "")(values(s.followed(tenant, first.Place).Entries), nil)
	s.revoke("b")
	s.revoke("c")
	second := s.followed(tenant, first.Place)
	is(t, "b c ")(values(second.Entries), nil)
	is(t, "a b c ")(values(s.followed(tenant, 0).Entries), nil)

	// What is ended again is told again, once, to everybody.
	for _, disabled := range []bool{true, false, true} {
		s.clock.Move(time.Minute)
		is(t, true)(s.DisableClient(t.Context(), tenant, clientID, disabled, byCLI))
	}
	again := s.followed(tenant, second.Place)
	if last := again.Entries[len(again.Entries)-1]; last.Value != clientID || !last.IssuedUntil.Equal(s.Now().Add(time.Second)) {
		t.Errorf("told %+v, now is %v", again.Entries, s.Now())
	}
	// Somebody who comes from another process of the same database.
	other := &stage{TB: t, Store: open(t, s.clock), clock: s.clock}
	is(t, "b c photos-web ")(values(other.followed(tenant, first.Place).Entries), nil)

	// A place that the database can not have given: it is older than the one that did.
	ahead := other.followed(tenant, again.Place+1000)
	is(t, "a b c photos-web ")(values(ahead.Entries), nil)
	if ahead.Place <= again.Place+1000 {
		t.Errorf("the next numbers are before the place that is known: %d", ahead.Place)
	}
	s.revoke("d")
	is(t, "d ")(values(other.followed(tenant, ahead.Place).Entries), nil)
	is(t, "d ")(values(s.followed(tenant, ahead.Place).Entries), nil)
}

func expiredLeft(t *testing.T, open Open) {
	s := setUp(t, open)
	s.revoke("a")
	s.clock.Move(access + 4*time.Minute)
	s.revoke("b")
	is(t, "a b ")(values(s.followed(tenant, 0).Entries), nil)
	s.clock.Move(2 * time.Minute)
	other := &stage{TB: t, Store: open(t, s.clock), clock: s.clock}
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	is(t, "b ")(values(other.followed(tenant, 0).Entries), nil)
}

// manyEndings has more endings than the latest that are kept for followers, and than one query reads.
func manyEndings(t *testing.T, open Open) {
	s := setUp(t, open)
	place := s.followed(tenant, 0).Place
	const each = 160 // times racers: 5120
	race(t, func(racer int) (struct{}, error) {
		for i := range each {
			if err := s.RevokeToken(t.Context(), tenant, fmt.Sprint(racer, "-", i), s.Now().Add(access), clientID, from); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	other := &stage{TB: t, Store: open(t, s.clock), clock: s.clock}
	for _, follower := range []*stage{s, other} {
		for _, from := range []int64{0, place} {
			told := map[string]bool{}
			for _, e := range follower.followed(tenant, from).Entries {
				told[e.Value] = true
			}
			if len(told) != racers*each {
				t.Errorf("told of %d tokens, want %d", len(told), racers*each)
			}
		}
	}
}

func followedElsewhere(t *testing.T, open Open) {
	both := replicated(t, open)
	told := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- both[1].FollowEndings(ctx, tenant, 0, func(news revocation.News) error {
			for _, e := range news.Entries {
				told <- e.Value
			}
			return nil
		})
	}()
	for i := range 5 {
		want := fmt.Sprint("jti-", i)
		both[i%2].revoke(want)
		select {
		case got := <-told:
			is(t, want)(got, nil)
		case <-time.After(followed):
			t.Fatalf("%s: not after %v", want, followed)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the end: %v", err)
	}
}

// pulse tells each second that nothing has ended, with the time.
func pulse(t *testing.T, open Open) {
	s := setUp(t, open)
	var told []time.Time
	err := s.FollowEndings(t.Context(), tenant, 0, func(news revocation.News) error {
		if len(news.Entries) > 0 {
			t.Errorf("told %+v", news.Entries)
		}
		told = append(told, news.AsOf)
		s.clock.Move(time.Minute)
		if len(told) == 3 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || told[1].Sub(told[0]) != time.Minute || told[2].Sub(told[1]) != time.Minute {
		t.Errorf("told %v, %v", told, err)
	}
}

// noneMissed revokes at two replicas at once while followers of both, one of which comes and goes all
// the time, hear of it: all of them, and each before they hear that nothing is missing.
func noneMissed(t *testing.T, open Open) {
	const each = 50 // times racers: 1600
	both := [2]*stage{{TB: t, Store: open(t, nil)}, {TB: t, Store: open(t, nil)}}
	both[0].furnish(tenant)
	var lock sync.Mutex
	acknowledged := map[string]time.Time{}
	missing := func(known map[string]bool, asOf time.Time) (missing int) {
		lock.Lock()
		defer lock.Unlock()
		for jti, at := range acknowledged {
			// The replicas read the database's clock, each with an error of its own.
			if !known[jti] && at.Add(20*time.Millisecond).Before(asOf) {
				missing++
			}
		}
		return missing
	}
	all := racers * rounds(each)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var followers sync.WaitGroup
	for i := range 4 {
		s, steady := both[i%2], i < 2
		followers.Go(func() {
			known := map[string]bool{}
			for place := int64(0); len(known) < all; {
				err := s.FollowEndings(ctx, tenant, place, func(news revocation.News) error {
					for _, e := range news.Entries {
						known[e.Value] = true
					}
					place = news.Place
					if count := missing(known, news.AsOf); count > 0 {
						t.Errorf("as of %v nothing is missing, they say, but %d are", news.AsOf, count)
						return errEnough
					}
					if len(known) >= all || !steady && len(news.Entries) > 0 {
						return errEnough
					}
					return nil
				})
				switch {
				case errors.Is(err, store.ErrUnavailable): // two processes on one file wait for each other
				case !errors.Is(err, errEnough) || t.Failed():
					t.Error(err)
					return
				}
			}
		})
	}
	race(t, func(racer int) (struct{}, error) {
		for i := range rounds(each) {
			jti := fmt.Sprint(racer, "-", i)
			s := both[racer%2]
			err := store.ErrUnavailable
			for errors.Is(err, store.ErrUnavailable) {
				err = s.RevokeToken(t.Context(), tenant, jti, s.Now().Add(access), clientID, from)
			}
			if err != nil {
				return struct{}{}, err
			}
			lock.Lock()
			acknowledged[jti] = s.Now()
			lock.Unlock()
			if ended, err := s.TokenEnded(t.Context(), tenant, gatehouse.TokenFacts{ID: jti, IssuedAt: s.Now()}); err != nil || !ended {
				return struct{}{}, fmt.Errorf("%s was revoked here and is not known to be: %w", jti, err)
			}
		}
		return struct{}{}, nil
	})
	if t.Failed() {
		cancel()
	}
	followers.Wait()
}

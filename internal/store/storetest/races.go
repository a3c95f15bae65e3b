package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse"
)

const racers = 32

// race lets all racers go at once and counts their outcomes.
func race[T comparable](t *testing.T, run func(racer int) (T, error)) map[T]int {
	t.Helper()
	var lock sync.Mutex
	outcomes := make(map[T]int)
	barrier := make(chan struct{})
	var done sync.WaitGroup
	for racer := range racers {
		done.Go(func() {
			<-barrier
			outcome, err := run(racer)
			if err != nil {
				t.Errorf("racer %d: %v", racer, err)
			}
			lock.Lock()
			defer lock.Unlock()
			outcomes[outcome]++
		})
	}
	close(barrier)
	done.Wait()
	return outcomes
}

func races(t *testing.T, open Open) {
	rounds := rounds(10)
	t.Run("one code", func(t *testing.T) {
		s := setUp(t, open)
		for range rounds {
			g := s.issue("openid")
			outcomes := race(t, func(int) (gatehouse.Redeemed, error) { return s.RedeemCode(t.Context(), tenant, s.redemption(g)) })
			same(t, map[gatehouse.Redeemed]int{gatehouse.RedeemAccepted: 1, gatehouse.RedeemReplayed: racers - 1}, outcomes)
			is(t, gatehouse.EndedByCodeReplay)(s.row(g.ID).EndReason, nil)
			s.told(g, gatehouse.EventCodeRedeemed, 1)
			s.told(g, gatehouse.EventCodeReplayed, 1)
			s.told(g, gatehouse.EventGrantEnded, 1)
		}
	})
	t.Run("one refresh token, within the grace", func(t *testing.T) {
		s := setUp(t, open)
		g := s.redeemed("openid")
		for presented := range uint64(rounds) {
			var chains sync.Map
			outcomes := race(t, func(int) (gatehouse.RotateOutcome, error) {
				rotated, err := s.RotateRefresh(t.Context(), tenant, s.rotation(g, presented+1, ""))
				chains.Store(string(rotated.Current.Hash), true)
				return rotated.Outcome, err
			})
			same(t, map[gatehouse.RotateOutcome]int{gatehouse.RotateAccepted: 1, gatehouse.RotateRedelivered: racers - 1}, outcomes)
			forks := 0
			chains.Range(func(any, any) bool { forks++; return true })
			is(t, 1)(forks, nil)
		}
	})
	t.Run("one refresh token, without a grace", func(t *testing.T) {
		s := setUp(t, open)
		for range rounds {
			g := s.redeemed("openid")
			outcomes := race(t, func(int) (gatehouse.RotateOutcome, error) {
				rotation := s.rotation(g, 1, "")
				rotation.Grace = 0
				rotated, err := s.RotateRefresh(t.Context(), tenant, rotation)
				return rotated.Outcome, err
			})
			same(t, map[gatehouse.RotateOutcome]int{gatehouse.RotateAccepted: 1, gatehouse.RotateReplayed: 1, gatehouse.RotateEnded: racers - 2}, outcomes)
			s.told(g, gatehouse.EventGrantEnded, 1)
		}
	})
	t.Run("one interaction", func(t *testing.T) {
		s := setUp(t, open)
		for range rounds {
			id := s.newIssue().Grant.ID
			var born sync.Map
			outcomes := race(t, func(int) (gatehouse.CodeOutcome, error) {
				issue := s.newIssue("openid")
				issue.Grant.ID = id
				issued, err := s.IssueCode(t.Context(), tenant, issue)
				switch issued.Outcome {
				case gatehouse.CodeAccepted:
					born.Store(issue.Grant.Handle, true)
				case gatehouse.CodeExists:
					born.Store(issued.Existing.Handle, true)
				}
				return issued.Outcome, err
			})
			same(t, map[gatehouse.CodeOutcome]int{gatehouse.CodeAccepted: 1, gatehouse.CodeExists: racers - 1}, outcomes)
			grants := 0
			born.Range(func(any, any) bool { grants++; return true })
			is(t, 1)(grants, nil)
		}
	})
	t.Run("first keys", func(t *testing.T) {
		s := setUp(t, open)
		for round := range rounds {
			tenant := gatehouse.TenantID(fmt.Sprint("fresh-", round))
			outcomes := race(t, func(racer int) (bool, error) {
				return s.AddKeys(t.Context(), tenant, []gatehouse.StoredKey{
					{ID: fmt.Sprint("rs-", racer), Purpose: gatehouse.KeySign, Algorithm: "RS256", CreatedAt: s.Now()},
					{NumericID: uint32(racer + 1), Purpose: gatehouse.KeyMAC, CreatedAt: s.Now()},
				}, true)
			})
			same(t, map[bool]int{true: 1, false: racers - 1}, outcomes)
			keys, err := s.Keys(t.Context(), tenant)
			is(t, 2)(len(keys), err)
		}
	})
	t.Run("key-encryption key", func(t *testing.T) {
		s := setUp(t, open)
		outcomes := race(t, func(racer int) (bool, error) {
			return s.SetKeyEncryptionKey(t.Context(), gatehouse.KeyEncryptionKey{ID: uint32(racer + 1), Canary: []byte("canary")})
		})
		same(t, map[bool]int{true: 1, false: racers - 1}, outcomes)
	})
	t.Run("one cookie replaced twice", func(t *testing.T) {
		s := setUp(t, open)
		old := cookie(sessionID)
		outcomes := race(t, func(racer int) (bool, error) {
			id := fmt.Sprint("sid-", racer)
			return s.CreateSession(t.Context(), tenant, cookie(id), gatehouse.Session{
				ID: id, Subject: subject, AuthTime: s.Now(), ExpiresAt: s.Now().Add(absolute),
			}, &old, from)
		})
		same(t, map[bool]int{true: racers}, outcomes)
		is(t, 1)(len(s.events(gatehouse.EventSessionEnded)), nil)
	})
	t.Run("two processes", func(t *testing.T) {
		s := setUp(t, open)
		other := open(t, s.clock)
		grants := make([]gatehouse.Grant, rounds)
		for i := range grants {
			grants[i] = s.redeemed("openid")
		}
		outcomes := race(t, func(racer int) (string, error) {
			from := s.Store
			if racer%2 == 1 {
				from = other
			}
			accepted := 0
			for _, g := range grants {
				rotated, err := from.RotateRefresh(t.Context(), tenant, s.rotation(g, 1, ""))
				if err != nil {
					return "", err
				}
				if rotated.Outcome == gatehouse.RotateAccepted {
					accepted++
				}
				if err := from.AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "note"}); err != nil {
					return "", err
				}
			}
			return fmt.Sprint(accepted), nil
		})
		total := 0
		for accepted, times := range outcomes {
			var n int
			_, _ = fmt.Sscan(accepted, &n)
			total += n * times
		}
		is(t, rounds)(total, nil)
		is(t, racers*rounds)(len(s.events("note")), nil)
	})
	for name, end := range map[string]ending{
		"disabling a user": {act: func(s *stage) (bool, error) { return s.DisableUser(t.Context(), tenant, subject, true, byCLI) }, ends: true},
		"disabling a client": {act: func(s *stage) (bool, error) {
			return s.DisableClient(t.Context(), tenant, clientID, true, byCLI)
		}},
		"deleting a client": {act: func(s *stage) (bool, error) { return s.DeleteClient(t.Context(), tenant, clientID, byCLI) }, ends: true},
		"ending a session": {act: func(s *stage) (bool, error) {
			return s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from)
		}, ends: true},
		"withdrawing consent": {act: func(s *stage) (bool, error) {
			return s.WithdrawConsent(t.Context(), tenant, subject, clientID, from)
		}, ends: true, consented: true},
	} {
		t.Run(name+" against everything", func(t *testing.T) { endingRace(t, open, end) })
	}
}

// ending is an act after which nothing may live that was born before it.
type ending struct {
	act func(*stage) (bool, error)
	// ends says that grants end; else they rest.
	ends bool
	// consented says that what is issued relies on a consent, which the act takes away.
	consented bool
}

func (e ending) issue(s *stage) gatehouse.CodeIssue {
	issue := s.newIssue("openid")
	if e.consented {
		issue.ReliesOn = []gatehouse.Consent{{Scope: []string{"openid"}}}
	}
	return issue
}

// endingRace issues, redeems and rotates while the ending happens. Nothing may live after it: what
// was accepted before it has ended, or at least is refused.
func endingRace(t *testing.T, open Open, end ending) {
	for round := range rounds(5) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			both := replicated(t, open)
			s := both[0]
			after := gatehouse.CodeWithdrawn
			if end.consented {
				after = gatehouse.CodeUnconsented
				first := s.newIssue("openid")
				first.Consents = []gatehouse.Consent{{Scope: []string{"openid"}}}
				is(t, gatehouse.CodeAccepted)(s.issued(tenant, first))
			}
			var lock sync.Mutex
			var grants []gatehouse.Grant
			var accepted atomic.Int64
			some := make(chan struct{})
			race(t, func(racer int) (struct{}, error) {
				if racer == 0 {
					<-some // let some go before
					_, err := end.act(s)
					return struct{}{}, err
				}
				s := both[racer%2]
				for range 10 {
					issue := end.issue(s)
					outcome, err := s.issued(tenant, issue)
					if err != nil || outcome != gatehouse.CodeAccepted {
						return struct{}{}, err
					}
					if accepted.Add(1) == 20 {
						close(some)
					}
					lock.Lock()
					grants = append(grants, issue.Grant)
					lock.Unlock()
					if redeemed, err := s.RedeemCode(t.Context(), tenant, s.redemption(issue.Grant)); err != nil || redeemed != gatehouse.RedeemAccepted {
						return struct{}{}, err
					}
					if rotated, err := s.rotate(issue.Grant, 1); err != nil || rotated != gatehouse.RotateAccepted {
						return struct{}{}, err
					}
				}
				return struct{}{}, nil
			})
			is(t, after)(s.issued(tenant, end.issue(s)))
			for _, g := range grants {
				row := s.row(g.ID)
				if end.ends && !row.Ended() {
					t.Fatalf("a grant was left behind: %+v", row)
				}
				if row.Code.RedeemedAt.IsZero() {
					is(t, gatehouse.RedeemUnknown)(s.RedeemCode(t.Context(), tenant, s.redemption(g)))
					continue
				}
				is(t, gatehouse.RotateEnded)(s.rotate(g, row.Refresh.Generation))
				if !s.tokenEnded(g) {
					t.Fatalf("a token was left behind: %+v", row)
				}
			}
		})
	}
}

package gatehousetest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
	"gatehouse/internal/store/storetest"
)

// timed is a server whose clock a test sets.
type timed struct {
	*testing.T
	*gatehousetest.Issuer
	clock *storetest.Clock
	stop  func()
}

func startTimed(t *testing.T) *timed {
	t.Helper()
	s := &timed{T: t, clock: storetest.NewClock()}
	s.run(gatehousetest.Options{Tenant: tenant})
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *timed) run(options gatehousetest.Options) {
	s.Helper()
	options.Clock = s.clock.Now
	s.Issuer, s.stop = gatehousetest.Run(s.T, options)
}

// again stops the server and starts it on its data.
func (s *timed) again() {
	s.Helper()
	s.stop()
	s.run(gatehousetest.Options{Data: s.Data})
}

// tokens are those of a new grant.
func (s *timed) tokens() gatehousetest.Answer {
	s.Helper()
	return s.wants(http.StatusOK, "", redeem(s.T, s.Issuer, code(s.T, s.Issuer)))
}

func (s *timed) wants(status int, rule string, answer gatehousetest.Answer) gatehousetest.Answer {
	s.Helper()
	if answer.StatusCode != status || !strings.Contains(answer.Text, rule) {
		s.Errorf("%d %s, want %d by %q", answer.StatusCode, answer.Text, status, rule)
	}
	return answer
}

func (s *timed) wantsActive(active string, tokens ...string) {
	s.Helper()
	for _, token := range tokens {
		if got := s.Post(s.T, "/introspect", "web", webSecret, url.Values{"token": {token}}).Member("active"); got != active {
			s.Errorf("a token is active: %s, want %s", got, active)
		}
	}
}

// before is what there is when the clock is set.
type before struct {
	expired, fresh string // codes
	// used was replaced longer ago than the grace, replaced just now by successor.
	used, replaced, successor string
	access, outlived          string
}

func (s *timed) before() before {
	s.Helper()
	b := before{expired: code(s.T, s.Issuer)}
	old := s.tokens()
	b.used, b.outlived = old.Member("refresh_token"), old.Member("access_token")
	s.wants(http.StatusOK, "", refresh(s.T, s.Issuer, b.used))
	s.clock.Move(11 * time.Minute) // longer than codes, graces and access tokens live
	b.fresh = code(s.T, s.Issuer)
	tokens := s.tokens()
	b.replaced, b.access = tokens.Member("refresh_token"), tokens.Member("access_token")
	b.successor = s.wants(http.StatusOK, "", refresh(s.T, s.Issuer, b.replaced)).Member("refresh_token")
	return b
}

// over fails if anything of what had ended before is good again.
func (s *timed) over(b before) {
	s.Helper()
	s.wants(http.StatusBadRequest, "code-expired.", redeem(s.T, s.Issuer, b.expired))
	s.wantsActive("false", b.outlived)
}

// serves fails unless somebody who comes now is served.
func (s *timed) serves() {
	s.Helper()
	tokens := s.tokens()
	s.wantsActive("true", tokens.Member("access_token"), tokens.Member("refresh_token"))
	s.wants(http.StatusOK, "", refresh(s.T, s.Issuer, tokens.Member("refresh_token")))
}

// TestTheClockIsSetBack: what had expired stays so, what was good is good for as
// long as it was meant to be, and about a tenth longer, over a restart, too.
func TestTheClockIsSetBack(t *testing.T) {
	spec.Covers(t, "FT-21")
	for _, by := range []time.Duration{90 * time.Second, time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			s := startTimed(t)
			b := s.before()
			s.clock.Move(-by)
			s.over(b)
			if again := s.wants(http.StatusOK, "", refresh(t, s.Issuer, b.replaced)); again.Member("refresh_token") != b.successor {
				t.Error("a refresh token has two successors")
			}
			s.wantsActive("true", b.access, b.successor)
			s.serves()

			s.again()
			s.over(b)
			s.wantsActive("true", b.access, b.successor)
			s.wants(http.StatusOK, "", redeem(t, s.Issuer, b.fresh))
			s.wants(http.StatusBadRequest, "refresh-replayed.", refresh(t, s.Issuer, b.used))
			s.serves()

			// The grace and the code's minute pass.
			later := code(t, s.Issuer)
			s.clock.Move(70 * time.Second)
			s.wants(http.StatusBadRequest, "code-expired.", redeem(t, s.Issuer, later))
			s.wants(http.StatusBadRequest, "refresh-replayed.", refresh(t, s.Issuer, b.replaced))
			s.wantsActive("false", b.access, b.successor)

			s.clock.Move(by) // it is right again
			s.over(b)
			s.serves()
		})
	}
}

// TestTheClockIsSetAhead: what was good until a time is not after it, and is not
// good again when the clock has been put right.
func TestTheClockIsSetAhead(t *testing.T) {
	spec.Covers(t, "FT-21")
	for _, by := range []time.Duration{90 * time.Second, time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			s := startTimed(t)
			b := s.before()
			other := s.tokens()
			s.clock.Move(by)
			gone := func() {
				s.over(b)
				s.wants(http.StatusBadRequest, "code-expired.", redeem(t, s.Issuer, b.fresh))
				if by == time.Hour {
					s.wantsActive("false", other.Member("access_token"))
				}
			}
			gone()
			s.wants(http.StatusBadRequest, "refresh-replayed.", refresh(t, s.Issuer, b.replaced)) // after its grace
			s.wantsActive("false", b.access, b.successor)
			s.wantsActive("true", other.Member("refresh_token"))
			s.serves()

			s.clock.Move(-by)
			gone()
			s.wantsActive("false", b.access, b.successor)
			next := s.wants(http.StatusOK, "", refresh(t, s.Issuer, other.Member("refresh_token")))
			s.again()
			gone()
			s.wants(http.StatusOK, "", refresh(t, s.Issuer, next.Member("refresh_token")))
			s.serves()
		})
	}
}

// TestTheNextCentury begins after what 32 bits count in seconds.
func TestTheNextCentury(t *testing.T) {
	spec.Covers(t, "FT-21")
	s := &timed{T: t, clock: storetest.NewClock()}
	s.clock.Move(time.Date(2107, 1, 1, 0, 0, 0, 0, time.UTC).Sub(s.clock.Now()))
	s.run(gatehousetest.Options{Tenant: tenant})
	t.Cleanup(func() { s.stop() })
	s.over(s.before())
	s.serves()
	s.again()
	s.serves()
}

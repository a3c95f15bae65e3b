package client

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// The breaker spares a token endpoint that does not answer.
const (
	breakerFailures = 5                // in a row open it
	breakerOpen     = 10 * time.Second // then one request tries whether it answers again
)

// newBreaker opens when the token endpoint is away. Refusals are answers.
func newBreaker() *gobreaker.CircuitBreaker[answer] {
	return gobreaker.NewCircuitBreaker[answer](gobreaker.Settings{
		Name:         "token endpoint",
		Timeout:      breakerOpen,
		ReadyToTrip:  func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= breakerFailures },
		IsSuccessful: func(err error) bool { return err == nil || !mayPass(err) },
	})
}

// guarded asks the token endpoint unless the breaker is open.
func (c *Client) guarded(op string, ask func() (answer, error)) (answer, error) {
	got, err := c.breaker.Execute(ask)
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return answer{}, &UnavailableError{Op: op, RetryAfter: breakerOpen, Cause: errors.New("the token endpoint did not answer several times; it is asked again in a little while")}
	}
	return got, err
}

// Stats are counts since the client was made, for whatever measures the program.
type Stats struct {
	// Hits are tokens of client credentials that were at hand, here or in the shared
	// store (SharedHits); Misses those that had to be asked for.
	Hits       uint64
	SharedHits uint64
	Misses     uint64
	// Renewals are tokens that the issuer gave, for client credentials and refresh
	// tokens; Failures are requests for one that gave none.
	Renewals uint64
	Failures uint64
	// Awaited are tokens that another process renewed while this one waited.
	Awaited uint64
	// SessionsEnded are sessions whose refresh token was refused.
	SessionsEnded uint64
	// Breaker is closed while the token endpoint answers, open while it is spared,
	// half-open while one request tries it.
	Breaker string
}

type counters struct {
	hits, sharedHits, misses, renewals, failures, awaited, sessionsEnded atomic.Uint64
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	return Stats{
		Hits: c.counters.hits.Load(), SharedHits: c.counters.sharedHits.Load(), Misses: c.counters.misses.Load(),
		Renewals: c.counters.renewals.Load(), Failures: c.counters.failures.Load(), Awaited: c.counters.awaited.Load(),
		SessionsEnded: c.counters.sessionsEnded.Load(), Breaker: c.breaker.State().String(),
	}
}

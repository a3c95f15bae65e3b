package authserver

import (
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
)

// limits are the rate limits of the protocol's endpoints. Clients are
// limited by their id, failures by the network they come from.
type limits struct {
	token         *limiter
	introspection *limiter
	feed          *limiter
	// logins are clients that failed to authenticate, guesses codes and
	// tokens that nobody issued. They are counted apart, so that neither uses
	// up the other.
	logins  *limiter
	guesses *limiter
}

func newLimits(now func() time.Time) limits {
	return limits{newLimiter(now), newLimiter(now), newLimiter(now), newLimiter(now), newLimiter(now)}
}

func clientKey(c *call) string { return string(c.tenant()) + " " + c.Client.ID }

func networkKey(r *endpoint.Request) string {
	return string(r.Tenant.ID) + " " + endpoint.Network(r.Request)
}

// loginFailed counts a client that failed to authenticate, and returns the
// refusal if there were too many. Right credentials pass in any case: a random
// secret is not found by trying, and whoever shares a stranger's network, or
// the proxy before us, is not locked out along with them.
func (s *Server) loginFailed(r *endpoint.Request) error {
	return addressLimited(s.limits.logins.take(networkKey(r), r.Tenant.Settings.RateLimits.FailuresPerAddress))
}

// mayTryShortSecret returns the refusal if a network failed at a client's
// short secret too often: that one can be found by trying, so it is not even
// looked at then.
func (s *Server) mayTryShortSecret(r *endpoint.Request, client string) error {
	return addressLimited(s.limits.logins.wait(networkKey(r)+" "+client, r.Tenant.Settings.RateLimits.FailuresPerAddress))
}

// shortSecretFailed counts a wrong guess at a client's short secret.
func (s *Server) shortSecretFailed(r *endpoint.Request, client string) {
	s.limits.logins.take(networkKey(r)+" "+client, r.Tenant.Settings.RateLimits.FailuresPerAddress)
}

// guessFailed counts a code or token that nobody issued, and returns the
// refusal if there were too many (RFC 6819 §4.4.1.3). What is right passes
// in any case: 256 random bits are not found by trying, and a web application
// or a resource server that carries strangers' guesses to us is not locked
// out along with them.
func (s *Server) guessFailed(r *endpoint.Request) error {
	return addressLimited(s.limits.guesses.take(networkKey(r), r.Tenant.Settings.RateLimits.FailuresPerAddress))
}

// mayRequestToken counts a token request and returns the refusal if the
// client sends too many.
func (s *Server) mayRequestToken(c *call) error {
	wait := s.limits.token.take(clientKey(c), c.Tenant.Settings.RateLimits.TokenPerClient)
	return clientLimited(wait, "The client sends more token requests than its limit allows. Slow down.")
}

// mayIntrospect counts an introspection and returns the refusal if the client
// sends too many.
func (s *Server) mayIntrospect(c *call) error {
	wait := s.limits.introspection.take(clientKey(c), c.Tenant.Settings.RateLimits.IntrospectionPerClient)
	return clientLimited(wait, "The client introspects more often than its limit allows. Slow down.")
}

func addressLimited(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return oauth.Refuse("address-limited", oauth.TemporarilyUnavailable, "Too many failed attempts came from this address. Slow down.").WithStatus(http.StatusTooManyRequests).After(wait)
}

func clientLimited(wait time.Duration, description string) error {
	if wait <= 0 {
		return nil
	}
	return oauth.Refuse("client-limited", oauth.TemporarilyUnavailable, description).WithStatus(http.StatusTooManyRequests).After(wait)
}

const (
	// limiterSlots is the length of each row of a limiter's table. Keys that
	// an attacker chooses share slots with others instead of growing it.
	limiterSlots = 1 << 14
	// limiterRows is in how many rows a key has a slot. It waits only when
	// all of them are used up, so that somebody who fills one slot in a
	// thousand holds back one stranger in 10^12.
	limiterRows = 4
	// burstTime of a rate may be used at once.
	burstTime = 10 * time.Second
	// slowestRate bounds how long one request can count.
	slowestRate = 1.0 / (24 * 60 * 60)
)

// limiter bounds the rate of every key in a table of fixed size.
type limiter struct {
	now   func() time.Time
	seeds [limiterRows]maphash.Seed

	mu sync.Mutex
	// idleAt is when the slot's use will be worked off, in Unix nanoseconds.
	idleAt [limiterRows][limiterSlots]int64
}

func newLimiter(now func() time.Time) *limiter {
	l := &limiter{now: now}
	for i := range l.seeds {
		l.seeds[i] = maphash.MakeSeed()
	}
	return l
}

// take uses one request of the key's rate, in requests per second, and
// returns 0; or how long to wait when there is none left, and uses nothing.
// A rate that is not positive is no limit.
func (l *limiter) take(key string, rate float64) time.Duration { return l.use(key, rate, true) }

// wait returns how long the key has to wait for its next request.
func (l *limiter) wait(key string, rate float64) time.Duration { return l.use(key, rate, false) }

func (l *limiter) use(key string, rate float64, count bool) time.Duration {
	if !(rate > 0) {
		return 0
	}
	cost := time.Duration(float64(time.Second) / max(rate, slowestRate))
	slots := [limiterRows]*int64{}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now().UnixNano()
	for i, seed := range l.seeds {
		slots[i] = &l.idleAt[i][maphash.String(seed, key)%limiterSlots]
	}
	idle := *slots[0]
	for _, slot := range slots[1:] {
		idle = min(idle, *slot) // the least shared of the key's slots
	}
	used := max(idle, now) + int64(cost)
	if wait := used - now - int64(max(burstTime, cost)); wait > 0 {
		return time.Duration(wait)
	}
	if count {
		for _, slot := range slots {
			*slot = max(*slot, used)
		}
	}
	return 0
}

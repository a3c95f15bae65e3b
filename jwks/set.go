package jwks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"gatehouse/jose"
)

// How long things last, unless a [Config] says otherwise.
const (
	DefaultFloor    = time.Minute
	DefaultFresh    = 5 * time.Minute // when the publisher names no max-age
	DefaultMaxStale = time.Hour
	DefaultTimeout  = 5 * time.Second
	DefaultRelocate = time.Hour

	// maxFresh bounds the publisher's max-age: a withdrawn key is refused by
	// then at the latest.
	maxFresh = time.Hour
	// Keys are fetched ahead, while they serve, from this share of their freshness
	// on, so that nobody waits for a fetch, and none when the publisher hangs.
	aheadOf, aheadFrom = 5, 4
	// firstRetry is the first pause while no fetch has succeeded yet; it doubles
	// up to the floor, so that a publisher may start after its readers.
	firstRetry = time.Second
)

// Config tunes a set. The zero value stands for the defaults.
type Config struct {
	// Floor is the least time between two fetches, whatever causes them.
	Floor time.Duration
	// Fresh is for how long keys are used without asking again when the answer
	// has no max-age.
	Fresh time.Duration
	// MaxStale is for how long after a fetch the keys go on serving while their
	// publisher cannot be reached.
	MaxStale time.Duration
	// Timeout bounds one fetch as a whole.
	Timeout time.Duration
	// Relocate is after how long Locate is asked again though nothing failed: a
	// publisher may go on answering at an address that it has left.
	Relocate time.Duration
	// Locate, if set, finds the set's address before the first fetch, after a
	// failed one, and every Relocate; the url given to New is not used then. It is
	// called within the fetch, under its time limit and floor, with a client that
	// follows no redirect.
	Locate func(ctx context.Context, client *http.Client) (url string, err error)
}

func (c Config) withDefaults() Config {
	fill := func(d *time.Duration, fallback time.Duration) {
		if *d <= 0 {
			*d = fallback
		}
	}
	fill(&c.Floor, DefaultFloor)
	fill(&c.Fresh, DefaultFresh)
	fill(&c.MaxStale, DefaultMaxStale)
	fill(&c.Timeout, DefaultTimeout)
	fill(&c.Relocate, DefaultRelocate)
	return c
}

// Unavailable is the error of a set that has no keys it could answer with.
type Unavailable struct {
	RetryAfter time.Duration // when the next fetch is allowed; may be 0
	Cause      error         // of the last fetch
}

func (e *Unavailable) Error() string { return fmt.Sprintf("the key set is unavailable: %v", e.Cause) }

func (e *Unavailable) Unwrap() error { return e.Cause }

// Set is a remote key set. It is safe for concurrent use and fetches nothing
// before its first use.
type Set struct {
	client *http.Client
	config Config

	mu          sync.Mutex
	url         string // "" until located
	locatedAt   time.Time
	keys        []jose.PublicKey
	generation  uint64    // how often keys have changed
	fetchedAt   time.Time // of keys; zero while there are none
	freshFor    time.Duration
	nextAttempt time.Time
	failures    int   // since the last success
	lastErr     error // of the last fetch; nil after a success
	flight      *flight
}

// flight is a fetch in progress; done is closed when its outcome is in the set.
type flight struct{ done chan struct{} }

// New returns the set that is published at url. A nil client stands for one with
// the default transport. Redirects are not followed.
func New(client *http.Client, url string, config Config) *Set {
	own := http.Client{}
	if client != nil {
		own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	set := &Set{client: &own, config: config.withDefaults(), url: url}
	if config.Locate != nil {
		set.url = ""
	}
	return set
}

// Keys returns the published keys of that kid and alg; all of that alg when kid
// is empty. It fetches when there is nothing fresh, or when the kid is unknown,
// and in both cases not before the floor has passed; then an unknown kid has no
// keys. When the publisher cannot be reached, the last keys serve up to
// MaxStale; after that, and for a kid that is not among them, the error is an
// [*Unavailable]: it may be new. ctx ends the caller's wait and not the fetch.
func (s *Set) Keys(ctx context.Context, kid string, alg jose.Algorithm) ([]jose.PublicKey, error) {
	found, _, err := s.Lookup(ctx, kid, alg)
	return found, err
}

// Lookup is Keys, and the generation of the keys that it returns.
func (s *Set) Lookup(ctx context.Context, kid string, alg jose.Algorithm) (found []jose.PublicKey, generation uint64, err error) {
	var unreachable Unavailable
	err = s.await(ctx, func() bool {
		found, generation = s.match(kid, alg), s.generation
		unreachable = Unavailable{RetryAfter: max(0, time.Until(s.nextAttempt)), Cause: s.lastErr}
		return len(found) > 0
	})
	if err != nil {
		return nil, 0, err
	}
	if len(found) == 0 && unreachable.Cause != nil {
		return nil, 0, &unreachable
	}
	return found, generation, nil
}

// Generation returns a number that changes with the published keys. It fetches
// and fails as Keys does: as long as the number is the same, what a key has
// verified it would verify again.
func (s *Set) Generation(ctx context.Context) (generation uint64, err error) {
	s.mu.Lock()
	generation, serves := s.generation, !s.fetchedAt.IsZero() && time.Since(s.fetchedAt) < min(s.freshFor/aheadOf*aheadFrom, s.config.MaxStale)
	s.mu.Unlock()
	if serves { // nearly always
		return generation, nil
	}
	err = s.await(ctx, func() bool {
		generation = s.generation
		return true
	})
	return generation, err
}

// await has look, with the lock held, at keys that may be used, and again after
// a fetch if it did not find what it looked for and a fetch is due.
func (s *Set) await(ctx context.Context, look func() (found bool)) error {
	waited := false
	for {
		s.mu.Lock()
		now := time.Now()
		found := look()
		age := now.Sub(s.fetchedAt)
		usable := !s.fetchedAt.IsZero() && age < s.config.MaxStale
		fresh := usable && age < s.freshFor
		satisfied := fresh && found
		ahead := satisfied && age >= s.freshFor/aheadOf*aheadFrom
		if (!satisfied || ahead) && !waited && s.flight == nil && !now.Before(s.nextAttempt) {
			s.flight = &flight{done: make(chan struct{})}
			go s.fetch(s.flight, s.address(now))
		}
		// While the publisher is known to be down, the keys at hand serve without
		// making anybody wait for the next attempt.
		degraded := usable && s.lastErr != nil && found
		if satisfied || s.flight == nil || waited || degraded {
			defer s.mu.Unlock()
			if usable {
				return nil
			}
			return &Unavailable{RetryAfter: max(0, s.nextAttempt.Sub(now)), Cause: s.lastErr}
		}
		current := s.flight
		s.mu.Unlock()
		select {
		case <-current.done:
			waited = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// address is where to fetch, "" if that has to be found out. It is called with
// the lock held.
func (s *Set) address(now time.Time) string {
	if s.config.Locate != nil && now.Sub(s.locatedAt) >= s.config.Relocate {
		return ""
	}
	return s.url
}

// match is called with the lock held.
func (s *Set) match(kid string, alg jose.Algorithm) []jose.PublicKey {
	var found []jose.PublicKey
	for _, key := range s.keys {
		if key.Algorithm == alg && (kid == "" || key.ID == kid) {
			found = append(found, key)
		}
	}
	return found
}

// fetch runs one flight on its own context and records the outcome.
func (s *Set) fetch(f *flight, url string) {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
	defer cancel()
	answer, err := s.load(ctx, url)

	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if err != nil {
		s.failures++
		s.lastErr = err
		s.nextAttempt = now.Add(s.pause())
		if s.config.Locate != nil {
			s.url = ""
		}
	} else {
		s.failures, s.lastErr = 0, nil
		if url == "" {
			s.locatedAt = now
		}
		if !sameKeys(s.keys, answer.keys) {
			s.generation++
		}
		s.url, s.keys, s.fetchedAt = answer.url, answer.keys, now
		s.freshFor = min(max(answer.maxAge, s.config.Floor), maxFresh)
		s.nextAttempt = now.Add(s.config.Floor)
	}
	s.flight = nil
	close(f.done)
}

// pause is the time to the next attempt after a failure.
func (s *Set) pause() time.Duration {
	if !s.fetchedAt.IsZero() {
		return s.config.Floor
	}
	pause := firstRetry
	for range s.failures - 1 {
		if pause *= 2; pause >= s.config.Floor {
			break
		}
	}
	return min(pause, s.config.Floor)
}

func sameKeys(a, b []jose.PublicKey) bool {
	one, oneErr := json.Marshal(jose.KeySet{Keys: a})
	other, otherErr := json.Marshal(jose.KeySet{Keys: b})
	return oneErr == nil && otherErr == nil && bytes.Equal(one, other)
}

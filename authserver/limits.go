package authserver

import (
	"hash/maphash"
	"sync"
	"time"
)

// limiterSlots is the size of every limiter's table. Keys that an attacker
// chooses share slots with others instead of growing the table.
const limiterSlots = 1 << 14

// burstSeconds of a rate may be used at once.
const burstSeconds = 10

// limits are the rate limits of the protocol's endpoints.
type limits struct {
	token         *limiter
	introspection *limiter
	failures      *limiter
}

func newLimits(now func() time.Time) limits {
	return limits{newLimiter(now), newLimiter(now), newLimiter(now)}
}

// limiter is a fixed table of token buckets.
type limiter struct {
	now  func() time.Time
	seed maphash.Seed
	mu   sync.Mutex
	full [limiterSlots]bucket
}

// bucket keeps when it will be full again: one number per slot.
type bucket struct{ freeAt time.Time }

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, seed: maphash.MakeSeed()}
}

func (l *limiter) slot(key string) *bucket {
	return &l.full[maphash.String(l.seed, key)%limiterSlots]
}

// take uses one request of the key's rate, in requests per second, and
// returns how long to wait when there is none left.
func (l *limiter) take(key string, rate float64) time.Duration {
	if wait := l.wait(key); wait > 0 {
		return wait
	}
	l.count(key, rate)
	return 0
}

// wait returns how long the key has to wait for its next request.
func (l *limiter) wait(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.slot(key).freeAt.Sub(l.now().Add(burstSeconds*time.Second)))
}

// count charges the key with one request. A rate that is not positive means
// that there is no limit.
func (l *limiter) count(key string, rate float64) {
	if rate <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	slot, now := l.slot(key), l.now()
	if slot.freeAt.Before(now) {
		slot.freeAt = now
	}
	slot.freeAt = slot.freeAt.Add(time.Duration(float64(time.Second) / rate))
}

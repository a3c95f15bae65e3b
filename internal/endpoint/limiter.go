package endpoint

import (
	"hash/maphash"
	"sync"
	"time"
)

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

// Limiter bounds the rate of every key in a table of fixed size. It is safe for
// concurrent use.
type Limiter struct {
	now   func() time.Time
	seeds [limiterRows]maphash.Seed

	mu sync.Mutex
	// idleAt is when the slot's use will be worked off, in Unix nanoseconds.
	idleAt [limiterRows][limiterSlots]int64

	// Of one that servers share: what the keys have used and the others do not
	// know, and the leases that wait to be told.
	name   string
	leases *Leases
	uses   []use
	used   chan lease
}

// NewLimiter makes a Limiter that has seen nobody yet.
func NewLimiter(now func() time.Time) *Limiter {
	l := &Limiter{now: now}
	for i := range l.seeds {
		l.seeds[i] = maphash.MakeSeed()
	}
	return l
}

// Take uses one request of the key's rate, in requests per second, and
// returns 0; or how long to wait when there is none left, and uses nothing.
// A rate that is not positive is no limit.
func (l *Limiter) Take(key string, rate float64) time.Duration { return l.use(key, rate, true) }

// Wait returns how long the key has to wait for its next request.
func (l *Limiter) Wait(key string, rate float64) time.Duration { return l.use(key, rate, false) }

func (l *Limiter) use(key string, rate float64, count bool) time.Duration {
	if !(rate > 0) {
		return 0
	}
	cost := max(time.Duration(float64(time.Second)/max(rate, slowestRate)), 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now().UnixNano()
	slots, tag := l.slots(key)
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
		if l.leases != nil {
			l.count(tag, key, now, cost)
		}
	}
	return 0
}

// slots are those of a key, and tag tells it from others.
func (l *Limiter) slots(key string) (slots [limiterRows]*int64, tag uint64) {
	for i, seed := range l.seeds {
		tag = maphash.String(seed, key)
		slots[i] = &l.idleAt[i][tag%limiterSlots]
	}
	return slots, tag
}

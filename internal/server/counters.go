package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"gatehouse/internal/endpoint"
	"gatehouse/kv"
)

// countersRetry is how long shared counters that failed are left alone before
// one caller tries them again.
const countersRetry = time.Second

// counterStore is what sign-in counts failed attempts in.
type counterStore interface {
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error)
	Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (swapped bool, err error)
}

// counters keeps what may be lost. Replicas share it: one that counted for
// itself would allow as many guesses as there are replicas.
func (s *Server) counters() counterStore {
	switch {
	case s.shared != nil:
		return s.shared
	case s.config.OnPostgres():
		return s.store.KV()
	}
	return kv.NewMemory(kv.MemoryConfig{})
}

// shareLimits makes what has servers keep rate limits together, or nil on SQLite
// without Redis, where there is one server.
func (s *Server) shareLimits() *endpoint.Leases {
	switch {
	case s.redis != nil:
		return endpoint.NewLeases(s.redis, s.log)
	case s.config.OnPostgres():
		return endpoint.NewLeases(s.store.KV(), s.log)
	}
	return nil
}

// shareCounters makes what counts in Redis, or nil without one.
func (s *Server) shareCounters() *sharedCounters {
	if s.redis == nil {
		return nil
	}
	return &sharedCounters{shared: s.redis, own: kv.NewMemory(kv.MemoryConfig{}), log: s.log, now: s.clock}
}

// sharedCounters counts in a store that all servers share, and for itself as
// long as that store fails: sign-in goes on, and each server by itself still
// delays guessing. Counters are forgiving by nature (what is lost is
// forgiven); marks of what was used are not, and never go this way.
type sharedCounters struct {
	shared counterStore
	own    *kv.Memory
	log    *slog.Logger
	now    func() time.Time
	away   atomic.Int64 // when to try the shared store again, in Unix nanoseconds; 0 when it answers
}

// shares says whether to ask the shared store: always when it answers, and one
// caller now and then when it does not.
func (c *sharedCounters) shares() bool {
	until, now := c.away.Load(), c.now().UnixNano()
	return until == 0 || now >= until && c.away.CompareAndSwap(until, now+int64(countersRetry))
}

// answers says whether the shared store did when it was last asked.
func (c *sharedCounters) answers() bool { return c.away.Load() == 0 }

// failed notes how the shared store answered and says whether to go on with
// the server's own. What the caller gave up says nothing about the store.
func (c *sharedCounters) failed(ctx context.Context, err error) bool {
	if err == nil {
		if c.away.Swap(0) != 0 {
			c.log.Info("failed sign-ins are counted for all servers together again")
		}
		return false
	}
	if ctx.Err() != nil {
		return false
	}
	if c.away.Swap(c.now().Add(countersRetry).UnixNano()) == 0 {
		c.log.Warn("redis does not answer; failed sign-ins are counted by each server for itself until it does", "error", err)
	}
	return true
}

func (c *sharedCounters) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if c.shares() {
		value, found, err := c.shared.Get(ctx, key)
		if !c.failed(ctx, err) {
			return value, found, err
		}
	}
	return c.own.Get(ctx, key)
}

func (c *sharedCounters) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if c.shares() {
		added, err := c.shared.Add(ctx, key, value, ttl)
		if !c.failed(ctx, err) {
			return added, c.forgetOwn(ctx, key, added, err)
		}
	}
	return c.own.Add(ctx, key, value, ttl)
}

func (c *sharedCounters) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if c.shares() {
		swapped, err := c.shared.Swap(ctx, key, old, new, ttl)
		if !c.failed(ctx, err) {
			return swapped, c.forgetOwn(ctx, key, swapped, err)
		}
	}
	return c.own.Swap(ctx, key, old, new, ttl)
}

// forgetOwn forgets what the server counted for itself of a key that was just
// written for all: what is forgiven there does not come back with an outage.
func (c *sharedCounters) forgetOwn(ctx context.Context, key string, written bool, err error) error {
	if err != nil || !written {
		return err
	}
	return c.own.Delete(ctx, key)
}

package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"

	"gatehouse/internal/endpoint"
	"gatehouse/kv"
)

const (
	// shareEvery is how often counts are carried to the store and back.
	shareEvery = time.Second
	// shareWindow is over what time counts are shared; slower rates share over the time
	// of one request, up to maxShareWindow.
	shareWindow    = 10 * time.Second
	maxShareWindow = 24 * time.Hour
	// maxShared bounds how many keys are counted together. Those beyond are counted in
	// this process alone.
	maxShared = 64 << 10
	// sharers is how many counts are carried at once, within shareTimeout all.
	sharers      = 16
	shareTimeout = 5 * time.Second
)

// limits are the rates that routes' limits are kept to: in this process by a table of
// fixed size, and together with other replicas by counts in a store, which are carried
// there beside requests. No request waits for the store, and without it each process
// keeps the rate by itself.
type limits struct {
	local  *endpoint.Limiter
	store  kv.Store // nil counts here alone
	logger *slog.Logger

	mu     sync.Mutex
	shared map[string]*sharedCount
	failed bool // at the last attempt
}

// sharedCount is what a key has used of a window.
type sharedCount struct {
	window  int64 // the number of the window since 1970
	length  time.Duration
	budget  int64
	known   int64 // in the store when it was asked last
	pending int64 // here since then
}

func newLimits(store kv.Store, logger *slog.Logger) *limits {
	return &limits{local: endpoint.NewLimiter(time.Now), store: store, logger: logger, shared: map[string]*sharedCount{}}
}

// take uses one of the key's rate and returns 0, or how long to wait.
func (l *limits) take(key string, rate float64) time.Duration {
	if wait := l.local.Take(key, rate); wait > 0 || l.store == nil {
		return wait
	}
	now := time.Now()
	length := min(max(shareWindow, time.Duration(min(float64(time.Second)/rate, float64(maxShareWindow)))), maxShareWindow)
	window := now.UnixNano() / int64(length)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.shared[key]
	if c == nil {
		if len(l.shared) >= maxShared {
			return 0
		}
		c = &sharedCount{}
		l.shared[key] = c
	}
	if c.window != window || c.length != length {
		*c = sharedCount{window: window, length: length, budget: max(1, int64(math.Ceil(rate*length.Seconds())))}
	}
	if c.known+c.pending >= c.budget {
		return time.Unix(0, (window+1)*int64(length)).Sub(now)
	}
	c.pending++
	return 0
}

// wait returns how long the key has to wait, and uses nothing.
func (l *limits) wait(key string, rate float64) time.Duration { return l.local.Wait(key, rate) }

// share carries counts to the store until ctx is over.
func (l *limits) share(ctx context.Context) {
	ticker := time.NewTicker(shareEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.carry(ctx)
		}
	}
}

// load is a count on its way to the store.
type load struct {
	key     string
	window  int64
	length  time.Duration
	pending int64
}

// carry carries what is pending, and forgets windows that are over.
func (l *limits) carry(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	now := time.Now().UnixNano()
	var loads []load
	l.mu.Lock()
	for key, c := range l.shared {
		if c.window != now/int64(c.length) {
			delete(l.shared, key)
		} else if c.pending > 0 {
			loads = append(loads, load{key, c.window, c.length, c.pending})
		}
	}
	l.mu.Unlock()
	waiting := make(chan load)
	var group sync.WaitGroup
	var mu sync.Mutex
	var failure error
	for range min(sharers, len(loads)) {
		group.Go(func() {
			for one := range waiting {
				if err := l.carryOne(ctx, one); err != nil {
					mu.Lock()
					failure = err
					mu.Unlock()
				}
			}
		})
	}
	for _, one := range loads {
		waiting <- one
	}
	close(waiting)
	group.Wait()
	if (failure != nil) != l.failed {
		if l.failed = failure != nil; l.failed {
			l.logger.WarnContext(ctx, "rate limits are kept in this process alone: the store that shares them is away", "error", failure)
		} else {
			l.logger.InfoContext(ctx, "rate limits are shared again")
		}
	}
}

func (l *limits) carryOne(ctx context.Context, one load) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sum, err := l.store.Incr(ctx, storeKey(one.key, one.window), one.pending, 2*one.length)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.shared[one.key]; c != nil && c.window == one.window {
		c.known, c.pending = sum, c.pending-one.pending
	}
	return nil
}

// storeKey names a count without saying whose it is.
func storeKey(key string, window int64) string {
	digest := sha256.Sum256([]byte(key))
	return "gateway limit " + base64.RawURLEncoding.EncodeToString(digest[:]) + " " + strconv.FormatInt(window, 10)
}

// limitKey is what a limit of a route counts by. The parts cannot run into each other:
// a route's name has no space.
func limitKey(route string, per LimitKey, of string) string {
	return route + " " + string(per) + " " + of
}

package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/recent"
)

const (
	// snapshotLife is how long the snapshot serves after it was last found to be current.
	snapshotLife = 250 * time.Millisecond

	// probeEvery is how often one request looks whether a database that did not answer is back.
	// All others are told at once: what can be answered without it is, and the rest does not pile up.
	probeEvery = 250 * time.Millisecond

	snapshotClients = 10_000
	snapshotTenants = 2_000
)

// snapshot holds what nearly every request reads: clients, resources, settings. It follows the
// change counter, which other processes move too.
type snapshot struct {
	started  time.Time
	current  atomic.Pointer[view]
	away     atomic.Pointer[absence] // nil while the database answers
	answered atomic.Int64            // when the last question was asked that had an answer, since started
	probing  atomic.Bool
	server   atomic.Int64 // that told the change counter last, as Store.counter has it

	mu      sync.Mutex
	epoch   int64 // how often this process dropped the view
	edition int64 // how many views there were
}

// view is the snapshot at one value of the change counter, filled as it is asked.
type view struct {
	counter   int64
	edition   int64
	checkedAt atomic.Int64  // since snapshot.started
	readAt    time.Duration // when the check that found so had read; guarded by snapshot.mu
	clients   *recent.Map[clientKey, gatehouse.Client]
	resources *recent.Map[gatehouse.TenantID, []gatehouse.Resource]
	tenants   *recent.Map[gatehouse.TenantID, storedTenant]
	hosts     atomic.Pointer[Hosts] // nil before they were read
}

type clientKey struct {
	tenant gatehouse.TenantID
	id     string
}

func newSnapshot() *snapshot { return &snapshot{started: time.Now()} }

// drop forgets the view, and makes a check that is under way begin again.
func (s *snapshot) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.current.Store(nil)
}

// absence is what became of the last look at the change counter.
type absence struct {
	err error
	at  time.Duration // since snapshot.started
}

// view returns a view that was found current at most snapshotLife ago.
func (s *Store) view(ctx context.Context) (*view, error) {
	snap := s.snapshot
	for {
		now := time.Since(snap.started)
		if v := snap.current.Load(); v != nil && now-time.Duration(v.checkedAt.Load()) < snapshotLife {
			return v, nil
		}
		snap.mu.Lock()
		epoch := snap.epoch
		snap.mu.Unlock()
		counter, err := s.changeCount(ctx, now)
		if err != nil {
			return nil, err
		}
		if v := snap.keep(epoch, counter, now, time.Since(snap.started)); v != nil {
			return v, nil
		}
	}
}

// changeCount reads the change counter, or says that the database was away a moment ago.
func (s *Store) changeCount(ctx context.Context, now time.Duration) (int64, error) {
	snap := s.snapshot
	if gone := snap.away.Load(); gone != nil {
		if now-gone.at < probeEvery || !snap.probing.CompareAndSwap(false, true) {
			return 0, gone.err
		}
		defer snap.probing.Store(false)
	}
	counter, server, err := s.counter(ctx, "following the change counter", sqlChangeCount, pgChangeCount)
	switch {
	case err == nil:
		snap.isThere(now)
		if before := snap.server.Swap(server); before != server && before != 0 {
			snap.drop() // its number may be that of another change
		}
	case errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrBusy) && !errors.Is(err, errSpent) && snap.answered.Load() <= int64(now): // else a later one was answered
		snap.away.Store(&absence{err, time.Since(snap.started)})
	}
	return counter, err
}

// counter reads one of the database's counters, and which server it was that told it: a number that
// no other PostgreSQL server has, nor this one after a restart. With SQLite it is 0.
func (s *Store) counter(ctx context.Context, what, file, postgres string) (value, server int64, err error) {
	value, err = read(ctx, s, what, func(c *connection) (value int64, err error) {
		if s.postgres == nil {
			_, err = c.one(file, []any{&value})
		} else {
			_, err = c.one(postgres, []any{&value, &server})
		}
		return value, err
	})
	return value, server, err
}

// isThere says that a question which was asked then had an answer.
func (s *snapshot) isThere(then time.Duration) {
	s.answered.Store(int64(then))
	s.away.Store(nil)
}

// Version is a number that changes whenever clients, resources, settings or tenants have changed, and
// never comes again in this process. It comes from the snapshot.
func (s *Store) Version(ctx context.Context) (int64, error) {
	v, err := s.view(ctx)
	if err != nil {
		return 0, err
	}
	return v.edition, nil
}

// keep makes the counter, as read between now and read, the view's. It returns nil if this process has
// changed something meanwhile.
func (s *snapshot) keep(epoch, counter int64, now, read time.Duration) *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return nil
	}
	v := s.current.Load()
	// Checks may overtake each other. The counter only grows, unless the database itself went back:
	// a failover lost what it had acknowledged.
	wentBack := v != nil && counter < v.counter && v.readAt < now
	if v == nil || v.counter < counter || wentBack {
		s.edition++
		v = &view{
			counter:   counter,
			edition:   s.edition,
			readAt:    read,
			clients:   recent.New[clientKey, gatehouse.Client](snapshotClients),
			resources: recent.New[gatehouse.TenantID, []gatehouse.Resource](snapshotTenants),
			tenants:   recent.New[gatehouse.TenantID, storedTenant](snapshotTenants),
		}
		v.checkedAt.Store(int64(now))
		s.current.Store(v)
	} else if v.counter == counter && v.checkedAt.Load() < int64(now) {
		v.checkedAt.Store(int64(now))
		v.readAt = read
	}
	return v
}

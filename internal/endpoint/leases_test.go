package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/kv"
)

// shaky is a store that may fail.
type shaky struct {
	*kv.Memory
	failing atomic.Bool
	asked   atomic.Int64
}

func (s *shaky) Get(ctx context.Context, key string) ([]byte, bool, error) {
	s.asked.Add(1)
	if s.failing.Load() {
		return nil, false, errors.New("nobody answers")
	}
	return s.Memory.Get(ctx, key)
}

func newShaky() *shaky { return &shaky{Memory: kv.NewMemory(kv.MemoryConfig{})} }

// replica is a server with one limiter.
type replica struct {
	*Limiter
	leases *Leases
	log    bytes.Buffer
}

func newReplica(store LeaseStore, now func() time.Time) *replica {
	r := &replica{}
	r.leases = NewLeases(store, slog.New(slog.NewTextHandler(&r.log, nil)))
	r.Limiter = r.leases.Limiter("token", now)
	return r
}

// tells tells what waits to be told.
func (r *replica) tells(t *testing.T) {
	t.Helper()
	for len(r.used) > 0 {
		_ = r.leases.tell(t.Context(), r.Limiter, <-r.used)
	}
}

// takes is how many requests pass until one waits.
func (r *replica) takes(t *testing.T, key string, rate float64) (passed int) {
	t.Helper()
	for r.Take(key, rate) == 0 {
		passed++
		r.tells(t)
	}
	return passed
}

func TestServersKeepOneLimit(t *testing.T) {
	for _, rate := range []float64{0.05, 1, 7, 1000} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			clock, store := newHandClock(), newShaky()
			var replicas []*replica
			for range 3 {
				replicas = append(replicas, newReplica(store, clock.now))
			}
			limit, lease := max(1, int(10*rate)), max(1, int(rate))
			total := 0
			for _, r := range replicas {
				total += r.takes(t, "a", rate)
			}
			if most := limit + len(replicas)*lease; total < limit || total > most {
				t.Errorf("%d passed at once, want %d to %d", total, limit, most)
			}
			// In turn, for a minute: the rate, and a lease of each.
			clock.at = clock.at.Add(time.Hour)
			total = 0
			const minute = 60
			for range minute * 10 {
				for _, r := range replicas {
					total += r.takes(t, "a", rate)
				}
				clock.at = clock.at.Add(100 * time.Millisecond)
			}
			worked := int(rate * minute)
			if most := limit + worked + len(replicas)*lease + 1; total < limit+worked-len(replicas)*lease || total > most {
				t.Errorf("%d passed in a minute, want %d to %d", total, limit+worked, most)
			}
			if other := replicas[0].takes(t, "b", rate); other != limit {
				t.Errorf("of another key %d passed, want %d", other, limit)
			}
		})
	}
}

func TestOneServerAloneHasTheWholeLimit(t *testing.T) {
	clock := newHandClock()
	r := newReplica(newShaky(), clock.now)
	for range 3 {
		if passed := r.takes(t, "a", 5); passed != 50 {
			t.Errorf("%d passed, want 50", passed)
		}
		clock.at = clock.at.Add(10 * time.Second)
	}
}

func TestLimitsGoOnWithoutTheStore(t *testing.T) {
	clock, store := newHandClock(), newShaky()
	here, there := newReplica(store, clock.now), newReplica(store, clock.now)
	store.failing.Store(true)
	for _, r := range []*replica{here, there} {
		if passed := r.takes(t, "a", 5); passed != 50 {
			t.Errorf("%d passed, want each server's own 50", passed)
		}
	}
	store.failing.Store(false)
	// What was used in the meantime is told with the next lease.
	clock.at = clock.at.Add(2 * time.Second)
	if passed := here.takes(t, "a", 5); passed != 10 {
		t.Errorf("%d passed, want what was worked off", passed)
	}
	late := newReplica(store, clock.now)
	if passed := late.takes(t, "a", 5); passed > 5 {
		t.Errorf("of a limit that is used up %d passed at a new server", passed)
	}
	const said, unsaid = "kept by each server for itself", "for all servers together again"
	clock.at = clock.at.Add(time.Hour)
	if passed := here.takes(t, "a", 5); passed != 50 {
		t.Errorf("after a rest %d passed", passed)
	}
	if log := here.log.String(); strings.Count(log, said) != 1 || strings.Count(log, unsaid) != 1 {
		t.Errorf("the log says %s", log)
	}
}

func TestWhatTheStoreSaysIsBounded(t *testing.T) {
	for _, text := range []string{"9223372036854775807", "-9223372036854775808", "nonsense", "", "+5", " 1", "99999999999999999999", "1e9"} {
		clock, store := newHandClock(), newShaky()
		r := newReplica(store, clock.now)
		r.Take("a", 1)
		r.tells(t)
		for key := range keysOf(t, r, store) {
			if err := store.Set(t.Context(), key, []byte(text), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		r.Take("a", 1)
		r.tells(t)
		if wait := r.Wait("a", 1); wait > leaseAhead*burstTime {
			t.Errorf("after %q a key waits %v", text, wait)
		}
		clock.at = clock.at.Add(leaseAhead * burstTime)
		if passed := r.takes(t, "a", 1); passed < 9 {
			t.Errorf("after %q and a rest %d passed", text, passed)
		}
	}
}

// keysOf returns the key under which the replica shares the use of a.
func keysOf(t *testing.T, r *replica, store *shaky) map[string]bool {
	t.Helper()
	spy := &spying{LeaseStore: store, keys: map[string]bool{}}
	r.leases.store = spy
	r.Take("a", 1)
	r.tells(t)
	r.leases.store = store
	if len(spy.keys) != 1 {
		t.Fatalf("the keys are %v", spy.keys)
	}
	return spy.keys
}

type spying struct {
	LeaseStore
	keys map[string]bool
}

func (s *spying) Get(ctx context.Context, key string) ([]byte, bool, error) {
	s.keys[key] = true
	return s.LeaseStore.Get(ctx, key)
}

// TestKeysOfLeasesTellNothing: they are as short as keys may be, whoever chose the
// key of the limit, and have no address in them.
func TestKeysOfLeasesTellNothing(t *testing.T) {
	store := newShaky()
	spy := &spying{LeaseStore: store, keys: map[string]bool{}}
	r := newReplica(spy, newHandClock().now)
	r.Take("default 192.0.2.7 "+strings.Repeat("x", 1000), 1)
	r.tells(t)
	if len(spy.keys) != 1 {
		t.Fatalf("the keys are %v", spy.keys)
	}
	for key := range spy.keys {
		if len(key) > 64 || strings.Contains(key, "192.0.2.7") {
			t.Errorf("the key is %q", key)
		}
	}
}

func TestTheBackgroundIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShaky()
		r := newReplica(store, time.Now)
		other := r.leases.Limiter("introspection", time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			r.leases.Run(ctx)
		}()
		began := time.Now()
		const keys = 5000
		for n := range keys { // a lease is one request
			r.Take(fmt.Sprint("key ", n), 1)
			if n == keys/2 {
				other.Take("somebody", 1)
			}
		}
		time.Sleep(2 * leasePace)
		if _, tag := other.slots("somebody"); len(other.used) != 0 || other.uses[tag%limiterSlots].units != 0 {
			t.Error("somebody else's lease waits behind the crowd's")
		}
		time.Sleep(time.Second)
		if most := int64(time.Since(began)/leasePace) + 1; store.asked.Load() > most || store.asked.Load() < leasesWaiting/2 {
			t.Errorf("the store was asked %d times, want at most %d", store.asked.Load(), most)
		}
		cancel()
		<-stopped
		// With nobody who tells, the limit goes on, and nothing grows or waits.
		for n := range keys {
			for r.Take(fmt.Sprint("later ", n%10), 5) == 0 {
			}
		}
		if len(r.used) > leasesWaiting {
			t.Errorf("%d wait", len(r.used))
		}
	})
}

func TestSharedLimitersAtOnce(t *testing.T) {
	store := newShaky()
	ctx, cancel := context.WithCancel(t.Context())
	var running, callers sync.WaitGroup
	barrier := make(chan struct{})
	var passed atomic.Int64
	clock := newHandClock()
	for range 2 {
		r := newReplica(store, clock.now)
		running.Go(func() { r.leases.Run(ctx) })
		for range 4 {
			callers.Go(func() {
				<-barrier
				for range 100 {
					if r.Take("a", 10) == 0 {
						passed.Add(1)
					}
				}
			})
		}
	}
	close(barrier)
	callers.Wait()
	cancel()
	running.Wait()
	if passed.Load() < 100 || passed.Load() > 200 { // between one limit and two: nobody waited
		t.Errorf("%d passed", passed.Load())
	}
}

func TestNoRequestPaysForLeases(t *testing.T) {
	r := newReplica(newShaky(), newHandClock().now)
	if allocated := testing.AllocsPerRun(1000, func() { r.Take("somebody", 1e6) }); allocated > 0 {
		t.Errorf("%v allocations", allocated)
	}
	var none *Leases
	none.Run(t.Context())
	if alone := none.Limiter("token", newHandClock().now); alone.Take("a", 1) != 0 || alone.uses != nil {
		t.Error("without a store it is not the server's own")
	}
}

// BenchmarkTake is what a limit costs a request: the server's own, and one that
// servers share.
func BenchmarkTake(b *testing.B) {
	for name, l := range map[string]*Limiter{"own": NewLimiter(time.Now), "shared": newReplica(newShaky(), time.Now).Limiter} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Take("default a-client", 1e9)
			}
		})
	}
}

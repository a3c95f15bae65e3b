package kvredis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/internal/redistest"
	"gatehouse/kv"
	"gatehouse/kv/kvredis"
	"gatehouse/kv/kvtest"
)

func TestMain(m *testing.M) {
	// The client closes nodes that left a cluster five seconds later, and is not to be hurried.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

const (
	// timeout is for each operation in the tests, and slack what a busy machine adds.
	timeout = 500 * time.Millisecond
	slack   = 10 * time.Second

	// recovery is how long a store may take to find its server again.
	recovery = 15 * time.Second
)

func open(t *testing.T, config kvredis.Config) *kvredis.Store {
	t.Helper()
	config.ConnectTimeout, config.Timeout = timeout, timeout
	s, err := kvredis.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func at(server *redistest.Server) kvredis.Config {
	return kvredis.Config{Addresses: []string{server.Addr()}}
}

func TestRedis(t *testing.T) {
	server := redistest.Start(t)
	prefix := 0
	kvtest.Run(t, func(t *testing.T) kv.Store {
		prefix++
		config := at(server)
		config.Prefix = fmt.Sprintf("test%d", prefix)
		return open(t, config)
	})
}

// operations are all that a store does, each saying whether it claimed to have found, added,
// swapped or counted anything.
func operations(s kv.Store) map[string]func(context.Context) (bool, error) {
	return map[string]func(context.Context) (bool, error){
		"Add": func(ctx context.Context) (bool, error) { return s.Add(ctx, "k", []byte("v"), time.Minute) },
		"Get": func(ctx context.Context) (bool, error) {
			value, found, err := s.Get(ctx, "k")
			return found || value != nil, err
		},
		"Set": func(ctx context.Context) (bool, error) { return false, s.Set(ctx, "k", []byte("v"), time.Minute) },
		"Swap": func(ctx context.Context) (bool, error) {
			return s.Swap(ctx, "k", []byte("v"), []byte("v"), time.Minute)
		},
		"Take": func(ctx context.Context) (bool, error) {
			value, found, err := s.Take(ctx, "k")
			return found || value != nil, err
		},
		"Incr": func(ctx context.Context) (bool, error) {
			sum, err := s.Incr(ctx, "n", 1, time.Minute)
			return sum != 0, err
		},
		"Delete": func(ctx context.Context) (bool, error) { return false, s.Delete(ctx, "k") },
	}
}

// wantFaults fails unless every operation, and the epoch, is an error within the time-outs that
// claims nothing.
func wantFaults(t *testing.T, s *kvredis.Store) {
	t.Helper()
	var group sync.WaitGroup
	for name, run := range operations(s) {
		group.Go(func() { wantFault(t, name, run) })
	}
	group.Wait()
	wantFault(t, "Epoch", func(ctx context.Context) (bool, error) {
		epoch, err := s.Epoch(ctx)
		return epoch != (kvredis.Epoch{}), err
	})
}

func wantFault(t *testing.T, name string, run func(context.Context) (bool, error)) {
	t.Helper()
	began := time.Now()
	claimed, err := run(context.Background())
	if took := time.Since(began); took > 2*timeout+slack {
		t.Errorf("%s took %v", name, took)
	}
	if err == nil || claimed {
		t.Errorf("%s: %v, %v; want an error that claims nothing", name, claimed, err)
	}
}

// wantRecovery waits until every operation succeeds again by itself.
func wantRecovery(t *testing.T, s *kvredis.Store) {
	t.Helper()
	for name, run := range operations(s) {
		for deadline := time.Now().Add(recovery); ; time.Sleep(20 * time.Millisecond) {
			_, err := run(context.Background())
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s has not recovered: %v", name, err)
			}
		}
	}
}

func epochOf(t *testing.T, s *kvredis.Store) kvredis.Epoch {
	t.Helper()
	epoch, err := s.Epoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(epoch.ID) < 26 || time.Since(epoch.Since).Abs() > time.Hour {
		t.Fatalf("the epoch is %v", epoch)
	}
	return epoch
}

func TestStoppedAndStartedAgain(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, at(server))
	before := epochOf(t, s)
	wantRecovery(t, s)
	server.Kill(t)
	wantFaults(t, s)
	server.Again(t)
	wantRecovery(t, s)
	if after := epochOf(t, s); after.ID == before.ID || !after.Since.After(before.Since) {
		t.Errorf("the epoch outlived the server's memory: %v, %v", before, after)
	}
}

// A server that reads its last snapshot again has lost what came after it, but not the epoch's key.
func TestARestartFromASnapshotIsANewEpoch(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, at(server))
	before := epochOf(t, s)
	if err := s.Set(t.Context(), "saved", []byte("v"), time.Minute); err != nil {
		t.Fatal(err)
	}
	server.Do(t, "SAVE")
	if added, err := s.Add(t.Context(), "mark", nil, time.Minute); !added || err != nil {
		t.Fatal(added, err)
	}
	server.Kill(t)
	server.Again(t)
	wantRecovery(t, s)
	if _, found, err := s.Get(t.Context(), "saved"); !found || err != nil {
		t.Fatalf("the snapshot was not read: %v, %v", found, err)
	}
	if _, found, err := s.Get(t.Context(), "mark"); found || err != nil {
		t.Fatalf("what came after the snapshot is there: %v, %v", found, err)
	}
	if after := epochOf(t, s); after.ID == before.ID {
		t.Error("a mark was lost within one epoch")
	}
}

func TestFlushed(t *testing.T) {
	server := redistest.Start(t)
	s, other := open(t, at(server)), open(t, at(server))
	before := epochOf(t, s)
	if again, seen := epochOf(t, s), epochOf(t, other); again != before || seen != before {
		t.Errorf("without a loss: %v, %v, %v", before, again, seen)
	}
	if _, err := s.Incr(t.Context(), "n", 1, time.Minute); err != nil { // its script goes with the flush
		t.Fatal(err)
	}
	server.Do(t, "FLUSHALL")
	server.Do(t, "SCRIPT", "FLUSH")
	after := epochOf(t, s)
	if after.ID == before.ID || !after.Since.After(before.Since) {
		t.Errorf("the epoch did not change: %v, %v", before, after)
	}
	if seen := epochOf(t, other); seen != after {
		t.Errorf("two stores see two epochs: %v, %v", after, seen)
	}
	if sum, err := s.Incr(t.Context(), "n", 1, time.Minute); sum != 1 || err != nil {
		t.Errorf("%d, %v", sum, err)
	}
}

func TestSlow(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, at(server))
	wantRecovery(t, s)
	server.Hang(t)
	wantFaults(t, s)
	server.Wake(t)
	wantRecovery(t, s)
	if err := s.Set(t.Context(), "k", []byte("afterwards"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if value, found, err := s.Get(t.Context(), "k"); string(value) != "afterwards" || !found || err != nil {
		t.Errorf("a late reply was taken for this one: %q, %v, %v", value, found, err)
	}
}

func TestACallersOwnDeadlineCounts(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, at(server))
	wantRecovery(t, s)
	server.Hang(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Add(ctx, "k", nil, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	server.Wake(t)
}

func TestFullRefusesAndForgetsNothing(t *testing.T) {
	server := redistest.Start(t, "--maxmemory", "4mb")
	s := open(t, at(server))
	added := 0
	for ; ; added++ {
		ok, err := s.Add(t.Context(), fmt.Sprint("mark", added), make([]byte, 8<<10), time.Hour)
		if err != nil {
			if ok || !errors.Is(err, kv.ErrFull) {
				t.Fatalf("full: %v, %v", ok, err)
			}
			break
		}
	}
	server.Do(t, "CONFIG", "SET", "maxmemory", "1mb") // no more room for small things, either
	if err := s.Set(t.Context(), "other", nil, time.Hour); !errors.Is(err, kv.ErrFull) {
		t.Errorf("Set: %v", err)
	}
	if sum, err := s.Incr(t.Context(), "other", 1, time.Hour); sum != 0 || !errors.Is(err, kv.ErrFull) {
		t.Errorf("Incr: %d, %v", sum, err)
	}
	if swapped, err := s.Swap(t.Context(), "mark0", make([]byte, 8<<10), nil, time.Hour); swapped || !errors.Is(err, kv.ErrFull) {
		t.Errorf("Swap: %v, %v", swapped, err)
	}
	if _, found, err := s.Get(t.Context(), "other"); found || err != nil {
		t.Errorf("what was refused was written: %v, %v", found, err)
	}
	for i := range added {
		if _, found, err := s.Get(t.Context(), fmt.Sprint("mark", i)); !found || err != nil {
			t.Fatalf("mark %d of %d: %v, %v", i, added, found, err)
		}
	}
	server.Do(t, "CONFIG", "SET", "maxmemory", "0")
	if ok, err := s.Add(t.Context(), "other", nil, time.Hour); !ok || err != nil {
		t.Errorf("with room: %v, %v", ok, err)
	}
}

// One round trip each: the server counts the commands that it is sent.
func TestOneCommandForEachOperation(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, at(server))
	wantRecovery(t, s) // the scripts are there afterwards
	epochOf(t, s)
	calls := func() (sent int) {
		for line := range strings.SplitSeq(server.Do(t, "INFO", "commandstats"), "\n") {
			name, fact, _ := strings.Cut(line, ":calls=")
			if name == "cmdstat_ping" || name == "cmdstat_info" || name == "cmdstat_hello" {
				continue
			}
			var n int
			if _, err := fmt.Sscanf(fact, "%d,", &n); err == nil {
				sent += n
			}
		}
		return sent
	}
	within := map[string]int{"Swap": 2, "Incr": 3} // the commands inside the scripts are counted, too
	for name, run := range operations(s) {
		if err := s.Set(t.Context(), "k", []byte("v"), time.Minute); err != nil {
			t.Fatal(err)
		}
		before := calls()
		if _, err := run(t.Context()); err != nil {
			t.Fatal(name, err)
		}
		if got, want := calls()-before, 1+within[name]; got != want {
			t.Errorf("%s sent %d commands, want %d", name, got, want)
		}
	}
}

// 64 callers on two stores contend for one key after the other.
func TestExactlyOnceAmongStores(t *testing.T) {
	server := redistest.Start(t)
	stores := []*kvredis.Store{open(t, at(server)), open(t, at(server))}
	const callers, rounds = 64, 10
	for round := range rounds {
		key := fmt.Sprint("round", round)
		for name, once := range map[string]func(kv.Store, int) (bool, error){
			"add": func(s kv.Store, _ int) (bool, error) { return s.Add(t.Context(), "add"+key, nil, time.Minute) },
			"take": func(s kv.Store, _ int) (bool, error) {
				_, found, err := s.Take(t.Context(), "take"+key)
				return found, err
			},
			"swap": func(s kv.Store, caller int) (bool, error) {
				return s.Swap(t.Context(), "swap"+key, []byte("old"), fmt.Append(nil, caller), time.Minute)
			},
		} {
			for _, made := range []string{"take", "swap"} {
				if err := stores[0].Set(t.Context(), made+key, []byte("old"), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			var won atomic.Int32
			var group sync.WaitGroup
			start := make(chan struct{})
			for caller := range callers {
				group.Go(func() {
					<-start
					ok, err := once(stores[caller%len(stores)], caller)
					if err != nil {
						t.Error(err)
					}
					if ok {
						won.Add(1)
					}
				})
			}
			close(start)
			group.Wait()
			if won.Load() != 1 {
				t.Errorf("%s in round %d: %d callers won", name, round, won.Load())
			}
		}
	}
}

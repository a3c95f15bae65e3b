package kvtest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/kv"
)

const (
	// callers is how many goroutines contend for one key.
	callers = 32

	// longTTL outlives every test, shortTTL is waited for.
	longTTL  = 10 * time.Minute
	shortTTL = time.Second

	// expiryPatience is how long after its ttl a key may still be seen by a store with a coarse clock.
	expiryPatience = 5 * time.Second
)

// Run runs the suite; each test opens a store of its own, empty or with keys of other names.
func Run(t *testing.T, open func(t *testing.T) kv.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, kv.Store)
	}{
		{"Add", testAdd}, {"Set", testSet}, {"Swap", testSwap}, {"Take", testTake}, {"Incr", testIncr}, {"Delete", testDelete},
		{"IncrKeepsItsTTL", testIncrKeepsItsTTL}, {"Expiry", testExpiry}, {"Copies", testCopies}, {"Bounds", testBounds},
		{"AnyBytes", testAnyBytes}, {"AddOnce", testAddOnce}, {"TakeOnce", testTakeOnce}, {"SwapOnce", testSwapOnce}, {"IncrLosesNothing", testIncrLosesNothing},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// want fails unless the key holds the value.
func want(t *testing.T, s kv.Store, key, value string) {
	t.Helper()
	got, found, err := s.Get(t.Context(), key)
	if err != nil || !found || string(got) != value {
		t.Errorf("%q holds %q, found=%v, err=%v; want %q", key, got, found, err, value)
	}
}

// wantAbsent fails unless the key is absent.
func wantAbsent(t *testing.T, s kv.Store, key string) {
	t.Helper()
	if got, found, err := s.Get(t.Context(), key); err != nil || found {
		t.Errorf("%q holds %q, found=%v, err=%v; want nothing", key, got, found, err)
	}
}

func set(t *testing.T, s kv.Store, key, value string, ttl time.Duration) {
	t.Helper()
	if err := s.Set(t.Context(), key, []byte(value), ttl); err != nil {
		t.Fatalf("Set %q: %v", key, err)
	}
}

func testAdd(t *testing.T, s kv.Store) {
	wantAbsent(t, s, "add")
	if added, err := s.Add(t.Context(), "add", []byte("one"), longTTL); !added || err != nil {
		t.Errorf("the first Add: %v, %v", added, err)
	}
	if added, err := s.Add(t.Context(), "add", []byte("two"), longTTL); added || err != nil {
		t.Errorf("the second Add: %v, %v", added, err)
	}
	want(t, s, "add", "one")
	if added, err := s.Add(t.Context(), "add:other", nil, longTTL); !added || err != nil {
		t.Errorf("another key, without a value: %v, %v", added, err)
	}
	want(t, s, "add:other", "")
}

func testSet(t *testing.T, s kv.Store) {
	set(t, s, "set", "one", longTTL)
	want(t, s, "set", "one")
	set(t, s, "set", "two", longTTL)
	want(t, s, "set", "two")
	wantAbsent(t, s, "SET")
	wantAbsent(t, s, "set ")
	wantAbsent(t, s, "se_")
	wantAbsent(t, s, "se%")
}

func testSwap(t *testing.T, s kv.Store) {
	if swapped, err := s.Swap(t.Context(), "swap", []byte(""), []byte("new"), longTTL); swapped || err != nil {
		t.Errorf("an absent key: %v, %v", swapped, err)
	}
	wantAbsent(t, s, "swap")
	set(t, s, "swap", "one", longTTL)
	for _, old := range []string{"two", "", "on", "onee", "One"} {
		if swapped, err := s.Swap(t.Context(), "swap", []byte(old), []byte("new"), longTTL); swapped || err != nil {
			t.Errorf("the wrong old value %q: %v, %v", old, swapped, err)
		}
	}
	want(t, s, "swap", "one")
	if swapped, err := s.Swap(t.Context(), "swap", []byte("one"), []byte("two"), longTTL); !swapped || err != nil {
		t.Errorf("the right old value: %v, %v", swapped, err)
	}
	want(t, s, "swap", "two")
	set(t, s, "swap:empty", "", longTTL)
	if swapped, err := s.Swap(t.Context(), "swap:empty", nil, []byte("x"), longTTL); !swapped || err != nil {
		t.Errorf("an empty old value: %v, %v", swapped, err)
	}
}

func testTake(t *testing.T, s kv.Store) {
	if got, found, err := s.Take(t.Context(), "take"); found || got != nil || err != nil {
		t.Errorf("an absent key: %q, %v, %v", got, found, err)
	}
	set(t, s, "take", "one", longTTL)
	if got, found, err := s.Take(t.Context(), "take"); !found || string(got) != "one" || err != nil {
		t.Errorf("the first Take: %q, %v, %v", got, found, err)
	}
	if got, found, err := s.Take(t.Context(), "take"); found || err != nil {
		t.Errorf("the second Take: %q, %v, %v", got, found, err)
	}
	wantAbsent(t, s, "take")
	if added, err := s.Add(t.Context(), "take", []byte("two"), longTTL); !added || err != nil {
		t.Errorf("Add after Take: %v, %v", added, err)
	}
}

func testIncr(t *testing.T, s kv.Store) {
	for i, step := range []struct{ delta, sum int64 }{{1, 1}, {5, 6}, {0, 6}, {-10, -4}, {4, 0}, {math.MaxInt64, math.MaxInt64}} {
		if sum, err := s.Incr(t.Context(), "incr", step.delta, longTTL); sum != step.sum || err != nil {
			t.Errorf("step %d: %d, %v; want %d", i, sum, err, step.sum)
		}
	}
	want(t, s, "incr", strconv.FormatInt(math.MaxInt64, 10))
	if sum, err := s.Incr(t.Context(), "incr", 1, longTTL); err == nil {
		t.Errorf("beyond 64 bits: %d", sum)
	}
	want(t, s, "incr", strconv.FormatInt(math.MaxInt64, 10))
	set(t, s, "incr:set", "41", longTTL)
	if sum, err := s.Incr(t.Context(), "incr:set", 1, longTTL); sum != 42 || err != nil {
		t.Errorf("a number that was set: %d, %v", sum, err)
	}
	set(t, s, "incr:text", "text", longTTL)
	if sum, err := s.Incr(t.Context(), "incr:text", 1, longTTL); err == nil {
		t.Errorf("a text: %d", sum)
	}
	want(t, s, "incr:text", "text")
}

func testDelete(t *testing.T, s kv.Store) {
	if err := s.Delete(t.Context(), "delete"); err != nil {
		t.Errorf("an absent key: %v", err)
	}
	set(t, s, "delete", "one", longTTL)
	set(t, s, "delete:other", "two", longTTL)
	if err := s.Delete(t.Context(), "delete"); err != nil {
		t.Errorf("a key that is there: %v", err)
	}
	wantAbsent(t, s, "delete")
	want(t, s, "delete:other", "two")
}

// waitAbsent waits until the key has expired, for as long as a coarse clock may need.
func waitAbsent(t *testing.T, s kv.Store, key string) {
	t.Helper()
	for deadline := time.Now().Add(shortTTL + expiryPatience); ; time.Sleep(20 * time.Millisecond) {
		_, found, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatalf("Get %q: %v", key, err)
		}
		if !found {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q has not expired", key)
		}
	}
}

func testExpiry(t *testing.T, s kv.Store) {
	set(t, s, "expiry:lasting", "x", longTTL)
	set(t, s, "expiry:shortened", "x", longTTL)
	set(t, s, "expiry:shortened", "x", shortTTL)
	set(t, s, "expiry:lengthened", "x", shortTTL)
	set(t, s, "expiry:lengthened", "x", longTTL)
	set(t, s, "expiry:swapped", "x", shortTTL)
	if swapped, err := s.Swap(t.Context(), "expiry:swapped", []byte("x"), []byte("y"), longTTL); !swapped || err != nil {
		t.Errorf("Swap: %v, %v", swapped, err)
	}
	set(t, s, "expiry:short", "x", shortTTL)
	waitAbsent(t, s, "expiry:short")
	waitAbsent(t, s, "expiry:shortened")
	want(t, s, "expiry:lasting", "x")
	want(t, s, "expiry:lengthened", "x")
	want(t, s, "expiry:swapped", "y")
	if _, found, err := s.Take(t.Context(), "expiry:short"); found || err != nil {
		t.Errorf("Take of what has expired: %v, %v", found, err)
	}
	if swapped, err := s.Swap(t.Context(), "expiry:short", []byte("x"), []byte("y"), longTTL); swapped || err != nil {
		t.Errorf("Swap of what has expired: %v, %v", swapped, err)
	}
	if added, err := s.Add(t.Context(), "expiry:short", []byte("again"), longTTL); !added || err != nil {
		t.Errorf("Add of what has expired: %v, %v", added, err)
	}
	want(t, s, "expiry:short", "again")
}

func testIncrKeepsItsTTL(t *testing.T, s kv.Store) {
	if _, err := s.Incr(t.Context(), "ttl", 1, shortTTL); err != nil {
		t.Fatal(err)
	}
	if sum, err := s.Incr(t.Context(), "ttl", 1, longTTL); sum != 2 || err != nil {
		t.Fatalf("%d, %v", sum, err)
	}
	waitAbsent(t, s, "ttl")
	if sum, err := s.Incr(t.Context(), "ttl", 1, longTTL); sum != 1 || err != nil {
		t.Errorf("after the ttl: %d, %v", sum, err)
	}
}

func testCopies(t *testing.T, s kv.Store) {
	given := []byte("value")
	if _, err := s.Add(t.Context(), "copy", given, longTTL); err != nil {
		t.Fatal(err)
	}
	given[0] = 'X'
	want(t, s, "copy", "value")
	got, _, err := s.Get(t.Context(), "copy")
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'Y'
	want(t, s, "copy", "value")
	next := []byte("next")
	if _, err := s.Swap(t.Context(), "copy", []byte("value"), next, longTTL); err != nil {
		t.Fatal(err)
	}
	next[0] = 'Z'
	want(t, s, "copy", "next")
}

func testBounds(t *testing.T, s kv.Store) {
	longest, largest := strings.Repeat("k", kv.MaxKeyBytes), bytes.Repeat([]byte("v"), kv.MaxValueBytes)
	if added, err := s.Add(t.Context(), longest, largest, longTTL); !added || err != nil {
		t.Errorf("the largest entry: %v, %v", added, err)
	}
	if got, found, err := s.Take(t.Context(), longest); !found || !bytes.Equal(got, largest) || err != nil {
		t.Errorf("the largest entry: %d bytes, %v, %v", len(got), found, err)
	}
	for name, call := range writes(s) {
		for _, bad := range []struct {
			name, key string
			value     []byte
			ttl       time.Duration
		}{
			{"an empty key", "", nil, longTTL},
			{"a key too long", longest + "k", nil, longTTL},
			{"a value too large", "bounds", append(largest, 'v'), longTTL},
			{"no ttl", "bounds", nil, 0},
			{"a negative ttl", "bounds", nil, -time.Second},
		} {
			if name == "Incr" && bad.value != nil {
				continue
			}
			if err := call(t.Context(), bad.key, bad.value, bad.ttl); err == nil || errors.Is(err, kv.ErrFull) {
				t.Errorf("%s with %s: %v", name, bad.name, err)
			}
		}
	}
	for _, key := range []string{"", longest + "k"} {
		if _, _, err := s.Get(t.Context(), key); err == nil {
			t.Errorf("Get took a key of %d bytes", len(key))
		}
		if _, _, err := s.Take(t.Context(), key); err == nil {
			t.Errorf("Take took a key of %d bytes", len(key))
		}
		if err := s.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete took a key of %d bytes", len(key))
		}
	}
	wantAbsent(t, s, "bounds")
}

func writes(s kv.Store) map[string]func(context.Context, string, []byte, time.Duration) error {
	return map[string]func(context.Context, string, []byte, time.Duration) error{
		"Add": func(ctx context.Context, key string, value []byte, ttl time.Duration) error {
			_, err := s.Add(ctx, key, value, ttl)
			return err
		},
		"Set": s.Set,
		"Swap": func(ctx context.Context, key string, value []byte, ttl time.Duration) error {
			_, err := s.Swap(ctx, key, nil, value, ttl)
			return err
		},
		"Incr": func(ctx context.Context, key string, _ []byte, ttl time.Duration) error {
			_, err := s.Incr(ctx, key, 1, ttl)
			return err
		},
	}
}

func testAnyBytes(t *testing.T, s kv.Store) {
	keys := []string{"a\x00b", "a\x00c", "a", "A", "ä", "a\u0308", "\xff\xfe", " ", "' OR 1=1 --", "{a}:b", "a\nb"}
	for i, key := range keys {
		if added, err := s.Add(t.Context(), key, []byte{0, 0xff, byte(i)}, longTTL); !added || err != nil {
			t.Errorf("%q: %v, %v", key, added, err)
		}
	}
	for i, key := range keys {
		want(t, s, key, string([]byte{0, 0xff, byte(i)}))
	}
}

// contend calls once from each of the callers at the same time and returns how many said true.
func contend(t *testing.T, once func(caller int) (bool, error)) int {
	t.Helper()
	var won atomic.Int32
	var group sync.WaitGroup
	start := make(chan struct{})
	for caller := range callers {
		group.Go(func() {
			<-start
			ok, err := once(caller)
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
	return int(won.Load())
}

const rounds = 20

func testAddOnce(t *testing.T, s kv.Store) {
	for round := range rounds {
		key := "once:add:" + strconv.Itoa(round)
		if won := contend(t, func(int) (bool, error) { return s.Add(t.Context(), key, nil, longTTL) }); won != 1 {
			t.Fatalf("round %d: %d callers added the key", round, won)
		}
	}
}

func testTakeOnce(t *testing.T, s kv.Store) {
	for round := range rounds {
		key := "once:take:" + strconv.Itoa(round)
		set(t, s, key, "x", longTTL)
		won := contend(t, func(int) (bool, error) {
			_, found, err := s.Take(t.Context(), key)
			return found, err
		})
		if won != 1 {
			t.Fatalf("round %d: %d callers took the key", round, won)
		}
	}
}

func testSwapOnce(t *testing.T, s kv.Store) {
	for round := range rounds {
		key := "once:swap:" + strconv.Itoa(round)
		set(t, s, key, "old", longTTL)
		won := contend(t, func(caller int) (bool, error) {
			return s.Swap(t.Context(), key, []byte("old"), []byte(strconv.Itoa(caller)), longTTL)
		})
		if won != 1 {
			t.Fatalf("round %d: %d callers swapped the value", round, won)
		}
	}
}

func testIncrLosesNothing(t *testing.T, s kv.Store) {
	for range rounds {
		contend(t, func(int) (bool, error) {
			_, err := s.Incr(t.Context(), "once:incr", 1, longTTL)
			return false, err
		})
	}
	want(t, s, "once:incr", strconv.Itoa(rounds*callers))
}

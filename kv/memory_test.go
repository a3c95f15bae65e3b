package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gatehouse/kv"
	"gatehouse/kv/kvtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	kvtest.Run(t, func(*testing.T) kv.Store { return kv.NewMemory(kv.MemoryConfig{}) })
}

func TestMemoryExpiresToTheInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := kv.NewMemory(kv.MemoryConfig{})
		if _, err := s.Add(t.Context(), "k", []byte("v"), 31*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31*24*time.Hour - 1)
		if _, found, _ := s.Get(t.Context(), "k"); !found {
			t.Error("gone a nanosecond early")
		}
		if added, _ := s.Add(t.Context(), "k", nil, time.Hour); added {
			t.Error("added over a live key")
		}
		time.Sleep(time.Nanosecond)
		if _, found, _ := s.Get(t.Context(), "k"); found {
			t.Error("there at its end")
		}
		if added, _ := s.Add(t.Context(), "k", nil, time.Hour); !added {
			t.Error("not added over an expired key")
		}
	})
}

func TestMemoryLivesUntilTheEndOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := kv.NewMemory(kv.MemoryConfig{})
		time.Sleep(time.Second)
		if err := s.Set(t.Context(), "k", nil, math.MaxInt64); err != nil {
			t.Fatal(err)
		}
		if _, found, _ := s.Get(t.Context(), "k"); !found {
			t.Error("the longest ttl overflowed")
		}
	})
}

func TestFullMemoryRefusesAndKeepsEveryMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 1000
		for name, config := range map[string]kv.MemoryConfig{
			"keys":  {MaxKeys: room},
			"bytes": {MaxBytes: room * (192 + 8 + 100)},
		} {
			s := kv.NewMemory(config)
			value := bytes.Repeat([]byte("v"), 100)
			for i := range room {
				if added, err := s.Add(t.Context(), fmt.Sprintf("k%07d", i), value, time.Minute); !added || err != nil {
					t.Fatalf("%s: key %d: %v, %v", name, i, added, err)
				}
			}
			if added, err := s.Add(t.Context(), "one-more", value, time.Minute); added || !errors.Is(err, kv.ErrFull) {
				t.Errorf("%s: beyond the bound: %v, %v", name, added, err)
			}
			if err := s.Set(t.Context(), "one-more", value, time.Minute); !errors.Is(err, kv.ErrFull) {
				t.Errorf("%s: Set beyond the bound: %v", name, err)
			}
			if _, err := s.Incr(t.Context(), "one-more", 1, time.Minute); name == "keys" && !errors.Is(err, kv.ErrFull) {
				t.Errorf("%s: Incr beyond the bound: %v", name, err)
			}
			for i := range room {
				if added, err := s.Add(t.Context(), fmt.Sprintf("k%07d", i), value, time.Minute); added || err != nil {
					t.Fatalf("%s: mark %d was lost: %v, %v", name, i, added, err)
				}
			}
			if swapped, err := s.Swap(t.Context(), "k0000000", value, value, time.Minute); !swapped || err != nil {
				t.Errorf("%s: a value of the same size: %v, %v", name, swapped, err)
			}
			if err := s.Delete(t.Context(), "k0000001"); err != nil {
				t.Error(err)
			}
			if added, err := s.Add(t.Context(), "one-more", nil, time.Minute); !added || err != nil {
				t.Errorf("%s: after a Delete: %v, %v", name, added, err)
			}
			time.Sleep(time.Minute)
			for i := range room {
				if added, err := s.Add(t.Context(), fmt.Sprintf("n%07d", i), value, time.Minute); !added || err != nil {
					t.Fatalf("%s: expired keys still fill the store: key %d: %v, %v", name, i, added, err)
				}
			}
		}
	})
}

func TestGrowingAValueIsBounded(t *testing.T) {
	s := kv.NewMemory(kv.MemoryConfig{MaxBytes: 10_000})
	if err := s.Set(t.Context(), "k", nil, time.Minute); err != nil {
		t.Fatal(err)
	}
	if swapped, err := s.Swap(t.Context(), "k", nil, make([]byte, 10_000), time.Minute); swapped || !errors.Is(err, kv.ErrFull) {
		t.Errorf("%v, %v", swapped, err)
	}
	if got, found, err := s.Get(t.Context(), "k"); !found || len(got) != 0 || err != nil {
		t.Errorf("the old value is gone: %q, %v, %v", got, found, err)
	}
	for range 1000 { // bytes must be given back when a value shrinks or leaves
		if err := s.Set(t.Context(), "k", make([]byte, 9000), time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, found, err := s.Take(t.Context(), "k"); !found || err != nil {
			t.Fatal(found, err)
		}
	}
}

// What is accounted for is at least what is used, so that MaxBytes bounds the process.
func TestMemoryAccountsForWhatItUses(t *testing.T) {
	const count, room = 100_000, 32
	s := kv.NewMemory(kv.MemoryConfig{MaxBytes: 1 << 40})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range count {
		if _, err := s.Add(t.Context(), fmt.Sprintf("mark:%027d", i), nil, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := float64(after.HeapAlloc-before.HeapAlloc) / count
	if accounted := float64(room + 192); used > accounted {
		t.Errorf("a key of %d bytes uses %.0f bytes, accounted for are %.0f", room, used, accounted)
	}
	runtime.KeepAlive(s)
}

func TestMemoryUnderManyCallers(t *testing.T) {
	s := kv.NewMemory(kv.MemoryConfig{MaxKeys: 500})
	var callers sync.WaitGroup
	for caller := range 16 {
		callers.Go(func() {
			for i := range 2000 {
				key := strconv.Itoa((i * (caller + 1)) % 800)
				var err error
				switch i % 5 {
				case 0:
					_, err = s.Add(t.Context(), key, []byte(key), time.Microsecond*time.Duration(i%50+1))
				case 1:
					err = s.Set(t.Context(), key, []byte(key), time.Millisecond)
				case 2:
					_, _, err = s.Take(t.Context(), key)
				case 3:
					_, err = s.Incr(t.Context(), key, 1, time.Millisecond)
				case 4:
					err = s.Delete(t.Context(), key)
				}
				if err != nil && !errors.Is(err, kv.ErrFull) {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	time.Sleep(5 * time.Millisecond)
	for i := range 500 { // nothing of what the callers did still counts
		if added, err := s.Add(t.Context(), "after:"+strconv.Itoa(i), nil, time.Minute); !added || err != nil {
			t.Fatalf("key %d: %v, %v", i, added, err)
		}
	}
}

func BenchmarkMemoryAdd(b *testing.B) {
	s := kv.NewMemory(kv.MemoryConfig{})
	i := 0
	for b.Loop() {
		i++
		_, _ = s.Add(b.Context(), "mark:"+strconv.Itoa(i), nil, time.Millisecond)
	}
}

package kvredis_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/redistest"
)

// TestKilledUnderLoad kills a server that writes everything down, again and again, under callers that
// add, take and count: nothing is added or taken twice, and nothing that was acknowledged is lost.
func TestKilledUnderLoad(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	s := open(t, at(server))
	const callers, kills, keys = 32, 4, 64
	for key := range keys {
		if err := s.Set(t.Context(), fmt.Sprint("take", key), []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	var added, taken [keys]atomic.Int32
	var counted, unknown, marks atomic.Int64
	var kept sync.Map
	stop := make(chan struct{})
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-stop:
					return
				default:
				}
				key := (round*7 + caller) % keys
				if ok, err := s.Add(t.Context(), fmt.Sprint("add", key), nil, time.Hour); ok && err == nil {
					added[key].Add(1)
				}
				if round%8 == 0 {
					if _, ok, err := s.Take(t.Context(), fmt.Sprint("take", key)); ok && err == nil {
						taken[key].Add(1)
					}
				}
				if _, err := s.Incr(t.Context(), "count", 1, time.Hour); err == nil {
					counted.Add(1)
				} else {
					unknown.Add(1)
				}
				mark := fmt.Sprint("mark", caller, ":", round)
				if ok, err := s.Add(t.Context(), mark, nil, time.Hour); ok && err == nil {
					kept.Store(mark, true)
					marks.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range kills {
		time.Sleep(200 * time.Millisecond)
		server.Kill(t)
		time.Sleep(100 * time.Millisecond)
		server.Again(t)
	}
	time.Sleep(200 * time.Millisecond)
	close(stop)
	group.Wait()
	wantRecovery(t, s)

	for key := range keys {
		if added[key].Load() > 1 || taken[key].Load() > 1 {
			t.Errorf("key %d was added %d times and taken %d times", key, added[key].Load(), taken[key].Load())
		}
	}
	kept.Range(func(mark, _ any) bool {
		ok, err := s.Add(t.Context(), mark.(string), nil, time.Hour)
		if ok || err != nil {
			t.Errorf("the acknowledged %s was lost: %v, %v", mark, ok, err)
		}
		return !t.Failed()
	})
	sum, err := s.Incr(t.Context(), "count", 0, time.Hour)
	if err != nil || sum < counted.Load() || sum > counted.Load()+unknown.Load() {
		t.Errorf("%d were counted and %d are unknown; the sum is %d, %v", counted.Load(), unknown.Load(), sum, err)
	}
	if unknown.Load() == 0 || marks.Load() < callers {
		t.Errorf("the load proves nothing: %d errors, %d marks", unknown.Load(), marks.Load())
	}
	t.Logf("%d marks, %d counted, %d unknown", marks.Load(), counted.Load(), unknown.Load())
}

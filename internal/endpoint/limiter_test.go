package endpoint

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// handClock is a clock that a test moves.
type handClock struct{ at time.Time }

func (c *handClock) now() time.Time { return c.at }

func newHandClock() *handClock { return &handClock{time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

func TestBurstThenTheRate(t *testing.T) {
	clock := newHandClock()
	l := NewLimiter(clock.now)
	for n := range 20 { // ten seconds' worth
		if wait := l.Take("a", 2); wait != 0 {
			t.Fatalf("request %d waits %v", n, wait)
		}
	}
	for range 3 { // a refused request costs nothing
		if wait := l.Take("a", 2); wait != 500*time.Millisecond {
			t.Fatalf("the next waits %v", wait)
		}
	}
	if wait := l.Take("b", 2); wait != 0 {
		t.Errorf("another key waits %v", wait)
	}
	clock.at = clock.at.Add(500*time.Millisecond - 1)
	if wait := l.Wait("a", 2); wait != 1 {
		t.Errorf("just before its time: %v", wait)
	}
	clock.at = clock.at.Add(1)
	if wait := l.Take("a", 2); wait != 0 {
		t.Errorf("at its time: %v", wait)
	}
	if wait := l.Take("a", 2); wait != 500*time.Millisecond {
		t.Errorf("at once again: %v", wait)
	}
	clock.at = clock.at.Add(time.Hour)
	for n := range 20 {
		if wait := l.Take("a", 2); wait != 0 {
			t.Fatalf("after a rest, request %d waits %v", n, wait)
		}
	}
	if l.Take("a", 2) == 0 {
		t.Error("a long rest earned more than a burst")
	}
}

func TestWaitCostsNothing(t *testing.T) {
	l := NewLimiter(newHandClock().now)
	for range 100 {
		if wait := l.Wait("a", 0.1); wait != 0 {
			t.Fatalf("waits %v", wait)
		}
	}
	if l.Take("a", 0.1) != 0 || l.Take("a", 0.1) != 10*time.Second {
		t.Error("the one request in ten seconds was not there")
	}
}

func TestRatesWithoutLimitAndVerySlowOnes(t *testing.T) {
	l := NewLimiter(newHandClock().now)
	for _, rate := range []float64{-1, 0} {
		for range 1000 {
			if wait := l.Take("a", rate); wait != 0 {
				t.Fatalf("rate %v: waits %v", rate, wait)
			}
		}
	}
	if l.Take("a", 1) != 0 {
		t.Error("requests without a limit were counted")
	}
	if wait := l.Take("slow", 1e-300); wait != 0 {
		t.Errorf("the first request waits %v", wait)
	}
	if wait := l.Take("slow", 1e-300); wait <= 0 || wait > 24*time.Hour {
		t.Errorf("the second waits %v", wait)
	}
	if wait := l.Wait("slow", -1); wait != 0 {
		t.Errorf("once the limit is off it still waits %v", wait)
	}
	for range 1000 {
		if wait := l.Take("fast", 1e300); wait != 0 {
			t.Fatalf("waits %v", wait)
		}
	}
}

// However many keys come, the table stays as it is, and a key that nobody
// used is not held back by a crowd.
func TestSlotsAreBounded(t *testing.T) {
	if size := unsafe.Sizeof(Limiter{}); size > 1<<20 {
		t.Errorf("a limiter takes %d bytes", size)
	}
	l := NewLimiter(newHandClock().now)
	const crowd = 1000
	for n := range crowd {
		for l.Take(fmt.Sprint("crowd ", n), 1) == 0 {
		}
	}
	held := 0
	for n := range crowd {
		if l.Wait(fmt.Sprint("stranger ", n), 1) > 0 {
			held++
		}
	}
	if held > 2 { // expected are 0.01
		t.Errorf("%d of %d strangers wait", held, crowd)
	}
	if allocated := testing.AllocsPerRun(100, func() { l.Take("somebody", 1) }); allocated > 0 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestManyAtOnceDoNotOvershoot(t *testing.T) {
	l := NewLimiter(newHandClock().now)
	var taken atomic.Int64
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 50 {
				if l.Take("a", 5) == 0 {
					taken.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if taken.Load() != 50 {
		t.Errorf("%d requests passed, want 50", taken.Load())
	}
}

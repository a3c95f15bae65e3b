package secret

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlotsAndQueueAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(Params{MemoryKiB: 64, Passes: 1, Threads: 1, Slots: 2})
		for range 2 {
			if err := h.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		outcomes := make(chan error, 2*waitingPerSlot)
		for range 2 * waitingPerSlot {
			go func() { outcomes <- h.enter(ctx) }()
		}
		synctest.Wait()
		if len(outcomes) != 0 {
			t.Fatalf("%d callers did not wait", len(outcomes))
		}
		if err := h.enter(ctx); err != ErrBusy {
			t.Errorf("beyond the queue: %v", err)
		}
		h.leave()
		synctest.Wait()
		if len(outcomes) != 1 || <-outcomes != nil {
			t.Error("a freed slot did not go to one of the waiting")
		}
		time.Sleep(2 * time.Second)
		for range 2*waitingPerSlot - 1 {
			if err := <-outcomes; !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("waiting past the deadline: %v", err)
			}
		}
		h.leave()
		if err := h.enter(t.Context()); err != nil {
			t.Errorf("a free slot after the storm: %v", err)
		}
	})
}

func TestMemoryOfPasswordsGoesBackWhenItIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freed := 0
		h := NewHasher(Params{Slots: 2})
		h.free = func() { freed++ }
		enter := func() {
			if err := h.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		after := func(pause time.Duration, want int, when string) {
			t.Helper()
			time.Sleep(pause)
			synctest.Wait()
			if freed != want {
				t.Errorf("%s: given back %d times, want %d", when, freed, want)
			}
		}
		for range 10 {
			enter()
			h.leave()
			after(quietFor/2, 0, "one password soon after the other")
		}
		enter()
		enter()
		h.leave()
		after(time.Hour, 0, "one slot is still taken")
		h.leave()
		after(quietFor, 1, "a while after the last")
		after(time.Hour, 1, "nothing since")

		h = NewHasher(Params{MemoryKiB: worthFreeing - 1})
		h.free = func() { freed++ }
		enter()
		h.leave()
		after(time.Hour, 1, "cheap hashes")
	})
}

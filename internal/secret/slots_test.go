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

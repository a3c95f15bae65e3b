package secret

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestWaitingCountsThoseWithoutASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(Params{MemoryKiB: 64, Passes: 1, Threads: 1, Slots: 1})
		if err := h.enter(t.Context()); err != nil || h.Waiting() != 0 {
			t.Fatalf("%v; %d wait", err, h.Waiting())
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			go func() { _ = h.enter(ctx) }()
		}
		synctest.Wait()
		if got := h.Waiting(); got != 3 {
			t.Errorf("%d wait, want 3", got)
		}
		cancel()
		synctest.Wait()
		if got := h.Waiting(); got != 0 {
			t.Errorf("%d wait, want none", got)
		}
	})
}

package faults

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/spec"
)

// rotating is how long keys are rotated; by night it is long enough for new ones
// to take over twice.
func rotating() time.Duration {
	if nightly() {
		return 3 * time.Minute
	}
	return 3 * time.Second
}

// TestKeysAreRotatedByCommandUnderLoad gives the command again and again while two
// servers issue tokens that APIs take at once. gatehousetest has the same in
// minutes that nobody waits for.
func TestKeysAreRotatedByCommandUnderLoad(t *testing.T) {
	spec.Covers(t, "FT-23")
	h := twoServers(t).start()
	ended := make(chan struct{})
	var group sync.WaitGroup
	var taken atomic.Int64
	signers := sync.Map{}
	for i := range accounts {
		at, api := h.servers[i%len(h.servers)], h.protected()
		group.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(time.Millisecond):
				}
				said, err := at.service()
				token := said.member("access_token")
				if err != nil || token == "" {
					t.Errorf("%d %s %v", said.status, said.text, err)
					return
				}
				r := httptest.NewRequest(http.MethodGet, "/photos", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				api.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					t.Errorf("a token is refused: %d %s", w.Code, w.Header().Get("WWW-Authenticate"))
					return
				}
				signers.Store(claimsOf(t, token).KeyID, true)
				taken.Add(1)
			}
		})
	}
	for begin := time.Now(); (time.Since(begin) < rotating() || taken.Load() < 100) && !t.Failed(); time.Sleep(time.Second) {
		h.must(h.servers[0].gatehouse("keys", "rotate", "--now"))
	}
	close(ended)
	group.Wait()
	used := 0
	signers.Range(func(any, any) bool { used++; return true })
	if least := 1 + int(rotating()/(80*time.Second)); taken.Load() < 100 || used < least {
		t.Errorf("%d tokens were taken, of %d keys, want at least %d", taken.Load(), used, least)
	}
}

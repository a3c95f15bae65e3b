package login

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/kv"
)

// TestInventedNamesHoldUpNoStranger: whoever shuts ten thousand gates has not
// shut one of somebody else's along with them.
func TestInventedNamesHoldUpNoStranger(t *testing.T) {
	rule := gatehouse.Settings{}.WithDefaults().Throttle
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	guard := newThrottle(kv.NewMemory(kv.MemoryConfig{}), func() time.Time { return now })
	ring := playedRing("crowd")
	enter := func(name string) time.Duration {
		t.Helper()
		who := accountOf(ring, gatehouse.User{}, false, name)
		wait, err := guard.enter(t.Context(), []gate{gateOf("default", "address", rule.FreeAttempts, ring, who.tag)}, rule)
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	const invented, strangers = 10_000, 2_000
	for n := range invented {
		for range rule.FreeAttempts {
			enter(fmt.Sprint("invented ", n))
		}
	}
	if enter("invented 0") != rule.FirstDelay.Std() {
		t.Fatal("an invented name is not held up")
	}
	held := 0
	for n := range strangers {
		if enter(fmt.Sprint("stranger ", n)) > 0 {
			held++
		}
	}
	if held > 0 { // expected are 0.00003
		t.Errorf("%d of %d strangers wait", held, strangers)
	}
}

// TestTheTableForgets: a million names take no more memory than the table has
// slots, and what the window has passed over gives it back.
func TestTheTableForgets(t *testing.T) {
	names := 100_000
	if os.Getenv("GATEHOUSE_TEST_NIGHTLY") == "1" {
		names = 1_000_000
	}
	synctest.Test(t, func(t *testing.T) {
		rule := gatehouse.Settings{}.WithDefaults().Throttle
		counters := kv.NewMemory(kv.MemoryConfig{})
		guard := newThrottle(counters, time.Now)
		ring := playedRing("crowd")
		enter := func(n int) {
			t.Helper()
			who := accountOf(ring, gatehouse.User{}, false, fmt.Sprint("name ", n))
			if _, err := guard.enter(t.Context(), []gate{gateOf("default", "address", rule.FreeAttempts, ring, who.tag)}, rule); err != nil {
				t.Fatal(err)
			}
		}
		before := heap()
		for n := range names {
			enter(n)
		}
		// A slot has at most slotWays tallies beside what it costs the store.
		const most = throttleSlots * (slotWays*tallyBytes + 512)
		if grown := heap() - before; grown > most {
			t.Errorf("%d names took %d bytes, more than %d", names, grown, most)
		}
		time.Sleep(rule.Window.Std())
		for n := range throttleSlots / 2 { // each write clears four away
			enter(names + n)
		}
		if grown := heap() - before; grown > most/2 {
			t.Errorf("after the window %d bytes are still taken", grown)
		}
		runtime.KeepAlive(counters)
	})
}

func heap() int64 {
	var stats runtime.MemStats
	for range 3 { // pools give back what they hold at the second collection
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestAnOverfullSlotIsShared(t *testing.T) {
	rule := gatehouse.Settings{}.WithDefaults().Throttle
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	guard := newThrottle(kv.NewMemory(kv.MemoryConfig{}), func() time.Time { return now })
	enter := func(mark uint32) time.Duration {
		t.Helper()
		wait, err := guard.enter(t.Context(), []gate{{"slot", mark, 2}}, rule)
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	for mark := range uint32(slotWays) {
		for range 2 {
			if enter(mark) > 0 {
				t.Fatalf("%d waits", mark)
			}
		}
		if enter(mark) != rule.FirstDelay.Std() {
			t.Errorf("%d does not wait", mark)
		}
	}
	if enter(slotWays) != rule.FirstDelay.Std() {
		t.Error("one more is not counted at all")
	}
	stored, _, _ := guard.counters.Get(t.Context(), "slot")
	if len(stored) != slotWays*tallyBytes {
		t.Errorf("a slot takes %d bytes", len(stored))
	}
	// Somebody else's success forgives nobody else.
	if err := guard.forgive(t.Context(), []gate{{"slot", 0, 2}}); err != nil {
		t.Fatal(err)
	}
	if enter(1) == 0 || enter(slotWays) > 0 {
		t.Error("the place of who was forgiven is not free, or others were forgiven, too")
	}
	now = now.Add(rule.Window.Std())
	if enter(1) > 0 {
		t.Error("it still waits after the window")
	}
	if stored, _, _ = guard.counters.Get(t.Context(), "slot"); len(stored) != tallyBytes {
		t.Errorf("forgotten tallies are kept: %d bytes", len(stored))
	}
}

// TestAFullTableNeitherOpensNorShuts: guessing stays slow, and who knows the
// password signs in.
func TestAFullTableNeitherOpensNorShuts(t *testing.T) {
	h := newHouse(t)
	full := kv.NewMemory(kv.MemoryConfig{MaxKeys: 1})
	if err := full.Set(t.Context(), "somebody's", nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	h.endpoints.throttle.counters = full
	wantSignedIn(t, h.browser().signIn("alice", "correct horse"))
	b := h.browser()
	b.address = "203.0.113.9:1"
	wantStatus(t, b.signIn("bob", "wrong"), http.StatusUnprocessableEntity)
	before := h.verified
	for range 20 {
		wantStatus(t, b.signIn("bob", "wrong"), http.StatusTooManyRequests)
	}
	if h.verified != before {
		t.Error("passwords were checked that nobody counted")
	}
	other := h.browser()
	other.address = "203.0.113.10:1"
	wantStatus(t, other.signIn("bob", "battery staple"), http.StatusTooManyRequests) // bob's for all addresses
	h.pass(time.Minute)
	wantSignedIn(t, other.signIn("bob", "battery staple"))
}

// TestOneAddressAtManyAccounts: trying one password at everybody is limited by
// the address, before any of it is looked at.
func TestOneAddressAtManyAccounts(t *testing.T) {
	h := newHouse(t)
	h.tenant.Settings.RateLimits.FailuresPerAddress = 2
	owner := h.browser()
	owner.address = "203.0.113.7:1"
	wantSignedIn(t, owner.signIn("alice", "correct horse"))
	neighbour := h.browser()
	neighbour.address = "203.0.113.7:2"
	wantSignedIn(t, neighbour.signIn("bob", "battery staple"))

	spray := h.browser()
	spray.address = "203.0.113.7:3"
	for n := range 20 { // ten seconds' worth
		wantStatus(t, spray.signIn(fmt.Sprint("name ", n), "Summer2026!"), http.StatusUnprocessableEntity)
	}
	before := h.dummies + h.verified
	for n := range 5 {
		response := spray.signIn(fmt.Sprint("further ", n), "Summer2026!")
		wantWait(t, response, time.Second)
		if !strings.Contains(h.log.String(), "login-address-limited") {
			t.Fatalf("refused by another rule: %s", h.log.String())
		}
	}
	wantStatus(t, spray.signIn("alice", "correct horse"), http.StatusTooManyRequests)
	if h.dummies+h.verified != before {
		t.Error("passwords were looked at")
	}
	// Devices that their accounts know go on from the same address, and so does everybody from another.
	wantSignedIn(t, owner.signIn("alice", "correct horse"))
	elsewhere := h.browser()
	elsewhere.address = "203.0.113.8:1"
	wantSignedIn(t, elsewhere.signIn("alice", "correct horse"))
	h.pass(time.Second)
	wantStatus(t, spray.signIn("one more", "Summer2026!"), http.StatusUnprocessableEntity)
	h.tenant.Settings.RateLimits.FailuresPerAddress = -1
	for n := range 100 {
		wantStatus(t, spray.signIn(fmt.Sprint("without limit ", n), "Summer2026!"), http.StatusUnprocessableEntity)
	}
}

// TestOneAddressTakesNotAllChecks: while one network has its share of password
// checks under way, its next attempt is told to wait, and nobody else is.
func TestOneAddressTakesNotAllChecks(t *testing.T) {
	h := newHouse(t)
	owner := h.browser()
	owner.address = "203.0.113.7:1"
	wantSignedIn(t, owner.signIn("alice", "correct horse"))
	for range networkShare {
		if !h.endpoints.shares.enter("203.0.113.7") {
			t.Fatal("the share is smaller than it is said to be")
		}
	}
	stranger := h.browser()
	stranger.address = "203.0.113.7:2"
	wantWait(t, stranger.signIn("bob", "battery staple"), busyWait)
	wantSignedIn(t, owner.signIn("alice", "correct horse")) // a known device
	elsewhere := h.browser()
	elsewhere.address = "203.0.113.8:1"
	wantSignedIn(t, elsewhere.signIn("bob", "battery staple"))

	h.endpoints.shares.leave("203.0.113.7")
	wantSignedIn(t, stranger.signIn("bob", "battery staple"))
	for range networkShare - 1 {
		h.endpoints.shares.leave("203.0.113.7")
	}
	if left := len(h.endpoints.shares.taken); left != 0 {
		t.Errorf("%d networks are remembered", left)
	}
}

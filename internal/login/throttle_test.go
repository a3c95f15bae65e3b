package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/interaction"
	"gatehouse/internal/spec"
	"gatehouse/kv"
)

// wantWait asserts that the answer is the form with the wait in words and in
// Retry-After, and returns it.
func wantWait(t *testing.T, response *http.Response, want time.Duration) {
	t.Helper()
	wantStatus(t, response, http.StatusTooManyRequests)
	if got := response.Header.Get("Retry-After"); got != strconv.Itoa(int(want.Seconds())) {
		t.Fatalf("Retry-After %s, want %v", got, want)
	}
	if page := bodyOf(response); !strings.Contains(page, "Wait "+englishSpan(want)) || !strings.Contains(page, `id="login-form"`) {
		t.Fatalf("the page does not say how long: %s", page)
	}
}

func TestDelayDoublesUpToItsCap(t *testing.T) {
	h := newHouse(t)
	rule := h.tenant.Settings.Throttle
	b := h.browser()
	for range rule.FreeAttempts {
		wantStatus(t, b.signIn("alice", "wrong"), http.StatusUnprocessableEntity)
	}
	delay := rule.FirstDelay.Std()
	for range 14 {
		wantWait(t, b.signIn("alice", "correct horse"), delay)
		h.pass(delay - time.Second)
		wantWait(t, b.signIn("alice", "wrong"), time.Second)
		h.pass(time.Second)
		wantStatus(t, b.signIn("alice", "wrong"), http.StatusUnprocessableEntity)
		delay = min(2*delay, rule.MaxDelay.Std())
	}
	if delay != rule.MaxDelay.Std() {
		t.Fatalf("the delay ended at %v", delay)
	}
	h.pass(delay)
	wantSignedIn(t, b.signIn("alice", "correct horse"))
	delete(b.cookies, deviceName)
	for range rule.FreeAttempts {
		wantStatus(t, b.signIn("alice", "wrong"), http.StatusUnprocessableEntity)
	}
}

func TestWaitingAttemptsCheckNoPassword(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	for range h.tenant.Settings.Throttle.FreeAttempts {
		b.signIn("nosuch", "wrong")
	}
	before := h.dummies
	for range 10 {
		wantWait(t, b.signIn("nosuch", "wrong"), time.Second)
	}
	if h.dummies != before {
		t.Error("a password was checked while the gate was shut")
	}
}

func TestSpellingsShareOneCounter(t *testing.T) {
	spec.Covers(t, "BF-01")
	h := newHouse(t)
	spellings := []string{"alice", "ALICE", " alice ", "Alice@Mail.Example", "\talice@mail.example"}
	for i := range h.tenant.Settings.Throttle.FreeAttempts {
		wantStatus(t, h.browser().signIn(spellings[i%len(spellings)], "wrong"), http.StatusUnprocessableEntity)
	}
	for _, spelling := range spellings {
		wantWait(t, h.browser().signIn(spelling, "correct horse"), time.Second)
	}
	for _, key := range h.failures {
		if key != h.failures[0] {
			t.Errorf("events of one account under %s and %s", h.failures[0], key)
		}
		if strings.Contains(key, "alice") {
			t.Error("the key tells the name")
		}
	}
	wantSignedIn(t, h.browser().signIn("bob", "battery staple"))
}

func TestStrangersDoNotLockTheOwnerOut(t *testing.T) {
	spec.Covers(t, "BF-05", "RFC6819-5.1.4.2-1")
	h := newHouse(t)
	owner := h.browser()
	owner.address = "198.51.100.7:1"
	wantSignedIn(t, owner.signIn("alice", "correct horse"))

	one := h.browser()
	for range 30 {
		one.signIn("alice", "wrong")
	}
	elsewhere := h.browser()
	elsewhere.address = "203.0.113.5:1"
	wantSignedIn(t, elsewhere.signIn("alice", "correct horse")) // one stranger stops nobody but himself

	// Thousands of addresses shut the account to devices that it does not know.
	for n := range 100 {
		many := h.browser()
		many.address = fmt.Sprintf("[2001:db8:%x::1]:1", n)
		many.signIn("alice", "wrong")
	}
	wantStatus(t, one.signIn("alice", "correct horse"), http.StatusTooManyRequests)
	unknown := h.browser()
	unknown.address = "203.0.113.6:1"
	wantStatus(t, unknown.signIn("alice", "correct horse"), http.StatusTooManyRequests)

	// The known device signs in, from wherever it is, and its session lives.
	i := owner.begin(interaction.Interaction{}, interaction.StageLogin)
	wantSignedIn(t, owner.post("/login", hidden(bodyOf(owner.get("/login?i="+i)), "continue-form")))
	owner.address = "203.0.113.99:1"
	wantSignedIn(t, owner.signIn("alice", "correct horse"))

	// Its mark is no licence to guess, and none for another account.
	for range h.tenant.Settings.Throttle.FreeAttempts {
		wantStatus(t, owner.signIn("alice", "wrong"), http.StatusUnprocessableEntity)
	}
	wantWait(t, owner.signIn("alice", "correct horse"), time.Second)
	h.pass(h.tenant.Settings.Throttle.MaxDelay.Std())
	wantSignedIn(t, unknown.signIn("alice", "correct horse")) // the lock is temporary
}

func TestNeighboursInAnIPv6NetworkAreOneCaller(t *testing.T) {
	h := newHouse(t)
	for n := range h.tenant.Settings.Throttle.FreeAttempts {
		b := h.browser()
		b.address = fmt.Sprintf("[2001:db8::%x]:1", n)
		wantStatus(t, b.signIn("alice", "wrong"), http.StatusUnprocessableEntity)
	}
	b := h.browser()
	b.address = "[2001:db8::ffff]:1"
	wantWait(t, b.signIn("alice", "wrong"), time.Second)
	b.address = "[2001:db8:0:1::1]:1"
	wantStatus(t, b.signIn("alice", "wrong"), http.StatusUnprocessableEntity)
}

func TestKnownDeviceOfAnotherAccountOrTooOldIsUnknown(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	wantSignedIn(t, b.signIn("alice", "correct horse"))
	request := func() *http.Request {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: deviceName, Value: b.cookies[deviceName]})
		return r
	}
	known := func(subject string) bool {
		_, known := h.endpoints.knownDevice(h.request(request()), subject)
		return known
	}
	if !known("u-alice") || known("u-bob") || known("") {
		t.Fatalf("alice %v, bob %v, nobody %v", known("u-alice"), known("u-bob"), known(""))
	}
	wantSignedIn(t, b.signIn("bob", "battery staple"))
	wantSignedIn(t, b.signIn("bob", "battery staple"))
	if !known("u-alice") || !known("u-bob") || strings.Count(b.cookies[deviceName], ".") != 1 {
		t.Fatalf("both use the device: %s", b.cookies[deviceName])
	}
	h.tenant.ID = "other"
	r := h.request(request())
	r.Request = request()
	r.AddCookie(&http.Cookie{Name: "__Host-gh-device-other", Value: b.cookies[deviceName]})
	if _, known := h.endpoints.knownDevice(r, "u-alice"); known {
		t.Error("known in another tenant")
	}
	h.tenant.ID = gatehouse.DefaultTenant
	h.pass(deviceLifetime + time.Second)
	if known("u-alice") {
		t.Error("known for longer than it should be")
	}
	for n := range 2 * maxDeviceAccounts {
		subject := fmt.Sprint("u-", n)
		h.users[subject] = gatehouse.User{Subject: subject, Username: subject, PasswordHash: "plain:p"}
		wantSignedIn(t, b.signIn(subject, "p"))
	}
	if got := len(readMarks(b.cookies[deviceName])); got != maxDeviceAccounts || strings.Count(b.cookies[deviceName], ".") != maxDeviceAccounts-1 {
		t.Errorf("%d marks, want %d", got, maxDeviceAccounts)
	}
}

func TestManyAttemptsAtOnceAreNotCheaper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := gatehouse.Settings{}.WithDefaults().Throttle
		guard := newThrottle(kv.NewMemory(kv.MemoryConfig{}), time.Now)
		gates := []gate{{"a", 1, rule.FreeAttempts}, {"b", 1, 10 * rule.FreeAttempts}}
		attempts := func() int {
			var mu sync.Mutex
			var all sync.WaitGroup
			passed := 0
			for range 100 {
				all.Go(func() {
					wait, err := guard.enter(t.Context(), gates, rule)
					if err != nil {
						t.Error(err)
					}
					if wait == 0 {
						mu.Lock()
						passed++
						mu.Unlock()
					}
				})
			}
			all.Wait()
			return passed
		}
		// A race may turn somebody away too early, never let one in too many.
		if passed := attempts(); passed == 0 || passed > rule.FreeAttempts {
			t.Fatalf("%d of 100 passed", passed)
		}
		for range rule.FreeAttempts {
			if _, err := guard.enter(t.Context(), gates, rule); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(rule.FirstDelay.Std())
		if passed := attempts(); passed != 1 {
			t.Fatalf("%d of 100 passed after the first delay, want 1", passed)
		}
		time.Sleep(rule.Window.Std())
		if passed := attempts(); passed == 0 || passed > rule.FreeAttempts {
			t.Fatalf("%d of 100 passed after the window", passed)
		}
	})
}

func TestAShutGateCountsNowhere(t *testing.T) {
	rule := gatehouse.Throttle{FreeAttempts: 2, FirstDelay: config.Duration(time.Minute), MaxDelay: config.Duration(time.Hour), Window: config.Duration(time.Hour)}
	now := time.Now().Truncate(time.Millisecond)
	store := kv.NewMemory(kv.MemoryConfig{})
	guard := newThrottle(store, func() time.Time { return now })
	failures := func(key string) int {
		stored, _, _ := store.Get(t.Context(), key)
		if own := readSlot(stored, now).find(1); own != nil {
			return own.failures
		}
		return 0
	}
	wide := []gate{{"narrow", 1, 100}, {"wide", 1, 2}}
	for range 2 {
		if wait, err := guard.enter(t.Context(), wide, rule); wait != 0 || err != nil {
			t.Fatal(wait, err)
		}
	}
	for range 5 {
		if wait, err := guard.enter(t.Context(), wide, rule); wait != time.Minute || err != nil {
			t.Fatal(wait, err)
		}
	}
	if failures("narrow") != 2 || failures("wide") != 2 {
		t.Errorf("narrow %d, wide %d, want 2 and 2", failures("narrow"), failures("wide"))
	}
	if err := guard.giveBack(t.Context(), append(wide, gate{"absent", 1, 1}), rule); err != nil {
		t.Fatal(err)
	}
	if wait, err := guard.enter(t.Context(), wide, rule); wait != 0 || err != nil {
		t.Errorf("after the failure was taken back: %v, %v", wait, err)
	}
	if err := guard.forgive(t.Context(), wide); err != nil || failures("narrow")+failures("wide") != 0 {
		t.Errorf("forgiven: %v, %d, %d", err, failures("narrow"), failures("wide"))
	}
}

// lost counters lose every race, or fail.
type lostCounters struct{ err error }

func (l lostCounters) Get(context.Context, string) ([]byte, bool, error) {
	return nil, true, l.err
}

func (l lostCounters) Add(context.Context, string, []byte, time.Duration) (bool, error) {
	return false, l.err
}

func (l lostCounters) Swap(context.Context, string, []byte, []byte, time.Duration) (bool, error) {
	return false, l.err
}

func TestCountersThatFailLetNobodyIn(t *testing.T) {
	h := newHouse(t)
	h.endpoints.throttle.counters = lostCounters{}
	wantWait(t, h.browser().signIn("alice", "correct horse"), time.Second)
	h.endpoints.throttle.counters = lostCounters{errors.New("full")}
	wantRefused(t, h.browser().signIn("alice", "correct horse"), 500, "server-error")
	if h.verified != 0 {
		t.Error("a password was checked that nobody counted")
	}
}

func TestSlotsAreAFixedTable(t *testing.T) {
	ring := playedRing("slots")
	seen := map[string]bool{}
	for n := range 3 * throttleSlots {
		seen[gateOf("default", "address", 1, ring, []byte(strconv.Itoa(n))).key] = true
	}
	if len(seen) > throttleSlots || len(seen) < throttleSlots/2 {
		t.Errorf("%d keys for a table of %d", len(seen), throttleSlots)
	}
}

func FuzzDeviceCookie(f *testing.F) {
	ring := playedRing("device")
	mark := deviceMark{at: 1}
	mark.tag = [32]byte(ring.Current().MAC(mark.signed("u-alice")...))
	f.Add(mark.String())
	f.Add(writeMarks([]deviceMark{mark, {}, {at: 7}}))
	f.Add("..")
	f.Add("")
	f.Add(strings.Repeat("A", 70) + "." + mark.String() + "=")
	f.Fuzz(func(t *testing.T, text string) {
		marks := readMarks(text)
		if len(marks) > maxDeviceAccounts {
			t.Fatalf("%d marks", len(marks))
		}
		again := readMarks(writeMarks(marks))
		if len(again) != len(marks) {
			t.Fatalf("%d marks became %d", len(marks), len(again))
		}
		for i := range marks {
			if marks[i] != again[i] {
				t.Fatalf("mark %d changed", i)
			}
			if marks[i].genuine(ring, "u-alice", time.Unix(2, 0)) && marks[i] != mark {
				t.Fatalf("a forged mark: %q", text)
			}
		}
	})
}

func FuzzThrottleKey(f *testing.F) {
	f.Add("alice", "192.0.2.1")
	f.Add(" ALICE\t", "2001:db8::1%eth0")
	f.Add("", "")
	ring := playedRing("key")
	f.Fuzz(func(t *testing.T, name, address string) {
		who := accountOf(ring, gatehouse.User{}, false, name)
		if same := accountOf(ring, gatehouse.User{}, false, "  "+gatehouse.LoginKey(name)+" "); same.String() != who.String() {
			t.Fatalf("%q: another key for its normal form", name)
		}
		if user := accountOf(ring, gatehouse.User{Subject: name}, true, name); user.String() == who.String() {
			t.Fatalf("%q: a name and a subject share a key", name)
		}
		if key := gateOf("default", "address", 1, ring, who.tag, []byte(address)).String(); len(key) > 64 {
			t.Fatalf("key %q", key)
		}
	})
}

package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/spec"
	"gatehouse/jose"
)

const (
	// accounts are at work when the process is killed.
	accounts = 4
	// longestLife is from the start of the work to a kill.
	longestLife = 300 * time.Millisecond
)

// TestKilledAtRandomPoints kills the server, and the command that changes keys,
// with SIGKILL in the middle of redemptions, refreshes, revocations, consents and
// their withdrawal, starts it again, and holds against each other what was
// answered and what is there.
func TestKilledAtRandomPoints(t *testing.T) {
	spec.Covers(t, "FT-13", "FT-44")
	onEach(t, func(t *testing.T, database string, servers int) {
		h := newHouse(t, database, servers).start()
		var all []*account
		for i := range accounts {
			all = append(all, newAccount(t, fmt.Sprint("user", i)))
		}
		each(t, all, func(i int, a *account) error {
			a.act(h.servers[i%servers])
			return nil
		})
		turner := &turner{house: h}
		turner.settles(h.servers[0])
		for round := 0; round < rounds() || turner.cut == 0 && round < 3*rounds(); round++ {
			victim := h.servers[round/2%servers]
			h.interrupts(all, func(stop <-chan struct{}) { turner.works(victim, round, stop) }, victim.kill)
			victim.start()
			each(t, all, func(i int, a *account) error { return a.settles(h.servers[i%servers], false) })
			turner.settles(h.servers[round%servers])
			if t.Failed() {
				t.Fatalf("after kill %d", round+1)
			}
		}
		for _, s := range h.servers { // all at once, and as operators do
			s.stop()
		}
		h.start()
		each(t, all, func(i int, a *account) error {
			return errors.Join(a.settles(h.servers[i%servers], true), a.usable(h.servers[i%servers]))
		})
		events := h.events()
		each(t, all, func(_ int, a *account) error { return a.told(events) })
		h.wantActs(all, redeeming, refreshing, repeating, revoking, replaying, allowing, issuing, withdrawal)
		if turner.turned == 0 || turner.cut == 0 {
			t.Errorf("keys were changed %d times, and %d times in vain", turner.turned, turner.cut)
		}
	})
}

// interrupts has everybody at work, somebody else too, and strikes at some moment.
// It returns when all have stopped.
func (h *house) interrupts(all []*account, other func(stop <-chan struct{}), strike func()) {
	h.Helper()
	h.impatient = true
	defer func() { h.impatient = false }()
	begin, stop := make(chan struct{}), make(chan struct{})
	var work sync.WaitGroup
	for _, a := range all {
		work.Go(func() {
			<-begin
			a.works(h.servers, stop)
		})
	}
	work.Go(func() {
		<-begin
		other(stop)
	})
	close(begin)
	time.Sleep(time.Duration(rand.Int64N(int64(longestLife))))
	strike()
	close(stop)
	work.Wait()
}

// each has all accounts do something at once.
func each(t *testing.T, all []*account, do func(i int, a *account) error) {
	t.Helper()
	var group sync.WaitGroup
	for i, a := range all {
		group.Go(func() {
			if err := do(i, a); err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
		})
	}
	group.Wait()
}

// events counts the events of every grant, and fails unless their numbers grow.
func (h *house) events() map[string]map[gatehouse.EventKind]int {
	h.Helper()
	db, counts := h.beside(), map[string]map[gatehouse.EventKind]int{}
	for last := int64(0); ; {
		events, err := db.Events(h.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{After: last, Limit: 1000})
		if err != nil {
			h.Fatal(err)
		}
		if len(events) == 0 {
			return counts
		}
		for _, event := range events {
			if event.Seq <= last {
				h.Errorf("event %d comes after event %d", event.Seq, last)
			}
			last = event.Seq
			if counts[event.Grant] == nil {
				counts[event.Grant] = map[gatehouse.EventKind]int{}
			}
			counts[event.Grant][event.Kind]++
		}
	}
}

// wantActs fails unless each of these acts was answered, and some act was
// interrupted. How many are is the machine's affair.
func (h *house) wantActs(all []*account, acts ...string) {
	h.Helper()
	answered, unanswered := map[string]int{}, map[string]int{}
	interrupted := 0
	for _, a := range all {
		for act, count := range a.answered {
			answered[act] += count
		}
		for act, count := range a.unanswered {
			unanswered[act] += count
			interrupted += count
		}
	}
	for _, act := range acts {
		if answered[act] == 0 {
			h.Errorf("nobody was answered %q: %v", act, answered)
		}
	}
	if interrupted == 0 {
		h.Error("nothing was interrupted")
	}
	h.Logf("answered: %v; not answered: %v", answered, unanswered)
}

// turner changes keys by commands, and keeps a ledger of them.
type turner struct {
	house *house
	// inUse is the EdDSA key that signs.
	inUse string
	// reported and revoked are the ids of keys that a command told of.
	reported, revoked []string
	unsure            bool // the revocation of the key in use was cut off
	turned, cut       int
}

var (
	keyInUse     = regexp.MustCompile(`(?m)^(eddsa-[a-z0-9]+) +sign +in use`)
	keySuccessor = regexp.MustCompile(`(?m)^EdDSA: (eddsa-[a-z0-9]+) is used from now on`)
	keyNext      = regexp.MustCompile(`(?m): (es256-[a-z0-9]+) is`)
)

// works revokes the EdDSA key that is in use, and rotates the ES256 one. In every
// second round the command dies with the server.
func (k *turner) works(at *server, round int, stop <-chan struct{}) {
	if round%2 == 0 {
		stop = nil // never
	}
	k.unsure = true
	said, done := k.command(at, stop, "keys", "revoke", k.inUse, "--yes")
	if !done {
		return
	}
	k.unsure = false
	k.revoked = append(k.revoked, k.inUse)
	if next := keySuccessor.FindStringSubmatch(said); next != nil {
		k.reported = append(k.reported, next[1])
	}
	if said, done = k.command(at, stop, "keys", "rotate", "--now", "--algorithm", "ES256"); !done {
		return
	}
	if next := keyNext.FindStringSubmatch(said); next != nil {
		k.reported = append(k.reported, next[1])
	}
	k.turned++
}

// command runs a command until it has ended, or is stopped by SIGKILL.
func (k *turner) command(at *server, stop <-chan struct{}, arguments ...string) (said string, done bool) {
	command := at.command(arguments...)
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		k.house.Error(err)
		return "", false
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-stop:
		_ = command.Process.Kill()
		err = <-ended
		k.cut++
	}
	if err != nil && command.ProcessState.Exited() {
		k.house.Errorf("gatehouse %v: %v\n%s", arguments, err, output.String())
	}
	return output.String(), err == nil
}

// followed is when a running server has read what a command changed.
const followed = slack * 2 * time.Second

// settles holds the ledger against the command's list, and against the key set
// that the server publishes when it has read it.
func (k *turner) settles(at *server) {
	k.house.Helper()
	list := k.house.must(at.gatehouse("keys", "list"))
	inUse := keyInUse.FindAllStringSubmatch(list, -1)
	if len(inUse) != 1 {
		k.house.Fatalf("the keys are\n%s", list)
	}
	if k.unsure && k.inUse != inUse[0][1] {
		k.revoked = append(k.revoked, k.inUse) // done, and not reported
	}
	k.unsure, k.inUse = false, inUse[0][1]
	var wrong error
	for begin := time.Now(); time.Since(begin) < followed; time.Sleep(50 * time.Millisecond) {
		if wrong = k.published(at); wrong == nil {
			return
		}
	}
	k.house.Error(wrong)
}

// published says what is wrong with the published key set.
func (k *turner) published(at *server) error {
	said, err := at.get("/jwks")
	if err != nil {
		return err
	}
	set, err := jose.ParseKeySet([]byte(said.text))
	if err != nil {
		return err
	}
	var ids []string
	algorithms := map[jose.Algorithm]int{}
	for _, key := range set.Keys {
		ids = append(ids, key.ID)
		algorithms[key.Algorithm]++
	}
	for _, id := range k.revoked {
		if slices.Contains(ids, id) {
			return fmt.Errorf("key %s was revoked, and is published", id)
		}
	}
	for _, id := range append(k.reported, k.inUse) {
		if !slices.Contains(ids, id) && !slices.Contains(k.revoked, id) {
			return fmt.Errorf("key %s was reported, and is not published", id)
		}
	}
	if len(algorithms) != 4 || algorithms[jose.EdDSA] != 1 {
		return fmt.Errorf("the key set has %v", algorithms)
	}
	return nil
}

// TestKilledAtTheFirstStart kills a server that makes its database, its key file,
// its keys and its tenant, at random moments: the next start goes on from there.
func TestKilledAtTheFirstStart(t *testing.T) {
	spec.Covers(t, "FT-13", "FT-47")
	t.Parallel()
	for round := range rounds() / 4 {
		h := bareHouse(t, "", 1)
		s := h.servers[0]
		s.configure("apply: " + h.directory + "/tenant.yaml")
		withoutPeople, _, _ := strings.Cut(tenant(), "users:")
		h.write("tenant.yaml", withoutPeople)
		for range 2 {
			s.begin()
			time.Sleep(time.Duration(rand.Int64N(int64(longestLife))))
			s.kill()
		}
		s.start()
		if said, err := s.service(); err != nil || said.status != 200 {
			t.Fatalf("round %d: %d %s %v", round, said.status, said.text, err)
		}
		h.remove()
	}
}

package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/spec"
)

const (
	// stormCallers ask at each backend at once.
	stormCallers = 8
	// scarceBudget is what is let through of the scarce route in a window of the gateways' counts.
	scarceBudget = 10
	scarceWindow = 10 * time.Second
	// longestWork is from the start of the work to a kill.
	longestWork = 600 * time.Millisecond
)

// TestTwoOfEach: two servers, two backends and two gateways over one PostgreSQL and one
// Redis behave as one, and go on as one when one of each is killed in the middle of
// what people do.
func TestTwoOfEach(t *testing.T) {
	spec.Covers(t, "FT-13")
	t.Parallel()
	w := newWhole(t)
	log := &ledger{whole: w, ended: map[string]int{}}
	owed := w.logsOutUnheard()
	var beside sync.WaitGroup
	beside.Go(w.sharesLimits)
	w.sharesSignIns()
	w.sharesMarks()
	w.renewsOnce()
	w.feelsEnds()
	beside.Wait()
	log.awaits(owed)
	w.killsOneOfEach(log)
}

// logsOutUnheard logs somebody out at the first backend while the issuer answers no
// revocation, and kills the backend. It returns the grant, which is to end.
func (w *whole) logsOutUnheard() (grant string) {
	w.Helper()
	v := w.visitor("user7")
	w.ok(v.signsIn(w.bffs[0], w.bffs[0], w.servers[0]))
	grant = v.calls(w.bffs[0]).member("gid")
	w.silenced.Store(true)
	w.ok(v.signsOut(w.bffs[0]))
	w.bffs[0].kill()
	w.silenced.Store(false)
	w.open(w.bffs[0])
	return grant
}

func (w *whole) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// calls reads from the API, which must work.
func (v *visitor) calls(at *server) answer {
	v.w.Helper()
	said, err := v.w.ask(v.http, at, http.MethodGet, "/api/read")
	if err != nil || said.status != http.StatusOK || said.member("gid") == "" {
		v.w.Fatalf("%s calls at %s: %d %s %v\n%s", v.name, at.name, said.status, said.text, err, at.log())
	}
	return said
}

// sharesSignIns: people sign in at one backend, come back to the other, and go on at both.
func (w *whole) sharesSignIns() {
	w.Helper()
	for i := range people - 2 {
		v, here, there := w.visitor(fmt.Sprint("user", i)), w.bffs[i%2], w.bffs[1-i%2]
		w.ok(v.signsIn(here, there, w.servers[i/2%2]))
		if v.calls(here).member("gid") != v.calls(there).member("gid") {
			w.Errorf("%s has two sessions", v.name)
		}
		old := v.copied()
		w.ok(v.signsOut(there))
		for _, at := range w.bffs {
			if in, err := old.signedIn(at); in || err != nil {
				w.Errorf("%s logged out at %s, and at %s is signed in: %v %v", v.name, there.name, at.name, in, err)
			}
			if said, err := w.ask(old.http, at, http.MethodGet, "/api/read"); err != nil || said.status != http.StatusUnauthorized {
				w.Errorf("%s logged out at %s, and calls at %s: %d %v", v.name, there.name, at.name, said.status, err)
			}
		}
	}
}

// sharesMarks: what is good once is good once at all of them.
func (w *whole) sharesMarks() {
	w.Helper()
	v := w.visitor("user0")
	callback, err := v.landing(w.bffs[0], w.servers[0])
	w.ok(err)
	thief := v.copied()
	if said, err := w.ask(v.http, w.bffs[1], http.MethodGet, callback); err != nil || said.status >= 400 {
		w.Fatalf("a callback at the other backend: %d %s %v", said.status, said.text, err)
	}
	for _, at := range w.bffs {
		if said, err := w.ask(thief.http, at, http.MethodGet, callback); err != nil || said.status != http.StatusBadRequest {
			w.Errorf("a callback is good again at %s: %d %v", at.name, said.status, err)
		}
		if in, err := thief.signedIn(at); in || err != nil {
			w.Errorf("a callback that was used signs in at %s: %v", at.name, err)
		}
	}
	v.calls(w.bffs[0])

	code, err := newPerson("user1").allows(w.servers[0])
	w.ok(err)
	first := w.wants(200)(w.servers[1].redeem(code))
	w.wants(400)(w.servers[0].redeem(code))
	w.wants(400)(w.servers[0].refresh(first.member("refresh_token"))) // RFC 6749 §4.1.2: what came of it is revoked

	code, err = newPerson("user2").allows(w.servers[1])
	w.ok(err)
	first = w.wants(200)(w.servers[0].redeem(code))
	second := w.wants(200)(w.servers[1].refresh(first.member("refresh_token")))
	third := w.wants(200)(w.servers[0].refresh(second.member("refresh_token")))
	w.wants(400)(w.servers[1].refresh(first.member("refresh_token")))
	w.wants(400)(w.servers[0].refresh(third.member("refresh_token"))) // RFC 9700 §4.14.2: the chain is over
}

// wants takes an answer with a status.
func (w *whole) wants(status int) func(answer, error) answer {
	return func(said answer, err error) answer {
		w.Helper()
		if err != nil || said.status != status {
			w.Errorf("want %d, got %d %s %v", status, said.status, said.text, err)
		}
		return said
	}
}

// renewsOnce: when a token has expired, many callers at both backends get one and the
// same new one.
func (w *whole) renewsOnce() {
	w.Helper()
	v := w.visitor("user3")
	w.ok(v.signsIn(w.bffs[0], w.bffs[1], w.servers[0]))
	before := v.calls(w.bffs[0]).member("token")
	life, _ := time.ParseDuration(tokenLife)
	time.Sleep(time.Until(time.Unix(claimsOf(w.T, before).IssuedAt, 0).Add(life)))
	var calling sync.WaitGroup
	var mu sync.Mutex
	begin, tokens := make(chan struct{}), map[string]int{}
	for _, at := range w.bffs {
		for range stormCallers {
			calling.Go(func() {
				<-begin
				said, err := w.ask(v.http, at, http.MethodGet, "/api/read")
				if err != nil || said.status != http.StatusOK {
					w.Errorf("a call while the token is renewed: %d %s %v", said.status, said.text, err)
				}
				mu.Lock()
				defer mu.Unlock()
				tokens[said.member("token")]++
			})
		}
	}
	close(begin)
	calling.Wait()
	if len(tokens) != 1 || tokens[before] != 0 {
		w.Errorf("%d tokens were used in %d calls at once", len(tokens), 2*stormCallers)
	}
}

// feelsEnds: what is revoked at one server stops at both gateways.
func (w *whole) feelsEnds() {
	w.Helper()
	p := newPerson("user4")
	p.scope = unnamed
	code, err := p.allows(w.servers[0])
	w.ok(err)
	tokens := w.wants(200)(w.servers[0].redeem(code))
	other := w.wants(200)(w.servers[0].service()).member("access_token")
	for _, at := range w.gateways {
		w.wants(200)(w.direct(at, "/read", tokens.member("access_token")))
	}
	w.wants(200)(w.servers[1].revoke(tokens.member("refresh_token")))
	for _, at := range w.gateways {
		begin := time.Now()
		for {
			said, err := w.direct(at, "/read", tokens.member("access_token"))
			if err == nil && said.status == http.StatusUnauthorized {
				break
			}
			if time.Since(begin) > slack*time.Second {
				w.Fatalf("%s after %v: %d %v", at.name, time.Since(begin), said.status, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		w.wants(200)(w.direct(at, "/read", other)) // which has the same age
	}
}

// sharesLimits: what one gateway let through is missing at the other one.
func (w *whole) sharesLimits() {
	for range 4 {
		if left := scarceWindow - time.Duration(time.Now().UnixNano())%scarceWindow; left < 7*time.Second {
			time.Sleep(left)
		}
		window := time.Now().UnixNano() / int64(scarceWindow)
		at, through, refused := 0, [2]int{}, [2]bool{}
		for at < 2 && through[at] < scarceBudget {
			issued, err := w.servers[at].service()
			if err != nil || issued.status != http.StatusOK {
				w.Errorf("a token of the service: %d %v", issued.status, err)
				return
			}
			said, err := w.direct(w.gateways[at], "/scarce", issued.member("access_token"))
			switch {
			case err == nil && said.status == http.StatusOK:
				through[at]++
			case err == nil && said.status == http.StatusTooManyRequests:
				refused[at] = true
			default:
				w.Errorf("the scarce route: %d %s %v", said.status, said.text, err)
				return
			}
			if at == 0 && through[0] == scarceBudget {
				at = 1
			} else if refused[at] {
				at++
			} else if at == 1 {
				time.Sleep(500 * time.Millisecond) // the time that counts take, twice
			}
		}
		if time.Now().UnixNano()/int64(scarceWindow) != window {
			continue // it began anew
		}
		if !refused[1] {
			w.Errorf("the second gateway let %d through after the first one's %d", through[1], through[0])
		}
		return
	}
	w.Error("no attempt fits into a window")
}

// ledger knows which grants have ended, of the servers' own events.
type ledger struct {
	*whole
	ended map[string]int
	last  int64
	read  func(after int64) ([]gatehouse.Event, error)
}

// refresh reads what was added.
func (l *ledger) refresh() {
	l.Helper()
	if l.read == nil {
		db := l.beside()
		l.read = func(after int64) ([]gatehouse.Event, error) {
			return db.Events(l.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{After: after, Limit: 1000})
		}
	}
	for {
		events, err := l.read(l.last)
		l.ok(err)
		if len(events) == 0 {
			return
		}
		for _, event := range events {
			if l.last = event.Seq; event.Kind == gatehouse.EventGrantEnded {
				l.ended[event.Grant]++
			}
		}
	}
}

// awaits waits for the end of a grant.
func (l *ledger) awaits(grant string) {
	l.Helper()
	l.eventually("the token of somebody who logged out was not revoked", func() bool {
		l.refresh()
		return l.ended[grant] > 0
	})
}

// traveller is somebody of a crowd, and what they were answered.
type traveller struct {
	*visitor
	in     bool
	unsure bool   // the answer about it was lost
	grant  string // of the session
	// old browsers logged out, and over are their grants.
	old                  []*visitor
	over                 []string
	answered, unanswered int
}

// killsOneOfEach kills a server, a backend and a gateway at random moments of what a
// crowd does, again and again.
func (w *whole) killsOneOfEach(log *ledger) {
	w.Helper()
	var crowd []*traveller
	for i := range people {
		crowd = append(crowd, &traveller{visitor: w.visitor(fmt.Sprint("user", i))})
	}
	w.together(crowd, (*traveller).settles)
	kills := 3
	if nightly() {
		kills = 60
	}
	for round := range kills {
		w.impatient = true
		begin, stop := make(chan struct{}), make(chan struct{})
		var work, strikes sync.WaitGroup
		for _, one := range crowd {
			work.Go(func() {
				<-begin
				one.works(stop)
			})
		}
		victims := []*server{w.servers[round%2], w.bffs[rand.IntN(2)], w.gateways[rand.IntN(2)]}
		for _, victim := range victims {
			strikes.Go(func() {
				<-begin
				time.Sleep(time.Duration(rand.Int64N(int64(longestWork))))
				victim.kill()
			})
		}
		close(begin)
		strikes.Wait()
		close(stop)
		work.Wait()
		w.impatient = false
		victims[0].start()
		for _, victim := range victims[1:] {
			w.open(victim)
		}
		w.together(crowd, (*traveller).settles)
		if w.Failed() {
			w.Fatalf("after kill %d", round+1)
		}
	}
	answered, unanswered, over := 0, 0, 0
	for _, one := range crowd {
		for _, grant := range one.over {
			log.awaits(grant)
		}
		answered, unanswered, over = answered+one.answered, unanswered+one.unanswered, over+len(one.over)
	}
	for _, one := range crowd {
		if log.ended[one.grant] != 0 {
			w.Errorf("%s is signed in, and the grant has ended", one.name)
		}
	}
	w.Logf("%d answered, %d not, %d logouts", answered, unanswered, over)
}

// together has everybody do something at once.
func (w *whole) together(crowd []*traveller, do func(*traveller) error) {
	w.Helper()
	var group sync.WaitGroup
	for _, one := range crowd {
		group.Go(func() {
			if err := do(one); err != nil {
				w.Errorf("%s: %v", one.name, err)
			}
		})
	}
	group.Wait()
}

// works calls, logs out and signs in until it is to stop, or does not know where it is.
func (v *traveller) works(stop <-chan struct{}) {
	for !v.unsure {
		select {
		case <-stop:
			return
		default:
		}
		var err error
		at := v.w.bffs[rand.IntN(2)]
		switch {
		case !v.in:
			if err = v.signsIn(at, v.w.bffs[rand.IntN(2)], v.w.servers[rand.IntN(2)]); err == nil {
				v.in, v.grant = true, ""
			}
			v.unsure = err != nil
		case v.grant != "" && rand.IntN(6) == 0:
			v.old = append(v.old, v.copied())
			if err = v.signsOut(at); err == nil {
				v.leaves()
			}
			v.unsure = err != nil
		default:
			err = v.reads(at)
		}
		if _, wrong := errors.AsType[*unexpected](err); wrong {
			v.w.Errorf("%s: %v", v.name, err)
			return
		}
		if err == nil {
			v.answered++
		} else {
			v.unanswered++
		}
	}
}

// leaves notes that the session is over.
func (v *traveller) leaves() {
	v.over = append(v.over, v.grant)
	v.in, v.grant = false, ""
}

// reads calls the API by way of a backend and a gateway. Whoever is signed in is never
// told to sign in.
func (v *traveller) reads(at *server) error {
	said, err := v.w.ask(v.http, at, http.MethodGet, "/api/read")
	if err != nil {
		return err
	}
	if said.status != http.StatusOK {
		return notYet(said, "a call at "+at.name)
	}
	if v.grant != "" && v.grant != said.member("gid") {
		return &unexpected{"the session has another grant than before"}
	}
	v.grant = said.member("gid")
	return nil
}

// settles finds out what became of what was not answered, when all are there, holds it
// against what was answered, and signs in.
func (v *traveller) settles() error {
	var there [2]bool
	for i, at := range v.w.bffs {
		if err := v.insists(func() (err error) { there[i], err = v.signedIn(at); return err }); err != nil {
			return err
		}
	}
	if there[0] != there[1] || !v.unsure && there[0] != v.in {
		return fmt.Errorf("signed in: %v at the backends, %v by what was answered (unsure: %v)", there, v.in, v.unsure)
	}
	switch v.unsure = false; {
	case v.in && !there[0]:
		v.leaves()
	case v.in: // the logout had no effect
		if n := len(v.old); n > 0 {
			if was, err := v.old[n-1].signedIn(v.w.bffs[0]); err == nil && was {
				v.old = v.old[:n-1]
			}
		}
	default:
		v.in = there[0] // the answer to the sign-in was lost, and the cookie was not
	}
	for _, old := range v.old {
		for _, at := range v.w.bffs {
			if err := v.insists(func() error {
				in, err := old.signedIn(at)
				if in {
					return &unexpected{"a session that was logged out lives"}
				}
				return err
			}); err != nil {
				return err
			}
		}
	}
	if !v.in {
		if err := v.insists(func() error { return v.signsIn(v.w.bffs[0], v.w.bffs[1], v.w.servers[rand.IntN(2)]) }); err != nil {
			return err
		}
		v.in, v.grant = true, ""
	}
	for _, at := range v.w.bffs {
		if err := v.insists(func() error { return v.reads(at) }); err != nil {
			return err
		}
	}
	return nil
}

// insists does something again while the times are bad.
func (v *traveller) insists(do func() error) error {
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := do()
		if _, wrong := errors.AsType[*unexpected](err); err == nil || wrong || time.Since(begin) > patience {
			return err
		}
	}
}

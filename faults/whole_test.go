package faults

import (
	"fmt"
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
	v := w.guest("user7")
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
func (v *guest) calls(at *server) answer {
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
		v, here, there := w.guest(fmt.Sprint("user", i)), w.bffs[i%2], w.bffs[1-i%2]
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
	v := w.guest("user0")
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
	v := w.guest("user3")
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

package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// longestWork is from the start of the work of a crowd to a kill.
const longestWork = 600 * time.Millisecond

// traveller is somebody of a crowd, and what they were answered.
type traveller struct {
	*guest
	in     bool
	unsure bool   // the answer about it was lost
	grant  string // of the session
	// old browsers logged out, and over are their grants.
	old                  []*guest
	over                 []string
	answered, unanswered int
}

// killsOneOfEach kills a server, a backend and a gateway at random moments of what a
// crowd does, again and again.
func (w *whole) killsOneOfEach(log *ledger) {
	w.Helper()
	var crowd []*traveller
	for i := range people {
		crowd = append(crowd, &traveller{guest: w.guest(fmt.Sprint("user", i))})
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

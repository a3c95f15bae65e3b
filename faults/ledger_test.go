package faults

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// life is what a client knows of one grant.
type life struct {
	code            string
	accepted        int       // redemptions that were answered with tokens
	access, refresh string    // the newest
	id              string    // the ID token
	before          string    // the refresh token before the newest
	at              time.Time // when it was replaced
	sent            string    // what was asked last and not answered, "" when nothing
	ended           bool      // an end was answered
	revoked         bool      // and it was a revocation
}

// grace is the tenant's, which admits a restart on a busy machine.
const grace = 5 * time.Minute

// Acts.
const (
	redeeming  = "redeem"
	refreshing = "refresh"
	repeating  = "refresh again"
	revoking   = "revoke"
	replaying  = "redeem again"
	allowing   = "allow"
	issuing    = "authorize"
	withdrawal = "withdraw"
)

func (l *life) takes(a answer) {
	if l.refresh != "" {
		l.before, l.at = l.refresh, time.Now()
	}
	l.access, l.refresh, l.id = a.member("access_token"), a.member("refresh_token"), a.member("id_token")
}

// claims are what we look at in an access token, in its header or its payload.
type claims struct {
	KeyID    string `json:"kid"`
	IssuedAt int64  `json:"iat"`
	Handle   string `json:"gid"` // what the events call the grant
}

func claimsOf(t testing.TB, token string) (c claims) {
	t.Helper()
	header, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	for _, part := range []string{header, payload} {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err != nil {
			t.Errorf("%q is no token: %v", token, err)
		}
	}
	return c
}

// account is one person's, and the client's, ledger: what was acknowledged, and
// what was asked and not answered.
type account struct {
	testing.TB
	*person
	consented  bool
	sent       string // allowing or withdrawal, when that was not answered
	lives      []*life
	touched    []*life        // since the last kill
	answered   map[string]int // acts
	unanswered map[string]int
}

func newAccount(t testing.TB, name string) *account {
	return &account{TB: t, person: newPerson(name), answered: map[string]int{}, unanswered: map[string]int{}}
}

// living is one of the grants that have tokens and were not ended, or nil.
func (a *account) living() *life {
	var all []*life
	for _, l := range a.lives {
		if !l.ended && l.refresh != "" && l.sent == "" {
			all = append(all, l)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[rand.IntN(len(all))]
}

// works does one thing after the other until it is stopped, or finds no answer.
func (a *account) works(at []*server, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if !a.act(at[rand.IntN(len(at))]) {
			return
		}
	}
}

// act does one thing and says whether it was answered.
func (a *account) act(at *server) bool {
	l, choice := a.living(), rand.IntN(100)
	switch {
	case !a.consented:
		return a.allow(at)
	case l == nil || choice < 30:
		return a.begin(at)
	case choice < 80:
		return a.use(at, l, refreshing)
	case choice < 85 && l.before != "" && time.Since(l.at) < grace/2:
		return a.use(at, l, repeating)
	case choice < 92:
		return a.use(at, l, revoking)
	case choice < 96:
		return a.use(at, l, replaying)
	}
	return a.withdraw(at)
}

// lost counts what found no answer. An answer that is none is an error.
func (a *account) lost(act string, err error) bool {
	if wrong, is := errors.AsType[*unexpected](err); is {
		a.Error(wrong)
	}
	a.unanswered[act]++
	return false
}

// allow is a new consent and the code that comes of it.
func (a *account) allow(at *server) bool {
	a.sent = allowing
	code, err := a.allows(at)
	if err != nil {
		return a.lost(allowing, err)
	}
	a.sent, a.consented = "", true
	a.answered[allowing]++
	return a.redeems(at, code)
}

// begin is a code without a page, by the consent that there is.
func (a *account) begin(at *server) bool {
	code, problem, err := a.silently(at)
	if err != nil {
		return a.lost(issuing, err)
	}
	if code == "" {
		a.Errorf("%s allowed the client, and is answered %s", a.name, problem)
		return false
	}
	a.answered[issuing]++
	return a.redeems(at, code)
}

func (a *account) redeems(at *server, code string) bool {
	l := &life{code: code}
	a.lives = append(a.lives, l)
	return a.use(at, l, redeeming)
}

// use asks for something of a grant. It keeps in the ledger what is answered.
func (a *account) use(at *server, l *life, act string) bool {
	a.touched = append(a.touched, l)
	l.sent = act
	said, err := a.ask(at, l, act)
	if err != nil {
		return a.lost(act, err)
	}
	l.sent = ""
	a.answered[act]++
	switch {
	case act == replaying:
		a.wants(said, 400, "invalid_grant", "a code is redeemed again")
		l.ended = true
	case said.status != 200:
		a.Errorf("%s: %d %s", act, said.status, said.text)
		l.ended = true
	case act == redeeming:
		l.accepted++
		l.takes(said)
	case act == refreshing:
		l.takes(said)
	case act == repeating:
		if said.member("refresh_token") != l.refresh {
			a.Error("a refresh token has two successors")
		}
	case act == revoking:
		l.ended, l.revoked = true, true
	}
	return true
}

func (a *account) ask(at *server, l *life, act string) (said answer, err error) {
	switch act {
	case redeeming, replaying:
		said, err = at.redeem(l.code)
	case refreshing:
		said, err = at.refresh(l.refresh)
	case repeating:
		said, err = at.refresh(l.before)
	default:
		said, err = at.revoke(l.refresh)
	}
	if err == nil && said.status == 503 {
		err = errNotNow
	}
	return said, err
}

func (a *account) withdraw(at *server) bool {
	a.sent = withdrawal
	done, err := a.withdraws(at)
	if err != nil {
		return a.lost(withdrawal, err)
	}
	if !done {
		a.Errorf("%s allowed the client, and there is nothing to withdraw", a.name)
	}
	a.sent = ""
	a.answered[withdrawal]++
	a.withdrawn()
	return true
}

func (a *account) withdrawn() {
	a.consented = false
	for _, l := range a.lives {
		l.ended = true
	}
}

func (a *account) wants(said answer, status int, problem, what string) {
	a.Helper()
	if said.status != status || said.member("error") != problem {
		a.Errorf("%s: %d %s, want %d %s", what, said.status, said.text, status, problem)
	}
}

// settles asks again what found no answer, and holds the ledger against what is
// there: of the grants that were touched lately, or of all.
func (a *account) settles(at *server, all bool) error {
	code, problem, err := a.silently(at)
	if err != nil {
		return err
	}
	switch allowed := code != ""; {
	case !allowed && problem != "consent_required" && problem != "login_required":
		return fmt.Errorf("%s is answered %s", a.name, problem)
	case problem == "login_required" && a.consented: // who allowed something has signed in
		return fmt.Errorf("the session of %s is lost", a.name)
	case a.sent == withdrawal && !allowed:
		a.withdrawn() // done, and not answered
	case a.sent == allowing && allowed:
		a.consented = true
	case allowed != a.consented:
		a.Errorf("the client is allowed: %v, and %s was answered: %v", allowed, a.name, a.consented)
	}
	a.sent = ""
	looked := a.touched
	if all {
		looked = a.lives
	}
	a.touched = nil
	for _, l := range looked {
		if err := a.settle(at, l); err != nil {
			return err
		}
	}
	return nil
}

// settle looks at one grant. An error means that there was no answer.
func (a *account) settle(at *server, l *life) error {
	sent := l.sent
	l.sent = ""
	if sent != "" && !l.ended {
		if err := a.repeat(at, l, sent); err != nil {
			return err
		}
	}
	if l.accepted > 1 {
		a.Errorf("a code was redeemed %d times", l.accepted)
	}
	if l.refresh == "" { // ended before there were tokens
		return nil
	}
	for _, token := range []string{l.refresh, l.access} {
		ask := at.introspect
		if l.ended {
			ask = at.introspectEnded
		}
		said, err := ask(token)
		if err != nil {
			return err
		}
		if want := fmt.Sprint(!l.ended); said.member("active") != want {
			a.Errorf("after %q a token is active: %s, want %s", sent, said.member("active"), want)
		}
	}
	return nil
}

// repeat asks once more what was not answered.
func (a *account) repeat(at *server, l *life, sent string) error {
	if sent == repeating || sent == refreshing {
		said, err := a.ask(at, l, sent)
		if err != nil {
			return err
		}
		a.wants(said, 200, "", "repeated within the grace, "+sent)
		if sent == repeating && said.member("refresh_token") != l.refresh {
			a.Error("a refresh token has two successors")
		}
		if sent == refreshing {
			l.takes(said)
		}
		return nil
	}
	said, err := a.ask(at, l, sent)
	switch {
	case err != nil:
		return err
	case sent == redeeming && said.status == 200:
		l.accepted++
		l.takes(said)
	case sent == redeeming || sent == replaying: // it had been used
		a.wants(said, 400, "invalid_grant", "repeated, "+sent)
		l.ended = true
	default:
		a.wants(said, 200, "", "repeated, "+sent)
		l.ended = true
	}
	return nil
}

// usable refreshes every grant that lives, and sees every other one refused.
func (a *account) usable(at *server) error {
	for _, l := range a.lives {
		if l.refresh == "" {
			continue
		}
		said, err := at.refresh(l.refresh)
		switch {
		case err != nil:
			return err
		case l.ended:
			a.wants(said, 400, "invalid_grant", "a refresh of what has ended")
		default:
			a.wants(said, 200, "", "a refresh of what lives")
			l.takes(said)
		}
	}
	return nil
}

// told holds the ledger against the events: each redemption that was answered
// has one, and each end.
func (a *account) told(events map[string]map[gatehouse.EventKind]int) error {
	var wrong error
	for _, l := range a.lives {
		if l.accepted == 0 {
			continue
		}
		seen := events[claimsOf(a, l.access).Handle]
		if seen[gatehouse.EventCodeRedeemed] != 1 {
			wrong = errors.Join(wrong, fmt.Errorf("%d events tell of a redemption that was answered once", seen[gatehouse.EventCodeRedeemed]))
		}
		if ends := seen[gatehouse.EventGrantEnded]; l.ended && ends != 1 || !l.ended && ends != 0 {
			wrong = errors.Join(wrong, fmt.Errorf("%d events tell of the end of a grant (ended: %v, revoked: %v)", ends, l.ended, l.revoked))
		}
	}
	return wrong
}

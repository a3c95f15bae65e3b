package gatehousetest_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"gatehouse/gatehousetest"
)

// What is done to a grant.
type (
	doing struct {
		grant int
		what  string
		// generation is that of the refresh token.
		generation int
	}
	// done is what the answer said.
	done struct {
		accepted bool
	}
	// condition is a grant as anybody can describe it who does one thing after the other.
	condition struct {
		issued, redeemed, ended bool
		generation              int // of the newest refresh token
	}
)

const (
	issuing      = "issue"
	redeeming    = "redeem"
	refreshing   = "refresh"
	revoking     = "revoke"
	introspected = "introspect"
)

// step says whether a grant in that condition may be answered like this, and its next condition.
func step(state, input, output any) (bool, any) {
	is, do, answered := state.(condition), input.(doing), output.(done).accepted
	alive := is.redeemed && !is.ended
	switch do.what {
	case issuing:
		was := is.issued
		is.issued = true
		return answered == !was, is
	case redeeming:
		if is.issued && !is.redeemed && !is.ended {
			is.redeemed, is.generation = true, 1
			return answered, is
		}
		is.ended = true // the second redemption ends everything
		return !answered, is
	case refreshing:
		switch {
		case alive && do.generation == is.generation:
			is.generation++
			return answered, is
		case alive && do.generation == is.generation-1: // within the grace: the same successor
			return answered, is
		case alive:
			is.ended = true // a replay
		}
		return !answered, is
	case revoking:
		is.ended = true
		return answered, is
	}
	return answered == alive, is // introspected
}

// oneByOne is the model in which a history is looked at, each grant by itself.
func oneByOne(grants int) porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			parts := make([][]porcupine.Operation, grants)
			for _, operation := range history {
				grant := operation.Input.(doing).grant
				parts[grant] = append(parts[grant], operation)
			}
			return parts
		},
		Init: func() any { return condition{} }, Step: step,
	}
}

func TestHistoriesThatNobodyMayHave(t *testing.T) {
	at := func(call, end int64, what string, generation int, accepted bool) porcupine.Operation {
		return porcupine.Operation{ClientId: int(call), Input: doing{0, what, generation}, Call: call, Output: done{accepted}, Return: end}
	}
	begun := []porcupine.Operation{at(0, 1, issuing, 0, true), at(2, 3, redeeming, 0, true), at(4, 5, refreshing, 1, true)}
	for name, c := range map[string]struct {
		more []porcupine.Operation
		may  bool
	}{
		"the same successor":               {[]porcupine.Operation{at(6, 9, refreshing, 1, true), at(7, 8, refreshing, 2, true)}, true},
		"two redemptions":                  {[]porcupine.Operation{at(6, 7, redeeming, 0, true)}, false},
		"life after a second redemption":   {[]porcupine.Operation{at(6, 7, redeeming, 0, false), at(8, 9, introspected, 0, true)}, false},
		"the oldest after two rotations":   {[]porcupine.Operation{at(6, 7, refreshing, 2, true), at(8, 9, refreshing, 1, true)}, false},
		"a refresh after the revocation":   {[]porcupine.Operation{at(6, 7, revoking, 0, true), at(8, 9, refreshing, 2, true)}, false},
		"a refresh beside the revocation":  {[]porcupine.Operation{at(6, 9, revoking, 0, true), at(7, 8, refreshing, 2, true)}, true},
		"inactive without having ended":    {[]porcupine.Operation{at(6, 7, introspected, 0, false)}, false},
		"a refusal of the newest, at ease": {[]porcupine.Operation{at(6, 7, refreshing, 2, false)}, false},
	} {
		if may := porcupine.CheckOperations(oneByOne(1), append(begun[:3:3], c.more...)); may != c.may {
			t.Errorf("%s: may be, says the model: %v", name, may)
		}
	}
}

// life is one grant and the tokens that are known of it.
type life struct {
	mu           sync.Mutex
	code, access string
	refresh      []string // by generation, from 1
}

func (l *life) learn(t *testing.T, generation int, token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if generation <= len(l.refresh) {
		if l.refresh[generation-1] != token {
			t.Errorf("two different tokens are generation %d", generation)
		}
		return
	}
	l.refresh = append(l.refresh, token)
}

// pick returns a refresh token, mostly the newest that is known.
func (l *life) pick() (token string, generation int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	generation = len(l.refresh)
	if generation > 1 && rand.IntN(12) == 0 {
		generation -= rand.IntN(min(generation, 3))
	}
	if generation == 0 {
		return "", 0
	}
	return l.refresh[generation-1], generation
}

// elsewhere is how much later another server's end may be seen by introspection.
const elsewhere = time.Second

// TestConcurrentHistoriesAreLinearizable has clients issue, redeem, refresh, revoke and introspect at
// once, at one server or at two on one database, and looks whether all answers could have been given
// one after the other. Of two servers each may introspect as of a moment ago.
func TestConcurrentHistoriesAreLinearizable(t *testing.T) {
	issuers := []*gatehousetest.Issuer{gatehousetest.Start(t, gatehousetest.Options{Tenant: tenant})}
	t.Run("one server", func(t *testing.T) { linearizable(t, issuers, 0) })
	t.Run("two servers", func(t *testing.T) {
		here, there := replicas(t)
		linearizable(t, []*gatehousetest.Issuer{here, there}, elsewhere)
	})
}

func linearizable(t *testing.T, issuers []*gatehousetest.Issuer, lag time.Duration) {
	const grants, workers = 16, 8
	acts := 80
	if nightly() {
		acts = 400
	}
	browser := issuers[0].NewBrowser(t)
	page := browser.SignIn(authorization, "alice", "wonderland-alice")
	if page.Location == nil {
		t.Fatal(page.Text)
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	begin := time.Now()
	record := func(worker int, do doing, act func() bool) {
		called := time.Since(begin)
		if do.what == introspected {
			called -= lag
		}
		accepted := act()
		returned := time.Since(begin)
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{ClientId: worker, Input: do, Call: int64(called), Output: done{accepted}, Return: int64(returned)})
	}
	lives := make([]life, grants)
	for grant := range lives {
		record(0, doing{grant: grant, what: issuing}, func() bool {
			location := browser.Get(authorization).Location
			lives[grant].code = location.Query().Get("code")
			return lives[grant].code != ""
		})
	}
	var working sync.WaitGroup
	barrier := make(chan struct{})
	for worker := range workers {
		working.Go(func() {
			<-barrier
			for range acts {
				grant := rand.IntN(grants)
				issuer, life := issuers[rand.IntN(len(issuers))], &lives[grant]
				life.act(t, issuer, grant, func(do doing, act func() bool) { record(worker, do, act) })
			}
		})
	}
	close(barrier)
	working.Wait()
	if result := porcupine.CheckOperationsTimeout(oneByOne(grants), history, time.Minute); result != porcupine.Ok {
		t.Errorf("the history of %d acts: %s", len(history), result)
		for _, operation := range history {
			t.Logf("%+v", operation)
		}
	}
	accepted := map[string]int{}
	for _, operation := range history {
		if operation.Output.(done).accepted {
			accepted[operation.Input.(doing).what]++
		}
	}
	if accepted[refreshing] < grants || accepted[introspected] == 0 || accepted[redeeming] == 0 {
		t.Errorf("hardly anything was accepted: %v", accepted)
	}
}

// act does something to the grant.
func (l *life) act(t *testing.T, issuer *gatehousetest.Issuer, grant int, record func(doing, func() bool)) {
	token, generation := l.pick()
	l.mu.Lock()
	access := l.access
	l.mu.Unlock()
	choice := rand.IntN(100)
	switch {
	case generation == 0 && choice < 80: // others are at it
		time.Sleep(time.Millisecond)
	case generation == 0 || choice == 0: // redeemed again now and then
		record(doing{grant: grant, what: redeeming}, func() bool {
			answer := redeem(t, issuer, l.code)
			if answer.StatusCode == http.StatusOK {
				l.mu.Lock()
				l.access = answer.Member("access_token")
				l.mu.Unlock()
				l.learn(t, 1, answer.Member("refresh_token"))
			}
			return accepted(t, answer)
		})
	case choice < 65:
		record(doing{grant: grant, what: refreshing, generation: generation}, func() bool {
			answer := refresh(t, issuer, token)
			if answer.StatusCode == http.StatusOK {
				l.learn(t, generation+1, answer.Member("refresh_token"))
			}
			return accepted(t, answer)
		})
	case choice < 66:
		record(doing{grant: grant, what: revoking}, func() bool {
			return accepted(t, issuer.Post(t, "/revoke", "web", webSecret, url.Values{"token": {token}}))
		})
	case access != "":
		record(doing{grant: grant, what: introspected}, func() bool {
			answer := issuer.Post(t, "/introspect", "web", webSecret, url.Values{"token": {access}})
			return accepted(t, answer) && answer.Member("active") == "true"
		})
	}
}

// accepted says whether the answer is a success; what is neither that nor a refusal fails the test.
func accepted(t *testing.T, answer gatehousetest.Answer) bool {
	switch answer.StatusCode {
	case http.StatusOK:
		return true
	case http.StatusBadRequest:
		if answer.Member("error") == "invalid_grant" {
			return false
		}
	}
	t.Error(fmt.Sprint("neither a success nor a refusal: ", answer.StatusCode, answer.Text))
	return false
}

package faults

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/spec"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

// twoServers are on one PostgreSQL database and do not run yet. One server is
// raced in authserver's own tests, on either database.
func twoServers(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return newHouse(t, postgrestest.Schema(t), 2)
}

// together has some callers ask at once, as nearly as a barrier can, in turn at
// all servers, and returns their answers.
func (h *house) together(callers int, ask func(nth int, at *server) (answer, error)) []answer {
	h.Helper()
	answers := make([]answer, callers)
	barrier := make(chan struct{})
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			<-barrier
			var err error
			if answers[i], err = ask(i, h.servers[i%len(h.servers)]); err != nil {
				h.Error(err)
			}
		})
	}
	close(barrier)
	group.Wait()
	return answers
}

// one is the one of many callers who got tokens, or nil where that cannot be said:
// somebody was told to come again, and asked twice for what is to be had once.
func (h *house) one(lives []*life, before int64) *life {
	h.Helper()
	switch {
	case len(lives) == 1:
		return lives[0]
	case len(lives) == 0 && h.putOff.Load() > before:
		return nil
	}
	h.Fatalf("%d callers succeeded", len(lives))
	return nil
}

// granted are the answers with tokens; all others must be invalid_grant.
func (h *house) granted(answers []answer) []*life {
	h.Helper()
	var lives []*life
	for _, said := range answers {
		switch {
		case said.status == http.StatusOK:
			l := &life{}
			l.takes(said)
			lives = append(lives, l)
		case said.status != http.StatusBadRequest || said.member("error") != "invalid_grant":
			h.Errorf("%d %s", said.status, said.text)
		}
	}
	return lives
}

// wantsDead fails if a server knows anything of the tokens, or gives some for them.
func (h *house) wantsDead(lives ...*life) {
	h.Helper()
	for _, l := range lives {
		for _, s := range h.servers {
			for _, token := range []string{l.refresh, l.access} {
				if said, err := s.introspectEnded(token); err != nil || strings.TrimSpace(said.text) != `{"active":false}` {
					h.Errorf("%s says %s %v", s.name, said.text, err)
				}
			}
			if said, err := s.refresh(l.refresh); err != nil || said.member("error") != "invalid_grant" {
				h.Errorf("%s refreshes: %d %s %v", s.name, said.status, said.text, err)
			}
		}
	}
}

func (h *house) wantsAlive(l *life) {
	h.Helper()
	for _, s := range h.servers {
		for _, token := range []string{l.access, l.refresh} {
			if said, err := s.introspect(token); err != nil || said.member("active") != "true" {
				h.Errorf("%s says %s %v", s.name, said.text, err)
			}
		}
	}
}

// code is a new code of a person who has allowed the client.
func (h *house) code(p *person) string {
	h.Helper()
	code, problem, err := p.silently(h.servers[0])
	if err != nil || code == "" {
		h.Fatal(problem, err)
	}
	return code
}

// tokens are those of a new grant.
func (h *house) tokens(p *person) *life {
	h.Helper()
	said, err := h.servers[len(h.servers)-1].redeem(h.code(p))
	if err != nil || said.status != http.StatusOK {
		h.Fatal(said.text, err)
	}
	l := &life{}
	l.takes(said)
	return l
}

// allowed is somebody who has allowed the client.
func (h *house) allowed() *person {
	h.Helper()
	p := newPerson("user0")
	p.scope = unnamed
	if _, err := p.allows(h.servers[0]); err != nil {
		h.Fatal(err)
	}
	return p
}

// wantsEvents fails unless a grant has told as many events of each kind.
func wantsEvents(t *testing.T, told map[gatehouse.EventKind]int, want map[gatehouse.EventKind]int) {
	t.Helper()
	for kind, count := range want {
		if told[kind] != count {
			t.Errorf("%d events %s, want %d", told[kind], kind, count)
		}
	}
}

// TestOneCodeByManyCallers: one redemption succeeds, and as the others were valid,
// too, nothing of it is left.
func TestOneCodeByManyCallers(t *testing.T) {
	spec.Covers(t, "FT-01", "FT-02")
	h := twoServers(t).start()
	p := h.allowed()
	var all []*life
	for _, callers := range []int{2, 100} {
		for range rounds() {
			code := h.code(p)
			before := h.putOff.Load()
			lives := h.granted(h.together(callers, func(_ int, at *server) (answer, error) { return at.redeem(code) }))
			if l := h.one(lives, before); l != nil {
				h.wantsDead(l)
				all = append(all, l)
			}
		}
	}
	if len(all) < rounds() {
		t.Errorf("of %d rounds only %d can be judged", 2*rounds(), len(all))
	}
	events := h.events()
	for _, l := range all {
		wantsEvents(t, events[claimsOf(t, l.access).Handle], map[gatehouse.EventKind]int{
			gatehouse.EventCodeRedeemed: 1, gatehouse.EventCodeReplayed: 1, gatehouse.EventGrantEnded: 1,
		})
	}
}

// TestOneCodeAmongWrongRequests: what is not wholly right ends nothing.
func TestOneCodeAmongWrongRequests(t *testing.T) {
	spec.Covers(t, "FT-02")
	h := twoServers(t).start()
	p := h.allowed()
	for range rounds() {
		form := url.Values{"grant_type": {"authorization_code"}, "code": {h.code(p)}, "redirect_uri": {callback}, "code_verifier": {verifier}}
		with := func(name, value string) url.Values {
			changed := url.Values{}
			for name, values := range form {
				changed[name] = values
			}
			changed.Set(name, value)
			return changed
		}
		// Two at most: the third wrong verifier would end the code.
		wrong := with("code_verifier", "another-code-verifier-of-at-least-forty-three-characters")
		before := h.putOff.Load()
		lives := h.granted(h.together(2+1+16, func(nth int, at *server) (answer, error) {
			switch {
			case nth < 2:
				return at.post("/token", "web", webSecret, wrong)
			case nth == 2:
				return at.post("/token", "web", webSecret, form)
			case nth%2 == 0:
				return at.post("/token", "other", otherSecret, form)
			}
			return at.post("/token", "web", webSecret, with("redirect_uri", "https://app.example/"))
		}))
		if l := h.one(lives, before); l != nil && h.putOff.Load() == before {
			h.wantsAlive(l)
		}
	}
}

// TestOneRefreshTokenByManyCallers: within the grace all are told the same
// successor, and one chain goes on.
func TestOneRefreshTokenByManyCallers(t *testing.T) {
	spec.Covers(t, "FT-05", "RT-02")
	h := twoServers(t).start()
	p := h.allowed()
	for range rounds() {
		first := h.tokens(p)
		lives := h.granted(h.together(50, func(_ int, at *server) (answer, error) { return at.refresh(first.refresh) }))
		if len(lives) != 50 {
			t.Fatalf("%d of 50 were answered", len(lives))
		}
		for _, l := range lives {
			if l.refresh != lives[0].refresh {
				t.Fatal("a refresh token has two successors")
			}
		}
		h.wantsAlive(lives[0])
		h.wantsAlive(lives[49])
		next := h.granted(h.together(1, func(_ int, at *server) (answer, error) { return at.refresh(lives[1].refresh) }))
		if len(next) != 1 {
			t.Fatal("the chain does not go on")
		}
		if said, err := h.servers[0].refresh(first.refresh); err != nil || said.member("error") != "invalid_grant" { // an older one
			t.Errorf("%d %s %v", said.status, said.text, err)
		}
		h.wantsDead(next[0], lives[0])
	}
}

// TestOneRefreshTokenByManyCallersWithoutGrace: one succeeds, and the others were
// replays.
func TestOneRefreshTokenByManyCallersWithoutGrace(t *testing.T) {
	spec.Covers(t, "FT-04")
	h := twoServers(t)
	h.write("tenant.yaml", strings.Replace(tenant(), "refresh_grace: 5m", "refresh_grace: 0s", 1))
	h.must(h.servers[0].gatehouse("apply", h.directory+"/tenant.yaml"))
	h.start()
	p := h.allowed()
	for range rounds() {
		first, before := h.tokens(p), h.putOff.Load()
		lives := h.granted(h.together(50, func(_ int, at *server) (answer, error) { return at.refresh(first.refresh) }))
		if l := h.one(lives, before); l != nil {
			h.wantsDead(l)
		}
		h.wantsDead(first)
	}
}

// TestRefreshAgainstItsEnd: when both have been answered nothing is left, whichever
// was first, at any server.
func TestRefreshAgainstItsEnd(t *testing.T) {
	spec.Covers(t, "RT-08")
	disable := func(h *house, db *store.Store, p *person, disabled bool) {
		h.Helper()
		user, found, err := db.UserByLogin(h.Context(), gatehouse.DefaultTenant, p.name)
		if err != nil || !found {
			h.Error(found, err)
			return
		}
		if _, err := db.DisableUser(h.Context(), gatehouse.DefaultTenant, user.Subject, disabled, gatehouse.Event{Kind: gatehouse.EventUserChanged}); err != nil {
			h.Error(err)
		}
	}
	ends := map[string]func(h *house, db *store.Store, p *person, l *life){
		"revocation": func(h *house, _ *store.Store, _ *person, l *life) {
			if said, err := h.servers[0].revoke(l.refresh); err != nil || said.status != http.StatusOK {
				h.Errorf("%d %s %v", said.status, said.text, err)
			}
		},
		"withdrawn consent": func(h *house, _ *store.Store, p *person, _ *life) {
			if done, err := p.withdraws(h.servers[0]); err != nil || !done {
				h.Error(done, err)
			}
		},
		"sign-out": func(h *house, _ *store.Store, p *person, l *life) {
			said, err := h.servers[0].do(p.http, http.MethodGet, "/logout?"+url.Values{"id_token_hint": {l.id}}.Encode(), nil)
			if err != nil || said.status != http.StatusOK || !strings.Contains(said.text, "logout-done") {
				h.Errorf("%d %s %v", said.status, said.text, err)
			}
		},
		"disabled user": func(h *house, db *store.Store, p *person, _ *life) { disable(h, db, p, true) },
	}
	h := twoServers(t).start()
	db := h.beside()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			p := newPerson("user1")
			p.scope = sessions
			for range rounds() {
				code, err := p.allows(h.servers[0])
				if err != nil {
					t.Fatal(err)
				}
				first := h.granted(h.together(1, func(_ int, at *server) (answer, error) { return at.redeem(code) }))[0]
				lives := h.granted(h.together(5, func(nth int, at *server) (answer, error) {
					if nth == 0 {
						end(h, db, p, first)
						return answer{status: http.StatusBadRequest, text: `{"error":"invalid_grant"}`}, nil
					}
					return at.refresh(first.refresh)
				}))
				h.wantsDead(append(lives, first)...)
				if name == "disabled user" {
					disable(h, db, p, false)
					h.wantsDead(append(lives, first)...)
				}
			}
		})
	}
}

// TestSwitchesReachTheOtherServer changes clients by commands at one server's
// configuration, and asks the other.
func TestSwitchesReachTheOtherServer(t *testing.T) {
	h := twoServers(t).start()
	here, there := h.servers[0], h.servers[1]
	secret := svcSecret
	comes := func(what string, status int) {
		t.Helper()
		var said answer
		var err error
		for begin := time.Now(); overdue(begin, switched) == 0; time.Sleep(10 * time.Millisecond) {
			if said, err = there.post("/token", "svc", secret, url.Values{"grant_type": {"client_credentials"}, "scope": {"api:read"}}); err == nil && said.status == status {
				return
			}
		}
		t.Fatalf("%s: after more than %v the other server still answers %d %s %v", what, switched, said.status, said.text, err)
	}
	comes("at first", http.StatusOK)
	for range rounds() / 10 {
		h.must(here.gatehouse("client", "disable", "svc"))
		comes("disabled", http.StatusUnauthorized)
		h.must(here.gatehouse("client", "enable", "svc"))
		comes("enabled", http.StatusOK)
		said := h.must(here.gatehouse("client", "rotate-secret", "svc", "--overlap", "0s", "--json"))
		comes("another secret", http.StatusUnauthorized)
		secret = answer{text: said}.member("client_secret")
		comes("with the other secret", http.StatusOK)
		h.write("tenant.yaml", strings.Replace(tenant(), `scope: "api:read"`, `scope: "api:write"`, 1))
		h.must(here.gatehouse("apply", h.directory+"/tenant.yaml"))
		secret = svcSecret
		comes("another scope", http.StatusBadRequest)
		h.write("tenant.yaml", tenant())
		h.must(here.gatehouse("apply", h.directory+"/tenant.yaml"))
		comes("as it was", http.StatusOK)
	}
}

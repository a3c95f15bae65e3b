package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/kv"
)

// signedIn is an application on a network without sockets, and a browser that is
// signed in there. It is called in a bubble.
func signedIn(t *testing.T, config client.Config) (*provider, *application, *browser) {
	t.Helper()
	p, network := newDirectProvider(t)
	config.HTTPClient = &http.Client{Transport: network}
	a := p.application(t, config)
	b := newBrowser(t)
	b.network = network
	b.signIn(a)
	if b.me(a) == "" {
		t.Fatal("not signed in")
	}
	return p, a, b
}

// refreshes counts the refresh requests so far.
func (p *provider) refreshes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := 0
	for _, form := range p.forms {
		if form.Get("grant_type") == "refresh_token" {
			count++
		}
	}
	return count
}

// wantFresh wants an access token, and says what it is.
func (b *browser) wantFresh(a *application) string {
	b.t.Helper()
	access, status := b.fresh(a)
	if status != http.StatusOK {
		b.t.Fatalf("no access token: %d", status)
	}
	return access
}

func TestTokensAreRenewedAheadOfTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, b := signedIn(t, client.Config{})
		first := b.wantFresh(a)
		time.Sleep(8 * time.Minute)
		if b.wantFresh(a) != first || p.refreshes() != 0 {
			t.Error("renewed two minutes ahead")
		}
		time.Sleep(70 * time.Second) // within 60 to 90 s of the end
		for b.wantFresh(a) == first {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if p.refreshes() != 1 {
			t.Errorf("%d refreshes", p.refreshes())
		}
		second := b.wantFresh(a)
		time.Sleep(20 * time.Minute) // long gone: now it is waited for
		if third := b.wantFresh(a); third == second || p.refreshes() != 2 {
			t.Errorf("%d refreshes", p.refreshes())
		}
		for range 11 {
			time.Sleep(time.Hour)
			b.wantFresh(a)
		}
		if n := p.refreshes(); n != 13 {
			t.Errorf("%d refreshes", n)
		}
		if s := a.party.Stats(); s.Renewals != 13 || s.Failures != 0 || s.Breaker != "closed" {
			t.Errorf("%+v", s)
		}
	})
}

func TestStormAtTheEnd(t *testing.T) {
	spec.Covers(t, "BB-06")
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		config := client.Config{Store: kv.NewMemory(kv.MemoryConfig{}), Keys: [][]byte{sealingKey}, HTTPClient: &http.Client{Transport: network}}
		a := p.application(t, config)
		b := newBrowser(t)
		b.network = network
		b.signIn(a)
		config.RedirectURI = a.URL + "/callback"
		replicas := []*client.Client{a.party, p.client(t, config)}
		p.change(func(p *provider) {
			p.answer = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					time.Sleep(3 * time.Second)
				}
				return false
			}
		})
		r, err := http.NewRequest("GET", a.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, cookie := range b.jar {
			r.AddCookie(cookie)
		}
		for round := range 3 {
			time.Sleep(11 * time.Minute)
			const callers = 200
			got := make([]string, callers)
			var asking sync.WaitGroup
			barrier := make(chan struct{})
			for i := range callers {
				asking.Go(func() {
					<-barrier
					s, err := replicas[i%2].Session(r)
					if err != nil {
						t.Error(err)
						return
					}
					tokens, err := s.Token(t.Context())
					if err != nil {
						t.Error(err)
					}
					got[i] = tokens.AccessToken.Reveal()
				})
			}
			close(barrier)
			asking.Wait()
			if slices.Sort(got); got[0] != got[callers-1] || p.refreshes() != round+1 {
				t.Errorf("round %d: %d refreshes, %d tokens", round, p.refreshes(), len(slices.Compact(got)))
			}
		}
		if awaited := replicas[0].Stats().Awaited + replicas[1].Stats().Awaited; awaited != 3 {
			t.Errorf("%d renewals were awaited", awaited)
		}
	})
}

// fails makes the token endpoint fail as told, from now on.
func (p *provider) fails(answer func(w http.ResponseWriter)) {
	p.change(func(p *provider) {
		p.answer = nil
		if answer != nil {
			p.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					answer(w)
				}
				return r.URL.Path == "/token"
			}
		}
	})
}

func refuseWith(status int, code string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { writeJSON(w, status, map[string]string{"error": code}) }
}

// What ends a session, and what does not.
func TestFailuresOfRenewals(t *testing.T) {
	spec.Covers(t, "BB-07")
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		status int // once the token has ended
	}{
		"500":                     {func(w http.ResponseWriter) { w.WriteHeader(500) }, 503},
		"503 with invalid_grant":  {refuseWith(503, "invalid_grant"), 503},
		"502 from a proxy":        {func(w http.ResponseWriter) { w.WriteHeader(502); fmt.Fprint(w, "<html>") }, 503},
		"429":                     {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) }, 503},
		"temporarily_unavailable": {refuseWith(400, "temporarily_unavailable"), 503},
		"invalid_client":          {refuseWith(401, "invalid_client"), 500},
		"unauthorized_client":     {refuseWith(400, "unauthorized_client"), 500},
		"a firewall's page":       {func(w http.ResponseWriter) { w.WriteHeader(403); fmt.Fprint(w, "<html>") }, 500},
		"garbage":                 {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, 502},
		"silence":                 {func(http.ResponseWriter) { time.Sleep(time.Minute) }, 503},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, a, b := signedIn(t, client.Config{})
				first := b.wantFresh(a)
				p.fails(test.answer)
				time.Sleep(9 * time.Minute)
				for range 50 { // the token at hand serves until its end
					if b.wantFresh(a) != first {
						t.Fatal("another token")
					}
					time.Sleep(time.Second)
				}
				if n := p.refreshes(); n > 16 {
					t.Errorf("%d requests in a minute", n)
				}
				time.Sleep(5 * time.Minute)
				if _, status := b.fresh(a); status != test.status && status != 503 { // 503 for who comes while all pause
					t.Errorf("%d, want %d", status, test.status)
				}
				p.fails(nil)
				time.Sleep(2 * time.Minute)
				if b.wantFresh(a) == first || b.me(a) == "" {
					t.Error("the session did not live to see the issuer mended")
				}
			})
		})
	}
	t.Run("invalid_grant", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var ended []client.Ended
			p, a, b := signedIn(t, client.Config{OnSessionEnd: func(e client.Ended) { ended = append(ended, e) }})
			b.wantFresh(a)
			p.fails(refuseWith(400, "invalid_grant"))
			time.Sleep(11 * time.Minute)
			if _, status := b.fresh(a); status != http.StatusUnauthorized || b.me(a) != "" {
				t.Errorf("%d, signed in as %q", status, b.me(a))
			}
			if p.refreshes() != 1 || len(ended) != 1 || ended[0].Reason != client.EndedByRefusal || a.party.Stats().SessionsEnded != 1 {
				t.Errorf("%d refreshes, told of %v, %+v", p.refreshes(), ended, a.party.Stats())
			}
			if p.seen("/revoke") != 1 {
				t.Error("what is left was not revoked")
			}
		})
	})
}

func TestTheBreakerOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		var browsers []*browser
		for range 50 {
			b := newBrowser(t)
			b.network = network
			b.signIn(a)
			browsers = append(browsers, b)
		}
		p.fails(func(w http.ResponseWriter) { w.WriteHeader(500) })
		time.Sleep(11 * time.Minute)
		for _, b := range browsers {
			if _, status := b.fresh(a); status != http.StatusServiceUnavailable {
				t.Errorf("%d", status)
			}
		}
		if n := p.refreshes(); n != 5 || a.party.Stats().Breaker != "open" {
			t.Errorf("%d requests of 50 sessions, the breaker is %s", n, a.party.Stats().Breaker)
		}
		p.fails(nil)
		time.Sleep(time.Minute)
		for _, b := range browsers {
			b.wantFresh(a)
		}
		if a.party.Stats().Breaker != "closed" {
			t.Errorf("the breaker is %s", a.party.Stats().Breaker)
		}
	})
}

// lossy loses answers of the token endpoint after they were given.
type lossy struct {
	direct
	mu   sync.Mutex
	lose int
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.direct.RoundTrip(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.URL.Path == "/token" && l.lose > 0 {
		l.lose--
		return nil, errors.New("connection reset by peer")
	}
	return response, err
}

func TestAnswersThatAreLost(t *testing.T) {
	for name, test := range map[string]struct {
		grace bool
		lose  int
		lives bool
	}{
		"once, within a grace": {true, 1, true}, "twice, within a grace": {true, 2, true}, "once, without grace": {false, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, network := newDirectProvider(t)
				lossy := &lossy{direct: network}
				if test.grace {
					p.grace = map[string]any{}
				}
				a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: lossy}})
				b := newBrowser(t)
				b.network = network
				b.signIn(a)
				time.Sleep(11 * time.Minute)
				lossy.lose = test.lose
				status := http.StatusServiceUnavailable
				for range 5 {
					if _, status = b.fresh(a); status != http.StatusServiceUnavailable {
						break
					}
					time.Sleep(2 * time.Second)
				}
				if want := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[test.lives]; status != want {
					t.Errorf("%d, want %d", status, want)
				}
			})
		})
	}
}

func TestRenewedTokensWaitForTheirStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &awayStore{Store: kv.NewMemory(kv.MemoryConfig{})}
		p, a, b := signedIn(t, client.Config{Store: store, Keys: [][]byte{sealingKey}})
		first := b.wantFresh(a)
		p.change(func(p *provider) {
			p.answer = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					store.set(true) // between the answer and its being saved
				}
				return false
			}
		})
		time.Sleep(9*time.Minute + 10*time.Second)
		if b.wantFresh(a) != first {
			t.Error("a token that nobody has saved is used")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, status := b.fresh(a); status != http.StatusServiceUnavailable {
			t.Errorf("%d while the store is away", status)
		}
		store.set(false)
		p.change(func(p *provider) { p.answer = nil })
		time.Sleep(time.Minute)
		if b.wantFresh(a) == first || p.refreshes() != 1 {
			t.Errorf("%d refreshes: the tokens that could not be saved are lost", p.refreshes())
		}
	})
}

func TestSignedOutWhileRenewing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, b := signedIn(t, client.Config{})
		p.change(func(p *provider) {
			p.answer = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					time.Sleep(5 * time.Second)
				}
				return false
			}
		})
		time.Sleep(11 * time.Minute)
		done := make(chan int)
		go func() {
			_, status := b.fresh(a)
			done <- status
		}()
		time.Sleep(time.Second)
		out := *b
		out.jar = map[string]*http.Cookie{}
		for name, cookie := range b.jar {
			out.jar[name] = cookie
		}
		out.do("POST", a.URL+"/logout", nil)
		if status := <-done; status != http.StatusUnauthorized {
			t.Errorf("%d", status)
		}
		synctest.Wait()
		if p.change(func(p *provider) {
			if len(p.refresh) != 0 {
				t.Errorf("%d refresh tokens outlive the session", len(p.refresh))
			}
		}); b.me(a) != "" {
			t.Error("the session rose again")
		}
	})
}

func TestIDTokensOfRefreshes(t *testing.T) {
	spec.Covers(t, "OIDCC-12.2-C1")
	for name, test := range map[string]struct {
		change claims
		good   bool
	}{
		"the same": {claims{}, true}, "somebody else": {claims{"sub": "mallory"}, false}, "another issuer": {claims{"iss": "https://other.example"}, false},
		"another session": {claims{"sid": "sid-2"}, false}, "another auth_time": {claims{"auth_time": 1}, false}, "another audience": {claims{"aud": "other"}, false},
		"a stale one": {claims{"iat": 1}, false}, "another at_hash": {claims{"at_hash": "x"}, false}, "without auth_time": {claims{"auth_time": nil}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, a, b := signedIn(t, client.Config{})
				began := time.Now().Unix()
				p.change(func(p *provider) {
					p.idToken = func(c claims) claims { return c.with(claims{"auth_time": began}).with(test.change) }
				})
				time.Sleep(11 * time.Minute)
				if _, status := b.fresh(a); test.good != (status == http.StatusOK) || b.me(a) == "" {
					t.Errorf("%d, signed in as %q", status, b.me(a))
				}
			})
		})
	}
}

// deadStore has each first lease taken by somebody who dies with it.
type deadStore struct {
	kv.Store
	taken bool
}

func (s *deadStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if strings.HasPrefix(key, "client lease ") && !s.taken {
		s.taken = true
		_, err := s.Store.Add(ctx, key, []byte("dead"), ttl)
		return false, err
	}
	return s.Store.Add(ctx, key, value, ttl)
}

func TestLeasesOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, b := signedIn(t, client.Config{Store: &deadStore{Store: kv.NewMemory(kv.MemoryConfig{})}, Keys: [][]byte{sealingKey}})
		time.Sleep(11 * time.Minute)
		began := time.Now()
		b.wantFresh(a)
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second || p.refreshes() != 1 {
			t.Errorf("it took %v and %d refreshes", took, p.refreshes())
		}
	})
}

func TestTokensThatDoNotSayWhenTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		p.life = -1
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		b := newBrowser(t)
		b.network = network
		b.signIn(a)
		time.Sleep(time.Hour)
		b.wantFresh(a)
		if p.refreshes() != 0 || b.me(a) == "" {
			t.Errorf("%d refreshes", p.refreshes())
		}
	})
}

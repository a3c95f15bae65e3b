package client_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/kv"
)

// revocations has the provider answer revocations by 503 while away says so, and
// counts those that it did.
func (p *provider) revocations(away *atomic.Bool) (done *atomic.Int64) {
	done = &atomic.Int64{}
	p.change(func(p *provider) {
		p.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/revoke" {
				return false
			}
			if away.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			done.Add(1)
			return false
		}
	})
	return done
}

// living is how many refresh tokens the provider still takes.
func (p *provider) living() (count int) {
	p.change(func(p *provider) { count = len(p.refresh) })
	return count
}

// A process signs somebody out while the issuer is away, and is gone. One of two others
// with the same store revokes the token, once, and nothing in the store shows it.
func TestRevocationsOutliveTheirProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		store := &seeingStore{Store: kv.NewMemory(kv.MemoryConfig{})}
		config := client.Config{Store: store, Keys: [][]byte{sealingKey}, HTTPClient: &http.Client{Transport: network}}
		a := p.application(t, config)
		b := newBrowser(t)
		b.network = network
		b.signIn(a)
		refresh := a.logins[0].Tokens.RefreshToken.Reveal()
		var away atomic.Bool
		away.Store(true)
		done := p.revocations(&away)
		if answer := b.do("POST", a.URL+"/logout", nil); answer.StatusCode != http.StatusSeeOther {
			t.Fatalf("logout waits for the issuer: %d", answer.StatusCode)
		}
		if err := a.party.Close(); err != nil {
			t.Fatal(err)
		}
		away.Store(false)
		time.Sleep(time.Minute)
		if p.living() != 1 || done.Load() != 0 {
			t.Fatalf("%d tokens, %d revocations, and no process is there", p.living(), done.Load())
		}
		one, two := p.client(t, config), p.client(t, config)
		defer func() {
			if err := errors.Join(one.Close(), two.Close()); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if p.living() != 0 || done.Load() != 1 {
			t.Errorf("%d tokens live after %d revocations", p.living(), done.Load())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if done.Load() != 1 {
			t.Errorf("revoked %d times", done.Load())
		}
		if store.holds(refresh) {
			t.Error("the store holds the refresh token")
		}
	})
}

// The issuer is away for an hour: it is asked less and less often, and at the end the
// token is revoked. When it stays away, nobody asks after the session's longest life.
func TestRevocationsThatAreOwedAreNotForever(t *testing.T) {
	for name, outage := range map[string]time.Duration{"an hour": time.Hour, "for good": 30 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, network := newDirectProvider(t)
				config := client.Config{
					Store: kv.NewMemory(kv.MemoryConfig{}), Keys: [][]byte{sealingKey}, HTTPClient: &http.Client{Transport: network},
					SessionLife: 24 * time.Hour, SessionIdle: time.Hour,
				}
				a := p.application(t, config)
				b := newBrowser(t)
				b.network = network
				b.signIn(a)
				var away atomic.Bool
				away.Store(true)
				p.revocations(&away)
				before := p.seen("/revoke")
				b.do("POST", a.URL+"/logout", nil)
				time.Sleep(min(outage, time.Hour))
				asked := p.seen("/revoke") - before
				if asked < 3 || asked > 30 {
					t.Errorf("asked %d times in an hour", asked)
				}
				time.Sleep(outage - min(outage, time.Hour))
				away.Store(false)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if revoked := p.living() == 0; revoked != (outage <= 24*time.Hour) {
					t.Errorf("after %v: revoked: %v", outage, revoked)
				}
				if err := a.party.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// stuckStore deletes nothing while it is told so.
type stuckStore struct {
	kv.Store
	stuck atomic.Bool
}

func (s *stuckStore) Delete(ctx context.Context, key string) error {
	if s.stuck.Load() {
		return errors.New("the store does not delete")
	}
	return s.Store.Delete(ctx, key)
}

// A logout that failed after its revocation was noted ends nothing: the session goes on
// with its tokens. The next one, which succeeds, revokes them.
func TestLogoutsThatFailRevokeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		store := &stuckStore{Store: kv.NewMemory(kv.MemoryConfig{})}
		a := p.application(t, client.Config{Store: store, Keys: [][]byte{sealingKey}, HTTPClient: &http.Client{Transport: network}})
		b := newBrowser(t)
		b.network = network
		b.signIn(a)
		store.stuck.Store(true)
		if answer := b.do("POST", a.URL+"/logout", nil); answer.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("a logout that cannot end the session: %d", answer.StatusCode)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if p.living() != 1 || p.seen("/revoke") != 0 || b.me(a) == "" {
			t.Errorf("%d tokens, %d revocations, signed in: %q", p.living(), p.seen("/revoke"), b.me(a))
		}
		store.stuck.Store(false)
		if answer := b.do("POST", a.URL+"/logout", nil); answer.StatusCode != http.StatusSeeOther || p.living() != 0 || p.seen("/revoke") != 1 {
			t.Errorf("%d, %d tokens, %d revocations", answer.StatusCode, p.living(), p.seen("/revoke"))
		}
		time.Sleep(5 * time.Minute)
		if err := a.party.Close(); err != nil || p.seen("/revoke") != 1 {
			t.Errorf("%v, %d revocations", err, p.seen("/revoke"))
		}
	})
}

package resource_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/jose"
	"gatehouse/resource"
	"gatehouse/revocation"
)

func follows(c *resource.Config) { c.Feed = true }

func TestTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		rs := a.server(t, follows)
		synctest.Wait()
		one, two, three := a.jwt(t, nil), a.jwt(t, claims{"jti": "jti-2", "gid": "gid-2"}), a.jwt(t, claims{"jti": "jti-3", "gid": nil, "client_id": "svc", "sub": "svc"})
		for range 2 { // verified, and remembered
			for _, raw := range []string{one, two, three} {
				wants(t, ask(rs, raw, nothing), http.StatusOK, "")
			}
		}
		a.revoke(revocation.GrantHandle, "gid-1")
		synctest.Wait()
		wants(t, ask(rs, one, nothing), http.StatusUnauthorized, "resource-token-revoked")
		wants(t, ask(rs, two, nothing), http.StatusOK, "")
		a.revoke(revocation.ClientID, "svc")
		synctest.Wait()
		wants(t, ask(rs, three, nothing), http.StatusUnauthorized, "resource-token-revoked")
		wants(t, ask(rs, two, nothing), http.StatusOK, "")
		a.revoke(revocation.KeyID, issuerKey().ID())
		synctest.Wait()
		wants(t, ask(rs, two, nothing), http.StatusUnauthorized, "resource-token-revoked")
		if n := a.asked.Load(); n != 0 {
			t.Errorf("asked %d times", n)
		}
		if status := rs.Feeds()[asURL]; !status.Connected || status.Entries != 3 {
			t.Errorf("%+v", status)
		}
	})
}

// TestTheFeedKnowsWhatATokenIsMadeOf: the end of a token ends what was exchanged for it.
func TestTheFeedKnowsWhatATokenIsMadeOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		rs := a.server(t, follows)
		synctest.Wait()
		made := func(id string) string {
			return a.jwt(t, claims{"jti": "made-of-" + id, "gid": "gid-of-" + id, "lineage": []any{map[string]any{"jti": id, "client_id": "between"}}})
		}
		first, second := made("root-1"), made("root-2")
		for _, raw := range []string{first, second} {
			wants(t, ask(rs, raw, nothing), http.StatusOK, "")
		}
		a.revoke(revocation.TokenID, "root-1")
		synctest.Wait()
		wants(t, ask(rs, first, nothing), http.StatusUnauthorized, "resource-token-revoked")
		wants(t, ask(rs, second, nothing), http.StatusOK, "")
		a.revoke(revocation.ClientID, "between")
		synctest.Wait()
		wants(t, ask(rs, second, nothing), http.StatusUnauthorized, "resource-token-revoked")
		// A lineage that cannot be read tells nothing of the end.
		wants(t, ask(rs, a.jwt(t, claims{"jti": "odd", "lineage": "root-3"}), nothing), http.StatusUnauthorized, "")
	})
}

// TestWithoutTheFeed: before the first snapshot, and a minute after the last mark, the issuer is
// asked, and without an answer nothing is taken.
func TestWithoutTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		a.feedDown = true
		rs := a.server(t, follows)
		raw, other := a.jwt(t, nil), a.jwt(t, claims{"jti": "jti-2"})
		a.opaque(raw, "")
		wants(t, ask(rs, raw, nothing), http.StatusOK, "") // since the issuer says so
		wants(t, ask(rs, other, nothing), http.StatusUnauthorized, "resource-token-invalid")
		if n := a.asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		a.change(func(a *as) { a.down = true })
		wants(t, ask(rs, raw, nothing), http.StatusOK, "") // for half a minute
		time.Sleep(31 * time.Second)
		w := ask(rs, raw, nothing)
		if wants(t, w, http.StatusServiceUnavailable, "resource-revocation-unknown"); w.Header().Get("Retry-After") != "1" {
			t.Errorf("%v", w.Header())
		}
		careless := a.server(t, func(c *resource.Config) { c.Feed, c.InsecureFeedOptional = true, true })
		wants(t, ask(careless, raw, nothing), http.StatusOK, "")

		a.change(func(a *as) { a.feedDown = false })
		time.Sleep(31 * time.Second)
		wants(t, ask(rs, raw, nothing), http.StatusOK, "")
		wants(t, ask(rs, other, nothing), http.StatusOK, "") // what the issuer said before is over
		a.change(func(a *as) { a.feedDown = true })
		time.Sleep(58 * time.Second)
		wants(t, ask(rs, raw, nothing), http.StatusOK, "")
		time.Sleep(5 * time.Second)
		wants(t, ask(rs, raw, nothing), http.StatusServiceUnavailable, "resource-revocation-unknown")
		a.revoke(revocation.GrantHandle, "gid-1")
		a.change(func(a *as) { a.feedDown, a.down = false, false })
		time.Sleep(31 * time.Second)
		wants(t, ask(rs, raw, nothing), http.StatusUnauthorized, "resource-token-revoked")
		wants(t, ask(careless, raw, nothing), http.StatusUnauthorized, "resource-token-revoked")
		a.change(func(a *as) { a.feedDown = true })
		time.Sleep(2 * time.Minute)
		wants(t, ask(careless, raw, nothing), http.StatusUnauthorized, "resource-token-revoked") // that is not forgotten
	})
}

// TestWithdrawnKeys: a token that was verified before is not taken any more when its key is gone.
func TestWithdrawnKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		rs := a.server(t, nil)
		raw := a.jwt(t, claims{"exp": time.Now().Add(3 * time.Hour).Unix()})
		wants(t, ask(rs, raw, nothing), http.StatusOK, "")
		other, err := jose.GenerateKey(jose.ES256, "es-2")
		if err != nil {
			t.Fatal(err)
		}
		a.change(func(a *as) { a.keys = append(a.keys, other.Public()) })
		time.Sleep(6 * time.Minute)
		wants(t, ask(rs, raw, nothing), http.StatusOK, "")
		a.change(func(a *as) { a.keys = a.keys[1:] })
		time.Sleep(6 * time.Minute)
		wants(t, ask(rs, raw, nothing), http.StatusUnauthorized, "resource-token-invalid")
		a.change(func(a *as) { a.keys = append(a.keys, issuerKey().Public()) })
		time.Sleep(6 * time.Minute)
		wants(t, ask(rs, raw, nothing), http.StatusOK, "")
		before := a.fetched.Load()
		for range 100 { // in a steady state nobody is asked
			wants(t, ask(rs, raw, nothing), http.StatusOK, "")
			time.Sleep(time.Second)
		}
		if n := a.fetched.Load() - before; n != 0 || a.asked.Load() != 0 {
			t.Errorf("%d fetches, %d questions", n, a.asked.Load())
		}
	})
}

// TestNewKeysThatCannotBeHad: a token under a key that was published while the issuer's keys cannot be
// asked for is not called invalid, which would have its client throw it away.
func TestNewKeysThatCannotBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		var down atomic.Bool
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			if down.Load() {
				return nil, errors.New("no route")
			}
			return a.RoundTrip(r)
		})
		rs := a.server(t, func(c *resource.Config) { c.HTTPClient = &http.Client{Transport: transport} })
		wants(t, ask(rs, a.jwt(t, nil), nothing), http.StatusOK, "")
		next, err := jose.GenerateKey(jose.ES256, "es-2")
		if err != nil {
			t.Fatal(err)
		}
		a.change(func(a *as) { a.keys = append(a.keys, next.Public()) })
		down.Store(true)
		time.Sleep(2 * time.Minute)
		raw := claims{
			"iss": asURL, "sub": "alice", "aud": audience, "client_id": "web", "jti": "new",
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		}.signed(t, next, "at+jwt")
		for range 3 {
			w := ask(rs, raw, nothing)
			if wants(t, w, http.StatusServiceUnavailable, "resource-keys-unavailable"); w.Header().Get("Retry-After") == "" {
				t.Error("it does not say when to try again")
			}
		}
		wants(t, ask(rs, a.jwt(t, nil), nothing), http.StatusOK, "") // the keys at hand serve
		down.Store(false)
		time.Sleep(time.Minute)
		wants(t, ask(rs, raw, nothing), http.StatusOK, "")
	})
}

func TestRememberedTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		rs := a.server(t, func(c *resource.Config) { c.MaxTokenAge = 5 * time.Minute })
		raw, early := a.jwt(t, nil), a.jwt(t, claims{"nbf": time.Now().Add(time.Minute).Unix()})
		wants(t, ask(rs, raw, nothing), http.StatusOK, "")
		wants(t, ask(rs, early, nothing), http.StatusUnauthorized, "resource-token-invalid")
		time.Sleep(56 * time.Second)
		wants(t, ask(rs, early, nothing), http.StatusOK, "")
		time.Sleep(5*time.Minute - 56*time.Second)
		wants(t, ask(rs, raw, nothing), http.StatusOK, "")
		time.Sleep(6 * time.Second)
		wants(t, ask(rs, raw, nothing), http.StatusUnauthorized, "resource-token-invalid")

		plain := a.server(t, nil)
		raw = a.jwt(t, nil)
		wants(t, ask(plain, raw, nothing), http.StatusOK, "")
		time.Sleep(10*time.Minute + 5*time.Second)
		wants(t, ask(plain, raw, nothing), http.StatusUnauthorized, "resource-token-invalid")
	})
}

// TestTheFeedAndWhatATokenWasMadeOf ends an exchanged token with any of those of which it was made.
func TestTheFeedAndWhatATokenWasMadeOf(t *testing.T) {
	for name, end := range map[string]struct {
		claim revocation.Claim
		value string
	}{
		"the first token": {revocation.TokenID, "jti-first"}, "its grant": {revocation.GrantHandle, "gid-first"}, "its client": {revocation.ClientID, "app"},
		"a session": {revocation.SessionID, "sid-1"}, "a key": {revocation.KeyID, "old-key"}, "a client between": {revocation.ClientID, "gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAS()
				rs := a.server(t, func(c *resource.Config) { c.Feed, c.Opaque = true, true })
				synctest.Wait()
				const lineage = `[{"jti":"jti-first","client_id":"app","gid":"gid-first","kid":"old-key"},{"client_id":"gateway","sid":"sid-1"}]`
				made := a.jwt(t, claims{"client_id": "backend", "lineage": json.RawMessage(lineage)})
				opaque := a.opaque("gha_made", `,"lineage":`+lineage)
				plain := a.jwt(t, claims{"jti": "jti-plain", "gid": nil, "client_id": "backend"})
				for _, raw := range []string{made, opaque, plain} {
					wants(t, ask(rs, raw, nothing), http.StatusOK, "")
				}
				a.revoke(end.claim, end.value)
				synctest.Wait()
				wants(t, ask(rs, made, nothing), http.StatusUnauthorized, "resource-token-revoked")
				wants(t, ask(rs, opaque, nothing), http.StatusUnauthorized, "resource-token-revoked")
				wants(t, ask(rs, plain, nothing), http.StatusOK, "")
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // of which nobody can tell what it was made of
		a := newAS()
		rs, without := a.server(t, func(c *resource.Config) { c.Feed, c.Opaque = true, true }), a.server(t, takesOpaque)
		synctest.Wait()
		unreadable := a.jwt(t, claims{"lineage": "x"})
		wants(t, ask(rs, unreadable, nothing), http.StatusUnauthorized, "resource-token-invalid")
		wants(t, ask(without, unreadable, nothing), http.StatusOK, "")
		opaque := a.opaque("gha_unreadable", `,"lineage":[]`)
		wants(t, ask(rs, opaque, nothing), http.StatusUnauthorized, "resource-token-invalid")
		wants(t, ask(without, opaque, nothing), http.StatusOK, "")
	})
}

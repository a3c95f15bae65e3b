package gatehousetest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/internal/redistest"
	"gatehouse/internal/spec"
)

// redisRecovery is how long a server may take to find its Redis again.
const redisRecovery = 10 * time.Second

// tryAlice tries to sign alice in.
func tryAlice(t *testing.T, issuer *gatehousetest.Issuer, password string) gatehousetest.Page {
	t.Helper()
	b := issuer.NewBrowser(t)
	login := b.Get(authorization)
	return b.Post("/login", login.With("username", "alice", "password", password))
}

// guess fails to sign in as often as is free for one address.
func guess(t *testing.T, issuers ...*gatehousetest.Issuer) {
	t.Helper()
	for i := range 5 {
		if page := tryAlice(t, issuers[i%len(issuers)], "wrong"); page.StatusCode != http.StatusUnprocessableEntity {
			t.Fatalf("guess %d: %d at %s", i+1, page.StatusCode, page.Path)
		}
	}
}

func wantDelayed(t *testing.T, when string, issuers ...*gatehousetest.Issuer) {
	t.Helper()
	for i, issuer := range issuers {
		if page := tryAlice(t, issuer, "wonderland-alice"); page.StatusCode != http.StatusTooManyRequests || page.Header.Get("Retry-After") == "" {
			t.Errorf("%s, at server %d: %d at %s, Retry-After %q", when, i, page.StatusCode, page.Path, page.Header.Get("Retry-After"))
		}
	}
}

// wantService fails unless everything works: sign-in, code, refresh, a client's own token, readiness.
func wantService(t *testing.T, when string, issuers ...*gatehousetest.Issuer) {
	t.Helper()
	for _, issuer := range issuers {
		tokens := redeem(t, issuer, code(t, issuer))
		if tokens.StatusCode != http.StatusOK {
			t.Errorf("%s: a code is answered %d %s", when, tokens.StatusCode, tokens.Text)
		}
		if renewed := refresh(t, issuer, tokens.Member("refresh_token")); renewed.StatusCode != http.StatusOK {
			t.Errorf("%s: a refresh token is answered %d %s", when, renewed.StatusCode, renewed.Text)
		}
		if answer := service(t, issuer); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: a client is answered %d %s", when, answer.StatusCode, answer.Text)
		}
		if page := issuer.NewBrowser(t).Get("/readyz"); page.StatusCode != http.StatusOK {
			t.Errorf("%s: not ready: %d %s", when, page.StatusCode, page.Text)
		}
	}
}

// wantTogether waits until two servers count together again, which what Redis holds shows.
func wantTogether(t *testing.T, redis *redistest.Server, issuer *gatehousetest.Issuer) {
	t.Helper()
	for deadline := time.Now().Add(redisRecovery); ; time.Sleep(100 * time.Millisecond) {
		tryAlice(t, issuer, "wrong")
		if strings.Contains(redis.Do(t, "KEYS", "*"), "login") {
			redis.Do(t, "FLUSHALL")
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not go back to Redis")
		}
	}
}

// TestAServerWhoseRedisFails is the table of docs/operations/redis.md.
func TestAServerWhoseRedisFails(t *testing.T) {
	spec.Covers(t, "FT-18")
	redis := redistest.Start(t)
	// A first delay that a busy machine does not outlast.
	slow := "settings: {throttle: {first_delay: 1m}}\n" + tenant
	here := gatehousetest.Start(t, gatehousetest.Options{Tenant: slow, Redis: redis.Addr()})
	there := gatehousetest.Start(t, gatehousetest.Options{Data: here.Data, Redis: redis.Addr()})
	wantService(t, "with Redis", here, there)
	guess(t, here, there)
	wantDelayed(t, "counted together", here, there)

	redis.Do(t, "FLUSHALL")
	wantService(t, "flushed, what had failed is forgiven", here, there)
	guess(t, here, there)
	wantDelayed(t, "flushed, counted together anew", here, there)

	redis.Kill(t)
	wantService(t, "stopped, what had failed is forgiven", here, there)
	guess(t, here)
	wantDelayed(t, "stopped, each counts for itself", here)
	wantService(t, "stopped, the other one", there)
	guess(t, there)
	wantDelayed(t, "stopped, the other one", there)

	redis.Again(t)
	wantTogether(t, redis, here)
	wantTogether(t, redis, there)
	wantService(t, "started again", here, there)
	guess(t, here, there)
	wantDelayed(t, "started again, counted together", here, there)

	redis.Hang(t)
	began := time.Now()
	wantService(t, "hanging", here)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("a Redis that hangs held a sign-in up for %v", took)
	}
	guess(t, here)
	wantDelayed(t, "hanging, it counts for itself", here)
	redis.Wake(t)
	redis.Do(t, "FLUSHALL")
	wantTogether(t, redis, here)
	wantService(t, "awake", here, there)

	redis.Do(t, "CONFIG", "SET", "maxmemory", "1")
	wantService(t, "full", here, there)
	redis.Do(t, "CONFIG", "SET", "maxmemory", "0")
	wantTogether(t, redis, here)
	wantService(t, "with room again", here, there)

	const said, unsaid = "failed sign-ins are counted by each server for itself", "for all servers together again"
	if log := here.Log(); strings.Count(log, said) != 3 || strings.Count(log, unsaid) != 3 {
		t.Errorf("the log says %d times that Redis is away and %d times that it is back", strings.Count(log, said), strings.Count(log, unsaid))
	}
}

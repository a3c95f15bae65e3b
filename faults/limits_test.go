package faults

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/redistest"
	"gatehouse/internal/spec"
	"gatehouse/internal/store/postgrestest"
)

// limited is a house of two servers at which each client, and each address that
// fails, has one request a second and ten at once.
func limited(t *testing.T, redis string) *house {
	t.Helper()
	h := newHouse(t, postgrestest.Schema(t), 2)
	h.write("tenant.yaml", strings.Replace(tenant(), "{token_per_client: -1, introspection_per_client: -1, failures_per_address: -1}",
		"{token_per_client: 1, introspection_per_client: 1, failures_per_address: 1}", 1))
	h.must(h.servers[0].gatehouse("apply", h.directory+"/tenant.yaml"))
	for _, s := range h.servers {
		if redis != "" {
			s.configure("redis: {addresses: [\"" + redis + "\"]}")
		}
	}
	return h.start()
}

// TestTwoServersKeepOneLimit uses a limit up at one server, and finds it used up at
// the other.
func TestTwoServersKeepOneLimit(t *testing.T) {
	spec.Covers(t, "BF-07")
	const burst = 10
	for _, engine := range []string{"postgresql", "redis"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			address := ""
			if engine == "redis" {
				address = redistest.Start(t).Addr()
			}
			h := limited(t, address)
			here, there := h.servers[0], h.servers[1]
			names, token := 0, ""
			// What nobody issued is counted elsewhere, so the token is one of ours.
			of := func(path string) func(at *server) (answer, error) {
				return func(at *server) (answer, error) { return at.post(path, "svc", svcSecret, url.Values{"token": {token}}) }
			}
			for _, kind := range []struct {
				what string
				ask  func(at *server) (answer, error)
			}{
				{"token", func(at *server) (answer, error) {
					said, err := at.service()
					if said.status == http.StatusOK {
						token = said.member("access_token")
					}
					return said, err
				}},
				{"introspection", of("/introspect")},
				{"revocation", of("/revoke")},
				{"client login", func(at *server) (answer, error) {
					return at.post("/token", "svc", "wrong", url.Values{"grant_type": {"client_credentials"}})
				}},
				{"login", func(at *server) (answer, error) {
					names++
					return newPerson(fmt.Sprint("nobody", names)).fails(at)
				}},
			} {
				what, ask := kind.what, kind.ask
				begin := time.Now()
				until := func(at *server, pause time.Duration) (passed int) {
					for ; passed < 100; passed++ {
						said, err := ask(at)
						if err != nil {
							t.Fatal(what, err)
						}
						if said.status == http.StatusTooManyRequests {
							if said.header.Get("Retry-After") == "" {
								t.Errorf("%s: no word of when to come again: %v", what, said.header)
							}
							break
						}
						time.Sleep(pause)
					}
					return passed
				}
				if passed, earned := until(here, 0), int(time.Since(begin)/time.Second); passed < burst || passed > burst+earned+1 {
					t.Errorf("%s: %d passed at one server in %v", what, passed, time.Since(begin))
				}
				begin = time.Now()
				// Time for a lease, of one request, to be told each time, also on a machine
				// that does much else.
				passed := until(there, 500*time.Millisecond)
				if took := time.Since(begin); passed > burst/2+int(took/time.Second) {
					t.Errorf("%s: %d more passed at the other server in %v", what, passed, took)
				}
			}
		})
	}
}

// fails tries to sign in with a wrong password.
func (p *person) fails(at *server) (answer, error) {
	page, err := p.open(at, http.MethodGet, authorization(p.scope, ""), nil)
	if err != nil {
		return page, err
	}
	form, asked := page.form("/login", "username", p.name, "password", "wrong")
	if !asked {
		return page, &unexpected{"no form: " + page.text}
	}
	return at.do(p.http, http.MethodPost, "/login", form)
}

// TestNoRequestWaitsForSharedLimits: a Redis that hangs holds up no client, and each
// server goes on with limits of its own.
func TestNoRequestWaitsForSharedLimits(t *testing.T) {
	spec.Covers(t, "FT-18")
	t.Parallel()
	redis := redistest.Start(t)
	h := limited(t, redis.Addr())
	redis.Hang(t)
	for _, s := range h.servers {
		passed := 0
		for begin := time.Now(); ; passed++ {
			asked := time.Now()
			said, err := s.service()
			if took := overdue(asked, 500*time.Millisecond); err != nil || took > 0 {
				t.Fatalf("%d %s %v after %v", said.status, said.text, err, took)
			}
			if said.status == http.StatusTooManyRequests {
				break
			}
			if passed > 10+int(time.Since(begin)/time.Second)+1 {
				t.Fatalf("%d passed in %v: nobody counts", passed, time.Since(begin))
			}
		}
		if passed < 10 {
			t.Errorf("%d passed, want the whole limit", passed)
		}
	}
	redis.Wake(t)
}

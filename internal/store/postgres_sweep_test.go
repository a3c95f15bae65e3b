package store

import (
	"errors"
	"testing"
	"time"

	"gatehouse"
)

// TestTheSweepLeavesWhatComesAliveMeanwhile: a row that is due when the sweep chooses it, and that an act
// under way has stay longer, stays.
func TestTheSweepLeavesWhatComesAliveMeanwhile(t *testing.T) {
	id := gatehouse.GrantID{1}
	overdue := func(a *act) int64 { return millis(a.now.Add(-time.Hour)) }
	run := func(a *act, text string, args ...any) error {
		_, err := a.exec(text, args...)
		return err
	}
	for _, test := range []struct {
		name, table, leaves string
		make, renew         func(a *act) error
	}{
		{"a mark of what was used", "kv", "expires_at",
			func(a *act) error { return run(a, sqlKVSet, []byte("jti"), []byte("old"), overdue(a)) },
			func(a *act) error {
				return run(a, sqlKVAdd, []byte("jti"), []byte("new"), until(a.now, time.Hour), millis(a.now))
			}},
		{"a grant that ends", "grants", "leaves_at",
			func(a *act) error {
				return run(a, sqlIssueCode, a.tenant, id[:], "handle", "web", "alice", "session", "openid", "[]", "https://app.example/", int64(0),
					"", "", overdue(a), "[]", "", int64(1), []byte("hash"), overdue(a), int64(0), overdue(a), overdue(a), overdue(a), []byte{}, "{}")
			},
			func(a *act) error { return a.endGrant(id, gatehouse.EndedByRevocation, gatehouse.Circumstance{}) }},
		{"an end that comes again", "endings", "until",
			func(a *act) error {
				return run(a, sqlAddEnding, a.tenant, endingSubject, "alice", int64(1), overdue(a), overdue(a))
			},
			func(a *act) error {
				return run(a, sqlAddEnding, a.tenant, endingSubject, "alice", int64(2), millis(a.now), millis(a.now.Add(time.Hour)))
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := openPostgresTest(t, func(c *Config) { c.Patience = time.Minute })
			did := func(do func(a *act) error) {
				t.Helper()
				err := s.engine.do(t.Context(), quick, func(a *act) error {
					a.tenant = "one"
					return do(a)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			left := func(want int64) {
				t.Helper()
				count := int64(0)
				did(func(a *act) error {
					_, err := a.one("SELECT COUNT(*) FROM "+test.table, []any{&count})
					return err
				})
				if count != want {
					t.Errorf("%d rows are left of %s, want %d", count, test.table, want)
				}
			}
			did(test.make)
			swept := make(chan error, 1)
			did(func(a *act) error {
				if err := test.renew(a); err != nil {
					return err
				}
				go func() {
					_, err := s.Sweep(t.Context())
					swept <- err
				}()
				return isWaitedFor(a)
			})
			if err := <-swept; err != nil {
				t.Fatal(err)
			}
			left(1)
			did(func(a *act) error { return run(a, "UPDATE "+test.table+" SET "+test.leaves+" = 1") })
			if _, err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			left(0)
		})
	}
}

// isWaitedFor returns when another act waits for what this one has locked.
func isWaitedFor(a *act) error {
	for began := time.Now(); time.Since(began) < toldAtAll; time.Sleep(time.Millisecond) {
		waiting := int64(0)
		_, err := a.one("SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))", []any{&waiting})
		if err != nil || waiting > 0 {
			return err
		}
	}
	return errors.New("nobody waits")
}

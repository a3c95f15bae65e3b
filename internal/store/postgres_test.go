package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse"
	"gatehouse/internal/store/postgrestest"
)

// openPostgresTest opens a store in a schema of its own, which at returns again.
func openPostgresTest(t *testing.T, change func(*Config)) (s *Store, at string) {
	t.Helper()
	at = postgrestest.Schema(t)
	config := Config{URL: at, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, at
}

// toldAtAll is far beyond what is promised: machines that test are busy. Package faults holds servers to
// the promise.
const toldAtAll = 20 * time.Second

// TestStatementsPrepareOnPostgreSQL has PostgreSQL read every statement, and looks what it takes the
// parameters for: an integer that it takes for a smaller one would not hold a time.
func TestStatementsPrepareOnPostgreSQL(t *testing.T) {
	s, _ := openPostgresTest(t, nil)
	known := map[uint32]string{20: "bigint", 25: "text", 17: "bytea"}
	err := s.engine.do(t.Context(), thorough, func(a *act) error {
		return a.native(func(c *pgx.Conn) error {
			for name, text := range statements(t) {
				prepared, err := c.Prepare(a.ctx, name, text)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				for i, parameter := range prepared.ParamOIDs {
					if known[parameter] == "" {
						t.Errorf("%s: $%d is taken for a type of number %d", name, i+1, parameter)
					}
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPostgreSQLSettings(t *testing.T) {
	s, _ := openPostgresTest(t, func(c *Config) { c.URL += "&synchronous_commit=off&statement_timeout=0" })
	for name, want := range map[string]string{
		"synchronous_commit": "on", "transaction_isolation": "read committed", "statement_timeout": "1530ms", "lock_timeout": "1190ms",
		"application_name": "gatehouse",
	} {
		err := s.pool.query(t.Context(), func(c *connection) error {
			var got string
			if _, err := c.one("SELECT current_setting($1)", []any{&got}, name); err != nil || got != want {
				t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefusesPostgreSQLThatDoesNotFit(t *testing.T) {
	at := postgrestest.Schema(t)
	for _, row := range []struct{ change, want string }{
		{"&default_transaction_read_only=on", "read only"}, // as a standby is
		{"&search_path=nowhere", "no schema that exists"},
		{"&pool_max_conns=1", "pool_max_conns must be"},
		{"&pool_max_conns=many", "pool_max_conns must be"},
	} {
		url := at + row.change
		if strings.HasPrefix(row.change, "&search_path") {
			url = strings.Replace(at, "search_path=", "search_path=no", 1)
		}
		s, err := Open(t.Context(), Config{URL: url})
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.change, err)
		}
	}
	_, err := Open(t.Context(), Config{URL: "postgres://gatehouse:hunter2hunter2@127.0.0.1:1/gatehouse"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a server that is not there: %v", err)
	}
	s, err := Open(t.Context(), Config{URL: at})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestPostgreSQLIsMigratedOnce(t *testing.T) {
	at := postgrestest.Schema(t)
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			s, err := Open(t.Context(), Config{URL: at, Patience: time.Minute})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	postgrestest.Run(t, at, "INSERT INTO migrations (number, name, applied_at) SELECT MAX(number) + 1, 'next', 0 FROM migrations")
	if _, err := Open(t.Context(), Config{URL: at}); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer database: %v", err)
	}
}

func TestAFailingActLeavesNothingInPostgreSQL(t *testing.T) {
	s, _ := openPostgresTest(t, nil)
	before, broken := s.Load(), errors.New("broken")
	for _, row := range []struct {
		run  func(*act) error
		want string
	}{
		{tellNote("first"), ""},
		{func(a *act) error { return errors.Join(tellNote("lost")(a), broken) }, "broken"},
		{func(a *act) error { _ = tellNote("lost too")(a); panic("in the middle of an act") }, "panicked"},
		{func(a *act) error { return errors.Join(tellNote("undone")(a), errUndo) }, ""},
		{func(a *act) error { _, err := a.exec("SELECT nonsense FROM nowhere"); return err }, "nowhere"},
		// An error that the act overlooks fails its commit.
		{func(a *act) error { _, _ = a.exec("SELECT nonsense FROM nowhere"); return nil }, "had failed before"},
		{tellNote("second"), ""},
	} {
		err := s.engine.do(t.Context(), quick, row.run)
		if got := fmt.Sprint(err); row.want == "" && err != nil || !strings.Contains(got, row.want) {
			t.Errorf("answered %q, want %q", got, row.want)
		}
	}
	if got := strings.Join(notes(t, s), " "); got != "first second" {
		t.Errorf("what stands: %q", got)
	}
	after := s.Load()
	if after.Acts-before.Acts != 2 || after.Commits-before.Commits != 2 || after.Committing <= before.Committing || after.Waiting != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestActsThatBlockEachOtherAreRunAgain makes two acts that wait for each other.
func TestActsThatBlockEachOtherAreRunAgain(t *testing.T) {
	s, _ := openPostgresTest(t, func(c *Config) { c.Patience = time.Minute })
	var met, done sync.WaitGroup
	met.Add(2)
	var tries atomic.Int64
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		first := true
		done.Go(func() {
			err := s.engine.do(t.Context(), quick, func(a *act) error {
				tries.Add(1)
				a.tenant = "one"
				if err := a.seize(lockToken, names[0]); err != nil {
					return err
				}
				if first {
					first = false
					met.Done()
					met.Wait()
				}
				return errors.Join(a.seize(lockToken, names[1]), tellNote(names[0])(a))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if got := len(notes(t, s)); got != 2 || tries.Load() != 3 {
		t.Errorf("%d acts stand after %d tries", got, tries.Load())
	}
}

func TestTheClockOfPostgreSQL(t *testing.T) {
	s, at := openPostgresTest(t, nil)
	if offset := s.ClockOffset(); offset.Abs() > 5*time.Second {
		t.Errorf("the server on this machine is %v off", offset)
	}
	if passed := time.Since(s.Now()); passed.Abs() > 5*time.Second {
		t.Errorf("the store's clock is %v off", passed)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	s.postgres.offset.Store(int64(90 * time.Second))
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "1m30s off") {
		t.Errorf("ping of a replica whose clock is wrong: %v", err)
	}
	ahead := s.Now()
	if err := s.engine.do(t.Context(), quick, tellNote("written with the clock ahead")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), Config{URL: at, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if now := again.Now(); now.Before(ahead) {
		t.Errorf("after a restart it is %v, it was %v", now, ahead)
	}
}

func TestAConnectionToWhatBecameAStandbyIsGivenUp(t *testing.T) {
	s, _ := openPostgresTest(t, nil)
	for range 3 {
		err := s.pool.query(t.Context(), func(c *connection) error {
			_, err := c.exec("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.engine.do(t.Context(), quick, tellNote("elsewhere")); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(notes(t, s)); got != 3 {
		t.Errorf("%d acts stand", got)
	}
}

// withPostgresAway runs with a store whose way to its database is cut and mended.
func withPostgresAway(t *testing.T, run func(s *Store, way *postgrestest.Way)) {
	t.Helper()
	way := postgrestest.NewWay(t)
	s, _ := openPostgresTest(t, func(c *Config) { c.URL = way.Through(t, c.URL) })
	if err := s.engine.do(t.Context(), quick, tellNote("before")); err != nil {
		t.Fatal(err)
	}
	run(s, way)
}

func TestAPostgreSQLThatIsAwayIsToldInTimeAndComesBack(t *testing.T) {
	for name, cut := range map[string]func(*postgrestest.Way){"gone": (*postgrestest.Way).Cut, "silent": (*postgrestest.Way).Silence} {
		t.Run(name, func(t *testing.T) {
			withPostgresAway(t, func(s *Store, way *postgrestest.Way) {
				before := runtime.NumGoroutine()
				cut(way)
				var asked sync.WaitGroup
				for i := range 200 {
					asked.Go(func() {
						begin := time.Now()
						var err error
						if i%2 == 0 {
							err = s.AppendEvent(context.Background(), "one", gatehouse.Event{Kind: "note"})
						} else {
							_, _, err = s.User(context.Background(), "one", "x")
						}
						if took := time.Since(begin); !errors.Is(err, ErrUnavailable) || took > toldAtAll {
							t.Errorf("answered after %v: %v", took, err)
						}
					})
				}
				asked.Wait()
				if err := s.Ping(t.Context()); err == nil {
					t.Error("it is ready")
				}
				way.Mend()
				for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
					if err := s.engine.do(t.Context(), quick, tellNote("after")); err == nil {
						break
					} else if time.Since(begin) > toldAtAll {
						t.Fatalf("it does not come back: %v", err)
					}
				}
				for begin := time.Now(); runtime.NumGoroutine() > before+100; time.Sleep(50 * time.Millisecond) {
					if time.Since(begin) > toldAtAll {
						t.Fatalf("%d goroutines, there were %d", runtime.NumGoroutine(), before)
					}
				}
			})
		})
	}
}

// TestADatabaseThatIsAwayIsAskedByOne looks who waits for a database that does not answer: nobody but
// one who tries.
func TestADatabaseThatIsAwayIsAskedByOne(t *testing.T) {
	var looks atomic.Int64
	way := postgrestest.NewWay(t)
	s, _ := openPostgresTest(t, func(c *Config) {
		c.URL = way.Through(t, c.URL)
		c.Trace = func(ctx context.Context, _ string) (context.Context, func(error)) {
			looks.Add(1)
			return ctx, untraced
		}
	})
	settings := func() error {
		_, _, err := s.Tenant(t.Context(), "one")
		return err
	}
	if err := settings(); err != nil {
		t.Fatal(err)
	}
	way.Silence()
	for settings() == nil { // from memory, yet
		time.Sleep(10 * time.Millisecond)
	}
	looks.Store(0)
	const asked = 10_000
	for range asked {
		if err := settings(); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if got := looks.Load(); got > asked/100 {
		t.Errorf("%d of %d asked the database", got, asked)
	}
	way.Mend()
	for begin := time.Now(); settings() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("it does not notice that the database is back")
		}
	}
}

// TestConnectionsThatAFirewallForgotAreGivenUp lets the connections of a busy time fall silent for
// good, and then asks one thing after the other. What waits on one of them keeps nobody from closing.
func TestConnectionsThatAFirewallForgotAreGivenUp(t *testing.T) {
	withPostgresAway(t, func(s *Store, way *postgrestest.Way) {
		var held, open sync.WaitGroup
		held.Add(defaultConns)
		for range defaultConns {
			open.Go(func() {
				if err := s.pool.query(t.Context(), func(c *connection) error {
					held.Done()
					held.Wait()
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		open.Wait()
		way.Silence()
		if err := s.engine.do(t.Context(), quick, tellNote("lost")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("during the silence: %v", err)
		}
		way.Mend()
		refused := 0
		for good := 0; good < defaultConns; {
			if _, _, err := s.User(t.Context(), "one", "x"); err != nil {
				if refused++; refused > 2 {
					t.Fatalf("asked %d times, it still does not answer: %v", refused+good, err)
				}
				continue
			}
			good++
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(thoroughTime / 2):
			t.Error("the store does not close")
		}
	})
}

func TestAPostgreSQLThatIsSlowIsToldInTime(t *testing.T) {
	s, at := openPostgresTest(t, nil)
	if err := s.engine.do(t.Context(), quick, tellNote("before")); err != nil {
		t.Fatal(err)
	}
	locking, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer locking.Close(context.Background())
	if _, err := locking.Exec(t.Context(), "BEGIN; LOCK TABLE counters"); err != nil {
		t.Fatal(err)
	}
	var asked sync.WaitGroup
	for range 100 { // more than there are connections
		asked.Go(func() {
			begin := time.Now()
			err := s.AppendEvent(context.Background(), "one", gatehouse.Event{Kind: "note"})
			if took := time.Since(begin); !errors.Is(err, ErrUnavailable) || took > toldAtAll {
				t.Errorf("an act was answered after %v: %v", took, err)
			}
			// Acts that wait leave connections for queries.
			if _, _, err := s.User(context.Background(), "one", "x"); err != nil {
				t.Errorf("a query: %v", err)
			}
		})
	}
	asked.Wait()
	if _, err := locking.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.do(t.Context(), quick, tellNote("after")); err != nil {
		t.Error(err)
	}
}

package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gatehouse"
)

// childPath tells the test binary that it is the process to be killed.
const childPath = "GATEHOUSE_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		writeUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	path := filepath.Join(t.TempDir(), "a ? % # b.db") // a name that a URI must escape
	s := openAt(t, path)
	if err := s.writer.do(t.Context(), quick, tellNote("x")); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", path+suffix, mode)
		}
	}
}

func TestPragmas(t *testing.T) {
	s := openTest(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": busyTimeout} {
		var got string
		if _, err := s.db.writer.one("SELECT CAST("+strings.TrimPrefix(pragma, "busy_")+" AS TEXT) FROM pragma_"+pragma, []any{&got}); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", pragma, got, err, want)
		}
	}
	for _, reader := range s.db.readers {
		if _, err := reader.exec("DELETE FROM events"); err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("a reader wrote: %v", err)
		}
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	notes := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(notes, []byte(strings.Repeat("these are notes ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", ":memory:", notes, filepath.Join(t.TempDir(), "no", "such", "directory.db"), t.TempDir()} {
		s, err := Open(t.Context(), Config{Path: path})
		if err == nil {
			_ = s.Close()
			t.Errorf("%q was opened", path)
		} else if !strings.Contains(err.Error(), "opening the database") {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	known, err := readMigrations(migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	// Two processes that start at once, and a third one later.
	var done sync.WaitGroup
	for range 3 {
		done.Go(func() {
			s, err := Open(t.Context(), Config{Path: path})
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
	s := openAt(t, path)
	version := func() (count, newest int) {
		t.Helper()
		if _, err := s.db.writer.one("SELECT COUNT(*), MAX(number) FROM migrations", []any{&count, &newest}); err != nil {
			t.Fatal(err)
		}
		return count, newest
	}
	if count, newest := version(); count != len(known) || newest != len(known) {
		t.Fatalf("%d migrations up to %d are recorded, %d exist", count, newest, len(known))
	}

	// A step that fails leaves nothing behind, and neither does its neighbour's success depend on it.
	next := migration{number: len(known) + 1, name: "next.sql", text: "CREATE TABLE something (tenant TEXT); INSERT INTO nowhere VALUES (1);"}
	if err := migrate(t.Context(), fileMigrator{s.db.writer}, append(known[:len(known):len(known)], next), 1); err == nil || !strings.Contains(err.Error(), "next.sql") {
		t.Fatalf("a broken migration: %v", err)
	}
	if _, newest := version(); newest != len(known) {
		t.Fatalf("a broken migration is recorded as %d", newest)
	}
	next.text = "CREATE TABLE something (tenant TEXT);"
	if err := migrate(t.Context(), fileMigrator{s.db.writer}, append(known[:len(known):len(known)], next), 1); err != nil {
		t.Fatalf("the mended migration: %v", err)
	}

	// Now the database is newer than this program.
	if _, err := Open(t.Context(), Config{Path: path}); !errors.Is(err, ErrNewer) {
		t.Fatalf("a newer database: %v", err)
	}
}

func TestTimePassesInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "gatehouse.db")})
		if err != nil {
			t.Fatal(err)
		}
		before := s.Now()
		time.Sleep(31 * 24 * time.Hour)
		if passed := s.Now().Sub(before); passed != 31*24*time.Hour {
			t.Errorf("%v passed", passed)
		}
		if err := s.writer.do(t.Context(), quick, tellNote("later")); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// writeUntilKilled grows pairs of rows, an event and an ending in one act, and says each that is
// durable.
func writeUntilKilled(path string) {
	s, err := Open(context.Background(), Config{Path: path})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var lock sync.Mutex
	for worker := range 8 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d", worker, i)
				_, err := write(context.Background(), s, "growing a pair", "one", func(a *act) (struct{}, error) {
					a.addEnding(endingToken, name, a.now)
					return struct{}{}, tellNote(name)(a)
				})
				lock.Lock()
				fmt.Println(name, err)
				lock.Unlock()
			}
		}()
	}
	select {}
}

func TestAKilledProcessLeavesWholeActsAndAllThatWereAnswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childPath+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var answered []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, err, _ := strings.Cut(lines.Text(), " ")
		if err != "<nil>" {
			t.Fatalf("the child says %q", lines.Text())
		}
		answered = append(answered, name)
		if len(answered) == 500 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait()
	if len(answered) < 500 {
		t.Fatalf("the child ended after %d acts", len(answered))
	}

	s := openAt(t, path)
	pairs := make(map[string]int)
	for text, count := range map[string]int{
		"SELECT value FROM endings":                                  1,
		"SELECT substr(detail, 10, length(detail) - 11) FROM events": 10,
	} {
		if err := s.db.writer.each(text, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			pairs[name] += count
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for name, halves := range pairs {
		if halves != 11 {
			t.Errorf("act %s was kept in part (%d)", name, halves)
		}
	}
	for _, name := range answered {
		if pairs[name] == 0 {
			t.Errorf("act %s was answered and is gone", name)
		}
	}
	if err := s.writer.do(t.Context(), quick, tellNote("afterwards")); err != nil {
		t.Fatal(err)
	}
}

func TestTheClockNeverGoesBack(t *testing.T) {
	system := time.UnixMilli(1_700_000_000_000)
	c := startClock(func() time.Time { return system }, time.Time{})
	at := c.now()
	step := func(by, want time.Duration) {
		t.Helper()
		system = system.Add(by)
		now := c.now()
		if passed := now.Sub(at); passed != want {
			t.Errorf("the system's clock moved by %v, the store's by %v, want %v", by, passed, want)
		}
		at = now
	}
	step(time.Second, time.Second)
	step(-time.Hour, 0)
	step(10*time.Second, 9*time.Second) // behind: a tenth slower
	step(10*time.Hour-10*time.Second, 9*time.Hour-9*time.Second)
	step(time.Minute, time.Minute) // it has caught up
}

func TestTheClockDoesNotGoBackOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	now := time.UnixMilli(1_700_000_000_000)
	restart := func() *Store {
		t.Helper()
		s, err := Open(t.Context(), Config{Path: path, Log: slog.New(slog.DiscardHandler), Clock: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := restart()
	if err := s.writer.do(t.Context(), quick, tellNote("first")); err != nil {
		t.Fatal(err)
	}
	before := s.Now()
	now = now.Add(100 * time.Millisecond)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(-24 * time.Hour)
	s = restart()
	defer s.Close()
	if after := s.Now(); after.Before(before) {
		t.Errorf("the clock went from %v to %v", before, after)
	}
	if err := s.AppendEvent(t.Context(), gatehouse.DefaultTenant, gatehouse.Event{Kind: "note"}); err != nil {
		t.Fatal(err)
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
)

func openAt(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openTest(t *testing.T) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "gatehouse.db"))
}

// tellNote is an act that leaves one event behind.
func tellNote(note string) func(*act) error {
	return func(a *act) error {
		a.tenant = "one"
		return a.tell(gatehouse.Event{}, "note", "note", note)
	}
}

// notes returns the notes that stand, and fails if their numbers do not grow.
func notes(t *testing.T, s *Store) []string {
	t.Helper()
	events, err := s.Events(t.Context(), "one", gatehouse.EventFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	last := int64(0)
	for _, e := range events {
		if e.Seq <= last {
			t.Fatalf("event %d follows event %d", e.Seq, last)
		}
		last = e.Seq
		found = append(found, e.Detail["note"])
	}
	return found
}

// together runs acts in one batch and returns what each was answered.
func together(t *testing.T, s *Store, acts ...func(*act) error) []error {
	t.Helper()
	answers := make([]error, len(acts))
	var done sync.WaitGroup
	let := false
	_ = s.writer.do(t.Context(), quick, func(*act) error {
		if let { // an act may be run again
			return nil
		}
		let = true
		// The batch takes what waits when this act is over, so all of them are let in first.
		for i, run := range acts {
			done.Go(func() { answers[i] = s.writer.do(context.Background(), quick, run) })
			for len(s.writer.queue) <= i { // one after the other, so that they run in their order
				runtime.Gosched()
			}
		}
		return nil
	})
	done.Wait()
	return answers
}

func TestAFailingActLeavesItsNeighboursAlone(t *testing.T) {
	s := openTest(t)
	broken := errors.New("broken")
	answers := together(t, s,
		tellNote("first"),
		func(a *act) error { return errors.Join(tellNote("lost")(a), broken) },
		tellNote("second"),
		func(a *act) error { _ = tellNote("lost too")(a); panic("in the middle of an act") },
		func(a *act) error { return errors.Join(tellNote("undone")(a), errUndo) },
		func(a *act) error { _, err := a.exec("SELECT nonsense FROM nowhere"); return err },
		tellNote("third"),
	)
	for i, want := range []string{"", "broken", "", "panicked", "", "nowhere", ""} {
		if got := fmt.Sprint(answers[i]); want == "" && answers[i] != nil || !strings.Contains(got, want) {
			t.Errorf("act %d was answered %q, want %q", i, got, want)
		}
	}
	if got := strings.Join(notes(t, s), " "); got != "first second third" {
		t.Errorf("what stands: %q", got)
	}
}

func TestAFailingFirstActGivesItsNumberBack(t *testing.T) {
	s := openTest(t)
	for range 3 {
		answers := together(t, s,
			func(a *act) error { return errors.Join(tellNote("lost")(a), errUndo) },
			tellNote("a"), tellNote("b"))
		if err := errors.Join(answers...); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(notes(t, s), ""); got != "ababab" {
		t.Errorf("what stands: %q", got)
	}
}

func TestAFailedCommitFailsTheWholeBatch(t *testing.T) {
	s := openTest(t)
	answers := together(t, s,
		tellNote("before"),
		func(a *act) error {
			// A secret of no client: with the check put off, COMMIT is what refuses it.
			if _, err := a.exec("PRAGMA defer_foreign_keys = 1"); err != nil {
				return err
			}
			_, err := a.exec(sqlAddClientSecret, "one", "no-client", "s1", "sha256", []byte{1}, 1, 0)
			return err
		},
		tellNote("after"),
	)
	for i, err := range answers {
		if err == nil || !strings.Contains(err.Error(), "committing") {
			t.Errorf("act %d was answered %v", i, err)
		}
	}
	if err := s.writer.do(t.Context(), quick, tellNote("next")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(notes(t, s), " "); got != "next" {
		t.Errorf("what stands: %q", got)
	}
}

func TestAFullDiskPasses(t *testing.T) {
	s := openTest(t)
	if err := s.writer.do(t.Context(), quick, tellNote("before")); err != nil {
		t.Fatal(err)
	}
	pages := func(count string) {
		t.Helper()
		if err := s.writer.do(t.Context(), quick, func(a *act) error {
			var now int64
			_, err := a.one("PRAGMA max_page_count = "+count, []any{&now})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	pages("1") // SQLite takes it for the pages that there are
	var err error
	for range 1000 {
		if err = s.writer.do(t.Context(), quick, tellNote(strings.Repeat("x", 10_000))); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("an act without room was answered %v", err)
	}
	stand := len(notes(t, s))
	pages("1000000")
	if err := s.writer.do(t.Context(), quick, tellNote("after")); err != nil {
		t.Error(err)
	}
	if got := len(notes(t, s)); got != stand+1 {
		t.Errorf("%d events, there were %d", got, stand)
	}
}

func TestALostTransactionFailsTheWholeBatch(t *testing.T) {
	s := openTest(t)
	answers := together(t, s,
		tellNote("before"),
		func(a *act) error { // as SQLite does by itself when the disk is full
			_, err := a.exec("ROLLBACK")
			return errors.Join(err, errors.New("disk full"))
		},
	)
	for i, err := range answers {
		if !errors.Is(err, errLost) {
			t.Errorf("act %d was answered %v", i, err)
		}
	}
	if err := s.writer.do(t.Context(), quick, tellNote("next")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(notes(t, s), " "); got != "next" {
		t.Errorf("what stands: %q", got)
	}
}

func TestWaitingIsBoundedAndCanBeGivenUp(t *testing.T) {
	s := openTest(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		_ = s.writer.do(context.Background(), quick, func(*act) error { close(entered); <-leave; return nil })
	})
	<-entered

	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error, queueLimit)
	for range queueLimit {
		done.Go(func() { answers <- s.writer.do(ctx, quick, tellNote("given up")) })
	}
	for len(s.writer.queue) < queueLimit {
		runtime.Gosched()
	}
	if err := s.writer.do(t.Context(), quick, tellNote("too many")); !errors.Is(err, ErrBusy) {
		t.Errorf("act %d was answered %v", queueLimit+1, err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("ping of a full queue: %v", err)
	}
	cancel()
	for range queueLimit {
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Fatalf("an act that was given up was answered %v", err)
		}
	}
	close(leave)
	done.Wait()
	if err := s.writer.do(t.Context(), quick, tellNote("kept")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(notes(t, s), " "); got != "kept" {
		t.Errorf("what stands: %q", got)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// TestAFileThatSomebodyElseHoldsIsToldInTime has another process hold the file in the middle of an act.
func TestAFileThatSomebodyElseHoldsIsToldInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	other := openAt(t, path)
	s, err := Open(t.Context(), Config{Path: path, Patience: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	entered, leave := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		if err := other.writer.do(context.Background(), quick, func(*act) error { close(entered); <-leave; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-entered
	var late sync.WaitGroup
	for range 2 * batchLimit {
		late.Go(func() {
			if err := s.writer.do(t.Context(), quick, tellNote("late")); !errors.Is(err, errHeld) || !errors.Is(err, ErrUnavailable) {
				t.Errorf("an act was answered %v", err)
			}
		})
	}
	late.Wait()
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("what only reads does not wait: %v", err)
	}
	waiting := make(chan error, 1)
	done.Go(func() { waiting <- s.writer.do(t.Context(), thorough, tellNote("patient")) })
	for len(s.writer.queue) < 2*batchLimit {
		runtime.Gosched()
	}
	close(leave)
	if err := <-waiting; err != nil {
		t.Errorf("an act that may take its time: %v", err)
	}
	done.Wait()
	if err := s.writer.do(t.Context(), quick, tellNote("after")); err != nil {
		t.Error(err)
	}
	if got := strings.Join(notes(t, s), " "); got != "patient after" {
		t.Errorf("what stands: %q", got)
	}
}

func TestCloseAnswersEveryone(t *testing.T) {
	s := openTest(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.writer.do(context.Background(), quick, func(*act) error { close(entered); <-leave; return nil }); err != nil {
			t.Errorf("the act under way was answered %v", err)
		}
	})
	<-entered
	for range 200 {
		done.Go(func() {
			if err := s.writer.do(context.Background(), quick, tellNote("late")); err != nil && !errors.Is(err, ErrClosed) {
				t.Errorf("a waiting act was answered %v", err)
			}
		})
	}
	for len(s.writer.queue) < 200 {
		runtime.Gosched()
	}
	done.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	close(leave)
	done.Wait()
	if err := s.AppendEvent(t.Context(), "one", gatehouse.Event{Kind: "note"}); !errors.Is(err, ErrClosed) {
		t.Errorf("an act after the end was answered %v", err)
	}
	if _, _, err := s.User(t.Context(), "one", "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("a query after the end was answered %v", err)
	}
	if _, _, err := s.Client(t.Context(), "one", "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("a look into the snapshot after the end was answered %v", err)
	}
}

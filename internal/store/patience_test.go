package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store/postgrestest"
)

// TestARequestWaitsForTheDatabaseOnce: a database that answers each question in
// time and all of them too late is told of in time, and only to who asked so much.
func TestARequestWaitsForTheDatabaseOnce(t *testing.T) {
	const delay = 100 * time.Millisecond // of each piece of an answer
	way := postgrestest.NewWay(t)
	s, err := Open(t.Context(), Config{URL: way.Through(t, postgrestest.Schema(t)), Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		way.Mend()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	way.Slow(delay)
	questions := map[string]func(ctx context.Context, n int) error{
		"queries": func(ctx context.Context, n int) error {
			_, _, err := s.User(ctx, "one", "nobody")
			return err
		},
		"acts": func(ctx context.Context, n int) error {
			return s.AppendEvent(ctx, "one", gatehouse.Event{Kind: "note"})
		},
		"endings": func(ctx context.Context, n int) error {
			s.endings.checkedAt.Store(0)
			_, err := s.TokenEnded(ctx, "one", gatehouse.TokenFacts{ID: "x"})
			return err
		},
	}
	for name, ask := range questions {
		t.Run(name, func(t *testing.T) {
			const most = 10
			request := WithPatience(t.Context(), (most+1)*delay)
			answered := 0
			var err error
			for err == nil {
				if err = ask(request, answered); err == nil {
					answered++
				}
			}
			// Each takes a round trip or more.
			if !errors.Is(err, errSpent) || !errors.Is(err, ErrUnavailable) || answered > most {
				t.Errorf("%d were answered, and then: %v", answered, err)
			}
			if s.snapshot.away.Load() != nil {
				t.Error("the database is taken for gone")
			}
			for range most / 3 { // who has no patience of a request waits for each anew
				if err := ask(t.Context(), 0); err != nil {
					t.Error(err)
				}
				if err := ask(WithPatience(request, 0), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// The change counter is everybody's: one who has no time left does not hide it
	// from the others.
	if _, err := s.Version(WithPatience(t.Context(), time.Nanosecond)); !errors.Is(err, errSpent) {
		t.Errorf("%v", err)
	}
	if _, err := s.Version(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestARequestWaitsForTheFileOnce is the same of SQLite, whose acts wait for their
// turn.
func TestARequestWaitsForTheFileOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	s, err := Open(t.Context(), Config{Path: path, Patience: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	act := func(ctx context.Context) error { return s.AppendEvent(ctx, "one", gatehouse.Event{Kind: "note"}) }
	if err := act(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	holder, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	request := WithPatience(t.Context(), 100*time.Millisecond)
	if err := act(request); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if err := act(request); !errors.Is(err, errSpent) {
		t.Errorf("again: %v", err)
	}
	if !RenewPatience(request, 100*time.Millisecond) || RenewPatience(t.Context(), time.Second) || RenewPatience(WithPatience(request, 0), time.Second) {
		t.Error("another context than that of the request has been renewed")
	}
	if err := act(request); !errors.Is(err, errHeld) {
		t.Errorf("the next request: %v", err)
	}
	if _, err := holder.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := act(WithPatience(t.Context(), time.Hour)); err != nil {
		t.Error(err)
	}
}

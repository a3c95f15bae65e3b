package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
)

func TestTheSnapshotServesNothingOlderThanItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{Path: t.TempDir() + "/gatehouse.db"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		// Behind the store's back, as another process: the counter moves with the row.
		change := func(name string) {
			t.Helper()
			err := s.writer.do(t.Context(), quick, func(a *act) error {
				if _, err := a.exec(sqlPutSettings, "one", `{"name":"`+name+`"}`, 1); err != nil {
					return err
				}
				_, err := a.exec(sqlCountChange)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		sees := func(want string) {
			t.Helper()
			settings, _, err := s.Tenant(t.Context(), "one")
			if err != nil || settings.Name != want {
				t.Fatalf("it sees %q (%v), want %q", settings.Name, err, want)
			}
		}
		change("first")
		sees("first")
		change("second")
		time.Sleep(snapshotLife - time.Millisecond)
		sees("first")
		time.Sleep(time.Millisecond)
		sees("second")

		// A snapshot that cannot be checked is not served.
		for range readers {
			<-s.pool.(*filePool).free
		}
		sees("second")
		time.Sleep(snapshotLife)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Tenant(ctx, "one"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("it served without a check: %v", err)
		}
		for _, c := range s.db.readers {
			s.pool.(*filePool).free <- c
		}
		sees("second")
	})
}

func TestACheckDoesNotOutliveAChangeOfOurOwn(t *testing.T) {
	s := newSnapshot()
	if v := s.keep(0, 5, time.Second, time.Second); v == nil || v != s.current.Load() {
		t.Fatal("the first check was not kept")
	}
	s.drop() // while a check that has read 5 is on its way
	if v := s.keep(0, 5, 2*time.Second, 2*time.Second); v != nil || s.current.Load() != nil {
		t.Fatal("a check from before the change was kept")
	}
	newer := s.keep(1, 7, 3*time.Second, 3*time.Second)
	if newer == nil {
		t.Fatal("the next check was not kept")
	}
	newer.clients.Put(clientKey{"one", "a"}, gatehouse.Client{ID: "a"})
	// A check that was overtaken changes nothing, one that finds the same lengthens the life.
	if v := s.keep(1, 6, 2*time.Second, 4*time.Second); v != newer || v.checkedAt.Load() != int64(3*time.Second) {
		t.Fatal("an overtaken check was taken for news")
	}
	if v := s.keep(1, 7, 5*time.Second, 5*time.Second); v != newer || v.checkedAt.Load() != int64(5*time.Second) {
		t.Fatal("a check that found nothing new did not lengthen the life")
	}
	if v := s.keep(1, 8, 6*time.Second, 6*time.Second); v == newer {
		t.Fatal("what was read before a change was kept")
	}
	// The database went back: a failover lost what it had acknowledged.
	if v := s.keep(1, 4, 7*time.Second, 7*time.Second); v.counter != 4 {
		t.Fatal("what the database has lost is served on")
	}
}

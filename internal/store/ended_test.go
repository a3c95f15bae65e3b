package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/revocation"
)

// revoked ends a token, as this process does, and elsewhere as another one does.
func revoked(t *testing.T, s *Store, jti string) {
	t.Helper()
	if err := s.RevokeToken(t.Context(), "one", jti, s.Now().Add(time.Hour), "web", gatehouse.Circumstance{}); err != nil {
		t.Fatal(err)
	}
}

func elsewhere(t *testing.T, s *Store, jti string) {
	t.Helper()
	err := s.engine.do(t.Context(), quick, func(a *act) error {
		var seq int64
		if _, err := a.one(sqlTakeSeqs, []any{&seq}, 1); err != nil {
			return err
		}
		_, err := a.exec(sqlAddEnding, "one", endingToken, jti, seq, 0, millis(s.Now().Add(time.Hour)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func isEnded(t *testing.T, s *Store, jti string, want bool) {
	t.Helper()
	ended, err := s.TokenEnded(t.Context(), "one", gatehouse.TokenFacts{ID: jti, IssuedAt: s.Now()})
	if err != nil || ended != want {
		t.Fatalf("%s has ended: %v (%v), want %v", jti, ended, err, want)
	}
}

func TestWhatHasEndedIsNotServedFromMemoryLongerThanItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{Path: t.TempDir() + "/gatehouse.db"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		isEnded(t, s, "a", false)
		elsewhere(t, s, "a")
		time.Sleep(snapshotLife/2 - time.Millisecond)
		isEnded(t, s, "a", false) // without having asked the database
		revoked(t, s, "b")
		isEnded(t, s, "b", true) // this process knows what it has done
		time.Sleep(snapshotLife/2 + 2*time.Millisecond)
		isEnded(t, s, "a", true)

		// The memory serves for its life and not longer while the database does not answer.
		for range readers {
			<-s.pool.(*filePool).free
		}
		time.Sleep(snapshotLife/2 - time.Millisecond)
		isEnded(t, s, "a", true)
		time.Sleep(snapshotLife)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		asked := make(chan error)
		for range 2 { // one who asks the database, and one who waits for that
			go func() {
				_, err := s.TokenEnded(ctx, "one", gatehouse.TokenFacts{ID: "a"})
				asked <- err
			}()
		}
		synctest.Wait()
		for _, c := range s.db.readers {
			s.pool.(*filePool).free <- c
		}
		for range 2 {
			if err := <-asked; err != nil {
				t.Error(err)
			}
		}
		isEnded(t, s, "a", true)
	})
}

func TestWhoWaitsForAnotherMayGiveUp(t *testing.T) {
	s := openTest(t)
	r, ours := s.endings.begin()
	if !ours {
		t.Fatal("somebody reads")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.TokenEnded(ctx, "one", gatehouse.TokenFacts{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	s.endings.run(t.Context(), r)
	isEnded(t, s, "a", false)
}

// TestMoreThanMemoryHolds has the database asked where there are too many endings, until there are
// less.
func TestMoreThanMemoryHolds(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprint("known before: ", known), func(t *testing.T) {
			now := time.Now()
			s, err := Open(t.Context(), Config{Path: t.TempDir() + "/gatehouse.db", Clock: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.endings.limit = 20
			s.endings.kept.Load().limit = 20
			if known {
				isEnded(t, s, "a", false)
			}
			for i := range 30 {
				revoked(t, s, fmt.Sprint("jti-", i))
				elsewhere(t, s, fmt.Sprint("else-", i))
			}
			again := func() {
				s.endings.checkedAt.Store(0) // it has to be looked at
				for i := range 30 {
					isEnded(t, s, fmt.Sprint("jti-", i), true)
					isEnded(t, s, fmt.Sprint("else-", i), true)
				}
				isEnded(t, s, "jti-30", false)
			}
			again()
			if !s.endings.kept.Load().full.Load() {
				t.Error("it keeps more than its limit")
			}
			news := 0
			enough := errors.New("enough")
			err = s.FollowEndings(t.Context(), "one", 0, func(n revocation.News) error {
				if news += len(n.Entries); news >= 60 {
					return enough
				}
				return nil
			})
			if err != enough {
				t.Errorf("a follower is told of %d, %v", news, err)
			}
			now = now.Add(2 * endingsRetry)
			again()
			now = now.Add(2 * time.Hour)
			if _, err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.endings.checkedAt.Store(0)
			elsewhere(t, s, "later")
			isEnded(t, s, "later", true)
			if k := s.endings.kept.Load(); !k.serves() || k.count.Load() != 1 {
				t.Errorf("it keeps %d, and serves from them: %v", k.count.Load(), k.serves())
			}
		})
	}
}

// TestADatabaseThatWentBack loses the latest numbers, as a standby may that takes over, and gives
// them again.
func TestADatabaseThatWentBack(t *testing.T) {
	s := openTest(t)
	for i := range 20 {
		revoked(t, s, fmt.Sprint("jti-", i))
	}
	isEnded(t, s, "jti-19", true)
	var place int64
	enough := errors.New("enough")
	follow := func(until string) (told []string) {
		t.Helper()
		err := s.FollowEndings(t.Context(), "one", place, func(n revocation.News) error {
			place = n.Place
			for _, e := range n.Entries {
				if told = append(told, e.Value); e.Value == until {
					return enough
				}
			}
			return nil
		})
		if err != enough {
			t.Fatal(err)
		}
		return told
	}
	follow("jti-19")
	back := func(by int64) {
		t.Helper()
		err := s.writer.do(t.Context(), quick, func(a *act) error {
			if _, err := a.exec(`DELETE FROM endings WHERE tenant = 'one' AND seq > (SELECT value FROM counters WHERE name = 'event') - $1`, by); err != nil {
				return err
			}
			_, err := a.exec(`UPDATE counters SET value = value - $1 WHERE name = 'event'`, by)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	back(10)
	elsewhere(t, s, "new") // with a number that was given before
	s.endings.checkedAt.Store(0)
	isEnded(t, s, "new", true)
	isEnded(t, s, "jti-19", true) // lost there, and known here
	if told := follow("new"); len(told) < 2 {
		t.Errorf("told %v, want all again", told)
	}

	// Nobody at this server saw it, but a follower has the place.
	back(2)
	s.endings.counter = 0
	s.endings.log.last = 1
	elsewhere(t, s, "newer")
	follow("newer")
	together(t, s, func(a *act) error {
		a.tenant = "one"
		a.addEnding(endingToken, "x", s.Now().Add(time.Hour))
		return nil
	},
		func(a *act) error { return a.engine.moveNumbers(a, place+5) },
		func(a *act) error {
			a.tenant = "one"
			a.addEnding(endingToken, "y", s.Now().Add(time.Hour))
			return nil
		})
	told := follow("y")
	if told[len(told)-2] != "x" {
		t.Errorf("in one commit: %v", told)
	}
}

// TestFollowersWhileTheDatabaseIsAway are told each second, with the time of the last reading.
func TestFollowersWhileTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{Path: t.TempDir() + "/gatehouse.db"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		told := make(chan revocation.News)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- s.FollowEndings(ctx, "one", 0, func(n revocation.News) error {
				told <- n
				return nil
			})
		}()
		<-told
		for range readers {
			<-s.pool.(*filePool).free
		}
		away := <-told
		for range 5 {
			began := time.Now()
			if n := <-told; !n.AsOf.Equal(away.AsOf) || len(n.Entries) != 0 || time.Since(began) != heartbeat {
				t.Errorf("after %v it is told %+v", time.Since(began), n)
			}
		}
		for _, c := range s.db.readers {
			s.pool.(*filePool).free <- c
		}
		time.Sleep(followEvery)
		revoked(t, s, "a")
		for {
			n := <-told
			if len(n.Entries) == 1 && n.AsOf.After(away.AsOf) {
				break
			}
			if time.Since(away.AsOf) > time.Minute {
				t.Fatalf("it is told %+v", n)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if l := &s.endings.log; l.watchers != 0 {
			t.Errorf("%d watch on", l.watchers)
		}
	})
}

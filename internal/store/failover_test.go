package store

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/revocation"
)

// replaceable returns the URL of a schema, and by a second one as that of a server
// for which another can be put in its place: replace has it begin anew.
func replaceable(t *testing.T) (at string, replace func()) {
	t.Helper()
	at = postgrestest.Schema(t)
	location, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	query := location.Query()
	other := query.Get("search_path") + "_server"
	postgrestest.Run(t, at, "CREATE SCHEMA "+other)
	t.Cleanup(func() { postgrestest.Run(t, at, "DROP SCHEMA "+other+" CASCADE") })
	began := 0
	replace = func() {
		t.Helper()
		began++
		postgrestest.Run(t, at, fmt.Sprintf("CREATE OR REPLACE FUNCTION %s.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql AS $$ SELECT to_timestamp(%d) $$", other, began))
	}
	replace()
	query.Set("search_path", query.Get("search_path")+","+other+",pg_catalog")
	location.RawQuery = query.Encode()
	return location.String(), replace
}

// reader follows the endings of tenant one, with breaks.
type reader struct {
	*testing.T
	store *Store
	place int64
}

// told returns what it is told until, and with, an entry.
func (r *reader) told(until string) (told []string) {
	r.Helper()
	enough := errors.New("enough")
	err := r.store.FollowEndings(r.Context(), "one", r.place, func(n revocation.News) error {
		r.place = n.Place
		for _, e := range n.Entries {
			told = append(told, e.Value)
		}
		for _, value := range told {
			if value == until {
				return enough
			}
		}
		return nil
	})
	if err != enough {
		r.Fatal(err)
	}
	return told
}

// TestAFailoverWhoseNumbersHaveCaughtUp: a standby that takes over has not all that was
// acknowledged, and by the next look has given the numbers again. Two replicas look.
func TestAFailoverWhoseNumbersHaveCaughtUp(t *testing.T) {
	at, replace := replaceable(t)
	replica := func() (*Store, *reader) {
		s, err := Open(t.Context(), Config{URL: at, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s, &reader{T: t, store: s}
	}
	s, follower := replica()
	other, neighbour := replica()
	look := func(s *Store, jti string, want bool) {
		t.Helper()
		s.endings.checkedAt.Store(0)
		isEnded(t, s, jti, want)
	}
	for i := range 20 {
		revoked(t, s, fmt.Sprint("jti-", i))
	}
	expiring := s.Now().Add(-skew + 300*time.Millisecond)
	if err := s.RevokeToken(t.Context(), "one", "short", expiring, "web", gatehouse.Circumstance{}); err != nil {
		t.Fatal(err)
	}
	revoked(t, s, "last")
	follower.told("last")
	neighbour.told("last")

	// fails has so many acts lost, and others given their numbers.
	fails := func(lost int, instead ...string) {
		t.Helper()
		err := s.engine.do(t.Context(), quick, func(a *act) error {
			for _, table := range []string{"endings", "events"} {
				if _, err := a.exec(`DELETE FROM `+table+` WHERE seq > (SELECT value FROM counters WHERE name = 'event') - $1`, int64(lost)); err != nil {
					return err
				}
			}
			_, err := a.exec(`UPDATE counters SET value = value - $1 WHERE name = 'event'`, int64(lost))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, jti := range instead {
			elsewhere(t, s, jti)
		}
	}
	fails(3, "new-1", "new-2", "new-3")
	look(s, "new-1", false) // the numbers alone tell nothing
	replace()
	for _, s := range []*Store{s, other} {
		look(s, "new-1", true)
		look(s, "new-3", true)
		look(s, "last", true) // lost there, and known here
		look(s, "jti-0", true)
		look(s, "jti-20", false)
	}
	for _, r := range []*reader{follower, neighbour} {
		if told := r.told("new-3"); len(told) < 20 {
			t.Errorf("told %v, want all again", told)
		}
	}
	if follower.place != neighbour.place {
		t.Errorf("numbered anew more than once: %d, %d", follower.place, neighbour.place)
	}

	// The same database after a restart, and the loss of what has expired, are no
	// reason to tell anything again.
	for s.Now().Before(expiring.Add(skew)) {
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	replace()
	revoked(t, s, "later")
	look(other, "later", true)
	for _, r := range []*reader{follower, neighbour} {
		if told := r.told("later"); len(told) != 1 {
			t.Errorf("told %v, want what is new", told)
		}
	}

	// Nothing instead of what was lost: the counter has been moved by what has no end.
	fails(2)
	if err := s.AppendEvent(t.Context(), "one", gatehouse.Event{Kind: "note"}); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendEvent(t.Context(), "one", gatehouse.Event{Kind: "note"}); err != nil {
		t.Fatal(err)
	}
	replace()
	look(s, "later", true)
	elsewhere(t, s, "after all")
	if told := follower.told("after all"); len(told) < 20 {
		t.Errorf("told %v, want all again", told)
	}
}

// TestChangesThatAFailoverLost: a client whose change was lost is what the database has.
func TestChangesThatAFailoverLost(t *testing.T) {
	at, replace := replaceable(t)
	s, err := Open(t.Context(), Config{URL: at, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.PutSettings(t.Context(), "one", gatehouse.Settings{Name: "before"}, gatehouse.Event{}); err != nil {
		t.Fatal(err)
	}
	wants := func(name string) {
		t.Helper()
		if v := s.snapshot.current.Load(); v != nil {
			v.checkedAt.Store(int64(-time.Hour)) // it has to be looked at
		}
		if settings, _, err := s.Tenant(t.Context(), "one"); err != nil || settings.Name != name {
			t.Errorf("the name is %q (%v), want %q", settings.Name, err, name)
		}
	}
	wants("before")
	postgrestest.Run(t, at, `UPDATE tenants SET settings = replace(settings, 'before', 'instead')`)
	wants("before") // the number alone tells nothing
	replace()
	wants("instead")
}

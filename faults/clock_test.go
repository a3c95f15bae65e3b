package faults

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/internal/store/postgrestest"
)

// clockAhead returns the URL of a schema in which PostgreSQL's clock is ahead of
// this machine's, which is what a server on a machine that is late sees.
func clockAhead(t *testing.T, at string, by time.Duration) string {
	t.Helper()
	location, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	query := location.Query()
	clock := query.Get("search_path") + "_clock"
	postgrestest.Run(t, at, "CREATE SCHEMA "+clock)
	t.Cleanup(func() { postgrestest.Run(t, at, "DROP SCHEMA "+clock+" CASCADE") })
	postgrestest.Run(t, at, fmt.Sprintf("CREATE FUNCTION %s.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + interval ''%d seconds'''",
		clock, by/time.Second))
	query.Set("search_path", query.Get("search_path")+","+clock+",pg_catalog")
	location.RawQuery = query.Encode()
	return location.String()
}

// TestAServerWhoseClockIsOff goes by the database's clock. It is ready as long as
// the two are a minute apart at most.
func TestAServerWhoseClockIsOff(t *testing.T) {
	spec.Covers(t, "FT-21")
	for by, ready := range map[time.Duration]int{
		45 * time.Second: http.StatusOK, -45 * time.Second: http.StatusOK,
		90 * time.Second: http.StatusServiceUnavailable, -90 * time.Second: http.StatusServiceUnavailable,
		time.Hour: http.StatusServiceUnavailable, -time.Hour: http.StatusServiceUnavailable,
	} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, clockAhead(t, postgrestest.Schema(t), by), 1)
			s := h.servers[0]
			s.begin()
			s.awaits("/livez", http.StatusOK, readyWithin)
			s.awaits("/readyz", ready, recoversWithin)
			asked := time.Now()
			said, err := s.service() // who asks all the same is served
			if err != nil || said.status != http.StatusOK {
				t.Fatal(said.text, err)
			}
			if off := time.Unix(claimsOf(t, said.member("access_token")).IssuedAt, 0).Sub(asked.Add(by)); off < -10*time.Second || off > 10*time.Second+time.Since(asked) {
				t.Errorf("the token is %v off the database's clock", off)
			}
		})
	}
}

// TestTheDatabasesClockIsSetBack runs a server while the database's clock is an
// hour ahead, and again when it is right: nothing that had expired revives.
func TestTheDatabasesClockIsSetBack(t *testing.T) {
	spec.Covers(t, "FT-21")
	t.Parallel()
	at := postgrestest.Schema(t)
	h := newHouse(t, clockAhead(t, at, time.Hour), 1)
	h.write("tenant.yaml", strings.Replace(tenant(), "settings:\n", "settings:\n  code_lifetime: 10s\n", 1))
	h.must(h.servers[0].gatehouse("apply", h.directory+"/tenant.yaml"))
	s := h.servers[0]
	s.begin()
	s.awaits("/livez", http.StatusOK, readyWithin)
	a := newAccount(t, "user0")
	if !a.allow(s) {
		t.Fatal("nothing is allowed")
	}
	l := a.lives[0]
	code := h.code(a.person)
	time.Sleep(10500 * time.Millisecond) // a code's life, by a clock that tests do not set
	expired := func() {
		t.Helper()
		if said, err := s.redeem(code); err != nil || said.member("error") != "invalid_grant" || !strings.Contains(said.text, "code-expired.") {
			t.Errorf("%d %s %v", said.status, said.text, err)
		}
	}
	expired()
	s.stop()
	postgrestest.Run(t, at, "ALTER SCHEMA "+h.schema()+"_clock RENAME TO "+h.schema()+"_away")
	t.Cleanup(func() { postgrestest.Run(t, at, "ALTER SCHEMA "+h.schema()+"_away RENAME TO "+h.schema()+"_clock") })
	s.start()
	expired()
	said, err := s.introspect(l.access)
	if err != nil || said.member("active") != "true" {
		t.Errorf("a token from before the clock was set: %s %v", said.text, err)
	}
	if !a.use(s, l, refreshing) || !a.begin(s) {
		t.Errorf("nothing is served: %v", a.unanswered)
	}
}

// schema is where the tables of the house are.
func (h *house) schema() string {
	h.Helper()
	location, err := url.Parse(h.database)
	if err != nil {
		h.Fatal(err)
	}
	schema, _, _ := strings.Cut(location.Query().Get("search_path"), ",")
	return schema
}

package faults

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/resource"
)

const (
	// recoversWithin is from the end of an outage to service.
	recoversWithin = slack * 5 * time.Second
	// forgotten is when a server has looked for what may have changed.
	forgotten = 300 * time.Millisecond
	// pileUp is how many goroutines may be there after an outage that were not
	// before: connections of clients and of the database.
	pileUp = 100
)

// outageTime is how long an outage lasts.
func outageTime() time.Duration {
	if nightly() {
		return 30 * time.Second
	}
	return 2 * time.Second
}

// witness is a server with clients who go on asking while its database does not
// answer.
type witness struct {
	*server
	accounts  []*account
	documents map[string]string
	api       http.Handler
	token     string     // of a service
	visitors  []*visitor // who are in the middle of a sign-in
}

// everywhere are the documents that resource servers and clients need.
var everywhere = []string{"/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}

func newWitness(t *testing.T, database string) *witness {
	t.Helper()
	return witnessOf(t, newHouse(t, database, 1).start())
}

func witnessOf(t *testing.T, h *house) *witness {
	t.Helper()
	w := &witness{server: h.servers[0], documents: map[string]string{}}
	for i := range accounts {
		a := newAccount(t, fmt.Sprint("user", i))
		if !a.allow(w.server) {
			t.Fatal("nothing is allowed")
		}
		w.accounts = append(w.accounts, a)
	}
	for _, path := range everywhere {
		w.documents[path] = w.wants(path, http.StatusOK).text
	}
	w.api = h.protected()
	said, err := w.service()
	if w.token = said.member("access_token"); err != nil || w.token == "" {
		t.Fatal(said.text, err)
	}
	w.visitors = visitors(w.server)
	return w
}

// protected is an API that takes tokens of the house.
func (h *house) protected() http.Handler {
	h.Helper()
	protected, err := resource.New(h.Context(), resource.Config{Issuer: h.issuer, Audience: api, HTTPClient: h.callers, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.Fatal(err)
	}
	return protected.Require("api:read")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the API") }))
}

func (w *witness) wants(path string, status int) answer {
	w.Helper()
	asked := time.Now()
	said, err := w.get(path)
	if took := overdue(asked, told); err != nil || said.status != status || took > 0 {
		w.Errorf("%s: %d %s %v, want %d; overdue after %v", path, said.status, said.text, err, status, took)
	}
	return said
}

// wantsRest fails unless all that needs no database works: the documents, the
// checks of resource servers, the liveness.
func (w *witness) wantsRest() {
	w.Helper()
	for path, before := range w.documents {
		if now := w.wants(path, http.StatusOK).text; now != before {
			w.Errorf("%s was %s, and is %s", path, before, now)
		}
	}
	w.wants("/livez", http.StatusOK)
	r := httptest.NewRequest(http.MethodGet, "/photos", nil)
	r.Header.Set("Authorization", "Bearer "+w.token)
	recorder := httptest.NewRecorder()
	w.api.ServeHTTP(recorder, r)
	if recorder.Code != http.StatusOK {
		w.Errorf("the API answers %d %s", recorder.Code, recorder.Header().Get("WWW-Authenticate"))
	}
}

// asks are requests that the database must answer.
func (w *witness) asks(a *account) map[string]func() (answer, error) {
	l := a.lives[0]
	return map[string]func() (answer, error){
		"token":      w.service,
		"refresh":    func() (answer, error) { return w.refresh(l.refresh) },
		"revoke":     func() (answer, error) { return w.revoke(l.refresh) },
		"introspect": func() (answer, error) { return w.introspect(l.access) },
		"userinfo": func() (answer, error) {
			return w.do(w.callers, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+l.access)
		},
		"authorize": func() (answer, error) { return w.do(a.http, http.MethodGet, authorization(a.scope, ""), nil) },
		"account":   func() (answer, error) { return w.do(a.http, http.MethodGet, "/account", nil) },
	}
}

// notNow says that the answer is to come again: as the status, or, where the
// application is known, at its redirect URI (RFC 6749 §4.1.2.1).
func (a answer) notNow() bool {
	if _, problem := a.outcome(); problem == "temporarily_unavailable" {
		return a.status == http.StatusSeeOther
	}
	return a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != ""
}

// refused has everybody ask until the time is over. Each request is told to come
// again, in time.
func (w *witness) refused(during time.Duration) {
	w.Helper()
	w.impatient = true
	w.awaits("/readyz", http.StatusServiceUnavailable, recoversWithin)
	time.Sleep(forgotten)
	var group sync.WaitGroup
	var refusals atomic.Int64
	end := time.Now().Add(during)
	for _, a := range w.accounts {
		for what, ask := range w.asks(a) {
			group.Go(func() {
				for first := true; first || time.Now().Before(end); first = false {
					asked := time.Now()
					said, err := ask()
					if took := overdue(asked, told); err != nil || !said.notNow() || took > 0 {
						w.Errorf("%s: %d %v %s %v; overdue after %v", what, said.status, said.header, said.text, err, took)
						return
					}
					refusals.Add(1)
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
	}
	for _, v := range w.visitors {
		group.Go(func() {
			for time.Now().Before(end) {
				if err := v.putOff(); err != nil {
					w.Error(err)
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	for time.Now().Before(end) {
		w.wantsRest()
		w.wants("/readyz", http.StatusServiceUnavailable)
		time.Sleep(20 * time.Millisecond)
	}
	group.Wait()
	if least := int64(len(w.accounts) * 7); refusals.Load() < least {
		w.Errorf("%d requests were told to come again, want at least %d", refusals.Load(), least)
	}
}

// recovers fails unless everything works again, in the same process, and nothing
// was used up meanwhile.
func (w *witness) recovers(goroutines int) {
	w.Helper()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		said, err := w.service()
		if err == nil && said.status == http.StatusOK {
			w.impatient = false
			break
		}
		if time.Since(begin) > recoversWithin {
			w.Fatalf("it has not recovered: %d %s %v", said.status, said.text, err)
		}
	}
	w.awaits("/readyz", http.StatusOK, recoversWithin)
	w.wantsRest()
	for _, a := range w.accounts {
		l := a.lives[0]
		said, err := w.introspect(l.access)
		if err != nil || said.member("active") != "true" {
			w.Errorf("a revocation that was not answered was done: %s %v", said.text, err)
		}
		if !a.use(w.server, l, refreshing) || !a.begin(w.server) {
			w.Errorf("%s is not served: %v", a.name, a.unanswered)
		}
	}
	for _, v := range w.visitors {
		if err := v.arrives(); err != nil {
			w.Error(err)
		}
	}
	select {
	case <-w.ended:
		w.Fatal("the process has ended")
	default:
	}
	for begin := time.Now(); w.goroutines() > goroutines+pileUp; time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > recoversWithin {
			w.Fatalf("%d goroutines, there were %d", w.goroutines(), goroutines)
		}
	}
}

var goroutineCount = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

func (w *witness) goroutines() int {
	w.Helper()
	r, err := w.callers.Get("http://" + w.metrics + "/metrics")
	if err != nil {
		w.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	found := goroutineCount.FindSubmatch(text)
	if found == nil {
		w.Fatalf("no goroutines are counted:\n%s", text)
	}
	count, _ := strconv.Atoi(string(found[1]))
	return count
}

// TestTheDatabaseGoes takes the database away: connections end, or fall silent for
// good, or each answer takes longer than anybody waits.
func TestTheDatabaseGoes(t *testing.T) {
	spec.Covers(t, "FT-16", "FT-17")
	for name, go_ := range map[string]func(*postgrestest.Way){
		"gone": (*postgrestest.Way).Cut, "silent": (*postgrestest.Way).Silence,
		"slow": func(way *postgrestest.Way) { way.Slow(2 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := postgrestest.Schema(t)
			way := postgrestest.NewWay(t)
			w := newWitness(t, way.Through(t, at))
			goroutines := w.goroutines()
			go_(way)
			w.refused(outageTime())
			way.Mend()
			w.recovers(goroutines)
		})
	}
}

// TestTheDatabaseIsSlow: each answer of the database comes in time, and many of them
// do not. What is asked is served or put off, in two seconds.
func TestTheDatabaseIsSlow(t *testing.T) {
	spec.Covers(t, "FT-17")
	for _, delay := range []time.Duration{150 * time.Millisecond, 400 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			at := postgrestest.Schema(t)
			way := postgrestest.NewWay(t)
			w := newWitness(t, way.Through(t, at))
			goroutines := w.goroutines()
			way.Slow(delay)
			w.impatient = true
			end := time.Now().Add(2 * outageTime())
			var group sync.WaitGroup
			for _, v := range w.visitors {
				group.Go(func() {
					for time.Now().Before(end) && !t.Failed() {
						if err := v.tries(); err != nil {
							t.Error(err)
						}
						time.Sleep(20 * time.Millisecond)
					}
				})
			}
			for what, ask := range w.asks(w.accounts[0]) {
				if what == "refresh" || what == "revoke" {
					continue // of one token, whose ledger is kept elsewhere
				}
				group.Go(func() {
					for time.Now().Before(end) && !t.Failed() {
						asked := time.Now()
						said, err := ask()
						if took := overdue(asked, told); err != nil || took > 0 || !said.notNow() && said.status >= http.StatusBadRequest {
							t.Errorf("%s: %d %v %s %v; overdue after %v", what, said.status, said.header, said.text, err, took)
						}
						time.Sleep(20 * time.Millisecond)
					}
				})
			}
			for time.Now().Before(end) {
				w.wantsRest()
				time.Sleep(20 * time.Millisecond)
			}
			group.Wait()
			way.Mend()
			w.recovers(goroutines)
		})
	}
}

// TestTheDatabaseAdmitsNobody ends all connections and lets none in, as a server
// that is full, or starts again, does.
func TestTheDatabaseAdmitsNobody(t *testing.T) {
	t.Parallel()
	spec.Covers(t, "FT-17")
	admin := postgrestest.Server(t)
	location, err := url.Parse(postgrestest.Schema(t))
	if err != nil {
		t.Fatal(err)
	}
	schema := location.Query().Get("search_path")
	role := "role_" + schema
	postgrestest.Run(t, admin, "CREATE ROLE "+role+" LOGIN PASSWORD 'a-password'")
	t.Cleanup(func() { postgrestest.Run(t, admin, "REASSIGN OWNED BY "+role+" TO CURRENT_USER; DROP ROLE "+role) })
	postgrestest.Run(t, admin, "ALTER SCHEMA "+schema+" OWNER TO "+role)
	location.User = url.UserPassword(role, "a-password")
	w := newWitness(t, location.String())
	goroutines := w.goroutines()
	postgrestest.Run(t, admin, "ALTER ROLE "+role+" CONNECTION LIMIT 0")
	postgrestest.Run(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role+"'")
	w.refused(outageTime())
	postgrestest.Run(t, admin, "ALTER ROLE "+role+" CONNECTION LIMIT -1")
	w.recovers(goroutines)
}

// TestCutOffAtRandomPoints cuts the way to the database in the middle of acts:
// what was committed and not answered may be asked again.
func TestCutOffAtRandomPoints(t *testing.T) {
	t.Parallel()
	spec.Covers(t, "FT-16")
	at := postgrestest.Schema(t)
	way := postgrestest.NewWay(t)
	w := newWitness(t, way.Through(t, at))
	for round := range rounds() {
		w.interrupts(w.accounts, func(<-chan struct{}) {}, func() {
			way.Cut()
			time.Sleep(time.Duration(rand.Int64N(int64(longestLife / 2))))
			way.Mend()
		})
		w.awaits("/readyz", http.StatusOK, recoversWithin)
		each(t, w.accounts, func(_ int, a *account) error { return a.settles(w.server, false) })
		if t.Failed() {
			t.Fatalf("after cut %d", round+1)
		}
	}
	each(t, w.accounts, func(_ int, a *account) error { return a.settles(w.server, true) })
	each(t, w.accounts, func(_ int, a *account) error { return a.usable(w.server) })
	events := w.events()
	each(t, w.accounts, func(_ int, a *account) error { return a.told(events) })
	w.wantActs(w.accounts, redeeming, refreshing, revoking, issuing)
}

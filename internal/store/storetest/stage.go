package storetest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/oauth"
)

// Clock is a clock that a test moves.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at an ordinary time.
func NewClock() *Clock { return &Clock{now: time.UnixMilli(1_700_000_000_123).UTC()} }

// Now reads the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Move moves the clock, back if by is negative.
func (c *Clock) Move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// stage is a store with a clock and what most tests need in it.
type stage struct {
	testing.TB
	*store.Store
	clock *Clock
}

const (
	tenant   = gatehouse.TenantID("one")
	stranger = gatehouse.TenantID("two")

	clientID  = "photos-web"
	subject   = "sub-alice"
	sessionID = "sid-alice"

	idle     = 30 * 24 * time.Hour
	absolute = 90 * 24 * time.Hour
	grace    = 30 * time.Second
	access   = 10 * time.Minute
)

var (
	from  = gatehouse.Circumstance{Address: "192.0.2.7", UserAgent: "browser/1", RequestID: "r1"}
	byCLI = gatehouse.Event{Actor: "cli"}
)

// setUp opens a store in which each of the tenants has an enabled client, user and session.
func setUp(t *testing.T, open Open, tenants ...gatehouse.TenantID) *stage {
	t.Helper()
	clock := NewClock()
	s := &stage{TB: t, Store: open(t, clock), clock: clock}
	if len(tenants) == 0 {
		tenants = []gatehouse.TenantID{tenant}
	}
	for _, tenant := range tenants {
		s.furnish(tenant)
	}
	return s
}

// furnish gives the tenant an enabled client, user and session.
func (s *stage) furnish(tenant gatehouse.TenantID) {
	s.Helper()
	s.ok(s.PutClient(s.Context(), tenant, gatehouse.Client{ID: clientID, ClientMetadata: gatehouse.ClientMetadata{ClientName: "Photos"}}, byCLI))
	s.putUser(tenant, subject, "alice")
	s.session(tenant, subject, sessionID)
}

// Grants returns redeemed grants of tenant "one", each with a chain of RefreshHash at generation 1.
func Grants(tb testing.TB, opened *store.Store, count int) []gatehouse.Grant {
	tb.Helper()
	(&stage{TB: tb, Store: opened}).furnish(tenant)
	return MoreGrants(tb, opened, count)
}

// MoreGrants are further ones in a store that Grants has been in.
func MoreGrants(tb testing.TB, opened *store.Store, count int) []gatehouse.Grant {
	tb.Helper()
	s := &stage{TB: tb, Store: opened}
	grants := make([]gatehouse.Grant, count)
	for i := range grants {
		grants[i] = s.redeemed("openid", "offline_access")
	}
	return grants
}

// RefreshHash is the hash of the grant's refresh token of a generation.
func RefreshHash(g gatehouse.Grant, generation uint64) []byte { return state(g, generation, "").Hash }

func (s *stage) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// is fails the test unless got is want and there was no error.
func is[T comparable](t testing.TB, want T) func(got T, err error) {
	return func(got T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func (s *stage) putUser(tenant gatehouse.TenantID, subject, name string) {
	s.Helper()
	is(s.TB, store.Stored)(s.PutUser(s.Context(), tenant, gatehouse.User{
		Subject: subject, Username: name, PasswordHash: "$argon2id$" + name,
		Claims: gatehouse.StandardClaims{Email: name + "@example.com"},
	}, byCLI))
}

// cookie is the hash under which the session of an id is kept in these tests.
func cookie(sessionID string) [32]byte { return sha256.Sum256([]byte("cookie of " + sessionID)) }

func (s *stage) session(tenant gatehouse.TenantID, subject, id string) {
	s.Helper()
	is(s.TB, true)(s.CreateSession(s.Context(), tenant, cookie(id), gatehouse.Session{
		ID: id, Subject: subject, AuthTime: s.Now(), AMR: []string{"pwd"}, ExpiresAt: s.Now().Add(7 * 24 * time.Hour), Address: from.Address,
	}, nil, from))
}

var serial atomic.Uint64

// newIssue is the issue of a code of its own id in the session of subject.
func (s *stage) newIssue(scope ...string) gatehouse.CodeIssue {
	n := serial.Add(1)
	var id gatehouse.GrantID
	binary.BigEndian.PutUint64(id[:], n)
	return gatehouse.CodeIssue{
		Grant: gatehouse.Grant{
			ID: id, Handle: fmt.Sprint("handle-", n), ClientID: clientID, Subject: subject, SessionID: sessionID,
			Scope: oauth.Scope(scope), Resources: []string{"https://api.example.com/"},
			RedirectURI: "https://client.example.org/cb", RedirectURISent: true, CodeChallenge: "challenge", Nonce: "nonce",
			AuthTime: s.Now(), AMR: []string{"pwd"}, ACR: "1", ExpiresAt: s.Now().Add(absolute),
			Code: gatehouse.CodeState{KeyID: 7, Hash: hashOf("code", n), ExpiresAt: s.Now().Add(time.Minute)},
		},
		By: from,
	}
}

func hashOf(parts ...any) []byte {
	sum := sha256.Sum256(fmt.Append(nil, parts...))
	return sum[:]
}

// issue issues a code.
func (s *stage) issue(scope ...string) gatehouse.Grant {
	s.Helper()
	issue := s.newIssue(scope...)
	is(s.TB, gatehouse.CodeAccepted)(s.issued(tenant, issue))
	return issue.Grant
}

func (s *stage) issued(tenant gatehouse.TenantID, issue gatehouse.CodeIssue) (gatehouse.CodeOutcome, error) {
	issued, err := s.IssueCode(s.Context(), tenant, issue)
	return issued.Outcome, err
}

// state is the state of a chain at a generation; chains of one grant that differ have forked.
func state(g gatehouse.Grant, generation uint64, fork string) gatehouse.RefreshState {
	return gatehouse.RefreshState{
		Generation: generation, KeyID: 7, Hash: hashOf("refresh", g.ID, generation, fork), Salt: hashOf("salt", g.ID, generation, fork)[:16],
	}
}

// redemption is the redemption of a grant's code with a first refresh token, of generation 1.
func (s *stage) redemption(g gatehouse.Grant) gatehouse.Redemption {
	return gatehouse.Redemption{
		ID: g.ID, Handle: g.Handle, ClientID: g.ClientID, Subject: g.Subject, CodeHash: g.Code.Hash, Refresh: state(g, 1, ""),
		AccessUntil: s.Now().Add(access), SessionID: g.SessionID, By: from,
	}
}

// redeemed is a grant whose code was redeemed.
func (s *stage) redeemed(scope ...string) gatehouse.Grant {
	s.Helper()
	g := s.issue(scope...)
	is(s.TB, gatehouse.RedeemAccepted)(s.RedeemCode(s.Context(), tenant, s.redemption(g)))
	return g
}

// rotation presents the refresh token of a generation.
func (s *stage) rotation(g gatehouse.Grant, presented uint64, fork string) gatehouse.Rotation {
	return gatehouse.Rotation{
		ID: g.ID, Presented: presented, PresentedHash: state(g, presented, fork).Hash, Successor: state(g, presented+1, fork),
		Succeeds: func(current gatehouse.RefreshState) bool {
			return string(current.Hash) == string(state(g, presented+1, fork).Hash)
		},
		Grace: grace, Idle: idle, AccessUntil: s.Now().Add(access), By: from,
	}
}

func (s *stage) rotate(g gatehouse.Grant, presented uint64) (gatehouse.RotateOutcome, error) {
	rotated, err := s.RotateRefresh(s.Context(), tenant, s.rotation(g, presented, ""))
	return rotated.Outcome, err
}

// row is the grant as it is stored.
func (s *stage) row(id gatehouse.GrantID) gatehouse.Grant {
	s.Helper()
	g, found, err := s.Grant(s.Context(), tenant, id)
	s.ok(err)
	if !found {
		s.Fatalf("grant %v is gone", id)
	}
	return g
}

// tokenEnded asks about an access token of the grant, issued now.
func (s *stage) tokenEnded(g gatehouse.Grant) bool {
	s.Helper()
	ended, err := s.TokenEnded(s.Context(), tenant, gatehouse.TokenFacts{
		Handle: g.Handle, ID: "jti of " + g.Handle, ClientID: g.ClientID, Subject: g.Subject, IssuedAt: s.Now().Truncate(time.Second),
	})
	s.ok(err)
	return ended
}

// events returns the events of some kinds.
func (s *stage) events(kinds ...gatehouse.EventKind) []gatehouse.Event {
	s.Helper()
	events, err := s.Events(s.Context(), tenant, gatehouse.EventFilter{Kinds: kinds, Limit: 1000})
	s.ok(err)
	return events
}

// told fails the test unless as many events of the kind were told of the grant.
func (s *stage) told(g gatehouse.Grant, kind gatehouse.EventKind, want int) {
	s.Helper()
	got := 0
	for _, e := range s.events(kind) {
		if e.Grant == g.Handle {
			got++
		}
	}
	if got != want {
		s.Fatalf("%d events %s, want %d", got, kind, want)
	}
}

// same fails the test unless the two are deeply equal.
func same[T any](t testing.TB, want, got T) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

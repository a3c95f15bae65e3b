package client_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/jose"
)

// tableStore is a SessionStore as a program might make of a table of its own.
type tableStore struct {
	mu     sync.Mutex
	rows   map[string][]byte
	groups map[string][]string
}

func (s *tableStore) Load(_ context.Context, id string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, found := s.rows[id]
	return row, found, nil
}

func (s *tableStore) Save(_ context.Context, id string, old, sealed []byte, ttl time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ttl <= 0 {
		return false, errors.New("no time to live")
	}
	row, found := s.rows[id]
	if found != (old != nil) || !bytes.Equal(row, old) {
		return false, nil
	}
	s.rows[id] = sealed
	return true, nil
}

func (s *tableStore) Delete(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rows, id)
	return nil
}

func (s *tableStore) Join(_ context.Context, group, id string, _ time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[group] = append(s.groups[group], id)
	return nil
}

func (s *tableStore) Members(_ context.Context, group string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.groups[group]), nil
}

func TestSessionsInAStoreOfTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &tableStore{rows: map[string][]byte{}, groups: map[string][]string{}}
		p, a, b := signedIn(t, client.Config{Sessions: table, Keys: [][]byte{sealingKey}})
		if len(table.rows) != 1 || len(table.groups) != 2 {
			t.Errorf("%d rows, %d groups", len(table.rows), len(table.groups))
		}
		first := b.wantFresh(a)
		time.Sleep(11 * time.Minute)
		if b.wantFresh(a) == first || p.refreshes() != 1 {
			t.Errorf("%d refreshes", p.refreshes())
		}
		network := b.network
		told := newBrowser(t)
		told.network = network
		raw := sign(t, p.key, jose.TypeLogoutToken, p.logoutToken(nil))
		if answer := told.do("POST", a.URL+"/backchannel", map[string][]string{"logout_token": {raw}}); answer.StatusCode != http.StatusOK || b.me(a) != "" || len(table.rows) != 0 {
			t.Errorf("%d, signed in as %q, %d rows", answer.StatusCode, b.me(a), len(table.rows))
		}
	})
}

func TestSessionsTooLargeToKeep(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{UserInfo: true})
	p.change(func(p *provider) {
		p.userinfo = claims{"sub": "alice", "picture": string(bytes.Repeat([]byte("x"), 65_000))}
	})
	refusedLogin(t, a, http.StatusInternalServerError)
	p.change(func(p *provider) { p.userinfo = claims{"sub": "alice"} })
	accepted(t, a)
}

// After Close what is at hand is given out, and nothing is begun.
func TestClosedClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, b := signedIn(t, client.Config{})
		credentials, err := a.party.Credentials(client.CredentialsConfig{})
		if err != nil {
			t.Fatal(err)
		}
		good := access(t, credentials)
		if err := a.party.Close(); err != nil {
			t.Fatal(err)
		}
		if b.wantFresh(a) == "" || access(t, credentials) != good {
			t.Error("tokens at hand are gone")
		}
		time.Sleep(11 * time.Minute)
		asked := p.seen("/token")
		if _, status := b.fresh(a); status != http.StatusServiceUnavailable {
			t.Errorf("%d", status)
		}
		if _, err := credentials.Token(t.Context()); client.StatusOf(err) != http.StatusServiceUnavailable {
			t.Errorf("%v", err)
		}
		if p.seen("/token") != asked {
			t.Error("a closed client asks for tokens")
		}
	})
}

// Keys change without anybody being signed out.
func TestKeysOfTheStoreChange(t *testing.T) {
	p := newProvider(t)
	next := []byte("the next key of 32 random bytes!")
	table := &tableStore{rows: map[string][]byte{}, groups: map[string][]string{}}
	a := p.application(t, client.Config{Sessions: table, Keys: [][]byte{sealingKey}})
	b := newBrowser(t)
	b.signIn(a)
	r, err := http.NewRequest("GET", a.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range b.jar {
		r.AddCookie(cookie)
	}
	for name, test := range map[string]struct {
		keys [][]byte
		good bool
	}{"old": {[][]byte{sealingKey}, true}, "new before old": {[][]byte{next, sealingKey}, true}, "old before new": {[][]byte{sealingKey, next}, true}, "new alone": {[][]byte{next}, false}} {
		c := p.client(t, client.Config{Sessions: table, Keys: test.keys, RedirectURI: a.URL + "/callback"})
		if _, err := c.Session(r); test.good != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range [][][]byte{nil, {[]byte("short")}, {make([]byte, 64)}} {
		if _, err := client.New(t.Context(), p.issuer, client.Config{ClientID: clientID, Sessions: table, Keys: bad}); err == nil {
			t.Errorf("keys of %d are taken", len(bad))
		}
	}
}

package server

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// openStore returns an empty database whose clock stands until it is moved.
func openStore(t *testing.T) (db *store.Store, pass func(time.Duration)) {
	t.Helper()
	now := time.Now()
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "gatehouse.db"), Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, func(d time.Duration) { now = now.Add(d) }
}

func putClient(t *testing.T, db *store.Store, id string, redirectURIs ...string) {
	t.Helper()
	var client gatehouse.Client
	client.ID, client.RedirectURIs = id, redirectURIs
	client.TokenEndpointAuthMethod, client.GrantTypes = gatehouse.AuthNone, []string{gatehouse.GrantAuthorizationCode}
	if err := db.PutClient(t.Context(), gatehouse.DefaultTenant, client, gatehouse.Event{Kind: gatehouse.EventClientChanged, ClientID: id}); err != nil {
		t.Fatal(err)
	}
}

func TestKnownOrigins(t *testing.T) {
	db, _ := openStore(t)
	putClient(t, db, "spa", "https://app.example/cb", "https://app.example:8443/cb", "https://standard.example:443/cb")
	putClient(t, db, "native", "http://127.0.0.1/cb", "http://[::1]:7000/cb", "com.example.app:/cb")
	putClient(t, db, "local", "http://localhost:3000/cb")
	o := &origins{store: db}
	for origin, want := range map[string]bool{
		"https://app.example":          true,
		"https://app.example:8443":     true,
		"https://standard.example":     true,
		"http://127.0.0.1":             true,
		"http://127.0.0.1:1":           true,
		"http://127.0.0.1:65535":       true,
		"http://[::1]":                 true,
		"http://[::1]:7000":            true,
		"http://[::1]:51004":           true,
		"http://localhost:3000":        true,
		"":                             false,
		"null":                         false,
		"*":                            false,
		"http://app.example":           false,
		"https://app.example:443":      false, // no browser writes that
		"https://app.example:8444":     false,
		"https://app.example.evil":     false,
		"https://evil-app.example":     false,
		"https://sub.app.example":      false,
		"https://APP.example":          false,
		"https://app.example/":         false,
		"https://app.example@evil":     false,
		"https://127.0.0.1":            false,
		"https://127.0.0.1:1":          false,
		"http://127.0.0.1:":            false,
		"http://127.0.0.1:0":           false,
		"http://127.0.0.1:080":         false,
		"http://127.0.0.1:65536":       false,
		"http://127.0.0.1:80":          false,
		"http://127.0.0.1:1/":          false,
		"http://127.0.0.1:1@evil":      false,
		"http://x@127.0.0.1:1":         false,
		"http://127.0.0.1.evil:1":      false,
		"http://127.0.0.2:1":           false,
		"http://[::1]evil:1":           false,
		"http://[::2]:1":               false,
		"http://::1:1":                 false,
		"http://localhost":             false, // RFC 8252 §8.3: the port is not free there
		"http://localhost:3001":        false,
		"com.example.app:":             false,
		"com.example.app://":           false,
		strings.Repeat("x", 1<<16):     false,
		"https://app.example\x00":      false,
		"https://app.example, https:x": false,
	} {
		if known, err := o.KnownOrigin(t.Context(), gatehouse.DefaultTenant, origin); err != nil || known != want {
			t.Errorf("%.60q: %v, %v, want %v", origin, known, err, want)
		}
	}
	if known, err := o.KnownOrigin(t.Context(), "blue", "https://app.example"); err != nil || known {
		t.Errorf("another tenant knows it, too: %v, %v", known, err)
	}
}

// read counts how often clients are read.
type read struct {
	*store.Store
	clients int
}

func (r *read) Clients(ctx context.Context, tenant gatehouse.TenantID, after string, limit int) ([]gatehouse.Client, error) {
	r.clients++
	return r.Store.Clients(ctx, tenant, after, limit)
}

// TestStrangersOriginsReadNoClients: whoever asks with an origin causes no more
// work than that of looking whether something changed.
func TestStrangersOriginsReadNoClients(t *testing.T) {
	db, pass := openStore(t)
	putClient(t, db, "spa", "https://app.example/cb")
	counting := &read{Store: db}
	o := &origins{store: counting}
	wants := func(reads int, origin string, want bool) {
		t.Helper()
		if known, err := o.KnownOrigin(t.Context(), gatehouse.DefaultTenant, origin); err != nil || known != want {
			t.Errorf("%s: known is %v, %v", origin, known, err)
		}
		if counting.clients != reads {
			t.Errorf("the clients were read %d times, want %d", counting.clients, reads)
		}
	}
	for n := range 100 {
		wants(1, fmt.Sprintf("https://stranger-%d.example", n), false)
		pass(originsAge)
	}
	wants(1, "https://app.example", true)
	putClient(t, db, "other", "https://other.example/cb")
	pass(originsAge)
	wants(2, "https://other.example", true)
	wants(2, "https://app.example", true)
}

func TestOriginsFollowTheClients(t *testing.T) {
	db, pass := openStore(t)
	o := &origins{store: db}
	wants := func(want bool) {
		t.Helper()
		if known, err := o.KnownOrigin(t.Context(), gatehouse.DefaultTenant, "https://app.example"); err != nil || known != want {
			t.Errorf("known is %v, %v, want %v", known, err, want)
		}
	}
	wants(false)
	putClient(t, db, "spa", "https://app.example/cb")
	pass(originsAge)
	wants(true)
	for _, disabled := range []bool{true, false} {
		if found, err := db.DisableClient(t.Context(), gatehouse.DefaultTenant, "spa", disabled, gatehouse.Event{Kind: gatehouse.EventClientChanged}); err != nil || !found {
			t.Fatal(found, err)
		}
		wants(disabled)
		pass(originsAge)
		wants(!disabled)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wants(true)
	eventually(t, "what is too old is not used while the database does not answer", func() bool {
		pass(originsAge)
		_, err := o.KnownOrigin(t.Context(), gatehouse.DefaultTenant, "https://app.example")
		return err != nil
	})
}

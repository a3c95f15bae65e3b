package dev_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/dev"
	"gatehouse/internal/store"
)

// inStore opens the database of a stage that does not run.
func inStore(t *testing.T, data string, act func(ctx context.Context, db *store.Store)) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(data, "gatehouse.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	act(t.Context(), db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDataIsKept(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "stage")
	options := dev.Options{JSON: true, Data: data}
	first := start(t, options)
	keys := keysOf(t, first)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(data, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("others may read the client secrets: %v", mode)
	}
	if entries, _ := filepath.Glob(filepath.Join(data, "dev.json.*")); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}

	second := start(t, options)
	if second.Issuer != first.Issuer || second.Playground != first.Playground || second.API != first.API || second.BFF != first.BFF || second.APIResource != "" {
		t.Errorf("it was at %s, %s and %s, and is at %s, %s and %s", first.Issuer, first.Playground, first.API, second.Issuer, second.Playground, second.API)
	}
	for _, id := range []string{"web", "machine", "photoapi", "photos-bff", "photos-gateway", "thumbnails"} {
		if before, now := first.client(t, id).ClientSecret, second.client(t, id).ClientSecret; before == "" || before != now {
			t.Errorf("%s had the secret %q and has %q", id, before, now)
		}
	}
	if keysOf(t, second) != keys {
		t.Error("the keys are others")
	}
	token := second.token(t, "machine", second.client(t, "machine").ClientSecret, "photos:read")
	if response, text := second.call(t, "GET", second.API+"/photos", token, ""); response.StatusCode != 200 {
		t.Errorf("PhotoAPI: %d %s", response.StatusCode, text)
	}
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}

	// PhotoAPI must move, and keeps its identifier.
	thief, err := net.Listen("tcp4", strings.TrimPrefix(first.API, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = thief.Close() }()
	third := start(t, options)
	if third.Issuer != first.Issuer || third.API == first.API || third.APIResource != first.API {
		t.Errorf("it is at %s and %s (%s)", third.Issuer, third.API, third.APIResource)
	}
	token = third.token(t, "machine", third.client(t, "machine").ClientSecret, "photos:read")
	if response, text := third.call(t, "GET", third.API+"/photos", token, ""); response.StatusCode != 200 {
		t.Errorf("PhotoAPI at its new port: %d %s", response.StatusCode, text)
	}
	if err := third.stop(); err != nil {
		t.Fatal(err)
	}
	inStore(t, data, func(ctx context.Context, db *store.Store) {
		resources, err := db.Resources(ctx, gatehouse.DefaultTenant)
		if err != nil || len(resources) != 2 || resources[0].Identifier != first.API {
			t.Errorf("resources: %+v, %v", resources, err)
		}
	})
}

func keysOf(t *testing.T, s *stage) string {
	t.Helper()
	response, text := s.call(t, "GET", s.Issuer+"/jwks", "", "")
	if response.StatusCode != 200 {
		t.Fatal(text)
	}
	return text
}

func TestRemovedUsersStayRemoved(t *testing.T) {
	options := dev.Options{JSON: true, Data: t.TempDir()}
	if err := start(t, options).stop(); err != nil {
		t.Fatal(err)
	}
	inStore(t, options.Data, func(ctx context.Context, db *store.Store) {
		if found, err := db.DeleteUser(ctx, gatehouse.DefaultTenant, "demo-bob", gatehouse.Event{Kind: gatehouse.EventUserChanged}); !found || err != nil {
			t.Fatalf("%v %v", found, err)
		}
	})
	if s := start(t, options); len(s.Users) != 1 || s.Users[0].Username != "alice" {
		t.Errorf("users: %+v", s.Users)
	}
}

func TestForeignDataIsLeftAlone(t *testing.T) {
	data := t.TempDir()
	inStore(t, data, func(context.Context, *store.Store) {})
	if complaint := fails(t, dev.Options{Data: data}); !strings.Contains(complaint, "choose another directory") {
		t.Error(complaint)
	}
	inStore(t, data, func(ctx context.Context, db *store.Store) {
		if _, found, err := db.UserByLogin(ctx, gatehouse.DefaultTenant, "alice"); found || err != nil {
			t.Errorf("alice is there: %v %v", found, err)
		}
	})
}

func TestUnreadableNote(t *testing.T) {
	data := t.TempDir()
	name := filepath.Join(data, "dev.json")
	if err := os.WriteFile(name, []byte("not JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	if complaint := fails(t, dev.Options{Data: data}); !strings.Contains(complaint, name) || !strings.Contains(complaint, "write {} into it") {
		t.Error(complaint)
	}
	if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := start(t, dev.Options{JSON: true, Data: data}); s.client(t, "web").ClientSecret == "" {
		t.Error("no new secret was made")
	}
}

func TestDataThatIsNoDirectory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if complaint := fails(t, dev.Options{Data: name}); !strings.Contains(complaint, "--data "+name) {
		t.Error(complaint)
	}
}

func TestBusyDataIsLeftAlone(t *testing.T) {
	options := dev.Options{JSON: true, Data: shortDirectory(t)}
	first := start(t, options)
	note, err := os.ReadFile(filepath.Join(options.Data, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	if complaint := fails(t, options); complaint != "another server already serves from "+options.Data {
		t.Error(complaint)
	}
	if now, err := os.ReadFile(filepath.Join(options.Data, "dev.json")); err != nil || string(now) != string(note) {
		t.Errorf("the note has changed: %v", err)
	}
	token := first.token(t, "machine", first.client(t, "machine").ClientSecret, "photos:read")
	if response, text := first.call(t, "GET", first.API+"/photos", token, ""); response.StatusCode != 200 {
		t.Errorf("the first: %d %s", response.StatusCode, text)
	}
}

// shortDirectory is one in which a socket's path, of which a system admits
// about 100 characters, has room.
func shortDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return directory
}

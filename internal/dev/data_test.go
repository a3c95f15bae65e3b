package dev_test

import (
	"context"
	"log/slog"
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

	// Other ports this time, so that PhotoAPI has another identifier.
	second := start(t, options)
	for _, id := range []string{"web", "machine", "photoapi"} {
		if before, now := first.client(t, id).ClientSecret, second.client(t, id).ClientSecret; before == "" || before != now {
			t.Errorf("%s had the secret %q and has %q", id, before, now)
		}
	}
	if keysOf(t, second) != keys {
		t.Error("the keys are others")
	}
	token := second.token(t, "machine", second.client(t, "machine").ClientSecret, "photos:read")
	if response, text := second.call(t, "GET", second.API+"/photos", token, ""); response.StatusCode != 200 {
		t.Errorf("PhotoAPI at its new port: %d %s", response.StatusCode, text)
	}
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	if first.API == second.API {
		t.Skip("the system gave the same ports twice")
	}
	inStore(t, data, func(ctx context.Context, db *store.Store) {
		resources, err := db.Resources(ctx, gatehouse.DefaultTenant)
		if err != nil || len(resources) != 1 || resources[0].Identifier != second.API {
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

package store_test

import (
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/internal/store/storetest"
	"gatehouse/kv"
	"gatehouse/kv/kvtest"
)

// opener opens the databases of tests: for each test the one that locate names.
func opener(locate func(t *testing.T) store.Config) storetest.Open {
	var known sync.Map // of each test its database
	return func(t *testing.T, clock *storetest.Clock) *store.Store {
		t.Helper()
		config, found := known.Load(t)
		if !found {
			config = locate(t)
			known.Store(t, config)
		}
		located := config.(store.Config)
		located.Log = slog.New(slog.DiscardHandler)
		if clock != nil {
			located.Clock = clock.Now
		}
		s, err := store.Open(t.Context(), located)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, opener(func(t *testing.T) store.Config {
		return store.Config{Path: filepath.Join(t.TempDir(), "gatehouse.db")}
	}))
}

func TestKVInSQLite(t *testing.T) {
	s := opener(func(t *testing.T) store.Config { return store.Config{Path: filepath.Join(t.TempDir(), "gatehouse.db")} })
	kvtest.Run(t, func(t *testing.T) kv.Store { return s(t, nil).KV() })
}

func TestKVInPostgreSQL(t *testing.T) {
	postgrestest.Schema(t)
	s := opener(func(t *testing.T) store.Config {
		return store.Config{URL: postgrestest.Schema(t), Patience: time.Minute}
	})
	kvtest.Run(t, func(t *testing.T) kv.Store { return s(t, nil).KV() })
}

func TestPostgreSQL(t *testing.T) {
	postgrestest.Schema(t) // says once that there is none
	storetest.Run(t, opener(func(t *testing.T) store.Config {
		return store.Config{URL: postgrestest.Schema(t), Patience: time.Minute} // the machine may be busy
	}))
}

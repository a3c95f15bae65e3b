package store_test

import (
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"gatehouse/internal/store"
	"gatehouse/internal/store/storetest"
)

func TestSQLite(t *testing.T) {
	var paths sync.Map // of each test its file
	storetest.Run(t, func(t *testing.T, clock *storetest.Clock) *store.Store {
		t.Helper()
		path, known := paths.Load(t)
		if !known {
			path = filepath.Join(t.TempDir(), "gatehouse.db")
			paths.Store(t, path)
		}
		s, err := store.Open(t.Context(), store.Config{Path: path.(string), Clock: clock.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

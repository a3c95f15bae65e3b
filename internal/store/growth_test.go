package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/storetest"
)

// TestRefreshesDoNotGrowTheDatabase: storage grows with grants, not with what is done with them.
// GATEHOUSE_TEST_NIGHTLY=1 makes it ten million refreshes of a thousand grants.
func TestRefreshesDoNotGrowTheDatabase(t *testing.T) {
	grants, first, last := 100, 20, 100 // refreshes of each grant
	if os.Getenv("GATEHOUSE_TEST_NIGHTLY") == "1" {
		grants, first, last = 1000, 10, 10_000
	}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	var chains []gatehouse.Grant
	refresh := func(from, to int) {
		s, err := store.Open(t.Context(), store.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if chains == nil {
			chains = storetest.Grants(t, s, grants)
		}
		var rotating sync.WaitGroup
		for _, g := range chains {
			rotating.Go(func() {
				for n := from; n < to; n++ {
					presented := uint64(n)
					rotated, err := s.RotateRefresh(t.Context(), "one", gatehouse.Rotation{
						ID: g.ID, Presented: presented, PresentedHash: storetest.RefreshHash(g, presented),
						Successor: gatehouse.RefreshState{Generation: presented + 1, Hash: storetest.RefreshHash(g, presented+1), Salt: []byte("a salt of 16 byt")},
						Idle:      time.Hour, AccessUntil: time.Now().Add(time.Minute),
					})
					if err != nil || rotated.Outcome != gatehouse.RotateAccepted {
						t.Errorf("refresh %d: %v, %v", n, rotated.Outcome, err)
						return
					}
				}
			})
		}
		rotating.Wait()
		if err := s.Close(); err != nil { // empties the write-ahead log
			t.Fatal(err)
		}
	}
	size := func() int64 {
		var total int64
		for _, name := range []string{path, path + "-wal", path + "-shm"} {
			info, err := os.Stat(name)
			if err == nil {
				total += info.Size()
			} else if !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		return total
	}
	refresh(1, 1+first)
	before := size()
	refresh(1+first, 1+last)
	if after := size(); after > before {
		t.Errorf("%d bytes after %d refreshes, %d after %d", before, grants*first, after, grants*last)
	}
}

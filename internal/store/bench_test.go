package store_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/storetest"
)

// BenchmarkRotate rotates refresh tokens of 64 grants from 64 goroutines, one durable act each.
func BenchmarkRotate(b *testing.B) {
	s, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "gatehouse.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	grants := storetest.Grants(b, s, 64)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var done sync.WaitGroup
	for _, g := range grants {
		done.Go(func() {
			for presented := uint64(1); left.Add(-1) >= 0; presented++ {
				hash := func(n uint64) []byte { return storetest.RefreshHash(g, n) }
				rotated, err := s.RotateRefresh(b.Context(), "one", gatehouse.Rotation{
					ID: g.ID, Presented: presented, PresentedHash: hash(presented),
					Successor: gatehouse.RefreshState{Generation: presented + 1, Hash: hash(presented + 1), Salt: []byte("salt")},
					Idle:      time.Hour, AccessUntil: time.Now().Add(time.Minute),
				})
				if err != nil || rotated.Outcome != gatehouse.RotateAccepted {
					b.Error(fmt.Sprint(rotated.Outcome, err))
					return
				}
			}
		})
	}
	done.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rotations/s")
}

// BenchmarkRead asks what requests ask before they act.
func BenchmarkRead(b *testing.B) {
	s, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "gatehouse.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	g := storetest.Grants(b, s, 64)[0]
	for name, ask := range map[string]func() (bool, error){
		"client": func() (bool, error) {
			_, found, err := s.Client(b.Context(), "one", g.ClientID)
			return found, err
		},
		"user": func() (bool, error) {
			_, found, err := s.User(b.Context(), "one", g.Subject)
			return found, err
		},
		"grant": func() (bool, error) {
			_, found, err := s.Grant(b.Context(), "one", g.ID)
			return found, err
		},
		"token": func() (bool, error) {
			ended, err := s.TokenEnded(b.Context(), "one", gatehouse.TokenFacts{Handle: g.Handle, ID: "jti", ClientID: g.ClientID, Subject: g.Subject, IssuedAt: time.Now()})
			return !ended, err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if found, err := ask(); err != nil || !found {
					b.Fatal(found, err)
				}
			}
		})
	}
}

// BenchmarkAmong issues and redeems codes beside as many grants as its name says: what one costs
// must hardly depend on how many there are.
func BenchmarkAmong(b *testing.B) {
	for _, count := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(count, " grants"), func(b *testing.B) {
			s, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "gatehouse.db")})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			storetest.Grants(b, s, 1)
			born := func(count int64) {
				var left atomic.Int64
				left.Store(count)
				var making sync.WaitGroup
				for range 32 {
					making.Go(func() {
						for left.Add(-1) >= 0 {
							storetest.MoreGrants(b, s, 1)
						}
					})
				}
				making.Wait()
			}
			born(int64(count))
			b.ResetTimer()
			born(int64(b.N))
		})
	}
}

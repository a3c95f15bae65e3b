package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/internal/store/storetest"
)

// BenchmarkPostgreSQL runs acts from 64 goroutines: rotations, which take no number, and events, which
// wait in line for theirs until the commit. The difference is the price of numbers that become
// visible in their order.
func BenchmarkPostgreSQL(b *testing.B) {
	const callers = 64
	s, err := store.Open(b.Context(), store.Config{URL: postgrestest.Schema(b), Patience: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	grants := storetest.Grants(b, s, callers)
	generations := make([]uint64, callers)
	for i := range generations {
		generations[i] = 1
	}
	for name, run := range map[string]func(caller int) error{
		"rotations": func(caller int) error {
			g, presented := grants[caller], generations[caller]
			generations[caller]++
			rotated, err := s.RotateRefresh(b.Context(), "one", gatehouse.Rotation{
				ID: g.ID, Presented: presented, PresentedHash: storetest.RefreshHash(g, presented),
				Successor: gatehouse.RefreshState{Generation: presented + 1, Hash: storetest.RefreshHash(g, presented+1), Salt: []byte("salt")},
				Idle:      time.Hour, AccessUntil: time.Now().Add(time.Minute),
			})
			if err == nil && rotated.Outcome != gatehouse.RotateAccepted {
				err = fmt.Errorf("outcome %v", rotated.Outcome)
			}
			return err
		},
		"events": func(int) error {
			return s.AppendEvent(b.Context(), "one", gatehouse.Event{Kind: "note"})
		},
	} {
		b.Run(name, func(b *testing.B) {
			var left atomic.Int64
			left.Store(int64(b.N))
			var done sync.WaitGroup
			for caller := range callers {
				done.Go(func() {
					for left.Add(-1) >= 0 {
						if err := run(caller); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			done.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acts/s")
		})
	}
}

package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// visitor makes the requests of one connection. A visit is what is counted as
// one request; it checks every answer.
type visitor interface {
	visit(*wire) error
}

// round is what one round measured.
type round struct {
	rps      float64
	p50, p99 time.Duration
	// cpu is the server's processor time per request, busy its share of the
	// round's time.
	cpu  time.Duration
	busy float64
	rss  int64 // bytes, at the end
}

// measure lets every visitor visit the process again and again, each on a
// connection of its own, and counts when the warm-up is over.
func measure(p *process, visitors []visitor, warmUp, length time.Duration) (round, error) {
	var (
		counting, stopped atomic.Bool
		answered          atomic.Bool // while it was counted
		workers           sync.WaitGroup
		took              = make([][]time.Duration, len(visitors))
		faults            = make(chan error, len(visitors))
	)
	for i, v := range visitors {
		w, err := dial(p.address)
		if err != nil {
			return round{}, err
		}
		_ = w.conn.SetDeadline(time.Now().Add(warmUp + length + answerPatience))
		workers.Go(func() {
			defer w.close()
			for !stopped.Load() {
				began := time.Now()
				if err := v.visit(w); err != nil {
					faults <- err
					return
				}
				if counting.Load() {
					answered.Store(true)
					took[i] = append(took[i], time.Since(began))
				}
			}
		})
	}
	time.Sleep(warmUp)
	before, err := cpuOf(p.pid())
	began := time.Now()
	counting.Store(true)
	time.Sleep(length)
	for !answered.Load() && time.Since(began) < answerPatience { // a busy machine
		time.Sleep(length / 10)
	}
	counting.Store(false)
	wall := time.Since(began)
	after, afterErr := cpuOf(p.pid())
	stopped.Store(true)
	workers.Wait()
	close(faults)
	for fault := range faults {
		return round{}, fmt.Errorf("wrong answer: %w", fault)
	}
	if err == nil {
		err = afterErr
	}
	if err != nil {
		return round{}, err
	}
	rss, err := rssOf(p.pid())
	if err != nil {
		return round{}, err
	}
	return summary(slices.Concat(took...), wall, after-before, rss)
}

func summary(took []time.Duration, wall, cpu time.Duration, rss int64) (round, error) {
	if len(took) == 0 {
		return round{}, fmt.Errorf("no answer within %v", wall)
	}
	slices.Sort(took)
	return round{
		rps: float64(len(took)) / wall.Seconds(),
		p50: took[len(took)/2], p99: took[len(took)*99/100],
		cpu: cpu / time.Duration(len(took)), busy: cpu.Seconds() / wall.Seconds(), rss: rss,
	}, nil
}

// median returns the round whose members are each the median of the rounds'.
func median(rounds []round) round {
	return round{
		rps: middle(rounds, func(r round) float64 { return r.rps }),
		p50: middle(rounds, func(r round) time.Duration { return r.p50 }),
		p99: middle(rounds, func(r round) time.Duration { return r.p99 }),
		cpu: middle(rounds, func(r round) time.Duration { return r.cpu }), busy: middle(rounds, func(r round) float64 { return r.busy }),
		rss: slices.MaxFunc(rounds, func(a, b round) int { return int(a.rss - b.rss) }).rss,
	}
}

func middle[T float64 | time.Duration](rounds []round, of func(round) T) T {
	var values []T
	for _, r := range rounds {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

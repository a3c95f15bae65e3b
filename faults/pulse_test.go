package faults

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

const (
	// told is when a request that cannot be served, or needs no database, has its
	// answer.
	told = 2 * time.Second
	// switched is when what was changed or ended at one server is known to every
	// other.
	switched = time.Second

	// beatEvery is how often the machine is asked how busy it is, and beatsKept how
	// far that is remembered.
	beatEvery = 20 * time.Millisecond
	beatsKept = 1 << 14
)

// pulse knows how much later than asked for this machine did what it was asked, so
// that what is promised of a server can be told from the mood of a machine on which
// everything is tested at once. No server of ours has a part in it.
type pulse struct {
	mu    sync.Mutex
	beats []beat // the latest, in order
	begun time.Time
}

type beat struct {
	end  time.Time
	late time.Duration
}

// feel feels the pulse until the function that it returns is called: again and
// again a sleep, and a request on loopback to nobody.
func (p *pulse) feel() (stop func()) {
	nobody := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var group sync.WaitGroup
	stopped := make(chan struct{})
	group.Go(func() {
		for {
			p.mu.Lock()
			p.begun = time.Now()
			p.mu.Unlock()
			select {
			case <-stopped:
				return
			case <-time.After(beatEvery):
			}
			if answer, err := nobody.Client().Get(nobody.URL); err == nil {
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
			p.ended()
		}
	})
	return func() {
		close(stopped)
		group.Wait()
		nobody.Close()
	}
}

func (p *pulse) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.beats = append(p.beats, beat{now, now.Sub(p.begun) - beatEvery})
	if len(p.beats) > beatsKept {
		p.beats = append([]beat(nil), p.beats[beatsKept/2:]...)
	}
	p.begun = now
}

// late is by how much the machine was behind between two moments.
func (p *pulse) late(from, to time.Time) (sum time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.beats {
		if b.end.After(from) && b.end.Add(-b.late-beatEvery).Before(to) {
			sum += b.late
		}
	}
	if p.begun.Before(to) { // the beat under way
		sum += max(0, to.Sub(p.begun)-beatEvery)
	}
	return sum
}

// machine is felt from the first test to the last.
var machine pulse

// overdue returns how long it is since then if that is longer than a promise, and
// what the machine owes us; else 0.
func overdue(since time.Time, promise time.Duration) time.Duration {
	now := time.Now()
	if took := now.Sub(since); took > promise+machine.late(since, now) {
		return took
	}
	return 0
}

// TestTheMachinesMood: what a server takes for itself is not taken for the
// machine's.
func TestTheMachinesMood(t *testing.T) {
	at := time.Now()
	second := func(n float64) time.Time { return at.Add(time.Duration(n * float64(time.Second))) }
	p := pulse{begun: second(10)}
	for n := 1; n < 10; n++ {
		p.beats = append(p.beats, beat{second(float64(n)), 10 * time.Millisecond})
	}
	p.beats[4].late = 900 * time.Millisecond // a beat from 4.08 to 5
	for _, c := range []struct {
		from, to float64
		want     time.Duration
	}{
		{1.5, 3.5, 20 * time.Millisecond}, {4.5, 4.6, 900 * time.Millisecond}, {3.5, 5.5, 910 * time.Millisecond},
		{9.5, 10, 0}, {9.5, 12.02, 2 * time.Second},
	} {
		if got := p.late(second(c.from), second(c.to)); got.Round(time.Millisecond) != c.want {
			t.Errorf("from %v to %v it is %v late, want %v", c.from, c.to, got, c.want)
		}
	}
	if took := overdue(time.Now().Add(-time.Hour), told); took < time.Hour {
		t.Errorf("an hour is not too long: %v", took)
	}
	if took := overdue(time.Now(), told); took != 0 {
		t.Errorf("at once is too long: %v", took)
	}
}

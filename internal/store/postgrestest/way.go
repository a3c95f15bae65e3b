package postgrestest

import (
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Way is a relay on loopback between a client and PostgreSQL. It can be cut, fall silent and become
// slow.
type Way struct {
	listener net.Listener
	network  string
	target   string

	mu     sync.Mutex
	state  wayState
	delay  time.Duration // of each piece of an answer
	pairs  map[*pair]bool
	served sync.WaitGroup
}

type wayState int

const (
	wayOpen   wayState = iota
	wayCut             // connections end at once
	waySilent          // nothing is carried
)

// NewWay returns a way that is open and goes with the test.
func NewWay(t testing.TB) *Way {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Way{listener: listener, pairs: make(map[*pair]bool)}
	t.Cleanup(func() {
		_ = listener.Close()
		w.Cut()
		w.served.Wait()
	})
	return w
}

// Through leads the way to a database and returns the URL of that database by it.
func (w *Way) Through(t testing.TB, at string) string {
	t.Helper()
	location, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	query := location.Query()
	w.network, w.target = "tcp", location.Host
	if directory := query.Get("host"); directory != "" {
		w.network, w.target = "unix", filepath.Join(directory, ".s.PGSQL.5432")
	} else if location.Port() == "" {
		w.target = net.JoinHostPort(location.Hostname(), "5432")
	}
	query.Del("host")
	query.Set("sslmode", "disable")
	location.Host, location.RawQuery = w.listener.Addr().String(), query.Encode()
	w.served.Go(w.accept)
	return location.String()
}

func (w *Way) accept() {
	for {
		here, err := w.listener.Accept()
		if err != nil {
			return
		}
		there, err := net.Dial(w.network, w.target)
		if err != nil {
			_ = here.Close()
			continue
		}
		w.mu.Lock()
		if w.state == wayCut {
			_ = here.Close()
			_ = there.Close()
		} else {
			one := &pair{here: here, there: there}
			w.pairs[one] = true
			w.served.Go(func() { w.carry(one, here, there) })
			w.served.Go(func() { w.carry(one, there, here) })
		}
		w.mu.Unlock()
	}
}

// pair is one connection on both sides of the way.
type pair struct {
	here, there net.Conn
	// lost says that it went through a silence.
	lost bool
}

func (w *Way) carry(one *pair, from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		lost, delay := one.lost || w.state == waySilent, w.delay
		if err != nil {
			delete(w.pairs, one)
		}
		w.mu.Unlock()
		if err == nil && lost {
			continue
		}
		if err == nil {
			if from == one.there {
				time.Sleep(delay)
			}
			_, err = to.Write(buffer[:n])
		}
		if err != nil { // the other direction has nothing to carry any more, either
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

func (w *Way) become(state wayState, delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state, w.delay = state, delay
}

// Cut ends all connections, and new ones as soon as they are made.
func (w *Way) Cut() {
	w.become(wayCut, 0)
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.pairs {
		_ = one.here.Close()
		_ = one.there.Close()
	}
}

// Silence carries nothing any more, in either direction, and ends nothing. The connections that
// there are stay silent for good, as where a firewall forgot them.
func (w *Way) Silence() {
	w.become(waySilent, 0)
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.pairs {
		one.lost = true
	}
}

// Slow carries each piece of an answer so much later.
func (w *Way) Slow(delay time.Duration) { w.become(wayOpen, delay) }

// Mend opens the way again, for new connections and those that lost nothing.
func (w *Way) Mend() { w.become(wayOpen, 0) }

package store

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

// way is a relay between a store and PostgreSQL that can be cut.
type way struct {
	listener net.Listener
	network  string
	target   string

	mu     sync.Mutex
	state  int
	pairs  map[net.Conn]net.Conn
	served sync.WaitGroup
}

const (
	wayOpen   = iota
	wayCut    // connections end at once
	waySilent // nothing is answered any more
)

func newWay(t *testing.T) *way {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{listener: listener, pairs: make(map[net.Conn]net.Conn)}
	t.Cleanup(func() {
		_ = listener.Close()
		w.cut()
		w.served.Wait()
	})
	return w
}

// through returns the URL of the same database by this way, and opens it.
func (w *way) through(t *testing.T, at string) string {
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

func (w *way) accept() {
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
			w.pairs[here] = there
			w.served.Go(func() { w.carry(here, there) })
			w.served.Go(func() { w.carry(there, here) })
		}
		w.mu.Unlock()
	}
}

func (w *way) carry(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		silent := w.state == waySilent
		w.mu.Unlock()
		if silent && err == nil {
			continue // swallowed
		}
		if err == nil {
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			if err == io.EOF {
				_ = to.Close()
			}
			_ = from.Close()
			return
		}
	}
}

func (w *way) become(state int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if state != waySilent { // those of a silence stay out of step
		for here, there := range w.pairs {
			_ = here.Close()
			_ = there.Close()
		}
		clear(w.pairs)
	}
	w.state = state
}

func (w *way) cut()     { w.become(wayCut) }
func (w *way) silence() { w.become(waySilent) }
func (w *way) mend()    { w.become(wayOpen) }

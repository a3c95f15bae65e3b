package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
)

// line is a connection of which a test sees whether it was hung up.
type line struct {
	net.Conn
	from   string
	closed bool
}

func (l *line) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(l.from), Port: 4711} }
func (l *line) Close() error         { l.closed = true; return nil }

func TestWhoHasTheMostConnectionsLosesOne(t *testing.T) {
	c := newConnections(100)
	open := func(from string, states ...http.ConnState) *line {
		l := &line{from: from}
		for _, state := range append([]http.ConnState{http.StateNew}, states...) {
			c.changed(l, state)
		}
		return l
	}
	idle := []http.ConnState{http.StateActive, http.StateIdle}
	var others []*line
	for n := range 40 { // of as many networks
		others = append(others, open(fmt.Sprintf("192.0.2.%d", n), idle...))
	}
	var flood []*line
	for n := range 1000 { // of one network
		flood = append(flood, open(fmt.Sprintf("2001:db8:bad::%x", n), idle...))
	}
	for n, l := range others {
		if l.closed {
			t.Fatalf("a flood hung up on caller %d of another network", n)
		}
	}
	for n, l := range flood { // the newest stay
		if l.closed != (n < len(flood)-50) {
			t.Errorf("connection %d of the flood: closed is %v", n, l.closed)
		}
	}
	// What is under way is not cut off, whoever's it is, and keeps nobody else out.
	for _, l := range flood {
		if !l.closed {
			c.changed(l, http.StateActive)
		}
	}
	if more := open("2001:db8:bad::ffff"); !more.closed {
		t.Error("one network has more than half of the connections")
	}
	for n := range 10 {
		if late := open(fmt.Sprint("198.51.100.", n), http.StateActive); late.closed {
			t.Errorf("new caller %d was hung up on", n)
		}
	}
	for _, l := range flood[len(flood)-50:] {
		if l.closed {
			t.Error("a request was cut off")
		}
	}
	// When there are too many, the network that has the most pays.
	c.changed(flood[len(flood)-1], http.StateIdle)
	if late := open("198.51.100.99", http.StateActive); late.closed || !flood[len(flood)-1].closed {
		t.Error("a new caller was hung up on")
	}
	// When all are busy, the last one has to go.
	full := newConnections(2)
	c = full
	a, b := open("192.0.2.1", http.StateActive), open("192.0.2.2", http.StateActive)
	if third := open("192.0.2.3"); !third.closed || a.closed || b.closed {
		t.Errorf("closed: %v, %v and the third %v", a.closed, b.closed, third.closed)
	}
	// Everything that ends is forgotten.
	for _, l := range []*line{a, b} {
		full.changed(l, http.StateClosed)
		full.changed(l, http.StateClosed)
	}
	if len(full.open) != 0 || len(full.networks) != 0 {
		t.Errorf("%d connections and %d networks are remembered", len(full.open), len(full.networks))
	}
}

// TestConnectionsAreBounded: thousands that ask nothing more keep nobody out.
func TestConnectionsAreBounded(t *testing.T) {
	spec.Covers(t, "FT-35", "DS-09")
	const limit, callers = 20, 200
	r := run(t, func(s *Server) { s.limits.connections = limit })
	busy, reader := r.begin(t, secretForm)
	var kept []net.Conn
	for range callers {
		conn := r.dial(t)
		kept = append(kept, conn)
		if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("a caller is kept out: %v, %v", response, err)
		}
	}
	eventually(t, "no more than the limit are open", func() bool { return stillOpen(t, kept) < limit })
	if err := busy.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(busy, secretForm); err != nil {
		t.Fatal(err)
	}
	if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("the request that was under way: %v, %v", response, err)
	}
	if text := r.log.String(); strings.Contains(text, "panic") {
		t.Error(text)
	}
}

func TestConnectionsOverTLSAreBoundedToo(t *testing.T) {
	r, _, _ := runTLS(t, func(s *Server) { s.limits.connections = 5 })
	var kept []net.Conn
	for range 20 { // that do not even shake hands
		kept = append(kept, r.dial(t))
	}
	if response, _ := r.ask(t, "/livez"); response.StatusCode != http.StatusOK {
		t.Errorf("a caller is answered %d", response.StatusCode)
	}
	eventually(t, "no more than the limit are open", func() bool { return stillOpen(t, kept) < 5 })
}

// stillOpen counts the connections on which the server has not hung up.
func stillOpen(t *testing.T, all []net.Conn) (count int) {
	t.Helper()
	for _, conn := range all {
		if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			count++
		}
	}
	return count
}

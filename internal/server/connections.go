package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"gatehouse"
)

// maxConnections bounds the connections that a listener has open at once. Each
// costs some ten kilobytes, whether or not anything is asked on it.
const maxConnections = 10_000

// connections hangs up on those who wait, when there are too many: of the
// network that has the most connections, the one that has waited longest for a
// request. One network has at most half of them, so that it takes none from
// others even if it has a request under way on each; those are never cut off.
type connections struct {
	limit int

	mu       sync.Mutex
	open     map[net.Conn]*connection
	networks map[string]*network
}

// connection is an open one.
type connection struct {
	net.Conn
	network *network
	// before and after are its neighbours among those of its network that wait
	// for a request; nil while one is under way.
	before, after *connection
}

func (one *connection) waits() bool { return one.before != nil }

// wait joins those that wait, as the last.
func (one *connection) wait() {
	end := &one.network.waiting
	one.before, one.after = end.before, end
	one.before.after, end.before = one, one
}

// wake leaves those that wait.
func (one *connection) wake() {
	one.before.after, one.after.before = one.after, one.before
	one.before, one.after = nil, nil
}

// network has the connections of one network.
type network struct {
	name    string
	count   int
	waiting connection // the end of a ring of those that wait, the longest first
}

func newNetwork(name string) *network {
	its := &network{name: name}
	its.waiting.before, its.waiting.after = &its.waiting, &its.waiting
	return its
}

// first is the one that has waited longest; nil when none waits.
func (its *network) first() *connection {
	if its.waiting.after == &its.waiting {
		return nil
	}
	return its.waiting.after
}

func newConnections(limit int) *connections {
	return &connections{limit: limit, open: map[net.Conn]*connection{}, networks: map[string]*network{}}
}

// changed is told what becomes of each connection (http.Server.ConnState).
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if surplus := c.note(conn, state); surplus != nil {
		hangUp(surplus)
	}
}

// note returns the connection that has to go, nil if there is room.
func (c *connections) note(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		its := c.add(conn)
		if its.count > c.limit/2 {
			return c.longest(its)
		}
		if len(c.open) > c.limit {
			return c.surplus()
		}
	case http.StateIdle:
		if one := c.open[conn]; one != nil && !one.waits() {
			one.wait()
		}
	case http.StateActive:
		if one := c.open[conn]; one != nil && one.waits() {
			one.wake()
		}
	case http.StateClosed, http.StateHijacked:
		if one := c.open[conn]; one != nil {
			c.remove(one)
		}
	}
	return nil
}

func (c *connections) add(conn net.Conn) *network {
	address, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		address = conn.RemoteAddr().String()
	}
	name := gatehouse.Network(address)
	its := c.networks[name]
	if its == nil {
		its = newNetwork(name)
		c.networks[name] = its
	}
	its.count++
	one := &connection{Conn: conn, network: its}
	one.wait()
	c.open[conn] = one
	return its
}

func (c *connections) remove(one *connection) {
	delete(c.open, one.Conn)
	if one.waits() {
		one.wake()
	}
	if one.network.count--; one.network.count == 0 {
		delete(c.networks, one.network.name)
	}
}

// surplus takes one out that waits. There is always one: that which came last.
func (c *connections) surplus() net.Conn {
	var most *network
	for _, its := range c.networks {
		if its.first() != nil && (most == nil || its.count > most.count) {
			most = its
		}
	}
	return c.longest(most)
}

// longest takes out the one that has waited longest of a network of which one waits.
func (c *connections) longest(its *network) net.Conn {
	one := its.first()
	c.remove(one)
	return one.Conn
}

// hangUp closes a connection without a word: one of TLS would wait until its
// last one is taken.
func hangUp(conn net.Conn) {
	if encrypted, isTLS := conn.(*tls.Conn); isTLS {
		conn = encrypted.NetConn()
	}
	_ = conn.Close()
}

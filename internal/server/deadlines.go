package server

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// calmListener accepts connections whose deadlines are cheap to move.
type calmListener struct{ net.Listener }

func (l calmListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &calmConn{Conn: conn}, nil
}

// calmConn is a connection whose deadlines net/http moves several times for
// each request, nearly always to a later time. A timer is touched only for an
// earlier one: a timer that fires before the deadline is set anew.
type calmConn struct {
	net.Conn
	reading, writing deadline
}

// deadline is one of a connection. The zero time is none.
type deadline struct {
	mu         sync.Mutex
	due, timer time.Time   // when it is over, and when the timer fires, which is no later
	rung       atomic.Bool // the timer was set to a time long ago, which wakes whoever waits, and the deadline has moved since
	before     time.Time   // what the timer was set to before that
}

// longAgo is later than any time to which a deadline is set only to wake whoever
// waits, and earlier than any other.
const longAgo = 1e6 // in seconds since 1970

func (c *calmConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *calmConn) SetReadDeadline(t time.Time) error {
	return c.reading.move(t, c.Conn.SetReadDeadline)
}

func (c *calmConn) SetWriteDeadline(t time.Time) error {
	return c.writing.move(t, c.Conn.SetWriteDeadline)
}

func (c *calmConn) Read(b []byte) (int, error) {
	for {
		if c.reading.rung.Load() {
			if err := c.reading.rewind(c.Conn.SetReadDeadline); err != nil {
				return 0, err
			}
		}
		n, err := c.Conn.Read(b)
		if err == nil || n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.reading.over(c.Conn.SetReadDeadline) {
			return n, err
		}
	}
}

func (c *calmConn) Write(b []byte) (int, error) {
	written := 0
	for {
		n, err := c.Conn.Write(b[written:])
		written += n
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || c.writing.over(c.Conn.SetWriteDeadline) {
			return written, err
		}
	}
}

// CloseWrite lets the other side read what was written before everything is
// closed; net/http looks for it.
func (c *calmConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// move makes t the deadline.
func (d *deadline) move(t time.Time, set func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due = t
	if t.IsZero() || !d.timer.IsZero() && !t.Before(d.timer) {
		d.rung.Store(!d.timer.IsZero() && d.timer.Unix() < longAgo && d.timer != t)
		return nil
	}
	if t.Unix() < longAgo {
		d.before = d.timer
	}
	d.timer = t
	d.rung.Store(false)
	return set(t)
}

// rewind sets the timer anew after it was made to fire at once: to what it was
// before, if that is no later than the deadline.
func (d *deadline) rewind(set func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reset(d.before, set)
}

// over says whether the deadline has passed when the timer has fired, and sets
// the timer to it if not.
func (d *deadline) over(set func(time.Time) error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.due.IsZero() && !time.Now().Before(d.due) {
		return true
	}
	return d.reset(time.Time{}, set) != nil
}

// reset sets the timer to the deadline, or to a time before it.
func (d *deadline) reset(before time.Time, set func(time.Time) error) error {
	d.timer, d.before = d.due, time.Time{}
	if !before.IsZero() && (d.due.IsZero() || before.Before(d.due)) {
		d.timer = before
	}
	d.rung.Store(false)
	return set(d.timer)
}

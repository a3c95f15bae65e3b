package kvredis

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
)

// Bounds of a reply. The largest that is ever asked for is a value of kv.MaxValueBytes or a text of
// INFO; the longest list is the map of a cluster.
const (
	maxLineBytes    = 64 << 10
	maxBulkBytes    = 1 << 20
	maxElements     = 1 << 16
	maxDepth        = 8
	minPushElements = 3
)

// guard is a connection that lets nothing through but well-formed replies within bounds, at most
// one for each command that was sent. The client behind it allocates what a reply announces and
// ends the process when there are too many of them, so that what is not Redis must not reach it.
type guard struct {
	net.Conn
	owed    atomic.Int64 // commands without a reply
	sent    frames
	replies frames
	broken  error // what was read that made no sense; of the reader alone
}

// newGuard wraps a connection. Only sentinels push what nobody asked for.
func newGuard(conn net.Conn, pushes bool) *guard {
	g := &guard{Conn: conn}
	g.sent.done = func(bool) error {
		g.owed.Add(1)
		return nil
	}
	g.replies.pushes = pushes
	g.replies.done = func(push bool) error {
		if !push && g.owed.Add(-1) < 0 {
			return errors.New("a reply that nothing was asked for")
		}
		return nil
	}
	return g
}

func (g *guard) Write(b []byte) (int, error) {
	if err := g.sent.feed(b); err != nil { // before the reply can come
		return 0, fmt.Errorf("kvredis: a command cannot be sent: %w", err)
	}
	return g.Conn.Write(b)
}

func (g *guard) Read(b []byte) (int, error) {
	if g.broken != nil {
		return 0, g.broken
	}
	n, err := g.Conn.Read(b)
	if wrong := g.replies.feed(b[:n]); wrong != nil {
		g.broken = fmt.Errorf("kvredis: what answers at %s does not speak Redis's protocol: %w", g.RemoteAddr(), wrong)
		return 0, g.broken
	}
	return n, err
}

// frames follows a stream of messages in RESP3, however it is cut into pieces.
type frames struct {
	line     []byte // of the line that has not ended yet
	body     int    // what is left of a bulk, with the end of its line
	open     []int  // how many elements each open list still waits for
	elements int    // of the message so far
	push     bool   // the message is one that was not asked for
	pushes   bool   // such messages are allowed
	done     func(push bool) error
}

// feed takes the next piece. Its error is what is wrong with the stream.
func (f *frames) feed(piece []byte) error {
	for len(piece) > 0 {
		if f.body > 0 {
			n := min(len(piece), f.body)
			for i := max(0, n-2); i < n; i++ { // a bulk ends as a line does
				if left := f.body - i; left == 2 && piece[i] != '\r' || left == 1 && piece[i] != '\n' {
					return errors.New("a text of another length than announced")
				}
			}
			f.body -= n
			piece = piece[n:]
			if f.body == 0 {
				if err := f.finish(); err != nil {
					return err
				}
			}
			continue
		}
		end := bytes.IndexByte(piece, '\n') + 1
		if end == 0 {
			end = len(piece)
		}
		if len(f.line)+end > maxLineBytes {
			return errors.New("a line that is too long")
		}
		f.line = append(f.line, piece[:end]...)
		piece = piece[end:]
		if f.line[len(f.line)-1] != '\n' {
			return f.begin()
		}
		if err := f.take(); err != nil {
			return err
		}
		f.line = f.line[:0]
	}
	return nil
}

// begin judges a line by its first letter, so that a stranger's greeting is not waited on.
func (f *frames) begin() error {
	if bytes.IndexByte([]byte("+-,(:_#$!=*~%>"), f.line[0]) < 0 {
		return fmt.Errorf("a message that begins with %q", f.line[0])
	}
	return nil
}

// take reads a whole line.
func (f *frames) take() error {
	if err := f.begin(); err != nil {
		return err
	}
	if !bytes.HasSuffix(f.line, []byte("\r\n")) {
		return errors.New("a line that does not end in CR LF")
	}
	kind, text := f.line[0], f.line[1:len(f.line)-2]
	switch kind {
	case '+', '-', ',', '(':
		return f.finish()
	case '_', '#':
		if kind == '_' && len(text) > 0 || kind == '#' && string(text) != "t" && string(text) != "f" {
			return errors.New("a malformed null or truth value")
		}
		return f.finish()
	case ':':
		if _, err := strconv.ParseInt(string(text), 10, 64); err != nil || text[0] == '+' {
			return errors.New("a malformed number")
		}
		return f.finish()
	case '$', '!', '=':
		if kind == '$' && string(text) == "-1" {
			return f.finish()
		}
		length, err := count(text, maxBulkBytes)
		f.body = length + len("\r\n")
		return err
	}
	if kind == '*' && string(text) == "-1" {
		return f.finish()
	}
	return f.list(kind, text)
}

// list opens a list, a set, a map or a push.
func (f *frames) list(kind byte, text []byte) error {
	length, err := count(text, maxElements)
	if err != nil {
		return err
	}
	if kind == '%' {
		length *= 2
	}
	if kind == '>' {
		if !f.pushes || len(f.open) > 0 || length < minPushElements {
			return errors.New("a message that nobody subscribed to")
		}
		f.push = true
	}
	f.elements += length
	if f.elements > maxElements || len(f.open) == maxDepth {
		return errors.New("a list that is too large or too deep")
	}
	if length == 0 {
		return f.finish()
	}
	f.open = append(f.open, length)
	return nil
}

// finish ends an element and the lists that it is the last of.
func (f *frames) finish() error {
	for len(f.open) > 0 {
		last := len(f.open) - 1
		f.open[last]--
		if f.open[last] > 0 {
			return nil
		}
		f.open = f.open[:last]
	}
	push := f.push
	f.push, f.elements = false, 0
	return f.done(push)
}

// count reads a length of at most the limit.
func count(text []byte, limit int) (int, error) {
	number, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil || number > uint64(limit) {
		return 0, fmt.Errorf("a length outside 0 to %d", limit)
	}
	return int(number), nil
}

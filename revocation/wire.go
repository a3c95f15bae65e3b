package revocation

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"gatehouse/jose"
)

// The feed is lines of JSON, each an object of one of three kinds, numbered by n
// from 1: a beginning, then entries and marks.
const (
	// MediaType of the feed.
	MediaType = "application/x-ndjson"
	// Version of the format, told by the beginning.
	Version = 1
	// MaxLine bounds a line, in bytes, with its end.
	MaxLine = 8 << 10
	// MaxCursor bounds a cursor, in bytes.
	MaxCursor = 512

	maxTime = 253402300799 // the last second of the year 9999
)

// Beginning is the first message of a connection.
type Beginning struct {
	// Issuer whose tokens the feed is about.
	Issuer string
	// Snapshot says that all entries there are follow; else those after the
	// cursor that the reader sent.
	Snapshot bool
}

// Mark says that the reader has everything that was ended up to At.
type Mark struct {
	At time.Time // in whole seconds
	// Cursor is from where the feed can be resumed.
	Cursor string
}

// Message is one message of the feed: exactly one of its members is set.
type Message struct {
	Beginning *Beginning
	Entry     *Entry
	Mark      *Mark
}

// Writer writes the messages of one connection. They reach w by Flush.
type Writer struct {
	out *bufio.Writer
	n   int64
	buf []byte
}

// NewWriter returns a writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{out: bufio.NewWriterSize(w, 4*MaxLine)} }

// Begin writes the beginning.
func (w *Writer) Begin(b Beginning) error {
	w.start()
	w.number("feed", Version)
	w.text("iss", b.Issuer)
	w.buf = strconv.AppendBool(append(w.buf, `,"snapshot":`...), b.Snapshot)
	return w.end()
}

// Entry writes an entry.
func (w *Writer) Entry(e Entry) error {
	w.start()
	w.text("claim", string(e.Claim))
	w.text("value", e.Value)
	if !e.IssuedUntil.IsZero() {
		w.number("iat", e.IssuedUntil.Unix())
	}
	w.number("exp", e.Expiry.Unix())
	return w.end()
}

// Mark writes a mark.
func (w *Writer) Mark(m Mark) error {
	w.start()
	w.number("at", m.At.Unix())
	w.text("cursor", m.Cursor)
	return w.end()
}

// Flush hands over what was written.
func (w *Writer) Flush() error { return w.out.Flush() }

func (w *Writer) start() {
	w.n++
	w.buf = strconv.AppendInt(append(w.buf[:0], `{"n":`...), w.n, 10)
}

func (w *Writer) name(name string) {
	w.buf = append(append(append(w.buf, ',', '"'), name...), '"', ':')
}

func (w *Writer) number(name string, value int64) {
	w.name(name)
	w.buf = strconv.AppendInt(w.buf, value, 10)
}

func (w *Writer) text(name, value string) {
	w.name(name)
	quoted, _ := json.Marshal(value) // strings always marshal
	w.buf = append(w.buf, quoted...)
}

func (w *Writer) end() error {
	w.buf = append(w.buf, '}', '\n')
	if len(w.buf) > MaxLine {
		return fmt.Errorf("revocation: a message is longer than %d bytes", MaxLine)
	}
	_, err := w.out.Write(w.buf)
	return err
}

// ErrFormat is wrapped by errors about a feed that is not in the format.
var ErrFormat = errors.New("the revocation feed is malformed")

// Reader reads the messages of one connection.
type Reader struct {
	in *bufio.Reader
	n  int64
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(r, MaxLine)} }

// line is a message as it travels.
type line struct {
	N        int64   `json:"n"`
	Feed     *int64  `json:"feed"`
	Issuer   string  `json:"iss"`
	Snapshot bool    `json:"snapshot"`
	Claim    *Claim  `json:"claim"`
	Value    string  `json:"value"`
	IAT      *int64  `json:"iat"`
	Exp      *int64  `json:"exp"`
	At       *int64  `json:"at"`
	Cursor   *string `json:"cursor"`
}

// Next returns the next message. The error is io.EOF when the feed ended after a
// message, io.ErrUnexpectedEOF when it ended within one, and wraps [ErrFormat]
// when it cannot be relied on any more: a message is missing, repeated, out of
// order, too long, malformed, or of a kind or claim that this version does not
// know. Members that are not known are ignored.
func (r *Reader) Next() (Message, error) {
	text, err := r.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return Message{}, fmt.Errorf("%w: a line is longer than %d bytes", ErrFormat, MaxLine)
	case err == io.EOF && len(text) > 0:
		return Message{}, io.ErrUnexpectedEOF
	case err != nil:
		return Message{}, err
	}
	var l line
	if err := jose.DecodeStrict(text, &l); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if r.n++; l.N != r.n {
		return Message{}, fmt.Errorf("%w: message %d stands where %d should", ErrFormat, l.N, r.n)
	}
	return l.message()
}

func (l *line) message() (Message, error) {
	first := l.N == 1
	kinds := 0
	for _, is := range []bool{l.Feed != nil, l.Claim != nil, l.At != nil} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1 || first != (l.Feed != nil):
		return Message{}, fmt.Errorf("%w: message %d is of no known kind, or not where it belongs", ErrFormat, l.N)
	case l.Feed != nil:
		return l.beginning()
	case l.Claim != nil:
		return l.entry()
	}
	if l.Cursor == nil || *l.Cursor == "" || len(*l.Cursor) > MaxCursor || !inTime(*l.At) {
		return Message{}, fmt.Errorf("%w: message %d is not a whole mark", ErrFormat, l.N)
	}
	return Message{Mark: &Mark{time.Unix(*l.At, 0), *l.Cursor}}, nil
}

func (l *line) beginning() (Message, error) {
	if *l.Feed != Version {
		return Message{}, fmt.Errorf("%w: it is of version %d, and this program reads %d", ErrFormat, *l.Feed, Version)
	}
	return Message{Beginning: &Beginning{l.Issuer, l.Snapshot}}, nil
}

func (l *line) entry() (Message, error) {
	if indexOf(*l.Claim) < 0 {
		return Message{}, fmt.Errorf("%w: message %d is about a claim that this version does not know", ErrFormat, l.N)
	}
	if l.Value == "" || l.Exp == nil || !inTime(*l.Exp) || l.IAT != nil && !inTime(*l.IAT) {
		return Message{}, fmt.Errorf("%w: message %d is not a whole entry", ErrFormat, l.N)
	}
	e := Entry{Claim: *l.Claim, Value: l.Value, Expiry: time.Unix(*l.Exp, 0)}
	if l.IAT != nil {
		e.IssuedUntil = time.Unix(*l.IAT, 0)
	}
	return Message{Entry: &e}, nil
}

func inTime(seconds int64) bool { return seconds >= 0 && seconds <= maxTime }

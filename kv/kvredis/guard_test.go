package kvredis

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
)

// parse feeds a stream in pieces of the size and returns how many messages it holds.
func parse(stream string, size int, pushes bool) (messages int, err error) {
	f := frames{pushes: pushes, done: func(bool) error { messages++; return nil }}
	for piece := range strings.SplitSeq(stream, "") {
		if size == 1 {
			if err := f.feed([]byte(piece)); err != nil {
				return messages, err
			}
		}
	}
	if size != 1 {
		err = f.feed([]byte(stream))
	}
	return messages, err
}

func TestFrames(t *testing.T) {
	for _, test := range []struct {
		stream   string
		messages int // -1: refused
	}{
		{"+OK\r\n-ERR no\r\n:-12\r\n", 3},
		{"$-1\r\n*-1\r\n_\r\n#t\r\n", 4},
		{"$0\r\n\r\n$5\r\na\r\nbc\r\n", 2},
		{"*2\r\n$1\r\na\r\n*0\r\n%1\r\n+k\r\n:1\r\n", 2},
		{"*3\r\n:1\r\n*1\r\n*1\r\n:2\r\n_\r\n", 1},
		{"$3\r\nab", 0},
		{"+unfinished", 0},

		{"HTTP/1.1 400 Bad Request\r\n", -1},
		{"HTTP", -1},
		{"\r\n", -1},
		{"\n", -1},
		{"+OK\n", -1},
		{"$-2\r\n", -1},
		{"$99999999999999999999\r\n", -1},
		{"$2147483647\r\n", -1},
		{"$1048577\r\n", -1},
		{"$+1\r\n", -1},
		{"$\r\n", -1},
		{"$?\r\n", -1},
		{"$3\r\nabcd\r\n", -1},
		{"$3\r\nabc\n\n", -1},
		{"*65537\r\n", -1},
		{"*-2\r\n", -1},
		{"%-1\r\n", -1},
		{"*60000\r\n*60000\r\n", -1},
		{strings.Repeat("*1\r\n", 9), -1},
		{":+1\r\n", -1},
		{":\r\n", -1},
		{":99999999999999999999\r\n", -1},
		{"_x\r\n", -1},
		{"#\r\n", -1},
		{"|1\r\n+a\r\n+b\r\n+c\r\n", -1},
		{">3\r\n+message\r\n+a\r\n+b\r\n", -1},
		{"+" + strings.Repeat("x", maxLineBytes) + "\r\n", -1},
	} {
		for _, size := range []int{1, len(test.stream)} {
			messages, err := parse(test.stream, size, false)
			if test.messages < 0 && err == nil || test.messages >= 0 && (err != nil || messages != test.messages) {
				t.Errorf("%.40q in pieces of %d: %d messages, %v; want %d", test.stream, size, messages, err, test.messages)
			}
		}
	}
	const push = ">3\r\n+message\r\n+a\r\n+b\r\n"
	if messages, err := parse(push+"+OK\r\n", 1, true); messages != 2 || err != nil {
		t.Errorf("from a sentinel: %d, %v", messages, err)
	}
	for _, bad := range []string{">2\r\n+message\r\n+a\r\n", "*1\r\n" + push} {
		if _, err := parse(bad, 1, true); err == nil {
			t.Errorf("%q was taken from a sentinel", bad)
		}
	}
}

// pretended is a connection on which the other end has said something.
type pretended struct {
	net.Conn
	said *bytes.Reader
}

func (p pretended) Read(b []byte) (int, error)  { return p.said.Read(b) }
func (p pretended) Write(b []byte) (int, error) { return len(b), nil }
func (p pretended) RemoteAddr() net.Addr        { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6379} }

func TestNoReplyComesUnasked(t *testing.T) {
	g := newGuard(pretended{said: bytes.NewReader([]byte("+OK\r\n+OK\r\n"))}, false)
	for _, piece := range []string{"*1\r\n$4\r\nPI", "NG\r\n"} {
		if _, err := g.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := g.Read(make([]byte, 5)); n != 5 || err != nil {
		t.Errorf("the reply: %d, %v", n, err)
	}
	for range 2 {
		if n, err := g.Read(make([]byte, 100)); n != 0 || err == nil || !strings.Contains(err.Error(), "127.0.0.1:6379") {
			t.Errorf("a second reply: %d, %v", n, err)
		}
	}
}

// FuzzFrames: what is let through is the same however the stream is cut into pieces.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\na\r\n%1\r\n+k\r\n:1\r\n$-1\r\n"))
	f.Add([]byte("$3\r\nabc\r\n_\r\n#t\r\n=5\r\ntxt:a\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		read := func(size int) (messages int, err error) {
			whole := frames{done: func(bool) error { messages++; return nil }}
			for rest := stream; len(rest) > 0 && err == nil; rest = rest[min(size, len(rest)):] {
				err = whole.feed(rest[:min(size, len(rest))])
			}
			return messages, err
		}
		once, err := read(len(stream) + 1)
		for _, size := range []int{1, 3} {
			if messages, other := read(size); messages != once || (other == nil) != (err == nil) {
				t.Errorf("%q: %d, %v at once; %d, %v in pieces of %d", stream, once, err, messages, other, size)
			}
		}
	})
}

func TestReadInfoAndVersions(t *testing.T) {
	facts := readInfo("# Server\r\nredis_version:7.0.15\r\n\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n")
	if facts["redis_version"] != "7.0.15" || facts["maxmemory_policy"] != "noeviction" {
		t.Errorf("%v", facts)
	}
	for version, good := range map[string]bool{"6.2.0": true, "7.0.15": true, "8.2": true, "10.0.0": true, "6.0.16": false, "5.0.14": false, "": false, "7": false, "x.y": false} {
		if err := checkVersion(version); (err == nil) != good {
			t.Errorf("%q: %v", version, err)
		}
	}
	if !errors.Is(fault("x", errOther), errOther) {
		t.Error("the cause is lost")
	}
}

package kvredis_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/redistest"
	"gatehouse/kv/kvredis"
)

// between stands between a store and its server, and says something else once it is told to.
type between struct {
	listener net.Listener
	nonsense atomic.Pointer[string] // instead of the server's replies
	delay    atomic.Int64           // of the server's replies, in nanoseconds
	group    sync.WaitGroup
	mu       sync.Mutex
	open     []net.Conn
}

func standBetween(t *testing.T, server string) *between {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &between{listener: listener}
	b.group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.group.Go(func() { b.serve(conn, server) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		b.cut()
		b.group.Wait()
	})
	return b
}

// cut ends all connections.
func (b *between) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.open {
		conn.Close()
	}
	b.open = nil
}

func (b *between) keep(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = append(b.open, conn)
}

func (b *between) serve(conn net.Conn, server string) {
	b.keep(conn)
	defer conn.Close()
	behind, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	b.keep(behind)
	defer behind.Close()
	b.group.Go(func() {
		defer conn.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := behind.Read(buffer)
			if err != nil {
				return
			}
			time.Sleep(time.Duration(b.delay.Load()))
			text := buffer[:n]
			if nonsense := b.nonsense.Load(); nonsense != nil {
				text = []byte(*nonsense)
			}
			if _, err := conn.Write(text); err != nil {
				return
			}
		}
	})
	_, _ = io.Copy(behind, conn)
}

func TestNonsense(t *testing.T) {
	server := redistest.Start(t)
	for name, nonsense := range map[string]string{
		"another protocol":           "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
		"bytes":                      "\x00\xff\x00\xff\r\n\r\n",
		"a huge text":                "$9223372036854775807\r\n",
		"a large text that is short": "$1000000\r\nabc",
		"a negative text":            "$-7\r\n",
		"a huge list":                "*2147483647\r\n",
		"a list without an end":      strings.Repeat("*1\r\n", 100),
		"two replies":                "+OK\r\n+OK\r\n",
		"a push":                     ">2\r\n$10\r\ninvalidate\r\n_\r\n",
		"a list":                     "*1\r\n+OK\r\n",
		"a map":                      "%1\r\n+a\r\n+b\r\n",
		"a fraction":                 ",1.5\r\n",
		"a truth":                    "#t\r\n",
		"an error":                   "-ERR no\r\n",
		"a half":                     "+O",
		"nothing":                    "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := standBetween(t, server.Addr())
			s := open(t, kvredis.Config{Addresses: []string{b.listener.Addr().String()}})
			wantRecovery(t, s)
			b.nonsense.Store(&nonsense)
			for name, run := range operations(s) { // one after the other, or one's nonsense is another's reply
				wantFault(t, name, run)
			}
			b.nonsense.Store(nil)
			b.cut() // what was half said cannot be taken back
			wantRecovery(t, s)
		})
	}
}

// Replies of the right kind with the wrong content are no answers, either.
func TestRepliesToSomethingElse(t *testing.T) {
	server := redistest.Start(t)
	b := standBetween(t, server.Addr())
	s := open(t, kvredis.Config{Addresses: []string{b.listener.Addr().String()}})
	wantRecovery(t, s)
	for _, reply := range []string{"+QUEUED\r\n", ":7\r\n"} {
		b.nonsense.Store(&reply)
		for name, run := range operations(s) {
			if name == "Get" || name == "Take" || name == "Delete" { // any text is a value, any number a count
				continue
			}
			if claimed, err := run(context.Background()); claimed || err == nil {
				t.Errorf("%s took %q: %v, %v", name, reply, claimed, err)
			}
		}
	}
}

// A line so slow that every answer comes after the caller has gone.
func TestLateAnswersAreNobodys(t *testing.T) {
	server := redistest.Start(t)
	b := standBetween(t, server.Addr())
	s := open(t, kvredis.Config{Addresses: []string{b.listener.Addr().String()}})
	wantRecovery(t, s)
	b.delay.Store(int64(timeout + timeout/2))
	wantFaults(t, s)
	b.delay.Store(0)
	wantRecovery(t, s)
	for i := range 50 {
		want := strings.Repeat("x", i)
		if err := s.Set(t.Context(), "k", []byte(want), time.Minute); err != nil {
			t.Fatal(err)
		}
		if value, found, err := s.Get(t.Context(), "k"); string(value) != want || !found || err != nil {
			t.Fatalf("%d: %q, %v, %v", i, value, found, err)
		}
	}
}

func TestNonsenseAtTheStart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(conn).ReadString('\n')
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			conn.Close()
		}
	}()
	_, err = kvredis.Open(t.Context(), kvredis.Config{Addresses: []string{listener.Addr().String()}})
	if err == nil || !strings.Contains(err.Error(), "does not speak Redis's protocol") {
		t.Errorf("%v", err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	if _, err := kvredis.Open(t.Context(), kvredis.Config{Addresses: []string{nobody}}); err == nil || !strings.Contains(err.Error(), nobody) {
		t.Errorf("nobody listens: %v", err)
	}
}

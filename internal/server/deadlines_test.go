package server

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// timed counts how often the timer of its reads is set.
type timed struct {
	net.Conn
	set int
}

func (c *timed) SetReadDeadline(t time.Time) error {
	c.set++
	return c.Conn.SetReadDeadline(t)
}

// calm is a connection with deadlines, its inner one and the other end.
func calm(t *testing.T) (*calmConn, *timed, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	inner := &timed{Conn: near}
	return &calmConn{Conn: inner}, inner, far
}

// readFor returns for how long a read waits, and how it ends.
func readFor(conn net.Conn) (time.Duration, error) {
	began := time.Now()
	_, err := conn.Read(make([]byte, 1))
	return time.Since(began), err
}

func TestReadsEndAtTheDeadlineThatWasSetLast(t *testing.T) {
	later := func(d time.Duration) time.Time { return time.Now().Add(d) }
	for name, steps := range map[string]struct {
		deadlines []time.Duration
		want      time.Duration
	}{
		"one":             {[]time.Duration{5 * time.Second}, 5 * time.Second},
		"moved later":     {[]time.Duration{5 * time.Second, 15 * time.Second, 2 * time.Minute}, 2 * time.Minute},
		"moved earlier":   {[]time.Duration{2 * time.Minute, 5 * time.Second}, 5 * time.Second},
		"later, earlier":  {[]time.Duration{5 * time.Second, time.Minute, 3 * time.Second}, 3 * time.Second},
		"earlier, later":  {[]time.Duration{time.Minute, 3 * time.Second, 2 * time.Minute}, 2 * time.Minute},
		"already over":    {[]time.Duration{time.Minute, -time.Second}, 0},
		"over, then anew": {[]time.Duration{-time.Second, 7 * time.Second}, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, _, _ := calm(t)
				for _, deadline := range steps.deadlines {
					if err := conn.SetReadDeadline(later(deadline)); err != nil {
						t.Fatal(err)
					}
				}
				if waited, err := readFor(conn); waited != steps.want || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("ended after %v with %v, want %v", waited, err, steps.want)
				}
			})
		})
	}
}

func TestADeadlineThatIsTakenBackEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, far := calm(t)
		if err := errors.Join(conn.SetDeadline(time.Now().Add(time.Second)), conn.SetDeadline(time.Time{})); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Hour)
			_, _ = far.Write([]byte("x"))
		}()
		if waited, err := readFor(conn); waited != time.Hour || err != nil {
			t.Errorf("ended after %v with %v", waited, err)
		}
	})
}

// TestAConnectionInUseSetsItsTimerTwiceForEachRequest, as net/http does without deadlines: to
// wake the read that waits while a request is served, and back.
func TestAConnectionInUseSetsItsTimerTwiceForEachRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, inner, far := calm(t)
		move := func(at time.Time) {
			t.Helper()
			if err := conn.SetReadDeadline(at); err != nil {
				t.Fatal(err)
			}
		}
		const requests = 100
		for range requests {
			move(time.Now().Add(2 * time.Minute)) // idle
			go func() {
				time.Sleep(time.Millisecond)
				_, _ = far.Write([]byte("x"))
			}()
			if _, err := readFor(conn); err != nil {
				t.Fatal(err)
			}
			move(time.Time{})
			move(time.Now().Add(5 * time.Second))  // headers
			move(time.Now().Add(15 * time.Second)) // all of it
			ended := make(chan error)
			go func() { // while it is served
				_, err := readFor(conn)
				ended <- err
			}()
			synctest.Wait()
			move(time.Unix(1, 0))
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the read ends with %v", err)
			}
			move(time.Time{})
		}
		if inner.set > 2*requests+10 {
			t.Errorf("the timer was set %d times for %d requests", inner.set, requests)
		}
		move(time.Now().Add(2 * time.Minute))
		if waited, err := readFor(conn); waited != 2*time.Minute || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("then it ended after %v with %v", waited, err)
		}
	})
}

// TestAReadThatWaitsIsWoken: net/http does so at the end of every request, and
// reads on.
func TestAReadThatWaitsIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, far := calm(t)
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, err := readFor(conn)
			ended <- err
		}()
		synctest.Wait()
		if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the read ends with %v", err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = far.Write([]byte("x")) }()
		if _, err := readFor(conn); err != nil {
			t.Errorf("the next read ends with %v", err)
		}
	})
}

func TestDeadlinesThatMoveLaterTouchNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, inner, far := calm(t)
		for range 1000 {
			for _, deadline := range []time.Duration{5 * time.Second, 15 * time.Second, 2 * time.Minute} {
				if err := conn.SetReadDeadline(time.Now().Add(deadline)); err != nil {
					t.Fatal(err)
				}
			}
			go func() {
				time.Sleep(10 * time.Millisecond)
				_, _ = far.Write([]byte("x"))
			}()
			if _, err := readFor(conn); err != nil {
				t.Fatal(err)
			}
		}
		if inner.set > 10 { // ten seconds went by: the first timer fires, and is set to a later time, now and then
			t.Errorf("the timer was set %d times for a thousand requests", inner.set)
		}
	})
}

func TestAWriteGoesOnWhenItsDeadlineMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, far := calm(t)
		if err := errors.Join(conn.SetWriteDeadline(time.Now().Add(time.Second)), conn.SetWriteDeadline(time.Now().Add(time.Minute))); err != nil {
			t.Fatal(err)
		}
		text := "what is read in two parts"
		read := make(chan string)
		go func() {
			first := make([]byte, 4)
			_, _ = io.ReadFull(far, first)
			time.Sleep(30 * time.Second)
			rest := make([]byte, len(text)-len(first))
			_, _ = io.ReadFull(far, rest)
			read <- string(first) + string(rest)
		}()
		if n, err := conn.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%d written, %v", n, err)
		}
		if got := <-read; got != text {
			t.Errorf("read %q", got)
		}
		began := time.Now()
		if n, err := conn.Write([]byte(text)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 30*time.Second {
			t.Errorf("%d written, %v after %v", n, err, time.Since(began))
		}
	})
}

package proxytest

import (
	"context"
	"net"
	"sync"
	"testing"
)

// Listen returns a listener on a free port of the loopback interface, and its URL.
func Listen(t testing.TB) (listener net.Listener, url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener, "http://" + listener.Addr().String()
}

// Run runs a program beside the test. ask asks it to end; stop does so, too, and waits for
// what it answers. It is stopped with the test at the latest.
func Run[T any](t testing.TB, program func(context.Context) T) (ask context.CancelFunc, stop func() T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan T, 1)
	go func() { done <- program(ctx) }()
	stop = sync.OnceValue(func() T {
		cancel()
		return <-done
	})
	t.Cleanup(func() { stop() })
	return cancel, stop
}

package dev

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"testing"

	"gatehouse/internal/server"
)

// Of two that start at once, the later one says why it cannot serve, and not
// that nobody answered.
func TestBusyDataIsNoNetworkError(t *testing.T) {
	data, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	log := slog.New(slog.DiscardHandler)
	open := func() (*server.Server, listeners, urls) {
		doors, err := listen(t.Context(), wish{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(doors.close)
		at := doors.urls()
		at.apiIdentifier = at.api
		issuer, err := server.Open(t.Context(), server.Config{PublicURL: at.issuer, Data: data}, log)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = issuer.Close() })
		return issuer, doors, at
	}
	first, firstDoors, _ := open()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- first.Serve(ctx, firstDoors.issuer) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for server.CheckIdle(t.Context(), data) == nil { // until it serves
		if len(ended) > 0 {
			t.Fatal("the first does not serve")
		}
	}
	for range 5 {
		second, doors, at := open()
		err := perform(t.Context(), Options{Stdout: io.Discard, Stderr: io.Discard}, doors, at, second, Ready{}, log)
		if _, known := errors.AsType[*server.BusyError](err); !known {
			t.Errorf("the second says: %v", err)
		}
	}
}

package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// loopback is the one address of the stage and the host of its URLs. A name
// would not do: some programs resolve localhost to ::1 first, where nobody
// listens, and RFC 8252 §8.3 prefers the literal for redirect URIs anyway.
const loopback = "127.0.0.1"

const (
	// DefaultPort is the issuer's; the playground and PhotoAPI take the two
	// ports after it.
	DefaultPort = 8080
	maxPort     = 65535
	// suggestionsTried bounds the search for a free port to suggest.
	suggestionsTried = 50
)

// listeners are the three doors of the stage.
type listeners struct {
	issuer, playground, api net.Listener
}

// listen opens the doors: the issuer's at port, the others at the two ports
// after it or, where those are taken, at free ones. Port 0 takes free ports
// for all three.
func listen(ctx context.Context, port int) (listeners, error) {
	if port < 0 || port > maxPort {
		return listeners{}, fmt.Errorf("--port %d: a port is a number from 1 to %d, or 0 for free ones", port, maxPort)
	}
	var l listeners
	var err error
	if l.issuer, err = listenAt(ctx, port); err != nil {
		return listeners{}, explain(ctx, port, err)
	}
	if l.playground, err = listenAtOrFree(ctx, port, 1); err == nil {
		l.api, err = listenAtOrFree(ctx, port, 2)
	}
	if err != nil {
		l.close()
		return listeners{}, fmt.Errorf("cannot listen on %s: %w", loopback, err)
	}
	return l, nil
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.issuer, l.playground, l.api} {
		if one != nil {
			_ = one.Close()
		}
	}
}

func listenAt(ctx context.Context, port int) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp4", net.JoinHostPort(loopback, strconv.Itoa(port)))
}

func listenAtOrFree(ctx context.Context, port, after int) (net.Listener, error) {
	if port != 0 && port+after <= maxPort {
		if l, err := listenAt(ctx, port+after); err == nil {
			return l, nil
		}
	}
	return listenAt(ctx, 0)
}

func explain(ctx context.Context, port int, err error) error {
	switch {
	case isTaken(err):
		return fmt.Errorf("port %d is taken by another program. Type:\n  gatehouse dev --port %d\nor, for free ports of the system's choice:\n  gatehouse dev --port 0", port, suggestion(ctx, port))
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("port %d needs rights that you do not have here. Type:\n  gatehouse dev --port %d", port, DefaultPort)
	}
	return fmt.Errorf("cannot listen on %s port %d: %w", loopback, port, err)
}

// isTaken knows Windows by its words, since errors.Is does not know its code.
func isTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || strings.Contains(err.Error(), "Only one usage of each socket address")
}

// suggestion is a port after the taken one that is free now.
func suggestion(ctx context.Context, taken int) int {
	for port := taken + 1; port <= min(taken+suggestionsTried, maxPort); port++ {
		if l, err := listenAt(ctx, port); err == nil {
			_ = l.Close()
			return port
		}
	}
	return DefaultPort
}

// origin is the URL of what a listener serves, without a trailing slash.
func origin(l net.Listener) string { return "http://" + l.Addr().String() }

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
	// DefaultPort is the issuer's; the other doors take the ports after it.
	DefaultPort = 8080
	maxPort     = 65535
	// suggestionsTried bounds the search for a free port to suggest.
	suggestionsTried = 50
)

// listeners are the doors of the stage.
type listeners struct {
	issuer, playground, api, bff, gateway, thumbnails net.Listener
}

// all are the doors in the order of their ports.
func (l *listeners) all() []*net.Listener {
	return []*net.Listener{&l.issuer, &l.playground, &l.api, &l.bff, &l.gateway, &l.thumbnails}
}

// ports are those of the doors; 0 is an unknown one.
type ports struct {
	Issuer     int `json:"issuer"`
	Playground int `json:"playground"`
	API        int `json:"api"`
	BFF        int `json:"bff"`
	Gateway    int `json:"gateway"`
	Thumbnails int `json:"thumbnails"`
}

// all are the ports in the order of the doors.
func (p *ports) all() []*int {
	return []*int{&p.Issuer, &p.Playground, &p.API, &p.BFF, &p.Gateway, &p.Thumbnails}
}

// sound is the ports without those that are none.
func (p ports) sound() ports {
	for _, port := range p.all() {
		if *port < 0 || *port > maxPort {
			*port = 0
		}
	}
	return p
}

// wish says where the doors should be.
type wish struct {
	// port is the issuer's; 0 leaves it to the system.
	port int
	// given says that a person asked for that port, which wins over last.
	given bool
	// last are the ports of a stage on the same data. Its issuer is in tokens,
	// sessions and the configuration of applications.
	last ports
	// data is as the person typed it, for what to type instead.
	data string
}

// issuer returns the port to listen at, and whether another would do.
func (w wish) issuer() (port int, orAny bool) {
	switch {
	case w.last.Issuer == 0 || w.given && w.port != 0:
		return w.port, false
	default:
		return w.last.Issuer, w.port == 0
	}
}

// listen opens the doors. The issuer's is at the port that was asked for, else
// where it was last. The others are where they were last, else at the ports
// after the issuer's, in their order, and where those are taken at free ones.
func listen(ctx context.Context, w wish) (listeners, error) {
	if w.port < 0 || w.port > maxPort {
		return listeners{}, fmt.Errorf("--port %d: a port is a number from 1 to %d, or 0 for free ones", w.port, maxPort)
	}
	var l listeners
	var err error
	port, orAny := w.issuer()
	l.issuer, err = listenAt(ctx, port)
	if err != nil && orAny {
		port = 0
		l.issuer, err = listenAt(ctx, port)
	}
	if err != nil {
		return listeners{}, w.explain(ctx, port, err)
	}
	// All are tried where they were before one looks for another place, which
	// might be another's.
	doors, last := l.all(), w.last.all()
	for after := 1; after < len(doors); after++ {
		*doors[after] = listenIfFree(ctx, *last[after])
	}
	for after := 1; after < len(doors) && err == nil; after++ {
		if *doors[after] == nil {
			*doors[after], err = listenAtOrFree(ctx, port, after)
		}
	}
	if err != nil {
		l.close()
		return listeners{}, fmt.Errorf("cannot listen on %s: %w", loopback, err)
	}
	return l, nil
}

// urls are the addresses of what is behind the doors.
func (l listeners) urls() urls {
	return urls{
		issuer: origin(l.issuer), playground: origin(l.playground), api: origin(l.api), bff: origin(l.bff), gateway: origin(l.gateway),
		thumbnails: "https://" + l.thumbnails.Addr().String(),
	}
}

// ports returns where the doors are.
func (l listeners) ports() (p ports) {
	doors := l.all()
	for i, port := range p.all() {
		*port = portOf(*doors[i])
	}
	return p
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func (l listeners) close() {
	for _, one := range l.all() {
		if *one != nil {
			_ = (*one).Close()
		}
	}
}

func listenAt(ctx context.Context, port int) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp4", net.JoinHostPort(loopback, strconv.Itoa(port)))
}

// listenIfFree returns nil where the port is unknown or taken.
func listenIfFree(ctx context.Context, port int) net.Listener {
	if port == 0 {
		return nil
	}
	l, err := listenAt(ctx, port)
	if err != nil {
		return nil
	}
	return l
}

func listenAtOrFree(ctx context.Context, port, after int) (net.Listener, error) {
	if port != 0 && port+after <= maxPort {
		if l, err := listenAt(ctx, port+after); err == nil {
			return l, nil
		}
	}
	return listenAt(ctx, 0)
}

func (w wish) explain(ctx context.Context, port int, err error) error {
	data := ""
	if w.data != "" {
		data = " --data " + w.data
	}
	switch {
	case isTaken(err):
		return fmt.Errorf("port %d is taken by another program. Type:\n  gatehouse dev --port %d%s\nor, for free ports of the system's choice:\n  gatehouse dev --port 0%s", port, suggestion(ctx, port), data, data)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("port %d needs rights that you do not have here. Type:\n  gatehouse dev --port %d%s", port, DefaultPort, data)
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

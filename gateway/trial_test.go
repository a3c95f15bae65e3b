package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/spec"
)

// dripping is a body of which an octet comes every so often, and never the last one.
type dripping struct {
	ctx   context.Context
	every time.Duration
}

func (d dripping) Read(p []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(d.every):
		return copy(p, "x"), nil
	}
}

// TestSlowBodiesHoldNoTrial: when an upstream that was away is tried again, whoever sends a
// body slowly keeps the others from it for a second, and not as long as the body takes.
func TestSlowBodiesHoldNoTrial(t *testing.T) {
	spec.Covers(t, "DS-09")
	for about, every := range map[string]time.Duration{"a body that stalls": time.Hour, "a body that drips": 300 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			u, err := newUpstream(Upstream{Name: "tried", URL: "http://tried.example", Retries: -1}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			away := true
			u.transport.Load().DialContext = func(context.Context, string, string) (net.Conn, error) {
				if away {
					return nil, errors.New("away")
				}
				here, there := net.Pipe()
				go func() {
					defer there.Close()
					request, err := http.ReadRequest(bufio.NewReader(there))
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, request.Body); err == nil {
						_, _ = io.WriteString(there, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					}
				}()
				return here, nil
			}
			try := func(ctx context.Context, body io.Reader) error {
				r, err := http.NewRequestWithContext(ctx, "POST", "http://tried.example/", body)
				if err != nil {
					t.Fatal(err)
				}
				response, err := u.RoundTrip(r)
				if err == nil {
					_ = response.Body.Close()
				}
				return err
			}
			for range breakerFailures {
				if err := try(t.Context(), strings.NewReader("x")); err == nil || errors.Is(err, errResting) {
					t.Fatalf("%s: away: %v", about, err)
				}
			}
			if err := try(t.Context(), nil); !errors.Is(err, errResting) {
				t.Errorf("%s: spared: %v", about, err)
			}
			away = false
			time.Sleep(breakerOpen + time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			slow := make(chan error)
			go func() { slow <- try(ctx, dripping{ctx, every}) }()
			synctest.Wait()
			if err := try(t.Context(), nil); !errors.Is(err, errResting) {
				t.Errorf("%s: beside the trial: %v", about, err)
			}
			time.Sleep(trialPatience + every%trialPatience + time.Millisecond)
			synctest.Wait() // the trial is given back
			if err := try(t.Context(), strings.NewReader("x")); err != nil {
				t.Errorf("%s: another one: %v", about, err)
			}
			if got := u.breaker.State().String(); got != "closed" {
				t.Errorf("%s: the breaker is %s", about, got)
			}
			cancel()
			if err := <-slow; !errors.Is(err, errSender) {
				t.Errorf("%s: its own end: %v", about, err)
			}
			if got := u.breaker.State().String(); got != "closed" {
				t.Errorf("%s: in the end the breaker is %s", about, got)
			}
			u.transport.Load().CloseIdleConnections()
		})
	}
}

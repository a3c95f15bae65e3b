package proxytest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"testing"
)

func TestAProgramIsAskedInOctets(t *testing.T) {
	log := &Log{}
	logger := slog.New(slog.NewJSONHandler(log, nil))
	listener, url := Listen(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		logger.Info("asked", "target", r.RequestURI, "octets", len(body))
		w.WriteHeader(http.StatusTeapot)
	})}
	ask, stop := Run(t, func(ctx context.Context) error {
		go func() { <-ctx.Done(); _ = server.Close() }()
		return server.Serve(listener)
	})
	const first, last = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxx", "GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	if statuses, closed := Raw(t, url, first+last+first); !slices.Equal(statuses, []int{418, 418}) || !closed {
		t.Errorf("answers %v, closed %v", statuses, closed)
	}
	if statuses, closed := Raw(t, listener.Addr().String(), "GET /c\r\n\r\n"); !slices.Equal(statuses, []int{400}) || !closed {
		t.Errorf("answers %v, closed %v", statuses, closed)
	}
	logger.Info("another message")
	if lines := log.Lines(t, "asked"); len(lines) != 2 || lines[0]["target"] != "/a" || lines[0]["octets"] != 2.0 || lines[1]["target"] != "/b" {
		t.Errorf("logged %v", lines)
	}
	ask()
	if err := stop(); !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
)

const (
	defaultShutdownTimeout = 30 * time.Second
	// maxHeaderBytes bounds the request line and headers. A longer head is
	// answered with 431 (RFC 6585 §5).
	maxHeaderBytes = 32 << 10
	// maxStreams bounds the requests that one HTTP/2 connection has under way
	// (RFC 9113 §5.1.2); maxFrame the bytes of a frame that is read at once.
	maxStreams = 100
	maxFrame   = 16 << 10
)

// listenerLimits are the times that a listener grants.
type listenerLimits struct {
	readHeader, read, write, idle time.Duration
	// sweep is how often expired rows are removed.
	sweep time.Duration
	// certificateAge is how long a certificate is used before its files are
	// looked at again.
	certificateAge time.Duration
}

func defaultLimits() listenerLimits {
	return listenerLimits{
		readHeader: 5 * time.Second, read: 15 * time.Second, write: time.Minute, idle: 2 * time.Minute,
		sweep: time.Minute, certificateAge: 10 * time.Second,
	}
}

// Serve answers on the listener, over TLS if the configuration has a
// certificate, until ctx ends. It then lets requests finish within the
// shutdown time-out. The listener is closed when it returns.
//
// One server at a time serves from a data directory: limits and delays of
// guessing are counted in the process. A second one gets a *BusyError.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	tlsConfig, err := s.tlsConfig()
	if err != nil {
		_ = listener.Close()
		return err
	}
	if tlsConfig != nil {
		listener = tls.NewListener(listener, tlsConfig)
	}
	socket, err := s.controlSocket(ctx)
	if err != nil {
		_ = listener.Close()
		return err
	}
	scrapes, err := s.metricsListener(ctx)
	if err != nil {
		_ = listener.Close()
		if socket != nil {
			_ = socket.Close()
		}
		return err
	}
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: s.limits.readHeader, ReadTimeout: s.limits.read,
		WriteTimeout: s.limits.write, IdleTimeout: s.limits.idle, MaxHeaderBytes: maxHeaderBytes,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(s.protocol.Drain)
	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { s.sweep(ctx) })
	background.Go(func() { s.keys.Run(ctx, s.log) })
	background.Go(func() { s.logouts.Run(ctx) })
	background.Go(func() { s.serveControl(ctx, socket) })
	background.Go(func() { s.serveMetrics(ctx, scrapes) })
	background.Go(func() {
		<-ctx.Done()
		s.shutdown(server)
	})
	err = server.Serve(listener)
	stop()
	background.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) shutdown(server *http.Server) {
	timeout := s.config.ShutdownTimeout.Std()
	if timeout == 0 {
		timeout = defaultShutdownTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		s.log.Warn("requests were cut off at the end of the shutdown time-out", "error", err)
		_ = server.Close()
	}
}

// sweep removes expired rows now and then.
func (s *Server) sweep(ctx context.Context) {
	ticker := time.NewTicker(s.limits.sweep)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := s.store.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("expired rows could not be removed", "error", err)
			}
		}
	}
}

func (s *Server) healthRows() []endpoint.Row {
	get := []string{http.MethodGet}
	return []endpoint.Row{
		{Name: "liveness", Path: "/livez", Methods: get, Caller: endpoint.Anyone, Process: true, Serve: s.serveLive, Errors: endpoint.JSONErrors},
		{Name: "readiness", Path: "/readyz", Methods: get, Caller: endpoint.Anyone, Process: true, Serve: s.serveReady, Errors: endpoint.JSONErrors},
	}
}

// serveLive answers as long as the process does.
func (s *Server) serveLive(w http.ResponseWriter, _ *endpoint.Request) error {
	oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "live"})
	return nil
}

// serveReady answers whether requests can be served: the database answers, and
// no key is used elsewhere that is not known here.
func (s *Server) serveReady(w http.ResponseWriter, r *endpoint.Request) error {
	if err := s.store.Ping(r.Context()); err != nil {
		return notReady("The database does not answer.", err)
	}
	if err := s.keys.Ready(); err != nil {
		return notReady("The keys in the database could not be read for some time.", err)
	}
	oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

func notReady(description string, cause error) error {
	return oauth.Refuse("not-ready", oauth.TemporarilyUnavailable, description).After(time.Second).Because(cause)
}

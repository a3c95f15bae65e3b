package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
)

// Limits of the listener.
const (
	readHeaderTimeout      = 5 * time.Second
	readTimeout            = 15 * time.Second
	writeTimeout           = 60 * time.Second
	idleTimeout            = 2 * time.Minute
	maxHeaderBytes         = 32 << 10
	defaultShutdownTimeout = 30 * time.Second
	sweepEvery             = time.Minute
)

// Serve answers on the listener, over TLS if the configuration has a
// certificate, until ctx ends. It then lets requests finish within the
// shutdown time-out.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	tlsConfig, err := s.config.tlsConfig()
	if err != nil {
		return err
	}
	if tlsConfig != nil {
		tlsConfig.NextProtos = []string{"h2", "http/1.1"}
		listener = tls.NewListener(listener, tlsConfig)
	}
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { s.sweep(ctx) })
	background.Go(func() { s.control(ctx) })
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
	ticker := time.NewTicker(sweepEvery)
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

// control answers the commands of this machine on a socket in the data
// directory that only its owner can open.
func (s *Server) control(ctx context.Context) {
	if s.config.Data == "" {
		return
	}
	path := ControlSocket(s.config.Data)
	_ = os.Remove(path) // left behind by a server that was killed
	listener, err := net.Listen("unix", path)
	if err != nil {
		s.log.Debug("no control socket; explain finds refusals in the log", "error", err)
		return
	}
	if err := os.Chmod(path, 0o600); err != nil {
		s.log.Warn("the control socket stays closed", "error", err)
		_ = listener.Close()
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /refusals/{id}", s.refusals.serve)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: readHeaderTimeout}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	_ = server.Serve(listener)
}

func (s *Server) healthRows() []endpoint.Row {
	get := []string{http.MethodGet}
	return []endpoint.Row{
		{Name: "liveness", Path: "/livez", Methods: get, Caller: endpoint.Anyone, Serve: s.serveLive, Errors: endpoint.JSONErrors},
		{Name: "readiness", Path: "/readyz", Methods: get, Caller: endpoint.Anyone, Serve: s.serveReady, Errors: endpoint.JSONErrors},
	}
}

// serveLive answers as long as the process does.
func (s *Server) serveLive(w http.ResponseWriter, _ *endpoint.Request) error {
	oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "live"})
	return nil
}

// serveReady answers whether requests can be served: the database answers.
func (s *Server) serveReady(w http.ResponseWriter, r *endpoint.Request) error {
	if err := s.store.Ping(r.Context()); err != nil {
		return oauth.Refuse("not-ready", oauth.TemporarilyUnavailable, "The database does not answer.").After(time.Second).Because(err)
	}
	oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

package server

import (
	"context"
	"net"
	"net/http"
	"time"

	"gatehouse/internal/endpoint"
	"gatehouse/internal/store"
	"gatehouse/oauth"
)

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
	return Listener{
		Handler: s.Handler(), TLS: tlsConfig, Log: s.log, ShutdownTimeout: s.config.ShutdownTimeout.Std(), limits: s.limits,
		Stopping: s.protocol.Drain,
		Connected: func(ctx context.Context, _ net.Conn) context.Context {
			return store.WithPatience(ctx, s.patience)
		},
		Beside: []func(context.Context){
			s.sweep, s.logouts.Run, s.leases.Run,
			func(ctx context.Context) { s.keys.Run(ctx, s.log) },
			func(ctx context.Context) { s.serveControl(ctx, socket) },
			func(ctx context.Context) { s.serveMetrics(ctx, scrapes) },
		},
	}.Serve(ctx, listener)
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

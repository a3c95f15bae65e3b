package front

import (
	"context"
	"net"
	"net/http"
	"time"

	"gatehouse/bff"
	"gatehouse/internal/metrics"
	"gatehouse/internal/proxy"
	"gatehouse/internal/server"
	"gatehouse/oauth"
)

// DefaultListen is where a BFF listens when nothing says otherwise.
const DefaultListen = "127.0.0.1:8070"

// sweepTime is how often expired sessions are removed.
const sweepTime = time.Minute

// Serve answers on the listener, over TLS if there is a certificate, until ctx ends.
// It then ends streams, which would go on for ever, and lets requests finish within
// the shutdown time-out. The listener is closed when it returns.
//
// What is passed on to an API has the times of its upstream in place of the
// listener's, and a stream none.
func (f *Front) Serve(ctx context.Context, listener net.Listener) error {
	secure, err := f.config.TLS.Listener(f.log)
	if err != nil {
		_ = listener.Close()
		return err
	}
	scrapes, err := f.config.Metrics.Open(ctx, f.log)
	if err != nil {
		_ = listener.Close()
		return err
	}
	scraped := func(ctx context.Context) {
		f.config.Metrics.Serve(ctx, scrapes, metrics.Page(server.BuildVersion(), nil), f.log)
	}
	return server.Listener{
		Handler: f.handler(), TLS: secure, Log: f.log, ShutdownTimeout: f.config.ShutdownTimeout.Std(),
		Stopping: f.bff.EndStreams, Beside: []func(context.Context){f.sweepOften, scraped},
	}.Serve(ctx, listener)
}

func (f *Front) sweepOften(ctx context.Context) {
	ticker := time.NewTicker(sweepTime)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := f.sweep(ctx); err != nil && ctx.Err() == nil {
				f.log.Error("expired sessions could not be removed", "error", err)
			}
		}
	}
}

// handler is the BFF's, with the health endpoints beside it.
func (f *Front) handler() http.Handler {
	base := f.config.Base
	if base == "" {
		base = bff.DefaultBase
	}
	handler := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.EndConnection(w, r) // also where the BFF itself is not asked
		switch r.URL.Path {
		case base + "/livez":
			oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "live"})
		case base + "/readyz":
			if err := f.Ready(r.Context()); err != nil {
				f.log.WarnContext(r.Context(), "not ready", "error", err)
				w.Header().Set("Retry-After", "1")
				oauth.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"error": bff.CodeUnavailable})
				return
			}
			oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
		default:
			f.bff.ServeHTTP(w, r)
		}
	}))
	if f.config.Log.Access {
		handler = server.AccessLog(f.log, handler)
	}
	return handler
}

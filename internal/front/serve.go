package front

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"gatehouse/bff"
	"gatehouse/internal/server"
	"gatehouse/oauth"
)

// DefaultListen is where a BFF listens when nothing says otherwise.
const DefaultListen = "127.0.0.1:8070"

// Times and sizes that the listener grants. What is passed on to an API has the times
// of its upstream instead, and a stream none.
const (
	readHeaderTime  = 5 * time.Second
	readTime        = 15 * time.Second
	writeTime       = time.Minute
	idleTime        = 2 * time.Minute
	shutdownTime    = 30 * time.Second
	sweepTime       = time.Minute
	maxHeaderBytes  = 32 << 10
	maxHTTP2Streams = 100
	maxHTTP2Frame   = 16 << 10
)

// Serve answers on the listener, over TLS if there is a certificate, until ctx ends.
// It then ends streams, and lets requests finish within the shutdown time-out. The
// listener is closed when it returns.
func (f *Front) Serve(ctx context.Context, listener net.Listener) error {
	secure, err := f.config.TLS.Listener(f.log)
	if err != nil {
		_ = listener.Close()
		return err
	}
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	web := &http.Server{
		Handler: f.handler(), ReadHeaderTimeout: readHeaderTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaderBytes,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxHTTP2Streams, MaxReadFrameSize: maxHTTP2Frame},
		ErrorLog: slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
	}
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { f.sweepOften(ctx) })
	beside.Go(func() {
		<-ctx.Done()
		f.shutdown(web)
	})
	err = web.Serve(listener)
	stop()
	beside.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (f *Front) shutdown(web *http.Server) {
	timeout := f.config.ShutdownTimeout.Std()
	if timeout == 0 {
		timeout = shutdownTime
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	// Streams would go on for ever, and those that were upgraded are not waited for.
	f.bff.EndStreams()
	if err := web.Shutdown(ctx); err != nil {
		f.log.Warn("requests were cut off at the end of the shutdown time-out", "error", err)
		_ = web.Close()
	}
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

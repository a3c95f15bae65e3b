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

// listenerLimits are what a listener grants.
type listenerLimits struct {
	connections                   int
	readHeader, read, write, idle time.Duration
	// sweep is how often expired rows are removed.
	sweep time.Duration
	// certificateAge is how long a certificate is used before its files are
	// looked at again.
	certificateAge time.Duration
}

func defaultLimits() listenerLimits {
	return listenerLimits{
		connections: maxConnections,
		readHeader:  5 * time.Second, read: 15 * time.Second, write: time.Minute, idle: 2 * time.Minute,
		sweep: time.Minute, certificateAge: 10 * time.Second,
	}
}

// Listener is how a process of ours answers everybody: within bounds, over TLS if
// there is a certificate, until its context ends.
type Listener struct {
	Handler http.Handler
	TLS     *tls.Config // nil for none
	Log     *slog.Logger
	// ShutdownTimeout is for how long requests may finish; 30 seconds when 0.
	ShutdownTimeout time.Duration
	// Stopping ends what would not end by itself. It is called when nobody new
	// is let in.
	Stopping func()
	// Connected, when set, makes the context of a connection's requests.
	Connected func(context.Context, net.Conn) context.Context
	// H2C admits HTTP/2 without TLS from clients that begin with it (RFC 9113 §3.3), beside
	// HTTP/1.1. An Upgrade to it is ignored.
	H2C bool
	// Beside go on until the context ends, and are waited for.
	Beside []func(context.Context)

	limits listenerLimits // the defaults when zero
}

// Serve answers on the listener until ctx ends. It then lets requests finish
// within the shutdown time-out. The listener is closed when it returns.
func (l Listener) Serve(ctx context.Context, listener net.Listener) error {
	listener = calmListener{listener}
	if l.TLS != nil {
		listener = tls.NewListener(listener, l.TLS)
	}
	if l.limits == (listenerLimits{}) {
		l.limits = defaultLimits()
	}
	web := &http.Server{
		Handler: l.Handler, ReadHeaderTimeout: l.limits.readHeader, ReadTimeout: l.limits.read,
		WriteTimeout: l.limits.write, IdleTimeout: l.limits.idle, MaxHeaderBytes: maxHeaderBytes,
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame},
		ConnState: newConnections(l.limits.connections).changed, ConnContext: l.Connected,
		ErrorLog: slog.NewLogLogger(l.Log.Handler(), slog.LevelDebug),
		// The handler ends connections on which another request may hide (RFC 9112 §6.3);
		// net/http's own answer to OPTIONS * does not.
		DisableGeneralOptionsHandler: true,
	}
	if l.H2C {
		web.Protocols = new(http.Protocols)
		web.Protocols.SetHTTP1(true)
		web.Protocols.SetUnencryptedHTTP2(true)
	}
	web.RegisterOnShutdown(l.Stopping)
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	for _, goOn := range l.Beside {
		beside.Go(func() { goOn(ctx) })
	}
	beside.Go(func() {
		<-ctx.Done()
		l.shutdown(web)
	})
	err := web.Serve(listener)
	stop()
	beside.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (l Listener) shutdown(web *http.Server) {
	timeout := l.ShutdownTimeout
	if timeout == 0 {
		timeout = defaultShutdownTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		l.Log.Warn("requests were cut off at the end of the shutdown time-out", "error", err)
		_ = web.Close()
	}
}

package gate

import (
	"context"
	"errors"
	"net"
	"sync"

	"gatehouse/internal/server"
)

// DefaultListen is where a gateway listens when nothing says otherwise.
const DefaultListen = "127.0.0.1:8060"

// Addresses returns where clients are served and where proxies ask, "" for nowhere.
func (c Config) Addresses() (public, decisions string) {
	if public = c.Listen; public == "" && c.public() {
		public = DefaultListen
	}
	return public, c.Decisions.Listen
}

// Serve answers clients and proxies on their listeners, of which one may be nil, over TLS
// where there is a certificate, until ctx ends. It then ends streams, which would go on
// for ever, and lets requests finish within the shutdown time-out. The listeners are
// closed when it returns.
//
// What is passed on has the times of its route in place of the listener's.
func (g *Gate) Serve(ctx context.Context, public, decisions net.Listener) error {
	scrapes, err := g.config.Metrics.Open(ctx, g.log)
	if err != nil {
		return errors.Join(err, closeAll(public, decisions))
	}
	listeners := map[net.Listener]server.Listener{}
	for listener, of := range map[net.Listener]struct {
		certificate server.TLS
		serve       server.Listener
	}{
		public:    {g.config.TLS, server.Listener{Handler: g.publicHandler(), H2C: g.config.H2C, Stopping: g.gateway.EndStreams}},
		decisions: {g.config.Decisions.TLS, server.Listener{Handler: g.decisionsHandler(), Stopping: func() {}}},
	} {
		if listener == nil {
			continue
		}
		of.serve.Log, of.serve.ShutdownTimeout = g.log, g.config.ShutdownTimeout.Std()
		if of.serve.TLS, err = of.certificate.Listener(g.log); err != nil {
			return errors.Join(err, closeAll(public, decisions, scrapes))
		}
		listeners[listener] = of.serve
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var serving sync.WaitGroup
	serving.Go(func() { g.config.Metrics.Serve(ctx, scrapes, g.page(), g.log) })
	failures := make([]error, len(listeners))
	i := 0
	for listener, serve := range listeners {
		failed := &failures[i]
		i++
		serving.Go(func() {
			defer stop() // one is not served without the other
			*failed = serve.Serve(ctx, listener)
		})
	}
	serving.Wait()
	return errors.Join(failures...)
}

func closeAll(listeners ...net.Listener) (failed error) {
	for _, one := range listeners {
		if one != nil {
			failed = errors.Join(failed, one.Close())
		}
	}
	return failed
}

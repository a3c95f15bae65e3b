package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"gatehouse/gateway"
	"gatehouse/gateway/forwardauth"
	"gatehouse/gateway/maxmind"
	"gatehouse/internal/metrics"
	"gatehouse/internal/proxy"
	"gatehouse/internal/server"
	"gatehouse/oauth"
)

// Gate is a gateway with what it stands on, ready to serve. It is to be closed.
type Gate struct {
	config    Config
	gateway   *gateway.Gateway
	decisions *forwardauth.Handler // nil when nobody asks for decisions
	routes    []gateway.Route
	asking    forwardauth.Config
	close     []func() error
	log       *slog.Logger
}

// Open makes a Gate of a configuration that Check accepts.
func Open(ctx context.Context, c Config, log *slog.Logger) (_ *Gate, err error) {
	g := &Gate{config: c, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	settings, err := c.settings()
	if err != nil {
		return nil, err
	}
	settings.Logger, g.routes = log, settings.Routes
	if c.Redis.Used() {
		redis, err := server.Config{Redis: c.Redis, CAFile: c.CAFile}.OpenRedis(ctx)
		if err != nil {
			return nil, err
		}
		g.close = append(g.close, func() error { redis.Close(); return nil })
		settings.Store = redis
	}
	if c.CountriesFile != "" {
		countries, err := maxmind.Open(maxmind.Config{File: c.CountriesFile, Logger: log})
		if err != nil {
			return nil, fmt.Errorf("countries_file: %w", err)
		}
		g.close = append(g.close, func() error { countries.Close(); return nil })
		settings.Countries = countries
	}
	if g.gateway, err = gateway.New(ctx, settings); err != nil {
		return nil, err
	}
	if g.asking, err = c.decisions(settings); err != nil {
		return nil, err
	}
	if c.Decisions.Listen != "" {
		if g.decisions, err = forwardauth.New(g.gateway, g.asking); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Close ends streams and what goes on beside requests, and closes the store.
func (g *Gate) Close() error {
	var failed error
	if g.gateway != nil {
		failed = g.gateway.Close()
	}
	for _, closeOne := range g.close {
		failed = errors.Join(failed, closeOne())
	}
	return failed
}

// Gateway decides.
func (g *Gate) Gateway() *gateway.Gateway { return g.gateway }

// Asking are who may ask for decisions, and how upstreams are told who asks.
func (g *Gate) Asking() ([]netip.Prefix, gateway.Identity) {
	return g.asking.Proxies, g.asking.Identity
}

// Routes are all routes, those of descriptions included.
func (g *Gate) Routes() []gateway.Route { return g.routes }

// Ready says why not all requests can be decided about yet: a revocation feed has told
// nothing so far. What goes away later is no matter of the start: the rules that need it
// refuse, and other replicas would be no better off.
func (g *Gate) Ready() error {
	for _, issuers := range g.gateway.Health().Feeds {
		for _, issuer := range slices.Sorted(maps.Keys(issuers)) {
			if issuers[issuer].AsOf.IsZero() {
				return errors.New("the revocation feed of " + issuer + " has told nothing yet")
			}
		}
	}
	return nil
}

// WaitReady waits until it is ready, or ctx ends.
func (g *Gate) WaitReady(ctx context.Context) error {
	ticker := time.NewTicker(readyEvery)
	defer ticker.Stop()
	for {
		err := g.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

// readyEvery is how often WaitReady looks.
const readyEvery = 20 * time.Millisecond

// page is that of the metrics.
func (g *Gate) page() http.Handler {
	return metrics.Page(server.BuildVersion(), func() metrics.GatewayLoad {
		stats, health := g.gateway.Stats(), g.gateway.Health()
		load := metrics.GatewayLoad{
			Decisions: stats.Decisions, Failures: stats.Failures, Answers: stats.Answers, Waited: stats.Waited, Streams: stats.Streams, Exchanged: stats.Exchanged,
			Upstreams: map[string]bool{}, FeedAges: map[string]map[string]float64{},
		}
		for name, state := range health.Upstreams {
			load.Upstreams[name] = state != "open"
		}
		for name, issuers := range health.Feeds {
			load.FeedAges[name] = map[string]float64{}
			for issuer, status := range issuers {
				load.FeedAges[name][issuer] = -1
				if !status.AsOf.IsZero() {
					load.FeedAges[name][issuer] = max(0, time.Since(status.AsOf).Seconds())
				}
			}
		}
		return load
	})
}

// health answers the two health endpoints, and says false for other paths.
func (g *Gate) health(w http.ResponseWriter, r *http.Request, base string) bool {
	switch r.URL.Path {
	case base + "/livez":
		oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "live"})
	case base + "/readyz":
		if err := g.Ready(); err != nil {
			g.log.WarnContext(r.Context(), "not ready", "error", err)
			w.Header().Set("Retry-After", "1")
			oauth.WriteJSON(w, http.StatusServiceUnavailable, oauth.ErrorBody{Error: oauth.TemporarilyUnavailable})
			return true
		}
		oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	default:
		return false
	}
	return true
}

// publicHandler is the gateway, with its own endpoints beside it.
func (g *Gate) publicHandler() http.Handler {
	base, keys := g.config.base(), g.gateway.JWKS()
	return g.logged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.EndConnection(w, r) // also where the gateway itself is not asked
		switch {
		case g.health(w, r, base):
		case r.URL.Path == base+"/jwks.json":
			keys.ServeHTTP(w, r)
		default:
			g.gateway.ServeHTTP(w, r)
		}
	}))
}

// DecidePath is where proxies ask.
const DecidePath = "/decide"

// decisionsHandler answers proxies that ask, and nobody else.
func (g *Gate) decisionsHandler() http.Handler {
	return g.logged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.EndConnection(w, r)
		switch {
		case g.health(w, r, ""):
		case r.URL.Path == DecidePath:
			g.decisions.ServeHTTP(w, r)
		default:
			oauth.WriteJSON(w, http.StatusNotFound, map[string]string{"error": "not_found"})
		}
	}))
}

func (g *Gate) logged(handler http.Handler) http.Handler {
	if g.config.Log.Access {
		return server.AccessLog(g.log, handler)
	}
	return handler
}

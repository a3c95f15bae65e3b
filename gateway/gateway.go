package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"gatehouse/internal/proxy"
	"gatehouse/resource"
	"gatehouse/revocation"
)

// Gateway is an enforcing reverse proxy. It is an [http.Handler] for all hosts of its
// routes, and safe for concurrent use.
//
// A changed configuration is a new Gateway: put it in the place of the old one and Close
// that. Its streams end, and their clients come back under the new rules.
type Gateway struct {
	config    Config
	tables    tables
	routes    []*route
	servers   map[string]*resource.Server // by authentication
	documents map[string]http.Handler     // of resources' metadata, by host and path
	upstreams []*upstream
	filter    *proxy.Filter
	identity  *identity
	limits    *limits
	exchanges *exchanges
	streams   proxy.Streams
	counts    counts
	watched   sync.Map // the keys of streams whose token somebody looks at

	lives context.Context
	ends  context.CancelFunc
	mu    sync.Mutex // of beside, with ends
	// beside are the goroutines that go on beside requests.
	beside sync.WaitGroup
}

// New makes a gateway. What is wrong with the configuration is said by the error; it
// waits for no issuer and no upstream. What goes on beside requests ends with Close.
func New(ctx context.Context, config Config) (*Gateway, error) {
	if err := config.Check(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	config = config.withDefaults()
	g := &Gateway{config: config, servers: map[string]*resource.Server{}, documents: map[string]http.Handler{}, limits: newLimits(config.Store, config.Logger)}
	g.lives, g.ends = context.WithCancel(context.Background())
	if err := g.build(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	g.run(g.exchanges.evict)
	if config.Store != nil {
		g.run(g.limits.share)
	}
	for _, u := range g.upstreams {
		g.run(u.follow)
	}
	return g, nil
}

func (g *Gateway) build(ctx context.Context) (err error) {
	if g.filter, err = newFilter(g.config.Identity); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	if g.identity, err = newIdentity(g.config.Identity); err != nil {
		return err
	}
	if g.exchanges, err = newExchanges(ctx, g.config); err != nil {
		return err
	}
	for _, a := range g.config.Authentications {
		if a.Resource.Logger == nil {
			a.Resource.Logger = g.config.Logger
		}
		if g.servers[a.Name], err = resource.New(g.lives, a.Resource); err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
		if path := g.servers[a.Name].MetadataPath(); path != "" {
			at, err := url.Parse(a.Resource.Audience)
			if err != nil {
				return fmt.Errorf("gateway: %w", err)
			}
			g.documents[hostName(at.Host)+path] = g.servers[a.Name].MetadataHandler()
		}
	}
	byName := map[string]*upstream{}
	buffers := &proxy.Buffers{}
	for _, config := range g.config.Upstreams {
		u, err := newUpstream(config, g.config.Logger)
		if err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
		filter := g.filter
		if config.CORS {
			filter = filter.WithCORS()
		}
		u.proxy = proxy.Upstream{
			URL: u.at, Filter: filter, Host: config.Host, Trusted: g.config.TrustedProxies, Buffers: buffers, Logger: g.config.Logger,
			Error: g.notForwarded,
		}
		byName[config.Name], g.upstreams = u, append(g.upstreams, u)
	}
	if g.tables, err = newTables(g.config.Routes); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	ready := map[*route]bool{}
	for _, t := range g.tables {
		for _, one := range t.routes {
			if ready[one] {
				continue
			}
			ready[one] = true
			g.routes = append(g.routes, one)
			one.upstream = byName[one.Upstream]
			if one.upstream != nil {
				one.audience = one.upstream.Audience
			}
			if one.Public {
				continue
			}
			one.server = g.servers[one.Authentication]
			if one.admission, err = one.server.Admission(one.Needs); err != nil {
				return fmt.Errorf("gateway: the route %q: %w", one.Name, err)
			}
		}
	}
	g.counts = newCounts(g.config.Routes)
	return nil
}

// run runs what goes on beside requests, until Close. It says false once that was called.
func (g *Gateway) run(what func(context.Context)) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lives.Err() != nil {
		return false
	}
	g.beside.Go(func() { what(g.lives) })
	return true
}

// Managed says whether a header, in any spelling, reaches upstreams only if the gateway
// set it.
func (g *Gateway) Managed(header string) bool { return g.filter.Identifies(header) }

// jwksCacheTime is for how long upstreams may keep the keys, in seconds.
const jwksCacheTime = 300

// JWKS serves the keys of identity JWTs (RFC 7517).
func (g *Gateway) JWKS() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age="+strconv.Itoa(jwksCacheTime))
		w.Header().Set("Content-Length", strconv.Itoa(len(g.identity.jwks)))
		_, _ = w.Write(g.identity.jwks)
	})
}

// Health is what the gateway depends on.
type Health struct {
	// Feeds are the revocation feeds by authentication and issuer.
	Feeds map[string]map[string]revocation.Status
	// Upstreams are the states of circuit breakers by upstream: closed while it answers,
	// open while it is spared, half-open while one request tries it.
	Upstreams map[string]string
}

// Health returns how what the gateway depends on is now. It asks nobody.
func (g *Gateway) Health() Health {
	h := Health{Feeds: map[string]map[string]revocation.Status{}, Upstreams: map[string]string{}}
	for name, server := range g.servers {
		h.Feeds[name] = server.Feeds()
	}
	for _, u := range g.upstreams {
		h.Upstreams[u.Name] = u.breaker.State().String()
	}
	return h
}

// EndStreams ends all open streams; for the begin of a shutdown.
func (g *Gateway) EndStreams() { g.streams.EndAll() }

// Close ends all streams and what goes on beside requests, and waits for that.
func (g *Gateway) Close() error {
	g.mu.Lock()
	g.ends()
	g.mu.Unlock()
	g.streams.EndAll()
	g.beside.Wait()
	for _, server := range g.servers {
		if server != nil {
			server.Close()
		}
	}
	for _, u := range g.upstreams {
		u.transport.Load().CloseIdleConnections()
	}
	if g.exchanges == nil {
		return nil
	}
	return g.exchanges.close()
}

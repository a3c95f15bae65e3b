package bff

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"gatehouse/client"
	"gatehouse/internal/proxy"
)

// BFF is a backend for frontend. It is an [http.Handler] for the whole origin, and
// safe for concurrent use.
type BFF struct {
	config    Config
	origin    *url.URL
	parties   []*party
	endpoints map[string]endpoint
	upstreams []*upstream // the longest paths first
	streams   proxy.Streams

	lives context.Context
	ends  context.CancelFunc
	mu    sync.Mutex // of beside, with ends
	// beside are the goroutines that look after sessions with streams.
	beside sync.WaitGroup
}

// party is what the application is at one issuer.
type party struct {
	name   string
	prompt string
	client *client.Client
}

// endpoint is one of the BFF's own: nothing is at a path but what its row says.
type endpoint struct {
	methods []string
	serve   func(w http.ResponseWriter, r *http.Request)
}

// New makes a BFF. It asks each issuer for its metadata, unless its client is Lazy.
// What is wrong with the configuration is said by the error.
func New(ctx context.Context, config Config) (*BFF, error) {
	if err := config.Check(); err != nil {
		return nil, fmt.Errorf("bff: %w", err)
	}
	config = config.withDefaults()
	origin, err := url.Parse(config.URL)
	if err != nil {
		return nil, fmt.Errorf("bff: %w", err)
	}
	b := &BFF{config: config, origin: origin}
	b.lives, b.ends = context.WithCancel(context.Background())
	for _, issuer := range config.Issuers {
		one, err := client.New(ctx, issuer.Issuer, config.clientConfig(issuer, func(e client.Ended) { b.streams.End(e.Session) }))
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		b.parties = append(b.parties, &party{name: issuer.Name, prompt: issuer.Prompt, client: one})
	}
	filter, err := proxy.NewFilter(b.ownCookie, config.IdentityHeaders...)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	for _, one := range config.Upstreams {
		u, err := b.newUpstream(one, filter)
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		b.upstreams = append(b.upstreams, u)
	}
	slices.SortStableFunc(b.upstreams, func(x, y *upstream) int { return len(y.path) - len(x.path) })
	b.endpoints = b.table()
	return b, nil
}

// clientConfig is the configuration of the client at an issuer.
func (c Config) clientConfig(issuer Issuer, ended func(client.Ended)) client.Config {
	own := issuer.Client
	addresses := c.Addresses(issuer.Name)
	own.RedirectURI, own.PostLogoutRedirectURI = addresses.RedirectURI, addresses.PostLogoutRedirectURI
	own.ResponseMode = "" // a posted answer needs a cookie that goes with other sites' requests
	own.MoreResources = c.resources()
	own.Store, own.Keys, own.Sessions = c.Store, c.Keys, nil
	own.SessionLife, own.SessionIdle, own.MaxSessions = c.SessionLife, c.SessionIdle, c.MaxSessions
	own.SameSiteStrict = true // RFC 10017 §6.1.3.2
	own.CookieName = c.CookieName
	if issuer.Name != "" {
		own.CookieName += "-" + issuer.Name
	}
	own.OnSessionEnd = ended
	if own.OnError == nil {
		own.OnError = notSignedIn
	}
	own.InsecureAllowHTTP = own.InsecureAllowHTTP || c.InsecureAllowHTTP
	if own.Logger == nil {
		own.Logger = c.Logger
	}
	return own
}

// under is the address of an issuer's own below a path: answers of different issuers
// come to different ones (RFC 9700 §4.4.2.2).
func under(path, name string) string {
	if name == "" {
		return path
	}
	return path + "/" + name
}

// table are the BFF's own endpoints by their paths.
func (b *BFF) table() map[string]endpoint {
	get, post := []string{http.MethodGet, http.MethodHead}, []string{http.MethodPost}
	paths := b.config.Paths
	table := map[string]endpoint{
		paths.Login:  {get, b.serveLogin},
		paths.User:   {get, b.serveUser},
		paths.Logout: {post, b.serveLogout},
		paths.Module: {get, b.serveModule},
	}
	for _, p := range b.parties {
		table[under(paths.Callback, p.name)] = endpoint{get, func(w http.ResponseWriter, r *http.Request) { b.serveCallback(w, r, p) }}
		table[under(paths.LoggedOut, p.name)] = endpoint{get, p.client.LoggedOutHandler(http.RedirectHandler("/", http.StatusSeeOther)).ServeHTTP}
		table[under(paths.BackChannelLogout, p.name)] = endpoint{post, p.client.BackChannelLogoutHandler().ServeHTTP}
	}
	return table
}

// ServeHTTP answers every request to the origin.
func (b *BFF) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	proxy.EndConnection(w, r)
	if err := proxy.CheckTarget(r, b.origin.Host); err != nil {
		b.refuse(w, r, badTarget(err))
		return
	}
	if one, known := b.endpoints[r.URL.Path]; known {
		w.Header().Set("Vary", "Cookie")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		if !slices.Contains(one.methods, r.Method) {
			b.refuse(w, r, wrongMethod(one.methods))
			return
		}
		one.serve(w, r)
		return
	}
	for _, u := range b.upstreams {
		if below(r.URL.Path, u.path) {
			b.forward(w, r, u)
			return
		}
	}
	if b.config.Files == nil {
		b.refuse(w, r, nothingHere)
		return
	}
	b.config.Files.ServeHTTP(w, r)
}

// EndStreams ends all open streams; for the begin of a shutdown.
func (b *BFF) EndStreams() { b.streams.EndAll() }

// Close ends all streams and what goes on beside requests, and waits for that.
func (b *BFF) Close() error {
	b.mu.Lock()
	b.ends()
	b.mu.Unlock()
	b.streams.EndAll()
	b.beside.Wait()
	var failed error
	for _, p := range b.parties {
		failed = errors.Join(failed, p.client.Close())
	}
	for _, u := range b.upstreams {
		u.transport.CloseIdleConnections()
	}
	return failed
}

// Stats are the counters of each issuer's client, by the issuers' names.
func (b *BFF) Stats() map[string]client.Stats {
	stats := map[string]client.Stats{}
	for _, p := range b.parties {
		stats[p.name] = p.client.Stats()
	}
	return stats
}

// Routes are the paths that are served, sorted: the BFF's own and those of upstreams.
func (b *BFF) Routes() []string {
	routes := slices.Collect(maps.Keys(b.endpoints))
	for _, u := range b.upstreams {
		for _, one := range u.routes {
			routes = append(routes, u.path+one.pattern.String())
		}
	}
	slices.Sort(routes)
	return routes
}

// ownCookie says whether a cookie is one of ours, whatever the letters' case of its
// name and whether it has the prefix: browsers and servers differ about both.
func (b *BFF) ownCookie(name string) bool {
	const prefix = "__host-http-"
	lower := strings.TrimPrefix(strings.ToLower(name), prefix)
	own := strings.ToLower(b.config.CookieName)
	return lower == own || strings.HasPrefix(lower, own+"-")
}

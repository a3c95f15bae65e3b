package forwardauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"strings"

	"gatehouse/gateway"
	"gatehouse/internal/proxy"
	"gatehouse/oauth"
)

// Config says who asks, and how.
type Config struct {
	// Proxies are those who may ask: whoever else could tell of any request. Required.
	Proxies []netip.Prefix
	// Headers are those in which they tell of the request; the zero value stands for
	// Forwarded.
	Headers Headers
	// Identity is the gateway's own. A request with a header that only the gateway may
	// set is refused.
	Identity gateway.Identity
	// Logger tells of questions that are no decision's matter; nil means slog.Default.
	Logger *slog.Logger
}

// MaxProxies bounds Config.Proxies.
const MaxProxies = 256

// Headers are the names of the headers in which a proxy tells of a request. The proxy
// must set each of them itself.
type Headers struct {
	// Method, URI (the path and query as they were sent), Host and Scheme.
	Method, URI, Host, Scheme string
	// URL is one that has scheme, host, path and query, in the place of URI, Host and
	// Scheme.
	URL string
}

// Forwarded are the headers of Traefik and Caddy.
func Forwarded() Headers {
	return Headers{Method: "X-Forwarded-Method", URI: "X-Forwarded-Uri", Host: "X-Forwarded-Host", Scheme: "X-Forwarded-Proto"}
}

// Original are the headers of Kubernetes' nginx ingress.
func Original() Headers {
	return Headers{Method: "X-Original-Method", URL: "X-Original-URL"}
}

// names are the headers that are read.
func (h Headers) names() []string {
	if h.URL != "" {
		return []string{h.Method, h.URL}
	}
	return []string{h.Method, h.URI, h.Host, h.Scheme}
}

// reserved are headers that tell something else.
const reserved = " authorization cookie host connection content-length content-type transfer-encoding te upgrade x-forwarded-for "

// check says what keeps the names from being used.
func (h Headers) check() error {
	if h.URL != "" && (h.URI != "" || h.Host != "" || h.Scheme != "") {
		return errors.New("forwardauth: Headers.URL stands in the place of URI, Host and Scheme; leave them out")
	}
	seen := map[string]bool{}
	for _, name := range h.names() {
		alias := proxy.Alias(name)
		switch {
		case name == "":
			return errors.New("forwardauth: Headers needs Method, and either URL or all of URI, Host and Scheme")
		case !token(name) || strings.Contains(reserved, " "+alias+" "):
			return fmt.Errorf("forwardauth: %q cannot be the header that tells of a request", name)
		case seen[alias]:
			return fmt.Errorf("forwardauth: the header %s is to tell two things", name)
		}
		seen[alias] = true
	}
	return nil
}

// decider is a [gateway.Gateway].
type decider interface {
	Decide(ctx context.Context, r gateway.Request) gateway.Decision
}

// Handler answers proxies. It is an [http.Handler] for whatever path they are told to
// ask at, and safe for concurrent use.
type Handler struct {
	gateway  decider
	proxies  []netip.Prefix
	headers  Headers
	identity []string // beginnings of names, in the form of proxy.Alias
	told     []string // headers that each answer has which lets a request through
	log      *slog.Logger
}

// New makes a handler that asks a gateway. For the client's address to be that of
// X-Forwarded-For, the proxies must be among the gateway's TrustedProxies, too.
func New(g decider, c Config) (*Handler, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	h := &Handler{gateway: g, proxies: c.Proxies, headers: c.Headers, log: c.Logger}
	if h.headers == (Headers{}) {
		h.headers = Forwarded()
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	prefix, jwt := c.Identity.HeaderPrefix, c.Identity.JWTHeader
	if prefix == "" {
		prefix = gateway.DefaultHeaderPrefix
	}
	if jwt == "" {
		jwt = gateway.DefaultJWTHeader
	}
	h.identity = []string{proxy.Alias(prefix), proxy.Alias(jwt)}
	h.told = append(c.Identity.Headers(), "Authorization")
	return h, nil
}

// Check says what keeps the configuration from being used.
func (c Config) Check() error {
	if len(c.Proxies) == 0 || len(c.Proxies) > MaxProxies {
		return fmt.Errorf("forwardauth: Proxies must name 1 to %d addresses or networks that may ask", MaxProxies)
	}
	for _, p := range c.Proxies {
		if !p.IsValid() || p.Bits() == 0 {
			return errors.New("forwardauth: Proxies must not name everybody: whoever may ask can tell of any request")
		}
	}
	if c.Headers == (Headers{}) {
		return nil
	}
	return c.Headers.check()
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, refusal := h.read(r)
	if refusal != nil {
		h.log.WarnContext(r.Context(), "question refused", "error_id", refusal.ID, "peer", r.RemoteAddr)
		oauth.WriteError(w, r, refusal)
		return
	}
	d := h.gateway.Decide(r.Context(), request)
	if !d.Allowed {
		d.WriteRefusal(w)
		return
	}
	for _, name := range h.told { // a proxy that copies only what is there would leave the client's
		w.Header()[name] = []string{""}
	}
	maps.Copy(w.Header(), d.Set)
	oauth.NoStore(w.Header()) // what was decided about one request is not for another
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}

// read makes the request that is asked about.
func (h *Handler) read(r *http.Request) (gateway.Request, *oauth.Error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !within(h.proxies, peer.Addr().Unmap()) {
		return gateway.Request{}, oauth.Refuse("forward-auth-peer", oauth.AccessDenied, "Decisions are told to the configured proxies alone.").WithStatus(http.StatusForbidden)
	}
	for name := range r.Header {
		alias := proxy.Alias(name)
		for _, ours := range h.identity {
			if strings.HasPrefix(alias, ours) {
				return gateway.Request{}, oauth.Refuse("forward-auth-identity", oauth.InvalidRequest, "The request brings a header by which upstreams are told who asks.")
			}
		}
	}
	var told [4]string
	for i, name := range h.headers.names() {
		if told[i], err = only(r.Header, name); err != nil {
			return gateway.Request{}, unclear(err)
		}
	}
	request := gateway.Request{Method: told[0], Target: told[1], Host: told[2], Scheme: told[3], Header: r.Header, Peer: peer.Addr().Unmap()}
	if h.headers.URL != "" {
		request.Scheme, request.Host, request.Target = split(told[1])
	}
	switch request.Scheme {
	case "http", "https":
	case "ws": // what some proxies call the scheme of a WebSocket's request
		request.Scheme = "http"
	case "wss":
		request.Scheme = "https"
	default:
		return gateway.Request{}, unclear(errors.New("the scheme is neither http nor https"))
	}
	switch {
	case !token(request.Method):
		return gateway.Request{}, unclear(errors.New("the method is none"))
	case request.Host == "" || strings.ContainsAny(request.Host, " \t,/\\@?#"):
		return gateway.Request{}, unclear(errors.New("the host is none, or more than one"))
	case !strings.HasPrefix(request.Target, "/"):
		return gateway.Request{}, unclear(errors.New("the path does not begin with a slash"))
	}
	return request, nil
}

// unclear says what the proxy has told wrongly. Of the request nothing is in the cause but
// names of headers, which are the operator's.
func unclear(cause error) *oauth.Error {
	return oauth.Refuse("forward-auth-headers", oauth.InvalidRequest, "The proxy does not tell one method, host, scheme and path of the request: "+cause.Error()+".")
}

// only returns the one value of a header. A second one, also under another spelling, is
// somebody else's.
func only(header http.Header, name string) (value string, err error) {
	found, alias := 0, proxy.Alias(name)
	for other, values := range header {
		if len(other) == len(name) && proxy.Alias(other) == alias {
			found += len(values)
			if found == 1 {
				value = values[0]
			}
		}
	}
	switch {
	case found == 0 || found == 1 && value == "":
		return "", fmt.Errorf("%s is missing", name)
	case found > 1:
		return "", fmt.Errorf("%s is there more than once", name)
	}
	return value, nil
}

// split divides a URL without reading it anew: the target stays as it was sent.
func split(address string) (scheme, host, target string) {
	scheme, rest, _ := strings.Cut(address, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return scheme, rest[:i], rest[i:]
	}
	return scheme, rest, ""
}

func within(networks []netip.Prefix, address netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(address) {
			return true
		}
	}
	return false
}

// maxToken bounds the name of a method or header.
const maxToken = 64

// token is one of RFC 9110 §5.6.2.
func token(text string) bool {
	return text != "" && len(text) <= maxToken && !strings.ContainsFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

package gateway

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"gatehouse/client"
	"gatehouse/jose"
	"gatehouse/kv"
	"gatehouse/resource"
)

// What a Config that leaves it open stands for.
const (
	DefaultMaxBody      = 10 << 20
	DefaultTimeout      = time.Minute
	DefaultStreamCheck  = 500 * time.Millisecond
	DefaultHeaderPrefix = "X-Gatehouse-"
	DefaultJWTHeader    = "X-Gatehouse-Identity"
	DefaultJWTLife      = time.Minute
	DefaultMaxExchanged = 4096
	DefaultRetries      = 1
)

// Bounds of a Config.
const (
	MaxAuthentications = 32
	MaxRoutes          = 4096
	MaxUpstreams       = 256
	MaxLimits          = 8       // of one route
	MaxHosts           = 64      // of one route
	MaxNetworks        = 4 << 10 // of one rule
	MaxRetries         = 3
	MaxJWTLife         = 5 * time.Minute
)

// Config says who may ask for what, and where it is. What it does not allow is
// refused.
type Config struct {
	// Authentications are whose tokens are taken; routes name them.
	Authentications []Authentication
	// Upstreams are the servers behind; routes name them.
	Upstreams []Upstream
	// Routes are what may be asked for. Their order means nothing: see [Match].
	Routes []Route

	// Exchangers are what the gateway is at the issuers where tokens are exchanged.
	Exchangers []Exchanger
	// Identity is how upstreams are told who asks.
	Identity Identity

	// TrustedProxies are the peers whose X-Forwarded-For and X-Forwarded-Proto are
	// believed. None is by default.
	TrustedProxies []netip.Prefix
	// Countries tells where addresses are; required if a route has a rule about them.
	Countries Countries
	// Store shares the counts of rate limits among replicas; nil counts in this process.
	Store kv.Store

	// StreamCheck is how often the tokens of open streams are looked at.
	StreamCheck time.Duration
	// MaxExchanged bounds how many exchanged tokens are remembered.
	MaxExchanged int
	// Logger receives the audit line of each decision; nil means slog.Default.
	Logger *slog.Logger
}

// Authentication is whose tokens are taken, under a name.
type Authentication struct {
	// Name tells authentications apart: letters, digits, "-", "_" and ".".
	Name string
	// Resource has the issuers, the audience and all else about tokens. Its Logger
	// writes no line for decisions: the gateway's does. Its Metadata, if set, is served at
	// the place that RFC 9728 gives it on the audience's host, whatever routes say.
	Resource resource.Config
}

// Route is what may be asked for, by whom, and where it is.
type Route struct {
	// Name is the route's in logs, metrics and decisions. Required, and its alone.
	Name  string
	Match Match

	// Authentication names whose tokens are taken. Either it is set, or Public.
	Authentication string
	// Public lets everybody in and looks at no token. Needs, limits per client or
	// subject, and Forward are then mistakes, since there is nobody they could be about.
	Public bool
	// Needs is what the token must have.
	Needs resource.Needs

	// Networks and Countries are rules about the client's address.
	Networks  Networks
	Countries CountryRule
	// Limits are all kept to; the first that is used up refuses.
	Limits []Limit

	// Upstream names where requests go. "" is for decisions alone ([Gateway.Decide]):
	// the gateway itself then answers 404.
	Upstream string
	// Forward is what the upstream is told of whom was let in; the zero value is nothing.
	Forward Forward

	// StripPrefix is a path that the upstream does not see: what is below it is sent to
	// what is below the upstream's own. The route's path must be below it. Rules are about
	// the whole path.
	StripPrefix string
	// Stream lets the answer go on until the token ends, and WebSocket through. Other
	// requests are over by Timeout.
	Stream bool
	// Origins are web origins, beside the host's own, whose pages may open a WebSocket.
	Origins []string
	// MaxBody bounds a request's body, in bytes; 0 means DefaultMaxBody.
	MaxBody int64
	// Timeout bounds one request and its answer, streams apart; 0 means DefaultTimeout.
	Timeout time.Duration
}

// Match is which requests a route is for. Of several routes that match, the one whose
// Match is narrower is taken; two of which neither is narrower, though one request could
// match both, are a mistake in the configuration. A host that a route names has that
// route and others that name it, and none of those that name a wider host or none.
type Match struct {
	// Hosts are names in small letters without a port, "*.example.com" for every name
	// with one more label; none means those that no route names.
	Hosts []string
	// Path as in [net/http.ServeMux]: "/photos/{id}", "/files/{rest...}". It is compared
	// octet for octet with the decoded path; a path that could be read in two ways is
	// refused before.
	Path string
	// Methods; GET stands for HEAD, too. None means every method but CONNECT and TRACE.
	Methods []string
}

// Networks are rules about addresses.
type Networks struct {
	// Allow, if it names any, are the only networks to come from; Deny are those not to.
	Allow, Deny []netip.Prefix
}

// CountryRule is about where an address is: codes of two capital letters
// (ISO 3166-1 alpha-2).
type CountryRule struct {
	// Allow, if it names any, are the only countries to come from: an address of which
	// the country is not known is refused. Deny are those not to come from.
	Allow, Deny []string
}

// Countries tells the country of an address; known is false when it has none, or when it
// is not known. An error refuses: the rule cannot be kept. It is safe for concurrent use.
type Countries interface {
	Country(address netip.Addr) (code string, known bool, err error)
}

// LimitKey is what is counted by itself.
type LimitKey string

// The keys of limits.
const (
	// PerAddress counts each IPv4 address, and each /64 of IPv6.
	PerAddress LimitKey = "address"
	// PerClient counts each client_id of each issuer.
	PerClient LimitKey = "client"
	// PerSubject counts each sub of each issuer.
	PerSubject LimitKey = "subject"
)

// Limit is how many requests of a route are let through.
type Limit struct {
	Per LimitKey
	// Rate is requests per second, of which those of ten seconds may come at once. With a
	// Config.Store it is that of all replicas together, which overshoot by what comes
	// within a second.
	Rate float64
}

// Forward is what an upstream is told of whom was let in.
type Forward struct {
	// Headers are identity headers: see [Identity].
	Headers bool
	// JWT is a JWT of the gateway's own for this upstream: see [Identity].
	JWT bool
	// Exchange is an access token for this upstream, made of the request's by token
	// exchange (RFC 8693), in Authorization.
	Exchange *Exchange
	// InsecureOriginalToken passes the request's own token on: the upstream can then use
	// it wherever the client can.
	InsecureOriginalToken bool
}

// Exchange is what a token is exchanged for. One of Resource and Audience is required.
type Exchange struct {
	// Resource is the upstream's identifier (RFC 8707); Audience is the same for issuers
	// that know a parameter of that name instead.
	Resource, Audience string
	// Scope to ask for; "" asks for none in particular.
	Scope string
}

// Exchanger is what the gateway is at an issuer that exchanges tokens.
type Exchanger struct {
	Issuer string
	Client client.Config
}

// Identity is how upstreams are told who asks. Headers that begin with HeaderPrefix, in
// any spelling, and JWTHeader reach no upstream unless they are the gateway's own.
type Identity struct {
	// HeaderPrefix begins the names of identity headers; "" means DefaultHeaderPrefix.
	// They are Issuer, Subject, Client-Id, Scope, Jti and Expires (Unix seconds), each
	// there only if the token says it. Octets outside of printable ASCII, "%", and spaces
	// at either end are percent-encoded.
	HeaderPrefix string
	// Claims are further identity headers: the name behind the prefix, and the claim, of
	// which texts, numbers, booleans and lists of texts (joined by a space) are told.
	Claims map[string]string

	// Issuer is the gateway's own identifier, iss of its JWTs and where its keys are
	// published. Required for Forward.JWT, as is a key.
	Issuer string
	// Keys sign identity JWTs: the first does, all are published.
	Keys []*jose.PrivateKey
	// JWTHeader carries the identity JWT; "" means DefaultJWTHeader.
	JWTHeader string
	// JWTLife is how long one is good; 0 means DefaultJWTLife, at most MaxJWTLife. It
	// never outlives the token.
	JWTLife time.Duration
}

// Upstream is a server behind the gateway.
type Upstream struct {
	// Name is the upstream's in routes, logs and metrics.
	Name string
	// URL is where it is; a request's path is appended to its path.
	URL string
	// Audience is the aud of identity JWTs; "" means URL.
	Audience string

	// CAFile has the authorities that may vouch for the upstream, CertFile and KeyFile
	// what the gateway shows it (mutual TLS), all in PEM; "" means the system's
	// authorities and nothing. A file that changes is read again within a few seconds; one
	// that is wrong is told in the log, and the last good ones stay.
	CAFile, CertFile, KeyFile string
	// ServerName is the name in the upstream's certificate; "" means that of URL.
	ServerName string
	// H2C speaks HTTP/2 without TLS, for gRPC on plain http.
	H2C bool

	// Host, if set, is sent as Host; "" sends that of URL.
	Host string
	// AnswerTimeout bounds the wait for the answer's beginning; 0 means that of the
	// route's Timeout, or 30 seconds.
	AnswerTimeout time.Duration
	// Retries is how often a request without a body is sent again when no answer came:
	// any of an idempotent method, others only if no connection was made. 0 means
	// DefaultRetries, below zero none.
	Retries int
	// ExactPaths says that the upstream tells letters' case and a slash at the end of
	// paths apart. Without it a request is refused whose path, read without regard to
	// these, belongs to another route.
	ExactPaths bool
	// CORS lets the upstream's own Access-Control-* headers through.
	CORS bool
	// InsecureAllowHTTP admits plain http to another machine: whoever is on the way can
	// read and change what passes.
	InsecureAllowHTTP bool
}

func (c Config) withDefaults() Config {
	if c.StreamCheck == 0 {
		c.StreamCheck = DefaultStreamCheck
	}
	if c.MaxExchanged == 0 {
		c.MaxExchanged = DefaultMaxExchanged
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Identity.HeaderPrefix == "" {
		c.Identity.HeaderPrefix = DefaultHeaderPrefix
	}
	if c.Identity.JWTHeader == "" {
		c.Identity.JWTHeader = DefaultJWTHeader
	}
	if c.Identity.JWTLife == 0 {
		c.Identity.JWTLife = DefaultJWTLife
	}
	c.Routes = slices.Clone(c.Routes)
	for i := range c.Routes {
		if r := &c.Routes[i]; r.MaxBody == 0 {
			r.MaxBody = DefaultMaxBody
		}
		if r := &c.Routes[i]; r.Timeout == 0 {
			r.Timeout = DefaultTimeout
		}
	}
	c.Upstreams = slices.Clone(c.Upstreams)
	for i := range c.Upstreams {
		if u := &c.Upstreams[i]; u.Retries == 0 {
			u.Retries = DefaultRetries
		}
		if u := &c.Upstreams[i]; u.Audience == "" {
			u.Audience = u.URL
		}
	}
	return c
}

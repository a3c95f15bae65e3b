package resource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"gatehouse/internal/recent"
	"gatehouse/jose"
	"gatehouse/jwks"
	"gatehouse/revocation"
	"gatehouse/token"
)

// Server checks requests for one resource. It is safe for concurrent use.
type Server struct {
	config   Config
	logger   *slog.Logger
	maxBytes int
	issuers  map[string]*issuer // by identifier
	only     *issuer            // nil when there are several
	opaque   *issuer            // of tokens that are no JWTs; nil when they are not taken
	// introspects says that an issuer has IntrospectJWTs.
	introspects bool
	verified    *recent.Map[digest, *checked]
	place       metadataPlace
}

// issuer is an authorization server with all that is known of it.
type issuer struct {
	Issuer
	rules    token.Rules
	keys     *jwks.Set
	metadata *metadata
	asked    *introspector        // nil when this resource server has no client there
	feed     *revocation.Follower // nil when it is not followed
}

// maxResponseHeader bounds the headers of what is fetched, in bytes.
const maxResponseHeader = 64 << 10

// New returns a resource server. It refuses an incomplete configuration, and waits
// for nothing: keys are fetched when the first token comes. Revocation feeds are
// followed from now on until ctx is over or Close is called; without them nothing
// runs by itself.
func New(ctx context.Context, config Config) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, client, err := build(config)
	if err != nil {
		return nil, err
	}
	if err := s.follow(ctx, client); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Check says what New would refuse about the configuration, or nil.
func (c Config) Check() error {
	_, _, err := build(c)
	return err
}

// build makes a server for which nothing runs yet, and the client that it uses.
func build(config Config) (*Server, *http.Client, error) {
	if config.Audience == "" {
		return nil, nil, errors.New("resource: Audience is missing; set it to this resource's identifier, or tokens for others would be accepted")
	}
	issuers, err := config.issuers()
	if err != nil {
		return nil, nil, err
	}
	if config.MaxCached < 0 {
		return nil, nil, errors.New("resource: MaxCached cannot be negative")
	}
	if config.MaxCached == 0 {
		config.MaxCached = DefaultMaxCached
	}
	s := &Server{config: config, logger: config.Logger, maxBytes: config.MaxTokenBytes, issuers: map[string]*issuer{}, verified: recent.New[digest, *checked](config.MaxCached)}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	if s.maxBytes == 0 {
		s.maxBytes = jose.MaxTokenBytes
	}
	if s.place, err = placeOf(config); err != nil {
		return nil, nil, err
	}
	client := newClient(config.HTTPClient)
	for _, one := range issuers {
		if err := s.add(one, client); err != nil {
			return nil, nil, err
		}
	}
	if len(s.issuers) == 1 {
		s.only = s.issuers[issuers[0].Identifier]
	}
	return s, client, nil
}

// newClient is the client as it is used: it follows no redirect, which could lead
// anywhere and would take credentials along.
func newClient(given *http.Client) *http.Client {
	client := &http.Client{}
	if given != nil {
		*client = *given
	} else if standard, is := http.DefaultTransport.(*http.Transport); is {
		transport := standard.Clone()
		transport.MaxResponseHeaderBytes = maxResponseHeader
		client.Transport = transport
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

func (s *Server) add(one Issuer, client *http.Client) error {
	if err := one.check(s.config.InsecureAllowHTTP); err != nil {
		return err
	}
	if s.issuers[one.Identifier] != nil {
		return fmt.Errorf("resource: issuer %s is there twice", one.Identifier)
	}
	i := &issuer{Issuer: one, metadata: &metadata{issuer: one.Identifier, allowHTTP: s.config.InsecureAllowHTTP, client: client}}
	keys := jwks.Config{}
	if one.JWKSURI == "" {
		keys.Locate = i.locate("jwks_uri", "", func(e endpoints) string { return e.jwks })
	}
	i.keys = jwks.New(client, one.JWKSURI, keys)
	var err error
	if i.rules, err = s.config.rules(i.keys, one.Identifier); err != nil {
		return err
	}
	if one.ClientID != "" && one.ClientSecret != "" {
		introspected := i.rules
		introspected.Required = s.config.RequiredClaims
		i.asked = newIntrospector(one, introspected, i.metadata, client, s.config.MaxCached)
	}
	if one.Opaque {
		if s.opaque != nil {
			return errors.New("resource: two issuers have Opaque set; a token that is no JWT does not say whose it is, and must not be shown to the wrong one")
		}
		s.opaque = i
	}
	s.introspects = s.introspects || one.IntrospectJWTs
	s.issuers[one.Identifier] = i
	return nil
}

// locate returns a function that finds an endpoint, and doubts what it found when
// it is asked again.
func (i *issuer) locate(name, configured string, of func(endpoints) string) func(context.Context, *http.Client) (string, error) {
	asked := make(chan struct{}, 1)
	return func(ctx context.Context, _ *http.Client) (string, error) {
		select {
		case asked <- struct{}{}:
		default:
			i.metadata.doubt()
		}
		return i.metadata.endpoint(ctx, name, configured, of)
	}
}

// follow begins to follow the feeds.
func (s *Server) follow(ctx context.Context, client *http.Client) error {
	for _, i := range s.issuers {
		if !i.Feed {
			continue
		}
		locate := i.locate("revocation_feed_endpoint", i.FeedURI, func(e endpoints) string { return e.feed })
		var err error
		i.feed, err = revocation.Follow(ctx, revocation.Config{
			Issuer: i.Identifier, Locate: func(ctx context.Context) (string, error) { return locate(ctx, nil) },
			ClientID: i.ClientID, ClientSecret: i.ClientSecret, HTTPClient: client, Skew: s.config.Skew, Logger: s.logger,
		})
		if err != nil {
			return fmt.Errorf("resource: %w", err)
		}
	}
	return nil
}

// Close ends what runs by itself. The server goes on to check tokens, as far as it
// can without the feeds.
func (s *Server) Close() {
	for _, i := range s.issuers {
		if i.feed != nil {
			i.feed.Close()
		}
	}
}

// Issuers returns the identifiers of those whose tokens are taken, sorted.
func (s *Server) Issuers() []string { return slices.Sorted(maps.Keys(s.issuers)) }

// Feeds returns how the revocation feeds are, by issuer, for health checks and
// metrics.
func (s *Server) Feeds() map[string]revocation.Status {
	feeds := map[string]revocation.Status{}
	for identifier, i := range s.issuers {
		if i.feed != nil {
			feeds[identifier] = i.feed.Status()
		}
	}
	return feeds
}

// isWebURL says whether the text is an http or https URL without a fragment.
func isWebURL(text string) (*url.URL, bool) {
	uri, err := url.Parse(text)
	return uri, err == nil && uri.Host != "" && uri.User == nil && uri.Fragment == "" && (uri.Scheme == "https" || uri.Scheme == "http")
}

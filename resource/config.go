package resource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"gatehouse/jose"
	"gatehouse/oauth"
	"gatehouse/token"
)

// Config says whose tokens a resource server takes.
type Config struct {
	// Audience is this resource's own identifier, which must be in a token's
	// aud. Required: without it, tokens for other resources would be accepted.
	Audience string

	// Issuer is the authorization server's issuer identifier, exactly as its
	// tokens have it in iss. It and the fields up to InsecureFeedOptional are
	// those of the one [Issuer]; for several, use Issuers in their place.
	Issuer  string
	JWKSURI string
	// ClientID and ClientSecret name this resource server to the issuer.
	ClientID, ClientSecret string
	Opaque                 bool
	Feed                   bool
	InsecureFeedOptional   bool

	// Issuers are those whose tokens are taken. Their keys are kept apart.
	Issuers []Issuer

	// Algorithms that are accepted; nil stands for ES256, EdDSA, PS256 and RS256.
	Algorithms []jose.Algorithm
	// Skew is the tolerance for clocks; 0 means [token.DefaultSkew].
	Skew time.Duration
	// MaxTokenAge, if set, bounds the time since iat, which is required then.
	MaxTokenAge time.Duration
	// RequiredClaims are those that a token must have beside the ones that make
	// it an access token.
	RequiredClaims []string
	// MaxTokenBytes bounds a token's length; 0 means [jose.MaxTokenBytes].
	MaxTokenBytes int
	// MaxCached bounds how many tokens are remembered, each with a few
	// kilobytes: one that comes again is not verified again. 0 means
	// [DefaultMaxCached].
	MaxCached int

	// Metadata, if set, is published by [Server.MetadataHandler] and named in
	// every challenge (RFC 9728). The Audience must be an https URL then.
	Metadata *Metadata

	// Confirm checks the proof that a token with the claim cnf demands (RFC 9449
	// §7.1, RFC 8705 §3); nil refuses such tokens. It is called for each request
	// after everything but scope and sign-in was found right. An *oauth.Error is
	// the answer; any other error means invalid_token.
	Confirm func(ctx context.Context, bound Bound) error

	// HTTPClient fetches metadata and keys, introspects, and follows the feed;
	// nil stands for one with a transport of its own. Redirects are never
	// followed.
	HTTPClient *http.Client
	// Logger receives the audit line of each decision; nil means slog.Default.
	Logger *slog.Logger
	// InsecureAllowHTTP admits http for addresses that are not on this machine.
	InsecureAllowHTTP bool
}

// Issuer is an authorization server whose tokens are taken.
type Issuer struct {
	// Identifier is its issuer identifier, exactly as its tokens have it in iss.
	// Required.
	Identifier string
	// JWKSURI is where its keys are published; "" finds it in its metadata
	// (RFC 8414, then OpenID Connect Discovery).
	JWKSURI string
	// IntrospectionURI and FeedURI are the issuer's introspection endpoint and
	// revocation feed; "" finds them in its metadata.
	IntrospectionURI, FeedURI string
	// ClientID and ClientSecret name this resource server to the issuer: for
	// introspection and for the feed.
	ClientID, ClientSecret string
	// Opaque has tokens that are no JWTs introspected at this issuer. There can
	// be one such issuer: a token is shown to nobody else.
	Opaque bool
	// IntrospectJWTs has this issuer's JWTs introspected, too, rather than verified here:
	// for issuers whose word about each token counts more than its signature.
	IntrospectJWTs bool
	// Feed follows the issuer's revocation feed (docs/revocation.md). A JWT is
	// then taken only while it is known that it was not revoked.
	Feed bool
	// InsecureFeedOptional takes JWTs also while nothing is known of
	// revocations: until the first snapshot, and when the feed was not heard for
	// a minute.
	InsecureFeedOptional bool
}

// DefaultMaxCached is how many tokens are remembered.
const DefaultMaxCached = 4096

// maxIssuers bounds Config.Issuers.
const maxIssuers = 64

// Bound is what [Config.Confirm] is told of a request whose token is bound to a
// key of its client.
type Bound struct {
	// Request is nil when the token came by another way than net/http.
	Request *http.Request
	// Scheme of the Authorization header, Bearer or DPoP.
	Scheme string
	// Token as it was sent; a DPoP proof names its hash.
	Token  string
	Access Access
}

// issuers are the configured ones, however they were written.
func (c *Config) issuers() ([]Issuer, error) {
	one := Issuer{
		Identifier: c.Issuer, JWKSURI: c.JWKSURI, ClientID: c.ClientID, ClientSecret: c.ClientSecret,
		Opaque: c.Opaque, Feed: c.Feed, InsecureFeedOptional: c.InsecureFeedOptional,
	}
	switch {
	case len(c.Issuers) == 0:
		return []Issuer{one}, nil
	case one != Issuer{}:
		return nil, errors.New("resource: both Issuer and Issuers are set, or a field that belongs to Issuer; write all of them into Issuers")
	case len(c.Issuers) > maxIssuers:
		return nil, fmt.Errorf("resource: more than %d Issuers", maxIssuers)
	}
	return c.Issuers, nil
}

// check says what keeps an issuer from being used.
func (i *Issuer) check(allowHTTP bool) error {
	if i.Identifier == "" {
		return errors.New("resource: Issuer is missing; set it to the authorization server's issuer identifier")
	}
	for _, address := range []struct{ name, url string }{
		{"Issuer", i.Identifier}, {"JWKSURI", i.JWKSURI}, {"IntrospectionURI", i.IntrospectionURI}, {"FeedURI", i.FeedURI},
	} {
		if address.url == "" {
			continue
		}
		if err := checkURL(address.url, allowHTTP); err != nil {
			return fmt.Errorf("resource: %s: %w", address.name, err)
		}
	}
	if (i.Opaque || i.Feed || i.IntrospectJWTs) && (i.ClientID == "" || i.ClientSecret == "") {
		return fmt.Errorf("resource: ClientID or ClientSecret is missing; issuer %s answers about tokens to clients that authenticate", i.Identifier)
	}
	if i.InsecureFeedOptional && !i.Feed {
		return errors.New("resource: InsecureFeedOptional is set without Feed")
	}
	return nil
}

// rules are those of RFC 9068 §4 for the issuer's tokens.
func (c *Config) rules(keys token.Keys, issuer string) (token.Rules, error) {
	rules := token.AccessTokenRules(keys, issuer, c.Audience)
	rules.Skew, rules.MaxAge, rules.MaxBytes = c.Skew, c.MaxTokenAge, c.MaxTokenBytes
	rules.Required = slices.Concat(rules.Required, c.RequiredClaims)
	if c.Algorithms != nil {
		rules.Algorithms = c.Algorithms
	}
	if err := rules.Validate(); err != nil {
		return token.Rules{}, fmt.Errorf("resource: %w", err)
	}
	return rules, nil
}

// checkURL wants https, or http on this machine.
func checkURL(text string, allowHTTP bool) error {
	uri, err := url.Parse(text)
	if err != nil || uri.Host == "" || uri.User != nil || uri.RawQuery != "" || uri.Fragment != "" {
		return fmt.Errorf("%q is not a URL of scheme, host and path", text)
	}
	if uri.Scheme == "https" || uri.Scheme == "http" && (allowHTTP || oauth.LoopbackHost(uri.Hostname())) {
		return nil
	}
	return fmt.Errorf("%q does not use https; plain http is for this machine only, or say InsecureAllowHTTP", text)
}

package resource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"gatehouse/jose"
	"gatehouse/jwks"
	"gatehouse/oauth"
	"gatehouse/token"
)

// Config says whose tokens a resource server takes.
type Config struct {
	// Issuer is the authorization server's issuer identifier, exactly as its
	// tokens have it in iss. Required.
	Issuer string
	// Audience is this resource's own identifier, which must be in a token's
	// aud. Required: without it, tokens for other resources would be accepted.
	Audience string
	// JWKSURI is where the issuer's keys are published; "" finds it in the
	// issuer's metadata (RFC 8414, then OpenID Connect Discovery).
	JWKSURI string
	// HTTPClient fetches metadata and keys; nil stands for one with the default
	// transport. Redirects are never followed.
	HTTPClient *http.Client
	// Algorithms that are accepted; nil stands for ES256, EdDSA, PS256 and RS256.
	Algorithms []jose.Algorithm
	// Skew is the tolerance for clocks; 0 means [token.DefaultSkew].
	Skew time.Duration
	// Logger receives the audit line of each decision; nil means slog.Default.
	Logger *slog.Logger
	// InsecureAllowHTTP admits http for an issuer or JWKSURI that is not on this
	// machine.
	InsecureAllowHTTP bool
}

// Server checks requests for one resource. It is safe for concurrent use.
type Server struct {
	rules  token.Rules
	logger *slog.Logger
}

// New returns a resource server. It refuses an incomplete configuration, and
// does no I/O: keys are fetched when the first token comes.
func New(ctx context.Context, config Config) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if config.Issuer == "" {
		return nil, errors.New("resource: Issuer is missing; set it to the authorization server's issuer identifier")
	}
	if config.Audience == "" {
		return nil, errors.New("resource: Audience is missing; set it to this resource's identifier, or tokens for others would be accepted")
	}
	if err := checkURL(config.Issuer, config.InsecureAllowHTTP); err != nil {
		return nil, fmt.Errorf("resource: Issuer: %w", err)
	}
	var keys jwks.Config
	if config.JWKSURI == "" {
		keys.Locate = discover(config.Issuer, config.InsecureAllowHTTP)
	} else if err := checkURL(config.JWKSURI, config.InsecureAllowHTTP); err != nil {
		return nil, fmt.Errorf("resource: JWKSURI: %w", err)
	}
	rules := token.AccessTokenRules(jwks.New(config.HTTPClient, config.JWKSURI, keys), config.Issuer, config.Audience)
	rules.Skew = config.Skew
	if config.Algorithms != nil {
		rules.Algorithms = config.Algorithms
	}
	if err := rules.Validate(); err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	logger := config.Logger
	if logger == nil {
		logger = slog.Default()
	}
	return &Server{rules: rules, logger: logger}, nil
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

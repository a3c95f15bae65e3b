package client

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/internal/seal"
	"gatehouse/jose"
	"gatehouse/kv"
	"gatehouse/oauth"
	"gatehouse/token"
)

// KeyBytes is the size of each of Config.Keys.
const KeyBytes = seal.KeyBytes

// How long a session lasts unless the Config says otherwise.
const (
	DefaultSessionLife = 24 * time.Hour
	DefaultSessionIdle = 2 * time.Hour
)

// Config says who the client is and what it wants. ClientID is required; for
// sign-in, RedirectURI too.
type Config struct {
	ClientID string
	// ClientSecret or PrivateKey is what the client proves itself with; neither
	// makes a public client.
	ClientSecret Secret
	PrivateKey   *jose.PrivateKey
	// AuthMethod is one of the constants Auth…; "" is private_key_jwt with a key,
	// client_secret_basic with a secret (or client_secret_post, if the issuer knows
	// only that), none without either. The methods by certificate take it from
	// HTTPClient.
	AuthMethod string
	// AssertionAudience is the aud of client assertions; "" is the issuer.
	AssertionAudience string

	// RedirectURI is the registered address of the callback.
	RedirectURI string
	// PostLogoutRedirectURI is where the issuer sends the browser after a logout; ""
	// leaves it on the issuer's own page.
	PostLogoutRedirectURI string
	// Scope is asked for at each login; "" is openid.
	Scope string
	// Resources are the resources that tokens are for (RFC 8707).
	Resources []string
	// MoreResources are further ones, for which a session has access tokens of their own,
	// one for each: see [Session.For]. They are named when somebody signs in. At most
	// MaxMoreResources; one of Resources may be among them.
	MoreResources []string
	// ResponseMode is "" for a redirect or form_post for a form (OAuth 2.0 Form
	// Post Response Mode).
	ResponseMode string
	// PushRequests sends authorization requests by the back channel (RFC 9126) also
	// where the issuer does not demand it.
	PushRequests bool
	// UserInfo asks the UserInfo endpoint at each login.
	UserInfo bool
	// TrustedAudiences may stand beside ClientID in the aud of an ID token.
	TrustedAudiences []string
	// Algorithms of signatures that are accepted; nil stands for RS256, ES256,
	// EdDSA and PS256.
	Algorithms []jose.Algorithm
	// Skew is the tolerance for clocks; 0 means [token.DefaultSkew].
	Skew time.Duration

	// Store keeps sessions, marks of what was used, leases, shared tokens and
	// revocations that are owed; nil keeps them in this process, which is right for a single one. Replicas share
	// a store, and then Keys too.
	Store kv.Store
	// Sessions keeps sessions elsewhere than in Store.
	Sessions SessionStore
	// Keys of KeyBytes random bytes seal what is put into a Store, a SessionStore
	// or a cookie: the first seals, the others still open. They may be left out
	// only where both stores are nil; then a random one is made.
	Keys [][]byte
	// CookieName is the name of the session's cookie, without its prefix; "" is
	// "session". Clients of one application need different ones.
	CookieName string
	// SameSiteStrict keeps the session's cookie out of requests that another site
	// began, links included.
	SameSiteStrict bool
	// SessionLife bounds a session as a whole, SessionIdle the time without a
	// request; 0 stands for the defaults.
	SessionLife time.Duration
	SessionIdle time.Duration
	// MaxSessions is how many sessions a person may have here at once: one more ends
	// the oldest. 0 leaves it at what the store bounds.
	MaxSessions int

	// Metadata, if set, is taken instead of what the issuer publishes, for issuers
	// that publish nothing.
	Metadata *Metadata
	// MetadataAge is how old metadata gets; 0 stands for DefaultMetadataAge.
	MetadataAge time.Duration
	// Lazy lets New succeed while the issuer is away: metadata is fetched when it is
	// first needed.
	Lazy bool
	// HTTPClient reaches the issuer; nil stands for one with the default transport,
	// and TLS 1.2 or newer unless that is none of net/http's. For issuers that strangers named, use that of an
	// egress.Client. Redirects are never followed, and no cookie is kept.
	HTTPClient *http.Client
	// Timeout bounds each exchange; 0 stands for DefaultTimeout.
	Timeout time.Duration

	// OnError answers a browser whose login or logout failed; nil answers with one
	// plain sentence and the status of [StatusOf].
	OnError func(w http.ResponseWriter, r *http.Request, err error)
	// OnSessionEnd is told of each session that this process ended, whatever the
	// cause: for open streams, say.
	OnSessionEnd func(Ended)
	// Logger receives what an operator should know; nil means slog.Default.
	Logger *slog.Logger

	// InsecureAllowHTTP admits http for an issuer, its endpoints or the
	// application itself that are not on this machine.
	InsecureAllowHTTP bool
}

// Check says what is wrong with the configuration for an issuer, as far as that can
// be known without asking it.
func (c Config) Check(issuer string) error {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return err
	}
	return checkIssuer(issuer, c.InsecureAllowHTTP)
}

// check says what is wrong with the configuration.
func (c *Config) check() error {
	if c.ClientID == "" {
		return errors.New("the ClientID is missing")
	}
	if err := c.checkAuth(); err != nil {
		return err
	}
	if err := c.checkResources(); err != nil {
		return err
	}
	if _, err := oauth.ParseScope(c.Scope); err != nil {
		return errors.New("the Scope is malformed")
	}
	if c.ResponseMode != "" && c.ResponseMode != "query" && c.ResponseMode != "form_post" {
		return fmt.Errorf("the ResponseMode %q is neither query nor form_post", c.ResponseMode)
	}
	for _, own := range []struct{ name, address string }{{"RedirectURI", c.RedirectURI}, {"PostLogoutRedirectURI", c.PostLogoutRedirectURI}} {
		if err := c.checkOwnAddress(own.address); err != nil {
			return fmt.Errorf("the %s: %w", own.name, err)
		}
	}
	if c.Skew < 0 || c.Skew > token.MaxSkew {
		return fmt.Errorf("the Skew is not between 0 and %v", token.MaxSkew)
	}
	for _, alg := range c.Algorithms {
		if !alg.Valid() {
			return fmt.Errorf("the algorithm %q is not supported", string(alg))
		}
	}
	if strings.ContainsFunc(c.CookieName, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	}) || len(c.CookieName) > maxCookieName {
		return fmt.Errorf("the CookieName has other characters than letters, digits, - and _, or is longer than %d", maxCookieName)
	}
	if c.SessionLife < 0 || c.SessionIdle < 0 || c.Timeout < 0 || c.MetadataAge < 0 {
		return errors.New("a time cannot be below zero")
	}
	if (c.Store != nil || c.Sessions != nil) && len(c.Keys) == 0 {
		return errors.New("the Keys are missing: what is put into a shared store is sealed; give 32 random bytes that all replicas know")
	}
	if c.MaxSessions < 0 || c.MaxSessions > MaxGroup {
		return fmt.Errorf("the MaxSessions are not between 0 and %d", MaxGroup)
	}
	return nil
}

// checkOwnAddress wants an address of the application: https, http on this
// machine, or a scheme of a native application's own (RFC 8252 §7.1).
func (c *Config) checkOwnAddress(address string) error {
	if address == "" {
		return nil
	}
	uri, err := url.Parse(address)
	if err != nil || uri.Scheme == "" || strings.Contains(address, "#") {
		return errors.New("it is not an absolute URL without a fragment") // RFC 6749 §3.1.2
	}
	if uri.Scheme == "http" && !c.InsecureAllowHTTP && !oauth.LoopbackHost(uri.Hostname()) {
		return errors.New("it uses plain http, which is for this machine only; use https, or say InsecureAllowHTTP")
	}
	return nil
}

// withDefaults is the configuration with what it leaves open filled in.
func (c Config) withDefaults() Config {
	fill := func(d *time.Duration, fallback time.Duration) {
		if *d == 0 {
			*d = fallback
		}
	}
	fill(&c.SessionLife, DefaultSessionLife)
	fill(&c.SessionIdle, DefaultSessionIdle)
	fill(&c.MetadataAge, DefaultMetadataAge)
	fill(&c.Timeout, DefaultTimeout)
	if c.Scope == "" {
		c.Scope = "openid"
	}
	if c.CookieName == "" {
		c.CookieName = "session"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

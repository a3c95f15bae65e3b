package gatehouse

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/oauth"
)

// Profile picks a consistent set of rules for a client.
type Profile string

// Profiles that exist. Others are refused when they are applied.
const (
	ProfileOAuth21 Profile = "oauth2.1"
	ProfileOIDC    Profile = "oidc"
)

// Grant types (RFC 6749, RFC 7591 §2).
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
	GrantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
)

// Client authentication methods (RFC 7591 §2).
const (
	AuthNone              = "none"
	AuthClientSecretBasic = "client_secret_basic"
	AuthClientSecretPost  = "client_secret_post"
)

// ClientMetadata is what a client registers, in the names of RFC 7591 §2 and
// OpenID Connect Registration §2, and our own switches after them.
type ClientMetadata struct {
	ClientName              string   `yaml:"client_name" json:"client_name,omitempty"`
	ClientURI               string   `yaml:"client_uri" json:"client_uri,omitempty"`
	LogoURI                 string   `yaml:"logo_uri" json:"logo_uri,omitempty"`
	PolicyURI               string   `yaml:"policy_uri" json:"policy_uri,omitempty"`
	TosURI                  string   `yaml:"tos_uri" json:"tos_uri,omitempty"`
	Contacts                []string `yaml:"contacts" json:"contacts,omitempty"`
	RedirectURIs            []string `yaml:"redirect_uris" json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs  []string `yaml:"post_logout_redirect_uris" json:"post_logout_redirect_uris,omitempty"`
	GrantTypes              []string `yaml:"grant_types" json:"grant_types,omitempty"`
	ResponseTypes           []string `yaml:"response_types" json:"response_types,omitempty"`
	TokenEndpointAuthMethod string   `yaml:"token_endpoint_auth_method" json:"token_endpoint_auth_method,omitempty"`
	// Scope lists every scope the client may ask for, separated by spaces.
	Scope                    string `yaml:"scope" json:"scope,omitempty"`
	ApplicationType          string `yaml:"application_type" json:"application_type,omitempty"`
	IDTokenSignedResponseAlg string `yaml:"id_token_signed_response_alg" json:"id_token_signed_response_alg,omitempty"`
	DefaultMaxAge            *int   `yaml:"default_max_age" json:"default_max_age,omitempty"`
	RequireAuthTime          bool   `yaml:"require_auth_time" json:"require_auth_time,omitempty"`
	// DefaultACRValues are wished for when a request names none.
	DefaultACRValues []string `yaml:"default_acr_values" json:"default_acr_values,omitempty"`
	// UserinfoSignedResponseAlg asks for UserInfo as a JWT; JSON when empty.
	UserinfoSignedResponseAlg string `yaml:"userinfo_signed_response_alg" json:"userinfo_signed_response_alg,omitempty"`
	// SubjectType is public or pairwise; public when empty.
	SubjectType string `yaml:"subject_type" json:"subject_type,omitempty"`
	// SectorIdentifierURI names the sector of a pairwise client whose
	// redirect URIs have several hosts, or which shares one with others.
	SectorIdentifierURI string `yaml:"sector_identifier_uri" json:"sector_identifier_uri,omitempty"`
	// InitiateLoginURI is where the client begins a sign-in itself.
	InitiateLoginURI string `yaml:"initiate_login_uri" json:"initiate_login_uri,omitempty"`
	// BackchannelLogoutURI is where the client is told that a session ended in
	// which it had tokens (OpenID Connect Back-Channel Logout §2.2).
	BackchannelLogoutURI string `yaml:"backchannel_logout_uri" json:"backchannel_logout_uri,omitempty"`
	// BackchannelLogoutSessionRequired says that it needs to be told which
	// session; it always is.
	BackchannelLogoutSessionRequired bool `yaml:"backchannel_logout_session_required" json:"backchannel_logout_session_required,omitempty"`
	// JWKS is the client's key set as JSON (RFC 7517 §5).
	JWKS json.RawMessage `yaml:"-" json:"jwks,omitempty"`

	// Profile is the set of rules the client lives by; oauth2.1 when empty.
	Profile Profile `yaml:"profile" json:"profile,omitempty"`
	// DefaultResource is the audience of tokens when a request names none.
	DefaultResource string `yaml:"default_resource" json:"default_resource,omitempty"`
	// Introspects lists the resources in whose name the client introspects
	// tokens: a resource server is a client of its own.
	Introspects []string `yaml:"introspects" json:"introspects,omitempty"`
	// RevocationFeed admits the client to the revocation feed: it learns what
	// has ended of all clients' and users' tokens of the tenant.
	RevocationFeed bool `yaml:"revocation_feed" json:"revocation_feed,omitempty"`
	// TokenExchange is what the client may exchange for what; nothing when nil.
	TokenExchange *TokenExchange `yaml:"token_exchange" json:"token_exchange,omitempty"`
	// MayAct is the id of the one client that may act for whom this client's
	// tokens are about: their may_act claim (RFC 8693 §4.4). "" leaves it to
	// the policies of those who exchange them.
	MayAct string `yaml:"may_act" json:"may_act,omitempty"`
	// SkipConsent leaves the consent page out for an application of the
	// house itself. It is refused for public clients.
	SkipConsent bool `yaml:"skip_consent" json:"skip_consent,omitempty"`
	// FormActionOrigins are further origins to which the client's callback
	// redirects, so that browsers let the form's redirect pass.
	FormActionOrigins []string `yaml:"form_action_origins" json:"form_action_origins,omitempty"`
	// InsecureShortSecret admits a client_secret of under 32 characters.
	InsecureShortSecret bool `yaml:"insecure_short_secret" json:"insecure_short_secret,omitempty"`
}

// Client is a registered client.
type Client struct {
	ID string
	ClientMetadata
	Secrets    []ClientSecret
	DisabledAt time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// SecretKind says how a client secret is kept.
type SecretKind string

// Random secrets are kept as SHA-256 (a slow hash adds nothing to a random
// secret), short ones as an argon2id PHC string.
const (
	SecretSHA256   SecretKind = "sha256"
	SecretArgon2id SecretKind = "argon2id"
)

// ClientSecret is one secret of a client as it is kept: never in clear.
type ClientSecret struct {
	ID        string
	Kind      SecretKind
	Hash      []byte
	CreatedAt time.Time
	// ExpiresAt is when a rotated secret stops working; zero is never.
	ExpiresAt time.Time
}

// Disabled says whether the client may do nothing at all.
func (c Client) Disabled() bool { return !c.DisabledAt.IsZero() }

// Public says whether the client has no credentials (RFC 6749 §2.1).
func (c Client) Public() bool { return c.TokenEndpointAuthMethod == AuthNone }

// MayUse says whether the client registered the grant type.
func (c Client) MayUse(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// Scopes returns the registered scope as a set.
func (c Client) Scopes() oauth.Scope {
	scope, _ := oauth.ParseScope(c.Scope)
	return scope
}

// Admits says whether the scope is registered, or of a registered form.
func (c Client) Admits(token string) bool {
	for declared := range strings.SplitSeq(c.Scope, " ") {
		if oauth.DeclaredScopeAdmits(declared, token) {
			return true
		}
	}
	return false
}

// Subject types of OpenID Connect Core §8.
const (
	SubjectPublic   = "public"
	SubjectPairwise = "pairwise"
)

// Sector is the host by which pairwise identifiers are told apart (OpenID
// Connect Core §8.1), "" for a client that sees the users' own.
func (c Client) Sector() string {
	if c.SubjectType != SubjectPairwise {
		return ""
	}
	for _, text := range append([]string{c.SectorIdentifierURI}, c.RedirectURIs...) {
		if uri, err := url.Parse(text); err == nil && uri.Hostname() != "" {
			return strings.ToLower(uri.Hostname())
		}
	}
	return "client " + c.ID // registration does not admit it
}

// StartAgain is where a person begins the sign-in anew (OpenID Connect Core
// §4: the client learns by iss which issuer is meant), "" when the client
// registered no such place.
func (c Client) StartAgain(issuer string) string {
	if c.InitiateLoginURI == "" {
		return ""
	}
	return oauth.RedirectURL(c.InitiateLoginURI, []oauth.Param{{Name: "iss", Value: issuer}})
}

// DisplayName is the name shown to people: the client's own, else its id.
func (c Client) DisplayName() string {
	if c.ClientName != "" {
		return c.ClientName
	}
	return c.ID
}

// RedirectRules returns what the client's profile allows in redirect URIs.
func (c Client) RedirectRules() oauth.RedirectRules { return oauth.RedirectRules{} }

// RequiresPKCE says whether a code_challenge must be sent: always, but for
// confidential clients of profile oidc, since OpenID Connect Basic does not
// know PKCE (RFC 9700 §2.1.1 asks for the nonce instead).
func (c Client) RequiresPKCE() bool { return c.Public() || c.Profile != ProfileOIDC }

// AlwaysAsks says whether consent can never be taken from memory: anyone can
// pose as a public client whose redirect lands on the user's own machine
// (RFC 8252 §8.6), so each sign-in asks.
func (c Client) AlwaysAsks(redirectURI string) bool {
	return c.Public() && !isHTTPS(redirectURI)
}

func isHTTPS(uri string) bool { return len(uri) > 8 && uri[:8] == "https://" }

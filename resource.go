package gatehouse

import (
	"strings"

	"gatehouse/internal/config"
	"gatehouse/oauth"
)

// TokenFormat is how a resource's access tokens look.
type TokenFormat string

// Access tokens are JWTs (RFC 9068) or sealed strings that we alone open.
const (
	FormatJWT    TokenFormat = "jwt"
	FormatOpaque TokenFormat = "opaque"
)

// Resource is a protected resource: an audience with scopes of its own.
type Resource struct {
	// Identifier is the audience, an absolute URI without fragment
	// (RFC 8707 §2).
	Identifier  string          `yaml:"identifier" json:"identifier"`
	Name        string          `yaml:"name" json:"name,omitempty"`
	Scopes      []ResourceScope `yaml:"scopes" json:"scopes,omitempty"`
	TokenFormat TokenFormat     `yaml:"token_format" json:"token_format,omitempty"`
	// TokenLifetime of its access tokens; the tenant's default when zero.
	TokenLifetime config.Duration `yaml:"token_lifetime" json:"token_lifetime,omitzero"`
	// TokenSigningAlg of its JWTs; ES256 when empty.
	TokenSigningAlg string `yaml:"token_signing_alg" json:"token_signing_alg,omitempty"`
}

// ResourceScope is a scope of the form resource:operation with the sentence
// that the consent page shows for it.
type ResourceScope struct {
	Name        string `yaml:"name" json:"name"`
	Description string `yaml:"description" json:"description"`
}

// Scope returns the resource's scopes as a set.
func (r Resource) Scope() oauth.Scope {
	var scope oauth.Scope
	for _, s := range r.Scopes {
		scope = append(scope, s.Name)
	}
	return scope
}

// Admits says whether the token is one of the resource's scopes, or of the form of
// one.
func (r Resource) Admits(token string) bool {
	for i := range r.Scopes {
		if oauth.DeclaredScopeAdmits(r.Scopes[i].Name, token) {
			return true
		}
	}
	return false
}

// Identified says whether the text names the resource: the same octets, or
// the same origin with and without its root slash.
func (r Resource) Identified(text string) bool {
	return r.Identifier == text || strings.TrimSuffix(r.Identifier, "/") == strings.TrimSuffix(text, "/") && isOrigin(r.Identifier)
}

func isOrigin(uri string) bool {
	_, rest, found := strings.Cut(uri, "://")
	return found && strings.Count(strings.TrimSuffix(rest, "/"), "/") == 0
}

// IdentityScopes are the scopes of OpenID Connect (Core §5.4, §11), which
// belong to no resource.
var IdentityScopes = oauth.Scope{"openid", "profile", "email", "address", "phone", "offline_access"}

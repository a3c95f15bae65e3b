package gatehouse

import (
	"slices"

	"gatehouse/oauth"
)

// ClaimsRequest names the claims that were asked for one by one, and where
// they go (OpenID Connect Core §5.5).
type ClaimsRequest struct {
	UserInfo []string `json:"userinfo,omitempty"`
	IDToken  []string `json:"id_token,omitempty"`
}

// Scope returns the scopes that would open the claims: what is asked for one
// by one is consented to in the same sentences.
func (c ClaimsRequest) Scope(settings Settings) oauth.Scope {
	var scope oauth.Scope
	for _, name := range slices.Concat(c.UserInfo, c.IDToken) {
		if opens, known := settings.ScopeOfClaim(name); known {
			scope = scope.Union(oauth.Scope{opens})
		}
	}
	return scope
}

// standardClaims are the claims of OpenID Connect Core §5.1 that a scope
// opens (§5.4), in the order in which they are written.
var standardClaims = []struct{ name, scope string }{
	{"name", "profile"}, {"given_name", "profile"}, {"family_name", "profile"}, {"middle_name", "profile"},
	{"nickname", "profile"}, {"preferred_username", "profile"}, {"profile", "profile"}, {"picture", "profile"},
	{"website", "profile"}, {"gender", "profile"}, {"birthdate", "profile"}, {"zoneinfo", "profile"}, {"locale", "profile"},
	{"updated_at", "profile"}, {"email", "email"}, {"email_verified", "email"}, {"phone_number", "phone"},
	{"phone_number_verified", "phone"}, {"address", "address"},
}

// protocolClaims are those whose meaning the protocols fix: they say who
// issued what for whom, and what it allows.
var protocolClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", // RFC 7519 §4.1
	"azp", "nonce", "acr", "amr", "auth_time", "at_hash", "c_hash", "s_hash", "sid", "sub_jwk", // OpenID Connect Core §2, §7; its logouts
	"_claim_names", "_claim_sources", "events", "toe", "txn", "sub_id", // Core §5.6.2; RFC 8417, RFC 9493
	"scope", "client_id", "cnf", "act", "may_act", "authorization_details", "roles", "entitlements", // RFC 7800, RFC 8693, RFC 9396, RFC 9068 §2.2.3.1
	"active", "username", "token_type", "token_introspection", // RFC 7662 §2.2, RFC 9701
	"vot", "vtm", "gid", "lineage", "htm", "htu", "ath",
}

// ReservedClaim says whether a claim of this name means something already, so
// that no tenant's mapping may set it.
func ReservedClaim(name string) bool {
	return slices.Contains(protocolClaims, name) || slices.ContainsFunc(standardClaims, func(c struct{ name, scope string }) bool { return c.name == name })
}

// StandardClaimNames are the claims that a user's entry can have, in the order
// in which they are written.
func StandardClaimNames() []string {
	var names []string
	for _, claim := range standardClaims {
		names = append(names, claim.name)
	}
	return names
}

// ScopeOfClaim returns the scope of OpenID Connect that opens a claim, of the
// standard ones or of the tenant's own.
func (s Settings) ScopeOfClaim(name string) (string, bool) {
	for _, claim := range standardClaims {
		if claim.name == name {
			return claim.scope, true
		}
	}
	for _, mapping := range s.Claims {
		if mapping.Claim == name && IdentityScopes.Has(mapping.Scope) {
			return mapping.Scope, true
		}
	}
	return "", false
}

// ClaimPlace is where a claim can stand.
type ClaimPlace string

// The places.
const (
	ClaimInIDToken     ClaimPlace = "id_token"
	ClaimInUserInfo    ClaimPlace = "userinfo"
	ClaimInAccessToken ClaimPlace = "access_token"
)

// ClaimMapping makes a claim of an attribute that users have.
type ClaimMapping struct {
	// Claim is its name; never a reserved one.
	Claim string `yaml:"claim" json:"claim"`
	// Attribute of the user; the one of the claim's name when empty.
	Attribute string `yaml:"attribute" json:"attribute,omitempty"`
	// Scope opens the claim; without one, Resource does.
	Scope string `yaml:"scope" json:"scope,omitempty"`
	// Resource narrows the claim to the access tokens of one resource.
	Resource string `yaml:"resource" json:"resource,omitempty"`
	// In are the places where the claim stands.
	In []ClaimPlace `yaml:"in" json:"in"`
}

// StandsIn says whether the claim may stand in this place.
func (m ClaimMapping) StandsIn(place ClaimPlace) bool { return slices.Contains(m.In, place) }

// OpenedBy says whether a scope opens the claim.
func (m ClaimMapping) OpenedBy(scope oauth.Scope) bool { return m.Scope == "" || scope.Has(m.Scope) }

// Of returns the user's value, nil when the user has none.
func (m ClaimMapping) Of(user User) any {
	if m.Attribute != "" {
		return user.Attributes[m.Attribute]
	}
	return user.Attributes[m.Claim]
}

// Attributes are what is known of a user beside the standard claims, by name:
// texts, numbers, true or false, or lists of texts. A tenant's claim mapping
// says which of them become claims.
type Attributes map[string]any

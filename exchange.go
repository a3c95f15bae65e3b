package gatehouse

import (
	"slices"
	"time"
)

// TokenExchange is a client's policy of RFC 8693: which tokens it may present
// for which others. The zero value admits nothing.
type TokenExchange struct {
	// Accepts are the resources as which the client receives access tokens of
	// other clients, which it may present. Those that were issued to itself
	// need no entry.
	Accepts []string `yaml:"accepts" json:"accepts,omitempty"`
	// Audiences are the resources for which it may be given tokens.
	Audiences []string `yaml:"audiences" json:"audiences,omitempty"`
	// IDTokens admits the client's own ID tokens, while their session lives.
	IDTokens bool `yaml:"id_tokens" json:"id_tokens,omitempty"`
	// Impersonation has a request without an actor token answered with a token
	// that does not tell that the client acts. Without it the client itself is
	// then the actor.
	Impersonation bool `yaml:"impersonation" json:"impersonation,omitempty"`
}

// MayExchange says whether the client, as the resource of that audience,
// receives tokens that it may present.
func (c Client) MayExchange(audience string) bool {
	return c.TokenExchange != nil && slices.ContainsFunc(c.TokenExchange.Accepts, func(identifier string) bool {
		return Resource{Identifier: identifier}.Identified(audience)
	})
}

// MayExchangeFor says whether the client may be given tokens for a resource.
func (c Client) MayExchangeFor(resource Resource) bool {
	return c.TokenExchange != nil && slices.Contains(c.TokenExchange.Audiences, resource.Identifier)
}

// MaxDelegation is how many actors a token's chain may have, and MaxAncestors
// of how many tokens it may be made.
const (
	MaxDelegation = 8
	MaxAncestors  = 16
)

// Ancestor is a token of which another was made by exchange: what ended it
// ends the other. It is an element of the lineage claim.
type Ancestor struct {
	ID       string `json:"jti,omitempty"` // of an access token
	ClientID string `json:"client_id"`
	// Handle is the gid, where it is not the exchanged token's own.
	Handle string `json:"gid,omitempty"`
	// SessionID is that of an ID token.
	SessionID string `json:"sid,omitempty"`
	// KeyID is the kid of its signature, "" for opaque ones.
	KeyID string `json:"kid,omitempty"`
}

// SessionExchange is the use of an ID token as subject token: it stands on a
// session and on what the user allowed its client there.
type SessionExchange struct {
	SessionID string
	Subject   string
	ClientID  string
	// Handle is the grant's, as it was read.
	Handle string
	// Until is when the token minted with it expires.
	Until time.Time
	// Told is what its event tells: the audience, the actors and the like.
	Told map[string]string
	By   Circumstance
}

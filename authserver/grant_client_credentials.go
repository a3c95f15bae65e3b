package authserver

import (
	"slices"

	"gatehouse"
	"gatehouse/oauth"
)

// clientCredentials is the grant of RFC 6749 §4.4: a token for the client
// itself, without a user, a row or a refresh token (§4.4.3).
func (s *Server) clientCredentials(c *call) (minted, error) {
	if c.Client.Public() {
		return minted{}, oauth.Refuse("grant-type-not-registered", oauth.UnauthorizedClient, "The client_credentials grant is for confidential clients.") // RFC 6749 §4.4
	}
	audiences, err := s.audiences(c.Context(), c.Tenant, c.Client)
	if err != nil {
		return minted{}, err
	}
	scope, err := oauth.ParseScope(c.Form.Get("scope"))
	if err != nil {
		return minted{}, err
	}
	if slices.ContainsFunc(scope, func(token string) bool { return gatehouse.IdentityScopes.Has(token) || !c.Client.Admits(token) }) {
		return minted{}, oauth.Refuse("scope-not-registered", oauth.InvalidScope, "The client is not registered for every scope that it asks for.")
	}
	if len(scope) == 0 {
		scope = audiences.understood(c.Client.Scopes().Without(gatehouse.IdentityScopes)) // but no form of a scope
	}
	named, err := audiences.requested(c.Form.Resources())
	if err != nil {
		return minted{}, err
	}
	if len(named) == 0 {
		named = audiences.implied(scope)
	}
	if len(named) > 1 {
		return minted{}, oauth.Refuse("resource-several", oauth.InvalidTarget, "The scopes belong to several resources and a token is for one. Name it with the resource parameter.")
	}
	resource, err := audiences.one(named, nil)
	if err != nil {
		return minted{}, err
	}
	narrowed := audiences.within(scope, named)
	if len(narrowed) == 0 && len(scope) > 0 {
		return minted{}, oauth.Refuse("scope-not-at-resource", oauth.InvalidTarget, "The client has none of the scopes of this resource.")
	}
	return s.mint(c, ticket{resource: resource, scope: narrowed})
}

package authserver

import (
	"context"

	"gatehouse"
	"gatehouse/oauth"
)

type refreshStore interface {
	RotateRefresh(ctx context.Context, tenant gatehouse.TenantID, rotation gatehouse.Rotation) (gatehouse.Rotated, error)
}

// refresh is the grant of RFC 6749 §6 with the rotation and replay detection
// of RFC 9700 §4.14.2. Whether the token is current, and its grant and user
// stand, is decided by the act that rotates it.
func (s *Server) refresh(c *call) (minted, error) {
	keys := s.grantKeys(c.tenant())
	token, grant, err := s.grantOfRefresh(c, keys)
	if err != nil {
		return minted{}, err
	}
	audiences, err := s.audiences(c.Context(), c.Tenant, c.Client)
	if err != nil {
		return minted{}, err
	}
	scope, err := narrowed(current(grant, c.Client), c.Form.Get("scope"))
	if err != nil {
		return minted{}, err
	}
	resource, err := audiences.one(grant.Resources, c.Form.Resources())
	if err != nil {
		return minted{}, err
	}

	m, err := s.mint(c, ticket{resource: resource, scope: audiences.within(scope, []string{resource.Identifier}), grant: &grant})
	if err != nil {
		return minted{}, err
	}
	next, state := keys.nextRefresh(token)

	settings := c.Tenant.Settings
	rotated, err := s.Store.RotateRefresh(c.Context(), c.tenant(), gatehouse.Rotation{
		ID: grant.ID, Presented: token.generation, PresentedHash: token.hash(), Successor: state,
		Succeeds: func(stored gatehouse.RefreshState) bool {
			_, succeeds := keys.successor(token, stored)
			return succeeds
		},
		Grace: settings.RefreshGrace.Std(), Idle: settings.RefreshIdleLifetime.Std(),
		AccessUntil: m.until, SessionID: grant.SessionID, By: c.Circumstance(),
	})
	if err != nil {
		return minted{}, err
	}
	switch rotated.Outcome {
	case gatehouse.RotateAccepted:
		m.response.RefreshToken, _ = keys.writeRefresh(next)
		return m, nil
	case gatehouse.RotateRedelivered:
		same, _ := keys.successor(token, rotated.Current)
		m.response.RefreshToken, _ = keys.writeRefresh(same)
		c.Note(OutcomeNote, Redelivered)
		return m, nil
	case gatehouse.RotateMoved:
		return minted{}, errMoved
	}
	return minted{}, rotationRefused(rotated.Outcome)
}

// grantOfRefresh finds the grant that the request's refresh token names.
// Foreign attempts end here and are never replays.
func (s *Server) grantOfRefresh(c *call, keys grantKeys) (refreshToken, gatehouse.Grant, error) {
	if !c.Form.Has("refresh_token") {
		return refreshToken{}, gatehouse.Grant{}, oauth.Refuse("refresh-missing", oauth.InvalidRequest, "The refresh_token parameter is missing.")
	}
	token, genuine := keys.parseRefresh(c.Form.Get("refresh_token"))
	if !genuine {
		return refreshToken{}, gatehouse.Grant{}, orRefuse(s.guessFailed(c.Request), refreshInvalid())
	}
	grant, found, err := s.Store.GrantTerms(c.Context(), c.tenant(), token.grant)
	if err != nil {
		return refreshToken{}, gatehouse.Grant{}, err
	}
	if !found || grant.ClientID != c.Client.ID { // RFC 6749 §6: bound to the client
		return refreshToken{}, gatehouse.Grant{}, refreshInvalid()
	}
	if !s.standing(c.Client, grant) {
		return refreshToken{}, gatehouse.Grant{}, refreshInvalid()
	}
	return token, grant, nil
}

// current is the granted scope without what the client is no longer
// registered for.
func current(grant gatehouse.Grant, client gatehouse.Client) oauth.Scope {
	return grant.Scope.Keep(client.Scopes().Admits)
}

// narrowed returns the requested part of a granted scope, all of it when
// nothing is asked (RFC 6749 §6). An offline_access that was not granted is
// ignored: real clients repeat their first request.
func narrowed(granted oauth.Scope, text string) (oauth.Scope, error) {
	scope, err := oauth.ParseScope(text)
	if err != nil {
		return nil, err
	}
	asked := scope.Without(oauth.Scope{"offline_access"})
	if !granted.Covers(asked) {
		return nil, oauth.Refuse("scope-not-granted", oauth.InvalidScope, "The scope goes beyond what the user granted.")
	}
	if len(asked) == 0 {
		return granted, nil
	}
	return granted.Intersect(scope), nil
}

func rotationRefused(outcome gatehouse.RotateOutcome) error {
	switch outcome {
	case gatehouse.RotateReplayed:
		return oauth.Refuse("refresh-replayed", oauth.InvalidGrant, "The refresh token was used before and replaced. Everything that came of the grant has been revoked; the user has to sign in again.")
	case gatehouse.RotateLostState:
		return oauth.Refuse("refresh-lost-state", oauth.InvalidGrant, "The refresh token is genuine but the server has no record of it. The grant has been revoked; the user has to sign in again.")
	case gatehouse.RotateExpired:
		return oauth.Refuse("refresh-expired", oauth.InvalidGrant, "The refresh token has expired. The user has to sign in again.")
	}
	return refreshInvalid()
}

func refreshInvalid() error {
	return oauth.Refuse("refresh-invalid", oauth.InvalidGrant, "The refresh token is not one that this server issued to this client, or its grant has ended.")
}

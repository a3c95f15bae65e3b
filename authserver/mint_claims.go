package authserver

import (
	"log/slog"

	"gatehouse"
)

// largeToken is the size of claims, in bytes, from which on headers and
// cookies that carry the token may be refused on the way.
const largeToken = 4 << 10

// own returns the claims about the user that a token carries beside those of
// the protocol. The user is read only where there may be some.
func (s *Server) own(c *call, t ticket, place gatehouse.ClaimPlace) (claims, error) {
	let := release{settings: c.Tenant.Settings, client: c.Client, scope: t.scope}
	if place == gatehouse.ClaimInIDToken {
		let.asked = t.grant.Claims.IDToken
	}
	mapped := false
	for _, mapping := range c.Tenant.Settings.Claims {
		mapped = mapped || mapping.StandsIn(place)
	}
	if !mapped && len(let.asked) == 0 {
		return nil, nil
	}
	user, found, err := s.Store.User(c.Context(), c.tenant(), t.grant.Subject)
	if err != nil || !found {
		return nil, err
	}
	if place == gatehouse.ClaimInIDToken {
		return let.idToken(user), nil
	}
	return let.accessToken(user, t.resource), nil
}

// warnOfSize logs a token that has grown beyond what is carried everywhere.
func (s *Server) warnOfSize(c *call, kind string, payload []byte, own claims) {
	if len(payload) <= largeToken {
		return
	}
	s.Log.LogAttrs(c.Context(), slog.LevelWarn, "large token",
		slog.String("tenant", string(c.tenant())), slog.String("client_id", c.Client.ID), slog.String("kind", kind),
		slog.Int("bytes", len(payload)), slog.Any("claims", own.names()), slog.String("request", c.ID))
}

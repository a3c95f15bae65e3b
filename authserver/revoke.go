package authserver

import (
	"context"
	"net/http"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
)

type revocationStore interface {
	EndGrant(ctx context.Context, tenant gatehouse.TenantID, id gatehouse.GrantID, reason gatehouse.EndReason, by gatehouse.Circumstance) (bool, error)
	RevokeToken(ctx context.Context, tenant gatehouse.TenantID, jti string, until time.Time, clientID string, by gatehouse.Circumstance) error
}

// serveRevoke is the revocation endpoint (RFC 7009 §2). A refresh token ends
// its grant, an access token itself alone. What is not the client's own is
// left as it is and answered alike (§2.2).
func (s *Server) serveRevoke(w http.ResponseWriter, r *endpoint.Request) error {
	form, err := oauth.ReadForm(r.Request)
	if err != nil {
		return err
	}
	c, err := s.authenticate(r, form)
	if err != nil {
		return stillThere(err)
	}
	if err := s.mayRevoke(c); err != nil {
		return err
	}
	text := form.Get("token")
	if text == "" {
		return oauth.Refuse("token-missing", oauth.InvalidRequest, "The token parameter is missing.")
	}
	if strings.HasPrefix(text, refreshPrefix) {
		err = s.revokeRefresh(c, text)
	} else {
		err = s.revokeAccess(c, text)
	}
	if err != nil {
		return stillThere(err)
	}
	oauth.WriteJSON(w, http.StatusOK, struct{}{}) // an empty object: some clients parse the body
	return nil
}

// revokeAgainAfter is when a client should repeat a revocation that failed by
// our fault.
const revokeAgainAfter = time.Second

// stillThere has a fault of ours answered with 503: "the client must assume
// the token still exists and may retry after a reasonable delay" (RFC 7009
// §2.2.1).
func stillThere(err error) error {
	if refusal := oauth.AsError(err); refusal.Code == oauth.ServerError {
		return refusal.WithStatus(http.StatusServiceUnavailable).After(revokeAgainAfter)
	}
	return err
}

func (s *Server) revokeRefresh(c *call, text string) error {
	token, genuine := s.grantKeys(c.tenant()).parseRefresh(text)
	if !genuine {
		return s.guessFailed(c.Request)
	}
	grant, found, err := s.Store.Grant(c.Context(), c.tenant(), token.grant)
	if err != nil || !found || grant.ClientID != c.Client.ID { // RFC 7009 §2.1
		return err
	}
	_, err = s.Store.EndGrant(c.Context(), c.tenant(), grant.ID, gatehouse.EndedByRevocation, c.Circumstance())
	return err
}

func (s *Server) revokeAccess(c *call, text string) error {
	claims, state, err := s.openAccess(c.Context(), c.Tenant, text)
	if err == nil && state == tokenUnknown {
		err = s.guessFailed(c.Request)
	}
	if err != nil || state != tokenLive || claims.ClientID != c.Client.ID {
		return err
	}
	return s.Store.RevokeToken(c.Context(), c.tenant(), claims.ID, time.Unix(claims.Expiry, 0), c.Client.ID, c.Circumstance())
}

package authserver

import (
	"net/http"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/secret"
	"gatehouse/oauth"
)

// introspection is the answer of RFC 7662 §2.2. An inactive token has
// nothing but "active": false.
type introspection struct {
	Active    bool   `json:"active"`
	Issuer    string `json:"iss,omitempty"`
	Subject   string `json:"sub,omitempty"`
	Audience  string `json:"aud,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	Username  string `json:"username,omitempty"`
	Scope     string `json:"scope,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	Expiry    int64  `json:"exp,omitempty"`
	IssuedAt  int64  `json:"iat,omitempty"`
	ID        string `json:"jti,omitempty"`
	AuthTime  int64  `json:"auth_time,omitempty"`
	ACR       string `json:"acr,omitempty"`
	Handle    string `json:"gid,omitempty"`
	// RFC 8693 §4.1, §4.4, and of which tokens it was made.
	Act     *actor               `json:"act,omitempty"`
	MayAct  *party               `json:"may_act,omitempty"`
	Lineage []gatehouse.Ancestor `json:"lineage,omitempty"`

	own claims
}

// serveIntrospect is the introspection endpoint (RFC 7662 §2). A resource
// server asks about tokens for its own audience, a client about its own;
// about anything else the answer is that it is not active.
func (s *Server) serveIntrospect(w http.ResponseWriter, r *endpoint.Request) error {
	form, err := oauth.ReadForm(r.Request)
	if err != nil {
		return err
	}
	c, err := s.authenticate(r, form)
	if err != nil {
		return err
	}
	if c.Client.Public() { // RFC 7662 §2.1: some form of authorization is required
		return oauth.Refuse("introspection-public-client", oauth.InvalidClient, "Introspection is for clients that authenticate.")
	}
	if err := s.mayIntrospect(c); err != nil {
		return err
	}
	text := form.Get("token")
	if text == "" {
		return oauth.Refuse("token-missing", oauth.InvalidRequest, "The token parameter is missing.")
	}
	answer, genuine, err := s.introspect(c, text)
	if err != nil {
		return err
	}
	if !genuine {
		if err := s.guessFailed(r); err != nil {
			return err
		}
	}
	body, err := answer.assemble()
	if err != nil {
		return err
	}
	oauth.WriteBody(w, http.StatusOK, body)
	return nil
}

// introspect says what is known of a token, and whether we ever issued it.
func (s *Server) introspect(c *call, text string) (answer introspection, genuine bool, err error) {
	if strings.HasPrefix(text, refreshPrefix) {
		return s.introspectRefresh(c, text)
	}
	claims, state, err := s.liveAccess(c.Context(), c.Tenant, text)
	if err != nil || state != tokenLive || !mayAsk(c.Client, claims) {
		return introspection{}, state != tokenUnknown, err
	}
	username, active, err := s.ownerActive(c, claims)
	if err != nil || !active {
		return introspection{}, true, err
	}
	return introspection{
		Active: true, Issuer: claims.Issuer, Subject: claims.Subject, Audience: claims.Audience, ClientID: claims.ClientID,
		Username: username, Scope: claims.Scope, TokenType: "Bearer", Expiry: claims.Expiry, IssuedAt: claims.IssuedAt,
		ID: claims.ID, AuthTime: claims.AuthTime, ACR: claims.ACR, Handle: claims.Handle,
		Act: claims.Act, MayAct: claims.MayAct, Lineage: claims.Lineage, own: claims.own,
	}, true, nil
}

func mayAsk(asking gatehouse.Client, claims accessClaims) bool {
	return claims.ClientID == asking.ID || slices.ContainsFunc(asking.Introspects, func(identifier string) bool {
		return gatehouse.Resource{Identifier: identifier}.Identified(claims.Audience)
	})
}

// ownerActive says whether client and user of a token may still have one, and
// the user's name.
func (s *Server) ownerActive(c *call, claims accessClaims) (username string, active bool, err error) {
	client, found, err := s.Store.Client(c.Context(), c.tenant(), claims.ClientID)
	if err != nil || !found || client.Disabled() || !claims.ofUser() {
		return "", found && !client.Disabled(), err
	}
	user, found, err := s.Store.User(c.Context(), c.tenant(), claims.user)
	if client.Sector() != "" {
		user.Username = "" // it would tell what the pairwise sub hides
	}
	return user.Username, found && !user.Disabled(), err
}

func (s *Server) introspectRefresh(c *call, text string) (answer introspection, genuine bool, err error) {
	token, genuine := s.grantKeys(c.tenant()).parseRefresh(text)
	if !genuine {
		return introspection{}, false, nil
	}
	grant, found, err := s.Store.Grant(c.Context(), c.tenant(), token.grant)
	if err != nil || !found || grant.ClientID != c.Client.ID || !secret.Equal(grant.Refresh.Hash, token.hash()) {
		return introspection{}, true, err
	}
	may, err := s.mayIssue(c.Context(), c.tenant(), c.Client, &grant)
	idleEnd := grant.LastUsedAt.Add(c.Tenant.Settings.RefreshIdleLifetime.Std())
	if err != nil || !may || !s.Store.Now().Before(idleEnd) {
		return introspection{}, true, err
	}
	expiry := grant.ExpiresAt
	if idleEnd.Before(expiry) {
		expiry = idleEnd
	}
	subject, err := s.subjectFor(c.Context(), c.tenant(), c.Client, grant.Subject)
	if err != nil {
		return introspection{}, true, err
	}
	return introspection{
		Active: true, Issuer: c.Tenant.Issuer, Subject: subject, ClientID: grant.ClientID,
		Scope: current(grant, c.Client).String(), Expiry: expiry.Unix(), IssuedAt: grant.CreatedAt.Unix(), Handle: grant.Handle,
	}, true, nil
}

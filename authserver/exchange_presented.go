package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/oauth"
	"gatehouse/token"
)

// Token type identifiers of RFC 8693 §3.
const (
	typeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"
	typeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
	typeIDToken      = "urn:ietf:params:oauth:token-type:id_token"
	typeJWT          = "urn:ietf:params:oauth:token-type:jwt"
)

// presentedToken is a subject or actor token of ours that was found to live, in
// the hands of a client that may present it.
type presentedToken struct {
	subject  string // sub
	clientID string // to which it was issued
	scope    oauth.Scope
	expiry   int64
	act      *actor
	mayAct   *party
	// grant is nil for a token without a user.
	grant *gatehouse.Grant
	// lineage are the tokens of which it was made, and itself last.
	lineage []gatehouse.Ancestor
	// session is that of an ID token.
	session string
}

// Why a presented token was refused: for the log, since the answer is the same
// for all. Whoever found a token does not learn whether it lives.
var (
	errNotLive     = errors.New("it was not issued here, has expired or was ended")
	errOtherClient = errors.New("it was issued to another client, and for a resource that token_exchange.accepts does not name")
	errGrantEnded  = errors.New("its grant, client or user may have no token any more")
	errNoIDTokens  = errors.New("token_exchange.id_tokens is not set for the client")
	errNoSession   = errors.New("its session or the client's grant in it has ended")
)

// presentedAs reads the token of a parameter, subject_token or actor_token, by
// the type that the request gives it (RFC 8693 §2.1).
func (s *Server) presentedAs(c *call, parameter string) (presentedToken, error) {
	text, kind := c.Form.Get(parameter), c.Form.Get(parameter+"_type")
	switch {
	case text == "" || kind == "":
		return presentedToken{}, oauth.Refuse("exchange-token-missing", oauth.InvalidRequest, "A token exchange needs subject_token and subject_token_type, and actor_token_type beside an actor_token.")
	case kind == typeRefreshToken || strings.HasPrefix(text, refreshPrefix):
		return presentedToken{}, oauth.Refuse("exchange-refresh-token", oauth.InvalidRequest, "Refresh tokens are not exchanged. Refresh, and present the access token.")
	case kind == typeAccessToken, kind == typeJWT && !strings.HasPrefix(text, opaquePrefix):
		return s.presentedAccess(c, text)
	case kind == typeIDToken:
		return s.presentedID(c, text)
	}
	return presentedToken{}, oauth.Refuse("exchange-token-type", oauth.InvalidRequest, "The token is presented as a type that the server does not exchange, or that it is not.")
}

// presentedInvalid is the one answer to a token that cannot be presented
// (RFC 8693 §2.2.2: "MUST be the invalid_request error code").
func presentedInvalid(why error) error {
	return oauth.Refuse("exchange-token-invalid", oauth.InvalidRequest, "The subject or actor token is not one that this client may exchange: it is not valid any more, was not issued here, or is meant for others.").Because(why)
}

// presentedAccess reads an access token of ours: one that was issued to the
// client, or for a resource as which it receives tokens.
func (s *Server) presentedAccess(c *call, text string) (presentedToken, error) {
	claims, state, err := s.liveAccess(c.Context(), c.Tenant, text)
	if err != nil {
		return presentedToken{}, err
	}
	if state == tokenUnknown {
		err = s.guessFailed(c.Request)
	}
	if err != nil || state != tokenLive {
		return presentedToken{}, orRefuse(err, presentedInvalid(errNotLive))
	}
	if claims.ClientID != c.Client.ID && !c.Client.MayExchange(claims.Audience) {
		return presentedToken{}, presentedInvalid(errOtherClient)
	}
	scope, err := oauth.ParseScope(claims.Scope)
	if err != nil {
		return presentedToken{}, err
	}
	itself := gatehouse.Ancestor{ID: claims.ID, ClientID: claims.ClientID, KeyID: claims.keyID}
	p := presentedToken{
		subject: claims.Subject, clientID: claims.ClientID, scope: scope, expiry: claims.Expiry, act: claims.Act, mayAct: claims.MayAct,
		lineage: append(claims.Lineage[:len(claims.Lineage):len(claims.Lineage)], itself),
	}
	if claims.ofUser() {
		grant, found, err := s.grantOf(c.Context(), c.tenant(), claims)
		if err != nil || !found {
			return presentedToken{}, orRefuse(err, presentedInvalid(errGrantEnded))
		}
		p.grant = &grant
	}
	return p, s.mayPresent(c, claims.rootClient(), p.grant)
}

// mayPresent asks whether the client for which a token was first issued may
// still have one.
func (s *Server) mayPresent(c *call, clientID string, grant *gatehouse.Grant) error {
	client, found, err := s.Store.Client(c.Context(), c.tenant(), clientID)
	if err != nil {
		return err
	}
	may, err := s.mayIssue(c.Context(), c.tenant(), client, grant)
	if err != nil || !found || !may {
		return orRefuse(err, presentedInvalid(errGrantEnded))
	}
	return nil
}

type exchangeStore interface {
	GrantOfSession(ctx context.Context, tenant gatehouse.TenantID, sessionID, clientID string) (gatehouse.Grant, bool, error)
	ExchangeInSession(ctx context.Context, tenant gatehouse.TenantID, exchange gatehouse.SessionExchange, idle time.Duration) (bool, error)
}

// presentedID reads an ID token that was issued to the client. It says who the
// user is; what the client may do is what its grant in that session allows.
// Whether the session lives is decided by the act that commits the exchange.
func (s *Server) presentedID(c *call, text string) (presentedToken, error) {
	if c.Client.TokenExchange == nil || !c.Client.TokenExchange.IDTokens {
		return presentedToken{}, presentedInvalid(errNoIDTokens)
	}
	rules := token.IDTokenRules(s.Keys.Verifiers(c.tenant()), c.Tenant.Issuer, c.Client.ID)
	rules.Now, rules.Skew = s.Store.Now, ownSkew
	rules.Required = append(rules.Required, "sid", "auth_time")
	claims, err := token.Check(c.Context(), text, rules)
	if refused, is := errors.AsType[*token.Error](err); is {
		if refused.Reason != token.Expired {
			err = s.guessFailed(c.Request)
		} else {
			err = nil
		}
		return presentedToken{}, orRefuse(err, presentedInvalid(refused))
	}
	if err != nil {
		return presentedToken{}, err
	}
	grant, found, err := s.Store.GrantOfSession(c.Context(), c.tenant(), claims.SessionID, c.Client.ID)
	if err != nil || !found {
		return presentedToken{}, orRefuse(err, presentedInvalid(errNoSession))
	}
	known, err := s.subjectFor(c.Context(), c.tenant(), c.Client, grant.Subject)
	if err != nil || known != claims.Subject {
		return presentedToken{}, orRefuse(err, presentedInvalid(errNoSession))
	}
	ended, err := s.Store.TokenEnded(c.Context(), c.tenant(), gatehouse.TokenFacts{
		Handle: grant.Handle, ClientID: c.Client.ID, Subject: grant.Subject, IssuedAt: claims.IssuedAt, KeyID: claims.KeyID, SessionID: claims.SessionID,
	})
	if err != nil || ended {
		return presentedToken{}, orRefuse(err, presentedInvalid(errNotLive))
	}
	p := presentedToken{
		subject: claims.Subject, clientID: c.Client.ID, scope: current(grant, c.Client), expiry: claims.Expiry.Unix(), grant: &grant, session: claims.SessionID,
		lineage: []gatehouse.Ancestor{{ClientID: c.Client.ID, SessionID: claims.SessionID, KeyID: claims.KeyID}},
	}
	if raw, has := claims.Raw["may_act"]; has {
		if json.Unmarshal(raw, &p.mayAct) != nil || p.mayAct == nil {
			return presentedToken{}, presentedInvalid(errors.New("its may_act cannot be read"))
		}
	}
	return p, s.mayPresent(c, c.Client.ID, &grant)
}

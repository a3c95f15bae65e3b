package authserver

import (
	"log/slog"
	"time"

	"gatehouse"
	"gatehouse/oauth"
)

// exchange is the grant of RFC 8693: a token of ours for another one, about the
// same user or client, for another resource. What the client may exchange for
// what, its registration says; the answer never allows more, nor lives longer,
// than what was presented, and ends with it.
func (s *Server) exchange(c *call) (minted, error) {
	if c.Client.Public() {
		return minted{}, oauth.Refuse("grant-type-not-registered", oauth.UnauthorizedClient, "Token exchange is for confidential clients.")
	}
	subject, err := s.presentedAs(c, "subject_token")
	if err != nil {
		return minted{}, err
	}
	made := &exchanged{subject: subject.subject, lineage: subject.lineage, until: subject.expiry}
	actor, err := s.delegate(c, subject, made)
	if err != nil {
		return minted{}, err
	}
	resource, scope, err := s.exchangeFor(c, subject)
	if err != nil {
		return minted{}, err
	}
	m, err := s.mint(c, ticket{resource: resource, scope: scope, grant: subject.grant, made: made})
	if err != nil {
		return minted{}, err
	}
	m.response.IssuedTokenType = typeAccessToken // RFC 8693 §2.2.1
	if c.Form.Get("requested_token_type") == typeJWT {
		m.response.IssuedTokenType = typeJWT
	}
	m.told = []slog.Attr{
		slog.String("audience", resource.Identifier), slog.String("subject", subject.subject), slog.String("act", made.act.String()),
		slog.Any("lineage", made.lineage),
	}
	for _, presented := range []presentedToken{subject, actor} {
		if err := s.commitExchange(c, presented, m); err != nil {
			return minted{}, err
		}
	}
	return m, nil
}

// delegate decides who acts: the actor token's subject, the client itself, or,
// where its policy says so, nobody whom the token would tell of (RFC 8693 §1.1).
func (s *Server) delegate(c *call, subject presentedToken, made *exchanged) (presentedToken, error) {
	acts, named := &actor{Subject: c.Client.ID, Act: subject.act}, presentedToken{}
	switch {
	case c.Form.Has("actor_token"):
		var err error
		if named, err = s.presentedAs(c, "actor_token"); err != nil {
			return named, err
		}
		if named.act != nil {
			return named, oauth.Refuse("exchange-actor-delegated", oauth.InvalidRequest, "The actor token is itself a delegated one. Present one that its subject got in its own name.")
		}
		if acts.Subject = named.subject; named.grant != nil {
			acts.ClientID = named.clientID
			if acts.Subject, err = s.subjectFor(c.Context(), c.tenant(), c.Client, named.grant.Subject); err != nil {
				return named, err
			}
		}
		made.lineage = append(made.lineage[:len(made.lineage):len(made.lineage)], heldBy(named)...)
		made.until = min(made.until, named.expiry)
	case c.Form.Sent("actor_token_type"): // RFC 8693 §2.1: "MUST NOT be included otherwise"
		return named, oauth.Refuse("exchange-token-missing", oauth.InvalidRequest, "The request has an actor_token_type and no actor_token.")
	}
	if !subject.mayAct.admits(c.Tenant.Issuer, acts.Subject) { // RFC 8693 §4.4
		return named, oauth.Refuse("exchange-may-not-act", oauth.InvalidRequest, "The subject token says in may_act who may act for its subject, and that is somebody else.")
	}
	made.act = acts
	if !c.Form.Has("actor_token") && c.Client.TokenExchange != nil && c.Client.TokenExchange.Impersonation {
		made.act = subject.act // what was delegated before stays told
	}
	if made.act.depth() > gatehouse.MaxDelegation || len(made.lineage) > gatehouse.MaxAncestors {
		return named, oauth.Refuse("exchange-chain-too-long", oauth.InvalidRequest, "The token has been exchanged too often already.")
	}
	return named, nil
}

// heldBy is the lineage of an actor token, which has a grant of its own.
func heldBy(named presentedToken) []gatehouse.Ancestor {
	var lineage []gatehouse.Ancestor
	for _, ancestor := range named.lineage {
		if ancestor.Handle == "" && named.grant != nil {
			ancestor.Handle = named.grant.Handle
		}
		lineage = append(lineage, ancestor)
	}
	return lineage
}

// exchangeFor decides for which resource the token is and what it allows there.
// Scopes go along as they are, since no other resource has them; those of the
// resource itself come first.
func (s *Server) exchangeFor(c *call, subject presentedToken) (gatehouse.Resource, oauth.Scope, error) {
	none := gatehouse.Resource{}
	audiences, err := s.audiences(c.Context(), c.Tenant, c.Client)
	if err != nil {
		return none, nil, err
	}
	resource, err := exchangeTarget(c, audiences)
	if err != nil {
		return none, nil, err
	}
	switch requested := c.Form.Get("requested_token_type"); {
	case requested == "" || requested == typeAccessToken:
	case requested == typeJWT && resource.TokenFormat != gatehouse.FormatOpaque:
	default:
		return none, nil, oauth.Refuse("exchange-requested-type", oauth.InvalidRequest, "The requested_token_type is none that is issued for this resource. Ask for an access token.")
	}
	asked, err := oauth.ParseScope(c.Form.Get("scope"))
	if err != nil {
		return none, nil, err
	}
	allowed := subject.scope.Without(gatehouse.IdentityScopes).Keep(c.Client.Scopes().Admits)
	if !allowed.Covers(asked) {
		return none, nil, oauth.Refuse("scope-not-exchanged", oauth.InvalidScope, "The scope goes beyond that of the subject token or of the client's registration. An exchange can only narrow it, and leaves the scopes of OpenID Connect out.")
	}
	if len(asked) > 0 {
		return resource, asked, nil
	}
	if own := audiences.within(allowed, []string{resource.Identifier}); len(own) > 0 {
		return resource, own, nil
	}
	if len(allowed) == 0 { // an API that asks for none would allow everything
		return none, nil, oauth.Refuse("scope-not-exchanged", oauth.InvalidScope, "Nothing is left of the subject token's scope that the client is registered for.")
	}
	return resource, allowed, nil
}

// exchangeTarget is the one resource that the request names, by resource or by
// audience (RFC 8693 §2.1), or the only one that there is for the client.
func exchangeTarget(c *call, audiences audiences) (gatehouse.Resource, error) {
	texts := c.Form.Resources()
	if c.Form.Has("audience") {
		texts = append(texts[:len(texts):len(texts)], c.Form.Get("audience"))
	}
	if policy := c.Client.TokenExchange; len(texts) == 0 && policy != nil && len(policy.Audiences) == 1 {
		texts = policy.Audiences
	}
	if len(texts) == 0 {
		return gatehouse.Resource{}, oauth.Refuse("exchange-target-missing", oauth.InvalidTarget, "The request does not say for which resource the token shall be. Name it with the resource or the audience parameter.")
	}
	named, err := audiences.requested(texts)
	if err != nil {
		return gatehouse.Resource{}, err
	}
	if len(named) > 1 {
		return gatehouse.Resource{}, oauth.Refuse("resource-several", oauth.InvalidTarget, "An access token is for one resource. Ask for one token per resource.")
	}
	resource, found := audiences.resource(named[0])
	if !found || !c.Client.MayExchangeFor(resource) {
		return gatehouse.Resource{}, oauth.Refuse("exchange-target-denied", oauth.InvalidTarget, "The client's policy does not let it exchange tokens for this resource.")
	}
	return resource, nil
}

// commitExchange has a token that was made of an ID token end with its session.
// Of other tokens the feed's entries name the lineage, so nothing is written.
func (s *Server) commitExchange(c *call, presented presentedToken, m minted) error {
	if presented.session == "" {
		return nil
	}
	told := map[string]string{"jti": m.jti, "scope": m.response.Scope}
	for _, fact := range m.told {
		if fact.Value.Kind() == slog.KindString {
			told[fact.Key] = fact.Value.String()
		}
	}
	committed, err := s.Store.ExchangeInSession(c.Context(), c.tenant(), gatehouse.SessionExchange{
		SessionID: presented.session, Subject: presented.grant.Subject, ClientID: presented.clientID, Handle: presented.grant.Handle, Until: m.until,
		Told: told, By: c.Circumstance(),
	}, c.Tenant.Settings.SessionIdleLifetime.Std())
	if err != nil || !committed {
		return orRefuse(err, presentedInvalid(errNoSession))
	}
	return nil
}

// sooner is the earlier of a time and one in Unix seconds.
func sooner(t time.Time, seconds int64) time.Time {
	if other := time.Unix(seconds, 0); other.Before(t) {
		return other
	}
	return t
}

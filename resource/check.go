package resource

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/jose"
	"gatehouse/jwks"
	"gatehouse/oauth"
	"gatehouse/revocation"
	"gatehouse/token"
)

// Needs is what an operation needs of a token.
type Needs struct {
	// Scopes, all of them.
	Scopes []string
	// ACRValues are authentication contexts of which the sign-in must have
	// reached one (RFC 9470).
	ACRValues []string
	// MaxAuthAge, if set, is how long ago the sign-in may have been.
	MaxAuthAge time.Duration
	// Claims, all of them.
	Claims []Claim
	// MaxTokenAge, if set, is how long ago the token may have been issued.
	MaxTokenAge time.Duration
}

// Check decides about a token: for transports other than net/http, which
// [Server.Guard] is for. The error is always an *oauth.Error: invalid_token,
// insufficient_scope, insufficient_user_authentication, or temporarily_unavailable
// when the token could not be checked. It comes with the access if the token itself
// is right. Scopes with parameters have no values here, and so are never covered.
//
// The line of log says what the token was wanted for by the attributes.
func (s *Server) Check(ctx context.Context, raw string, needs Needs, what ...slog.Attr) (Access, error) {
	access, err := s.check(ctx, raw, needs)
	s.audit(ctx, access, err, what...)
	if access == nil {
		return Access{}, err
	}
	return *access, err
}

// Still says whether a token that was let in is still right, as [Server.Check]
// would: for what goes on for long after it began. It writes no line of log.
func (s *Server) Still(ctx context.Context, raw string, needs Needs) error {
	_, err := s.check(ctx, raw, needs)
	return err
}

func (s *Server) check(ctx context.Context, raw string, needs Needs) (*Access, error) {
	scope, err := needs.scope()
	if err != nil {
		return nil, oauth.Fault(err)
	}
	possible := !slices.ContainsFunc(scope, oauth.ScopeHasParameters)
	return s.admitted(ctx, presented{raw: raw, scheme: "Bearer"}, needs, scope, possible)
}

// presented is a token as it came.
type presented struct {
	raw, scheme string
	request     *http.Request // nil when it came by another way
}

// checked is a token that was found right, and what it takes to find it right
// again.
type checked struct {
	access *Access // shared
	issuer *issuer
	facts  []revocation.Token
	// generation is that of the keys with which it was verified.
	generation uint64
}

// admitted decides about a token. A refusal for want of scope or sign-in comes
// with the access that the token does give; with another one it is nil.
func (s *Server) admitted(ctx context.Context, p presented, needs Needs, scope oauth.Scope, possible bool) (*Access, error) {
	access, err := s.access(ctx, p.raw)
	if err != nil {
		return nil, err
	}
	if err := s.confirm(ctx, p, access); err != nil {
		return nil, err
	}
	if err := s.young(access, needs); err != nil {
		return nil, err
	}
	if err := s.signedIn(access, needs); err != nil {
		return access, err
	}
	if !possible || !access.Scope.Covers(scope) {
		return access, oauth.Refuse("resource-scope", oauth.InsufficientScope, "The access token lacks a scope that this operation needs.")
	}
	for _, claim := range needs.Claims {
		if !claim.fulfilled(access) {
			return access, oauth.Refuse("resource-claims", oauth.InsufficientScope, "The access token does not say what this operation needs.")
		}
	}
	return access, nil
}

// access checks the token itself. What it returns is shared.
func (s *Server) access(ctx context.Context, raw string) (*Access, error) {
	if len(raw) > s.maxBytes {
		return nil, invalidToken("it is too long")
	}
	key := digestOf(raw)
	if s.opaque != nil && strings.Count(raw, ".") != 2 {
		return s.opaque.introspected(ctx, raw, key)
	}
	if s.introspects {
		i, err := s.issuerOf(raw)
		if err != nil {
			return nil, refusalOf(err)
		}
		if i.IntrospectJWTs {
			return i.introspected(ctx, raw, key)
		}
	}
	c, found := s.verified.Get(key)
	if found {
		still, err := c.still(ctx)
		if err != nil {
			return nil, refusalOf(err)
		}
		if !still {
			s.verified.Drop(key)
		}
		found = still
	}
	if !found {
		var err error
		if c, err = s.verify(ctx, raw); err != nil {
			return nil, refusalOf(err)
		}
		s.verified.Put(key, c)
	}
	if err := c.issuer.unrevoked(ctx, raw, key, c.facts); err != nil {
		return nil, err
	}
	return c.access, nil
}

// still says whether a token that was verified is as good as then: its time has
// not passed, and the keys are the same. The error refuses it.
func (c *checked) still(ctx context.Context) (bool, error) {
	if err := c.issuer.rules.CheckTimes(&c.access.Claims); err != nil {
		return false, err
	}
	generation, err := c.issuer.keys.Generation(ctx)
	return generation == c.generation, err
}

// verify checks a JWT (RFC 9068 §4).
func (s *Server) verify(ctx context.Context, raw string) (*checked, error) {
	i := s.only
	if i == nil {
		var err error
		if i, err = s.issuerOf(raw); err != nil {
			return nil, err
		}
	}
	rules, used := i.rules, witness{set: i.keys}
	rules.Keys = &used
	claims, err := token.Check(ctx, raw, rules)
	if err != nil {
		return nil, err
	}
	access, facts, err := i.read(claims)
	if err != nil {
		return nil, err
	}
	return &checked{access: access, issuer: i, generation: used.generation, facts: facts}, nil
}

// witness remembers of which generation the keys were that it gave.
type witness struct {
	set        *jwks.Set
	generation uint64
}

func (w *witness) Keys(ctx context.Context, kid string, alg jose.Algorithm) (found []jose.PublicKey, err error) {
	found, w.generation, err = w.set.Lookup(ctx, kid, alg)
	return found, err
}

// issuerOf reads whose token it claims to be, to choose the keys that must have
// signed it (RFC 8725 §3.8).
func (s *Server) issuerOf(raw string) (*issuer, error) {
	unverified, err := jose.Parse(raw, jose.Limits{Bytes: s.maxBytes})
	if err != nil {
		return nil, &token.Error{Reason: token.Malformed, Detail: "it is not a well-formed signed JWT", Cause: err}
	}
	members, err := jose.StrictMembers(unverified.UnverifiedPayload())
	if err != nil {
		return nil, &token.Error{Reason: token.Malformed, Detail: "the claims are not a strict JSON object", Cause: err}
	}
	var identifier string
	if json.Unmarshal(members["iss"], &identifier) == nil {
		if i := s.issuers[identifier]; i != nil {
			return i, nil
		}
	}
	return nil, &token.Error{Reason: token.WrongIssuer, Detail: "it is not from an issuer that is accepted here"}
}

// read returns what claims that were checked allow, and what the feed is asked
// about them.
func (i *Issuer) read(claims token.Claims) (*Access, []revocation.Token, error) {
	scope, err := oauth.ParseScope(claims.Scope)
	if err != nil {
		return nil, nil, &token.Error{Reason: token.BadClaim, Detail: "its scope is malformed", Cause: err}
	}
	facts, err := factsOf(claims)
	if err != nil && i.Feed {
		return nil, nil, err
	}
	return &Access{claims.Issuer, claims.ClientID, scope, claims.ID, claims.Expiry, claims}, facts, nil
}

// factsOf are what the feed is asked about: the token, and those of which it was
// made by exchange (docs/revocation.md). Those were live when it was issued, and
// what has ended them since ends it.
func factsOf(claims token.Claims) ([]revocation.Token, error) {
	facts := []revocation.Token{{
		GrantHandle: claims.GrantHandle, ID: claims.ID, SessionID: claims.SessionID, ClientID: claims.ClientID, Subject: claims.Subject,
		Issuer: claims.Issuer, KeyID: claims.KeyID, IssuedAt: claims.IssuedAt,
	}}
	ancestors, err := claims.Ancestors()
	for _, a := range ancestors {
		facts = append(facts, revocation.Token{
			GrantHandle: a.GrantHandle, ID: a.ID, SessionID: a.SessionID, ClientID: a.ClientID, KeyID: a.KeyID, IssuedAt: claims.IssuedAt,
		})
	}
	return facts, err
}

// view is what the feed says of a token and those of which it was made.
func (i *issuer) view(facts []revocation.Token) revocation.State {
	state := revocation.Live
	for _, one := range facts {
		switch i.feed.View(one) {
		case revocation.Revoked:
			return revocation.Revoked
		case revocation.Unknown:
			state = revocation.Unknown
		}
	}
	return state
}

// unrevoked refuses a JWT that was revoked, or of which that is not known.
func (i *issuer) unrevoked(ctx context.Context, raw string, key digest, facts []revocation.Token) error {
	if i.feed == nil {
		return nil
	}
	switch i.view(facts) {
	case revocation.Live:
		return nil
	case revocation.Revoked:
		return revoked()
	}
	if i.InsecureFeedOptional {
		return nil
	}
	answer, err := i.asked.ask(ctx, raw, key, answerLife)
	if err != nil {
		return oauth.Refuse("resource-revocation-unknown", oauth.TemporarilyUnavailable, "It is not known at present whether the access token was revoked. Try again later.").
			After(minRetryAfter).Because(err)
	}
	if answer.refused != nil {
		return invalidToken(answer.refused.Detail).Because(answer.refused)
	}
	return nil
}

func revoked() *oauth.Error {
	return oauth.Refuse("resource-token-revoked", oauth.InvalidToken, "The access token was revoked.")
}

// introspected is what the issuer says of an opaque token.
func (i *issuer) introspected(ctx context.Context, raw string, key digest) (*Access, error) {
	life := answerLife
	if i.feed != nil && i.view([]revocation.Token{{}}) == revocation.Live { // of no token: the feed is heard
		life = followedLife
	}
	answer, err := i.asked.ask(ctx, raw, key, life)
	if err != nil {
		return nil, oauth.Refuse("resource-introspection-unavailable", oauth.TemporarilyUnavailable, "The access token cannot be checked now. Try again later.").
			After(minRetryAfter).Because(err)
	}
	if answer.refused != nil {
		return nil, refusalOf(answer.refused)
	}
	if err := i.asked.rules.CheckTimes(&answer.access.Claims); err != nil { // it may have expired since
		return nil, refusalOf(err)
	}
	if i.feed != nil && i.view(answer.facts) == revocation.Revoked {
		return nil, revoked()
	}
	return answer.access, nil
}

// confirm refuses a token that is bound to a key of its client, unless the proof
// of that key is right (RFC 9449 §7.1, RFC 8705 §3).
func (s *Server) confirm(ctx context.Context, p presented, access *Access) error {
	dpop := strings.EqualFold(p.scheme, "DPoP")
	if !access.Claims.Has("cnf") {
		if dpop {
			return boundToken("The access token is not bound to a key, so that no DPoP proof belongs to it.")
		}
		return nil
	}
	if s.config.Confirm == nil {
		return boundToken("The access token is bound to a key of its client and cannot be used as a bearer token.")
	}
	var bound map[string]json.RawMessage
	if err := json.Unmarshal(access.Claims.Raw["cnf"], &bound); err != nil {
		return boundToken("The access token's claim cnf is malformed.").Because(err)
	}
	if _, toKey := bound["jkt"]; toKey != dpop { // RFC 9449 §7.1: no downgrade to a bearer token
		return boundToken("The access token was sent by another scheme than the one that its binding demands.")
	}
	err := s.config.Confirm(ctx, Bound{p.request, p.scheme, p.raw, *access})
	if err == nil {
		return nil
	}
	if refusal, is := errors.AsType[*oauth.Error](err); is {
		return refusal
	}
	return boundToken("The proof of the client's key is missing or wrong.").Because(err)
}

func boundToken(description string) *oauth.Error {
	return oauth.Refuse("resource-token-bound", oauth.InvalidToken, description)
}

// signedIn refuses when the sign-in behind the token was not enough (RFC 9470 §3).
func (s *Server) signedIn(access *Access, needs Needs) error {
	if len(needs.ACRValues) > 0 && !slices.Contains(needs.ACRValues, access.Claims.ACR) {
		return stepUp("The operation needs a stronger sign-in.")
	}
	if needs.MaxAuthAge > 0 {
		age := time.Since(access.Claims.AuthTime)
		if !access.Claims.Has("auth_time") || age > needs.MaxAuthAge+s.skew() {
			return stepUp("The operation needs a more recent sign-in.")
		}
	}
	return nil
}

// young refuses a token that was issued too long ago for the operation.
func (s *Server) young(access *Access, needs Needs) error {
	if needs.MaxTokenAge > 0 && (!access.Claims.Has("iat") || time.Since(access.Claims.IssuedAt) > needs.MaxTokenAge+s.skew()) {
		return oauth.Refuse("resource-token-age", oauth.InvalidToken, "The access token was issued too long ago for this operation.")
	}
	return nil
}

func (s *Server) skew() time.Duration {
	if s.config.Skew == 0 {
		return token.DefaultSkew
	}
	return s.config.Skew
}

func stepUp(description string) *oauth.Error {
	return oauth.Refuse("resource-step-up", oauth.InsufficientUserAuthentication, description)
}

// minRetryAfter is told to callers when something is missing and may be had again
// at once.
const minRetryAfter = time.Second

// refusalOf is how an error of the checks is answered.
func refusalOf(err error) *oauth.Error {
	if refusal, is := errors.AsType[*token.Error](err); is {
		return invalidToken(refusal.Detail).Because(refusal)
	}
	wait := minRetryAfter
	if unavailable, is := errors.AsType[*jwks.Unavailable](err); is {
		wait = max(wait, unavailable.RetryAfter)
	}
	return oauth.Refuse("resource-keys-unavailable", oauth.TemporarilyUnavailable, "The access token cannot be checked now. Try again later.").
		After(wait).Because(err)
}

func invalidToken(detail string) *oauth.Error {
	return oauth.Refuse("resource-token-invalid", oauth.InvalidToken, "The access token is not valid here: "+detail+".")
}

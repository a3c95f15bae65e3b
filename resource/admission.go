package resource

import (
	"context"
	"net/http"
	"slices"

	"gatehouse/oauth"
	"gatehouse/revocation"
)

// Admission decides about requests by the needs of one operation, and leaves it to
// its caller to answer and to log: for servers that are more than a handler behind
// [Server.Guard]. It is safe for concurrent use.
type Admission struct {
	server *Server
	needs  Needs
	scope  oauth.Scope
	// plain says that no scope has a parameter, and so none depends on the request.
	plain bool
}

// Admission makes the needs ready to decide by. The error says what keeps them from
// ever being fulfilled.
func (s *Server) Admission(needs Needs) (*Admission, error) {
	scope, err := needs.scope()
	if err != nil {
		return nil, err
	}
	return &Admission{s, needs, scope, !slices.ContainsFunc(scope, oauth.ScopeHasParameters)}, nil
}

// Admit decides about a request. The error is an *oauth.Error as of [Server.Check], to
// be answered with the Challenge. The access is there if the token itself is right; it
// is shared with other requests and must not be changed.
func (a *Admission) Admit(r *http.Request) (*Access, error) {
	p, err := a.server.presented(r)
	if err != nil {
		return nil, err
	}
	needed, possible := a.needed(r)
	access, err := a.server.admitted(r.Context(), p, a.needs, needed, possible)
	if err == nil && bodyHasToken(r) {
		err = twoTransports()
	}
	return access, err
}

// Challenge is what a refusal of Admit is answered with (RFC 6750 §3).
func (a *Admission) Challenge(r *http.Request, refusal *oauth.Error) oauth.Challenge {
	needed, _ := a.needed(r)
	return a.server.challenge(refusal, a.needs, needed)
}

// needed are the scopes with the values of the request's path.
func (a *Admission) needed(r *http.Request) (oauth.Scope, bool) {
	if a.plain {
		return a.scope, true
	}
	return concrete(a.scope, r)
}

// Still says whether a token that was let in would be let in again by itself, for what
// goes on for long after it began: it has neither ended nor grown too old. Scopes and
// proofs do not change, and are not looked at.
func (a *Admission) Still(ctx context.Context, raw string) error {
	access, err := a.server.access(ctx, raw)
	if err == nil {
		err = a.server.young(access, a.needs)
	}
	return err
}

// Ended says whether the issuer's revocation feed tells that a token has ended, or one
// of which it was made. Where no feed is followed, or heard, none is told to have.
func (s *Server) Ended(access *Access) bool {
	i := s.issuers[access.Issuer]
	if i == nil || i.feed == nil {
		return false
	}
	facts, err := factsOf(access.Claims)
	return err != nil || i.view(facts) == revocation.Revoked
}

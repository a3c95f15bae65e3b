package resource

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"gatehouse/oauth"
)

// Require returns the middleware that lets requests through whose token has all
// of the scopes; without scopes, any valid token will do. A scope with
// parameters, document:read:{id}, needs the one of the request's own path: its
// value is that of the pattern's wildcard {id} ([http.Request.PathValue]). A
// scope outside the grammar of RFC 6749 §3.3 is a mistake in the program and
// panics.
func (s *Server) Require(scopes ...string) func(http.Handler) http.Handler {
	return s.Guard(Needs{Scopes: scopes})
}

// Guard is Require for operations that need something of the sign-in or of claims,
// too. Needs that nothing can fulfil are a mistake in the program and panic.
func (s *Server) Guard(needs Needs) func(http.Handler) http.Handler {
	admission, err := s.Admission(needs)
	if err != nil {
		panic("resource: " + err.Error())
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			access, err := admission.Admit(r)
			s.audit(r.Context(), access, err, slog.String("method", r.Method), slog.String("path", logged(r.URL.Path)))
			if err != nil {
				refusal := oauth.AsError(err)
				oauth.WriteChallenge(w, refusal, admission.Challenge(r, refusal))
				return
			}
			next.ServeHTTP(w, r.WithContext(withAccess(r.Context(), access)))
		})
	}
}

// Validate says what keeps the needs from ever being fulfilled.
func (n Needs) Validate() error {
	_, err := n.scope()
	return err
}

// scope is the set of the needed scopes.
func (n Needs) scope() (oauth.Scope, error) {
	var needed oauth.Scope
	for _, text := range n.Scopes {
		scope, err := oauth.ParseScope(text)
		if err != nil || len(scope) == 0 || slices.ContainsFunc(scope, func(s string) bool { return oauth.CheckScopeForm(s) != nil }) {
			return nil, fmt.Errorf("Require: %s is not a scope", text)
		}
		needed = needed.Union(scope)
	}
	if n.MaxAuthAge < 0 || n.MaxTokenAge < 0 || slices.Contains(n.ACRValues, "") {
		return nil, fmt.Errorf("Guard: MaxAuthAge or MaxTokenAge is negative, or one of ACRValues empty")
	}
	for _, claim := range n.Claims {
		if err := claim.check(); err != nil {
			return nil, fmt.Errorf("Guard: %w", err)
		}
	}
	return needed, nil
}

// concrete fills the parameters of scopes with the values of the request's
// path. possible is false when no scope can have such a value.
func concrete(needed oauth.Scope, r *http.Request) (filled oauth.Scope, possible bool) {
	if !slices.ContainsFunc(needed, oauth.ScopeHasParameters) {
		return needed, true
	}
	filled = slices.Clone(needed)
	for i, form := range needed {
		scope, fills := oauth.FillScope(form, r.PathValue)
		if !fills {
			return needed, false
		}
		filled[i] = scope
	}
	return filled, true
}

// challenge names all that the operation needs, so that a client can ask for it at
// once.
func (s *Server) challenge(refusal *oauth.Error, needs Needs, needed oauth.Scope) oauth.Challenge {
	challenge := oauth.Challenge{Scope: needed, ResourceMetadata: s.place.url}
	if refusal.Code == oauth.InsufficientUserAuthentication {
		challenge.ACRValues = needs.ACRValues
		challenge.MaxAge, challenge.HasMaxAge = needs.MaxAuthAge, needs.MaxAuthAge > 0
	}
	return challenge
}

// Challenge is what a refusal of [Server.Check] is answered with (RFC 6750 §3).
func (s *Server) Challenge(refusal *oauth.Error, needs Needs) oauth.Challenge {
	scope, err := needs.scope()
	if err != nil {
		scope = nil
	}
	return s.challenge(refusal, needs, scope)
}

// maxLoggedPath bounds what a caller can write into our log.
const maxLoggedPath = 256

// logged is a path as it is logged: the query is left out, since callers put
// tokens there against all advice.
func logged(path string) string {
	if len(path) > maxLoggedPath {
		return path[:maxLoggedPath]
	}
	return path
}

// audit writes the one line of a decision.
func (s *Server) audit(ctx context.Context, access *Access, err error, what ...slog.Attr) {
	handler := s.logger.Handler()
	if !handler.Enabled(ctx, slog.LevelInfo) {
		return
	}
	line := slog.NewRecord(time.Now(), slog.LevelInfo, "access", 0) // where in this file is no news
	if err == nil {
		line.AddAttrs(slog.String("decision", "allowed"))
	} else {
		refusal := oauth.AsError(err)
		line.AddAttrs(slog.String("decision", "refused"), slog.String("error_id", refusal.ID), slog.Int("status", refusal.Status))
		if refusal.Cause != nil {
			line.AddAttrs(slog.String("cause", refusal.Cause.Error()))
		}
	}
	line.AddAttrs(what...)
	if access != nil {
		line.AddAttrs(slog.String("jti", access.JTI), slog.String("client_id", access.ClientID),
			slog.String("sub", access.Claims.Subject), slog.String("iss", access.Issuer))
	}
	_ = handler.Handle(ctx, line)
}

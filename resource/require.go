package resource

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"gatehouse/jwks"
	"gatehouse/oauth"
	"gatehouse/token"
)

// Access is what a checked token allows.
type Access struct {
	Issuer   string
	Subject  string // the user, or the client itself where there is no user
	ClientID string
	Scope    oauth.Scope
	JTI      string
	Expiry   time.Time
	// Claims are all claims of the token.
	Claims token.Claims
}

type accessKey struct{}

// AccessFrom returns the access of the request that ctx belongs to. It is there
// in handlers behind [Server.Require].
func AccessFrom(ctx context.Context) (Access, bool) {
	access, ok := ctx.Value(accessKey{}).(Access)
	return access, ok
}

// Require returns the middleware that lets requests through whose token has all
// of the scopes; without scopes, any valid token will do. A scope with
// parameters, document:read:{id}, needs the one of the request's own path: its
// value is that of the pattern's wildcard {id} ([http.Request.PathValue]). A
// scope outside the grammar of RFC 6749 §3.3 is a mistake in the program and
// panics.
func (s *Server) Require(scopes ...string) func(http.Handler) http.Handler {
	var needed oauth.Scope
	for _, text := range scopes {
		scope, err := oauth.ParseScope(text)
		if err != nil || len(scope) == 0 || slices.ContainsFunc(scope, func(s string) bool { return oauth.CheckScopeForm(s) != nil }) {
			panic("resource: Require: " + text + " is not a scope")
		}
		needed = needed.Union(scope)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			needed, possible := concrete(needed, r)
			access, err := s.admit(r, needed, possible)
			if err != nil {
				s.refuse(w, r, access, err, needed)
				return
			}
			s.audit(r, access, slog.String("decision", "allowed"))
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accessKey{}, access)))
		})
	}
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

// admit decides about a request. A refusal for want of scope comes with the
// access that the token does give.
func (s *Server) admit(r *http.Request, needed oauth.Scope, possible bool) (Access, error) {
	raw, err := bearerToken(r)
	if err != nil {
		return Access{}, err
	}
	access, err := s.check(r.Context(), raw)
	if err != nil {
		return Access{}, err
	}
	if bodyHasToken(r) {
		return access, twoTransports()
	}
	if !possible || !access.Scope.Covers(needed) {
		return access, oauth.Refuse("resource-scope", oauth.InsufficientScope, "The access token lacks a scope that this operation needs.")
	}
	return access, nil
}

func (s *Server) check(ctx context.Context, raw string) (Access, error) {
	claims, err := token.Check(ctx, raw, s.rules)
	if err != nil {
		return Access{}, refusalOf(err)
	}
	if claims.Has("cnf") { // RFC 9449 §7.1, RFC 8705 §3: such a token is worth nothing without its proof
		return Access{}, oauth.Refuse("resource-token-bound", oauth.InvalidToken, "The access token is bound to a key of its client and cannot be used as a bearer token.")
	}
	scope, err := oauth.ParseScope(claims.Scope)
	if err != nil {
		return Access{}, invalidToken("its scope is malformed").Because(err)
	}
	return Access{claims.Issuer, claims.Subject, claims.ClientID, scope, claims.ID, claims.Expiry, claims}, nil
}

// minRetryAfter is told to callers when keys are missing and the next fetch may
// start at once.
const minRetryAfter = time.Second

func refusalOf(err error) *oauth.Error {
	if refusal, ok := errors.AsType[*token.Error](err); ok {
		return invalidToken(refusal.Detail).Because(refusal)
	}
	wait := minRetryAfter
	if unavailable, ok := errors.AsType[*jwks.Unavailable](err); ok {
		wait = max(wait, unavailable.RetryAfter)
	}
	return oauth.Refuse("resource-keys-unavailable", oauth.TemporarilyUnavailable, "The access token cannot be checked now. Try again later.").
		After(wait).Because(err)
}

func invalidToken(detail string) *oauth.Error {
	return oauth.Refuse("resource-token-invalid", oauth.InvalidToken, "The access token is not valid here: "+detail+".")
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, access Access, err error, needed oauth.Scope) {
	refusal := oauth.AsError(err)
	attributes := []slog.Attr{slog.String("decision", "refused"), slog.String("error_id", refusal.ID), slog.Int("status", refusal.Status)}
	if refusal.Cause != nil {
		attributes = append(attributes, slog.String("cause", refusal.Cause.Error()))
	}
	s.audit(r, access, attributes...)
	if refusal.Code != oauth.InsufficientScope {
		needed = nil
	}
	oauth.WriteBearer(w, refusal, needed)
}

// maxLoggedPath bounds what a caller can write into our log.
const maxLoggedPath = 256

// audit writes the one line of a decision. The query is left out, since callers
// put tokens there against all advice.
func (s *Server) audit(r *http.Request, access Access, attributes ...slog.Attr) {
	path := r.URL.Path
	if len(path) > maxLoggedPath {
		path = path[:maxLoggedPath]
	}
	attributes = append(attributes, slog.String("method", r.Method), slog.String("path", path))
	if access.JTI != "" {
		attributes = append(attributes, slog.String("jti", access.JTI), slog.String("client_id", access.ClientID), slog.String("sub", access.Subject))
	}
	s.logger.LogAttrs(r.Context(), slog.LevelInfo, "access", attributes...)
}

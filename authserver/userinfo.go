package authserver

import (
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/jose"
	"gatehouse/oauth"
)

// serveUserinfo is the UserInfo endpoint (OpenID Connect Core §5.3).
func (s *Server) serveUserinfo(w http.ResponseWriter, r *endpoint.Request) error {
	raw, err := bearerToken(r)
	if err != nil {
		return err
	}
	claims, state, err := s.liveAccess(r.Context(), r.Tenant, raw)
	if err != nil {
		return err
	}
	if state == tokenUnknown {
		if err := s.guessFailed(r); err != nil {
			return err
		}
	}
	if state != tokenLive {
		return oauth.Refuse("bearer-token-invalid", oauth.InvalidToken, "The access token is not valid here: it was not issued by this server, has expired or was revoked.")
	}
	scope, err := oauth.ParseScope(claims.Scope)
	if err != nil {
		return err
	}
	if !scope.Has("openid") {
		return oauth.Refuse("userinfo-scope", oauth.InsufficientScope, "The access token was not granted the scope openid.")
	}
	told, client, err := s.userInfo(r, claims, scope)
	if err != nil {
		return err
	}
	if client.UserinfoSignedResponseAlg != "" {
		return s.writeSigned(w, r, client, told)
	}
	body, err := told.MarshalJSON()
	if err != nil {
		return err
	}
	oauth.WriteBody(w, http.StatusOK, body)
	return nil
}

// userInfo returns the claims that a UserInfo response has, sub first, which
// is that of the ID token (OpenID Connect Core §5.3.2), and for whom it is.
func (s *Server) userInfo(r *endpoint.Request, access accessClaims, scope oauth.Scope) (claims, gatehouse.Client, error) {
	client, known, err := s.Store.Client(r.Context(), r.Tenant.ID, access.ClientID)
	if err != nil {
		return nil, gatehouse.Client{}, err
	}
	grant, granted, err := s.grantOf(r.Context(), r.Tenant.ID, access)
	if err != nil {
		return nil, gatehouse.Client{}, err
	}
	user, found, err := s.Store.User(r.Context(), r.Tenant.ID, grant.Subject)
	if err != nil {
		return nil, gatehouse.Client{}, err
	}
	if !known || client.Disabled() || !granted || !found || user.Disabled() {
		return nil, gatehouse.Client{}, oauth.Refuse("bearer-token-invalid", oauth.InvalidToken, "The access token is not valid here: its grant has ended, or its user or client was switched off.")
	}
	subject, err := s.subjectFor(r.Context(), r.Tenant.ID, client, user.Subject)
	if err != nil {
		return nil, gatehouse.Client{}, err
	}
	let := release{r.Tenant.Settings, client, scope, grant.Claims.UserInfo}
	return append(claims{{"sub", subject}}, let.userInfo(user)...), client, nil
}

// writeSigned answers with a JWT (OpenID Connect Core §5.3.2: iss and aud
// "SHOULD" be there). It has no exp, so that nobody can take it for an ID
// token.
func (s *Server) writeSigned(w http.ResponseWriter, r *endpoint.Request, client gatehouse.Client, told claims) error {
	payload, err := append(claims{{"iss", r.Tenant.Issuer}, {"aud", client.ID}}, told...).MarshalJSON()
	if err != nil {
		return err
	}
	signed, err := s.sign(r.Tenant.ID, jose.Algorithm(client.UserinfoSignedResponseAlg), "JWT", payload)
	if err != nil {
		return err
	}
	oauth.NoStore(w.Header())
	w.Header().Set("Content-Type", "application/jwt")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(signed)))
	_, _ = io.WriteString(w, signed)
	return nil
}

// bearerErrors is the error writer of RFC 6750 §3.
func bearerErrors(w http.ResponseWriter, r *endpoint.Request, e *oauth.Error) {
	var needed oauth.Scope
	if e.Code == oauth.InsufficientScope {
		needed = oauth.Scope{"openid"}
	}
	oauth.WriteBearer(w, e, needed)
}

// bearerToken returns the access token of a request: from the header or, in a
// POSTed form, the body (RFC 6750 §2.1, §2.2). A token in the query is not
// looked at.
func bearerToken(r *endpoint.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	inBody, err := bodyToken(r)
	if err != nil {
		return "", err
	}
	switch {
	case len(headers) > 1 || len(headers) == 1 && inBody != "": // RFC 6750 §2
		return "", oauth.Refuse("bearer-several", oauth.InvalidRequest, "The access token must be sent once, in the header or in the body.")
	case inBody != "":
		return inBody, nil
	case len(headers) == 0:
		return "", bearerMissing()
	}
	scheme, raw, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", bearerMissing()
	}
	if raw = strings.TrimSpace(raw); raw == "" {
		return "", oauth.Refuse("bearer-scheme", oauth.InvalidRequest, "The Authorization header must be the word Bearer, a space and the access token.")
	}
	return raw, nil
}

// bearerMissing carries no error code: the request has no token, or
// "attempted using an unsupported authentication method" (RFC 6750 §3.1).
func bearerMissing() error {
	return oauth.Refuse("bearer-missing", "", "The request carries no access token.").WithStatus(http.StatusUnauthorized)
}

func bodyToken(r *endpoint.Request) (string, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || err != nil || mediaType != "application/x-www-form-urlencoded" {
		return "", nil
	}
	r.URL.RawQuery = "" // RFC 6750 §2.3: never read
	form, err := oauth.ReadForm(r.Request)
	return form.Get("access_token"), err
}

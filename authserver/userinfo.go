package authserver

import (
	"mime"
	"net/http"
	"strings"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
)

// userinfo is the UserInfo response (OpenID Connect Core §5.3.2): the claims
// that the token's scopes ask for (§5.4).
type userinfo struct {
	Subject string `json:"sub"`
	*profileClaims
	*emailClaims
	*phoneClaims
	Address *gatehouse.Address `json:"address,omitempty"`
}

type profileClaims struct {
	Name              string `json:"name,omitempty"`
	GivenName         string `json:"given_name,omitempty"`
	FamilyName        string `json:"family_name,omitempty"`
	MiddleName        string `json:"middle_name,omitempty"`
	Nickname          string `json:"nickname,omitempty"`
	PreferredUsername string `json:"preferred_username,omitempty"`
	Profile           string `json:"profile,omitempty"`
	Picture           string `json:"picture,omitempty"`
	Website           string `json:"website,omitempty"`
	Gender            string `json:"gender,omitempty"`
	Birthdate         string `json:"birthdate,omitempty"`
	Zoneinfo          string `json:"zoneinfo,omitempty"`
	Locale            string `json:"locale,omitempty"`
	UpdatedAt         int64  `json:"updated_at,omitempty"`
}

type emailClaims struct {
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
}

type phoneClaims struct {
	PhoneNumber         string `json:"phone_number"`
	PhoneNumberVerified bool   `json:"phone_number_verified"`
}

// claimsSupported lists every claim that ID tokens and UserInfo can carry.
var claimsSupported = []string{
	"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid",
	"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
	"website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	"email", "email_verified", "phone_number", "phone_number_verified", "address",
}

func claimsOf(user gatehouse.User, scope oauth.Scope) userinfo {
	info, claims := userinfo{Subject: user.Subject}, user.Claims
	if scope.Has("profile") {
		preferred := claims.PreferredUsername
		if preferred == "" {
			preferred = user.Username
		}
		info.profileClaims = &profileClaims{
			claims.Name, claims.GivenName, claims.FamilyName, claims.MiddleName, claims.Nickname, preferred,
			claims.Profile, claims.Picture, claims.Website, claims.Gender, claims.Birthdate, claims.Zoneinfo,
			claims.Locale, user.UpdatedAt.Unix(),
		}
	}
	if scope.Has("email") && claims.Email != "" {
		info.emailClaims = &emailClaims{claims.Email, claims.EmailVerified}
	}
	if scope.Has("phone") && claims.PhoneNumber != "" {
		info.phoneClaims = &phoneClaims{claims.PhoneNumber, claims.PhoneNumberVerified}
	}
	if scope.Has("address") {
		info.Address = claims.Address
	}
	return info
}

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
	user, found, err := s.Store.User(r.Context(), r.Tenant.ID, claims.Subject)
	if err != nil {
		return err
	}
	if !found || user.Disabled() {
		return oauth.Refuse("bearer-token-invalid", oauth.InvalidToken, "The access token is not valid here: its user was switched off.")
	}
	oauth.WriteJSON(w, http.StatusOK, claimsOf(user, scope))
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

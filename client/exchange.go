package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"gatehouse/jose"
	"gatehouse/oauth"
)

// Types of tokens (RFC 8693 §3).
const (
	TypeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"
	TypeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
	TypeIDToken      = "urn:ietf:params:oauth:token-type:id_token"
	TypeJWT          = "urn:ietf:params:oauth:token-type:jwt"
)

// Exchange is what a token is exchanged for (RFC 8693 §2.1).
type Exchange struct {
	// SubjectToken is on whose behalf; its type is TypeAccessToken if "".
	SubjectToken     Secret
	SubjectTokenType string
	// ActorToken, if set, is who acts; its type is TypeAccessToken if "".
	ActorToken     Secret
	ActorTokenType string
	// RequestedTokenType is the issuer's choice if "".
	RequestedTokenType string
	Resources          []string
	Audiences          []string
	Scope              string
}

// Exchange exchanges a token for another one: for an API that calls another API on
// behalf of who called it.
func (c *Client) Exchange(ctx context.Context, asked Exchange) (Tokens, error) {
	const op = "token exchange"
	if asked.SubjectToken.IsZero() {
		return Tokens{}, errors.New("client: token exchange: the SubjectToken is missing")
	}
	scope, err := oauth.ParseScope(asked.Scope)
	if err != nil {
		return Tokens{}, errors.New("client: token exchange: the Scope is malformed")
	}
	form := url.Values{
		"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {asked.SubjectToken.Reveal()}, "subject_token_type": {typeOr(asked.SubjectTokenType)},
		"resource": asked.Resources, "audience": asked.Audiences,
	}
	if !asked.ActorToken.IsZero() { // §2.1: its type is there exactly if it is
		form.Set("actor_token", asked.ActorToken.Reveal())
		form.Set("actor_token_type", typeOr(asked.ActorTokenType))
	}
	for name, value := range map[string]string{"scope": scope.String(), "requested_token_type": asked.RequestedTokenType} {
		if value != "" {
			form.Set(name, value)
		}
	}
	got, err := c.guarded(op, func() (answer, error) { return c.post(ctx, op, tokenEndpoint, form) })
	if err != nil {
		return Tokens{}, err
	}
	tokens, err := readTokens(op, got, scope)
	if err == nil && tokens.IssuedType == "" { // §2.2.1
		return Tokens{}, &InvalidError{Op: op, Detail: "the answer does not say what kind of token it is (issued_token_type)"}
	}
	return tokens, err
}

func typeOr(kind string) string {
	if kind == "" {
		return TypeAccessToken
	}
	return kind
}

// Token makes tokens a [TokenSource] until they end: [ErrTokenExpired].
func (t Tokens) Token(context.Context) (Tokens, error) {
	if !t.Valid(0) {
		return Tokens{}, ErrTokenExpired
	}
	return t, nil
}

// Introspection is what an issuer says about a token (RFC 7662 §2.2). Of one that
// is not active it says nothing else.
type Introspection struct {
	Active    bool
	Scope     oauth.Scope
	ClientID  string
	Username  string
	TokenType string
	Expiry    time.Time
	IssuedAt  time.Time
	NotBefore time.Time
	Subject   string
	Audience  []string
	Issuer    string
	ID        string
	// Raw holds every member by its name.
	Raw map[string]json.RawMessage
}

// Introspect asks the issuer about a token. hint is access_token, refresh_token
// or "". The caller still judges audience and scope.
func (c *Client) Introspect(ctx context.Context, token Secret, hint string) (Introspection, error) {
	const op = "introspection"
	form := url.Values{"token": {token.Reveal()}}
	if hint != "" {
		form.Set("token_type_hint", hint)
	}
	got, err := c.post(ctx, op, introspectionEndpoint, form)
	if err != nil {
		return Introspection{}, err
	}
	var r struct {
		Active    *bool           `json:"active"`
		Scope     string          `json:"scope"`
		ClientID  string          `json:"client_id"`
		Username  string          `json:"username"`
		TokenType string          `json:"token_type"`
		Expiry    float64         `json:"exp"`
		IssuedAt  float64         `json:"iat"`
		NotBefore float64         `json:"nbf"`
		Subject   string          `json:"sub"`
		Audience  json.RawMessage `json:"aud"`
		Issuer    string          `json:"iss"`
		ID        string          `json:"jti"`
	}
	if err := got.decode(&r); err != nil {
		return Introspection{}, &InvalidError{Op: op, Detail: "the answer cannot be read", Cause: err}
	}
	if r.Active == nil {
		return Introspection{}, &InvalidError{Op: op, Detail: "the answer does not say whether the token is active"}
	}
	if !*r.Active {
		return Introspection{}, nil
	}
	scope, err := oauth.ParseScope(r.Scope)
	if err != nil {
		return Introspection{}, &InvalidError{Op: op, Detail: "the scope is malformed"}
	}
	i := Introspection{
		Active: true, Scope: scope, ClientID: r.ClientID, Username: r.Username, TokenType: r.TokenType,
		Expiry: numericDate(r.Expiry), IssuedAt: numericDate(r.IssuedAt), NotBefore: numericDate(r.NotBefore),
		Subject: r.Subject, Issuer: r.Issuer, ID: r.ID,
	}
	if i.Audience, err = audienceOf(r.Audience); err != nil {
		return Introspection{}, &InvalidError{Op: op, Detail: "aud is neither a text nor a list of texts"}
	}
	if i.Raw, err = jose.StrictMembers(got.body); err != nil {
		return Introspection{}, &InvalidError{Op: op, Detail: "the answer cannot be read", Cause: err}
	}
	if !i.Expiry.IsZero() && !time.Now().Before(i.Expiry.Add(c.skew())) { // an answer out of somebody's cache
		return Introspection{}, nil
	}
	return i, nil
}

// numericDate is a time of RFC 7519 §2, zero for none or one that no clock reaches.
func numericDate(seconds float64) time.Time {
	const year9999 = 253402300799
	if seconds <= 0 || seconds > year9999 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// audienceOf reads a text or a list of texts.
func audienceOf(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var several []string
	err := json.Unmarshal(raw, &several)
	return several, err
}

package client

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/secret"
	"gatehouse/jose"
	"gatehouse/oauth"
)

// Secret is a text that prints as "[redacted]" wherever it is printed; its
// Reveal gives the text.
type Secret = secret.String

// NewSecret makes a Secret of its text; NewSecret("") is the absent one.
func NewSecret(text string) Secret { return secret.New(text) }

// Bounds of what a token endpoint says.
const (
	// MaxTokenBytes bounds each token.
	MaxTokenBytes = 16 << 10

	maxTokenLife = 10 * 365 * 24 * time.Hour
)

// Tokens are what a token endpoint issued (RFC 6749 §5.1). They print without
// their secrets; [Tokens.Export] keeps them.
type Tokens struct {
	AccessToken Secret
	// Expiry is when the access token ends; zero when the issuer did not say.
	Expiry time.Time
	// RefreshToken is absent unless the issuer gave one.
	RefreshToken Secret
	// IDToken is the raw token, whose claims were checked if OpenID Connect was
	// asked for.
	IDToken Secret
	// Scope is what was granted.
	Scope oauth.Scope
	// IssuedType is the token's type after an exchange (RFC 8693 §2.2.1).
	IssuedType string
}

// Valid says that there is an access token that does not expire within the margin.
func (t Tokens) Valid(margin time.Duration) bool {
	return !t.AccessToken.IsZero() && (t.Expiry.IsZero() || time.Now().Add(margin).Before(t.Expiry))
}

// exported is the form of tokens at rest.
type exported struct {
	Access  string      `json:"access_token,omitempty"`
	Expiry  int64       `json:"expiry,omitempty"` // Unix seconds
	Refresh string      `json:"refresh_token,omitempty"`
	ID      string      `json:"id_token,omitempty"`
	Scope   oauth.Scope `json:"scope,omitempty"`
	Type    string      `json:"issued_token_type,omitempty"`
}

func (t Tokens) exported() exported {
	e := exported{Access: t.AccessToken.Reveal(), Refresh: t.RefreshToken.Reveal(), ID: t.IDToken.Reveal(), Scope: t.Scope, Type: t.IssuedType}
	if !t.Expiry.IsZero() {
		e.Expiry = t.Expiry.Unix()
	}
	return e
}

func (e exported) tokens() Tokens {
	t := Tokens{AccessToken: NewSecret(e.Access), RefreshToken: NewSecret(e.Refresh), IDToken: NewSecret(e.ID), Scope: e.Scope, IssuedType: e.Type}
	if e.Expiry != 0 {
		t.Expiry = time.Unix(e.Expiry, 0)
	}
	return t
}

// Export returns the tokens as JSON with their secrets in the clear: for a key
// ring, or a file that its owner alone can read.
func (t Tokens) Export() ([]byte, error) { return json.Marshal(t.exported()) }

// ImportTokens reads what [Tokens.Export] wrote.
func ImportTokens(data []byte) (Tokens, error) {
	var e exported
	if err := (jose.Limits{Bytes: 4 * MaxTokenBytes}).Decode(data, &e); err != nil {
		return Tokens{}, errors.New("client: these are not exported tokens")
	}
	return e.tokens(), nil
}

// tokenResponse is the success of RFC 6749 §5.1 as servers write it.
type tokenResponse struct {
	AccessToken     string          `json:"access_token"`
	TokenType       string          `json:"token_type"`
	ExpiresIn       json.RawMessage `json:"expires_in"`
	RefreshToken    string          `json:"refresh_token"`
	IDToken         string          `json:"id_token"`
	Scope           *string         `json:"scope"`
	IssuedTokenType string          `json:"issued_token_type"`
}

// readTokens reads the success of a token endpoint. asked is the scope that was
// asked for, which counts where the answer names none (RFC 6749 §5.1).
func readTokens(op string, got answer, asked oauth.Scope) (Tokens, error) {
	invalid := func(detail string) (Tokens, error) { return Tokens{}, &InvalidError{Op: op, Detail: detail} }
	var r tokenResponse
	if err := got.decode(&r); err != nil {
		return Tokens{}, &InvalidError{Op: op, Detail: "the token response cannot be read", Cause: err}
	}
	if r.AccessToken == "" {
		return invalid("the token response has no access_token")
	}
	for _, one := range []string{r.AccessToken, r.RefreshToken, r.IDToken} {
		if len(one) > MaxTokenBytes || strings.ContainsFunc(one, func(c rune) bool { return c <= ' ' || c > '~' }) { // RFC 6749 §A.12, RFC 6750 §2.1
			return invalid("a token has characters that a token cannot have, or is longer than " + strconv.Itoa(MaxTokenBytes) + " bytes")
		}
	}
	// RFC 6749 §7.1: "The client MUST NOT use an access token if it does not
	// understand the token type." Its case does not matter (§5.1). N_A is that of
	// an exchanged token that is no access token (RFC 8693 §2.2.1).
	if !strings.EqualFold(r.TokenType, "Bearer") && (r.TokenType != "N_A" || r.IssuedTokenType == "") {
		return invalid("the token is not of the type Bearer")
	}
	t := Tokens{AccessToken: NewSecret(r.AccessToken), RefreshToken: NewSecret(r.RefreshToken), IDToken: NewSecret(r.IDToken), Scope: asked, IssuedType: r.IssuedTokenType}
	if len(r.ExpiresIn) > 0 && string(r.ExpiresIn) != "null" {
		seconds, err := strconv.ParseFloat(strings.Trim(string(r.ExpiresIn), `"`), 64) // some write it as a string
		if err != nil || seconds < 0 {
			return invalid("expires_in is not a number of seconds")
		}
		t.Expiry = got.at.Add(time.Duration(min(seconds, maxTokenLife.Seconds()) * float64(time.Second)))
	}
	if r.Scope != nil {
		scope, err := oauth.ParseScope(*r.Scope)
		if err != nil {
			return invalid("the scope is malformed")
		}
		t.Scope = scope
	}
	return t, nil
}

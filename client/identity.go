package client

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"gatehouse/jose"
	"gatehouse/token"
)

// maxSubject is the longest sub, in ASCII characters (OpenID Connect Core §2).
const maxSubject = 255

// maxIDTokenAge is how long ago a new ID token may have been issued.
const maxIDTokenAge = 10 * time.Minute

// Identity is who signed in, by an ID token that was checked.
//
// Issuer and Subject together name the person, and nothing else does: an e-mail
// address is neither unique nor for ever (OpenID Connect Core §5.7).
type Identity struct {
	Issuer  string
	Subject string
	// SessionID is the issuer's name for the session, "" if it gives none.
	SessionID string
	// AuthTime is when the person authenticated; zero if the issuer does not say.
	AuthTime time.Time
	ACR      string
	// Claims are all claims of the ID token.
	Claims token.Claims
}

// expected is what an ID token is held against beside the rules.
type expected struct {
	nonce       string // "" where none was sent
	accessToken string
	maxAge      time.Duration
	began       time.Time // the request, as of which maxAge counts
	// reauthenticated, if set, is when the request demanded a new sign-in.
	reauthenticated time.Time
	acr             []string
	// before is the identity that a refreshed token must repeat.
	before *Identity
}

// checkIDToken returns the identity in a raw ID token (OpenID Connect Core
// §3.1.3.7). Errors are *InvalidError, *LoginError and *UnavailableError.
func (c *Client) checkIDToken(ctx context.Context, op, raw string, want expected) (Identity, error) {
	k, err := c.known(ctx)
	if err != nil {
		return Identity{}, err
	}
	if k.keys == nil {
		return Identity{}, &InvalidError{Op: op, Detail: "the issuer's metadata has no jwks_uri, so that no ID token can be checked"}
	}
	rules := token.IDTokenRules(k.keys, c.provider.issuer, c.config.ClientID)
	rules.Skew, rules.MaxAge = c.config.Skew, maxIDTokenAge
	if c.config.Algorithms != nil {
		rules.Algorithms = c.config.Algorithms
	}
	claims, err := token.Check(ctx, raw, rules)
	if err != nil {
		return Identity{}, tokenFault(op, "the ID token was refused", err)
	}
	if detail := c.judgeIDToken(claims, want); detail != "" {
		return Identity{}, &InvalidError{Op: op, Detail: "the ID token was refused: " + detail}
	}
	identity := identityOf(claims)
	return identity, want.authentication(identity, c.skew())
}

// tokenFault tells a token that is refused from keys that cannot be had.
func tokenFault(op, detail string, err error) error {
	if _, refused := errors.AsType[*token.Error](err); refused {
		return &InvalidError{Op: op, Detail: detail, Cause: err}
	}
	return &UnavailableError{Op: op, Cause: err}
}

func identityOf(claims token.Claims) Identity {
	return Identity{
		Issuer: claims.Issuer, Subject: claims.Subject, SessionID: claims.SessionID,
		AuthTime: claims.AuthTime, ACR: claims.ACR, Claims: claims,
	}
}

func (c *Client) skew() time.Duration {
	if c.config.Skew == 0 {
		return token.DefaultSkew
	}
	return c.config.Skew
}

// judgeIDToken says what is wrong with a token that fulfils the rules, "" if nothing.
func (c *Client) judgeIDToken(claims token.Claims, want expected) string {
	if len(claims.Subject) > maxSubject {
		return "its sub is longer than 255 characters"
	}
	if claims.AuthTime.After(time.Now().Add(c.skew())) {
		return "its auth_time is in the future"
	}
	// OpenID Connect Core §3.1.3.7, 3: refuse additional audiences that are not trusted.
	for _, audience := range claims.Audience {
		if audience != c.config.ClientID && !slices.Contains(c.config.TrustedAudiences, audience) {
			return "it is also meant for an audience that is not trusted"
		}
	}
	// §3.1.3.7, 11. Of a refreshed token nonce may be absent (§12.2).
	if want.nonce == "" && want.before == nil && claims.Has("nonce") {
		return "it has a nonce, and none was sent"
	}
	if want.nonce != "" && (want.before == nil || claims.Has("nonce")) && !sameText(claims.Nonce, want.nonce) {
		return "its nonce is not the one that was sent"
	}
	if claims.Has("at_hash") && want.accessToken != "" {
		var hash struct {
			Value string `json:"at_hash"`
		}
		if claims.Decode(&hash) != nil || !sameText(hash.Value, leftHash(claims.Algorithm, want.accessToken)) {
			return "its at_hash is not that of the access token" // §3.1.3.8
		}
	}
	if before := want.before; before != nil { // §12.2
		switch {
		case claims.Issuer != before.Issuer || claims.Subject != before.Subject:
			return "it is of somebody else than the one before"
		case claims.Has("auth_time") && !before.AuthTime.IsZero() && !claims.AuthTime.Equal(before.AuthTime):
			return "its auth_time is not that of the sign-in"
		case claims.SessionID != "" && before.SessionID != "" && claims.SessionID != before.SessionID:
			return "it is of another session"
		}
	}
	return ""
}

// authentication holds the sign-in to what the request demanded.
func (want expected) authentication(got Identity, skew time.Duration) error {
	refuse := func(detail string) error { return &LoginError{Reason: WrongAuthentication, Detail: detail} }
	if want.maxAge > 0 {
		if got.AuthTime.IsZero() { // OpenID Connect Core §3.1.2.1: then auth_time must be there
			return refuse("the issuer does not say when the person signed in, as max_age demands")
		}
		// A person may take their time after the password: who signed in after the
		// request did so young enough.
		if want.began.Sub(got.AuthTime) > want.maxAge+skew {
			return refuse("the person signed in too long ago; ask for a new sign-in")
		}
	}
	if !want.reauthenticated.IsZero() && !got.AuthTime.IsZero() && got.AuthTime.Add(skew).Before(want.reauthenticated.Truncate(time.Second)) {
		return refuse("the person did not sign in anew, as prompt=login demands")
	}
	if len(want.acr) > 0 && !slices.Contains(want.acr, got.ACR) {
		return refuse("the person did not sign in in the way that acr_values demand")
	}
	return nil
}

func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// leftHash is the left half of the hash of a text by the hash of the algorithm,
// encoded (OpenID Connect Core §3.1.3.6). Every algorithm that a token can have
// passed with has its line here; of any other, no text is the hash.
func leftHash(alg jose.Algorithm, text string) string {
	var digest []byte
	switch alg {
	case jose.RS256, jose.PS256, jose.ES256:
		sum := sha256.Sum256([]byte(text))
		digest = sum[:]
	case jose.EdDSA: // with Ed25519, the hash is that of the signature
		sum := sha512.Sum512([]byte(text))
		digest = sum[:]
	}
	if digest == nil {
		return "\x00"
	}
	return base64.RawURLEncoding.EncodeToString(digest[:len(digest)/2])
}

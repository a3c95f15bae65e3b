package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/jose"
)

// Tolerance for clocks that disagree.
const (
	DefaultSkew = 5 * time.Second
	MaxSkew     = time.Minute
)

// Keys is where public keys come from. Given the kid and alg of a header, it
// returns the keys that may have made the signature: those of that kid and
// alg, or all of that alg when kid is empty. None is an answer; an error means
// that the keys are not known now, through no fault of the token.
type Keys interface {
	Keys(ctx context.Context, kid string, alg jose.Algorithm) ([]jose.PublicKey, error)
}

// Rules is what one kind of token must fulfil. [AccessTokenRules],
// [IDTokenRules], [LogoutTokenRules] and [UserInfoRules] are the usual starting
// points. Rules of two kinds must exclude each other (RFC 8725 §3.12), which
// Types, Audience, Required and Forbidden see to.
type Rules struct {
	// Keys are those of every issuer in Issuers; where issuers do not trust
	// each other, each has Rules of its own (RFC 8725 §3.8).
	Keys Keys
	// Algorithms that are accepted; required.
	Algorithms []jose.Algorithm
	// Types are the accepted values of typ, compared without regard to case and
	// to a leading "application/" (RFC 7515 §4.1.9). "" accepts its absence.
	// Required.
	Types []string
	// Issuers that are accepted, compared octet for octet; required.
	Issuers []string
	// Audience is the reader's own identifier, which must be in aud; required.
	Audience string
	// AuthorizedParty, if set, must be azp where there is one, and azp must be
	// there when aud names several (OpenID Connect Core §3.1.3.7).
	AuthorizedParty string
	// Required claims beside iss, aud and exp.
	Required []string
	// Optional names those of iss, aud and exp that this kind of token may lack;
	// where they are present, they are checked like in any other.
	Optional []string
	// Forbidden claims, which belong to other kinds of token.
	Forbidden []string
	// Skew is the tolerance for exp, nbf and iat; 0 means [DefaultSkew], the
	// bound is [MaxSkew].
	Skew time.Duration
	// MaxAge, if set, makes iat required and bounds the token's age.
	MaxAge time.Duration
	// MaxBytes bounds the token's length; 0 means [jose.MaxTokenBytes].
	MaxBytes int
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// InsecureAllowExpired skips exp and MaxAge and nothing else; exp must still
	// be there. For id_token_hint (OpenID Connect RP-Initiated Logout §2).
	InsecureAllowExpired bool
	// InsecureAnyAudience takes a token of any audience: the caller has to judge
	// Claims.Audience itself.
	InsecureAnyAudience bool
}

// AccessTokenRules are the rules of RFC 9068 §4 for the resource that the
// audience names.
func AccessTokenRules(keys Keys, issuer, audience string) Rules {
	return Rules{
		Keys:       keys,
		Algorithms: []jose.Algorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256},
		Types:      []string{jose.TypeAccessToken},
		Issuers:    []string{issuer},
		Audience:   audience,
		Required:   []string{"sub", "client_id", "iat", "jti"}, // RFC 9068 §2.2
	}
}

// IDTokenRules are the rules of OpenID Connect Core §3.1.3.7 for the client.
// The caller compares nonce, auth_time and at_hash as its request demands.
func IDTokenRules(keys Keys, issuer, clientID string) Rules {
	return Rules{
		Keys:            keys,
		Algorithms:      []jose.Algorithm{jose.RS256, jose.ES256, jose.EdDSA, jose.PS256},
		Types:           []string{jose.TypeJWT, ""},
		Issuers:         []string{issuer},
		Audience:        clientID,
		AuthorizedParty: clientID,
		Required:        []string{"sub", "iat"},
		Forbidden:       []string{"events"}, // a logout token's (OpenID Connect Back-Channel Logout §2.4)
	}
}

// LogoutTokenRules are the rules of OpenID Connect Back-Channel Logout §2.4 and
// §2.6 for the client. The caller looks into events, wants sub or sid, and sees
// to it that each jti counts once.
func LogoutTokenRules(keys Keys, issuer, clientID string) Rules {
	return Rules{
		Keys:       keys,
		Algorithms: []jose.Algorithm{jose.RS256, jose.ES256, jose.EdDSA, jose.PS256},
		Types:      []string{jose.TypeLogoutToken, jose.TypeJWT, ""}, // the type is recommended only
		Issuers:    []string{issuer},
		Audience:   clientID,
		Required:   []string{"iat", "jti", "events"},
		Forbidden:  []string{"nonce"}, // an ID token's (§2.4: "to prevent its abuse as an ID Token")
	}
}

// UserInfoRules are the rules of OpenID Connect Core §5.3.2 for a signed UserInfo
// response, of which iss and aud are recommended and nothing says that it expires.
// The caller compares sub with that of the ID token (§5.3.4).
func UserInfoRules(keys Keys, issuer, clientID string) Rules {
	return Rules{
		Keys:       keys,
		Algorithms: []jose.Algorithm{jose.RS256, jose.ES256, jose.EdDSA, jose.PS256},
		Types:      []string{jose.TypeJWT, ""},
		Issuers:    []string{issuer},
		Audience:   clientID,
		Required:   []string{"sub"},
		Optional:   []string{"iss", "aud", "exp"},
		Forbidden:  []string{"nonce", "events"}, // of an ID token, and of a logout token
	}
}

// Validate says what is missing in the rules. It is for the start of a program;
// Check refuses incomplete rules too.
func (r *Rules) Validate() error {
	switch {
	case r.Keys == nil:
		return errors.New("token rules: Keys is missing")
	case len(r.Algorithms) == 0:
		return errors.New("token rules: Algorithms is empty; name those you accept")
	case len(r.Types) == 0:
		return errors.New("token rules: Types is empty; name the typ you accept")
	case len(r.Issuers) == 0 || slices.Contains(r.Issuers, ""):
		return errors.New("token rules: Issuers is empty or has an empty issuer")
	case r.Audience == "" && !r.InsecureAnyAudience:
		return errors.New("token rules: Audience is missing; without it tokens for others would be accepted")
	case r.Skew < 0 || r.Skew > MaxSkew:
		return fmt.Errorf("token rules: Skew is not between 0 and %v", MaxSkew)
	case r.MaxAge < 0 || r.MaxBytes < 0:
		return errors.New("token rules: MaxAge and MaxBytes cannot be negative")
	}
	for _, alg := range r.Algorithms {
		if !alg.Valid() {
			return fmt.Errorf("token rules: algorithm %q is not supported", string(alg))
		}
	}
	return nil
}

func (r *Rules) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func (r *Rules) skew() time.Duration {
	if r.Skew == 0 {
		return DefaultSkew
	}
	return r.Skew
}

// mayLack says that the token lacks a claim that it need not have.
func (r *Rules) mayLack(c *Claims, name string) bool {
	return !c.Has(name) && slices.Contains(r.Optional, name)
}

func (r *Rules) acceptsType(typ string) bool {
	return slices.ContainsFunc(r.Types, func(accepted string) bool {
		return (typ == "") == (accepted == "") && strings.EqualFold(bareType(typ), bareType(accepted))
	})
}

func bareType(typ string) string {
	const prefix = "application/"
	if len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		return typ[len(prefix):]
	}
	return typ
}

package token

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gatehouse/jose"
)

// Check returns the claims of raw if it fulfils the rules. A token that does
// not is refused with an [*Error]; every other error is a fault of ours: the
// rules are incomplete, or the keys cannot be had now.
//
// The signature is checked before any claim is read, so that no caller takes a
// forged token for one that is "only expired".
func Check(ctx context.Context, raw string, rules Rules) (Claims, error) {
	if err := rules.Validate(); err != nil {
		return Claims{}, err
	}
	payload, key, err := verify(ctx, raw, &rules)
	if err != nil {
		return Claims{}, err
	}
	claims, err := readClaims(payload)
	if err != nil {
		return Claims{}, err
	}
	claims.KeyID, claims.Algorithm = key.ID, key.Algorithm
	if err := rules.checkParties(&claims); err != nil {
		return Claims{}, err
	}
	if err := rules.checkTimes(&claims); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

func verify(ctx context.Context, raw string, rules *Rules) (payload []byte, by jose.PublicKey, err error) {
	unverified, err := jose.Parse(raw, jose.Limits{Bytes: rules.MaxBytes})
	if errors.Is(err, jose.ErrAlgorithm) {
		return nil, jose.PublicKey{}, &Error{Reason: WrongAlgorithm, Detail: "the signature algorithm is not accepted", Cause: err}
	}
	if err != nil {
		return nil, jose.PublicKey{}, &Error{Reason: Malformed, Detail: "it is not a well-formed signed JWT", Cause: err}
	}
	header := unverified.Header
	if !slices.Contains(rules.Algorithms, header.Algorithm) {
		return nil, jose.PublicKey{}, refuse(WrongAlgorithm, "the signature algorithm is not accepted")
	}
	if !rules.acceptsType(header.Type) { // RFC 8725 §3.11
		return nil, jose.PublicKey{}, refuse(WrongType, "it is another kind of token")
	}
	candidates, err := rules.Keys.Keys(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return nil, jose.PublicKey{}, fmt.Errorf("getting the keys that check a token: %w", err)
	}
	if len(candidates) == 0 {
		return nil, jose.PublicKey{}, refuse(UnknownKey, "it is signed with a key that its issuer does not publish")
	}
	for _, key := range candidates {
		if payload, err := unverified.Verify(key); err == nil {
			return payload, key, nil
		}
	}
	return nil, jose.PublicKey{}, refuse(BadSignature, "its signature does not verify")
}

func (r *Rules) checkParties(c *Claims) error {
	if !slices.Contains(r.Issuers, c.Issuer) && !r.mayLack(c, "iss") {
		return refuse(WrongIssuer, "it is not from the expected issuer")
	}
	if !r.InsecureAnyAudience && !slices.Contains(c.Audience, r.Audience) && !r.mayLack(c, "aud") {
		return refuse(WrongAudience, "it is meant for another audience")
	}
	if r.AuthorizedParty != "" {
		if c.Has("azp") && c.AZP != r.AuthorizedParty || !c.Has("azp") && len(c.Audience) > 1 {
			return refuse(WrongAudience, "it was issued to another party")
		}
	}
	for _, name := range r.Required {
		if value, has := c.Raw[name]; !has || string(value) == `""` || string(value) == "null" {
			return refuse(BadClaim, "a required claim is missing")
		}
	}
	for _, name := range r.Forbidden {
		if c.Has(name) {
			return refuse(BadClaim, "it has a claim of another kind of token")
		}
	}
	return nil
}

func (r *Rules) checkTimes(c *Claims) error {
	if !c.Has("exp") && !r.mayLack(c, "exp") {
		return refuse(BadClaim, "it does not say when it expires")
	}
	return r.CheckTimes(c)
}

// CheckTimes says whether claims that were checked before still fulfil the rules
// at this time: as long as nothing else changes, a token need not be verified
// again.
func (r *Rules) CheckTimes(c *Claims) error {
	if r.MaxAge > 0 && !c.Has("iat") {
		return refuse(BadClaim, "it does not say when it was issued")
	}
	now, skew := r.now(), r.skew()
	if now.Add(skew).Before(c.NotBefore) || now.Add(skew).Before(c.IssuedAt) {
		return refuse(NotYetValid, "it is not valid yet")
	}
	if r.InsecureAllowExpired {
		return nil
	}
	// RFC 7519 §4.1.4: "on or after which the JWT MUST NOT be accepted".
	if c.Has("exp") && !now.Before(c.Expiry.Add(skew)) {
		return refuse(Expired, "it has expired")
	}
	if r.MaxAge > 0 && now.After(c.IssuedAt.Add(r.MaxAge+skew)) {
		return refuse(Expired, "it was issued too long ago")
	}
	return nil
}

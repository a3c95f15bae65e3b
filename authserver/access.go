package authserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/token"
)

type endingStore interface {
	TokenEnded(ctx context.Context, tenant gatehouse.TenantID, facts gatehouse.TokenFacts) (bool, error)
}

// openAccess reads an access token of ours, of either format. valid is false
// for every other text, and for one that has expired.
func (s *Server) openAccess(ctx context.Context, tenant gatehouse.Tenant, raw string) (claims accessClaims, valid bool, err error) {
	if encoded, opaque := strings.CutPrefix(raw, opaquePrefix); opaque {
		claims, valid = s.openOpaque(tenant, encoded)
		return claims, valid, nil
	}
	rules := token.AccessTokenRules(s.Keys.Verifiers(tenant.ID), tenant.Issuer, "")
	rules.InsecureAnyAudience = true // we ask for whom the token is, we do not consume it
	rules.Now, rules.Skew = s.Store.Now, ownSkew
	checked, err := token.Check(ctx, raw, rules)
	if err != nil {
		return accessClaims{}, false, nil
	}
	// RFC 7519 §4.1.4: not accepted on or after the expiry.
	return claims, checked.Decode(&claims) == nil && s.Store.Now().Unix() < claims.Expiry, nil
}

// ownSkew tolerates no other clock: our tokens carry our own times.
const ownSkew = time.Nanosecond

// maxOpaqueLength bounds opaque tokens, in characters.
const maxOpaqueLength = 2 << 10

func (s *Server) openOpaque(tenant gatehouse.Tenant, encoded string) (accessClaims, bool) {
	if len(encoded) > maxOpaqueLength {
		return accessClaims{}, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return accessClaims{}, false
	}
	payload, opened := s.Keys.SealRing(tenant.ID, "access token").Open(sealed, nil)
	var claims accessClaims
	if !opened || json.Unmarshal(payload, &claims) != nil {
		return accessClaims{}, false
	}
	return claims, s.Store.Now().Unix() < claims.Expiry
}

// liveAccess reads an access token of ours that has not been ended: neither
// it, nor its grant, client or user (RFC 7662 §4).
func (s *Server) liveAccess(ctx context.Context, tenant gatehouse.Tenant, raw string) (accessClaims, bool, error) {
	claims, valid, err := s.openAccess(ctx, tenant, raw)
	if err != nil || !valid {
		return accessClaims{}, false, err
	}
	facts := gatehouse.TokenFacts{
		Handle: claims.Handle, ID: claims.ID, ClientID: claims.ClientID, IssuedAt: time.Unix(claims.IssuedAt, 0),
	}
	if claims.ofUser() {
		facts.Subject = claims.Subject
	}
	ended, err := s.Store.TokenEnded(ctx, tenant.ID, facts)
	return claims, !ended, err
}

// ofUser says whether the token acts for a user; one without a grant acts for
// its client (RFC 9068 §2.2).
func (c accessClaims) ofUser() bool { return c.Handle != "" }

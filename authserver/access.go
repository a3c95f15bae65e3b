package authserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/token"
)

type endingStore interface {
	TokenEnded(ctx context.Context, tenant gatehouse.TenantID, facts gatehouse.TokenFacts) (bool, error)
}

// tokenState is what is known of a text that may be an access token of ours.
type tokenState int

const (
	tokenUnknown tokenState = iota // we never issued it
	tokenOver                      // we did, but it has expired or was ended
	tokenLive
)

// openAccess reads an access token of ours, of either format. Only a live one
// has claims; whether it was ended is not looked up.
func (s *Server) openAccess(ctx context.Context, tenant gatehouse.Tenant, raw string) (accessClaims, tokenState, error) {
	if encoded, opaque := strings.CutPrefix(raw, opaquePrefix); opaque {
		claims, genuine := s.openOpaque(tenant, encoded)
		if !genuine {
			return accessClaims{}, tokenUnknown, nil
		}
		return s.unlessExpired(claims)
	}
	rules := token.AccessTokenRules(s.Keys.Verifiers(tenant.ID), tenant.Issuer, "")
	rules.InsecureAnyAudience = true // we ask for whom the token is, we do not consume it
	rules.Now, rules.Skew = s.Store.Now, ownSkew
	checked, err := token.Check(ctx, raw, rules)
	if refused, is := errors.AsType[*token.Error](err); is && refused.Reason == token.Expired {
		return accessClaims{}, tokenOver, nil
	}
	if err != nil || len(checked.Audience) != 1 {
		return accessClaims{}, tokenUnknown, nil
	}
	claims := accessClaims{
		Issuer: checked.Issuer, Subject: checked.Subject, Audience: checked.Audience[0], Expiry: checked.Expiry.Unix(), IssuedAt: checked.IssuedAt.Unix(),
		ID: checked.ID, ClientID: checked.ClientID, Scope: checked.Scope, ACR: checked.ACR, Handle: checked.GrantHandle, keyID: checked.KeyID,
	}
	if checked.Has("auth_time") {
		claims.AuthTime = checked.AuthTime.Unix()
	}
	if checked.Has("act") || checked.Has("may_act") || checked.Has("lineage") {
		var made accessClaims
		if err := checked.Decode(&made); err != nil {
			return accessClaims{}, tokenUnknown, nil
		}
		claims.Act, claims.MayAct, claims.Lineage = made.Act, made.MayAct, made.Lineage
	}
	if claims.own, err = ownClaims(tenant.Settings, checked.Decode); err != nil {
		return accessClaims{}, tokenUnknown, nil
	}
	return s.unlessExpired(claims)
}

// unlessExpired: a token is not accepted on or after its expiry
// (RFC 7519 §4.1.4).
func (s *Server) unlessExpired(claims accessClaims) (accessClaims, tokenState, error) {
	if s.Store.Now().Unix() >= claims.Expiry {
		return accessClaims{}, tokenOver, nil
	}
	return claims, tokenLive, nil
}

// ownSkew tolerates no other clock: our tokens carry our own times.
const ownSkew = time.Nanosecond

// maxOpaqueLength bounds opaque tokens, in characters.
const maxOpaqueLength = 16 << 10

func (s *Server) openOpaque(tenant gatehouse.Tenant, encoded string) (accessClaims, bool) {
	if len(encoded) > maxOpaqueLength || strings.ContainsAny(encoded, "\r\n") { // encoding/base64 skips these
		return accessClaims{}, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return accessClaims{}, false
	}
	payload, opened := s.Keys.SealRing(tenant.ID, "access token").Open(sealed, nil)
	if !opened {
		return accessClaims{}, false
	}
	claims, plain := readAssembled(payload)
	if plain {
		return claims, true
	}
	if json.Unmarshal(payload, &claims) != nil {
		return accessClaims{}, false
	}
	claims.own, err = ownClaims(tenant.Settings, func(v any) error { return json.Unmarshal(payload, v) })
	return claims, err == nil
}

// ownClaims reads the tenant's own claims of an access token.
func ownClaims(settings gatehouse.Settings, decode func(any) error) (claims, error) {
	var own claims
	var all map[string]json.RawMessage
	for _, mapping := range settings.Claims {
		if !mapping.StandsIn(gatehouse.ClaimInAccessToken) || gatehouse.ReservedClaim(mapping.Claim) {
			continue
		}
		if all == nil {
			if err := decode(&all); err != nil {
				return nil, err
			}
		}
		if value, found := all[mapping.Claim]; found {
			own = append(own, claim{mapping.Claim, value})
		}
	}
	return own, nil
}

// liveAccess reads an access token of ours that has not been ended: neither
// it, nor its grant, client or user (RFC 7662 §4).
func (s *Server) liveAccess(ctx context.Context, tenant gatehouse.Tenant, raw string) (accessClaims, tokenState, error) {
	claims, state, err := s.openAccess(ctx, tenant, raw)
	if err != nil || state != tokenLive {
		return accessClaims{}, state, err
	}
	user, err := s.userOf(ctx, tenant.ID, claims)
	if err != nil || claims.ofUser() && user == "" {
		return accessClaims{}, tokenOver, err
	}
	claims.user = user
	facts := gatehouse.TokenFacts{
		Handle: claims.Handle, ID: claims.ID, ClientID: claims.ClientID, IssuedAt: time.Unix(claims.IssuedAt, 0),
		KeyID: claims.keyID, Subject: user, Ancestors: claims.Lineage,
	}
	ended, err := s.Store.TokenEnded(ctx, tenant.ID, facts)
	if err != nil || ended {
		return accessClaims{}, tokenOver, err
	}
	return claims, tokenLive, nil
}

// ofUser says whether the token acts for a user; one without a grant acts for
// its client (RFC 9068 §2.2).
func (c accessClaims) ofUser() bool { return c.Handle != "" }

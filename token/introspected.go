package token

// CheckIntrospected returns the claims of an introspection answer (RFC 7662 §2.2)
// about an access token, if it is active and fulfils the rules. Who calls it has
// the answer from the one issuer of the rules, which has checked the token: Keys,
// Algorithms, Types and MaxBytes are not used. Beside what the rules require:
//
// aud must be there and name the rules' Audience; iss may be absent, and is the
// rules' issuer then; exp may be absent, and then bounds nothing. An answer that is
// not active is refused with [Inactive], one that is no strict JSON with
// [Malformed].
func CheckIntrospected(answer []byte, rules Rules) (Claims, error) {
	claims, err := readClaims(answer)
	if err != nil {
		return Claims{}, err
	}
	if string(claims.Raw["active"]) != "true" {
		return Claims{}, refuse(Inactive, "it is not active: it has expired, was revoked, or is not for this resource")
	}
	if !claims.Has("iss") && len(rules.Issuers) == 1 {
		claims.Issuer = rules.Issuers[0]
	}
	if err := rules.checkParties(&claims); err != nil {
		return Claims{}, err
	}
	if err := rules.CheckTimes(&claims); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

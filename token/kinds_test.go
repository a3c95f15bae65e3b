package token_test

import (
	"testing"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/token"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func logoutRules() token.Rules {
	rules := token.LogoutTokenRules(ourKeys(), issuer, "web")
	rules.Now = func() time.Time { return noon }
	return rules
}

func userInfoRules() token.Rules {
	rules := token.UserInfoRules(ourKeys(), issuer, "web")
	rules.Now = func() time.Time { return noon }
	return rules
}

func logoutClaims() claims {
	return claims{
		"iss": issuer, "sub": "alice", "sid": "s1", "aud": "web", "jti": "l1", "iat": noon.Unix(), "exp": noon.Add(time.Minute).Unix(),
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
}

func TestKindsExcludeEachOther(t *testing.T) {
	spec.Covers(t, "JW-12")
	kinds := []struct {
		name  string
		rules token.Rules
		raw   string
	}{
		{"access token", accessRules(), sign(t, signer(), jose.TypeAccessToken, accessClaims())},
		{"ID token", idRules(), sign(t, signer(), jose.TypeJWT, idClaims())},
		{"logout token", logoutRules(), sign(t, signer(), jose.TypeLogoutToken, logoutClaims())},
		{"logout token without its type", logoutRules(), sign(t, signer(), jose.TypeJWT, logoutClaims())},
		{"UserInfo", userInfoRules(), sign(t, signer(), jose.TypeJWT, claims{"sub": "alice", "name": "Alice"})},
	}
	for _, of := range kinds {
		for _, as := range kinds {
			_, err := token.Check(t.Context(), of.raw, as.rules)
			if same := of.name == as.name || of.name[:6] == as.name[:6] && of.name[:6] == "logout" && as.name != "access token"; same != (err == nil) {
				t.Errorf("the %s as %s: %v", of.name, as.name, err)
			}
		}
	}
}

func TestLogoutTokenRules(t *testing.T) {
	for name, change := range map[string]claims{
		"no iat": {"iat": nil}, "no jti": {"jti": nil}, "an empty jti": {"jti": ""}, "no exp": {"exp": nil}, "no events": {"events": nil}, "a nonce": {"nonce": "n"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, sign(t, signer(), jose.TypeLogoutToken, logoutClaims().with(change)), logoutRules(), token.BadClaim)
		})
	}
	refused(t, sign(t, signer(), jose.TypeLogoutToken, logoutClaims().with(claims{"aud": "other"})), logoutRules(), token.WrongAudience)
	refused(t, sign(t, signer(), jose.TypeLogoutToken, logoutClaims().with(claims{"iss": "https://other.test"})), logoutRules(), token.WrongIssuer)
	refused(t, sign(t, attacker(), jose.TypeLogoutToken, logoutClaims()), logoutRules(), token.BadSignature)
}

// What a UserInfo response may lack is checked where it is there.
func TestUserInfoRules(t *testing.T) {
	bare := claims{"sub": "alice", "name": "Alice"}
	whole := bare.with(claims{"iss": issuer, "aud": "web", "exp": noon.Add(time.Minute).Unix()})
	for _, good := range []claims{bare, whole, whole.with(claims{"aud": []string{"web", "other"}})} {
		got, err := token.Check(t.Context(), sign(t, signer(), jose.TypeJWT, good), userInfoRules())
		if err != nil || got.Subject != "alice" || got.Algorithm != jose.ES256 || got.KeyID != "es-1" {
			t.Errorf("%v: %+v, %v", good, got, err)
		}
	}
	refused(t, sign(t, signer(), jose.TypeJWT, whole.with(claims{"iss": "https://other.test"})), userInfoRules(), token.WrongIssuer)
	refused(t, sign(t, signer(), jose.TypeJWT, whole.with(claims{"aud": "other"})), userInfoRules(), token.WrongAudience)
	refused(t, sign(t, signer(), jose.TypeJWT, whole.with(claims{"exp": noon.Add(-time.Minute).Unix()})), userInfoRules(), token.Expired)
	refused(t, sign(t, signer(), jose.TypeJWT, bare.with(claims{"sub": nil})), userInfoRules(), token.BadClaim)
	refused(t, sign(t, attacker(), jose.TypeJWT, bare), userInfoRules(), token.BadSignature)
	// Other kinds of token have no such leave.
	refused(t, sign(t, signer(), jose.TypeJWT, idClaims().with(claims{"exp": nil})), idRules(), token.BadClaim)
	refused(t, sign(t, signer(), jose.TypeJWT, idClaims().with(claims{"aud": nil})), idRules(), token.WrongAudience)
}

package token_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/token"
)

const (
	issuer   = "https://as.test"
	audience = "https://rs.test"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

var (
	signer   = sync.OnceValue(func() *jose.PrivateKey { return mustGenerate(jose.ES256, "es-1") })
	attacker = sync.OnceValue(func() *jose.PrivateKey { return mustGenerate(jose.ES256, "es-1") })
	edSigner = sync.OnceValue(func() *jose.PrivateKey { return mustGenerate(jose.EdDSA, "ed-1") })
)

func mustGenerate(alg jose.Algorithm, kid string) *jose.PrivateKey {
	key, err := jose.GenerateKey(alg, kid)
	if err != nil {
		panic(err)
	}
	return key
}

// published is a fixed key set, or the error of one that cannot be reached.
type published struct {
	keys []jose.PublicKey
	err  error
}

func (p published) Keys(_ context.Context, kid string, alg jose.Algorithm) ([]jose.PublicKey, error) {
	var found []jose.PublicKey
	for _, key := range p.keys {
		if key.Algorithm == alg && (kid == "" || kid == key.ID) {
			found = append(found, key)
		}
	}
	return found, p.err
}

func ourKeys() published {
	return published{keys: []jose.PublicKey{edSigner().Public(), signer().Public()}}
}

func accessRules() token.Rules {
	rules := token.AccessTokenRules(ourKeys(), issuer, audience)
	rules.Now = func() time.Time { return noon }
	return rules
}

func idRules() token.Rules {
	rules := token.IDTokenRules(ourKeys(), issuer, "web")
	rules.Now = func() time.Time { return noon }
	return rules
}

type claims map[string]any

func accessClaims() claims {
	return claims{
		"iss": issuer, "sub": "alice", "aud": audience, "client_id": "web", "jti": "j1", "scope": "photos:read photos:write",
		"iat": noon.Add(-time.Minute).Unix(), "exp": noon.Add(time.Minute).Unix(), "gid": "g1",
	}
}

func idClaims() claims {
	return claims{
		"iss": issuer, "sub": "alice", "aud": "web", "iat": noon.Unix(), "exp": noon.Add(time.Minute).Unix(),
		"auth_time": noon.Add(-time.Hour).Unix(), "nonce": "n1", "acr": "1", "sid": "s1",
	}
}

// with returns c changed; nil takes a claim away.
func (c claims) with(changes claims) claims {
	changed := maps.Clone(c)
	maps.Copy(changed, changes)
	maps.DeleteFunc(changed, func(_ string, value any) bool { return value == nil })
	return changed
}

func sign(t testing.TB, key *jose.PrivateKey, typ string, c claims) string {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Sign(typ, payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// refused checks that the rules refuse raw for the reason, without quoting it.
func refused(t *testing.T, raw string, rules token.Rules, want token.Reason) {
	t.Helper()
	got, err := token.Check(t.Context(), raw, rules)
	refusal, ok := errors.AsType[*token.Error](err)
	if !ok || refusal.Reason != want {
		t.Fatalf("error %v, want reason %s", err, want)
	}
	if got.Subject != "" || got.Raw != nil {
		t.Errorf("a refused token yields claims: %+v", got)
	}
	for part := range strings.SplitSeq(raw, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Errorf("the error quotes the token: %v", err)
		}
	}
}

func accepted(t *testing.T, raw string, rules token.Rules) token.Claims {
	t.Helper()
	got, err := token.Check(t.Context(), raw, rules)
	if err != nil {
		t.Fatalf("the legitimate token is refused: %v", err)
	}
	return got
}

func TestAccessToken(t *testing.T) {
	got := accepted(t, sign(t, signer(), "at+jwt", accessClaims().with(claims{"aud": []string{"other", audience}, "custom": map[string]any{"a": 1}, "nbf": noon.Unix()})), accessRules())
	if got.Issuer != issuer || got.Subject != "alice" || got.ClientID != "web" || got.ID != "j1" || got.GrantHandle != "g1" ||
		got.Scope != "photos:read photos:write" || len(got.Audience) != 2 || got.Audience[1] != audience ||
		!got.Expiry.Equal(noon.Add(time.Minute)) || !got.IssuedAt.Equal(noon.Add(-time.Minute)) || !got.NotBefore.Equal(noon) {
		t.Errorf("claims %+v", got)
	}
	if string(got.Raw["custom"]) != `{"a":1}` || !got.Has("custom") || got.Has("nonce") {
		t.Errorf("raw claims %s", got.Raw)
	}
	var own struct {
		Custom struct{ A int } `json:"custom"`
	}
	if err := got.Decode(&own); err == nil {
		t.Error("a member that differs from a field only in case is decoded")
	}
	var exact struct {
		Custom struct {
			A int `json:"a"`
		} `json:"custom"`
	}
	if err := got.Decode(&exact); err != nil || exact.Custom.A != 1 {
		t.Errorf("Decode: %+v, %v", exact, err)
	}
}

func TestIDToken(t *testing.T) {
	for _, typ := range []string{"JWT", "jwt", ""} {
		got := accepted(t, sign(t, signer(), typ, idClaims()), idRules())
		if got.Nonce != "n1" || got.ACR != "1" || got.SessionID != "s1" || !got.AuthTime.Equal(noon.Add(-time.Hour)) || got.Audience[0] != "web" {
			t.Errorf("typ %q: claims %+v", typ, got)
		}
	}
	other := idClaims().with(claims{"aud": []string{"web", "api"}})
	accepted(t, sign(t, signer(), "JWT", other.with(claims{"azp": "web"})), idRules())
	refused(t, sign(t, signer(), "JWT", other), idRules(), token.WrongAudience)
	refused(t, sign(t, signer(), "JWT", other.with(claims{"azp": "api"})), idRules(), token.WrongAudience)
	refused(t, sign(t, signer(), "JWT", idClaims().with(claims{"azp": "api"})), idRules(), token.WrongAudience)
}

func TestTypes(t *testing.T) {
	spec.Covers(t, "RFC9068-4-1", "RFC8725-3.11-1", "RFC8725-3.12-1", "RFC9068-5-1", "JW-12")
	for _, typ := range []string{"at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"} {
		t.Run("accepted "+typ, func(t *testing.T) {
			accepted(t, sign(t, signer(), typ, accessClaims()), accessRules())
		})
	}
	// The claims would do for an access token; the type alone refuses them.
	for kind, typ := range map[string]string{
		"ID token": "JWT", "untyped": "", "logout token": "logout+jwt", "request object": "oauth-authz-req+jwt", "DPoP proof": "dpop+jwt",
		"introspection JWT": "token-introspection+jwt", "client assertion": "client-authentication+jwt", "prefix alone": "application/",
		"prefix twice": "application/application/at+jwt", "suffix": "at+jwt2",
	} {
		t.Run("JW-12 "+kind, func(t *testing.T) {
			refused(t, sign(t, signer(), typ, accessClaims()), accessRules(), token.WrongType)
			accepted(t, sign(t, signer(), "at+jwt", accessClaims()), accessRules())
		})
	}
	t.Run("JW-12 access token as ID token", func(t *testing.T) {
		refused(t, sign(t, signer(), "at+jwt", idClaims()), idRules(), token.WrongType)
		accepted(t, sign(t, signer(), "JWT", idClaims()), idRules())
	})
	t.Run("JW-12 untyped logout token as ID token", func(t *testing.T) {
		logout := idClaims().with(claims{"events": claims{"http://schemas.openid.net/event/backchannel-logout": claims{}}})
		refused(t, sign(t, signer(), "JWT", logout), idRules(), token.BadClaim)
	})
}

func TestParties(t *testing.T) {
	spec.Covers(t, "RFC9068-4-2", "RFC9068-4-3", "RFC7519-4.1.3-1", "RFC8725-3.8-2", "RFC8725-3.9-1", "RFC6750-5.2-1", "JW-10")
	for _, test := range []struct {
		name   string
		change claims
		want   token.Reason
	}{
		{"issuer of another", claims{"iss": "https://as2.test"}, token.WrongIssuer},
		{"issuer with a slash", claims{"iss": issuer + "/"}, token.WrongIssuer},
		{"issuer in another case", claims{"iss": "https://AS.test"}, token.WrongIssuer},
		{"no issuer", claims{"iss": nil}, token.WrongIssuer},
		{"issuer as array", claims{"iss": []string{issuer}}, token.BadClaim},
		{"JW-10 no aud", claims{"aud": nil}, token.WrongAudience},
		{"JW-10 foreign aud", claims{"aud": "https://other.test"}, token.WrongAudience},
		{"JW-10 aud array only foreign", claims{"aud": []string{"a", "b"}}, token.WrongAudience},
		{"JW-10 empty aud array", claims{"aud": []string{}}, token.WrongAudience},
		{"JW-10 aud is the client", claims{"aud": "web"}, token.WrongAudience},
		{"JW-10 aud with a suffix", claims{"aud": audience + ".evil.test"}, token.WrongAudience},
		{"JW-10 aud empty", claims{"aud": ""}, token.WrongAudience},
		{"aud as number", claims{"aud": 1}, token.BadClaim},
		{"aud as object", claims{"aud": claims{audience: true}}, token.BadClaim},
		{"aud with a number", claims{"aud": []any{audience, 1}}, token.BadClaim},
		{"aud with an array", claims{"aud": []any{audience, []string{audience}}}, token.BadClaim},
		{"aud too long", claims{"aud": make([]string, token.MaxAudiences+1)}, token.BadClaim},
		{"no sub", claims{"sub": nil}, token.BadClaim},
		{"empty sub", claims{"sub": ""}, token.BadClaim},
		{"sub as number", claims{"sub": 7}, token.BadClaim},
		{"no client_id", claims{"client_id": nil}, token.BadClaim},
		{"no jti", claims{"jti": nil}, token.BadClaim},
		{"jti as null", claims{"jti": json.RawMessage("null")}, token.BadClaim},
		{"scope as array", claims{"scope": []string{"photos:read"}}, token.BadClaim},
	} {
		t.Run(test.name, func(t *testing.T) {
			refused(t, sign(t, signer(), "at+jwt", accessClaims().with(test.change)), accessRules(), test.want)
			accepted(t, sign(t, signer(), "at+jwt", accessClaims()), accessRules())
		})
	}
}

func TestTimes(t *testing.T) {
	spec.Covers(t, "RFC7519-4.1.4-1", "RFC7519-4.1.5-1", "RFC7519-2-1", "RFC9068-4-5", "JW-09")
	at := func(offset time.Duration) int64 { return noon.Add(offset).Unix() }
	number := func(text string) json.RawMessage { return json.RawMessage(text) }
	for _, test := range []struct {
		name   string
		change claims
		want   token.Reason // "" is accepted
	}{
		{"JW-09 no exp", claims{"exp": nil}, token.BadClaim},
		{"exp is now, within the skew", claims{"exp": at(0)}, ""},
		{"exp one second inside the skew", claims{"exp": at(-4 * time.Second)}, ""},
		{"exp at the end of the skew", claims{"exp": at(-token.DefaultSkew)}, token.Expired},
		{"exp an hour ago", claims{"exp": at(-time.Hour)}, token.Expired},
		{"exp zero", claims{"exp": 0}, token.Expired},
		{"exp with a fraction", claims{"exp": float64(at(time.Minute)) + 0.5}, ""},
		{"exp with an exponent", claims{"exp": number("2e9")}, ""},
		{"exp as text", claims{"exp": "1900000000"}, token.BadClaim},
		{"exp null", claims{"exp": number("null")}, token.BadClaim},
		{"exp true", claims{"exp": true}, token.BadClaim},
		{"exp negative", claims{"exp": -1}, token.BadClaim},
		{"exp in the year 9999", claims{"exp": token.MaxNumericDate}, ""},
		{"exp after the year 9999", claims{"exp": token.MaxNumericDate + 1}, token.BadClaim},
		{"exp beyond int64", claims{"exp": number("1e300")}, token.BadClaim},
		{"nbf now", claims{"nbf": at(0)}, ""},
		{"nbf within the skew", claims{"nbf": at(token.DefaultSkew)}, ""},
		{"nbf beyond the skew", claims{"nbf": at(token.DefaultSkew + time.Second)}, token.NotYetValid},
		{"nbf as text", claims{"nbf": "0"}, token.BadClaim},
		{"nbf negative", claims{"nbf": -5}, token.BadClaim},
		{"iat within the skew", claims{"iat": at(token.DefaultSkew)}, ""},
		{"iat in the future", claims{"iat": at(token.DefaultSkew + time.Second)}, token.NotYetValid},
		{"iat as text", claims{"iat": "now"}, token.BadClaim},
		{"no iat", claims{"iat": nil}, token.BadClaim},
		{"auth_time as text", claims{"auth_time": "x"}, token.BadClaim},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw := sign(t, signer(), "at+jwt", accessClaims().with(test.change))
			if test.want == "" {
				accepted(t, raw, accessRules())
				return
			}
			refused(t, raw, accessRules(), test.want)
			accepted(t, sign(t, signer(), "at+jwt", accessClaims()), accessRules())
		})
	}
	t.Run("exp 1e400", func(t *testing.T) {
		raw, err := signer().Sign("at+jwt", []byte(`{"iss":"https://as.test","exp":1e400}`))
		if err != nil {
			t.Fatal(err)
		}
		refused(t, raw, accessRules(), token.Malformed)
	})
}

func TestMaxAge(t *testing.T) {
	rules := idRules()
	rules.MaxAge = time.Hour
	rules.Required = nil
	accepted(t, sign(t, signer(), "JWT", idClaims().with(claims{"iat": noon.Add(-time.Hour).Unix()})), rules)
	refused(t, sign(t, signer(), "JWT", idClaims().with(claims{"iat": noon.Add(-time.Hour - 6*time.Second).Unix()})), rules, token.Expired)
	refused(t, sign(t, signer(), "JWT", idClaims().with(claims{"iat": nil})), rules, token.BadClaim)
}

func TestSignature(t *testing.T) {
	spec.Covers(t, "RFC9068-4-4", "RFC8725-3.1-1", "RFC8725-3.3-1", "RFC7515-5.2-3")
	good := sign(t, signer(), "at+jwt", accessClaims())
	accepted(t, good, accessRules())
	t.Run("another key under our kid", func(t *testing.T) {
		refused(t, sign(t, attacker(), "at+jwt", accessClaims()), accessRules(), token.BadSignature)
	})
	t.Run("a kid that nobody published", func(t *testing.T) {
		refused(t, sign(t, mustGenerate(jose.ES256, "new"), "at+jwt", accessClaims()), accessRules(), token.UnknownKey)
	})
	t.Run("claims of another token", func(t *testing.T) {
		other := sign(t, signer(), "at+jwt", accessClaims().with(claims{"sub": "root"}))
		payload := strings.Split(other, ".")[1]
		parts := strings.Split(good, ".")
		refused(t, parts[0]+"."+payload+"."+parts[2], accessRules(), token.BadSignature)
	})
	t.Run("an algorithm that the rules leave out", func(t *testing.T) {
		rules := accessRules()
		rules.Algorithms = []jose.Algorithm{jose.EdDSA}
		refused(t, good, rules, token.WrongAlgorithm)
		accepted(t, sign(t, edSigner(), "at+jwt", accessClaims()), rules)
	})
	t.Run("several keys without kid", func(t *testing.T) {
		rules := accessRules()
		first, second := signer().Public(), attacker().Public()
		first.ID, second.ID = "", ""
		rules.Keys = anyKid{published{keys: []jose.PublicKey{second, first}}}
		accepted(t, good, rules)
	})
	t.Run("a token that is too long", func(t *testing.T) {
		rules := accessRules()
		rules.MaxBytes = len(good) - 1
		refused(t, good, rules, token.Malformed)
		rules.MaxBytes = len(good)
		accepted(t, good, rules)
	})
	t.Run("not a token", func(t *testing.T) { refused(t, "opaque", accessRules(), token.Malformed) })
	t.Run("claims that are not strict JSON", func(t *testing.T) {
		spec.Covers(t, "RFC7519-4-1")
		for _, payload := range []string{`[]`, `"x"`, `{"iss":"a","iss":"b"}`, `{"iss":"a","ISS":"b"}`, `{"a":{"b":1,"b":2}}`, `{} {}`, "\xff"} {
			raw, err := signer().Sign("at+jwt", []byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			refused(t, raw, accessRules(), token.Malformed)
		}
	})
}

type anyKid struct{ published }

func (a anyKid) Keys(ctx context.Context, _ string, alg jose.Algorithm) ([]jose.PublicKey, error) {
	return a.published.Keys(ctx, "", alg)
}

func TestExpiredAndForged(t *testing.T) {
	spec.Covers(t, "JW-13")
	expired := accessClaims().with(claims{"exp": noon.Add(-time.Hour).Unix()})
	hint := idClaims().with(claims{"exp": noon.Add(-time.Hour).Unix()})
	lenient := idRules()
	lenient.InsecureAllowExpired = true
	t.Run("JW-13 expired and forged", func(t *testing.T) {
		refused(t, sign(t, attacker(), "at+jwt", expired), accessRules(), token.BadSignature)
		refused(t, sign(t, signer(), "at+jwt", expired), accessRules(), token.Expired)
	})
	t.Run("JW-13 expired and forged where expiry is forgiven", func(t *testing.T) {
		refused(t, sign(t, attacker(), "JWT", hint), lenient, token.BadSignature)
		refused(t, sign(t, signer(), "JWT", hint), idRules(), token.Expired)
		accepted(t, sign(t, signer(), "JWT", hint), lenient)
	})
	t.Run("forgiving expiry forgives nothing else", func(t *testing.T) {
		refused(t, sign(t, signer(), "JWT", hint.with(claims{"exp": nil})), lenient, token.BadClaim)
		refused(t, sign(t, signer(), "JWT", hint.with(claims{"iat": noon.Add(time.Hour).Unix()})), lenient, token.NotYetValid)
		refused(t, sign(t, signer(), "JWT", hint.with(claims{"aud": "other"})), lenient, token.WrongAudience)
		refused(t, sign(t, signer(), "JWT", hint.with(claims{"iss": "https://as2.test"})), lenient, token.WrongIssuer)
		refused(t, sign(t, signer(), "at+jwt", hint), lenient, token.WrongType)
	})
}

func TestAnyAudience(t *testing.T) {
	rules := idRules()
	rules.Audience, rules.AuthorizedParty, rules.InsecureAnyAudience = "", "", true
	got := accepted(t, sign(t, signer(), "JWT", idClaims().with(claims{"aud": "another"})), rules)
	if len(got.Audience) != 1 || got.Audience[0] != "another" {
		t.Errorf("audience %q", got.Audience)
	}
}

func TestKeysThatCannotBeHad(t *testing.T) {
	outage := errors.New("no route to host")
	rules := accessRules()
	rules.Keys = published{err: outage}
	_, err := token.Check(t.Context(), sign(t, signer(), "at+jwt", accessClaims()), rules)
	if _, refusal := errors.AsType[*token.Error](err); refusal || !errors.Is(err, outage) {
		t.Errorf("error %v: an outage is no fault of the token", err)
	}
}

func TestIncompleteRules(t *testing.T) {
	raw := sign(t, signer(), "at+jwt", accessClaims())
	for name, change := range map[string]func(*token.Rules){
		"JW-10 no audience":    func(r *token.Rules) { r.Audience = "" },
		"no keys":              func(r *token.Rules) { r.Keys = nil },
		"no algorithms":        func(r *token.Rules) { r.Algorithms = nil },
		"an unknown algorithm": func(r *token.Rules) { r.Algorithms = []jose.Algorithm{"none"} },
		"no types":             func(r *token.Rules) { r.Types = nil },
		"no issuers":           func(r *token.Rules) { r.Issuers = nil },
		"an empty issuer":      func(r *token.Rules) { r.Issuers = []string{""} },
		"a large skew":         func(r *token.Rules) { r.Skew = token.MaxSkew + 1 },
		"a negative skew":      func(r *token.Rules) { r.Skew = -1 },
		"a negative age":       func(r *token.Rules) { r.MaxAge = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			rules := accessRules()
			change(&rules)
			_, err := token.Check(t.Context(), raw, rules)
			if _, refusal := errors.AsType[*token.Error](err); err == nil || refusal {
				t.Errorf("error %v, want a fault in the rules", err)
			}
		})
	}
	accepted(t, raw, accessRules())
}

func BenchmarkCheck(b *testing.B) {
	raw, rules := sign(b, edSigner(), "at+jwt", accessClaims()), accessRules()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := token.Check(b.Context(), raw, rules); err != nil {
			b.Fatal(err)
		}
	}
}

package jose

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"gatehouse/internal/spec"
)

// member returns a published key as a map, changed.
func member(t testing.TB, key PublicKey, changes map[string]any) map[string]any {
	t.Helper()
	data, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	for name, value := range changes {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	return m
}

func setOf(t testing.TB, keys ...any) []byte {
	t.Helper()
	data, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestKeySetRoundTrip(t *testing.T) {
	spec.Covers(t, "RFC7518-6.2.1-1", "RFC7517-9.2-1")
	var set KeySet
	for _, alg := range allAlgorithms {
		set.Keys = append(set.Keys, testKeys()[alg].Public())
	}
	data, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"dq"`, `"qi"`, `"k"`} {
		if strings.Contains(string(data), private) {
			t.Errorf("the published set has the member %s", private)
		}
	}
	again, err := ParseKeySet(data)
	if err != nil || len(again.Keys) != len(set.Keys) {
		t.Fatalf("%d keys, %v", len(again.Keys), err)
	}
	for i, key := range again.Keys {
		if key.ID != set.Keys[i].ID || key.Algorithm != set.Keys[i].Algorithm || Thumbprint(key) != Thumbprint(set.Keys[i]) {
			t.Errorf("key %d came back as %v", i, key)
		}
		raw, err := testKeys()[key.Algorithm].Sign("JWT", []byte(someClaims))
		if err != nil {
			t.Fatal(err)
		}
		mustVerify(t, raw, key)
	}
	if empty, err := json.Marshal(KeySet{}); err != nil || string(empty) != `{"keys":[]}` {
		t.Errorf("the empty set is %s, %v", empty, err)
	}
	if _, err := json.Marshal(PublicKey{}); err == nil {
		t.Error("the zero key can be published")
	}
}

func TestKeySetSkips(t *testing.T) {
	spec.Covers(t, "RFC7517-5-1", "RFC7517-4.2-1")
	es, rs := testKeys()[ES256].Public(), testKeys()[RS256].Public()
	for name, key := range map[string]any{
		"unknown kty":          map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
		"P-384":                map[string]any{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"},
		"X25519":               map[string]any{"kty": "OKP", "crv": "X25519", "x": "AA"},
		"use enc":              member(t, rs, map[string]any{"use": "enc"}),
		"alg for encryption":   member(t, rs, map[string]any{"alg": "RSA-OAEP", "use": nil}),
		"alg RS512":            member(t, rs, map[string]any{"alg": "RS512"}),
		"alg of another kty":   member(t, es, map[string]any{"alg": "RS256"}),
		"key_ops without it":   member(t, es, map[string]any{"key_ops": []string{"sign"}}),
		"no n":                 member(t, rs, map[string]any{"n": nil}),
		"no e":                 member(t, rs, map[string]any{"e": nil}),
		"no y":                 member(t, es, map[string]any{"y": nil}),
		"empty point":          member(t, es, map[string]any{"x": "", "y": ""}),
		"no x":                 map[string]any{"kty": "OKP", "crv": "Ed25519"},
		"no kty":               map[string]any{"kid": "a"},
		"a weak one for other": map[string]any{"kty": "RSA", "use": "enc", "n": "AQ", "e": "AQAB"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := ParseKeySet(setOf(t, key, member(t, es, nil)))
			if err != nil || len(set.Keys) != 1 || set.Keys[0].ID != es.ID {
				t.Errorf("%v, %v", set.Keys, err)
			}
		})
	}
}

func TestKeySetDefaults(t *testing.T) {
	spec.Covers(t, "RFC7517-4-2")
	for _, alg := range []Algorithm{RS256, ES256, EdDSA} {
		bare := member(t, testKeys()[alg].Public(), map[string]any{"alg": nil, "use": nil, "kid": nil, "x5t": "AA", "x5c": []string{"AA"}})
		set, err := ParseKeySet(setOf(t, bare, bare))
		if err != nil || len(set.Keys) != 2 || set.Keys[0].Algorithm != alg || set.Keys[0].ID != "" {
			t.Errorf("%s: %v, %v", alg, set.Keys, err)
		}
	}
	es := testKeys()[ES256].Public()
	set, err := ParseKeySet(setOf(t, member(t, es, map[string]any{"key_ops": []string{"verify"}})))
	if err != nil || len(set.Keys) != 1 {
		t.Errorf("key_ops verify: %v, %v", set.Keys, err)
	}
	sameKid := member(t, testKeys()[RS256].Public(), map[string]any{"kid": es.ID})
	if set, err = ParseKeySet(setOf(t, member(t, es, nil), sameKid)); err != nil || len(set.Keys) != 2 {
		t.Errorf("one kid for two algs: %v, %v", set.Keys, err)
	}
}

func TestKeySetRefusals(t *testing.T) {
	spec.Covers(t, "RFC7518-3.3-1", "RFC8725-3.4-1")
	es, rs, ed := testKeys()[ES256].Public(), testKeys()[RS256].Public(), testKeys()[EdDSA].Public()
	modulus := func(bits uint) string {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return b64(n.Add(n, big.NewInt(1)).Bytes())
	}
	x32 := b64(make([]byte, 32))
	for name, key := range map[string]any{
		"symmetric":           map[string]any{"kty": "oct", "kid": "s", "alg": "HS256", "k": "AAAA"},
		"symmetric without k": map[string]any{"kty": "oct"},
		"a stray k":           member(t, es, map[string]any{"k": "AA"}),
		"private EC":          member(t, es, map[string]any{"d": "AA"}),
		"private RSA":         member(t, rs, map[string]any{"d": "AA"}),
		"RSA prime":           member(t, rs, map[string]any{"p": "AA"}),
		"RSA other primes":    member(t, rs, map[string]any{"oth": []any{}}),
		"private, null":       json.RawMessage(`{"kty":"EC","crv":"P-256","x":"` + x32 + `","y":"` + x32 + `","d":null}`),
		"private encryption":  member(t, rs, map[string]any{"use": "enc", "d": "AA"}),
		"private in capitals": member(t, es, map[string]any{"D": "AA"}),
		"RSA 1024":            member(t, rs, map[string]any{"n": modulus(1024)}),
		"RSA 2047":            member(t, rs, map[string]any{"n": modulus(2047)}),
		"RSA 4097":            member(t, rs, map[string]any{"n": modulus(4097)}),
		"FT-33 RSA 16384":     member(t, rs, map[string]any{"n": modulus(16384)}),
		"RSA even":            member(t, rs, map[string]any{"n": b64(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes())}),
		"RSA n not base64url": member(t, rs, map[string]any{"n": "+/=="}),
		"RSA n with line end": member(t, rs, map[string]any{"n": "AA\nAA"}),
		"FT-33 RSA e = 2^31":  member(t, rs, map[string]any{"e": b64(big.NewInt(1 << 31).Bytes())}),
		"RSA e = 2^31 + 1":    member(t, rs, map[string]any{"e": b64(big.NewInt(1<<31 + 1).Bytes())}),
		"RSA e huge":          member(t, rs, map[string]any{"e": modulus(2048)}),
		"RSA e even":          member(t, rs, map[string]any{"e": "BA"}),
		"RSA e = 1":           member(t, rs, map[string]any{"e": "AQ"}),
		"JW-14 off the curve": member(t, es, map[string]any{"x": x32, "y": x32}),
		"EC short x":          member(t, es, map[string]any{"x": b64(make([]byte, 31))}),
		"EC long y":           member(t, es, map[string]any{"y": b64(make([]byte, 33))}),
		"EC beyond the field": member(t, es, map[string]any{"x": b64([]byte(strings.Repeat("\xff", 32)))}),
		"Ed25519 short":       member(t, ed, map[string]any{"x": b64(make([]byte, 31))}),
		"Ed25519 stray bits":  member(t, ed, map[string]any{"x": x32[:42] + "B"}),
		"duplicate":           member(t, es, nil),
		"kid long":            member(t, es, map[string]any{"kid": strings.Repeat("k", MaxKeyIDLength+1)}),
		"kid a number":        member(t, es, map[string]any{"kid": 1}),
		"kty in capitals":     member(t, es, map[string]any{"kty": nil, "KTY": "EC"}),
		"no object":           1,
		"null":                nil,
	} {
		t.Run(name, func(t *testing.T) {
			set, err := ParseKeySet(setOf(t, member(t, es, nil), key))
			if !errors.Is(err, ErrKey) && !errors.Is(err, ErrMalformed) || set.Keys != nil {
				t.Errorf("%d keys, error %v", len(set.Keys), err)
			}
		})
	}
	if set, err := ParseKeySet(setOf(t, member(t, es, nil), member(t, rs, nil), member(t, ed, nil))); err != nil || len(set.Keys) != 3 {
		t.Errorf("good keys: %v, %v", set.Keys, err)
	}
	e3 := member(t, rs, map[string]any{"n": modulus(4096), "e": "Aw"})
	if set, err := ParseKeySet(setOf(t, e3)); err != nil || len(set.Keys) != 1 {
		t.Errorf("RSA at the bounds: %v, %v", set.Keys, err)
	}
}

func TestKeySetForm(t *testing.T) {
	spec.Covers(t, "RFC7517-4-1")
	for _, bad := range []string{`{"keys":[{"kty":"a","kty":"a"}]}`, `{"keys":[{"kty":"a","Kty":"a"}]}`, ``, `{}`, `[]`, `null`, `{"keys":null}`, `{"keys":{}}`, `{"keys":"x"}`, `{"KEYS":[]}`, `{"keys":[],"keys":[]}`, `{"keys":[]}x`} {
		if _, err := ParseKeySet([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	if set, err := ParseKeySet([]byte(`{"keys":[],"other":1}`)); err != nil || len(set.Keys) != 0 {
		t.Errorf("empty set: %v, %v", set, err)
	}
}

func TestKeySetBounds(t *testing.T) {
	spec.Covers(t, "FT-33")
	numbered := func(n int) []byte {
		var keys []any
		for i := range n {
			keys = append(keys, member(t, testKeys()[EdDSA].Public(), map[string]any{"kid": fmt.Sprint(i)}))
		}
		return setOf(t, keys...)
	}
	if set, err := ParseKeySet(numbered(MaxKeys)); err != nil || len(set.Keys) != MaxKeys {
		t.Errorf("%d keys, %v", len(set.Keys), err)
	}
	large := append([]byte(`{"keys":[]`), strings.Repeat(" ", MaxKeySetBytes)+`}`...)
	for name, data := range map[string][]byte{"one too many": numbered(MaxKeys + 1), "FT-33 10 k keys": numbered(10_000), "too large": large} {
		if _, err := ParseKeySet(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThumbprint(t *testing.T) {
	// The example of RFC 7638 §3.1.
	const example = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	set, err := ParseKeySet([]byte(`{"keys":[` + example + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := Thumbprint(set.Keys[0]); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("thumbprint %s", got)
	}
	for _, alg := range allAlgorithms {
		key := testKeys()[alg].Public()
		theirs, err := (&gojose.JSONWebKey{Key: key.key}).Thumbprint(crypto.SHA256)
		if err != nil || b64(theirs) != Thumbprint(key) {
			t.Errorf("%s: %s, go-jose says %s, %v", alg, Thumbprint(key), b64(theirs), err)
		}
	}
	if Thumbprint(PublicKey{}) != "" {
		t.Error("the zero key has a thumbprint")
	}
}

package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"
)

var goJOSEAlgorithms = []gojose.SignatureAlgorithm{gojose.RS256, gojose.PS256, gojose.ES256, gojose.EdDSA}

// FuzzParse holds Parse against go-jose: whatever we read, it reads too and in
// the same way; whatever verifies here, verifies there.
func FuzzParse(f *testing.F) {
	for _, alg := range allAlgorithms {
		raw, err := testKeys()[alg].Sign("JWT", []byte(someClaims))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(strings.ReplaceAll(raw, ".", ".."))
		f.Add(raw + "\n")
	}
	for _, header := range []string{
		`{"alg":"none"}`, `{"alg":"ES256","kid":1}`, `{"alg":"ES256","crit":["b64"],"b64":false}`, `{"alg":"ES256","alg":"EdDSA"}`,
		`{"alg":"ES256","jwk":{}}`, `{"alg":"EdDSA","kid":"a\u0062","cty":"JWT","x":[{}]}`,
	} {
		f.Add(compact(header, someClaims, []byte{1, 2, 3}))
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := Parse(raw, Limits{})
		if err != nil {
			if !reflect.DeepEqual(u, Unverified{}) && u.Header != (Header{}) {
				t.Fatalf("a refused token has the header %+v", u.Header)
			}
			return
		}
		theirs, err := gojose.ParseSignedCompact(raw, goJOSEAlgorithms)
		if err != nil {
			if differsByTaste(err) {
				return
			}
			t.Fatalf("we read what go-jose refuses: %v", err)
		}
		header := theirs.Signatures[0].Header
		typ, _ := header.ExtraHeaders[gojose.HeaderType].(string)
		if header.Algorithm != string(u.Header.Algorithm) || header.KeyID != u.Header.KeyID || typ != u.Header.Type {
			t.Fatalf("we read %+v, go-jose %+v", u.Header, header)
		}
		if !bytes.Equal(theirs.UnsafePayloadWithoutVerification(), u.UnverifiedPayload()) {
			t.Fatal("go-jose reads another payload")
		}
		acceptedByBoth(t, raw)
		acceptedByBoth(t, signedAgain(t, u))
	})
}

// signedAgain replaces the signature by a right one, which no fuzzer finds.
func signedAgain(t *testing.T, u Unverified) string {
	t.Helper()
	var signature [signatureP256]byte
	switch key := testKeys()[u.Header.Algorithm].key.(type) {
	case ed25519.PrivateKey:
		copy(signature[:], ed25519.Sign(key, u.signed))
	case *ecdsa.PrivateKey:
		if err := signP256(key, u.signed, &signature); err != nil {
			t.Fatal(err)
		}
	}
	return string(u.signed) + "." + b64(signature[:])
}

// acceptedByBoth fails when a signature verifies here and not with go-jose.
func acceptedByBoth(t *testing.T, raw string) {
	t.Helper()
	u, err := Parse(raw, Limits{})
	if err != nil {
		if errors.Is(err, ErrMalformed) {
			return // it became too long
		}
		t.Fatal(err)
	}
	key := testKeys()[u.Header.Algorithm].Public()
	payload, err := u.Verify(key)
	if err != nil {
		return
	}
	theirs, err := gojose.ParseSignedCompact(raw, goJOSEAlgorithms)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := theirs.Verify(key.key)
	if err != nil && !differsByTaste(err) || err == nil && !bytes.Equal(accepted, payload) {
		t.Fatalf("we accept a signature that go-jose refuses: %v", err)
	}
}

// differsByTaste says whether go-jose refuses something that the RFC lets
// readers ignore and that has no bearing on whose signature it is: the type of a
// registered header member that we do not read, such as nonce.
func differsByTaste(err error) bool {
	return strings.Contains(err.Error(), "cannot unmarshal") || strings.Contains(err.Error(), "nonce")
}

// FuzzParseKeySet checks that what is accepted is usable, within bounds, survives
// publication, and is the same key to go-jose.
func FuzzParseKeySet(f *testing.F) {
	for _, alg := range allAlgorithms {
		f.Add(setOf(f, member(f, testKeys()[alg].Public(), nil)))
		f.Add(setOf(f, member(f, testKeys()[alg].Public(), map[string]any{"alg": nil, "use": nil, "kid": nil})))
		f.Add(setOf(f, member(f, testKeys()[alg].Public(), map[string]any{"d": "AA", "e": "AQ"})))
	}
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-384"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseKeySet(data)
		if err != nil {
			if set.Keys != nil {
				t.Fatal("a refused set has keys")
			}
			return
		}
		published, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKeySet(published)
		if err != nil || len(again.Keys) != len(set.Keys) {
			t.Fatalf("published and read again: %v", err)
		}
		for i, key := range set.Keys {
			if !key.Valid() || !key.Algorithm.Valid() || Thumbprint(again.Keys[i]) != Thumbprint(key) || again.Keys[i].ID != key.ID {
				t.Fatalf("key %d: %v and %v", i, key, again.Keys[i])
			}
			one, err := json.Marshal(key)
			if err != nil {
				t.Fatal(err)
			}
			var theirs gojose.JSONWebKey
			if err := theirs.UnmarshalJSON(one); err != nil || !theirs.Valid() || !theirs.IsPublic() {
				t.Fatalf("go-jose refuses %s: %v", one, err)
			}
		}
	})
}

// FuzzDecodeStrict holds strict JSON against encoding/json: what we accept, it
// decodes, and encoded again it is accepted again with the same meaning.
func FuzzDecodeStrict(f *testing.F) {
	for _, seed := range []string{
		`{}`, someClaims, `{"a":[1,-0.5e3,true,false,null,"\ud83d\ude00"],"b":{"A":1}}`, `{"a":1,"A":2}`, `{"a":1e400}`, `{"a":"\ud800"}`,
		`{"a":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}`, "{\"a\":\"\xff\"}", `{"name":"x","Name":"y"}`, `{"K":1,"` + "\u212a" + `":2}`, `{"a":01}`, `{} {}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours map[string]any
		err := DecodeStrict(data, &ours)
		if (err == nil) != (StrictObject(data, Limits{}) == nil) {
			t.Fatalf("DecodeStrict and StrictObject disagree: %v", err)
		}
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("we accept what is not JSON")
		}
		encoded, err := json.Marshal(ours)
		if err != nil {
			t.Fatal(err)
		}
		var again map[string]any
		if err := (Limits{Bytes: 8 * MaxJSONBytes}).Decode(encoded, &again); err != nil {
			t.Fatalf("refused when encoded again: %v", err)
		}
		if !reflect.DeepEqual(ours, again) {
			t.Fatalf("%v and %v", ours, again)
		}
	})
}

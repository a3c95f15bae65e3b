package jose

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"
)

var allAlgorithms = []Algorithm{RS256, PS256, ES256, EdDSA}

// testKeys are made once per run: RSA keys take a while.
var testKeys = sync.OnceValue(func() map[Algorithm]*PrivateKey {
	keys := map[Algorithm]*PrivateKey{}
	for _, alg := range allAlgorithms {
		key, err := GenerateKey(alg, "key-"+string(alg))
		if err != nil {
			panic(err)
		}
		keys[alg] = key
	}
	return keys
})

const someClaims = `{"iss":"https://as.test","sub":"alice","aud":"https://rs.test","exp":1900000000}`

func TestSignAndVerify(t *testing.T) {
	for _, alg := range allAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			key := testKeys()[alg]
			raw, err := key.Sign(TypeAccessToken, []byte(someClaims))
			if err != nil {
				t.Fatal(err)
			}
			u, err := Parse(raw, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if want := (Header{alg, key.ID(), TypeAccessToken}); u.Header != want {
				t.Errorf("header %+v, want %+v", u.Header, want)
			}
			payload, err := u.Verify(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			if string(payload) != someClaims {
				t.Errorf("payload %s", payload)
			}
			checkWithGoJOSE(t, raw, key.Public(), someClaims)
		})
	}
}

// checkWithGoJOSE verifies raw with a library that nobody here wrote, and with
// the key in the form in which we publish it.
func checkWithGoJOSE(t *testing.T, raw string, key PublicKey, want string) {
	t.Helper()
	published, err := key.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var theirs gojose.JSONWebKey
	if err := theirs.UnmarshalJSON(published); err != nil {
		t.Fatalf("go-jose does not read %s: %v", published, err)
	}
	if theirs.KeyID != key.ID || theirs.Algorithm != string(key.Algorithm) || theirs.Use != "sig" || !theirs.IsPublic() {
		t.Errorf("go-jose reads the key as %+v", theirs)
	}
	jws, err := gojose.ParseSignedCompact(raw, []gojose.SignatureAlgorithm{gojose.SignatureAlgorithm(key.Algorithm)})
	if err != nil {
		t.Fatalf("go-jose does not read the token: %v", err)
	}
	payload, err := jws.Verify(theirs)
	if err != nil {
		t.Fatalf("go-jose does not accept the signature: %v", err)
	}
	if string(payload) != want {
		t.Errorf("go-jose reads the payload as %s", payload)
	}
}

func TestSignTypes(t *testing.T) {
	key := testKeys()[EdDSA]
	for typ, want := range map[string]string{
		TypeAccessToken: `{"alg":"EdDSA","kid":"key-EdDSA","typ":"at+jwt"}`,
		"":              `{"alg":"EdDSA","kid":"key-EdDSA"}`,
		"other+jwt":     `{"alg":"EdDSA","kid":"key-EdDSA","typ":"other+jwt"}`,
	} {
		raw, err := key.Sign(typ, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		encoded, _, _ := strings.Cut(raw, ".")
		header, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil || string(header) != want {
			t.Errorf("typ %q: header %s, %v", typ, header, err)
		}
		if u, err := Parse(raw, Limits{}); err != nil || u.Header.Type != typ {
			t.Errorf("typ %q is read as %q, %v", typ, u.Header.Type, err)
		}
	}
}

func TestSignIsDeterministic(t *testing.T) {
	for _, alg := range []Algorithm{ES256, EdDSA, RS256} {
		first, err1 := testKeys()[alg].Sign(TypeJWT, []byte(someClaims))
		second, err2 := testKeys()[alg].Sign(TypeJWT, []byte(someClaims))
		if err1 != nil || err2 != nil || first != second {
			t.Errorf("%s signs differently the second time (%v, %v)", alg, err1, err2)
		}
	}
}

// Some r and s are shorter than 32 octets in DER and have to be padded.
func TestSignPadsShortIntegers(t *testing.T) {
	key := testKeys()[ES256]
	short := 0
	for i := 0; i < 5000 && short < 3; i++ {
		claims := fmt.Appendf(nil, `{"n":%d}`, i)
		raw, err := key.Sign("", claims)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := base64.RawURLEncoding.DecodeString(raw[strings.LastIndexByte(raw, '.')+1:])
		if err != nil || len(signature) != signatureP256 {
			t.Fatalf("a signature of %d octets, %v", len(signature), err)
		}
		if signature[0] != 0 && signature[p256Size] != 0 {
			continue
		}
		short++
		checkWithGoJOSE(t, raw, key.Public(), string(claims))
	}
	if short == 0 {
		t.Error("no short integer in 5000 signatures")
	}
}

func TestAppendSignReusesItsBuffer(t *testing.T) {
	key := testKeys()[EdDSA]
	want, err := key.Sign(TypeAccessToken, []byte(someClaims))
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 0, 1024)
	got, err := key.AppendSign(append(buffer, "before "...), TypeAccessToken, []byte(someClaims))
	if err != nil || string(got) != "before "+want || &got[0] != &buffer[:1][0] {
		t.Errorf("AppendSign returned %q, %v", got, err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := key.AppendSign(buffer, TypeAccessToken, []byte(someClaims)); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("%v allocations for an EdDSA token in a buffer of the caller's", n)
	}
}

func TestPrivateKeyRoundTrip(t *testing.T) {
	for _, alg := range allAlgorithms {
		key := testKeys()[alg]
		der, err := key.MarshalPKCS8()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParsePrivateKey(alg, "another", der)
		if err != nil {
			t.Fatal(err)
		}
		if again.ID() != "another" || again.Algorithm() != alg || Thumbprint(again.Public()) != Thumbprint(key.Public()) {
			t.Errorf("%s: the key came back as %v", alg, again)
		}
	}
}

func TestPrivateKeyRefusals(t *testing.T) {
	der, err := testKeys()[ES256].MarshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		alg  Algorithm
		kid  string
		der  []byte
		want error
	}{
		{"another kind of key", RS256, "k", der, ErrKey},
		{"an unknown algorithm", "ES384", "k", der, ErrAlgorithm},
		{"none", "none", "k", der, ErrAlgorithm},
		{"no kid", ES256, "", der, ErrKey},
		{"a long kid", ES256, strings.Repeat("k", MaxKeyIDLength+1), der, ErrKey},
		{"a kid with a line end", ES256, "k\n", der, ErrKey},
		{"truncated DER", ES256, "k", der[:len(der)-1], ErrKey},
		{"no DER", ES256, "k", nil, ErrKey},
	}
	for _, test := range tests {
		if _, err := ParsePrivateKey(test.alg, test.kid, test.der); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
	}
	if _, err := ParsePrivateKey(ES256, strings.Repeat("k", MaxKeyIDLength), der); err != nil {
		t.Errorf("the longest kid: %v", err)
	}
	if _, err := GenerateKey("HS256", "k"); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("GenerateKey of HS256: %v", err)
	}
}

func TestPrivateKeyIsNotPrinted(t *testing.T) {
	const name = "jose.PrivateKey(ES256 key-ES256)"
	key := testKeys()[ES256]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, key); got != name {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "key", key)
	if !strings.Contains(log.String(), `"key":"`+name+`"`) {
		t.Errorf("the log says %s", log.String())
	}
}

package jose

import (
	"testing"

	gojose "github.com/go-jose/go-jose/v4"
)

const benchClaims = `{"iss":"https://as.example","sub":"248289761001","aud":"https://rs.example","exp":1900000600,"iat":1900000000,` +
	`"jti":"Zx3kq8v1R2uB9fWm","client_id":"web","scope":"openid photos:read photos:write","gid":"m3k1n5c7b2x9q8w0"}`

func BenchmarkSign(b *testing.B) {
	for _, alg := range []Algorithm{ES256, EdDSA, RS256} {
		key := testKeys()[alg]
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Sign(TypeAccessToken, []byte(benchClaims)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSignGoJOSE is what the house's signer is compared with.
func BenchmarkSignGoJOSE(b *testing.B) {
	key := testKeys()[ES256]
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: gojose.JSONWebKey{Key: key.key, KeyID: key.ID()}},
		(&gojose.SignerOptions{}).WithType(TypeAccessToken))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		jws, err := signer.Sign([]byte(benchClaims))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := jws.CompactSerialize(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []Algorithm{ES256, EdDSA, RS256} {
		key := testKeys()[alg]
		raw, err := key.Sign(TypeAccessToken, []byte(benchClaims))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				u, err := Parse(raw, Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := u.Verify(key.Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	raw, err := testKeys()[EdDSA].Sign(TypeAccessToken, []byte(benchClaims))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStrictObject(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := StrictObject([]byte(benchClaims), Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

package client_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse/jose"
	"gatehouse/oauth"
)

// atHash is at_hash as OpenID Connect Core §3.1.3.6 describes it.
func atHash(alg jose.Algorithm, access string) string {
	if alg == jose.EdDSA {
		sum := sha512.Sum512([]byte(access))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// hmacBy signs with HMAC-SHA-256.
func hmacBy(key []byte) func(string) []byte {
	return func(signed string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		return mac.Sum(nil)
	}
}

// withOwnKey is a token whose header brings the key that signed it.
func withOwnKey(t testing.TB, key *jose.PrivateKey, c claims) string {
	t.Helper()
	public, err := json.Marshal(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	raw := sign(t, key, jose.TypeJWT, c)
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"key-1","jwk":` + string(public) + `}`))
	return header + raw[strings.Index(raw, "."):]
}

// changedBody swaps the claims of a token for somebody else's.
func changedBody(raw string) string {
	parts := strings.Split(raw, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		panic(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "alice", "admin", 1)))
	return strings.Join(parts, ".")
}

func queryOf(t testing.TB, address string) url.Values {
	t.Helper()
	uri, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return uri.Query()
}

// answerTo opens an authorization request and returns the issuer's answer.
func answerTo(t testing.TB, address string) oauth.Form {
	t.Helper()
	return answerBy(t, http.DefaultTransport, address)
}

func answerBy(t testing.TB, network http.RoundTripper, address string) oauth.Form {
	t.Helper()
	b := newBrowser(t)
	b.network = network
	back, err := url.Parse(b.get(address).to(t))
	if err != nil {
		t.Fatal(err)
	}
	form, err := oauth.ParseForm(back.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	return form
}

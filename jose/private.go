package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// The types of the tokens that Gatehouse signs. A [PrivateKey] keeps their
// headers ready; other types work too.
const (
	TypeAccessToken = "at+jwt" // RFC 9068 §2.1
	TypeJWT         = "JWT"    // RFC 7519 §5.1; ID tokens
	TypeLogoutToken = "logout+jwt"
)

// PrivateKey is a signing key bound to one algorithm. It is immutable, safe for
// concurrent use, and prints as its name only.
type PrivateKey struct {
	key     crypto.Signer // *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey
	public  PublicKey
	headers map[string]string // by typ: the encoded header and its dot
}

// GenerateKey makes a key: RSA of [MinRSABits] bits, P-256 or Ed25519. kid is 1
// to [MaxKeyIDLength] printable ASCII characters. RSA takes a second or so of a
// core: never on the path of a request.
func GenerateKey(alg Algorithm, kid string) (*PrivateKey, error) {
	var key crypto.Signer
	var err error
	switch alg {
	case RS256, PS256:
		key, err = rsa.GenerateKey(rand.Reader, MinRSABits)
	case ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, ErrAlgorithm
	}
	if err != nil {
		return nil, fmt.Errorf("generating a key for %s: %w", alg, err)
	}
	return newPrivateKey(alg, kid, key)
}

// ParsePrivateKey reads the PKCS #8 DER form that [PrivateKey.MarshalPKCS8]
// writes. Errors wrap [ErrKey] or [ErrAlgorithm].
func ParsePrivateKey(alg Algorithm, kid string, pkcs8 []byte) (*PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("%w: not a PKCS #8 private key", ErrKey)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: it cannot sign", ErrKey)
	}
	return newPrivateKey(alg, kid, key)
}

func newPrivateKey(alg Algorithm, kid string, key crypto.Signer) (*PrivateKey, error) {
	if kid == "" {
		return nil, fmt.Errorf("%w: a signing key needs a kid", ErrKey)
	}
	public, err := NewPublicKey(alg, kid, key.Public())
	if err != nil {
		return nil, err
	}
	k := &PrivateKey{key: key, public: public, headers: map[string]string{}}
	for _, typ := range []string{TypeAccessToken, TypeJWT, TypeLogoutToken} {
		if k.headers[typ], err = k.encodeHeader(typ); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// encodeHeader returns the base64url form of {"alg","kid","typ"} and a dot.
func (k *PrivateKey) encodeHeader(typ string) (string, error) {
	header, err := json.Marshal(struct {
		Alg Algorithm `json:"alg"`
		Kid string    `json:"kid"`
		Typ string    `json:"typ,omitempty"`
	}{k.public.Algorithm, k.public.ID, typ})
	if err != nil {
		return "", fmt.Errorf("encoding a JWS header: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(header) + ".", nil
}

// MarshalPKCS8 returns the PKCS #8 DER form (RFC 5958). It is the secret itself:
// seal it before it is stored.
func (k *PrivateKey) MarshalPKCS8() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, fmt.Errorf("marshalling key %s: %w", k.ID(), err)
	}
	return der, nil
}

// Algorithm returns the one algorithm that the key signs with.
func (k *PrivateKey) Algorithm() Algorithm { return k.public.Algorithm }

// ID returns the kid.
func (k *PrivateKey) ID() string { return k.public.ID }

// Public returns the half that may be published.
func (k *PrivateKey) Public() PublicKey { return k.public }

func (k *PrivateKey) String() string {
	return "jose.PrivateKey(" + string(k.Algorithm()) + " " + k.ID() + ")"
}

// Format keeps every verb of fmt from printing the secret.
func (k *PrivateKey) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, k.String())
}

// LogValue keeps the secret out of structured logs.
func (k *PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// Bounds of RSA keys. The upper ones keep a stranger's key from costing us
// more than a signature should.
const (
	MinRSABits     = 2048 // RFC 7518 §3.3
	MaxRSABits     = 4096
	MinRSAExponent = 3
	MaxRSAExponent = 1<<31 - 1
)

// MaxKeyIDLength bounds a kid, which is printable ASCII.
const MaxKeyIDLength = 128

const (
	p256Size      = 32 // octets of a coordinate and of r and s
	signatureP256 = 2 * p256Size
)

// PublicKey is a verification key bound to one algorithm. The zero PublicKey
// verifies nothing. It is immutable and safe for concurrent use.
type PublicKey struct {
	ID        string // kid; may be empty in a foreign key set
	Algorithm Algorithm

	key crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// NewPublicKey binds a key to an algorithm. Errors wrap [ErrKey] or
// [ErrAlgorithm]: the key is of another kind than the algorithm's, an RSA
// modulus is outside [MinRSABits] to [MaxRSABits], a point is not on P-256.
func NewPublicKey(alg Algorithm, kid string, key crypto.PublicKey) (PublicKey, error) {
	if !alg.Valid() {
		return PublicKey{}, ErrAlgorithm
	}
	if !printable(kid, MaxKeyIDLength) {
		return PublicKey{}, fmt.Errorf("%w: a kid is at most %d printable ASCII characters", ErrKey, MaxKeyIDLength)
	}
	if err := checkKey(alg, key); err != nil {
		return PublicKey{}, err
	}
	return PublicKey{ID: kid, Algorithm: alg, key: key}, nil
}

func checkKey(alg Algorithm, key crypto.PublicKey) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if alg == RS256 || alg == PS256 {
			return checkRSA(key)
		}
	case *ecdsa.PublicKey:
		if alg == ES256 && key.Curve == elliptic.P256() {
			if _, err := key.Bytes(); err != nil { // RFC 8725 §3.4: the point is on the curve
				return fmt.Errorf("%w: the point is not on P-256", ErrKey)
			}
			return nil
		}
	case ed25519.PublicKey:
		if alg == EdDSA && len(key) == ed25519.PublicKeySize {
			return nil
		}
	}
	return fmt.Errorf("%w: it is not of the kind that %s signs with", ErrKey, alg)
}

func checkRSA(key *rsa.PublicKey) error {
	if key.N == nil || key.N.Sign() <= 0 || key.N.Bit(0) == 0 {
		return fmt.Errorf("%w: the RSA modulus is not a positive odd number", ErrKey)
	}
	if bits := key.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
		return fmt.Errorf("%w: an RSA modulus has %d to %d bits, this one %d", ErrKey, MinRSABits, MaxRSABits, bits)
	}
	if key.E < MinRSAExponent || key.E > MaxRSAExponent || key.E%2 == 0 {
		return fmt.Errorf("%w: an RSA exponent is odd and from %d to %d", ErrKey, MinRSAExponent, MaxRSAExponent)
	}
	return nil
}

// Valid says whether k holds a key; the zero PublicKey does not.
func (k PublicKey) Valid() bool { return k.key != nil }

// jwk is the form of a public key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
type jwk struct {
	Kty string    `json:"kty"`
	Use string    `json:"use,omitempty"`
	Alg Algorithm `json:"alg,omitempty"`
	Kid string    `json:"kid,omitempty"`
	Crv string    `json:"crv,omitempty"`
	N   string    `json:"n,omitempty"`
	E   string    `json:"e,omitempty"`
	X   string    `json:"x,omitempty"`
	Y   string    `json:"y,omitempty"`
}

func (k PublicKey) jwk() (jwk, error) {
	form := jwk{Use: "sig", Alg: k.Algorithm, Kid: k.ID}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		form.Kty = "RSA"
		form.N = base64.RawURLEncoding.EncodeToString(key.N.Bytes())
		form.E = base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			return jwk{}, fmt.Errorf("%w: the point is not on P-256", ErrKey)
		}
		form.Kty, form.Crv = "EC", "P-256"
		form.X = base64.RawURLEncoding.EncodeToString(point[1 : 1+p256Size])
		form.Y = base64.RawURLEncoding.EncodeToString(point[1+p256Size:])
	case ed25519.PublicKey:
		form.Kty, form.Crv = "OKP", "Ed25519"
		form.X = base64.RawURLEncoding.EncodeToString(key)
	default:
		return jwk{}, fmt.Errorf("%w: it is empty", ErrKey)
	}
	return form, nil
}

// MarshalJSON returns the public JWK: kty, use "sig", alg, kid and the public
// numbers.
func (k PublicKey) MarshalJSON() ([]byte, error) {
	form, err := k.jwk()
	if err != nil {
		return nil, err
	}
	return json.Marshal(form)
}

// Thumbprint returns the RFC 7638 SHA-256 thumbprint of k in base64url, "" for
// the zero PublicKey. It does not depend on kid, use or alg.
func Thumbprint(k PublicKey) string {
	form, err := k.jwk()
	if err != nil {
		return ""
	}
	// RFC 7638 §3.2, RFC 8037 §2: the required members in lexicographic order.
	// Their values are base64url or fixed words and need no escape.
	var canonical string
	switch form.Kty {
	case "RSA":
		canonical = `{"e":"` + form.E + `","kty":"RSA","n":"` + form.N + `"}`
	case "EC":
		canonical = `{"crv":"` + form.Crv + `","kty":"EC","x":"` + form.X + `","y":"` + form.Y + `"}`
	default:
		canonical = `{"crv":"` + form.Crv + `","kty":"OKP","x":"` + form.X + `"}`
	}
	digest := sha256.Sum256([]byte(canonical))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// printable says whether text is at most limit printable ASCII characters.
func printable(text string, limit int) bool {
	if len(text) > limit {
		return false
	}
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

package jose

import "errors"

// Algorithm is a signature algorithm by its JWA name (RFC 7518 §3.1,
// RFC 8037 §3.1).
type Algorithm string

// The algorithms of the house. RFC 8725 §3.2: there is no "none" and no HMAC
// here, and nothing can add them.
const (
	RS256 Algorithm = "RS256" // RSASSA-PKCS1-v1_5 with SHA-256
	PS256 Algorithm = "PS256" // RSASSA-PSS with SHA-256 and a salt of 32 octets
	ES256 Algorithm = "ES256" // ECDSA on P-256 with SHA-256
	EdDSA Algorithm = "EdDSA" // Ed25519
)

// Valid says whether a is one of the algorithms of the house.
func (a Algorithm) Valid() bool {
	switch a {
	case RS256, PS256, ES256, EdDSA:
		return true
	}
	return false
}

// The reasons for which this package refuses, to be told apart with
// [errors.Is]. No error of this package quotes a token or a key.
var (
	// ErrMalformed: not a compact JWS, not strict JSON, or beyond a bound.
	ErrMalformed = errors.New("malformed")
	// ErrAlgorithm: an algorithm that is not of the house, or not the key's.
	ErrAlgorithm = errors.New("algorithm not accepted")
	// ErrKey: a key that is unusable, too weak, too large or not public.
	ErrKey = errors.New("unusable key")
	// ErrSignature: the signature is not the key's over this content.
	ErrSignature = errors.New("signature does not verify")
)

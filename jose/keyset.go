package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
)

// Bounds of a key set.
const (
	MaxKeySetBytes = 256 << 10
	MaxKeys        = 64
	maxKeyMembers  = 32 // on average, over a set
)

// KeySet is a JWK Set (RFC 7517 §5) of public keys.
type KeySet struct {
	Keys []PublicKey
}

// MarshalJSON returns {"keys": […]} in the order of Keys.
func (s KeySet) MarshalJSON() ([]byte, error) {
	keys := s.Keys
	if keys == nil {
		keys = []PublicKey{}
	}
	return json.Marshal(struct {
		Keys []PublicKey `json:"keys"`
	}{keys})
}

// ParseKeySet reads a JWK Set. Keys that we cannot use are skipped, as
// RFC 7517 §5 asks: another kty, curve or alg, another use than "sig", key_ops
// without "verify", a required member missing. An RSA key without alg is bound to RS256, the default of
// OpenID Connect.
//
// The whole set is refused, with an error that wraps [ErrMalformed] or [ErrKey],
// when it shows that its publisher cannot be relied on: a private or symmetric
// key, two keys of one kid and alg, a usable key that is malformed, not on its
// curve, or outside the bounds of [NewPublicKey]; or when it exceeds
// [MaxKeySetBytes] or [MaxKeys].
func ParseKeySet(data []byte) (KeySet, error) {
	limits := Limits{Bytes: MaxKeySetBytes, Members: MaxKeys * maxKeyMembers}
	var document struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := limits.Decode(data, &document); err != nil {
		return KeySet{}, fmt.Errorf("key set: %w", err)
	}
	if document.Keys == nil {
		return KeySet{}, fmt.Errorf("key set: %w: the member keys is missing", ErrMalformed)
	}
	if len(*document.Keys) > MaxKeys {
		return KeySet{}, fmt.Errorf("key set: %w: more than %d keys", ErrMalformed, MaxKeys)
	}
	var set KeySet
	for i, raw := range *document.Keys {
		key, usable, err := parseKey(raw, limits)
		if err != nil {
			return KeySet{}, fmt.Errorf("key set, key %d: %w", i+1, err)
		}
		if !usable {
			continue
		}
		if key.ID != "" && slices.ContainsFunc(set.Keys, func(other PublicKey) bool {
			return other.ID == key.ID && other.Algorithm == key.Algorithm
		}) {
			return KeySet{}, fmt.Errorf("key set, key %d: %w: another key has its kid and alg", i+1, ErrKey)
		}
		set.Keys = append(set.Keys, key)
	}
	return set, nil
}

// foreignKey is a JWK as others write it. The members of private and symmetric
// keys are here to be found (RFC 7518 §6.2.2, §6.3.2, §6.4).
type foreignKey struct {
	jwk
	KeyOps []string `json:"key_ops"`

	D   json.RawMessage `json:"d"`
	P   json.RawMessage `json:"p"`
	Q   json.RawMessage `json:"q"`
	DP  json.RawMessage `json:"dp"`
	DQ  json.RawMessage `json:"dq"`
	QI  json.RawMessage `json:"qi"`
	Oth json.RawMessage `json:"oth"`
	K   json.RawMessage `json:"k"`
}

func (f *foreignKey) secret() bool {
	return f.Kty == "oct" || f.D != nil || f.P != nil || f.Q != nil || f.DP != nil || f.DQ != nil ||
		f.QI != nil || f.Oth != nil || f.K != nil
}

func parseKey(raw []byte, limits Limits) (key PublicKey, usable bool, err error) {
	var f foreignKey
	if err := limits.Decode(raw, &f); err != nil {
		return PublicKey{}, false, err
	}
	if f.secret() {
		return PublicKey{}, false, fmt.Errorf("%w: it is private or symmetric; publish public keys only, and replace this one", ErrKey)
	}
	if f.Use != "" && f.Use != "sig" || f.KeyOps != nil && !slices.Contains(f.KeyOps, "verify") {
		return PublicKey{}, false, nil
	}
	alg, usable := f.algorithm()
	if !usable || !f.complete() {
		return PublicKey{}, false, nil
	}
	public, err := f.public()
	if err != nil {
		return PublicKey{}, false, err
	}
	key, err = NewPublicKey(alg, f.Kid, public)
	return key, err == nil, err
}

// algorithm returns the one algorithm that the key is for, and whether it is
// one of ours.
func (f *foreignKey) algorithm() (Algorithm, bool) {
	var possible []Algorithm // the first is the default
	switch {
	case f.Kty == "RSA":
		possible = []Algorithm{RS256, PS256}
	case f.Kty == "EC" && f.Crv == "P-256":
		possible = []Algorithm{ES256}
	case f.Kty == "OKP" && f.Crv == "Ed25519":
		possible = []Algorithm{EdDSA}
	default:
		return "", false
	}
	if f.Alg == "" {
		return possible[0], true
	}
	return f.Alg, slices.Contains(possible, f.Alg)
}

// complete says whether the members that the kty requires are there.
func (f *foreignKey) complete() bool {
	switch f.Kty {
	case "RSA":
		return f.N != "" && f.E != ""
	case "EC":
		return f.X != "" && f.Y != ""
	default:
		return f.X != ""
	}
}

func (f *foreignKey) public() (crypto.PublicKey, error) {
	switch f.Kty {
	case "RSA":
		return f.publicRSA()
	case "EC":
		x, errX := decodeMember(f.X)
		y, errY := decodeMember(f.Y)
		if errX != nil || errY != nil || len(x) != p256Size || len(y) != p256Size { // RFC 7518 §6.2.1.2
			return nil, fmt.Errorf("%w: x and y are not %d octets each", ErrKey, p256Size)
		}
		const uncompressed = 4
		point := append(append([]byte{uncompressed}, x...), y...)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			return nil, fmt.Errorf("%w: the point is not on P-256", ErrKey) // RFC 8725 §3.4
		}
		return key, nil
	default:
		x, err := decodeMember(f.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: x is not %d octets", ErrKey, ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(x), nil
	}
}

func (f *foreignKey) publicRSA() (*rsa.PublicKey, error) {
	// The text is bounded before any arithmetic is done with it.
	const maxModulusText = (MaxRSABits/8+1)*4/3 + 4
	const maxExponentText = 8
	if len(f.N) > maxModulusText {
		return nil, fmt.Errorf("%w: the RSA modulus is longer than %d bits", ErrKey, MaxRSABits)
	}
	if len(f.E) > maxExponentText {
		return nil, fmt.Errorf("%w: the RSA exponent is larger than %d", ErrKey, MaxRSAExponent)
	}
	n, errN := decodeMember(f.N)
	e, errE := decodeMember(f.E)
	if errN != nil || errE != nil {
		return nil, fmt.Errorf("%w: n and e are not base64url", ErrKey)
	}
	exponent := new(big.Int).SetBytes(e)
	if !exponent.IsInt64() || exponent.Int64() > MaxRSAExponent {
		return nil, fmt.Errorf("%w: the RSA exponent is larger than %d", ErrKey, MaxRSAExponent)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

func decodeMember(text string) ([]byte, error) {
	for i := range len(text) {
		if text[i] == '\n' || text[i] == '\r' { // encoding/base64 skips these
			return nil, ErrMalformed
		}
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

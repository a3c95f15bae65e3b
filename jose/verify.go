package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
)

// Verify returns the payload if k signed it. The algorithm of the header must be
// the key's (RFC 8725 §3.1), else the error is [ErrAlgorithm]; a signature that
// is not k's is [ErrSignature]; a zero key is [ErrKey]. The caller must not
// change the payload.
func (u Unverified) Verify(k PublicKey) ([]byte, error) {
	if !k.Valid() {
		return nil, ErrKey
	}
	if u.Header.Algorithm != k.Algorithm || !k.Algorithm.Valid() {
		return nil, ErrAlgorithm
	}
	if !u.signedBy(k) {
		return nil, ErrSignature
	}
	return u.payload, nil
}

func (u Unverified) signedBy(k PublicKey) bool {
	switch key := k.key.(type) {
	case ed25519.PublicKey:
		return k.Algorithm == EdDSA && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, u.signed, u.signature)
	case *ecdsa.PublicKey:
		return k.Algorithm == ES256 && verifyP256(key, u.signed, u.signature)
	case *rsa.PublicKey:
		return verifyRSA(k.Algorithm, key, u.signed, u.signature)
	}
	return false
}

// verifyP256 takes r||s of 32 octets each (RFC 7518 §3.4), both within
// [1, n-1].
func verifyP256(key *ecdsa.PublicKey, signed, signature []byte) bool {
	if len(signature) != signatureP256 {
		return false
	}
	r := new(big.Int).SetBytes(signature[:p256Size])
	s := new(big.Int).SetBytes(signature[p256Size:])
	order := key.Params().N
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(order) >= 0 || s.Cmp(order) >= 0 {
		return false
	}
	digest := sha256.Sum256(signed)
	return ecdsa.Verify(key, digest[:], r, s)
}

func verifyRSA(alg Algorithm, key *rsa.PublicKey, signed, signature []byte) bool {
	if len(signature) != key.Size() {
		return false
	}
	digest := sha256.Sum256(signed)
	switch alg {
	case RS256:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	case PS256:
		return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}

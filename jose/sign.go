package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// Sign returns the compact JWS (RFC 7515 §7.1) over claims, which is ready JSON
// that the caller vouches for. The header holds alg, kid and, unless it is
// empty, typ. ES256 and EdDSA signatures are deterministic (RFC 6979, RFC 8032).
func (k *PrivateKey) Sign(typ string, claims []byte) (string, error) {
	jws, err := k.AppendSign(nil, typ, claims)
	if err != nil {
		return "", err
	}
	return string(jws), nil
}

// AppendSign is [PrivateKey.Sign] that appends the JWS to dst, for callers that
// reuse a buffer.
func (k *PrivateKey) AppendSign(dst []byte, typ string, claims []byte) ([]byte, error) {
	header, ready := k.headers[typ]
	if !ready {
		var err error
		if header, err = k.encodeHeader(typ); err != nil {
			return nil, err
		}
	}
	encoding := base64.RawURLEncoding
	if needed := len(header) + encoding.EncodedLen(len(claims)) + 1 + encoding.EncodedLen(k.signatureSize()); cap(dst)-len(dst) < needed {
		dst = append(make([]byte, 0, len(dst)+needed), dst...)
	}
	start := len(dst)
	dst = append(dst, header...)
	dst = encoding.AppendEncode(dst, claims)
	signed := dst[start:]
	dst = append(dst, '.')
	switch key := k.key.(type) {
	case ed25519.PrivateKey:
		return encoding.AppendEncode(dst, ed25519.Sign(key, signed)), nil
	case *ecdsa.PrivateKey:
		var signature [signatureP256]byte
		if err := signP256(key, signed, &signature); err != nil {
			return nil, err
		}
		return encoding.AppendEncode(dst, signature[:]), nil
	case *rsa.PrivateKey:
		signature, err := k.signRSA(key, signed)
		if err != nil {
			return nil, fmt.Errorf("signing with key %s: %w", k.ID(), err)
		}
		return encoding.AppendEncode(dst, signature), nil
	}
	return nil, ErrKey
}

func (k *PrivateKey) signatureSize() int {
	if key, ok := k.key.(*rsa.PrivateKey); ok {
		return key.Size()
	}
	return signatureP256 // Ed25519's are as long
}

func (k *PrivateKey) signRSA(key *rsa.PrivateKey, signed []byte) ([]byte, error) {
	digest := sha256.Sum256(signed)
	if k.public.Algorithm == PS256 {
		// RFC 7518 §3.5: the salt is as long as the hash.
		return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
}

var errSignature = errors.New("the ECDSA signature has an unexpected form")

// signP256 signs deterministically: a nil random source means RFC 6979.
func signP256(key *ecdsa.PrivateKey, signed []byte, out *[signatureP256]byte) error {
	digest := sha256.Sum256(signed)
	der, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return fmt.Errorf("signing with P-256: %w", err)
	}
	// DER: SEQUENCE { INTEGER r, INTEGER s }, all lengths below 128.
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return errSignature
	}
	rest, ok := derInteger(der[2:], out[:p256Size])
	if !ok {
		return errSignature
	}
	if rest, ok = derInteger(rest, out[p256Size:]); !ok || len(rest) != 0 {
		return errSignature
	}
	return nil
}

// derInteger copies a positive DER INTEGER right-aligned into out.
func derInteger(der, out []byte) (rest []byte, ok bool) {
	if len(der) < 2 || der[0] != 0x02 || int(der[1]) > len(der)-2 {
		return nil, false
	}
	value, rest := der[2:2+int(der[1])], der[2+int(der[1]):]
	if len(value) > 0 && value[0] == 0 {
		value = value[1:]
	}
	if len(value) > len(out) {
		return nil, false
	}
	copy(out[len(out)-len(value):], value)
	return rest, true
}

package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
)

const (
	// alphabet needs no encoding in a form, a URL, a header or a shell. RFC 6749 §2.3.1 has client
	// identifiers and secrets form-encoded inside Basic credentials; these stay the same under it.
	alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

	// randomLength characters of 62 carry 256.03 bits.
	randomLength = 43

	// fairBytes is the largest multiple of 62 within a byte; higher ones would favour some letters.
	fairBytes = 256 / len(alphabet) * len(alphabet)
)

// Random makes a secret of 256 bits: 43 characters of [A-Za-z0-9].
func Random() String {
	text := make([]byte, 0, randomLength)
	var pool [64]byte
	for {
		_, _ = rand.Read(pool[:]) // never fails: it ends the process instead
		for _, b := range pool {
			if int(b) >= fairBytes {
				continue
			}
			text = append(text, alphabet[int(b)%len(alphabet)])
			if len(text) == randomLength {
				return New(string(text))
			}
		}
	}
}

// Hash is the SHA-256 of s, 32 bytes. It is fit for secrets that are random, not for passwords.
func Hash(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// Equal compares in a time that depends on the lengths only.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

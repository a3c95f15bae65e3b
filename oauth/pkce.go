package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// ChallengeMethodS256 is the only code_challenge_method we accept
// (RFC 9700 §2.1.1: methods that do not expose the verifier).
const ChallengeMethodS256 = "S256"

// Lengths of a code_verifier (RFC 7636 §4.1).
const (
	minVerifierLength = 43
	maxVerifierLength = 128
)

// ValidChallenge says whether the text can be an S256 code_challenge: the
// unpadded base64url of 32 octets (RFC 7636 §4.2).
func ValidChallenge(challenge string) bool {
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	// encoding/base64 skips line breaks, so the length is compared on both sides.
	return err == nil && len(decoded) == sha256.Size && len(challenge) == base64.RawURLEncoding.EncodedLen(sha256.Size)
}

// ValidVerifier says whether the text is a code_verifier by the grammar of
// RFC 7636 §4.1.
func ValidVerifier(verifier string) bool {
	if len(verifier) < minVerifierLength || len(verifier) > maxVerifierLength {
		return false
	}
	for i := range len(verifier) {
		if !unreserved(verifier[i]) {
			return false
		}
	}
	return true
}

func unreserved(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// ChallengeS256 returns the S256 challenge of a verifier (RFC 7636 §4.2).
func ChallengeS256(verifier string) string {
	digest := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// VerifyS256 says whether the verifier is valid and belongs to the challenge
// (RFC 7636 §4.6).
func VerifyS256(verifier, challenge string) bool {
	return ValidVerifier(verifier) && subtle.ConstantTimeCompare([]byte(ChallengeS256(verifier)), []byte(challenge)) == 1
}

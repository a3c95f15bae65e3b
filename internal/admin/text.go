package admin

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what may be registered.
const (
	MaxIdentifierLength  = 128 // client_id, sub
	MaxNameLength        = 128 // names that pages show
	MaxSentenceLength    = 256 // descriptions of scopes
	MaxClaimLength       = 1024
	MaxUsernameLength    = 128
	MaxRedirectURIs      = 64
	MaxContacts          = 16
	MaxOrigins           = 16
	MaxIntrospects       = 64
	MaxClientSecrets     = 4
	MaxResources         = 256
	MaxScopesPerResource = 128
	MaxJWKSLength        = 64 << 10
	MinSecretLength      = 32
	MaxSecretLength      = 256
)

// checkName says why a text cannot be shown to people as a name, or "".
func checkName(text string, most int) string {
	switch {
	case utf8.RuneCountInString(text) > most:
		return fmt.Sprintf("longer than %d characters", most)
	case !utf8.ValidString(text):
		return "not UTF-8 text"
	case text != strings.TrimSpace(text):
		return "begins or ends with a space"
	}
	for _, r := range text {
		// Among what is not graphic are the marks that turn the direction of
		// writing round, with which a name could dress up its surroundings.
		if !unicode.IsPrint(r) {
			return fmt.Sprintf("has the character %U, which cannot be shown", r)
		}
	}
	return ""
}

// checkIdentifier says why a text cannot be a client_id or a sub, or "".
// Both travel in URLs, headers and logs: printable ASCII without spaces
// (RFC 6749 appendix A.1 admits the space, which nobody misses).
func checkIdentifier(text string) string {
	if len(text) > MaxIdentifierLength {
		return fmt.Sprintf("longer than %d characters", MaxIdentifierLength)
	}
	for i := range len(text) {
		if c := text[i]; c <= 0x20 || c >= 0x7f {
			return "has a character that is not printable ASCII, or a space"
		}
	}
	// An https:// client_id is the address of a metadata document.
	if strings.HasPrefix(strings.ToLower(text), "https://") {
		return "begins with https://, which is kept for clients that describe themselves at that address"
	}
	return ""
}

package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/secret"
)

// Hasher keeps and checks what people chose themselves: passwords and short
// secrets. *secret.Hasher is one.
type Hasher interface {
	Hash(ctx context.Context, password string) (phc string, err error)
	Verify(ctx context.Context, phc, password string) (ok, rehash bool, err error)
}

// checkSecret says why a client cannot have a secret, or "".
func checkSecret(given secret.String, metadata gatehouse.ClientMetadata) string {
	text := given.Reveal()
	if metadata.TokenEndpointAuthMethod == gatehouse.AuthNone {
		return "a client with token_endpoint_auth_method none has no secret"
	}
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e { // RFC 6749 appendix A.2
			return "a secret consists of printable ASCII"
		}
	}
	switch {
	case text == "":
		return "an empty secret"
	case isPlaceholder(text):
		return "this is the placeholder of an example, which everybody knows; leave the key out to have a secret made"
	case len(text) > MaxSecretLength:
		return fmt.Sprintf("a secret may have at most %d characters", MaxSecretLength)
	case len(text) < MinSecretLength && !metadata.InsecureShortSecret:
		return fmt.Sprintf("a secret needs at least %d characters; leave the key out to have one made, or set insecure_short_secret: true", MinSecretLength)
	}
	return ""
}

// isPlaceholder recognises what our examples have in the place of a secret.
func isPlaceholder(text string) bool {
	return strings.HasPrefix(text, "replace-me") || text == secret.Redacted
}

// keepSecret makes the stored form of a secret.
func keepSecret(ctx context.Context, hasher Hasher, given secret.String, now time.Time) (gatehouse.ClientSecret, error) {
	kept := gatehouse.ClientSecret{ID: newID(), Kind: gatehouse.SecretSHA256, Hash: secret.Hash(given.Reveal()), CreatedAt: now}
	if len(given.Reveal()) >= MinSecretLength {
		return kept, nil
	}
	phc, err := hasher.Hash(ctx, given.Reveal())
	kept.Kind, kept.Hash = gatehouse.SecretArgon2id, []byte(phc)
	return kept, err
}

// isSecret says whether the stored secret is the given one.
func isSecret(ctx context.Context, hasher Hasher, stored gatehouse.ClientSecret, given secret.String) (bool, error) {
	if stored.Kind == gatehouse.SecretSHA256 {
		return secret.Equal(stored.Hash, secret.Hash(given.Reveal())), nil
	}
	ok, _, err := hasher.Verify(ctx, string(stored.Hash), given.Reveal())
	return ok, err
}

package gatehouse

import "time"

// KeyPurpose is what a key of the keyring is for.
type KeyPurpose string

// The purposes.
const (
	KeySign KeyPurpose = "sign" // signs tokens; its public half is published
	KeyMAC  KeyPurpose = "mac"  // root of codes, refresh tokens, handles
	KeySeal KeyPurpose = "seal" // root of interactions and opaque tokens
)

// StoredKey is one key as it is kept: sealed by the key-encryption key, with
// the times of its life.
type StoredKey struct {
	// ID is the kid of a signing key; NumericID names a MAC or sealing key
	// inside tokens and is 0 for signing keys.
	ID        string
	NumericID uint32
	Purpose   KeyPurpose
	Algorithm string // jose algorithm of a signing key
	Sealed    []byte
	CreatedAt time.Time
	// PublishAt ≤ SignFrom ≤ SignUntil ≤ RemoveAt; zero is "not planned".
	PublishAt time.Time
	SignFrom  time.Time
	SignUntil time.Time
	RemoveAt  time.Time
	RevokedAt time.Time
}

// KeyEncryptionKey is the database's record of the key that seals its keys.
type KeyEncryptionKey struct {
	ID     uint32
	Canary []byte // a known text sealed by it
}

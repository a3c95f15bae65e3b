package gatehouse

import "time"

// KeyPurpose is what a key of the keyring is for.
type KeyPurpose string

// The purposes.
const (
	KeySign KeyPurpose = "sign" // signs tokens; its public half is published
	KeyMAC  KeyPurpose = "mac"  // root of codes, refresh tokens, handles
	KeySeal KeyPurpose = "seal" // root of interactions and opaque tokens
	// KeyPairwise is where pairwise subject identifiers come from. It never
	// rotates and cannot be revoked.
	KeyPairwise KeyPurpose = "pairwise"
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
	// Generation counts the keys of one tenant, purpose and algorithm from
	// 0. No two have the same, so that a key gets one successor.
	Generation int
	Sealed     []byte
	CreatedAt  time.Time
	// PublishAt ≤ SignFrom ≤ SignUntil ≤ RemoveAt; zero is "not planned".
	PublishAt time.Time
	SignFrom  time.Time
	SignUntil time.Time
	RemoveAt  time.Time
	RevokedAt time.Time
}

// KeyRevocation takes a key out of use at once.
type KeyRevocation struct {
	// Key is what is revoked. Until is when the last token that it signed
	// has expired.
	Key   StoredKey
	Until time.Time
	// Replacement, if there is one, is a new key that signs at once; Hasten
	// a published one that does.
	Replacement *StoredKey
	Hasten      *StoredKey
}

// Restored is what was done after a backup was put back.
type Restored struct {
	Grants   int
	Sessions int
}

// KeyEncryptionKey is the database's record of the key that seals its keys.
type KeyEncryptionKey struct {
	ID     uint32
	Canary []byte // a known text sealed by it
}

// Package seal encrypts and authenticates with keys that carry an id: XChaCha20-Poly1305 for what
// must be hidden, HMAC-SHA-256 for what must only be recognised, HKDF-SHA-256 for one key per purpose.
//
// It owns the encodings (they are injective, and each is bound to its key's id) and the file that
// holds the key-encryption key. It never decides when a key is made, used or removed (package keyring
// does) and never touches a database.
package seal

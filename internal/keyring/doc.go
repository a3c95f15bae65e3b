// Package keyring owns the life of signing, sealing and MAC keys: how they
// are made, sealed by the key-encryption key, loaded, and derived per tenant
// and purpose.
//
// Derived keys live in memory only. No request ever makes a key. The package
// knows nothing of tokens beyond the keys they need.
package keyring

// Package keyring owns the life of signing, sealing and MAC keys: the plan by
// which they are made, published, used, kept and removed, how they are sealed
// by the key-encryption key, opened, and derived per tenant and purpose.
//
// Derived keys live in memory only. No request ever makes a key. The package
// knows nothing of tokens beyond the keys they need.
package keyring

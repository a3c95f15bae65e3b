// Package jose owns JSON Web Signatures and JSON Web Keys: compact JWS
// (RFC 7515) signed and verified with one algorithm bound to one key, key sets
// (RFC 7517), thumbprints (RFC 7638), and the strict JSON reader under them.
//
// It refuses by construction what the attacks on JWT libraries were made of:
// no "none", no HMAC, no key out of a token's header, no critical extension,
// no compression, no duplicate member, nothing of unbounded size. Sizes are
// checked before any parsing, and parsing before any cryptography.
//
// The package never fetches anything, knows no claim and reads no clock: what a
// token says is the business of package token, where keys come from that of
// package jwks and the keyring.
package jose

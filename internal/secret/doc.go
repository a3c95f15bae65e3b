// Package secret holds what must be kept and compared but never shown: strings that print as
// "[redacted]", random credentials, the SHA-256 of credentials that are random themselves, and
// argon2id for the ones that people choose.
//
// It knows the passwords that are tried first. It owns the bound on how much memory and time password hashing may take, whoever asks and
// whatever an imported hash demands. It never stores anything and never encrypts (package seal does).
package secret

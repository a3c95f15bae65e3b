// Package authority owns certification authorities that live in memory, for one run
// of a program: it makes the certificates by which two services of that run recognise
// each other.
//
// It is for development and tests. It writes no key anywhere, and nobody but who is
// given its pool trusts it.
package authority

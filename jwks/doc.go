// Package jwks owns a remote key set (RFC 7517 §5): fetched when it is needed,
// kept as long as its publisher allows, and asked for rarely, whatever tokens
// strangers send.
//
// A fetch belongs to the set and not to the request that caused it: one at a
// time, with its own time limit, never cancelled by a caller who gave up. The
// package judges no token, and it fetches only what it was told to: give it a
// plain *http.Client for a configured issuer, the egress one for an address that
// a stranger named.
package jwks

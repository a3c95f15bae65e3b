// Package kvredis is a kv.Store on Redis (6.2 or newer, or Valkey): one server, one that Sentinel
// watches, or a Cluster. It owns the connection, the keys under its prefix, what is asked of the
// server at the start, and the epoch that tells when the server may have forgotten something.
//
// Every operation is one command or one script, one round trip. An operation that fails is an error,
// never an answer: no mark is taken for absent, no key for added, because the server was away, slow
// or made no sense. Nothing is sent twice by the package; what a caller repeats is the caller's
// decision. After an outage it connects again by itself.
//
// It never touches a key outside its prefix, never changes a setting of the server, and decides
// nothing about what its callers do when it fails.
package kvredis

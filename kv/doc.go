// Package kv holds keys that expire: replay marks, nonces, pushed requests, counters. It owns the
// Store interface, its bounds and the store in memory; kvtest holds the suite that every store passes.
//
// What is kept here may be lost without harm to anyone's grant: grants, keys and users are never kept
// here. A store that is full refuses; it never evicts a mark that is still alive, because a forgotten
// replay mark is an accepted replay.
package kv

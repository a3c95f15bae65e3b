// Package kvtest is the suite that every kv.Store passes: what each method promises, exactly-once
// under 32 callers, copies in and out, bounds. It knows no store, and it judges no speed.
package kvtest

// Package egress is HTTP to addresses that strangers gave us: a client's key set, its metadata
// document, its logo. Whatever the name says, the address that is dialled decides: special-use
// addresses are refused, except those that the operator allowed by name.
//
// It owns what such a fetch may cost (time, bytes, header) and where it may go: https only, no
// redirects, no proxy, no cookies, no credentials. It never parses what it fetched, and configured
// upstreams do not go through it.
package egress

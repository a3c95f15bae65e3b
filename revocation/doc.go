// Package revocation owns the revocation feed: its entries, the set that they
// make up, the form in which they travel (docs/revocation.md), and the follower
// that keeps a set up to date over the network.
//
// Access tokens live on by themselves until they expire; an entry says which of
// them ended before. A follower answers for a token at once, without a call, and
// says so when it does not know.
//
// The package checks no token and ends none. It fetches from the one address that
// it was given, and it knows nothing of how entries come about.
package revocation

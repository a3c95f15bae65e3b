// Package secrecy owns the search for secrets in what a test leaves behind: it
// takes note of every secret that passes, and finds it again in logs, pages,
// files and addresses, also where it was encoded.
//
// It is for tests alone and knows nothing of what it watches but the names that
// the protocol gives to secrets. It never prints a secret whole.
package secrecy

// Package process is what the processes that stand in front of applications have in
// common: what their configuration names in other files, how a client of theirs proves
// itself, and what a look at all of that has found.
//
// It never listens and never decides. The configuration of a server is internal/server's.
package process

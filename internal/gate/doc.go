// Package gate runs a gateway as a process: it reads its configuration file, the
// descriptions, keys and secrets that the file names, opens the store of its counts, and
// listens for clients, for proxies that ask for decisions, and for Prometheus.
//
// What a gateway does to a request is package gateway's. This one never looks into a
// request but for the paths of its own endpoints.
package gate

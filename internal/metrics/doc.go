// Package metrics owns what the server counts about itself and the page on
// which Prometheus reads it. It never listens, never serves that page where the
// public can reach it, and takes no value from a request as a label without a
// bound on how many there can be.
package metrics

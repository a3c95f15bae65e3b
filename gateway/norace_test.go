//go:build !race

package gateway_test

// raced says whether the race detector watches, which makes everything ten times slower.
const raced = false

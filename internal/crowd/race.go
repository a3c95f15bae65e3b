//go:build race

package crowd

// With the race detector everything takes ten times as long.
const raced = true

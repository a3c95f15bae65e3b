//go:build race

package server

// With the race detector everything takes ten times as long.
const raced = true

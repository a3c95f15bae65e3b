//go:build !race

package crowd

const raced = false

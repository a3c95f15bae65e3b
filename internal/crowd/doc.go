// Package crowd measures for tests what a crowd of strangers leaves behind in memory. It knows nothing
// of what is tested.
package crowd

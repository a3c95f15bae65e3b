// Package redistest starts Redis servers for tests: of their own, on loopback ports, in temporary
// directories, gone with the test. It knows nothing of what is tested, and no server that was there
// before.
package redistest

// Package server assembles the authorization server from its parts: storage,
// keys, pages, endpoints and listeners. It is the only package that names two
// implementations of anything.
//
// It holds no protocol: what a request means is decided in authserver and
// internal/login.
package server

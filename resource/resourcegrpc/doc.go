// Package resourcegrpc protects gRPC services as package resource protects
// net/http handlers: a call is let through if its metadata carries an access token
// with what the method needs.
//
// A method of which nothing was said is refused. A stream that goes on is looked at
// again: it ends soon after its token has expired or was revoked.
//
// The package checks no token by itself and reads nothing of the messages.
package resourcegrpc

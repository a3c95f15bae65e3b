// Package resource is the middleware of a resource server: it lets a request
// through to a handler if it carries an access token (RFC 9068) that the issuer
// signed for this audience with the scopes that the handler needs, and answers
// every other one as RFC 6750 §3 says.
//
// Tokens are checked locally, against keys that are discovered once and followed;
// there is no call per request. When the keys cannot be had, requests are
// refused with 503, never let through. One log line tells each decision, with
// the token's jti and never the token.
//
// The package holds no session and issues nothing. It reads tokens from the
// Authorization header and nowhere else.
package resource

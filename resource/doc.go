// Package resource is the middleware of a resource server: it lets a request
// through to a handler if it carries an access token that one of its issuers gave
// for this audience with what the handler needs, and answers every other one as
// RFC 6750 §3 says.
//
// JWTs (RFC 9068) are checked here, against keys that are discovered once and
// followed; there is no call per request. With the issuer's revocation feed, what
// was revoked is refused within a second; while the feed is not heard, the issuer
// is asked, and if that fails the request is refused. Opaque tokens are
// introspected (RFC 7662), and the answer is remembered for a moment. When
// something that is needed cannot be had, the answer is 503: nothing is let through
// for want of an answer.
//
// One log line tells each decision, with the token's jti and never the token. The
// package holds no session and issues nothing. It reads tokens from the
// Authorization header and nowhere else. Sub-packages do the same for gRPC and for
// MCP servers.
package resource

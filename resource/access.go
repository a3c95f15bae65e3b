package resource

import (
	"context"
	"time"

	"gatehouse/oauth"
	"gatehouse/token"
)

// Access is what a checked token allows. What it refers to, such as Scope and the
// claims, is shared by all requests with the token: nobody may change it.
type Access struct {
	Issuer   string
	ClientID string
	Scope    oauth.Scope
	JTI      string
	Expiry   time.Time // zero when an introspection did not tell
	// Claims are all claims of the token, or of the answer about it.
	Claims token.Claims
}

// User names a user: the issuer and the subject together, since different issuers
// may give the same subject to different people. It is comparable, for keys of
// maps and databases.
type User struct{ Issuer, Subject string }

// String is the issuer, # and the subject. No issuer has a #, so that no two users
// have the same text.
func (u User) String() string { return u.Issuer + "#" + u.Subject }

// User returns whom the token acts for. is is false for a token that its client
// got for itself (RFC 9068 §2.2: its sub is the client), for one that was exchanged
// for such a token, or one that names nobody.
func (a Access) User() (user User, is bool) {
	subject := a.Claims.Subject
	if subject == "" || subject == a.ClientID {
		return User{}, false
	}
	// What was exchanged keeps its subject and has another client. Behind what a user
	// allowed is a grant.
	if a.Claims.Has("lineage") && a.Claims.GrantHandle == "" { // RFC 9700 §4.15.1
		return User{}, false
	}
	return User{a.Issuer, subject}, true
}

type accessKey struct{}

// AccessFrom returns the access of the request that ctx belongs to. It is there
// in handlers behind [Server.Require].
func AccessFrom(ctx context.Context) (Access, bool) {
	access, ok := ctx.Value(accessKey{}).(*Access)
	if !ok {
		return Access{}, false
	}
	return *access, true
}

// WithAccess returns a context in which [AccessFrom] finds the access: for
// transports other than net/http, and for tests of handlers.
func WithAccess(ctx context.Context, access Access) context.Context {
	return withAccess(ctx, &access)
}

// withAccess shares an access, which nobody changes.
func withAccess(ctx context.Context, access *Access) context.Context {
	return context.WithValue(ctx, accessKey{}, access)
}

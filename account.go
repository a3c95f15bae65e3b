package gatehouse

import (
	"time"

	"gatehouse/oauth"
)

// Allowance is what a user allows one client at present: what was consented
// to, and what living grants carry without having been asked for.
type Allowance struct {
	ClientID  string
	Scope     oauth.Scope
	Resources []string
	// Since is when the oldest part of it was allowed.
	Since time.Time
	// LastUsedAt is when the client last used a living grant; zero when it
	// has none.
	LastUsedAt time.Time
	// Offline says whether a living grant outlives its session.
	Offline bool
}

// PasswordChange is a user's own change of the password: the current one was
// verified in a session, which goes on under another id and cookie.
type PasswordChange struct {
	Subject string
	// OldPHC is what the current password was verified against.
	OldPHC, NewPHC string
	// SessionID is the session in which it happens, which ends; Session and
	// Hash, the SHA-256 of its cookie's value, are what begins in its place.
	SessionID string
	Session   Session
	Hash      [32]byte
	By        Circumstance
}

package gatehouse

import "time"

// LogoutNotice is what a client is to be told by back channel: that a session
// ended in which it had tokens.
type LogoutNotice struct {
	Tenant   TenantID
	ClientID string
	// SessionID is the session that ended, and ToldSID what the client knows it
	// by: another one if the user signed in again in the same browser meanwhile.
	SessionID string
	ToldSID   string
	Subject   string
	EndedAt   time.Time
	// Attempts counts those that were begun, this one included.
	Attempts int
}

// LogoutClient is a client that has something to be told.
type LogoutClient struct {
	Tenant   TenantID
	ClientID string
}

// LogoutOutcome is what became of an attempt to tell a client.
type LogoutOutcome int

// The outcomes.
const (
	LogoutDelivered LogoutOutcome = iota + 1
	LogoutFailed                  // it is tried again
	LogoutGivenUp
)

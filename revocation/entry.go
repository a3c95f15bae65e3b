package revocation

import (
	"slices"
	"time"
)

// Claim is the claim of an access token by which an entry names tokens; KeyID is
// the header parameter kid instead.
type Claim string

// The claims. A reader of the feed knows them all, and stops at another one.
const (
	GrantHandle Claim = "gid" // the grant that a token belongs to
	TokenID     Claim = "jti"
	SessionID   Claim = "sid"
	ClientID    Claim = "client_id"
	Subject     Claim = "sub"
	Issuer      Claim = "iss"
	KeyID       Claim = "kid" // the key that signed it
)

// claims in the order of the set's tables.
var claims = [...]Claim{GrantHandle, TokenID, SessionID, ClientID, Subject, Issuer, KeyID}

func indexOf(claim Claim) int { return slices.Index(claims[:], claim) }

// Entry says that tokens have ended: those whose claim has the value and which
// were issued up to a time.
type Entry struct {
	Claim Claim
	Value string
	// IssuedUntil is the iat, in whole seconds, of the last token that it
	// concerns; zero means all, whenever they were issued.
	IssuedUntil time.Time
	// Expiry is when the last token that it concerns has expired everywhere.
	Expiry time.Time
}

// Token is what must be known of an access token to tell whether it has ended.
// What it does not have is "".
type Token struct {
	GrantHandle string // gid
	ID          string // jti
	SessionID   string // sid
	ClientID    string // client_id
	Subject     string // sub
	Issuer      string // iss
	KeyID       string // kid
	IssuedAt    time.Time
}

// values are in the order of claims.
func (t *Token) values() [len(claims)]string {
	return [...]string{t.GrantHandle, t.ID, t.SessionID, t.ClientID, t.Subject, t.Issuer, t.KeyID}
}

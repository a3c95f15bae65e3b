package token

import (
	"encoding/json"

	"gatehouse/jose"
)

// Actor is who acts for a token's subject (RFC 8693 §4.1). Decide by the
// outermost alone; those inside acted before it.
type Actor struct {
	Issuer  string `json:"iss,omitempty"`
	Subject string `json:"sub"`
	// ClientID is the client of an actor who is a user.
	ClientID string `json:"client_id,omitempty"`
	Act      *Actor `json:"act,omitempty"`
}

// Actor returns the act claim, nil when nobody acts for the subject. A claim
// that cannot be read, or has an actor without sub, is an [*Error]: the token is
// to be refused.
func (c Claims) Actor() (*Actor, error) {
	raw, has := c.Raw["act"]
	if !has {
		return nil, nil
	}
	var act Actor
	if err := jose.DecodeStrict(raw, &act); err != nil {
		return nil, &Error{Reason: BadClaim, Detail: "its act claim cannot be read", Cause: err}
	}
	for a := &act; a != nil; a = a.Act {
		if a.Subject == "" {
			return nil, refuse(BadClaim, "its act claim has an actor without sub")
		}
	}
	return &act, nil
}

// Ancestor is a token of which another was made by exchange, in Gatehouse's
// claim lineage. What ended it ended the other.
type Ancestor struct {
	ID       string `json:"jti,omitempty"`
	ClientID string `json:"client_id"`
	// GrantHandle is its gid where that is not the token's own.
	GrantHandle string `json:"gid,omitempty"`
	// SessionID is the sid of an ID token.
	SessionID string `json:"sid,omitempty"`
	// KeyID is the kid of its signature, "" for opaque ones.
	KeyID string `json:"kid,omitempty"`
}

// MaxAncestors bounds lineage.
const MaxAncestors = 64

// Ancestors returns the lineage claim, the first token first; nothing for a
// token that was not exchanged. One that cannot be read is an [*Error]: whether
// such a token has ended cannot be told, so it is to be refused.
func (c Claims) Ancestors() ([]Ancestor, error) {
	raw, has := c.Raw["lineage"]
	if !has {
		return nil, nil
	}
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil || len(elements) == 0 || len(elements) > MaxAncestors {
		return nil, refuse(BadClaim, "its lineage claim cannot be read")
	}
	ancestors := make([]Ancestor, len(elements))
	for i, element := range elements {
		if err := jose.DecodeStrict(element, &ancestors[i]); err != nil || ancestors[i].ClientID == "" {
			return nil, &Error{Reason: BadClaim, Detail: "its lineage claim cannot be read", Cause: err}
		}
	}
	return ancestors, nil
}

package authserver

import (
	"strings"

	"gatehouse"
)

// actor is who acts, as the act claim tells it, with who acted before inside
// (RFC 8693 §4.1).
type actor struct {
	Subject string `json:"sub"`
	// ClientID is the client of an actor who is a user.
	ClientID string `json:"client_id,omitempty"`
	Act      *actor `json:"act,omitempty"`
}

// depth is how many actors there are.
func (a *actor) depth() int {
	if a == nil {
		return 0
	}
	return 1 + a.Act.depth()
}

// String names the actors for the log, the present one first.
func (a *actor) String() string {
	var names []string
	for ; a != nil; a = a.Act {
		names = append(names, a.Subject)
	}
	return strings.Join(names, " < ")
}

// party is the one who may act, as the may_act claim tells it (RFC 8693 §4.4).
type party struct {
	Issuer  string `json:"iss,omitempty"`
	Subject string `json:"sub"`
}

// mayActFor is what the tokens of a client say of who may act, nil for nothing.
func mayActFor(client gatehouse.Client) *party {
	if client.MayAct == "" {
		return nil
	}
	return &party{Subject: client.MayAct}
}

// admits says whether the party is the one of that sub at the issuer; without a
// party everybody is.
func (p *party) admits(issuer, subject string) bool {
	return p == nil || p.Subject == subject && (p.Issuer == "" || p.Issuer == issuer)
}

// exchanged is what a token is made of, beside its ticket.
type exchanged struct {
	// subject is the sub of a token without a user; the grant tells the others'.
	subject string
	act     *actor
	lineage []gatehouse.Ancestor
	// until is when the first of the tokens expires of which it is made.
	until int64
}

// rootClient is the client that the token, or the first one of which it was
// made, was issued to: that of its grant.
func (c accessClaims) rootClient() string {
	if len(c.Lineage) > 0 {
		return c.Lineage[0].ClientID
	}
	return c.ClientID
}

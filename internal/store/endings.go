package store

import (
	"context"
	"time"

	"gatehouse"
)

// Kinds of endings: what their value names.
const (
	endingGrant   = "grant"   // a handle
	endingToken   = "token"   // a jti
	endingClient  = "client"  // tokens of a client issued until a time
	endingSubject = "subject" // tokens of a user issued until a time
	endingTenant  = "tenant"  // all tokens issued until a time
	endingKey     = "key"     // tokens signed with the key of this kid
	endingSession = "session" // tokens that were made of ID tokens of this sid
)

const (
	// skew is by how much the clocks of those who check tokens may differ from ours.
	skew = 5 * time.Minute

	// endingReach is how much later than its writing a token may have been issued and still be
	// ended: the act has yet to be committed, other processes follow it within snapshotLife,
	// and iat is in whole seconds.
	endingReach = time.Second

	// endedKept is how long an ended row stays at least, for the answer "ended" rather than
	// "unknown", and for "already finished" to a form that is sent again.
	endedKept = 24 * time.Hour
)

// addEnding writes that what value names has ended, until its tokens have expired everywhere. Of a
// client or a subject it ends what was issued so far.
func (a *act) addEnding(kind, value string, until time.Time) {
	until = until.Add(skew)
	a.finally(sqlAddEnding, func(seq int64, now time.Time) []any {
		issuedBefore := now.Add(endingReach)
		a.ended = append(a.ended, ending{a.tenant, seq, entryOf(kind, value, issuedBefore, until)})
		return []any{a.tenant, kind, value, seq, millis(issuedBefore), millis(until)}
	})
}

// endTokensOf ends what a client or a subject was issued so far.
func (a *act) endTokensOf(kind, value string) error {
	longest, err := a.longestToken()
	if err != nil {
		return err
	}
	a.addEnding(kind, value, a.now.Add(longest))
	return nil
}

// endedGrant is what remains to be told of a grant that was ended.
type endedGrant struct {
	handle, clientID, subject, sessionID string
	accessUntil                          time.Time
}

// endRows ends the grants that the statement selects by key and, if there is one, a second value,
// and writes their endings. They are not told.
func (a *act) endRows(text string, reason gatehouse.EndReason, key any, second ...any) ([]endedGrant, error) {
	args := append([]any{a.tenant, key, millis(a.now), string(reason), millis(a.now.Add(endedKept))}, second...)
	var ended []endedGrant
	err := a.each(text, func(scan func(...any) error) error {
		var g endedGrant
		if err := scan(&g.handle, &g.clientID, &g.subject, &g.sessionID, moment(&g.accessUntil)); err != nil {
			return err
		}
		ended = append(ended, g)
		return nil
	}, args...)
	if err != nil {
		return nil, err
	}
	for _, g := range ended {
		if g.accessUntil.Add(skew).After(a.now) {
			a.addEnding(endingGrant, g.handle, g.accessUntil)
		}
	}
	return ended, nil
}

// endGrants ends grants as endRows does, tells each end and counts them; cause says who did it and from where.
func (a *act) endGrants(text string, reason gatehouse.EndReason, cause gatehouse.Event, key any, second ...any) (count int, err error) {
	ended, err := a.endRows(text, reason, key, second...)
	if err != nil {
		return 0, err
	}
	for _, g := range ended {
		event := gatehouse.Event{Subject: g.subject, ClientID: g.clientID, Grant: g.handle, SessionID: g.sessionID, By: cause.By, Actor: cause.Actor}
		if err := a.tell(event, gatehouse.EventGrantEnded, "reason", string(reason)); err != nil {
			return 0, err
		}
	}
	return len(ended), nil
}

// EndGrant ends a grant and its access tokens, and says whether it had not ended before.
func (s *Store) EndGrant(ctx context.Context, tenant gatehouse.TenantID, id gatehouse.GrantID, reason gatehouse.EndReason, by gatehouse.Circumstance) (bool, error) {
	return write(ctx, s, "ending a grant", tenant, func(a *act) (bool, error) {
		count, err := a.endGrants(sqlEndGrant, reason, gatehouse.Event{By: by}, id[:])
		a.late = count == 0
		return count == 1, err
	})
}

func (a *act) endGrant(id gatehouse.GrantID, reason gatehouse.EndReason, by gatehouse.Circumstance) error {
	_, err := a.endGrants(sqlEndGrant, reason, gatehouse.Event{By: by}, id[:])
	return err
}

// RevokeToken ends one access token, which expires at until, and leaves its grant (RFC 7009 §2.1).
func (s *Store) RevokeToken(ctx context.Context, tenant gatehouse.TenantID, jti string, until time.Time, clientID string, by gatehouse.Circumstance) error {
	_, err := write(ctx, s, "revoking a token", tenant, func(a *act) (struct{}, error) {
		if err := a.seize(lockToken, jti); err != nil {
			return struct{}{}, err
		}
		var known time.Time
		found, err := a.one(sqlEndingKnown, []any{moment(&known)}, a.tenant, endingToken, jti)
		if err != nil || found {
			a.late = found
			return struct{}{}, err
		}
		a.addEnding(endingToken, jti, until)
		return struct{}{}, a.tell(gatehouse.Event{ClientID: clientID, By: by}, gatehouse.EventTokenRevoked, "jti", jti)
	})
	return err
}

// TokenEnded says whether an access token was ended before its expiry: itself, with its grant, with
// everything that its client, subject or tenant had, or with the key that signed it; or one of the
// tokens was of which it was made.
//
// What ended at this process is told at once, what ended elsewhere a quarter of a second later at most.
func (s *Store) TokenEnded(ctx context.Context, tenant gatehouse.TenantID, token gatehouse.TokenFacts) (bool, error) {
	ended, err := s.tokenEnded(ctx, tenant, token)
	for i := 0; i < len(token.Ancestors) && !ended && err == nil; i++ {
		// An ancestor was live when it was exchanged: what ended it since had it issued until then.
		a := token.Ancestors[i]
		ended, err = s.tokenEnded(ctx, tenant, gatehouse.TokenFacts{
			Handle: a.Handle, ID: a.ID, ClientID: a.ClientID, KeyID: a.KeyID, SessionID: a.SessionID, IssuedAt: token.IssuedAt,
		})
	}
	return ended, err
}

func (s *Store) tokenEnded(ctx context.Context, tenant gatehouse.TenantID, token gatehouse.TokenFacts) (bool, error) {
	if ended, known, err := s.endings.ended(ctx, tenant, token); err != nil || known {
		return ended, err
	}
	return read(ctx, s, "looking for the end of a token", func(c *connection) (bool, error) {
		var kind string
		return c.one(sqlTokenEnded, []any{&kind}, tenant, token.Handle, token.ID, token.ClientID, token.Subject, millis(token.IssuedAt), token.KeyID, token.SessionID)
	})
}

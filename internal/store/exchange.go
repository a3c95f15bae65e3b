package store

import (
	"context"
	"errors"
	"time"

	"gatehouse"
)

// GrantOfSession returns the newest grant of a client that was redeemed in a session and lives.
func (s *Store) GrantOfSession(ctx context.Context, tenant gatehouse.TenantID, sessionID, clientID string) (gatehouse.Grant, bool, error) {
	now := s.Now()
	if !isStorable(sessionID) {
		return gatehouse.Grant{}, false, nil
	}
	found := false
	grant, err := read(ctx, s, "reading a grant by its session", func(c *connection) (grant gatehouse.Grant, err error) {
		found, err = c.one(sqlGrantOfSession, grantDest(&grant), tenant, sessionID, clientID, millis(now))
		return grant, err
	})
	return grant, found, err
}

// ExchangeInSession commits that a token was made of an ID token: it will end with the session and
// with the grant. It returns false, and nothing has changed, if either has ended, the session was
// not seen within idle (0 for any time), or the client or the user is disabled.
func (s *Store) ExchangeInSession(ctx context.Context, tenant gatehouse.TenantID, e gatehouse.SessionExchange, idle time.Duration) (bool, error) {
	return write(ctx, s, "exchanging an ID token", tenant, func(a *act) (bool, error) {
		if err := errors.Join(a.hold(lockClient, e.ClientID), a.hold(lockUser, e.Subject)); err != nil {
			return false, err
		}
		seenAfter := int64(0)
		if idle > 0 {
			seenAfter = millis(a.now.Add(-idle - seenEvery)) // LastSeenAt may lag
		}
		var alive string
		found, err := a.one(sqlExchangeInSession, []any{&alive}, a.tenant, e.SessionID, e.Subject, millis(e.Until), millis(a.now), seenAfter)
		if err != nil || !found {
			return false, err
		}
		found, err = a.one(sqlExchangeOfGrant, []any{&alive}, a.tenant, e.Handle, e.SessionID, millis(a.now), millis(e.Until), millis(e.Until.Add(skew)))
		if err == nil && !found {
			err = errUndo
		}
		if err != nil {
			return false, err
		}
		event := gatehouse.Event{Subject: e.Subject, ClientID: e.ClientID, Grant: e.Handle, SessionID: e.SessionID, By: e.By, Detail: e.Told}
		return true, a.tell(event, gatehouse.EventTokenExchanged)
	})
}

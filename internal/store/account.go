package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/oauth"
)

const (
	// sessionsListed bounds the sessions that a user is shown.
	sessionsListed = 200

	// sessionsCounted bounds how many a sign-in looks at for the limit; more than the limit by
	// this many are ended by the next sign-ins.
	sessionsCounted = 2000
)

// UserSessions returns a user's live sessions, the newest first, at most 200.
func (s *Store) UserSessions(ctx context.Context, tenant gatehouse.TenantID, subject string, idle time.Duration) ([]gatehouse.Session, error) {
	now := s.Now()
	sessions, err := read(ctx, s, "listing a user's sessions", func(c *connection) ([]gatehouse.Session, error) {
		// What was seen and is not yet written is judged below.
		return c.sessionsOf(tenant, subject, now, 0, sessionsListed)
	})
	for i := range sessions {
		if seen := s.touches.seen(touchKey{tenant, sessions[i].ID}); seen.After(sessions[i].LastSeenAt) {
			sessions[i].LastSeenAt = seen
		}
	}
	return slices.DeleteFunc(sessions, func(session gatehouse.Session) bool {
		return idle > 0 && now.Sub(session.LastSeenAt) >= idle
	}), err
}

func (c *connection) sessionsOf(tenant gatehouse.TenantID, subject string, now time.Time, idle time.Duration, limit int) ([]gatehouse.Session, error) {
	var sessions []gatehouse.Session
	seenAfter := int64(0)
	if idle > 0 {
		seenAfter = millis(now.Add(-idle))
	}
	err := c.each(sqlSessionsOfUser, func(scan func(...any) error) error {
		var session gatehouse.Session
		if err := scan(sessionDest(&session)...); err != nil {
			return err
		}
		sessions = append(sessions, session)
		return nil
	}, tenant, subject, millis(now), seenAfter, limit)
	return sessions, err
}

// EndUserSession ends a session if it is the subject's, with its grants without offline_access, and
// says whether it had not ended before.
func (s *Store) EndUserSession(ctx context.Context, tenant gatehouse.TenantID, subject, sessionID string, by gatehouse.Circumstance) (bool, error) {
	return write(ctx, s, "ending a user's session", tenant, func(a *act) (bool, error) {
		count, err := a.endSessionsAndGrants(sqlEndSessionOfUser, sessionID, gatehouse.EndedByOwner, gatehouse.Event{By: by}, subject)
		return count > 0, err
	})
}

// EndOtherSessions ends all sessions of the subject but one, with their grants without
// offline_access, and says how many.
func (s *Store) EndOtherSessions(ctx context.Context, tenant gatehouse.TenantID, subject, keep string, by gatehouse.Circumstance) (int, error) {
	return write(ctx, s, "ending a user's other sessions", tenant, func(a *act) (int, error) {
		return a.endSessionsAndGrants(sqlEndOtherSessions, subject, gatehouse.EndedByOwner, gatehouse.Event{By: by}, keep)
	})
}

// endSessionsAndGrants ends the sessions that the statement selects by key and a second value, with
// their grants without offline_access.
func (a *act) endSessionsAndGrants(text string, key any, reason gatehouse.EndReason, cause gatehouse.Event, second ...any) (int, error) {
	ended, err := a.endSessions(text, key, reason, cause, second...)
	if err != nil {
		return 0, err
	}
	for _, session := range ended {
		if _, err := a.endGrants(sqlEndGrantsOfSession, reason, cause, session.id, session.subject); err != nil {
			return 0, err
		}
	}
	return len(ended), nil
}

// signedIn tells a sign-in whose session was just written: first that it came from a new device,
// if the account was in use before; and it keeps the tenant's limit of sessions.
func (a *act) signedIn(session gatehouse.Session, event gatehouse.Event) error {
	if event.By.NewDevice {
		var earlier string
		before, err := a.one(sqlSignedInBefore, []any{&earlier}, a.tenant, session.Subject, session.ID)
		if err != nil {
			return err
		}
		if before {
			if err := a.tell(event, gatehouse.EventNewDevice); err != nil {
				return err
			}
		}
	}
	if err := a.tell(event, gatehouse.EventLogin); err != nil {
		return err
	}
	return a.limitSessions(session, event)
}

// limitSessions ends the oldest live sessions of a user beyond the tenant's limit, never the one
// that begins.
func (a *act) limitSessions(begun gatehouse.Session, cause gatehouse.Event) error {
	stored, err := a.settings(a.tenant)
	if err != nil || stored.MaxSessionsPerUser <= 0 {
		return err
	}
	if _, err := a.exec(sqlLockUser, a.tenant, begun.Subject); err != nil {
		return err
	}
	idle := stored.WithDefaults().SessionIdleLifetime.Std()
	sessions, err := a.sessionsOf(a.tenant, begun.Subject, a.now, idle, sessionsCounted)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(sessions, func(session gatehouse.Session) bool { return session.ID == begun.ID })
	cause = gatehouse.Event{By: cause.By}
	for _, session := range others[min(stored.MaxSessionsPerUser-1, len(others)):] {
		if _, err := a.endSessionsAndGrants(sqlEndSession, session.ID, gatehouse.EndedBySessionLimit, cause); err != nil {
			return err
		}
	}
	return nil
}

// Allowances returns what a user allows each client at present, by client id.
func (s *Store) Allowances(ctx context.Context, tenant gatehouse.TenantID, subject string) ([]gatehouse.Allowance, error) {
	now := s.Now()
	return read(ctx, s, "listing what a user allows", func(c *connection) ([]gatehouse.Allowance, error) {
		known := make(map[string]*gatehouse.Allowance)
		if err := c.consentsInto(known, tenant, subject); err != nil {
			return nil, err
		}
		if err := c.grantsInto(known, tenant, subject, now); err != nil {
			return nil, err
		}
		allowances := make([]gatehouse.Allowance, 0, len(known))
		for _, allowance := range known {
			allowances = append(allowances, *allowance)
		}
		slices.SortFunc(allowances, func(a, b gatehouse.Allowance) int { return strings.Compare(a.ClientID, b.ClientID) })
		return allowances, nil
	})
}

// allowance is the one of a client, with a part of it that was allowed at a time.
func allowance(known map[string]*gatehouse.Allowance, clientID string, scope oauth.Scope, at time.Time) *gatehouse.Allowance {
	a := known[clientID]
	if a == nil {
		a = &gatehouse.Allowance{ClientID: clientID, Since: at}
		known[clientID] = a
	}
	a.Scope = a.Scope.Union(scope)
	if at.Before(a.Since) {
		a.Since = at
	}
	return a
}

func (c *connection) consentsInto(known map[string]*gatehouse.Allowance, tenant gatehouse.TenantID, subject string) error {
	return c.each(sqlConsentsOfUser, func(scan func(...any) error) error {
		var clientID, resource, scope string
		var at time.Time
		if err := scan(&clientID, &resource, &scope, moment(&at)); err != nil {
			return err
		}
		a := allowance(known, clientID, strings.Fields(scope), at)
		if resource != "" {
			a.Resources = append(a.Resources, resource)
		}
		return nil
	}, tenant, subject)
}

func (c *connection) grantsInto(known map[string]*gatehouse.Allowance, tenant gatehouse.TenantID, subject string, now time.Time) error {
	return c.each(sqlGrantsOfUser, func(scan func(...any) error) error {
		var clientID string
		var scope oauth.Scope
		var resources []string
		var offline int64
		var created, used time.Time
		if err := scan(&clientID, column[oauth.Scope, string]{&scope, parseScope}, record(&resources), &offline, moment(&created), moment(&used)); err != nil {
			return err
		}
		a := allowance(known, clientID, scope, created)
		for _, resource := range resources {
			if !slices.Contains(a.Resources, resource) {
				a.Resources = append(a.Resources, resource)
			}
		}
		if used.After(a.LastUsedAt) {
			a.LastUsedAt = used
		}
		a.Offline = a.Offline || offline != 0
		return nil
	}, tenant, subject, millis(now))
}

// ChangePassword carries out a user's own change of the password, unless it has changed meanwhile
// or the user or the session has ended: then it returns false, and nothing has changed. All
// sessions and grants of the user end, and the given session begins; its AuthTime, CreatedAt and
// LastSeenAt are the store's.
func (s *Store) ChangePassword(ctx context.Context, tenant gatehouse.TenantID, change gatehouse.PasswordChange) (bool, error) {
	return write(ctx, s, "changing a password", tenant, func(a *act) (bool, error) {
		if err := a.seize(lockUser, change.Subject); err != nil {
			return false, err
		}
		now := millis(a.now)
		changed, err := a.exec(sqlChangePassword, a.tenant, change.Subject, change.OldPHC, change.NewPHC, now, change.SessionID)
		if err != nil || changed == 0 {
			return false, err
		}
		event := gatehouse.Event{Subject: change.Subject, SessionID: change.SessionID, By: change.By}
		if err := a.tell(event, gatehouse.EventUserChanged, "password", "changed"); err != nil {
			return false, err
		}
		if err := a.endAllOf(change.Subject, gatehouse.EndedByPasswordChange, gatehouse.Event{By: change.By}); err != nil {
			return false, err
		}
		session := change.Session
		begun, err := a.exec(sqlCreateSession, a.tenant, change.Hash[:], session.ID, change.Subject, now, listText(session.AMR),
			session.ACR, now, now, millis(session.ExpiresAt), clip(session.Address), clip(session.UserAgent))
		if err == nil && begun == 0 {
			err = errUndo
		}
		return err == nil, err
	})
}

// securityKinds are what SecurityEvents may return.
var securityKinds = []gatehouse.EventKind{
	gatehouse.EventNewDevice, gatehouse.EventLoginFailed, gatehouse.EventRefreshReplayed, gatehouse.EventCodeReplayed,
	gatehouse.EventLostState, gatehouse.EventRedelivered, gatehouse.EventUserChanged, gatehouse.EventSessionEnded,
}

// SecurityEvents returns, newest first, the events since a time that a user should know of: sign-ins
// on new devices, failed ones, replays, refresh tokens that were used twice from another address
// than where the grant began, changes of the password and sessions that were ended for a reason.
func (s *Store) SecurityEvents(ctx context.Context, tenant gatehouse.TenantID, subject string, since time.Time, limit int) ([]gatehouse.Event, error) {
	events, err := s.Events(ctx, tenant, gatehouse.EventFilter{Subject: subject, Since: since, Kinds: securityKinds, Latest: true, Limit: largestPage})
	if err != nil {
		return nil, err
	}
	slices.Reverse(events)
	var telling []gatehouse.Event
	for _, event := range events {
		if len(telling) == limit {
			break
		}
		concerns, err := s.concerns(ctx, tenant, event)
		if err != nil {
			return nil, err
		}
		if concerns {
			telling = append(telling, event)
		}
	}
	return telling, nil
}

// concerns says whether an event is one that its user should know of.
func (s *Store) concerns(ctx context.Context, tenant gatehouse.TenantID, event gatehouse.Event) (bool, error) {
	switch event.Kind {
	case gatehouse.EventUserChanged:
		return event.Detail["password"] == "changed", nil
	case gatehouse.EventSessionEnded: // the others follow from what is told beside them
		reason := gatehouse.EndReason(event.Detail["reason"])
		return reason == gatehouse.EndedByOwner || reason == gatehouse.EndedBySessionLimit, nil
	case gatehouse.EventRedelivered:
		return read(ctx, s, "looking where a grant began", func(c *connection) (bool, error) {
			var began string
			known, err := c.one(sqlRedeemedAt, []any{&began}, tenant, event.Subject, event.Grant)
			return known && began != event.By.Address, err
		})
	}
	return true, nil
}

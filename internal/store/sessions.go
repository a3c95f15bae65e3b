package store

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"gatehouse"
)

const (
	// seenEvery is by how much LastSeenAt may lag.
	seenEvery = time.Minute

	// touchLimit bounds the sessions whose LastSeenAt waits to be written.
	touchLimit = 10_000
)

func sessionDest(s *gatehouse.Session) []any {
	return []any{&s.ID, &s.Subject, moment(&s.AuthTime), record(&s.AMR), &s.ACR, moment(&s.CreatedAt), moment(&s.LastSeenAt),
		moment(&s.ExpiresAt), &s.Address, &s.UserAgent}
}

// CreateSession begins a session under the hash of its cookie's value. It returns false, and
// nothing has changed, if the user is gone or disabled or has changed the password since AuthTime,
// which is therefore the store's time at which the sign-in began to be verified. CreatedAt and
// LastSeenAt are the store's.
//
// A sign-in that comes from a new device of an account that was in use is told as such, and the
// oldest sessions beyond the tenant's limit end.
//
// The session that the browser had before ends. If it was another user's, so do its grants without
// offline_access; if it was the same user's, they go on under the new session.
func (s *Store) CreateSession(ctx context.Context, tenant gatehouse.TenantID, hash [32]byte, session gatehouse.Session, replaces *[32]byte, by gatehouse.Circumstance) (bool, error) {
	return write(ctx, s, "creating a session", tenant, func(a *act) (bool, error) {
		if err := a.hold(lockUser, session.Subject); err != nil {
			return false, err
		}
		now := millis(a.now)
		created, err := a.exec(sqlCreateSession, a.tenant, hash[:], session.ID, session.Subject, millis(session.AuthTime), listText(session.AMR),
			session.ACR, now, now, millis(session.ExpiresAt), clip(session.Address), clip(session.UserAgent))
		if err != nil || created == 0 {
			return false, err
		}
		event := gatehouse.Event{Subject: session.Subject, SessionID: session.ID, By: by}
		if replaces != nil && *replaces != hash {
			if err := a.replaceSession(*replaces, session, event); err != nil {
				return false, err
			}
		}
		return true, a.signedIn(session, event)
	})
}

func (a *act) replaceSession(old [32]byte, session gatehouse.Session, cause gatehouse.Event) error {
	replaced, err := a.endSessionRows(sqlEndSessionByHash, old[:], gatehouse.EndedByNewLogin, cause)
	if err != nil {
		return err
	}
	for i, r := range replaced {
		if r.subject == session.Subject {
			err = a.moveSession(r.id, session)
		} else if err = a.notifyLogout(replaced[i : i+1]); err == nil {
			_, err = a.endGrants(sqlEndGrantsOfSession, gatehouse.EndedByNewLogin, cause, r.id, r.subject)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// moveSession has what stood on a session stand on the one that takes its place.
func (a *act) moveSession(old string, session gatehouse.Session) error {
	if _, err := a.exec(sqlMoveGrants, a.tenant, old, session.ID, session.Subject); err != nil {
		return err
	}
	_, err := a.exec(sqlMoveLogoutNotices, a.tenant, old, session.ID, millis(session.ExpiresAt))
	return err
}

// Session returns the session of a cookie if it lives: not ended, not past its expiry, seen within
// idle (0 for any time), its user enabled. It writes nothing: that the session was seen is written
// along with a later act.
func (s *Store) Session(ctx context.Context, tenant gatehouse.TenantID, hash [32]byte, idle time.Duration) (gatehouse.Session, bool, error) {
	now := s.Now()
	found := false
	session, err := read(ctx, s, "reading a session", func(c *connection) (session gatehouse.Session, err error) {
		found, err = c.one(sqlSession, sessionDest(&session), tenant, hash[:], millis(now))
		return session, err
	})
	if err != nil {
		return gatehouse.Session{}, false, err
	}
	if !found || !s.lookAt(tenant, hash, &session, now, idle) {
		s.sessions.Drop(sessionKey{tenant, hash})
		return gatehouse.Session{}, false, nil
	}
	s.sessions.Put(sessionKey{tenant, hash}, session)
	return session, true, nil
}

// EndSession ends a session and its grants without offline_access, and says whether it had not
// ended before.
func (s *Store) EndSession(ctx context.Context, tenant gatehouse.TenantID, sessionID string, reason gatehouse.EndReason, by gatehouse.Circumstance) (bool, error) {
	return write(ctx, s, "ending a session", tenant, func(a *act) (bool, error) {
		cause := gatehouse.Event{By: by}
		ended, err := a.endSessions(sqlEndSession, sessionID, reason, cause)
		if err != nil || len(ended) == 0 {
			return false, err
		}
		_, err = a.endGrants(sqlEndGrantsOfSession, reason, cause, sessionID, ended[0].subject)
		return err == nil, err
	})
}

type endedSession struct {
	id, subject    string
	exchangedUntil time.Time
}

// endSessions ends the sessions that the statement selects by key and, if there is one, a second
// value, tells each end, and has the clients told that had tokens in them.
func (a *act) endSessions(text string, key any, reason gatehouse.EndReason, cause gatehouse.Event, second ...any) ([]endedSession, error) {
	ended, err := a.endSessionRows(text, key, reason, cause, second...)
	if err != nil {
		return nil, err
	}
	return ended, a.notifyLogout(ended)
}

func (a *act) endSessionRows(text string, key any, reason gatehouse.EndReason, cause gatehouse.Event, second ...any) ([]endedSession, error) {
	var ended []endedSession
	err := a.each(text, func(scan func(...any) error) error {
		var s endedSession
		if err := scan(&s.id, &s.subject, moment(&s.exchangedUntil)); err != nil {
			return err
		}
		ended = append(ended, s)
		return nil
	}, append([]any{a.tenant, key, millis(a.now), string(reason)}, second...)...)
	if err != nil {
		return nil, err
	}
	kind := gatehouse.EventSessionEnded
	if reason == gatehouse.EndedByLogout {
		kind = gatehouse.EventLogout
	}
	for _, s := range ended {
		if s.exchangedUntil.Add(skew).After(a.now) {
			a.addEnding(endingSession, s.id, s.exchangedUntil)
		}
		event := gatehouse.Event{Subject: s.subject, SessionID: s.id, By: cause.By, Actor: cause.Actor}
		if err := a.tell(event, kind, "reason", string(reason)); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

type touchKey struct {
	tenant  gatehouse.TenantID
	session string
}

// touches are the sessions that were seen and not yet written: a browser that only looks costs no
// transaction.
type touches struct {
	mu      sync.Mutex
	waiting map[touchKey]time.Time
}

func newTouches() *touches { return &touches{waiting: make(map[touchKey]time.Time)} }

func (t *touches) seen(key touchKey) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting[key]
}

func (t *touches) add(key touchKey, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.waiting[key]; known || len(t.waiting) < touchLimit {
		t.waiting[key] = at
	}
}

// take takes at most limit of what waits, in an order. If it cannot be written it is lost, and the
// sessions seem unseen for a little longer than they were.
func (t *touches) take(limit int) []touch {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return nil
	}
	taken := make([]touch, 0, min(limit, len(t.waiting)))
	for key, at := range t.waiting {
		if len(taken) == limit {
			break
		}
		taken = append(taken, touch{key, at})
		delete(t.waiting, key)
	}
	slices.SortFunc(taken, func(a, b touch) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.session, b.session))
	})
	return taken
}

type touch struct {
	touchKey
	at time.Time
}

func (t touch) args() []any { return []any{t.tenant, t.session, millis(t.at)} }

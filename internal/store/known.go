package store

import (
	"time"

	"gatehouse"
)

// knownKept bounds the sessions, and the consents, that are in memory; each takes less than a kilobyte.
const knownKept = 10_000

type sessionKey struct {
	tenant gatehouse.TenantID
	hash   [32]byte
}

type consentKey struct {
	tenant            gatehouse.TenantID
	subject, clientID string
}

// KnownSession returns the session of a cookie as Session last did at this process. It may have ended
// since: nothing may be granted for it but by IssueCode, which looks at the row, and nothing be refused.
// Its slices are shared and must not be changed.
func (s *Store) KnownSession(tenant gatehouse.TenantID, hash [32]byte, idle time.Duration) (gatehouse.Session, bool) {
	session, known := s.sessions.Get(sessionKey{tenant, hash})
	now := s.Now()
	if !known || !session.ExpiresAt.After(now) || !s.lookAt(tenant, hash, &session, now, idle) {
		return gatehouse.Session{}, false
	}
	return session, true
}

// lookAt has a session be seen, unless it was not within idle (0 for any time), and keeps what is known
// of it.
func (s *Store) lookAt(tenant gatehouse.TenantID, hash [32]byte, session *gatehouse.Session, now time.Time, idle time.Duration) bool {
	key := touchKey{tenant, session.ID}
	if seen := s.touches.seen(key); seen.After(session.LastSeenAt) {
		session.LastSeenAt = seen
	}
	if idle > 0 && now.Sub(session.LastSeenAt) >= idle {
		return false
	}
	if now.Sub(session.LastSeenAt) >= seenEvery {
		session.LastSeenAt = now
		s.touches.add(key, now)
		s.sessions.Put(sessionKey{tenant, hash}, *session)
	}
	return true
}

// KnownConsent returns what a user allowed a client as Consent last did at this process. It may have been
// withdrawn since: IssueCode is told what is relied on. The slice is shared and must not be changed.
func (s *Store) KnownConsent(tenant gatehouse.TenantID, subject, clientID string) ([]gatehouse.Consent, bool) {
	return s.consents.Get(consentKey{tenant, subject, clientID})
}

package store

import (
	"context"
	"time"

	"gatehouse"
)

// KeyChanges is a number that grows with every change of a key.
func (s *Store) KeyChanges(ctx context.Context) (int64, error) {
	return read(ctx, s, "following the keys", func(c *connection) (count int64, err error) {
		_, err = c.one(sqlKeyChangeCount, []any{&count})
		return count, err
	})
}

// AddSuccessor adds a key unless there is one of its generation: the first of several writers
// wins and the others are told false. It is published now, if that is later than planned, and
// waits for as long as planned before it signs.
func (s *Store) AddSuccessor(ctx context.Context, tenant gatehouse.TenantID, key gatehouse.StoredKey, event gatehouse.Event) (added bool, err error) {
	return write(ctx, s, "adding the next key", tenant, func(a *act) (bool, error) {
		return a.addKey(sqlAddNextKey, a.notBeforeNow(key), event)
	})
}

// notBeforeNow moves the times of a key that took long to make.
func (a *act) notBeforeNow(key gatehouse.StoredKey) gatehouse.StoredKey {
	late := max(a.now.Sub(key.PublishAt), 0)
	key.CreatedAt, key.PublishAt, key.SignFrom = a.now, key.PublishAt.Add(late), key.SignFrom.Add(late)
	return key
}

func (a *act) addKey(text string, k gatehouse.StoredKey, event gatehouse.Event) (bool, error) {
	added, err := a.exec(text, a.tenant, string(k.Purpose), k.ID, int64(k.NumericID), k.Algorithm, blob(k.Sealed), millis(k.CreatedAt),
		millis(k.PublishAt), millis(k.SignFrom), millis(k.SignUntil), millis(k.RemoveAt), millis(k.RevokedAt), int64(k.Generation))
	if err != nil || added == 0 {
		return false, err
	}
	return true, a.tellKey(event, gatehouse.EventKeyCreated, k, "sign_from", instant(k.SignFrom))
}

// tellKey tells what happened to a key, and that a key has changed.
func (a *act) tellKey(event gatehouse.Event, kind gatehouse.EventKind, k gatehouse.StoredKey, details ...string) error {
	if _, err := a.exec(sqlCountKeyChange); err != nil {
		return err
	}
	details = append(details, "purpose", string(k.Purpose), "kid", k.ID)
	if k.Algorithm != "" {
		details = append(details, "alg", k.Algorithm)
	}
	return a.tell(event, kind, details...)
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ChangeKeyTimes gives a key the SignFrom, SignUntil and RemoveAt of becomes, if those are what
// they were when it was planned.
func (s *Store) ChangeKeyTimes(ctx context.Context, tenant gatehouse.TenantID, was, becomes gatehouse.StoredKey, event gatehouse.Event) (changed bool, err error) {
	return write(ctx, s, "planning a key", tenant, func(a *act) (bool, error) {
		return a.changeKeyTimes(was, becomes, event)
	})
}

func (a *act) changeKeyTimes(was, becomes gatehouse.StoredKey, event gatehouse.Event) (bool, error) {
	changed, err := a.exec(sqlSetKeyTimes, a.tenant, string(was.Purpose), was.ID, int64(was.NumericID), millis(becomes.SignFrom),
		millis(becomes.SignUntil), millis(becomes.RemoveAt), millis(was.SignFrom), millis(was.SignUntil), millis(was.RemoveAt), millis(was.RevokedAt))
	if err != nil || changed == 0 {
		return false, err
	}
	var details []string
	for _, at := range []struct {
		name          string
		before, after time.Time
	}{
		{"sign_from", was.SignFrom, becomes.SignFrom},
		{"sign_until", was.SignUntil, becomes.SignUntil},
		{"remove_at", was.RemoveAt, becomes.RemoveAt},
	} {
		if !at.before.Equal(at.after) {
			details = append(details, at.name, instant(at.after))
		}
	}
	return true, a.tellKey(event, gatehouse.EventKeyPlanned, was, details...)
}

// RemoveKey removes a key that is at the end of its life.
func (s *Store) RemoveKey(ctx context.Context, tenant gatehouse.TenantID, key gatehouse.StoredKey, event gatehouse.Event) (removed bool, err error) {
	return write(ctx, s, "removing a key", tenant, func(a *act) (bool, error) {
		removed, err := a.exec(sqlRemoveKey, a.tenant, string(key.Purpose), key.ID, int64(key.NumericID), millis(a.now))
		if err != nil || removed == 0 {
			return false, err
		}
		return true, a.tellKey(event, gatehouse.EventKeyRemoved, key)
	})
}

// RevokeKey takes a key out of use, has its replacement sign at once and, of a signing key, ends
// the tokens that it signed. It does nothing, and says so, if the key was revoked already or its
// line was changed by somebody else.
func (s *Store) RevokeKey(ctx context.Context, tenant gatehouse.TenantID, revocation gatehouse.KeyRevocation, event gatehouse.Event) (revoked bool, err error) {
	return write(ctx, s, "revoking a key", tenant, func(a *act) (bool, error) {
		key := revocation.Key
		count, err := a.exec(sqlRevokeKey, a.tenant, string(key.Purpose), key.ID, int64(key.NumericID), millis(a.now), millis(revocation.Until))
		if err != nil || count == 0 {
			return false, err
		}
		if err := a.tellKey(event, gatehouse.EventKeyRevoked, key); err != nil {
			return false, err
		}
		if done, err := a.replaceKey(revocation, event); err != nil || !done {
			return false, undone(err)
		}
		if key.Purpose == gatehouse.KeySign {
			return true, a.endTokensOf(endingKey, key.ID)
		}
		return true, nil
	})
}

// undone takes back an act that found out late that it may not be.
func undone(err error) error {
	if err == nil {
		return errUndo
	}
	return err
}

func (a *act) replaceKey(revocation gatehouse.KeyRevocation, event gatehouse.Event) (done bool, err error) {
	if next := revocation.Replacement; next != nil {
		return a.addKey(sqlAddNextKey, a.notBeforeNow(*next), event)
	}
	if next := revocation.Hasten; next != nil {
		hastened := *next
		hastened.SignFrom = a.now
		return a.changeKeyTimes(*next, hastened, event)
	}
	return true, nil
}

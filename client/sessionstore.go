package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gatehouse/kv"
)

// Bounds of what KVSessions keeps.
const (
	// MaxGroup is how many sessions of one person, or of one session of the
	// issuer's, there may be: one more ends the oldest.
	MaxGroup = 256

	groupRetries = 16
)

// SessionStore keeps sessions as sealed bytes under ids that say nothing. An error
// means that the store failed: no session is ended for that.
type SessionStore interface {
	// Load returns what was saved last.
	Load(ctx context.Context, id string) (sealed []byte, found bool, err error)

	// Save keeps the session for ttl if what is kept now is old, nil meaning
	// nothing, and says whether it did: of several callers with the same old,
	// exactly one saves.
	Save(ctx context.Context, id string, old, sealed []byte, ttl time.Duration) (saved bool, err error)

	// Delete removes the session. Removing an absent one is no error.
	Delete(ctx context.Context, id string) error

	// Join notes for ttl at least that the session is one of the group.
	Join(ctx context.Context, group, id string, ttl time.Duration) error

	// Members returns the ids that joined the group. Some may be of sessions that
	// are gone.
	Members(ctx context.Context, group string) (ids []string, err error)
}

// KVSessions is a SessionStore in a kv.Store.
type KVSessions struct{ Store kv.Store }

var _ SessionStore = KVSessions{}

const (
	sessionPrefix = "client session "
	groupPrefix   = "client group "
)

// Load returns what was saved last.
func (k KVSessions) Load(ctx context.Context, id string) ([]byte, bool, error) {
	return k.Store.Get(ctx, sessionPrefix+id)
}

// Save keeps the session if what is kept now is old.
func (k KVSessions) Save(ctx context.Context, id string, old, sealed []byte, ttl time.Duration) (bool, error) {
	if old == nil {
		return k.Store.Add(ctx, sessionPrefix+id, sealed, ttl)
	}
	return k.Store.Swap(ctx, sessionPrefix+id, old, sealed, ttl)
}

// Delete removes the session.
func (k KVSessions) Delete(ctx context.Context, id string) error {
	return k.Store.Delete(ctx, sessionPrefix+id)
}

// member is one line of a group's value: when it may be forgotten, and its id.
type member struct {
	ends int64 // Unix seconds
	id   []byte
}

func readGroup(value []byte, now int64) []member {
	var members []member
	for line := range bytes.Lines(value) {
		ends, id, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		if seconds, err := strconv.ParseInt(string(ends), 10, 64); err == nil && seconds > now {
			members = append(members, member{seconds, id})
		}
	}
	return members
}

// Join notes that the session is one of the group. A group that is full loses its
// oldest session, which ends.
func (k KVSessions) Join(ctx context.Context, group, id string, ttl time.Duration) error {
	for range groupRetries {
		value, found, err := k.Store.Get(ctx, groupPrefix+group)
		if err != nil {
			return err
		}
		now := time.Now()
		members := readGroup(value, now.Unix())
		var oldest []member
		if over := len(members) + 1 - MaxGroup; over > 0 {
			oldest, members = members[:over], members[over:]
		}
		var next []byte
		longest := now.Add(ttl).Unix() + 1
		for _, one := range append(members, member{longest, []byte(id)}) {
			longest = max(longest, one.ends)
			next = fmt.Appendf(next, "%d %s\n", one.ends, one.id)
		}
		life := time.Unix(longest, 0).Sub(now)
		var written bool
		if found {
			written, err = k.Store.Swap(ctx, groupPrefix+group, value, next, life)
		} else {
			written, err = k.Store.Add(ctx, groupPrefix+group, next, life)
		}
		if err != nil {
			return err
		}
		if !written {
			continue
		}
		for _, one := range oldest {
			if err := k.Delete(ctx, string(one.id)); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("client: a group of sessions changes too fast")
}

// Members returns the ids that joined the group.
func (k KVSessions) Members(ctx context.Context, group string) ([]string, error) {
	value, _, err := k.Store.Get(ctx, groupPrefix+group)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, one := range readGroup(value, time.Now().Unix()) {
		ids = append(ids, string(one.id))
	}
	return ids, nil
}

package store

import (
	"context"

	"gatehouse"
)

// KeyEncryptionKey returns the record of the key that seals this database's keys.
func (s *Store) KeyEncryptionKey(ctx context.Context) (gatehouse.KeyEncryptionKey, bool, error) {
	found := false
	key, err := read(ctx, s, "reading the record of the key-encryption key", func(c *connection) (key gatehouse.KeyEncryptionKey, err error) {
		found, err = c.one(sqlKeyEncryptionKey, []any{number(&key.ID), &key.Canary})
		return key, err
	})
	return key, found, err
}

// SetKeyEncryptionKey records the key unless one is recorded: the first writer wins.
func (s *Store) SetKeyEncryptionKey(ctx context.Context, key gatehouse.KeyEncryptionKey) (stored bool, err error) {
	return write(ctx, s, "recording the key-encryption key", "", func(a *act) (bool, error) {
		added, err := a.exec(sqlSetKeyEncryptionKey, int64(key.ID), blob(key.Canary))
		return added == 1, err
	})
}

// Keys returns the tenant's keys in the order in which they were made.
func (s *Store) Keys(ctx context.Context, tenant gatehouse.TenantID) ([]gatehouse.StoredKey, error) {
	return read(ctx, s, "reading keys", func(c *connection) (keys []gatehouse.StoredKey, err error) {
		err = c.each(sqlKeys, func(scan func(...any) error) error {
			var k gatehouse.StoredKey
			if err := scan(&k.Purpose, &k.ID, number(&k.NumericID), &k.Algorithm, &k.Sealed, moment(&k.CreatedAt), moment(&k.PublishAt),
				moment(&k.SignFrom), moment(&k.SignUntil), moment(&k.RemoveAt), moment(&k.RevokedAt)); err != nil {
				return err
			}
			keys = append(keys, k)
			return nil
		}, tenant)
		return keys, err
	})
}

// AddKeys adds keys, all or none. With onlyIfNone the first of several writers wins and the others
// are told false. A key that exists is an error.
func (s *Store) AddKeys(ctx context.Context, tenant gatehouse.TenantID, keys []gatehouse.StoredKey, onlyIfNone bool) (added bool, err error) {
	return write(ctx, s, "adding keys", tenant, func(a *act) (bool, error) {
		if onlyIfNone {
			if err := a.seize(lockKeys, ""); err != nil {
				return false, err
			}
			var purpose string
			if any, err := a.one(sqlAnyKey, []any{&purpose}, a.tenant); err != nil || any {
				return false, err
			}
		}
		for _, k := range keys {
			if _, err := a.exec(sqlAddKey, a.tenant, string(k.Purpose), k.ID, int64(k.NumericID), k.Algorithm, blob(k.Sealed), millis(k.CreatedAt),
				millis(k.PublishAt), millis(k.SignFrom), millis(k.SignUntil), millis(k.RemoveAt), millis(k.RevokedAt)); err != nil {
				return false, err
			}
			if err := a.tell(gatehouse.Event{}, gatehouse.EventKeyCreated, "purpose", string(k.Purpose), "kid", k.ID, "alg", k.Algorithm); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

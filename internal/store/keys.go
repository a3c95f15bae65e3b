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
				moment(&k.SignFrom), moment(&k.SignUntil), moment(&k.RemoveAt), moment(&k.RevokedAt), number(&k.Generation)); err != nil {
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
			if _, err := a.addKey(sqlAddKey, k, gatehouse.Event{}); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

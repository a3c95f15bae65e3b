package keyring_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"gatehouse"
)

// shelf is a store in memory whose clock and rows a test may change.
type shelf struct {
	mu       sync.Mutex
	now      time.Time
	clock    func() time.Time // instead of now
	kek      *gatehouse.KeyEncryptionKey
	rows     map[gatehouse.TenantID][]gatehouse.StoredKey
	changes  int64
	settings gatehouse.Settings
	fails    error
	ended    []string
}

func newShelf() *shelf {
	return &shelf{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), rows: map[gatehouse.TenantID][]gatehouse.StoredKey{}}
}

func (s *shelf) Now() time.Time {
	if s.clock != nil {
		return s.clock()
	}
	return s.now
}

func (s *shelf) KeyEncryptionKey(context.Context) (gatehouse.KeyEncryptionKey, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kek == nil {
		return gatehouse.KeyEncryptionKey{}, false, nil
	}
	return *s.kek, true, nil
}

func (s *shelf) SetKeyEncryptionKey(_ context.Context, key gatehouse.KeyEncryptionKey) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kek != nil {
		return false, nil
	}
	s.kek = &key
	return true, nil
}

func (s *shelf) Keys(_ context.Context, tenant gatehouse.TenantID) ([]gatehouse.StoredKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows[tenant]), s.fails
}

func (s *shelf) AddKeys(_ context.Context, tenant gatehouse.TenantID, keys []gatehouse.StoredKey, onlyIfNone bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if onlyIfNone && len(s.rows[tenant]) > 0 {
		return false, nil
	}
	s.rows[tenant] = append(s.rows[tenant], keys...)
	s.changes++
	return true, nil
}

func (s *shelf) Tenant(context.Context, gatehouse.TenantID) (gatehouse.Settings, bool, error) {
	return s.settings, true, nil
}

func (s *shelf) Resources(context.Context, gatehouse.TenantID) ([]gatehouse.Resource, error) {
	return nil, nil
}

func (s *shelf) KeyChanges(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes, s.fails
}

func (s *shelf) AddSuccessor(_ context.Context, tenant gatehouse.TenantID, key gatehouse.StoredKey, _ gatehouse.Event) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(tenant, key), nil
}

func (s *shelf) add(tenant gatehouse.TenantID, key gatehouse.StoredKey) bool {
	for _, row := range s.rows[tenant] {
		if row.Purpose == key.Purpose && row.Algorithm == key.Algorithm && row.Generation == key.Generation {
			return false
		}
	}
	s.rows[tenant] = append(s.rows[tenant], key)
	s.changes++
	return true
}

func (s *shelf) ChangeKeyTimes(_ context.Context, tenant gatehouse.TenantID, was, becomes gatehouse.StoredKey, _ gatehouse.Event) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(tenant, was, becomes), nil
}

func (s *shelf) change(tenant gatehouse.TenantID, was, becomes gatehouse.StoredKey) bool {
	for i, row := range s.rows[tenant] {
		if row.ID == was.ID && row.SignFrom.Equal(was.SignFrom) && row.SignUntil.Equal(was.SignUntil) && row.RemoveAt.Equal(was.RemoveAt) && row.RevokedAt.Equal(was.RevokedAt) {
			s.rows[tenant][i] = becomes
			s.changes++
			return true
		}
	}
	return false
}

func (s *shelf) RemoveKey(_ context.Context, tenant gatehouse.TenantID, key gatehouse.StoredKey, _ gatehouse.Event) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.rows[tenant])
	s.rows[tenant] = slices.DeleteFunc(s.rows[tenant], func(row gatehouse.StoredKey) bool {
		return row.ID == key.ID && !row.RemoveAt.IsZero() && !s.Now().Before(row.RemoveAt)
	})
	s.changes++
	return len(s.rows[tenant]) < before, nil
}

func (s *shelf) RevokeKey(_ context.Context, tenant gatehouse.TenantID, revocation gatehouse.KeyRevocation, _ gatehouse.Event) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	becomes := revocation.Key
	becomes.RevokedAt, becomes.RemoveAt = s.Now(), revocation.Until
	if !s.change(tenant, revocation.Key, becomes) {
		return false, nil
	}
	if revocation.Replacement != nil {
		s.add(tenant, *revocation.Replacement)
	}
	if revocation.Hasten != nil {
		hastened := *revocation.Hasten
		hastened.SignFrom = s.Now()
		s.change(tenant, *revocation.Hasten, hastened)
	}
	s.ended = append(s.ended, revocation.Key.ID)
	return true, nil
}

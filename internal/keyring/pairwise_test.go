package keyring_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/keyring"
	"gatehouse/internal/store"
	"gatehouse/internal/store/storetest"
)

// TestThePairwiseKeyNeverChanges makes it at several replicas at once, rotates
// everything for a year and looks again.
func TestThePairwiseKeyNeverChanges(t *testing.T) {
	clock := storetest.NewClock()
	place := store.Config{Path: filepath.Join(t.TempDir(), "gatehouse.db"), Clock: clock.Now}
	kek := newKEK(t)
	var replicas []*keyring.Keyring
	for range 3 {
		s, err := store.Open(t.Context(), place)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		replicas = append(replicas, load(t, s, kek, "other"))
	}
	mac := func(replica *keyring.Keyring, tenant gatehouse.TenantID) []byte {
		t.Helper()
		key, err := replica.PairwiseKey(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		return key.MAC([]byte("alice"))
	}
	macs := make([][]byte, len(replicas))
	var together sync.WaitGroup
	for i, replica := range replicas {
		together.Go(func() { macs[i] = mac(replica, tenant) })
	}
	together.Wait()
	for _, other := range macs {
		if !bytes.Equal(other, macs[0]) {
			t.Fatal("the replicas have several keys")
		}
	}
	if bytes.Equal(mac(replicas[0], "other"), macs[0]) {
		t.Error("two tenants have one key")
	}
	for range 5 {
		clock.Move(91 * day)
		if _, err := replicas[0].Rotate(t.Context(), tenant, keyring.Rotation{Now: true}); err != nil {
			t.Fatal(err)
		}
		clock.Move(time.Hour)
		for range 3 {
			if _, err := replicas[1].Tick(t.Context(), tenant); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := store.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	reopened := load(t, s, kek)
	for _, replica := range append(replicas, reopened) {
		if !bytes.Equal(mac(replica, tenant), macs[0]) {
			t.Error("another key after rotations")
		}
	}
	rows, err := s.Keys(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.Purpose != gatehouse.KeyPairwise {
			continue
		}
		if _, _, err := reopened.Revoke(t.Context(), tenant, row.ID, "cli"); !errors.Is(err, keyring.ErrPairwise) {
			t.Errorf("revoking it: %v", err)
		}
	}
	if !bytes.Equal(mac(reopened, tenant), macs[0]) {
		t.Error("it was revoked")
	}
}

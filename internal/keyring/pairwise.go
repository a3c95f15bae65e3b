package keyring

import (
	"context"
	"errors"
	"fmt"

	"gatehouse"
	"gatehouse/internal/seal"
)

// ErrPairwise means that the key of pairwise identifiers was to be revoked.
var ErrPairwise = errors.New("pairwise identifiers come from this key for ever: without it, all users would be strangers to the clients that know them by such identifiers")

// PairwiseKey returns the key that the tenant's pairwise subject identifiers
// come from. There is one, made when it is needed first, and no plan changes
// it: another key would make all users strangers to their clients. Of several
// servers that make it, one stores it and all use that.
func (k *Keyring) PairwiseKey(ctx context.Context, tenant gatehouse.TenantID) (seal.Key, error) {
	if key, found := k.loaded(tenant).pairwise(); found {
		return key, nil
	}
	if err := k.reload(ctx, tenant); err != nil {
		return seal.Key{}, err
	}
	if key, found := k.loaded(tenant).pairwise(); found {
		return key, nil
	}
	now := k.store.Now()
	made, err := k.newKey(tenant, gatehouse.StoredKey{Purpose: gatehouse.KeyPairwise, PublishAt: now, SignFrom: now})
	if err != nil {
		return seal.Key{}, err
	}
	if _, err := k.store.AddSuccessor(ctx, tenant, made, gatehouse.Event{Actor: "server"}); err != nil {
		return seal.Key{}, fmt.Errorf("store the pairwise key of tenant %s: %w", tenant, err)
	}
	if err := k.reload(ctx, tenant); err != nil {
		return seal.Key{}, err
	}
	key, found := k.loaded(tenant).pairwise()
	if !found {
		return seal.Key{}, fmt.Errorf("tenant %s has no pairwise key that can be used", tenant)
	}
	return key, nil
}

// pairwise returns the oldest key of that purpose.
func (t *tenantKeys) pairwise() (seal.Key, bool) {
	if t == nil {
		return seal.Key{}, false
	}
	for i := len(t.opened) - 1; i >= 0; i-- {
		if t.opened[i].Purpose == gatehouse.KeyPairwise {
			return t.opened[i].root, true
		}
	}
	return seal.Key{}, false
}

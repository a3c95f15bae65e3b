package keyring

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"gatehouse"
	"gatehouse/internal/seal"
	"gatehouse/jose"
)

// algorithms by which a tenant can sign, in the order of its key set. Each
// has a key from the first start, so that a client may select any of them.
var algorithms = []jose.Algorithm{jose.RS256, jose.ES256, jose.PS256, jose.EdDSA}

// Algorithms returns the signing algorithms that every tenant has keys for.
func Algorithms() []jose.Algorithm { return append([]jose.Algorithm(nil), algorithms...) }

// FirstKeys makes the keys with which a tenant begins, for the store to keep.
func (k *Keyring) FirstKeys(tenant gatehouse.TenantID) ([]gatehouse.StoredKey, error) {
	now := k.store.Now()
	steps := Plan(nil, now, Policy{Algorithms: algorithms})
	keys := make([]gatehouse.StoredKey, len(steps))
	var making errgroup.Group
	for i, step := range steps {
		making.Go(func() (err error) {
			keys[i], err = k.newKey(tenant, step.Key)
			return err
		})
	}
	if err := making.Wait(); err != nil {
		return nil, fmt.Errorf("make the first keys of tenant %s: %w", tenant, err)
	}
	return keys, nil
}

// newKey makes the key that was planned, with its purpose, algorithm,
// generation and times, and seals it.
func (k *Keyring) newKey(tenant gatehouse.TenantID, planned gatehouse.StoredKey) (gatehouse.StoredKey, error) {
	key := planned
	key.CreatedAt = planned.PublishAt
	var secret []byte
	if key.Purpose == gatehouse.KeySign {
		key.ID = strings.ToLower(key.Algorithm + "-" + rand.Text()[:16])
		private, err := jose.GenerateKey(jose.Algorithm(key.Algorithm), key.ID)
		if err != nil {
			return gatehouse.StoredKey{}, err
		}
		if secret, err = private.MarshalPKCS8(); err != nil {
			return gatehouse.StoredKey{}, err
		}
	} else {
		secret = make([]byte, seal.KeyBytes)
		_, _ = rand.Read(secret) // never fails: it ends the process instead
		key.NumericID = randomID()
		key.ID = fmt.Sprintf("%s-%08x", key.Purpose, key.NumericID)
	}
	key.Sealed = k.kek.Seal(secret, additionalData(tenant, key))
	return key, nil
}

func randomID() uint32 {
	for {
		var id [4]byte
		_, _ = rand.Read(id[:])
		if number := binary.BigEndian.Uint32(id[:]); number != 0 {
			return number
		}
	}
}

package keyring

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

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

func (k *Keyring) firstKeys(tenant gatehouse.TenantID) ([]gatehouse.StoredKey, error) {
	now := k.store.Now()
	keys := make([]gatehouse.StoredKey, len(algorithms)+2)
	var making errgroup.Group
	for i, algorithm := range algorithms {
		making.Go(func() (err error) {
			keys[i], err = k.newSigningKey(tenant, algorithm, now)
			return err
		})
	}
	keys[len(algorithms)] = k.newRoot(tenant, gatehouse.KeyMAC, now)
	keys[len(algorithms)+1] = k.newRoot(tenant, gatehouse.KeySeal, now)
	if err := making.Wait(); err != nil {
		return nil, fmt.Errorf("make the first keys of tenant %s: %w", tenant, err)
	}
	return keys, nil
}

func (k *Keyring) newSigningKey(tenant gatehouse.TenantID, algorithm jose.Algorithm, now time.Time) (gatehouse.StoredKey, error) {
	id := strings.ToLower(string(algorithm) + "-" + rand.Text()[:16])
	private, err := jose.GenerateKey(algorithm, id)
	if err != nil {
		return gatehouse.StoredKey{}, err
	}
	pkcs8, err := private.MarshalPKCS8()
	if err != nil {
		return gatehouse.StoredKey{}, err
	}
	return k.sealed(tenant, gatehouse.StoredKey{ID: id, Purpose: gatehouse.KeySign, Algorithm: string(algorithm)}, pkcs8, now), nil
}

func (k *Keyring) newRoot(tenant gatehouse.TenantID, purpose gatehouse.KeyPurpose, now time.Time) gatehouse.StoredKey {
	var secret [seal.KeyBytes]byte
	_, _ = rand.Read(secret[:])
	number := randomID()
	return k.sealed(tenant, gatehouse.StoredKey{ID: fmt.Sprintf("%s-%08x", purpose, number), NumericID: number, Purpose: purpose}, secret[:], now)
}

// sealed completes a first key, which is published and used at once: nobody
// can hold an older key set of this tenant.
func (k *Keyring) sealed(tenant gatehouse.TenantID, key gatehouse.StoredKey, secret []byte, now time.Time) gatehouse.StoredKey {
	key.Sealed = k.kek.Seal(secret, additionalData(tenant, key))
	key.CreatedAt, key.PublishAt, key.SignFrom = now, now, now
	return key
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

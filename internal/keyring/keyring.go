package keyring

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/seal"
	"gatehouse/jose"
	"gatehouse/oauth"
)

// Store is where keys are kept, sealed, and where the policies of tenants
// are read.
type Store interface {
	Now() time.Time
	KeyEncryptionKey(ctx context.Context) (gatehouse.KeyEncryptionKey, bool, error)
	SetKeyEncryptionKey(ctx context.Context, key gatehouse.KeyEncryptionKey) (stored bool, err error)
	Keys(ctx context.Context, tenant gatehouse.TenantID) ([]gatehouse.StoredKey, error)
	AddKeys(ctx context.Context, tenant gatehouse.TenantID, keys []gatehouse.StoredKey, onlyIfNone bool) (added bool, err error)
	planStore
}

// Keyring holds the opened keys of all tenants. It is safe for concurrent
// use.
type Keyring struct {
	store   Store
	kek     *seal.Ring
	tenants sync.Map // gatehouse.TenantID → *tenantKeys
	loading sync.Mutex
	following
}

// canary is the known text by which a key-encryption key proves itself.
const canary = "gatehouse key-encryption key"

// Open joins the store and its key-encryption key. It records the key's id
// and a sealed canary in a new database; with another key than the recorded
// one it fails and names both.
func Open(ctx context.Context, store Store, kek seal.Key) (*Keyring, error) {
	ring := seal.NewRing(kek.Derive("key encryption"))
	recorded, found, err := store.KeyEncryptionKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the record of the key-encryption key: %w", err)
	}
	if !found {
		mine := gatehouse.KeyEncryptionKey{ID: kek.ID, Canary: ring.Seal([]byte(canary), nil)}
		if _, err := store.SetKeyEncryptionKey(ctx, mine); err != nil {
			return nil, fmt.Errorf("record the key-encryption key: %w", err)
		}
		if recorded, _, err = store.KeyEncryptionKey(ctx); err != nil {
			return nil, fmt.Errorf("read the record of the key-encryption key: %w", err)
		}
	}
	if text, opened := ring.Open(recorded.Canary, nil); !opened || string(text) != canary {
		if recorded.ID == kek.ID {
			return nil, fmt.Errorf("the database's record of key-encryption key %08x was altered; restore the database from a backup", recorded.ID)
		}
		return nil, fmt.Errorf("the database was sealed with key-encryption key %08x, but the key file holds %08x; put the right key file in place", recorded.ID, kek.ID)
	}
	return &Keyring{store: store, kek: ring}, nil
}

// Load opens the tenant's keys, making its first ones if it has none. Several
// callers, also in several processes, end with the same keys.
func (k *Keyring) Load(ctx context.Context, tenant gatehouse.TenantID) error {
	stored, err := k.store.Keys(ctx, tenant)
	if err != nil {
		return fmt.Errorf("read the keys of tenant %s: %w", tenant, err)
	}
	if len(stored) == 0 {
		first, err := k.FirstKeys(tenant)
		if err != nil {
			return err
		}
		if _, err := k.store.AddKeys(ctx, tenant, first, true); err != nil {
			return fmt.Errorf("store the first keys of tenant %s: %w", tenant, err)
		}
	}
	return k.reload(ctx, tenant)
}

// Has opens the tenant's keys unless they are open, and says whether it has
// any. It makes none: a tenant is made with its first keys.
func (k *Keyring) Has(ctx context.Context, tenant gatehouse.TenantID) (bool, error) {
	if k.loaded(tenant) != nil {
		return true, nil
	}
	stored, err := k.store.Keys(ctx, tenant)
	if err != nil {
		return false, fmt.Errorf("read the keys of tenant %s: %w", tenant, err)
	}
	if len(stored) == 0 {
		return false, nil
	}
	return true, k.reload(ctx, tenant)
}

// reload reads the tenant's keys anew. Of several callers the last one reads
// last.
func (k *Keyring) reload(ctx context.Context, tenant gatehouse.TenantID) error {
	k.loading.Lock()
	defer k.loading.Unlock()
	stored, err := k.store.Keys(ctx, tenant)
	if err != nil {
		return fmt.Errorf("read the keys of tenant %s: %w", tenant, err)
	}
	before := k.loaded(tenant)
	if before.stores(stored) {
		return nil
	}
	keys, err := k.open(tenant, stored, before)
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	k.tenants.Store(tenant, keys)
	return nil
}

// loaded returns the keys of a tenant, or nil.
func (k *Keyring) loaded(tenant gatehouse.TenantID) *tenantKeys {
	keys, _ := k.tenants.Load(tenant)
	loaded, _ := keys.(*tenantKeys)
	return loaded
}

// mustHave returns the keys of a loaded tenant. Serving a tenant that was not
// loaded is a defect of the program.
func (k *Keyring) mustHave(tenant gatehouse.TenantID) *phase {
	keys := k.loaded(tenant)
	if keys == nil {
		panic("keyring: tenant " + string(tenant) + " is not loaded")
	}
	return keys.phase(k.store.Now())
}

// Signer returns the key that signs by the algorithm now.
func (k *Keyring) Signer(tenant gatehouse.TenantID, algorithm jose.Algorithm) (*jose.PrivateKey, bool) {
	signer, found := k.mustHave(tenant).signers[algorithm]
	return signer, found
}

// JWKS returns the published key set (RFC 7517 §5). Clients may keep it for
// CacheTime, and for RevokedCacheTime in the day after a key was revoked.
func (k *Keyring) JWKS(tenant gatehouse.TenantID) *oauth.Document { return k.mustHave(tenant).jwks }

// Verifiers returns the tenant's published keys as a source for the checker.
func (k *Keyring) Verifiers(tenant gatehouse.TenantID) Verifiers {
	return Verifiers{k.mustHave(tenant).public}
}

// Verifiers are the published keys of one tenant.
type Verifiers struct{ public []jose.PublicKey }

// Keys returns the keys that may have signed a token with this header.
func (v Verifiers) Keys(_ context.Context, kid string, algorithm jose.Algorithm) ([]jose.PublicKey, error) {
	var candidates []jose.PublicKey
	for _, key := range v.public {
		if key.Algorithm == algorithm && (kid == "" || key.ID == kid) {
			candidates = append(candidates, key)
		}
	}
	return candidates, nil
}

// SealRing returns the tenant's sealing keys for one purpose.
func (k *Keyring) SealRing(tenant gatehouse.TenantID, purpose string) *seal.Ring {
	keys := k.mustHave(tenant)
	return keys.derive(keys.seal, derivedName{"seal", purpose}, tenant)
}

// MACRing returns the tenant's MAC keys for one purpose.
func (k *Keyring) MACRing(tenant gatehouse.TenantID, purpose string) *seal.Ring {
	keys := k.mustHave(tenant)
	return keys.derive(keys.mac, derivedName{"mac", purpose}, tenant)
}

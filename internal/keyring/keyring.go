package keyring

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/seal"
	"gatehouse/jose"
)

// keyStore is where keys are kept, sealed.
type keyStore interface {
	Now() time.Time
	KeyEncryptionKey(ctx context.Context) (gatehouse.KeyEncryptionKey, bool, error)
	SetKeyEncryptionKey(ctx context.Context, key gatehouse.KeyEncryptionKey) (stored bool, err error)
	Keys(ctx context.Context, tenant gatehouse.TenantID) ([]gatehouse.StoredKey, error)
	AddKeys(ctx context.Context, tenant gatehouse.TenantID, keys []gatehouse.StoredKey, onlyIfNone bool) (added bool, err error)
}

// Keyring holds the opened keys of all tenants. It is safe for concurrent
// use.
type Keyring struct {
	store   keyStore
	kek     *seal.Ring
	tenants sync.Map // gatehouse.TenantID → *tenantKeys
}

type tenantKeys struct {
	signers map[jose.Algorithm]*jose.PrivateKey
	public  []jose.PublicKey
	jwks    []byte
	mac     *seal.Ring
	seal    *seal.Ring
	derived sync.Map // derivedName → *seal.Ring
}

type derivedName struct{ kind, purpose string }

// canary is the known text by which a key-encryption key proves itself.
const canary = "gatehouse key-encryption key"

// Open joins the store and its key-encryption key. It records the key's id
// and a sealed canary in a new database; with another key than the recorded
// one it fails and names both.
func Open(ctx context.Context, store keyStore, kek seal.Key) (*Keyring, error) {
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
		first, err := k.firstKeys(tenant)
		if err != nil {
			return err
		}
		if _, err := k.store.AddKeys(ctx, tenant, first, true); err != nil {
			return fmt.Errorf("store the first keys of tenant %s: %w", tenant, err)
		}
		if stored, err = k.store.Keys(ctx, tenant); err != nil {
			return fmt.Errorf("read the keys of tenant %s: %w", tenant, err)
		}
	}
	keys, err := k.open(tenant, stored)
	if err != nil {
		return err
	}
	k.tenants.Store(tenant, keys)
	return nil
}

func (k *Keyring) open(tenant gatehouse.TenantID, stored []gatehouse.StoredKey) (*tenantKeys, error) {
	now := k.store.Now()
	keys := &tenantKeys{signers: map[jose.Algorithm]*jose.PrivateKey{}}
	opened := map[gatehouse.KeyPurpose]roots{}
	slices.SortStableFunc(stored, func(a, b gatehouse.StoredKey) int { return b.SignFrom.Compare(a.SignFrom) })
	for _, s := range stored {
		if !s.RevokedAt.IsZero() || past(s.RemoveAt, now) {
			continue
		}
		secret, genuine := k.kek.Open(s.Sealed, additionalData(tenant, s))
		if !genuine {
			return nil, fmt.Errorf("key %s of tenant %s does not open with this key-encryption key", s.ID, tenant)
		}
		if s.Purpose != gatehouse.KeySign {
			root, err := seal.NewKey(s.NumericID, secret)
			if err != nil {
				return nil, fmt.Errorf("key %s of tenant %s: %w", s.ID, tenant, err)
			}
			signs := !now.Before(s.SignFrom) && !past(s.SignUntil, now)
			opened[s.Purpose] = opened[s.Purpose].with(root, signs)
			continue
		}
		private, err := jose.ParsePrivateKey(jose.Algorithm(s.Algorithm), s.ID, secret)
		if err != nil {
			return nil, fmt.Errorf("signing key %s of tenant %s: %w", s.ID, tenant, err)
		}
		if !now.Before(s.PublishAt) {
			keys.public = append(keys.public, private.Public())
		}
		if _, taken := keys.signers[private.Algorithm()]; !taken && !now.Before(s.SignFrom) && !past(s.SignUntil, now) {
			keys.signers[private.Algorithm()] = private
		}
	}
	mac, sealing := opened[gatehouse.KeyMAC], opened[gatehouse.KeySeal]
	if mac.current.IsZero() || sealing.current.IsZero() {
		return nil, fmt.Errorf("tenant %s has no MAC or sealing key that is in use now", tenant)
	}
	keys.mac = seal.NewRing(mac.current, mac.others...)
	keys.seal = seal.NewRing(sealing.current, sealing.others...)
	// RS256 stands first: some old clients stop at a key they do not know.
	slices.SortStableFunc(keys.public, func(a, b jose.PublicKey) int {
		return slices.Index(algorithms, a.Algorithm) - slices.Index(algorithms, b.Algorithm)
	})
	jwks, err := json.Marshal(struct {
		Keys []jose.PublicKey `json:"keys"`
	}{keys.public})
	keys.jwks = jwks
	return keys, err
}

// roots are the MAC or sealing keys of a tenant. One that is not yet, or no
// longer, in use is there to read what other replicas made with it.
type roots struct {
	current seal.Key
	others  []seal.Key
}

// with adds a key; the first that is in use is the current one.
func (r roots) with(key seal.Key, inUse bool) roots {
	if inUse && r.current.IsZero() {
		r.current = key
	} else {
		r.others = append(r.others, key)
	}
	return r
}

func past(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// mustHave returns the keys of a loaded tenant. Serving a tenant that was not
// loaded is a defect of the program.
func (k *Keyring) mustHave(tenant gatehouse.TenantID) *tenantKeys {
	keys, found := k.tenants.Load(tenant)
	if !found {
		panic("keyring: tenant " + string(tenant) + " is not loaded")
	}
	return keys.(*tenantKeys)
}

// Signer returns the key that signs by the algorithm now.
func (k *Keyring) Signer(tenant gatehouse.TenantID, algorithm jose.Algorithm) (*jose.PrivateKey, bool) {
	signer, found := k.mustHave(tenant).signers[algorithm]
	return signer, found
}

// JWKS returns the published key set as JSON (RFC 7517 §5). The bytes are
// shared and must not be changed.
func (k *Keyring) JWKS(tenant gatehouse.TenantID) []byte { return k.mustHave(tenant).jwks }

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

func (t *tenantKeys) derive(root *seal.Ring, name derivedName, tenant gatehouse.TenantID) *seal.Ring {
	if ring, found := t.derived.Load(name); found {
		return ring.(*seal.Ring)
	}
	ring, _ := t.derived.LoadOrStore(name, root.Derive(name.kind+" "+name.purpose, string(tenant)))
	return ring.(*seal.Ring)
}

func additionalData(tenant gatehouse.TenantID, key gatehouse.StoredKey) []byte {
	return []byte(string(tenant) + "\x00" + string(key.Purpose) + "\x00" + key.ID)
}

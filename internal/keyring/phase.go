package keyring

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/seal"
	"gatehouse/jose"
	"gatehouse/oauth"
)

// tenantKeys are the keys of a tenant as they are stored. What they are used
// for changes at times that their rows name: it is the phase.
type tenantKeys struct {
	tenant gatehouse.TenantID
	rows   []gatehouse.StoredKey
	opened []openKey // youngest first
	now    atomic.Pointer[phase]
}

// openKey is a key that can be used.
type openKey struct {
	gatehouse.StoredKey
	private *jose.PrivateKey // of a signing key
	root    seal.Key         // of the others
}

// phase is what the keys of a tenant are used for between two times.
type phase struct {
	until   time.Time // zero is for ever
	signers map[jose.Algorithm]*jose.PrivateKey
	public  []jose.PublicKey
	jwks    *oauth.Document
	mac     *seal.Ring
	seal    *seal.Ring
	derived sync.Map // derivedName → *seal.Ring
}

type derivedName struct{ kind, purpose string }

// open opens rows; keys that are open already are taken over from before.
func (k *Keyring) open(tenant gatehouse.TenantID, rows []gatehouse.StoredKey, before *tenantKeys) (*tenantKeys, error) {
	now := k.store.Now()
	keys := &tenantKeys{tenant: tenant, rows: rows}
	for _, row := range rows {
		if !alive(row, now) {
			continue
		}
		key, known := before.find(row)
		if !known {
			var err error
			if key, err = k.openOne(tenant, row); err != nil {
				return nil, err
			}
		}
		key.StoredKey = row
		keys.opened = append(keys.opened, key)
	}
	slices.SortStableFunc(keys.opened, func(a, b openKey) int { return youngestFirst(a.StoredKey, b.StoredKey) })
	first, err := keys.at(now)
	if err != nil {
		return nil, err
	}
	keys.now.Store(first)
	return keys, nil
}

func (k *Keyring) openOne(tenant gatehouse.TenantID, row gatehouse.StoredKey) (key openKey, err error) {
	secret, genuine := k.kek.Open(row.Sealed, additionalData(tenant, row))
	if !genuine {
		return openKey{}, fmt.Errorf("key %s of tenant %s does not open with this key-encryption key", row.ID, tenant)
	}
	if row.Purpose == gatehouse.KeySign {
		key.private, err = jose.ParsePrivateKey(jose.Algorithm(row.Algorithm), row.ID, secret)
	} else {
		key.root, err = seal.NewKey(row.NumericID, secret)
	}
	if err != nil {
		return openKey{}, fmt.Errorf("key %s of tenant %s: %w", row.ID, tenant, err)
	}
	return key, nil
}

// find returns the opened key of a row that is the same but for its times.
func (t *tenantKeys) find(row gatehouse.StoredKey) (openKey, bool) {
	if t == nil {
		return openKey{}, false
	}
	for _, key := range t.opened {
		if key.ID == row.ID && lineOf(key.StoredKey) == lineOf(row) && key.NumericID == row.NumericID && slices.Equal(key.Sealed, row.Sealed) {
			return key, true
		}
	}
	return openKey{}, false
}

// stores says whether the keys are stored as these rows.
func (t *tenantKeys) stores(rows []gatehouse.StoredKey) bool {
	return t != nil && reflect.DeepEqual(t.rows, rows)
}

// phase returns what the keys are used for at this time.
func (t *tenantKeys) phase(now time.Time) *phase {
	current := t.now.Load()
	if !past(current.until, now) {
		return current
	}
	next, err := t.at(now)
	if err != nil {
		return current // a root without successor is used on
	}
	t.now.Store(next)
	return next
}

// at makes the phase of a time.
func (t *tenantKeys) at(now time.Time) (*phase, error) {
	p := &phase{signers: map[jose.Algorithm]*jose.PrivateKey{}}
	cacheTime := CacheTime
	opened := map[gatehouse.KeyPurpose]roots{}
	for _, key := range t.opened {
		p.endsAt(now, key.PublishAt, key.SignFrom, key.SignUntil, key.RemoveAt)
		if past(key.RemoveAt, now) {
			continue
		}
		signs := !now.Before(key.SignFrom) && !past(key.SignUntil, now)
		if key.private == nil {
			opened[key.Purpose] = opened[key.Purpose].with(key.root, signs)
			continue
		}
		if !now.Before(key.PublishAt) {
			p.public = append(p.public, key.private.Public())
		}
		if _, taken := p.signers[key.private.Algorithm()]; !taken && signs {
			p.signers[key.private.Algorithm()] = key.private
		}
	}
	for _, row := range t.rows {
		if row.RevokedAt.IsZero() {
			continue
		}
		if calm := row.RevokedAt.Add(revokedFor); !past(calm, now) {
			cacheTime = RevokedCacheTime
			p.endsAt(now, calm)
		}
	}
	mac, sealing := opened[gatehouse.KeyMAC], opened[gatehouse.KeySeal]
	if mac.current.IsZero() || sealing.current.IsZero() {
		return nil, fmt.Errorf("tenant %s has no MAC or sealing key that is in use now", t.tenant)
	}
	p.mac = seal.NewRing(mac.current, mac.others...)
	p.seal = seal.NewRing(sealing.current, sealing.others...)
	// RS256 stands first: some old clients stop at a key they do not know.
	slices.SortStableFunc(p.public, func(a, b jose.PublicKey) int {
		return slices.Index(algorithms, a.Algorithm) - slices.Index(algorithms, b.Algorithm)
	})
	jwks, err := json.Marshal(struct {
		Keys []jose.PublicKey `json:"keys"`
	}{p.public})
	p.jwks = oauth.NewDocument(jwks, cacheTime)
	return p, err
}

// endsAt ends the phase at the first of the times that is yet to come.
func (p *phase) endsAt(now time.Time, times ...time.Time) {
	for _, at := range times {
		if at.After(now) && (p.until.IsZero() || at.Before(p.until)) {
			p.until = at
		}
	}
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

func (p *phase) derive(root *seal.Ring, name derivedName, tenant gatehouse.TenantID) *seal.Ring {
	if ring, found := p.derived.Load(name); found {
		return ring.(*seal.Ring)
	}
	ring, _ := p.derived.LoadOrStore(name, root.Derive(name.kind+" "+name.purpose, string(tenant)))
	return ring.(*seal.Ring)
}

func additionalData(tenant gatehouse.TenantID, key gatehouse.StoredKey) []byte {
	return []byte(string(tenant) + "\x00" + string(key.Purpose) + "\x00" + key.ID)
}

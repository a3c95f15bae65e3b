package gatehousetest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gatehouse"
	"gatehouse/internal/keyring"
	"gatehouse/internal/seal"
	"gatehouse/internal/server"
	"gatehouse/internal/store"
	"gatehouse/jose"
)

// spareKeys are the RSA keys of servers whose tests are over, in PKCS #8: to make one
// takes longer than most tests do. No server whose test runs shares one with another, so that
// tests do not see each other.
var spareKeys struct {
	sync.Mutex
	rsa [][]byte
}

// furnish makes what the first start of a server makes: the database, the key-encryption key and
// the first keys of the default tenant, of which only the RSA keys may have been another's before.
func furnish(t testing.TB, config server.Config) {
	t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, config.StoreConfig(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatalf("make the database: %v", err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	kek, err := seal.CreateKeyFile(config.KeyPath())
	if err != nil {
		t.Fatalf("make the key-encryption key: %v", err)
	}
	if _, err := keyring.Open(ctx, db, kek); err != nil { // records it
		t.Fatal(err)
	}
	ring := seal.NewRing(kek.Derive("key encryption"))
	var keys []gatehouse.StoredKey
	for _, step := range keyring.Plan(nil, db.Now(), keyring.Policy{Algorithms: keyring.Algorithms()}) {
		key := step.Key
		key.CreatedAt = key.PublishAt
		var secret []byte
		if key.Purpose == gatehouse.KeySign {
			key.ID = strings.ToLower(key.Algorithm + "-" + rand.Text()[:16])
			secret = signingKey(t, jose.Algorithm(key.Algorithm))
		} else {
			secret = make([]byte, seal.KeyBytes)
			_, _ = rand.Read(secret)
			key.NumericID = binary.BigEndian.Uint32(secret) | 1
			key.ID = fmt.Sprintf("%s-%08x", key.Purpose, key.NumericID)
			_, _ = rand.Read(secret) // the id says nothing of it
		}
		key.Sealed = ring.Seal(secret, keyData(gatehouse.DefaultTenant, key))
		keys = append(keys, key)
	}
	if added, err := db.AddKeys(ctx, gatehouse.DefaultTenant, keys, true); err != nil || !added {
		t.Fatalf("store the first keys: %v, %v", added, err)
	}
}

// keyData is what the keyring binds a sealed key to.
func keyData(tenant gatehouse.TenantID, key gatehouse.StoredKey) []byte {
	return []byte(string(tenant) + "\x00" + string(key.Purpose) + "\x00" + key.ID)
}

// signingKey returns a key in PKCS #8, which nobody else has until the test is over.
func signingKey(t testing.TB, alg jose.Algorithm) []byte {
	t.Helper()
	ofRSA := alg == jose.RS256 || alg == jose.PS256
	var secret []byte
	if ofRSA {
		spareKeys.Lock()
		if last := len(spareKeys.rsa) - 1; last >= 0 {
			secret, spareKeys.rsa = spareKeys.rsa[last], spareKeys.rsa[:last]
		}
		spareKeys.Unlock()
	}
	if secret == nil {
		made, err := jose.GenerateKey(alg, "made")
		if err != nil {
			t.Fatal(err)
		}
		if secret, err = made.MarshalPKCS8(); err != nil {
			t.Fatal(err)
		}
	}
	if ofRSA {
		t.Cleanup(func() {
			spareKeys.Lock()
			defer spareKeys.Unlock()
			spareKeys.rsa = append(spareKeys.rsa, secret)
		})
	}
	return secret
}

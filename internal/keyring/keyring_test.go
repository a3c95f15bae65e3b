package keyring_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/keyring"
	"gatehouse/internal/seal"
	"gatehouse/internal/spec"
	"gatehouse/internal/store"
	"gatehouse/jose"
)

const tenant = gatehouse.DefaultTenant

// row returns the tenant's first row of the purpose and, for signing keys, of
// the algorithm.
func (s *shelf) row(t *testing.T, purpose gatehouse.KeyPurpose, algorithm jose.Algorithm) *gatehouse.StoredKey {
	t.Helper()
	for i := range s.rows[tenant] {
		if row := &s.rows[tenant][i]; row.Purpose == purpose && row.Algorithm == string(algorithm) {
			return row
		}
	}
	t.Fatalf("no row for %s %s", purpose, algorithm)
	return nil
}

func newKEK(t *testing.T) seal.Key {
	t.Helper()
	key, err := seal.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func load(t *testing.T, s keyring.Store, kek seal.Key, tenants ...gatehouse.TenantID) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.Open(t.Context(), s, kek)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range append(tenants, tenant) {
		if err := keys.Load(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func answered(keys *keyring.Keyring, tenant gatehouse.TenantID) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	keys.JWKS(tenant).Write(w)
	return w
}

func jwksOf(keys *keyring.Keyring, tenant gatehouse.TenantID) []byte {
	return answered(keys, tenant).Body.Bytes()
}

func cacheTimeOf(keys *keyring.Keyring, tenant gatehouse.TenantID) time.Duration {
	seconds, _ := strconv.Atoi(strings.TrimPrefix(answered(keys, tenant).Header().Get("Cache-Control"), "public, max-age="))
	return time.Duration(seconds) * time.Second
}

// published returns the members of the tenant's key set.
func published(t *testing.T, keys *keyring.Keyring) []map[string]any {
	t.Helper()
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(jwksOf(keys, tenant), &set); err != nil {
		t.Fatal(err)
	}
	return set.Keys
}

func kids(t *testing.T, keys *keyring.Keyring) []string {
	t.Helper()
	var ids []string
	for _, key := range published(t, keys) {
		ids = append(ids, key["kid"].(string))
	}
	return ids
}

func TestFirstKeys(t *testing.T) {
	s := newShelf()
	keys := load(t, s, newKEK(t))
	set := published(t, keys)
	seen := map[string]bool{}
	for i, algorithm := range keyring.Algorithms() {
		signer, found := keys.Signer(tenant, algorithm)
		if !found || signer.Algorithm() != algorithm {
			t.Fatalf("%s: no key", algorithm)
		}
		if set[i]["alg"] != string(algorithm) || set[i]["kid"] != signer.ID() || set[i]["use"] != "sig" {
			t.Errorf("key %d of the set is %v", i, set[i])
		}
		if !regexp.MustCompile(`^[a-z0-9-]{20,24}$`).MatchString(signer.ID()) || seen[signer.ID()] {
			t.Errorf("kid %q", signer.ID())
		}
		seen[signer.ID()] = true
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} { // RFC 7518 §6
			if _, leaked := set[i][private]; leaked {
				t.Errorf("key %d of the set has the member %s", i, private)
			}
		}
	}
	if set[0]["alg"] != "RS256" || len(set) != 4 {
		t.Errorf("the set has %d keys and begins with %v", len(set), set[0]["alg"])
	}
	if len(s.rows[tenant]) != 6 {
		t.Errorf("%d keys were stored", len(s.rows[tenant]))
	}
	for _, row := range s.rows[tenant] {
		if !row.CreatedAt.Equal(s.now) || !row.PublishAt.Equal(s.now) || !row.SignFrom.Equal(s.now) || !row.SignUntil.IsZero() || !row.RemoveAt.IsZero() {
			t.Errorf("times of %+v", row)
		}
		if (row.Purpose == gatehouse.KeySign) != (row.NumericID == 0) {
			t.Errorf("number of %s: %d", row.ID, row.NumericID)
		}
	}
	keys.MACRing(tenant, "x").Current()
	keys.SealRing(tenant, "x").Current()
}

// TestTwoFirstStartsEndWithTheSameKeys loads at the same moment through two
// keyrings and two connections to one database.
func TestTwoFirstStartsEndWithTheSameKeys(t *testing.T) {
	path, kek := filepath.Join(t.TempDir(), "gatehouse.db"), newKEK(t)
	var rings [2]*keyring.Keyring
	var ready, done sync.WaitGroup
	ready.Add(len(rings))
	for i := range rings {
		s, err := store.Open(t.Context(), store.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		done.Go(func() {
			keys, err := keyring.Open(t.Context(), s, kek)
			ready.Done()
			ready.Wait()
			if err == nil {
				err = keys.Load(t.Context(), tenant)
			}
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = keys
		})
	}
	done.Wait()
	if t.Failed() {
		return
	}
	if string(jwksOf(rings[0], tenant)) != string(jwksOf(rings[1], tenant)) {
		t.Errorf("two key sets:\n%s\n%s", jwksOf(rings[0], tenant), jwksOf(rings[1], tenant))
	}
	sealed := rings[0].SealRing(tenant, "x").Seal([]byte("text"), nil)
	if text, opened := rings[1].SealRing(tenant, "x").Open(sealed, nil); !opened || string(text) != "text" {
		t.Error("what one seals the other does not open")
	}
	if !rings[1].MACRing(tenant, "x").VerifyMAC(rings[0].MACRing(tenant, "x").Current().MAC([]byte("a")), []byte("a")) {
		t.Error("the MAC of one is none to the other")
	}
}

func TestReopeningSignsWithTheSameKeys(t *testing.T) {
	path, kek := filepath.Join(t.TempDir(), "gatehouse.db"), newKEK(t)
	var before *keyring.Keyring
	for range 2 {
		s, err := store.Open(t.Context(), store.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		keys := load(t, s, kek)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if before == nil {
			before = keys
			continue
		}
		signer, _ := before.Signer(tenant, jose.ES256)
		signed, err := signer.Sign("at+jwt", []byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		found, err := keys.Verifiers(tenant).Keys(t.Context(), signer.ID(), jose.ES256)
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		parsed, err := jose.Parse(signed, jose.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(found[0]); err != nil {
			t.Error(err)
		}
		if string(jwksOf(before, tenant)) != string(jwksOf(keys, tenant)) {
			t.Error("the key set is another")
		}
	}
}

func TestTwoInstallationsShareNoKey(t *testing.T) {
	spec.Covers(t, "JW-26", "RFC8725-3.5-1")
	seen := map[string]bool{}
	for range 2 {
		s := newShelf()
		kek := newKEK(t)
		keys := load(t, s, kek)
		secrets := []string{kek.String()}
		for _, key := range published(t, keys) {
			secrets = append(secrets, key["kid"].(string), fmt.Sprint(key["n"], key["x"]))
		}
		for _, ring := range []*seal.Ring{keys.MACRing(tenant, "x"), keys.SealRing(tenant, "x")} {
			secrets = append(secrets, string(ring.Current().MAC([]byte("same"))))
		}
		for _, secret := range secrets {
			if seen[secret] {
				t.Errorf("both have %q", secret)
			}
			seen[secret] = true
		}
	}
}

func TestAnotherKeyEncryptionKeyIsRefused(t *testing.T) {
	s, right, wrong := newShelf(), newKEK(t), newKEK(t)
	load(t, s, right)
	_, err := keyring.Open(t.Context(), s, wrong)
	if err == nil {
		t.Fatal("opened with a foreign key")
	}
	for _, id := range []uint32{right.ID, wrong.ID} {
		if !strings.Contains(err.Error(), fmt.Sprintf("%08x", id)) {
			t.Errorf("%v does not name %08x", err, id)
		}
	}
	load(t, s, right)
	s.kek.Canary[len(s.kek.Canary)-1] ^= 1
	if _, err := keyring.Open(t.Context(), s, right); err == nil || !strings.Contains(err.Error(), "altered") {
		t.Errorf("an altered record: %v", err)
	}
}

func TestAlteredKeysAreRefused(t *testing.T) {
	s, kek := newShelf(), newKEK(t)
	keys := load(t, s, kek, "blue")
	for name, alter := range map[string]func(*gatehouse.StoredKey){
		"sealed text":      func(k *gatehouse.StoredKey) { k.Sealed[len(k.Sealed)-1] ^= 1 },
		"cut off":          func(k *gatehouse.StoredKey) { k.Sealed = k.Sealed[:10] },
		"other id":         func(k *gatehouse.StoredKey) { k.ID += "x" },
		"other purpose":    func(k *gatehouse.StoredKey) { k.Purpose = gatehouse.KeyMAC },
		"another tenant's": func(k *gatehouse.StoredKey) { k.Sealed = s.rows["blue"][0].Sealed },
	} {
		t.Run(name, func(t *testing.T) {
			row := s.row(t, gatehouse.KeySign, jose.RS256)
			before := *row
			row.Sealed = slices.Clone(row.Sealed)
			alter(row)
			err := keys.Load(t.Context(), tenant)
			if err == nil || !strings.Contains(err.Error(), row.ID) || !strings.Contains(err.Error(), string(tenant)) {
				t.Errorf("%v", err)
			}
			*row = before
			if err := keys.Load(t.Context(), tenant); err != nil {
				t.Errorf("put back: %v", err)
			}
		})
	}
}

func TestDerivedKeysDifferByPurposeAndTenant(t *testing.T) {
	keys := load(t, newShelf(), newKEK(t), "blue")
	seen := map[string]string{}
	for _, id := range []gatehouse.TenantID{tenant, "blue"} {
		for _, purpose := range []string{"grant", "interaction"} {
			for kind, ring := range map[string]*seal.Ring{"mac": keys.MACRing(id, purpose), "seal": keys.SealRing(id, purpose)} {
				name := fmt.Sprint(kind, " ", id, " ", purpose)
				tag := string(ring.Current().MAC([]byte("same")))
				if other, taken := seen[tag]; taken {
					t.Errorf("%s and %s are one key", name, other)
				}
				seen[tag] = name
			}
		}
	}
	once := keys.MACRing(tenant, "grant")
	if again := keys.MACRing(tenant, "grant"); once != again {
		t.Error("the same ring is derived twice")
	}
}

func TestTenantThatWasNotLoadedPanics(t *testing.T) {
	keys := load(t, newShelf(), newKEK(t))
	for name, ask := range map[string]func(){
		"signer": func() { keys.Signer("green", jose.RS256) },
		"jwks":   func() { keys.JWKS("green") },
		"mac":    func() { keys.MACRing("green", "x") },
	} {
		func() {
			defer func() {
				if cause := recover(); cause == nil || !strings.Contains(fmt.Sprint(cause), "green") {
					t.Errorf("%s: %v", name, cause)
				}
			}()
			ask()
		}()
	}
}

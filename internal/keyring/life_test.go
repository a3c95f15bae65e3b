package keyring_test

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/keyring"
	"gatehouse/internal/spec"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/jose"
)

const day = 24 * time.Hour

// keySet is a key set as a client keeps it.
type keySet map[string]jose.PublicKey

func fetch(t *testing.T, keys *keyring.Keyring) keySet {
	t.Helper()
	parsed, err := jose.ParseKeySet(jwksOf(keys, tenant))
	if err != nil {
		t.Fatal(err)
	}
	set := keySet{}
	for _, key := range parsed.Keys {
		set[key.ID] = key
	}
	return set
}

func (s keySet) verifies(t *testing.T, token string) bool {
	t.Helper()
	parsed, err := jose.Parse(token, jose.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	key, known := s[parsed.Header.KeyID]
	if !known {
		return false
	}
	_, err = parsed.Verify(key)
	return err == nil
}

// made is something that a key made and that is good until a time.
type made struct {
	until time.Time
	check func(replica *keyring.Keyring) error
}

func sign(t *testing.T, by *keyring.Keyring, algorithm jose.Algorithm) string {
	t.Helper()
	signer, found := by.Signer(tenant, algorithm)
	if !found {
		t.Fatalf("at %v nothing signs by %s", time.Now(), algorithm)
	}
	token, err := signer.Sign("at+jwt", []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// things are one of each kind that keys make: signed by every algorithm,
// vouched for, sealed.
func things(t *testing.T, by *keyring.Keyring) []made {
	now := time.Now()
	var all []made
	for _, algorithm := range keyring.Algorithms() {
		token := sign(t, by, algorithm)
		all = append(all, made{now.Add(day), func(replica *keyring.Keyring) error {
			if !fetch(t, replica).verifies(t, token) {
				return errors.New(string(algorithm) + " signature")
			}
			return nil
		}})
	}
	mac := by.MACRing(tenant, "grant").Current()
	tag := mac.MAC([]byte("refresh"))
	all = append(all, made{now.Add(90 * day), func(replica *keyring.Keyring) error {
		if key, found := replica.MACRing(tenant, "grant").Key(mac.ID); !found || !hmac.Equal(key.MAC([]byte("refresh")), tag) {
			return errors.New("refresh token")
		}
		return nil
	}})
	sealed := by.SealRing(tenant, "interaction").Seal([]byte("state"), nil)
	return append(all, made{now.Add(day), func(replica *keyring.Keyring) error {
		if _, opened := replica.SealRing(tenant, "interaction").Open(sealed, nil); !opened {
			return errors.New("interaction")
		}
		return nil
	}})
}

// TestAYearOfRotations lets two replicas live for a year that is ticked
// irregularly, with a server that is down for weeks, and keeps trying what they
// made: everything is good until its expiry, at either replica and by every
// key set that a client may still keep.
func TestAYearOfRotations(t *testing.T) {
	spec.Covers(t, "OIDCC-10.1.1-2", "FT-25")
	synctest.Test(t, func(t *testing.T) {
		s, kek := newShelf(), newKEK(t)
		s.clock = func() time.Time { return time.Now().UTC() }
		s.settings = gatehouse.Settings{KeyRotation: config.Duration(30 * day)}
		replicas := []*keyring.Keyring{load(t, s, kek), load(t, s, kek)}
		random := rand.New(rand.NewPCG(1, 2))
		one := func() *keyring.Keyring { return replicas[random.IntN(2)] }
		start, used := time.Now(), map[string]bool{}
		var living []made
		for step := 0; time.Since(start) < 380*day; step++ {
			switch {
			case step%97 == 96:
				time.Sleep(time.Duration(random.Int64N(int64(12 * day)))) // the servers are down
			default:
				time.Sleep(time.Duration(random.Int64N(int64(9 * time.Hour))))
			}
			for _, replica := range replicas {
				if err := replica.Follow(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for range random.IntN(3) {
				if _, err := one().Tick(t.Context(), tenant); err != nil {
					t.Fatal(err)
				}
			}
			kept := fetch(t, one())
			time.Sleep(time.Duration(random.Int64N(int64(keyring.CacheTime))))
			for _, replica := range replicas {
				for _, algorithm := range []jose.Algorithm{jose.ES256, jose.EdDSA} {
					token := sign(t, replica, algorithm)
					used[token[:60]] = true
					if !kept.verifies(t, token) {
						t.Fatalf("at %v a client that keeps its key set refuses a new token", time.Since(start))
					}
				}
			}
			if step%24 == 0 {
				living = append(living, things(t, one())...)
			}
			living = slices.DeleteFunc(living, func(thing made) bool { return !time.Now().Before(thing.until) })
			for _, thing := range living {
				if err := thing.check(one()); err != nil {
					t.Fatalf("after %v, %v before its expiry: %v", time.Since(start), time.Until(thing.until), err)
				}
			}
		}
		if s.changes < 6*10 || len(s.rows[tenant]) > 6*5 {
			t.Errorf("%d changes left %d keys", s.changes, len(s.rows[tenant]))
		}
		if len(used) < 2*10 {
			t.Errorf("only %d keys signed", len(used))
		}
	})
}

// TestRunningServersRotate runs two replicas over an hour in which everything
// is due, with many who sign and verify all the while.
func TestRunningServersRotate(t *testing.T) {
	s, kek := newShelf(), newKEK(t)
	synctest.Test(t, func(t *testing.T) {
		s.clock = func() time.Time { return time.Now().UTC() }
		replicas := []*keyring.Keyring{load(t, s, kek), load(t, s, kek)}
		time.Sleep(90*day - 90*time.Minute)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, replica := range replicas {
			running.Go(func() { replica.Run(ctx, slog.New(slog.DiscardHandler)) })
		}
		signers, planned := sync.Map{}, atomic.Bool{}
		planned.Store(true)
		var tries atomic.Int64
		for i := range 8 {
			running.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 3))
				for ctx.Err() == nil {
					kept := fetch(t, replicas[random.IntN(2)])
					time.Sleep(time.Duration(random.Int64N(int64(2 * time.Minute))))
					by := replicas[random.IntN(2)]
					token := sign(t, by, jose.ES256)
					signer, _ := by.Signer(tenant, jose.ES256)
					signers.Store(signer.ID(), true)
					if planned.Load() && !kept.verifies(t, token) || !fetch(t, replicas[random.IntN(2)]).verifies(t, token) {
						t.Errorf("%s is refused", signer.ID())
						return
					}
					tries.Add(1)
				}
			})
		}
		time.Sleep(3 * time.Hour)
		if len(s.rows[tenant]) != 12 {
			t.Errorf("%d keys after the planned rotation", len(s.rows[tenant]))
		}
		planned.Store(false) // who keeps an older key set reads it again
		command := load(t, s, kek)
		if _, err := command.Rotate(t.Context(), tenant, keyring.Rotation{Now: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		stop()
		running.Wait()
		count := 0
		signers.Range(func(any, any) bool { count++; return true })
		if count != 3 || tries.Load() < 1500 {
			t.Errorf("%d keys signed %d tokens", count, tries.Load())
		}
	})
}

// TestTwoReplicasMakeOneKey has two keyrings plan at the same moment, on two
// connections to one database.
func TestTwoReplicasMakeOneKey(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		oneKeyOf(t, store.Config{Path: filepath.Join(t.TempDir(), "gatehouse.db")})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		oneKeyOf(t, store.Config{URL: postgrestest.Schema(t)})
	})
}

func oneKeyOf(t *testing.T, place store.Config) {
	kek := newKEK(t)
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	place.Clock = clock
	var replicas []*keyring.Keyring
	for range 3 {
		s, err := store.Open(t.Context(), place)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		replicas = append(replicas, load(t, s, kek))
	}
	ahead.Store(int64(90*day - 30*time.Minute))
	var made atomic.Int64
	var ready, done sync.WaitGroup
	ready.Add(len(replicas))
	for _, replica := range replicas {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			steps, err := replica.Tick(t.Context(), tenant)
			if err != nil {
				t.Error(err)
			}
			made.Add(int64(len(steps)))
		})
	}
	done.Wait()
	if made.Load() != 6 {
		t.Errorf("%d keys were made", made.Load())
	}
	for _, replica := range replicas {
		if err := replica.Follow(t.Context()); err != nil {
			t.Error(err)
		}
		if set := fetch(t, replica); len(set) != 8 || string(jwksOf(replica, tenant)) != string(jwksOf(replicas[0], tenant)) {
			t.Errorf("a replica knows %d keys", len(set))
		}
	}
}

// TestRevocation takes the key that signs out of use, at a replica that only
// follows, too.
func TestRevocation(t *testing.T) {
	s, kek := newShelf(), newKEK(t)
	replica, command := load(t, s, kek), load(t, s, kek)
	signer, _ := replica.Signer(tenant, jose.ES256)
	token := sign(t, replica, jose.ES256)
	if cacheTimeOf(replica, tenant) != 5*time.Minute {
		t.Errorf("the key set may be kept for %v", cacheTimeOf(replica, tenant))
	}
	s.now = s.now.Add(time.Minute)
	revoked, found, err := command.Revoke(t.Context(), tenant, signer.ID(), "cli")
	if err != nil || !found || revoked.Again || revoked.Key.ID != signer.ID() || revoked.Successor.ID == "" {
		t.Fatalf("%+v, %v, %v", revoked, found, err)
	}
	if err := replica.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, keys := range []*keyring.Keyring{replica, command} {
		next, _ := keys.Signer(tenant, jose.ES256)
		if next.ID() != revoked.Successor.ID {
			t.Errorf("%s signs", next.ID())
		}
		if fetch(t, keys).verifies(t, token) || !fetch(t, keys).verifies(t, sign(t, keys, jose.ES256)) {
			t.Error("the key set is wrong")
		}
		if cacheTimeOf(keys, tenant) != time.Minute {
			t.Errorf("the key set may be kept for %v", cacheTimeOf(keys, tenant))
		}
	}
	if !slices.Equal(s.ended, []string{signer.ID()}) {
		t.Errorf("ended: %v", s.ended)
	}
	if again, found, err := command.Revoke(t.Context(), tenant, signer.ID(), "cli"); err != nil || !found || !again.Again {
		t.Errorf("again: %+v, %v, %v", again, found, err)
	}
	if _, found, err := command.Revoke(t.Context(), tenant, "nothing", "cli"); err != nil || found {
		t.Errorf("an unknown key: %v, %v", found, err)
	}
	s.now = s.now.Add(day)
	if cacheTimeOf(replica, tenant) != 5*time.Minute {
		t.Error("the cache time stays short")
	}

	// A key that waits is taken, and one that was only kept needs no other.
	turns, err := command.Rotate(t.Context(), tenant, keyring.Rotation{Algorithm: jose.ES256})
	if err != nil || len(turns) != 1 || !turns[0].Made {
		t.Fatalf("%+v, %v", turns, err)
	}
	old := revoked.Successor.ID
	revoked, _, err = command.Revoke(t.Context(), tenant, old, "cli")
	if err != nil || revoked.Successor.ID != turns[0].Next.ID {
		t.Errorf("%+v, %v", revoked, err)
	}
}

func TestUnreadableKeysMakeAServerUnready(t *testing.T) {
	s, kek := newShelf(), newKEK(t)
	keys := load(t, s, kek)
	if err := keys.Ready(); err != nil {
		t.Errorf("before it follows: %v", err)
	}
	if err := keys.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.fails = errors.New("away")
	s.now = s.now.Add(29 * time.Minute)
	if err := keys.Follow(t.Context()); !errors.Is(err, s.fails) {
		t.Errorf("it follows: %v", err)
	}
	if err := keys.Ready(); err != nil {
		t.Errorf("after 29 minutes: %v", err)
	}
	s.now = s.now.Add(2 * time.Minute)
	if err := keys.Ready(); !errors.Is(err, keyring.ErrStale) {
		t.Errorf("after 31 minutes: %v", err)
	}
	sign(t, keys, jose.ES256)
	s.fails = nil
	if err := errors.Join(keys.Follow(t.Context()), keys.Ready()); err != nil {
		t.Error(err)
	}
}

func TestATenantsDamagedKeysAreItsOwnAffair(t *testing.T) {
	s, kek := newShelf(), newKEK(t)
	keys := load(t, s, kek, "blue")
	if err := keys.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	sealed := s.rows["blue"][0].Sealed
	s.rows["blue"][0].Sealed = []byte("damaged")
	s.changes++
	if err := keys.Follow(t.Context()); err == nil || !strings.Contains(err.Error(), "blue") {
		t.Errorf("nobody is told: %v", err)
	}
	if err := keys.Follow(t.Context()); err != nil {
		t.Errorf("told again, although nothing has changed: %v", err)
	}
	s.now = s.now.Add(31 * time.Minute)
	if err := keys.Follow(t.Context()); err == nil {
		t.Error("nobody is told again, after half an hour")
	}
	if err := keys.Ready(); err != nil {
		t.Errorf("it makes the server unready: %v", err)
	}
	s.rows["blue"][0].Sealed = sealed
	s.changes++
	if err := keys.Follow(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestUnknownKeysTriggerNothing opens what no key here made: nothing is read.
func TestUnknownKeysTriggerNothing(t *testing.T) {
	spec.Covers(t, "JW-17")
	s, kek := newShelf(), newKEK(t)
	keys := load(t, s, kek)
	s.fails = fmt.Errorf("the store was asked")
	foreign := load(t, newShelf(), newKEK(t))
	sealed := foreign.SealRing(tenant, "interaction").Seal([]byte("state"), nil)
	if _, opened := keys.SealRing(tenant, "interaction").Open(sealed, nil); opened {
		t.Error("a foreign state is opened")
	}
	if _, found := keys.MACRing(tenant, "grant").Key(foreign.MACRing(tenant, "grant").Current().ID); found {
		t.Error("a foreign key is known")
	}
	if found, err := keys.Verifiers(tenant).Keys(t.Context(), "foreign", jose.ES256); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}

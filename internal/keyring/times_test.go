package keyring_test

import (
	"slices"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/keyring"
	"gatehouse/internal/seal"
	"gatehouse/jose"
)

// twoGenerations returns a shelf with two sets of keys under one
// key-encryption key: the older one signs from the shelf's time, the younger
// is changed by plan.
func twoGenerations(t *testing.T, plan func(now time.Time, older, younger *gatehouse.StoredKey)) (*shelf, seal.Key) {
	t.Helper()
	s, kek := newShelf(), newKEK(t)
	load(t, s, kek)
	other := newShelf()
	load(t, other, kek)
	rows := s.rows[tenant]
	for i := range rows {
		younger := other.rows[tenant][i]
		plan(s.now, &rows[i], &younger)
		rows = append(rows, younger)
	}
	s.rows[tenant] = rows
	return s, kek
}

func TestTimesOfSigningKeys(t *testing.T) {
	s, kek := twoGenerations(t, func(now time.Time, older, younger *gatehouse.StoredKey) {
		younger.PublishAt, younger.SignFrom = now.Add(time.Hour), now.Add(2*time.Hour)
		older.SignUntil, older.RemoveAt = now.Add(3*time.Hour), now.Add(4*time.Hour)
	})
	older, younger := s.row(t, gatehouse.KeySign, jose.ES256).ID, ""
	for _, row := range s.rows[tenant] {
		if row.Algorithm == "ES256" && row.ID != older {
			younger = row.ID
		}
	}
	begin := s.now
	for _, c := range []struct {
		after     time.Duration
		signs     string
		published []string
	}{
		{0, older, []string{older}},
		{time.Hour - 1, older, []string{older}},
		{time.Hour, older, []string{older, younger}},
		{2 * time.Hour, younger, []string{older, younger}},
		{3 * time.Hour, younger, []string{older, younger}},
		{4 * time.Hour, younger, []string{younger}},
	} {
		s.now = begin.Add(c.after)
		keys := load(t, s, kek)
		if signer, found := keys.Signer(tenant, jose.ES256); !found || signer.ID() != c.signs {
			t.Errorf("after %v: %v signs", c.after, signer)
		}
		set := kids(t, keys)
		for _, id := range []string{older, younger} {
			candidates, err := keys.Verifiers(tenant).Keys(t.Context(), id, jose.ES256)
			if err != nil {
				t.Fatal(err)
			}
			if want := slices.Contains(c.published, id); want != slices.Contains(set, id) || want != (len(candidates) == 1) {
				t.Errorf("after %v: %s published %v, verifies by %d", c.after, id, slices.Contains(set, id), len(candidates))
			}
		}
	}
}

func TestNobodySignsAfterTheEnd(t *testing.T) {
	s, kek := newShelf(), newKEK(t)
	load(t, s, kek)
	s.row(t, gatehouse.KeySign, jose.EdDSA).SignUntil = s.now.Add(time.Second)
	s.now = s.now.Add(time.Second)
	keys := load(t, s, kek)
	if signer, found := keys.Signer(tenant, jose.EdDSA); found {
		t.Errorf("%v signs", signer)
	}
	if len(kids(t, keys)) != 4 {
		t.Error("it verifies no longer")
	}
	if _, found := keys.Signer(tenant, jose.RS256); !found {
		t.Error("RS256 signs no longer")
	}
}

func TestRevokedKeyIsGone(t *testing.T) {
	s, kek := twoGenerations(t, func(time.Time, *gatehouse.StoredKey, *gatehouse.StoredKey) {})
	row := s.row(t, gatehouse.KeySign, jose.RS256)
	row.RevokedAt = s.now
	keys := load(t, s, kek)
	if signer, found := keys.Signer(tenant, jose.RS256); !found || signer.ID() == row.ID {
		t.Errorf("%v signs", signer)
	}
	if slices.Contains(kids(t, keys), row.ID) || len(kids(t, keys)) != 7 {
		t.Errorf("published: %v", kids(t, keys))
	}
}

// A root that is planned is known before anybody uses it, and one that is no
// longer in use still reads.
func TestTimesOfRoots(t *testing.T) {
	s, kek := twoGenerations(t, func(now time.Time, older, younger *gatehouse.StoredKey) {
		younger.SignFrom = now.Add(time.Hour)
		older.SignUntil, older.RemoveAt = now.Add(time.Hour), now.Add(2*time.Hour)
	})
	begin := load(t, s, kek)
	tag := begin.MACRing(tenant, "x").Current().MAC([]byte("a"))
	sealed := begin.SealRing(tenant, "x").Seal([]byte("text"), nil)
	older := begin.MACRing(tenant, "x").Current().ID
	if older != s.row(t, gatehouse.KeyMAC, "").NumericID {
		t.Error("a planned root is used before its time")
	}

	s.now = s.now.Add(time.Hour)
	next := load(t, s, kek)
	for name, keys := range map[string]*keyring.Keyring{"loaded now": next, "loaded before": begin} {
		if keys.MACRing(tenant, "x").Current().ID == older {
			t.Errorf("%s: the next root is not used at its time", name)
		}
	}
	if text, opened := next.SealRing(tenant, "x").Open(sealed, nil); !opened || string(text) != "text" || !next.MACRing(tenant, "x").VerifyMAC(tag, []byte("a")) {
		t.Error("the former root does not read any more")
	}
	early := next.SealRing(tenant, "x").Seal([]byte("text"), nil)
	if _, opened := begin.SealRing(tenant, "x").Open(early, nil); !opened {
		t.Error("a replica that is behind does not know the next root")
	}

	s.now = s.now.Add(time.Hour)
	last := load(t, s, kek)
	if _, opened := last.SealRing(tenant, "x").Open(sealed, nil); opened || last.MACRing(tenant, "x").VerifyMAC(tag, []byte("a")) {
		t.Error("a removed root still reads")
	}
}

func TestTenantWithoutRootsIsRefused(t *testing.T) {
	for _, purpose := range []gatehouse.KeyPurpose{gatehouse.KeyMAC, gatehouse.KeySeal} {
		s, kek := newShelf(), newKEK(t)
		keys := load(t, s, kek)
		s.row(t, purpose, "").RevokedAt = s.now
		if err := keys.Load(t.Context(), tenant); err == nil {
			t.Errorf("loaded without a key for %s", purpose)
		}
	}
}

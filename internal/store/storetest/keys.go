package storetest

import (
	"fmt"
	"testing"
	"time"

	"gatehouse"
)

// keyActs are the acts on the key that furnishBoth gave.
func keyActs() map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error {
	first := gatehouse.StoredKey{ID: "k1", Purpose: gatehouse.KeySign}
	return map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error{
		"AddSuccessor": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.AddSuccessor(s.Context(), tenant, gatehouse.StoredKey{ID: "k2", Purpose: gatehouse.KeySign, Generation: 1, PublishAt: s.Now(), SignFrom: s.Now()}, byCLI))
		},
		"ChangeKeyTimes": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			becomes := first
			becomes.SignUntil = s.Now()
			return did(s.ChangeKeyTimes(s.Context(), tenant, first, becomes, byCLI))
		},
		"RemoveKey": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			becomes := first
			becomes.RemoveAt = s.Now()
			if err := did(s.ChangeKeyTimes(s.Context(), tenant, first, becomes, byCLI)); err != nil {
				return err
			}
			return did(s.RemoveKey(s.Context(), tenant, becomes, byCLI))
		},
		"RevokeKey": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.RevokeKey(s.Context(), tenant, gatehouse.KeyRevocation{Key: first, Until: s.Now().Add(access)}, byCLI))
		},
		"EndEverything": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			done, err := s.EndEverything(s.Context(), tenant, byCLI)
			return did(done.Grants > 0, err)
		},
	}
}

func keyLife(t *testing.T, open Open) {
	s := setUp(t, open)
	ctx := t.Context()
	changes := func() int64 {
		t.Helper()
		count, err := s.KeyChanges(ctx)
		s.ok(err)
		return count
	}
	stored := func(id string) (key gatehouse.StoredKey) {
		t.Helper()
		keys, err := s.Keys(ctx, tenant)
		s.ok(err)
		for _, k := range keys {
			if k.ID == id {
				key = k
			}
		}
		return key
	}
	first := gatehouse.StoredKey{ID: "k0", Purpose: gatehouse.KeySign, Algorithm: "ES256", Sealed: []byte("0"), CreatedAt: s.Now(), PublishAt: s.Now(), SignFrom: s.Now()}
	is(t, true)(s.AddKeys(ctx, tenant, []gatehouse.StoredKey{first}, true))
	before := changes()

	// Of many successors there is one.
	born := race(t, func(racer int) (bool, error) {
		return s.AddSuccessor(ctx, tenant, gatehouse.StoredKey{
			ID: fmt.Sprint("next-", racer), Purpose: gatehouse.KeySign, Algorithm: "ES256", Generation: 1, PublishAt: s.Now(), SignFrom: s.Now().Add(time.Hour),
		}, byCLI)
	})
	if born[true] != 1 {
		t.Fatalf("%d successors were stored", born[true])
	}
	if after := changes(); after != before+1 {
		t.Errorf("the counter went from %d to %d", before, after)
	}
	// Another algorithm is another line; a key that took long to make waits as long all the same.
	s.clock.Move(10 * time.Minute)
	late := gatehouse.StoredKey{ID: "late", Purpose: gatehouse.KeySign, Algorithm: "RS256", Generation: 1, PublishAt: s.Now().Add(-10 * time.Minute), SignFrom: s.Now().Add(50 * time.Minute)}
	is(t, true)(s.AddSuccessor(ctx, tenant, late, byCLI))
	if got := stored("late"); !got.PublishAt.Equal(s.Now()) || !got.SignFrom.Equal(s.Now().Add(time.Hour)) || got.Generation != 1 {
		t.Errorf("the late one is %+v", got)
	}

	// Times change only from what they were.
	first = stored("k0")
	stopped := first
	stopped.SignUntil, stopped.RemoveAt = s.Now(), s.Now().Add(time.Hour)
	is(t, true)(s.ChangeKeyTimes(ctx, tenant, first, stopped, byCLI))
	is(t, false)(s.ChangeKeyTimes(ctx, tenant, first, stopped, byCLI))
	same(t, stopped, stored("k0"))
	is(t, false)(s.RemoveKey(ctx, tenant, stopped, byCLI))
	s.clock.Move(time.Hour)
	is(t, true)(s.RemoveKey(ctx, tenant, stopped, byCLI))
	is(t, false)(s.RemoveKey(ctx, tenant, stopped, byCLI))
	is(t, "")(stored("k0").ID, nil)

	// A revoked key ends its tokens; all or nothing is done.
	token := gatehouse.TokenFacts{ID: "jti", KeyID: "late", IssuedAt: s.Now().Add(time.Hour)}
	is(t, false)(s.TokenEnded(ctx, tenant, token))
	taken := stored("late")
	revocation := gatehouse.KeyRevocation{Key: taken, Until: s.Now().Add(48 * time.Hour), Replacement: &gatehouse.StoredKey{ID: "late-2", Purpose: gatehouse.KeySign, Algorithm: "RS256", Generation: 1, PublishAt: s.Now(), SignFrom: s.Now()}}
	is(t, false)(s.RevokeKey(ctx, tenant, revocation, byCLI))
	if got := stored("late"); !got.RevokedAt.IsZero() {
		t.Error("it was revoked without its replacement")
	}
	is(t, false)(s.TokenEnded(ctx, tenant, token))
	revocation.Replacement.Generation = 2
	is(t, true)(s.RevokeKey(ctx, tenant, revocation, byCLI))
	is(t, false)(s.RevokeKey(ctx, tenant, revocation, byCLI))
	if got := stored("late"); !got.RevokedAt.Equal(s.Now()) || !got.RemoveAt.Equal(s.Now().Add(48*time.Hour)) || !got.SignUntil.Equal(s.Now()) {
		t.Errorf("the revoked one is %+v", got)
	}
	is(t, true)(s.TokenEnded(ctx, tenant, token))
	token.KeyID = "late-2"
	is(t, false)(s.TokenEnded(ctx, tenant, token))
	is(t, 1)(len(s.events(gatehouse.EventKeyRevoked)), nil)
	is(t, 1)(len(s.events(gatehouse.EventKeyRemoved)), nil)
	is(t, 1)(len(s.events(gatehouse.EventKeyPlanned)), nil)
}

func restoring(t *testing.T, open Open) {
	s := setUp(t, open)
	ctx := t.Context()
	is(t, true)(s.AddKeys(ctx, tenant, []gatehouse.StoredKey{{ID: "k1", Purpose: gatehouse.KeySign}}, true))
	is(t, true)(s.AddKeys(ctx, stranger, []gatehouse.StoredKey{{ID: "k1", Purpose: gatehouse.KeySign}}, true))
	tenants, err := s.EachTenant(ctx)
	s.ok(err)
	same(t, []gatehouse.TenantID{tenant, stranger}, tenants)

	grant := s.redeemed("openid", "offline_access")
	unknown := gatehouse.TokenFacts{Handle: "born after the backup", ID: "jti", IssuedAt: s.Now()}
	is(t, false)(s.TokenEnded(ctx, tenant, unknown))
	events, err := s.Events(ctx, tenant, gatehouse.EventFilter{Limit: 1, Latest: true})
	s.ok(err)
	s.ok(s.AdvanceAfterRestore(ctx))
	done, err := s.EndEverything(ctx, tenant, byCLI)
	s.ok(err)
	same(t, gatehouse.Restored{Grants: 1, Sessions: 1}, done)
	told := s.events(gatehouse.EventRestored)
	if len(told) != 1 || told[0].Seq < events[0].Seq+1_000_000_000 {
		t.Errorf("after %d came %+v", events[0].Seq, told)
	}
	is(t, true)(s.TokenEnded(ctx, tenant, unknown))
	is(t, false)(s.TokenEnded(ctx, stranger, unknown))
	is(t, false)(s.alive(sessionID, 0), nil)
	rotated, err := s.RotateRefresh(ctx, tenant, s.rotation(grant, 1, ""))
	is(t, gatehouse.RotateEnded)(rotated.Outcome, err)
	s.clock.Move(2 * time.Second)
	unknown.IssuedAt = s.Now()
	is(t, false)(s.TokenEnded(ctx, tenant, unknown))
	done, err = s.EndEverything(ctx, tenant, byCLI)
	s.ok(err)
	same(t, gatehouse.Restored{}, done)
}

package keyring

import (
	"context"
	"fmt"
	"time"

	"gatehouse"
	"gatehouse/jose"
)

// Rotation is what an operator asks for beside the plan.
type Rotation struct {
	// Algorithm of the signing key to rotate; "" rotates all lines.
	Algorithm jose.Algorithm
	// OnlyMAC rotates the MAC root alone.
	OnlyMAC bool
	// Now shortens the waiting to the time in which running servers read the
	// new key and, of a signing key, verifiers that do not know it may read the
	// key set again. Those that do not may refuse its signatures for as long as
	// they keep an older one.
	Now   bool
	Actor string
}

// Turn is what became of one line.
type Turn struct {
	// Next is the key that takes over at its SignFrom.
	Next gatehouse.StoredKey
	// Made says that it is new; else it was published before.
	Made bool
}

// Rotate gives each line that is asked for a successor, or hastens the one
// that it has.
func (k *Keyring) Rotate(ctx context.Context, tenant gatehouse.TenantID, asked Rotation) ([]Turn, error) {
	if err := k.reload(ctx, tenant); err != nil {
		return nil, err
	}
	policy, err := k.policy(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var turns []Turn
	for _, line := range policy.lines() {
		if asked.Algorithm != "" && line.algorithm != string(asked.Algorithm) || asked.OnlyMAC && line.purpose != gatehouse.KeyMAC {
			continue
		}
		turn, err := k.turn(ctx, tenant, line, policy, asked)
		if err != nil {
			return turns, err
		}
		turns = append(turns, turn)
	}
	if err := k.reload(ctx, tenant); err != nil {
		return turns, err
	}
	for i := range turns {
		turns[i].Next = k.asStored(tenant, turns[i].Next)
	}
	return turns, nil
}

// asStored returns a key with the times that it was stored with.
func (k *Keyring) asStored(tenant gatehouse.TenantID, key gatehouse.StoredKey) gatehouse.StoredKey {
	for _, row := range k.loaded(tenant).rows {
		if row.ID == key.ID && row.Purpose == key.Purpose {
			return row
		}
	}
	return key
}

// turn repeats what another one was quicker with.
func (k *Keyring) turn(ctx context.Context, tenant gatehouse.TenantID, of line, policy Policy, asked Rotation) (Turn, error) {
	for range maxSteps {
		keys := ofLine(k.loaded(tenant).rows, of)
		step, waiting := planTurn(of, keys, k.store.Now(), policy, asked.Now)
		if waiting.ID != "" {
			return Turn{Next: waiting}, nil
		}
		done, err := k.carryOut(ctx, tenant, &step, asked.Actor)
		if err != nil {
			return Turn{}, err
		}
		if done {
			return Turn{Next: step.Key, Made: step.Do == Make}, nil
		}
		if err := k.reload(ctx, tenant); err != nil {
			return Turn{}, err
		}
	}
	return Turn{}, fmt.Errorf("the keys of tenant %s are being changed by others; try again", tenant)
}

// planTurn returns the step that rotates a line, or the key that waits to
// take over and needs none.
func planTurn(of line, keys []gatehouse.StoredKey, now time.Time, policy Policy, atOnce bool) (Step, gatehouse.StoredKey) {
	waiting, waits := waitingOf(keys, now)
	switch {
	case !waits && !atOnce:
		return makeNext(of, keys, now, now.Add(policy.Wait)), gatehouse.StoredKey{}
	case !waits:
		return makeNext(of, keys, now, now.Add(lead(of))), gatehouse.StoredKey{}
	case atOnce:
		soonest := later(now.Add(spread), waiting.PublishAt.Add(lead(of)))
		if waiting.SignFrom.After(soonest) {
			return hasten(waiting, soonest), gatehouse.StoredKey{}
		}
	}
	return Step{}, waiting
}

// lead is how long a key is published at least before it is used, but for
// emergencies.
func lead(of line) time.Duration {
	if of.purpose == gatehouse.KeySign {
		return spread + askAgain
	}
	return spread
}

// Revoked is what became of a revoked key.
type Revoked struct {
	Key gatehouse.StoredKey
	// Successor signs in its place; zero if the key was not in use.
	Successor gatehouse.StoredKey
	// Again says that it was revoked before; nothing was done.
	Again bool
}

// Revoke takes the key out of use and out of the key set at once, and has
// another sign at once if it was the one that does. Tokens that it signed are
// ended. found is false if there is no such key.
func (k *Keyring) Revoke(ctx context.Context, tenant gatehouse.TenantID, id, actor string) (revoked Revoked, found bool, err error) {
	for range maxSteps {
		if err := k.reload(ctx, tenant); err != nil {
			return Revoked{}, false, err
		}
		policy, err := k.policy(ctx, tenant)
		if err != nil {
			return Revoked{}, false, err
		}
		plan, known := planRevocation(k.loaded(tenant).rows, id, k.store.Now(), policy)
		if known && plan.Key.Purpose == gatehouse.KeyPairwise {
			return Revoked{Key: plan.Key}, true, ErrPairwise
		}
		if !known || !plan.Key.RevokedAt.IsZero() {
			return Revoked{Key: plan.Key, Again: known}, known, nil
		}
		if plan.Replacement != nil {
			made, err := k.newKey(tenant, *plan.Replacement)
			if err != nil {
				return Revoked{}, true, err
			}
			plan.Replacement = &made
		}
		done, err := k.store.RevokeKey(ctx, tenant, plan, gatehouse.Event{Actor: actor})
		if err != nil {
			return Revoked{}, true, err
		}
		if done {
			revoked.Key = plan.Key
			for _, next := range []*gatehouse.StoredKey{plan.Replacement, plan.Hasten} {
				if next != nil {
					revoked.Successor = *next
				}
			}
			return revoked, true, k.reload(ctx, tenant)
		}
	}
	return Revoked{}, true, fmt.Errorf("the keys of tenant %s are being changed by others; try again", tenant)
}

// planRevocation says what revoking the key of this id takes.
func planRevocation(keys []gatehouse.StoredKey, id string, now time.Time, policy Policy) (plan gatehouse.KeyRevocation, found bool) {
	for _, key := range keys {
		if key.ID != id {
			continue
		}
		plan = gatehouse.KeyRevocation{Key: key, Until: now.Add(policy.keep(key.Purpose))}
		of := ofLine(keys, lineOf(key))
		if signer, signs := signerOf(of, now); !signs || signer.ID != id {
			return plan, true
		}
		if waiting, waits := waitingOf(of, now); waits {
			plan.Hasten = &waiting
			return plan, true
		}
		next := makeNext(lineOf(key), of, now, now).Key
		plan.Replacement = &next
		return plan, true
	}
	return plan, false
}

package keyring

import (
	"cmp"
	"slices"
	"time"

	"gatehouse"
)

// Action is what a step does.
type Action string

// The actions.
const (
	Make   Action = "make"   // a new key, with the times of Step.Key
	Hasten Action = "hasten" // a published key signs earlier
	Stop   Action = "stop"   // a key that has a successor stays until RemoveAt
	Remove Action = "remove" // a key that nobody needs leaves
)

// Step is one step in the life of a tenant's keys.
type Step struct {
	Do Action
	// Key is the key as the step leaves it. That of Make has no ID yet.
	Key gatehouse.StoredKey
	// Was is the key as it was planned with: a step is carried out only
	// while it is still that.
	Was gatehouse.StoredKey
}

// line is a succession of keys of which one is used at a time.
type line struct {
	purpose   gatehouse.KeyPurpose
	algorithm string
}

func lineOf(key gatehouse.StoredKey) line { return line{key.Purpose, key.Algorithm} }

// Plan says what is due for the keys at this time:
//
//   - a line whose key has signed for Rotation, less Wait, gets one successor,
//     which is published now and signs after Wait at the earliest;
//   - a key whose successor signs gets the end of its life: as long after its
//     last use as something made with it may live;
//   - a key at the end of its life leaves;
//   - a line in which no key can sign gets one that signs at once.
//
// It may be asked at any time and however late: what was missed is made up
// for, and no time of waiting or keeping becomes shorter.
func Plan(keys []gatehouse.StoredKey, now time.Time, policy Policy) []Step {
	var steps []Step
	for _, line := range policy.lines() {
		steps = append(steps, planLine(line, ofLine(keys, line), now, policy)...)
	}
	return steps
}

func planLine(of line, keys []gatehouse.StoredKey, now time.Time, policy Policy) []Step {
	var steps []Step
	signer, signs := signerOf(keys, now)
	waiting, waits := waitingOf(keys, now)
	switch {
	case !signs && waits:
		steps = append(steps, hasten(waiting, now))
	case !signs:
		steps = append(steps, makeNext(of, keys, now, now))
	case !waits:
		due := signer.SignFrom.Add(policy.Rotation)
		if !signer.SignUntil.IsZero() {
			due = earlier(due, signer.SignUntil)
		}
		if !now.Before(due.Add(-policy.Wait)) {
			steps = append(steps, makeNext(of, keys, now, later(due, now.Add(policy.Wait))))
		}
	}
	for i, key := range keys {
		if past(key.RemoveAt, now) {
			steps = append(steps, Step{Do: Remove, Key: key, Was: key})
		} else if until, over := overSince(keys, i, now); over {
			steps = append(steps, stop(key, until, policy)...)
		}
	}
	return steps
}

// overSince returns the time from which the key at this place of its line has
// not been used.
func overSince(keys []gatehouse.StoredKey, at int, now time.Time) (since time.Time, over bool) {
	if key := keys[at]; !key.RevokedAt.IsZero() {
		return key.RevokedAt, true
	}
	for _, younger := range slices.Backward(keys[:at]) {
		if younger.RevokedAt.IsZero() && !younger.SignFrom.After(now) {
			return younger.SignFrom, true
		}
	}
	return time.Time{}, false
}

// stop ends a key's use, or lengthens its stay when lifetimes have grown.
func stop(key gatehouse.StoredKey, until time.Time, policy Policy) []Step {
	becomes := key
	if key.SignUntil.IsZero() || until.Before(key.SignUntil) {
		becomes.SignUntil = until
	}
	becomes.RemoveAt = later(key.RemoveAt, becomes.SignUntil.Add(policy.keep(key.Purpose)))
	if becomes.SignUntil.Equal(key.SignUntil) && becomes.RemoveAt.Equal(key.RemoveAt) {
		return nil
	}
	return []Step{{Do: Stop, Key: becomes, Was: key}}
}

func hasten(key gatehouse.StoredKey, signFrom time.Time) Step {
	becomes := key
	becomes.SignFrom = signFrom
	return Step{Do: Hasten, Key: becomes, Was: key}
}

// makeNext makes the next key of a line: of several who plan it, one stores
// the key of this generation.
func makeNext(of line, keys []gatehouse.StoredKey, publishAt, signFrom time.Time) Step {
	next := gatehouse.StoredKey{Purpose: of.purpose, Algorithm: of.algorithm, PublishAt: publishAt, SignFrom: signFrom}
	for _, key := range keys {
		next.Generation = max(next.Generation, key.Generation+1)
	}
	return Step{Do: Make, Key: next}
}

// ofLine returns the keys of a line in the order in which they are used, the
// youngest first.
func ofLine(keys []gatehouse.StoredKey, of line) []gatehouse.StoredKey {
	var found []gatehouse.StoredKey
	for _, key := range keys {
		if lineOf(key) == of {
			found = append(found, key)
		}
	}
	slices.SortStableFunc(found, youngestFirst)
	return found
}

func youngestFirst(a, b gatehouse.StoredKey) int {
	return cmp.Or(b.SignFrom.Compare(a.SignFrom), cmp.Compare(b.Generation, a.Generation))
}

// signerOf returns the key of a line that signs now: the youngest whose time
// has come.
func signerOf(keys []gatehouse.StoredKey, now time.Time) (gatehouse.StoredKey, bool) {
	for _, key := range keys {
		if alive(key, now) && !key.SignFrom.After(now) && !past(key.SignUntil, now) {
			return key, true
		}
	}
	return gatehouse.StoredKey{}, false
}

// waitingOf returns the key of a line that will sign.
func waitingOf(keys []gatehouse.StoredKey, now time.Time) (gatehouse.StoredKey, bool) {
	for _, key := range keys {
		if alive(key, now) && key.SignFrom.After(now) {
			return key, true
		}
	}
	return gatehouse.StoredKey{}, false
}

func alive(key gatehouse.StoredKey, now time.Time) bool {
	return key.RevokedAt.IsZero() && !past(key.RemoveAt, now)
}

func past(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

package keyring

import (
	"time"

	"gatehouse"
)

// State is where a key stands in its life.
type State string

// The states.
const (
	Waiting State = "next"    // published; it will sign
	InUse   State = "in use"  // signs, or seals
	Kept    State = "kept"    // verifies, or opens, what it made
	Gone    State = "revoked" // neither
)

// StateOf returns where one of a tenant's keys stands, and when its use ends:
// when its successor takes over, or is planned to; zero if it is not in use.
func StateOf(key gatehouse.StoredKey, keys []gatehouse.StoredKey, now time.Time, policy Policy) (state State, until time.Time) {
	line := ofLine(keys, lineOf(key))
	signer, signs := signerOf(line, now)
	switch {
	case !key.RevokedAt.IsZero():
		return Gone, time.Time{}
	case key.SignFrom.After(now):
		return Waiting, time.Time{}
	case !signs || signer.ID != key.ID:
		return Kept, time.Time{}
	}
	if waiting, waits := waitingOf(line, now); waits {
		return InUse, waiting.SignFrom
	}
	return InUse, later(key.SignFrom.Add(policy.Rotation), now.Add(policy.Wait))
}

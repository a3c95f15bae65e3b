package store

import (
	"bytes"
	"context"
	"fmt"

	"gatehouse"
)

// redeliveriesTold is how many redeliveries of one generation are events by address; further ones
// share an event.
const redeliveriesTold = 8

// RotateRefresh uses a refresh token: the current one moves the chain on, once; the immediate
// predecessor, within the grace, is told the current state again; anything else that a holder of a
// right tag presents ends the grant (RFC 9700 §4.14.2). The store keeps no secret, so Succeeds
// tells it whether the current state follows from the presented token; it is asked inside the act
// and must not call the store.
func (s *Store) RotateRefresh(ctx context.Context, tenant gatehouse.TenantID, rotation gatehouse.Rotation) (gatehouse.Rotated, error) {
	rotated, err := write(ctx, s, "rotating a refresh token", tenant, func(a *act) (gatehouse.Rotated, error) {
		if len(rotation.PresentedHash) == 0 || len(rotation.Successor.Hash) == 0 {
			return gatehouse.Rotated{}, errNoHash
		}
		if err := a.engine.holdGrant(a, rotation.ID); err != nil {
			return gatehouse.Rotated{}, err
		}
		next := rotation.Successor
		next.RotatedAt = a.now
		args := []any{a.tenant, rotation.ID[:], int64(rotation.Presented), rotation.PresentedHash,
			millis(a.now), int64(next.Generation), int64(next.KeyID), next.Hash, blob(next.Salt), millis(rotation.AccessUntil),
			millis(rotation.AccessUntil.Add(skew)), rotation.Idle.Milliseconds(), rotation.SessionID}
		accepted, err := a.execOr(sqlRotateInPlace, sqlRotate, args)
		if err != nil {
			return gatehouse.Rotated{}, err
		}
		if accepted {
			return gatehouse.Rotated{Outcome: gatehouse.RotateAccepted, Current: next}, nil
		}
		return a.classifyRotation(rotation)
	})
	if rotated.Outcome == gatehouse.RotateMoved {
		s.terms.Drop(termsKey{tenant, rotation.ID})
	}
	return rotated, err
}

// moved says whether the grant's session is another one than it was read with.
func moved(g gatehouse.Grant, sessionID string) bool {
	return sessionID != "" && sessionID != g.SessionID
}

// classifyRotation says why the presented token is not the current one of a living grant.
func (a *act) classifyRotation(rotation gatehouse.Rotation) (gatehouse.Rotated, error) {
	if err := a.engine.seizeGrant(a, rotation.ID); err != nil {
		return gatehouse.Rotated{}, err
	}
	g, found, err := a.grant(a.tenant, rotation.ID)
	if err != nil || !found {
		return gatehouse.Rotated{Outcome: gatehouse.RotateUnknown}, err
	}
	current, presented := g.Refresh, rotation.Presented
	switch {
	case g.Ended():
		return gatehouse.Rotated{Outcome: gatehouse.RotateEnded}, nil

	case presented == current.Generation && bytes.Equal(rotation.PresentedHash, current.Hash):
		var generation int64
		enabled, err := a.one(sqlGrantEnabled, []any{&generation}, a.tenant, g.ID[:])
		if err != nil || !enabled {
			return gatehouse.Rotated{Outcome: gatehouse.RotateEnded}, err
		}
		if moved(g, rotation.SessionID) {
			return gatehouse.Rotated{Outcome: gatehouse.RotateMoved}, nil
		}
		return gatehouse.Rotated{Outcome: gatehouse.RotateExpired}, nil

	// A tag that is right with a state that cannot be: the database is older than the token.
	case len(current.Hash) == 0 || presented >= current.Generation:
		return a.rotationEnds(g, rotation, gatehouse.RotateLostState)

	case presented+1 < current.Generation:
		return a.rotationEnds(g, rotation, gatehouse.RotateReplayed)

	case rotation.Succeeds == nil || !rotation.Succeeds(current):
		return a.rotationEnds(g, rotation, gatehouse.RotateLostState)

	// Another replica's clock may be a little ahead.
	case max(a.now.Sub(current.RotatedAt), 0) >= rotation.Grace:
		return a.rotationEnds(g, rotation, gatehouse.RotateReplayed)

	case !g.ExpiresAt.After(a.now):
		return gatehouse.Rotated{Outcome: gatehouse.RotateExpired}, nil

	case moved(g, rotation.SessionID):
		return gatehouse.Rotated{Outcome: gatehouse.RotateMoved}, nil
	}
	return a.redeliver(g, rotation)
}

// redeliver answers the holder of the immediate predecessor: a parallel tab, or a client whose
// answer was lost. It is recorded with its address.
func (a *act) redeliver(g gatehouse.Grant, rotation gatehouse.Rotation) (gatehouse.Rotated, error) {
	var redeliveries int64
	enabled, err := a.one(sqlRedeliver, []any{&redeliveries}, a.tenant, g.ID[:], millis(a.now), millis(rotation.AccessUntil),
		millis(rotation.AccessUntil.Add(skew)))
	if err != nil || !enabled {
		return gatehouse.Rotated{Outcome: gatehouse.RotateEnded}, err
	}
	address := rotation.By.Address
	if redeliveries > redeliveriesTold {
		address = "further"
	}
	joins := fmt.Sprintf("redelivery %s %d %q", g.Handle, g.Refresh.Generation, address)
	err = a.tellJoined(eventOf(g, rotation.By), gatehouse.EventRedelivered, joins)
	return gatehouse.Rotated{Outcome: gatehouse.RotateRedelivered, Current: g.Refresh}, err
}

// rotationEnds ends the grant for what was presented.
func (a *act) rotationEnds(g gatehouse.Grant, rotation gatehouse.Rotation, outcome gatehouse.RotateOutcome) (gatehouse.Rotated, error) {
	kind, reason := gatehouse.EventRefreshReplayed, gatehouse.EndedByRefreshReplay
	if outcome == gatehouse.RotateLostState {
		kind, reason = gatehouse.EventLostState, gatehouse.EndedByLostState
	}
	if err := a.tell(eventOf(g, rotation.By), kind, "presented", fmt.Sprint(rotation.Presented), "current", fmt.Sprint(g.Refresh.Generation)); err != nil {
		return gatehouse.Rotated{}, err
	}
	return gatehouse.Rotated{Outcome: outcome}, a.endGrant(g.ID, reason, rotation.By)
}

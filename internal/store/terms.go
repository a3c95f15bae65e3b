package store

import (
	"context"

	"gatehouse"
)

// termsKept bounds how many grants' terms are in memory; each takes about a kilobyte.
const termsKept = 10_000

type termsKey struct {
	tenant gatehouse.TenantID
	id     gatehouse.GrantID
}

// GrantTerms returns what of a grant never changes while it lives: who allowed what to whom, and the
// code it began with. What changes is left out and zero: whether the code was redeemed, wrong
// verifiers, the chain of refresh tokens, last use and end. Only SessionID may be out of date, which
// RedeemCode and RotateRefresh notice.
//
// Terms may come from memory, also those of a grant that has ended or left: nothing may be granted
// for them but by an act, which looks at the row. Their slices are shared and must not be changed.
func (s *Store) GrantTerms(ctx context.Context, tenant gatehouse.TenantID, id gatehouse.GrantID) (gatehouse.Grant, bool, error) {
	key := termsKey{tenant, id}
	if terms, known := s.terms.get(key); known {
		return terms, true, nil
	}
	grant, found, err := s.Grant(ctx, tenant, id)
	if err != nil || !found {
		return gatehouse.Grant{}, false, err
	}
	terms := termsOf(grant)
	if !grant.Ended() {
		s.terms.put(key, terms)
	}
	return terms, true, nil
}

func termsOf(grant gatehouse.Grant) gatehouse.Grant {
	terms := grant
	terms.Code.RedeemedAt, terms.Code.WrongVerifiers = timeOf(0), 0
	terms.Refresh = gatehouse.RefreshState{}
	terms.LastUsedAt, terms.AccessUntil, terms.EndedAt, terms.EndReason = timeOf(0), timeOf(0), timeOf(0), ""
	return terms
}

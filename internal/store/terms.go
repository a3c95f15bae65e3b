package store

import (
	"context"

	"gatehouse"
)

// termsKept bounds how many grants' terms are in memory; each takes about a kilobyte.
const termsKept = 3_000

type termsKey struct {
	tenant gatehouse.TenantID
	id     gatehouse.GrantID
}

type handleKey struct {
	tenant gatehouse.TenantID
	handle string
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
	if terms, known := s.terms.Get(key); known {
		return terms, true, nil
	}
	grant, found, err := s.Grant(ctx, tenant, id)
	if err != nil || !found {
		return gatehouse.Grant{}, false, err
	}
	return s.termsRead(tenant, grant), true, nil
}

// GrantTermsOfHandle is GrantTerms of the grant that an access token's gid names. Whether such a
// token was ended, TokenEnded says.
func (s *Store) GrantTermsOfHandle(ctx context.Context, tenant gatehouse.TenantID, handle string) (gatehouse.Grant, bool, error) {
	if !isStorable(handle) {
		return gatehouse.Grant{}, false, nil
	}
	if id, known := s.handles.Get(handleKey{tenant, handle}); known {
		return s.GrantTerms(ctx, tenant, id)
	}
	found := false
	grant, err := read(ctx, s, "reading a grant by its handle", func(c *connection) (grant gatehouse.Grant, err error) {
		found, err = c.one(sqlGrantOfHandle, grantDest(&grant), tenant, handle)
		return grant, err
	})
	if err != nil || !found {
		return gatehouse.Grant{}, false, err
	}
	return s.termsRead(tenant, grant), true, nil
}

// termsRead are the terms of a grant whose row was read.
func (s *Store) termsRead(tenant gatehouse.TenantID, grant gatehouse.Grant) gatehouse.Grant {
	terms := termsOf(grant)
	if !grant.Ended() {
		s.keepTerms(tenant, terms)
	}
	return terms
}

func (s *Store) keepTerms(tenant gatehouse.TenantID, terms gatehouse.Grant) {
	s.terms.Put(termsKey{tenant, terms.ID}, terms)
	s.handles.Put(handleKey{tenant, terms.Handle}, terms.ID)
}

func termsOf(grant gatehouse.Grant) gatehouse.Grant {
	terms := grant
	terms.Code.RedeemedAt, terms.Code.WrongVerifiers = timeOf(0), 0
	terms.Refresh = gatehouse.RefreshState{}
	terms.LastUsedAt, terms.AccessUntil, terms.EndedAt, terms.EndReason = timeOf(0), timeOf(0), timeOf(0), ""
	return terms
}

package storetest

import (
	"testing"
	"time"

	"gatehouse"
)

func terms(t *testing.T, open Open) {
	t.Run("do not change with the state", func(t *testing.T) { lastingTerms(t, open) })
	t.Run("of a grant that moved", func(t *testing.T) { movedTerms(t, open) })
	t.Run("of a grant that ended", func(t *testing.T) { endedTerms(t, open) })
}

func (s *stage) terms(id gatehouse.GrantID) gatehouse.Grant {
	s.Helper()
	g, found, err := s.GrantTerms(s.Context(), tenant, id)
	s.ok(err)
	if !found {
		s.Fatalf("there are no terms of %s", id)
	}
	return g
}

// lastingTerms: they are the same from memory and from the row, whatever became of the grant.
func lastingTerms(t *testing.T, open Open) {
	both := replicated(t, open)
	s := both[0]
	issue := s.newIssue("openid", "photos:read", "offline_access")
	issue.Grant.Claims = gatehouse.ClaimsRequest{UserInfo: []string{"name"}, IDToken: []string{"email"}}
	is(t, gatehouse.CodeAccepted)(s.issued(tenant, issue))
	want := issue.Grant
	want.CreatedAt = s.Now()
	same(t, want, s.terms(want.ID))

	s.clock.Move(20 * time.Second)
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, s.redemption(want)))
	is(t, gatehouse.RotateAccepted)(s.rotate(want, 1))
	same(t, want, s.terms(want.ID))

	if _, found, err := s.GrantTerms(t.Context(), stranger, want.ID); found || err != nil {
		t.Errorf("another tenant has the terms: %v, %v", found, err)
	}
	// Another replica reads the row, and then has them in memory.
	for range 2 {
		byHandle, found, err := both[1].GrantTermsOfHandle(t.Context(), tenant, want.Handle)
		is(t, true)(found, err)
		same(t, want, byHandle)
		same(t, want, both[1].terms(want.ID))
	}
	if _, found, err := s.GrantTermsOfHandle(t.Context(), stranger, want.Handle); found || err != nil {
		t.Errorf("another tenant has the terms by their handle: %v, %v", found, err)
	}
	if _, found, err := s.GrantTerms(t.Context(), tenant, gatehouse.GrantID{0xff}); found || err != nil {
		t.Errorf("terms of a grant that never was: %v, %v", found, err)
	}
}

// movedTerms: tokens that name a session are never issued for one that the grant has left.
func movedTerms(t *testing.T, open Open) {
	s := setUp(t, open)
	code, chain := s.issue("openid"), s.redeemed("openid")
	old := cookie(sessionID)
	is(t, true)(s.CreateSession(t.Context(), tenant, cookie("next"), gatehouse.Session{
		ID: "next", Subject: subject, AuthTime: s.Now(), AMR: []string{"pwd"}, ExpiresAt: s.Now().Add(time.Hour),
	}, &old, from))

	redemption, rotation := s.redemption(code), s.rotation(chain, 1, "")
	redemption.SessionID, rotation.SessionID = sessionID, sessionID
	before, beforeChain := s.row(code.ID), s.row(chain.ID)
	is(t, gatehouse.RedeemMoved)(s.RedeemCode(t.Context(), tenant, redemption))
	rotated, err := s.RotateRefresh(t.Context(), tenant, rotation)
	is(t, gatehouse.RotateMoved)(rotated.Outcome, err)
	same(t, before, s.row(code.ID))
	same(t, beforeChain, s.row(chain.ID))

	redemption.SessionID, rotation.SessionID = s.terms(code.ID).SessionID, s.terms(chain.ID).SessionID
	if redemption.SessionID != "next" || rotation.SessionID != "next" {
		t.Fatalf("after that the sessions are said to be %q and %q", redemption.SessionID, rotation.SessionID)
	}
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, redemption))
	rotated, err = s.RotateRefresh(t.Context(), tenant, rotation)
	is(t, gatehouse.RotateAccepted)(rotated.Outcome, err)

	// The same of an answer that is given again.
	rotation.SessionID = sessionID
	rotated, err = s.RotateRefresh(t.Context(), tenant, rotation)
	is(t, gatehouse.RotateMoved)(rotated.Outcome, err)
	rotation.SessionID = "next"
	rotated, err = s.RotateRefresh(t.Context(), tenant, rotation)
	is(t, gatehouse.RotateRedelivered)(rotated.Outcome, err)
}

// endedTerms: memory revives nothing.
func endedTerms(t *testing.T, open Open) {
	s := setUp(t, open)
	g := s.redeemed("openid")
	s.terms(g.ID)
	is(t, true)(s.EndGrant(t.Context(), tenant, g.ID, gatehouse.EndedByRevocation, from))
	rotation := s.rotation(g, 1, "")
	rotation.SessionID = s.terms(g.ID).SessionID
	rotated, err := s.RotateRefresh(t.Context(), tenant, rotation)
	is(t, gatehouse.RotateEnded)(rotated.Outcome, err)
	if got := s.terms(g.ID); got.Ended() || got.EndReason != "" {
		t.Errorf("the terms tell the end: %+v", got)
	}
}

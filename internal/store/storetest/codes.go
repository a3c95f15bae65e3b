package storetest

import (
	"testing"
	"time"

	"gatehouse"
	"gatehouse/oauth"
)

func codes(t *testing.T, open Open) {
	t.Run("a grant is read as it was issued", func(t *testing.T) { grantRoundTrip(t, open) })
	t.Run("an interaction gives birth once", func(t *testing.T) { bornOnce(t, open) })
	t.Run("nothing is issued for what has ended", func(t *testing.T) { withdrawn(t, open) })
	t.Run("a code is redeemed once and its replay ends everything", func(t *testing.T) { codeReplay(t, open) })
	t.Run("redemption table", func(t *testing.T) { redemptionTable(t, open) })
	t.Run("wrong verifiers", func(t *testing.T) { wrongVerifiers(t, open) })
}

func grantRoundTrip(t *testing.T, open Open) {
	s := setUp(t, open)
	issue := s.newIssue("openid", "photos:read", "offline_access")
	issue.Grant.Claims = gatehouse.ClaimsRequest{UserInfo: []string{"name", "email"}, IDToken: []string{"email"}}
	want := issue.Grant
	is(t, gatehouse.CodeAccepted)(s.issued(tenant, issue))
	want.CreatedAt, want.LastUsedAt = s.Now(), s.Now()
	same(t, want, s.row(want.ID))
	for handle, known := range map[string]bool{want.Handle: true, want.Handle + "x": false, "": false, "\x00": false} {
		g, found, err := s.GrantTermsOfHandle(t.Context(), tenant, handle)
		if s.ok(err); found != known || known && g.ID != want.ID {
			t.Errorf("the grant of handle %q is %v, %v", handle, g, found)
		}
	}

	s.clock.Move(20 * time.Second)
	redemption := s.redemption(want)
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, redemption))
	want.Code.RedeemedAt, want.LastUsedAt, want.AccessUntil = s.Now(), s.Now(), redemption.AccessUntil
	want.Refresh = redemption.Refresh
	want.Refresh.RotatedAt = s.Now()
	same(t, want, s.row(want.ID))

	s.clock.Move(time.Hour)
	rotation := s.rotation(want, 1, "")
	rotated, err := s.RotateRefresh(t.Context(), tenant, rotation)
	s.ok(err)
	want.Refresh = rotation.Successor
	want.Refresh.RotatedAt, want.LastUsedAt, want.AccessUntil = s.Now(), s.Now(), rotation.AccessUntil
	same(t, gatehouse.Rotated{Outcome: gatehouse.RotateAccepted, Current: want.Refresh}, rotated)
	same(t, want, s.row(want.ID))

	s.clock.Move(time.Minute)
	is(t, true)(s.EndGrant(t.Context(), tenant, want.ID, gatehouse.EndedByRevocation, from))
	want.EndedAt, want.EndReason = s.Now(), gatehouse.EndedByRevocation
	same(t, want, s.row(want.ID))
	is(t, false)(s.EndGrant(t.Context(), tenant, want.ID, gatehouse.EndedByLogout, from))
	is(t, false)(s.EndGrant(t.Context(), tenant, gatehouse.GrantID{0xff}, gatehouse.EndedByLogout, from))
	same(t, want, s.row(want.ID))
	s.told(want, gatehouse.EventCodeIssued, 1)
	s.told(want, gatehouse.EventCodeRedeemed, 1)
	s.told(want, gatehouse.EventGrantEnded, 1)

	// An access token that lives longer than the next one is not forgotten.
	long := s.issue("openid")
	redemption = s.redemption(long)
	redemption.AccessUntil = s.Now().Add(24 * time.Hour)
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, redemption))
	is(t, gatehouse.RotateAccepted)(s.rotate(long, 1))
	if until := s.row(long.ID).AccessUntil; !until.Equal(redemption.AccessUntil) {
		t.Fatalf("access until %v, want %v", until, redemption.AccessUntil)
	}
}

func bornOnce(t *testing.T, open Open) {
	s := setUp(t, open)
	first := s.newIssue("openid")
	is(t, gatehouse.CodeAccepted)(s.issued(tenant, first))
	again := s.newIssue("openid")
	again.Grant.ID = first.Grant.ID
	issued, err := s.IssueCode(t.Context(), tenant, again)
	s.ok(err)
	if issued.Outcome != gatehouse.CodeExists || issued.Existing.ID != first.Grant.ID {
		t.Fatalf("the second click: %+v", issued)
	}
	if g := s.row(first.Grant.ID); g.Handle != first.Grant.Handle || string(g.Code.Hash) != string(first.Grant.Code.Hash) {
		t.Fatalf("the second click left its mark: %+v", g)
	}
	// Also when it is over, and when the person has signed out meanwhile.
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, s.redemption(first.Grant)))
	is(t, true)(s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
	issued, err = s.IssueCode(t.Context(), tenant, again)
	s.ok(err)
	if issued.Outcome != gatehouse.CodeExists || issued.Existing.Code.RedeemedAt.IsZero() {
		t.Fatalf("after the end: %+v", issued)
	}
}

func withdrawn(t *testing.T, open Open) {
	for name, end := range map[string]func(*stage) (bool, error){
		"client disabled": func(s *stage) (bool, error) { return s.DisableClient(t.Context(), tenant, clientID, true, byCLI) },
		"client deleted":  func(s *stage) (bool, error) { return s.DeleteClient(t.Context(), tenant, clientID, byCLI) },
		"user disabled":   func(s *stage) (bool, error) { return s.DisableUser(t.Context(), tenant, subject, true, byCLI) },
		"user deleted":    func(s *stage) (bool, error) { return s.DeleteUser(t.Context(), tenant, subject, byCLI) },
		"session ended": func(s *stage) (bool, error) {
			return s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from)
		},
		"session expired": func(s *stage) (bool, error) { s.clock.Move(8 * 24 * time.Hour); return true, nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := setUp(t, open)
			is(t, gatehouse.CodeAccepted)(s.issued(tenant, s.newIssue("openid")))
			is(t, true)(end(s))
			issue := s.newIssue("openid")
			issue.Consents = []gatehouse.Consent{{Scope: oauth.Scope{"openid"}}}
			is(t, gatehouse.CodeWithdrawn)(s.issued(tenant, issue))
			if consents, err := s.Consent(t.Context(), tenant, subject, clientID); err != nil || len(consents) > 0 {
				t.Fatalf("consent was remembered: %v %v", consents, err)
			}
		})
	}
	t.Run("session of somebody else", func(t *testing.T) {
		s := setUp(t, open)
		s.putUser(tenant, "sub-bob", "bob")
		s.session(tenant, "sub-bob", "sid-bob")
		issue := s.newIssue("openid")
		issue.Grant.SessionID = "sid-bob"
		is(t, gatehouse.CodeWithdrawn)(s.issued(tenant, issue))
		issue.Grant.Subject = "sub-bob"
		is(t, gatehouse.CodeAccepted)(s.issued(tenant, issue))
	})
}

func codeReplay(t *testing.T, open Open) {
	s := setUp(t, open)
	g := s.redeemed("openid", "offline_access")
	if s.tokenEnded(g) {
		t.Fatal("the token ended before the replay")
	}
	is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))
	s.clock.Move(5 * time.Minute) // also after the code's expiry
	is(t, gatehouse.RedeemReplayed)(s.RedeemCode(t.Context(), tenant, s.redemption(g)))
	if row := s.row(g.ID); row.EndReason != gatehouse.EndedByCodeReplay || !s.tokenEnded(g) {
		t.Fatalf("after the replay: %+v", row)
	}
	is(t, gatehouse.RotateEnded)(s.rotate(g, 2))
	for range 5 {
		is(t, gatehouse.RedeemReplayed)(s.RedeemCode(t.Context(), tenant, s.redemption(g)))
	}
	s.told(g, gatehouse.EventCodeReplayed, 1)
	s.told(g, gatehouse.EventGrantEnded, 1)
}

func redemptionTable(t *testing.T, open Open) {
	for _, row := range []struct {
		name    string
		prepare func(*stage, gatehouse.Grant, *gatehouse.Redemption) error
		want    gatehouse.Redeemed
		ended   gatehouse.EndReason
	}{
		{"at once", nil, gatehouse.RedeemAccepted, ""},
		{"in the last millisecond", func(s *stage, _ gatehouse.Grant, _ *gatehouse.Redemption) error {
			s.clock.Move(time.Minute - time.Millisecond)
			return nil
		}, gatehouse.RedeemAccepted, ""},
		{"at its expiry", func(s *stage, _ gatehouse.Grant, _ *gatehouse.Redemption) error {
			s.clock.Move(time.Minute)
			return nil
		}, gatehouse.RedeemExpired, ""},
		{"after the system's clock was set back", func(s *stage, _ gatehouse.Grant, _ *gatehouse.Redemption) error {
			s.clock.Move(time.Minute)
			s.Now()
			s.clock.Move(-time.Hour)
			return nil
		}, gatehouse.RedeemExpired, ""},
		{"unknown grant", func(_ *stage, _ gatehouse.Grant, r *gatehouse.Redemption) error {
			r.ID = gatehouse.GrantID{0xff}
			return nil
		}, gatehouse.RedeemUnknown, ""},
		{"another secret", func(_ *stage, _ gatehouse.Grant, r *gatehouse.Redemption) error {
			r.CodeHash = hashOf("another")
			return nil
		}, gatehouse.RedeemUnknown, ""},
		{"another secret, of a redeemed code", func(s *stage, g gatehouse.Grant, r *gatehouse.Redemption) error {
			r.CodeHash = hashOf("another")
			_, err := s.RedeemCode(s.Context(), tenant, s.redemption(g))
			return err
		}, gatehouse.RedeemUnknown, ""},
		{"ended", func(s *stage, g gatehouse.Grant, _ *gatehouse.Redemption) error {
			_, err := s.EndGrant(s.Context(), tenant, g.ID, gatehouse.EndedByRevocation, from)
			return err
		}, gatehouse.RedeemUnknown, gatehouse.EndedByRevocation},
		{"client disabled", func(s *stage, _ gatehouse.Grant, _ *gatehouse.Redemption) error {
			_, err := s.DisableClient(s.Context(), tenant, clientID, true, byCLI)
			return err
		}, gatehouse.RedeemUnknown, ""},
		{"client disabled and enabled", func(s *stage, _ gatehouse.Grant, _ *gatehouse.Redemption) error {
			_, err := s.DisableClient(s.Context(), tenant, clientID, true, byCLI)
			if err == nil {
				_, err = s.DisableClient(s.Context(), tenant, clientID, false, byCLI)
			}
			return err
		}, gatehouse.RedeemAccepted, ""},
		{"user disabled and enabled", func(s *stage, _ gatehouse.Grant, _ *gatehouse.Redemption) error {
			_, err := s.DisableUser(s.Context(), tenant, subject, true, byCLI)
			if err == nil {
				_, err = s.DisableUser(s.Context(), tenant, subject, false, byCLI)
			}
			return err
		}, gatehouse.RedeemUnknown, gatehouse.EndedByUserDisabled},
		{"signed out", func(s *stage, _ gatehouse.Grant, _ *gatehouse.Redemption) error {
			_, err := s.EndSession(s.Context(), tenant, sessionID, gatehouse.EndedByLogout, from)
			return err
		}, gatehouse.RedeemUnknown, gatehouse.EndedByLogout},
		{"redeemed before", func(s *stage, _ gatehouse.Grant, r *gatehouse.Redemption) error {
			_, err := s.RedeemCode(s.Context(), tenant, *r)
			return err
		}, gatehouse.RedeemReplayed, gatehouse.EndedByCodeReplay},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := setUp(t, open)
			g := s.issue("openid")
			redemption := s.redemption(g)
			if row.prepare != nil {
				s.ok(row.prepare(s, g, &redemption))
			}
			is(t, row.want)(s.RedeemCode(t.Context(), tenant, redemption))
			if got := s.row(g.ID).EndReason; got != row.ended {
				t.Fatalf("the grant ended by %q, want %q", got, row.ended)
			}
		})
	}
	s := setUp(t, open)
	redemption := s.redemption(s.issue("openid"))
	redemption.CodeHash = nil
	if _, err := s.RedeemCode(t.Context(), tenant, redemption); err == nil {
		t.Fatal("a redemption without a hash was answered")
	}
}

func wrongVerifiers(t *testing.T, open Open) {
	s := setUp(t, open)
	wrong := func(g gatehouse.Grant) (bool, error) { return s.CountWrongVerifier(t.Context(), tenant, g.ID, from) }

	two := s.issue("openid")
	is(t, false)(wrong(two))
	is(t, false)(wrong(two))
	is(t, gatehouse.RedeemAccepted)(s.RedeemCode(t.Context(), tenant, s.redemption(two)))
	is(t, false)(wrong(two)) // redeemed: nothing counts
	is(t, gatehouse.RotateAccepted)(s.rotate(two, 1))
	s.told(two, gatehouse.EventWrongVerifier, 2)

	three := s.issue("openid")
	is(t, false)(wrong(three))
	is(t, false)(wrong(three))
	is(t, true)(wrong(three))
	is(t, false)(wrong(three)) // dead: nothing counts
	is(t, gatehouse.RedeemUnknown)(s.RedeemCode(t.Context(), tenant, s.redemption(three)))
	if row := s.row(three.ID); row.EndReason != gatehouse.EndedByWrongVerifier || row.Code.WrongVerifiers != gatehouse.MaxWrongVerifiers {
		t.Fatalf("after three wrong verifiers: %+v", row)
	}
	s.told(three, gatehouse.EventWrongVerifier, 3)
	s.told(three, gatehouse.EventGrantEnded, 1)

	late := s.issue("openid")
	s.clock.Move(time.Minute)
	for range 4 {
		is(t, false)(wrong(late))
	}
	if row := s.row(late.ID); row.Ended() || row.Code.WrongVerifiers != 0 {
		t.Fatalf("an expired code counts: %+v", row)
	}
	is(t, false)(wrong(gatehouse.Grant{ID: gatehouse.GrantID{0xff}}))
}

package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

const lease = 2 * time.Minute

// telling is a redemption of a client that wants to be told of the logout.
func (s *stage) telling(g gatehouse.Grant) gatehouse.Redemption {
	r := s.redemption(g)
	r.SessionID, r.TellLogout = g.SessionID, true
	return r
}

// signedIn has a client redeem a code in a session.
func (s *stage) signedIn(clientID, sessionID string, scope ...string) gatehouse.Grant {
	s.Helper()
	issue := s.newIssue(append(scope, "openid")...)
	issue.Grant.ClientID, issue.Grant.SessionID = clientID, sessionID
	is(s.TB, gatehouse.CodeAccepted)(s.issued(tenant, issue))
	is(s.TB, gatehouse.RedeemAccepted)(s.RedeemCode(s.Context(), tenant, s.telling(issue.Grant)))
	return issue.Grant
}

// due are the clients of a tenant that are to be told something now.
func (s *stage) due(tenant gatehouse.TenantID) string {
	s.Helper()
	due, err := s.DueLogouts(s.Context(), 100)
	s.ok(err)
	var ids []string
	for _, client := range due {
		if client.Tenant == tenant {
			ids = append(ids, client.ClientID)
		}
	}
	return strings.Join(ids, " ")
}

func (s *stage) claim(clientID string) []gatehouse.LogoutNotice {
	s.Helper()
	claimed, err := s.ClaimLogouts(s.Context(), tenant, clientID, lease, 16)
	s.ok(err)
	return claimed
}

// logouts is about clients that are told of the ends of sessions.
func logouts(t *testing.T, open Open) {
	t.Run("every end", func(t *testing.T) { everyEndIsTold(t, open) })
	t.Run("one attempt at a time", func(t *testing.T) { claims(t, open) })
	t.Run("a claim is one's", func(t *testing.T) {
		s := setUp(t, open)
		for i := range 20 {
			id := fmt.Sprint("sid-", i)
			s.session(tenant, subject, id)
			s.signedIn(clientID, id)
			is(t, true)(s.EndSession(t.Context(), tenant, id, gatehouse.EndedByLogout, from))
		}
		counts := make(chan string, 1000)
		race(t, func(int) (int, error) {
			claimed, err := s.ClaimLogouts(t.Context(), tenant, clientID, lease, 3)
			for _, n := range claimed {
				counts <- n.SessionID
			}
			return len(claimed), err
		})
		close(counts)
		var all []string
		for id := range counts {
			all = append(all, id)
		}
		slices.Sort(all)
		is(t, len(all))(len(slices.Compact(slices.Clone(all))), nil)
		is(t, 20)(len(all), nil)
	})
	t.Run("who redeems as the session ends", func(t *testing.T) {
		// Whichever comes first, a client that has tokens is told.
		for i := range 8 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				s := setUp(t, open)
				issue := s.newIssue("openid", "offline_access")
				is(t, gatehouse.CodeAccepted)(s.issued(tenant, issue))
				barrier, ended := make(chan struct{}), make(chan error, 1)
				go func() {
					<-barrier
					_, err := s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from)
					ended <- err
				}()
				close(barrier)
				redeemed, err := s.RedeemCode(t.Context(), tenant, s.telling(issue.Grant))
				s.ok(err)
				s.ok(<-ended)
				is(t, gatehouse.RedeemAccepted)(redeemed, nil) // offline: it outlives the session
				is(t, clientID)(s.due(tenant), nil)
			})
		}
	})
	t.Run("what never ended leaves", func(t *testing.T) {
		s := setUp(t, open)
		s.signedIn(clientID, sessionID)
		s.clock.Move(8 * 24 * time.Hour)
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(t, false)(s.EndSession(t.Context(), tenant, "unknown", gatehouse.EndedByLogout, from))
		if _, err := s.EndEverything(t.Context(), tenant, byCLI); err != nil {
			t.Fatal(err)
		}
		is(t, "")(s.due(tenant), nil)
	})
}

func claims(t *testing.T, open Open) {
	s := setUp(t, open)
	s.signedIn(clientID, sessionID)
	is(t, true)(s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
	is(t, clientID)(s.due(tenant), nil)
	first := s.claim(clientID)
	if len(first) != 1 || first[0].Attempts != 1 || first[0].ToldSID != sessionID || first[0].Subject != subject || !first[0].EndedAt.Equal(s.Now().Truncate(time.Millisecond)) {
		t.Fatalf("claimed %+v", first)
	}
	is(t, "")(s.due(tenant), nil)
	is(t, 0)(len(s.claim(clientID)), nil)

	// Who claimed is gone: when the claim lapses somebody else may.
	s.clock.Move(lease)
	second := s.claim(clientID)
	is(t, 2)(second[0].Attempts, nil)
	// An outcome that comes late counts for nothing.
	for _, outcome := range []gatehouse.LogoutOutcome{gatehouse.LogoutDelivered, gatehouse.LogoutFailed, gatehouse.LogoutGivenUp} {
		is(t, false)(s.FinishLogout(t.Context(), first[0], outcome, time.Hour, "late"))
	}
	is(t, true)(s.FinishLogout(t.Context(), second[0], gatehouse.LogoutFailed, time.Minute, "status 500"))
	is(t, 0)(len(s.claim(clientID)), nil)
	s.clock.Move(time.Minute)
	third := s.claim(clientID)
	is(t, 3)(third[0].Attempts, nil)
	is(t, true)(s.FinishLogout(t.Context(), third[0], gatehouse.LogoutDelivered, 0, ""))
	is(t, false)(s.FinishLogout(t.Context(), third[0], gatehouse.LogoutDelivered, 0, ""))
	s.clock.Move(time.Hour)
	is(t, "")(s.due(tenant), nil)
	events := s.events(gatehouse.EventLogoutDelivered, gatehouse.EventLogoutFailed, gatehouse.EventLogoutGivenUp)
	is(t, 2)(len(events), nil)
	is(t, "logout.failed  status 500")(fmt.Sprint(events[0].Kind, " ", events[0].Subject, " ", events[0].Detail["reason"]), nil)
	is(t, "logout.delivered "+subject)(fmt.Sprint(events[1].Kind, " ", events[1].Subject), nil)
}

func everyEndIsTold(t *testing.T, open Open) {
	const other = "another"
	for name, end := range map[string]func(*stage) error{
		"logout": func(s *stage) error {
			return did(s.EndSession(s.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
		},
		"account page": func(s *stage) error { return did(s.EndUserSession(s.Context(), tenant, subject, sessionID, from)) },
		"other sessions": func(s *stage) error {
			_, err := s.EndOtherSessions(s.Context(), tenant, subject, "sid-2", from)
			return err
		},
		"password changed": func(s *stage) error { return did(s.ChangePassword(s.Context(), tenant, s.passwordChange("sid-next"))) },
		"password set":     func(s *stage) error { return did(s.SetPassword(s.Context(), tenant, subject, "$argon2id$new", byCLI)) },
		"disabled":         func(s *stage) error { return did(s.DisableUser(s.Context(), tenant, subject, true, byCLI)) },
		"deleted":          func(s *stage) error { return did(s.DeleteUser(s.Context(), tenant, subject, byCLI)) },
		"restored":         func(s *stage) error { _, err := s.EndEverything(s.Context(), tenant, byCLI); return err },
		"session limit": func(s *stage) error {
			s.ok(s.PutSettings(s.Context(), tenant, gatehouse.Settings{MaxSessionsPerUser: 1}, byCLI))
			s.clock.Move(time.Second)
			s.session(tenant, subject, "sid-2")
			return nil
		},
		"another user": func(s *stage) error {
			s.putUser(tenant, "sub-bob", "bob")
			old := cookie(sessionID)
			return did(s.CreateSession(s.Context(), tenant, cookie("sid-bob"), gatehouse.Session{ID: "sid-bob", Subject: "sub-bob", AuthTime: s.Now(), ExpiresAt: s.Now().Add(time.Hour)}, &old, from))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := setUp(t, open, tenant, stranger)
			s.ok(s.PutClient(t.Context(), tenant, gatehouse.Client{ID: other}, byCLI))
			s.signedIn(clientID, sessionID)
			s.ok(end(s))
			is(t, clientID)(s.due(tenant), nil) // and not the client that had no tokens there
			is(t, "")(s.due(stranger), nil)
		})
	}
	t.Run("the same user signs in again", func(t *testing.T) {
		s := setUp(t, open)
		s.signedIn(clientID, sessionID)
		old := cookie(sessionID)
		is(t, true)(s.CreateSession(t.Context(), tenant, cookie("sid-2"), gatehouse.Session{ID: "sid-2", Subject: subject, AuthTime: s.Now(), ExpiresAt: s.Now().Add(time.Hour)}, &old, from))
		is(t, "")(s.due(tenant), nil) // still signed in
		is(t, true)(s.EndSession(t.Context(), tenant, "sid-2", gatehouse.EndedByLogout, from))
		claimed := s.claim(clientID)
		is(t, "1 sid-2 "+sessionID)(fmt.Sprint(len(claimed), " ", claimed[0].SessionID, " ", claimed[0].ToldSID), nil)
	})
	t.Run("a client that is gone", func(t *testing.T) {
		s := setUp(t, open)
		s.signedIn(clientID, sessionID)
		is(t, true)(s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
		is(t, true)(s.DeleteClient(t.Context(), tenant, clientID, byCLI))
		is(t, "")(s.due(tenant), nil)
	})
	t.Run("a client that does not want to be told", func(t *testing.T) {
		s := setUp(t, open)
		s.redeemed("openid")
		is(t, true)(s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
		is(t, "")(s.due(tenant), nil)
	})
}

func logoutActs() map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error {
	claim := func(s *stage, tenant gatehouse.TenantID) ([]gatehouse.LogoutNotice, error) {
		if err := did(s.EndSession(s.Context(), tenant, sessionID, gatehouse.EndedByLogout, from)); err != nil {
			return nil, err
		}
		claimed, err := s.ClaimLogouts(s.Context(), tenant, clientID, lease, 1)
		if err == nil && len(claimed) != 1 {
			err = fmt.Errorf("claimed %d", len(claimed))
		}
		return claimed, err
	}
	return map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error{
		"ClaimLogouts": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			_, err := claim(s, tenant)
			return err
		},
		"FinishLogout": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			claimed, err := claim(s, tenant)
			if err != nil {
				return err
			}
			return did(s.FinishLogout(s.Context(), claimed[0], gatehouse.LogoutDelivered, 0, ""))
		},
	}
}

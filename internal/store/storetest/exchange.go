package storetest

import (
	"fmt"
	"testing"
	"time"

	"gatehouse"
)

// exchange is about tokens that are made of ID tokens.
func exchange(t *testing.T, open Open) {
	t.Run("the newest grant that was redeemed", func(t *testing.T) {
		s := setUp(t, open)
		newest := func() gatehouse.GrantID {
			t.Helper()
			g, found, err := s.GrantOfSession(t.Context(), tenant, sessionID, clientID)
			s.ok(err)
			if !found {
				return gatehouse.GrantID{}
			}
			return g.ID
		}
		is(t, gatehouse.GrantID{})(newest(), nil)
		first := s.redeemed("openid")
		s.clock.Move(time.Second)
		second := s.redeemed("openid")
		s.clock.Move(time.Second)
		s.issue("openid") // a code that nobody redeemed
		is(t, second.ID)(newest(), nil)
		is(t, true)(s.EndGrant(t.Context(), tenant, second.ID, gatehouse.EndedByRevocation, from))
		is(t, first.ID)(newest(), nil)
		_, found, err := s.GrantOfSession(t.Context(), tenant, "sid-other", clientID)
		is(t, false)(found, err)
		_, found, err = s.GrantOfSession(t.Context(), tenant, "no\x00id", clientID)
		is(t, false)(found, err)
	})
	t.Run("what ends it beforehand", func(t *testing.T) {
		for name, end := range map[string]func(*stage, gatehouse.Grant){
			"the session": func(s *stage, _ gatehouse.Grant) {
				is(t, true)(s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
			},
			"the grant": func(s *stage, g gatehouse.Grant) {
				is(t, true)(s.EndGrant(t.Context(), tenant, g.ID, gatehouse.EndedByRevocation, from))
			},
			"the client": func(s *stage, _ gatehouse.Grant) {
				is(t, true)(s.DisableClient(t.Context(), tenant, clientID, true, byCLI))
			},
			"the user": func(s *stage, _ gatehouse.Grant) {
				is(t, true)(s.DisableUser(t.Context(), tenant, subject, true, byCLI))
			},
			"nobody looking in": func(s *stage, _ gatehouse.Grant) { s.clock.Move(idle + 2*time.Minute) },
			"time":              func(s *stage, _ gatehouse.Grant) { s.clock.Move(8 * 24 * time.Hour) },
		} {
			t.Run(name, func(t *testing.T) {
				s := setUp(t, open)
				g := s.redeemed("openid", "offline_access")
				is(t, true)(s.exchanged(tenant, g))
				end(s, g)
				is(t, false)(s.exchanged(tenant, g))
				is(t, 1)(len(s.events(gatehouse.EventTokenExchanged)), nil)
			})
		}
	})
	t.Run("the session's end reaches it", func(t *testing.T) {
		s := setUp(t, open)
		s.session(tenant, subject, "sid-other")
		g := s.redeemed("openid", "offline_access")
		made := gatehouse.TokenFacts{Handle: g.Handle, ID: "made", ClientID: clientID, Subject: subject, IssuedAt: s.Now(), Ancestors: []gatehouse.Ancestor{{ClientID: clientID, SessionID: sessionID}}}
		ended := func() (bool, error) { return s.TokenEnded(t.Context(), tenant, made) }
		is(t, true)(s.exchanged(tenant, g))
		is(t, true)(s.EndSession(t.Context(), tenant, "sid-other", gatehouse.EndedByLogout, from))
		is(t, false)(ended())
		is(t, true)(s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
		is(t, true)(ended())
		is(t, false)(s.tokenEnded(g), nil) // offline: its own tokens live on
	})
	t.Run("as the session ends", func(t *testing.T) {
		// Whichever comes first, nothing that was made of it lives on.
		for i := range 8 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				s := setUp(t, open)
				g := s.redeemed("openid", "offline_access")
				barrier, ended := make(chan struct{}), make(chan error, 1)
				go func() {
					<-barrier
					_, err := s.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, from)
					ended <- err
				}()
				close(barrier)
				committed, err := s.exchanged(tenant, g)
				s.ok(err)
				s.ok(<-ended)
				dead, err := s.TokenEnded(t.Context(), tenant, gatehouse.TokenFacts{
					Handle: g.Handle, ID: "made", ClientID: clientID, IssuedAt: s.Now(), Ancestors: []gatehouse.Ancestor{{ClientID: clientID, SessionID: sessionID}},
				})
				s.ok(err)
				if committed && !dead {
					t.Error("a token outlives the session that it was made in")
				}
			})
		}
	})
	t.Run("the ends of those before", func(t *testing.T) {
		s := setUp(t, open)
		made := gatehouse.TokenFacts{ID: "last", ClientID: "b", IssuedAt: s.Now(), Ancestors: []gatehouse.Ancestor{
			{ID: "first", ClientID: "a"}, {ID: "second", ClientID: clientID, Handle: "other-handle", KeyID: "k"},
		}}
		ended := func() (bool, error) { return s.TokenEnded(t.Context(), tenant, made) }
		is(t, false)(ended())
		s.ok(s.RevokeToken(t.Context(), tenant, "second", s.Now().Add(access), clientID, from))
		is(t, true)(ended())
		made.Ancestors[1].ID = "third"
		is(t, false)(ended())
		is(t, true)(s.DisableClient(t.Context(), tenant, clientID, true, byCLI))
		is(t, true)(ended())
	})
}

// exchanged commits that a token was made of an ID token of the grant's session.
func (s *stage) exchanged(tenant gatehouse.TenantID, g gatehouse.Grant) (bool, error) {
	return s.ExchangeInSession(s.Context(), tenant, gatehouse.SessionExchange{
		SessionID: sessionID, Subject: g.Subject, ClientID: g.ClientID, Handle: g.Handle, Until: s.Now().Add(2 * access), By: from,
		Told: map[string]string{"audience": "https://api.example.com/"},
	}, idle)
}

func exchangeActs() map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error {
	return map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error{
		"ExchangeInSession": func(s *stage, tenant gatehouse.TenantID, g gatehouse.Grant) error { return did(s.exchanged(tenant, g)) },
	}
}

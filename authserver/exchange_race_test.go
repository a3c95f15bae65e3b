package authserver_test

import (
	"net/http"
	"net/url"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// TestTX04WhatIsExchangedWhileItsRootEnds: whichever comes first, no token that
// an exchange answered with is alive once the end was answered.
func TestTX04WhatIsExchangedWhileItsRootEnds(t *testing.T) {
	spec.Covers(t, "TX-04", "TX-05")
	by := gatehouse.Event{Actor: "test"}
	for name, end := range map[string]func(*stage, tokens) gatehousetest.Answer{
		"the subject token": func(s *stage, issued tokens) gatehousetest.Answer { return s.revoke("desk", issued.access) },
		"the grant":         func(s *stage, issued tokens) gatehousetest.Answer { return s.revoke("desk", issued.refresh) },
		"the session": func(s *stage, _ tokens) gatehousetest.Answer {
			s.signOut()
			return gatehousetest.Answer{Response: &http.Response{StatusCode: http.StatusOK}}
		},
		"the user": func(s *stage, _ tokens) gatehousetest.Answer {
			s.done(s.store().DisableUser(s.Context(), gatehouse.DefaultTenant, "sub-of-alice", true, by))
			return gatehousetest.Answer{Response: &http.Response{StatusCode: http.StatusOK}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := exchangeStage(t)
			for range 4 {
				issued := s.tokensFor("desk", "openid photos:read")
				form := func(token, kind string) url.Values {
					return url.Values{"grant_type": {exchangeGrant}, "subject_token": {token}, "subject_token_type": {tokenType + kind}}
				}
				acts := times(8, func() gatehousetest.Answer { return s.token("desk", form(issued.access, "access_token")) })
				if name != "the subject token" { // another token than the ID token
					acts = append(acts, times(4, func() gatehousetest.Answer { return s.token("desk", form(issued.id, "id_token")) })...)
				}
				acts = append(acts, func() gatehousetest.Answer { return end(s, issued) })
				answers := together(acts...)
				for _, answer := range answers[:len(answers)-1] {
					if answer.StatusCode != http.StatusOK {
						s.wants(answer, http.StatusBadRequest, "invalid_request")
						continue
					}
					s.wantExchanged(false, map[string]string{"desk": answer.Member("access_token")})
				}
				if name == "the user" {
					s.done(s.store().DisableUser(s.Context(), gatehouse.DefaultTenant, "sub-of-alice", false, by))
				}
			}
			machine := s.wants(s.token("svc", photos()), http.StatusOK, "").Member("access_token")
			s.wantExchanged(true, map[string]string{"gateway": s.exchanged("gateway", machine)})
		})
	}
}

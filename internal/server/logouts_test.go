package server

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/egress"
	"gatehouse/internal/spec"
)

// TestServeTellsClientsOfLogouts: a session that ends in the database, by whatever
// process, is told by the server that runs on it, and so is what was queued
// before it started.
func TestServeTellsClientsOfLogouts(t *testing.T) {
	spec.Covers(t, "OIDCBCL-2-1", "OIDCBCL-2.5-3")
	told := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r.PostFormValue("logout_token")
		w.WriteHeader(http.StatusOK)
	}))
	defer receiver.Close()
	r, address := runMeasured(t, func(s *Server) {
		outbound, err := egress.NewClient(egress.Config{Allow: []string{"127.0.0.1"}})
		if err != nil {
			t.Fatal(err)
		}
		s.outbound, s.logouts.HTTP = outbound, outbound.HTTP()
		queueLogout(t, s, receiver.URL, "before")
	})
	one := func(what string) {
		t.Helper()
		select {
		case token := <-told:
			if strings.Count(token, ".") != 2 {
				t.Errorf("%s: the token is %q", what, token)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s was not told\n%s", what, r.log)
		}
	}
	one("what was queued before the start")
	queueLogout(t, r.Server, receiver.URL, "after")
	one("what ended while the server runs")
	eventually(t, "both are counted", func() bool {
		return strings.Contains(r.scrape(t, address), `gatehouse_backchannel_logouts_total{outcome="delivered"} 2`+"\n")
	})
	if len(logoutOutcomes) != int(gatehouse.LogoutGivenUp) {
		t.Error("an outcome of a delivery has no name")
	}
}

// queueLogout has a user sign in to the client web and out again, in the
// database.
func queueLogout(t *testing.T, s *Server, uri, name string) {
	t.Helper()
	ctx, tenant := t.Context(), gatehouse.DefaultTenant
	must := func(done bool, err error) {
		t.Helper()
		if err != nil || !done {
			t.Fatalf("%v %v", done, err)
		}
	}
	client, found, err := s.store.Client(ctx, tenant, "web")
	must(found, err)
	client.BackchannelLogoutURI = uri
	must(true, s.store.PutClient(ctx, tenant, client, gatehouse.Event{Kind: gatehouse.EventClientChanged}))
	_, err = s.store.PutUser(ctx, tenant, gatehouse.User{Subject: name, Username: name}, gatehouse.Event{Actor: "test"})
	must(true, err)
	now := s.store.Now()
	must(s.store.CreateSession(ctx, tenant, [32]byte([]byte(strings.Repeat(name, 32))), gatehouse.Session{ID: name, Subject: name, AuthTime: now, ExpiresAt: now.Add(time.Hour)}, nil, gatehouse.Circumstance{}))
	grant := gatehouse.Grant{
		ID: gatehouse.GrantIDOf(now, sha256.Sum256([]byte(name))), Handle: name, ClientID: "web", Subject: name, SessionID: name, Scope: []string{"openid"}, ExpiresAt: now.Add(time.Hour),
		Code: gatehouse.CodeState{Hash: []byte(name), ExpiresAt: now.Add(time.Minute)},
	}
	issued, err := s.store.IssueCode(ctx, tenant, gatehouse.CodeIssue{Grant: grant})
	must(issued.Outcome == gatehouse.CodeAccepted, err)
	redeemed, err := s.store.RedeemCode(ctx, tenant, gatehouse.Redemption{ID: grant.ID, Handle: name, ClientID: "web", Subject: name, CodeHash: grant.Code.Hash, AccessUntil: now.Add(time.Minute), SessionID: name, TellLogout: true})
	must(redeemed == gatehouse.RedeemAccepted, err)
	must(s.store.EndSession(ctx, tenant, name, gatehouse.EndedByLogout, gatehouse.Circumstance{}))
}

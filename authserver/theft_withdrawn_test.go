package authserver_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/admin"
	"gatehouse/internal/secret"
	"gatehouse/internal/spec"
)

// TestARestoredBackupRevivesNothing: what was issued after the copy was made
// has a right tag with a hash that cannot be.
func TestARestoredBackupRevivesNothing(t *testing.T) {
	data := furnished(t)
	start := func() (*stage, func()) {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Data: data})
		return &stage{t, issuer, issuer.NewBrowser(t)}, stop
	}
	s, stop := start()
	issued := s.tokens()
	stop()
	backup := filesOf(t, data)

	s, stop = start()
	s.wantLive(issued)
	newer := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
	code := s.code()
	stop()
	restore(t, data, backup)

	s, stop = start()
	defer stop()
	s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
	s.wantEvents(gatehouse.EventLostState, 0)
	s.wants(s.refresh(newer.refresh), http.StatusBadRequest, "invalid_grant")
	s.wantEvents(gatehouse.EventLostState, 1)
	s.wantEnded(gatehouse.EndedByLostState)
	s.wantDead(issued)
	s.wantAccessDead(newer.access)
	s.wantLive(s.tokens())
}

// TestTwoChainsAfterARestoreCannotBothGoOn: the copy's own successor and the
// lost one meet.
func TestTwoChainsAfterARestoreCannotBothGoOn(t *testing.T) {
	data := furnished(t)
	issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Data: data})
	s := &stage{t, issuer, issuer.NewBrowser(t)}
	issued := s.tokens()
	stop()
	backup := filesOf(t, data)
	issuer, stop = gatehousetest.Run(t, gatehousetest.Options{Data: data})
	s = &stage{t, issuer, issuer.NewBrowser(t)}
	lost := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
	stop()
	restore(t, data, backup)
	issuer = gatehousetest.Start(t, gatehousetest.Options{Data: data})
	s = &stage{t, issuer, issuer.NewBrowser(t)}
	own := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
	if own.refresh == lost.refresh {
		t.Fatal("both successors are the same")
	}
	s.wantLive(own)
	s.wants(s.refresh(lost.refresh), http.StatusBadRequest, "invalid_grant")
	s.wantDead(own)
}

func TestRefreshNeverWidens(t *testing.T) {
	spec.Covers(t, "RT-10", "RFC6749-6-2", "RFC8707-2.2-3")
	s := open(t)
	issued := s.wants(s.redeem(s.code("scope", "openid profile photos:read")), http.StatusOK, "")
	for _, scope := range []string{"openid photos:read photos:write", "ledger:read", "email", "no:such", "openid email offline_access", "photos:READ"} {
		s.wants(s.refresh(issued.Member("refresh_token"), "scope", scope), http.StatusBadRequest, "invalid_scope")
	}
	s.wants(s.refresh(issued.Member("refresh_token"), "scope", `"`), http.StatusBadRequest, "invalid_scope")
	s.wants(s.refresh(issued.Member("refresh_token"), "resource", "https://ledger.example"), http.StatusBadRequest, "invalid_target")
	s.wants(s.refresh(issued.Member("refresh_token"), "resource", "https://nowhere.example"), http.StatusBadRequest, "invalid_target")

	less := s.wants(s.refresh(issued.Member("refresh_token"), "scope", "photos:read"), http.StatusOK, "")
	if less.Member("scope") != "photos:read" || less.Member("id_token") != "" {
		t.Errorf("narrowed to photos:read: %s", less.Text)
	}
	s.wants(s.userinfo(less.Member("access_token")), http.StatusForbidden, "insufficient_scope")
	all := s.wants(s.refresh(less.Member("refresh_token")), http.StatusOK, "")
	if all.Member("scope") != "openid profile photos:read" {
		t.Errorf("the successor has the scope %q", all.Member("scope"))
	}
	s.wants(s.userinfo(all.Member("access_token")), http.StatusOK, "")
}

func TestOfflineAccessThatWasNotGrantedIsIgnoredAtRefresh(t *testing.T) {
	s := open(t)
	issued := s.wants(s.redeem(s.code()), http.StatusOK, "")
	if issued.Member("refresh_token") == "" {
		t.Fatal("a client registered for the refresh_token grant got none without offline_access")
	}
	again := s.wants(s.refresh(issued.Member("refresh_token"), "scope", "openid photos:read offline_access"), http.StatusOK, "")
	if again.Member("scope") != "openid photos:read" {
		t.Errorf("the scope is %q", again.Member("scope"))
	}
	s.wants(s.refresh(again.Member("refresh_token"), "scope", "offline_access"), http.StatusOK, "")
}

// TestOfflineAccessIsForClientsThatRegisteredIt: spa may refresh, but not
// outlive the session.
func TestOfflineAccessIsForClientsThatRegisteredIt(t *testing.T) {
	s := open(t)
	page := s.SignIn(request("client_id", "spa", "redirect_uri", "https://spa.example/cb", "scope", "openid offline_access"), "alice", "wonderland-alice")
	if page.Location == nil || page.Location.Query().Get("code") == "" {
		t.Fatalf("no code: %d %s %v", page.StatusCode, page.Text, page.Location)
	}
	issued := s.wants(s.token("spa", url.Values{
		"grant_type": {"authorization_code"}, "code": {page.Location.Query().Get("code")},
		"redirect_uri": {"https://spa.example/cb"}, "code_verifier": {verifier},
	}), http.StatusOK, "")
	if issued.Member("scope") != "openid" {
		t.Errorf("the scope is %q", issued.Member("scope"))
	}
	s.signOut()
	s.wants(s.token("spa", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {issued.Member("refresh_token")},
	}), http.StatusBadRequest, "invalid_grant")
}

func (s *stage) signOut() {
	s.Helper()
	page := s.Get("/logout")
	page = s.Browser.Post("/logout/confirm", page.With())
	if page.StatusCode != http.StatusOK || page.Location != nil {
		s.Fatalf("not signed out: %d %s", page.StatusCode, page.Text)
	}
}

const offline = "openid photos:read offline_access"

func TestWhatEndsGrants(t *testing.T) {
	spec.Covers(t, "RT-08", "RFC9700-4.14.2-4")
	tenant, by := gatehouse.DefaultTenant, gatehouse.Circumstance{}
	for _, test := range []struct {
		name        string
		act         func(s *stage)
		offlineDies bool
	}{
		{"a disabled user", func(s *stage) {
			s.done(s.store().DisableUser(s.Context(), tenant, "sub-of-alice", true, gatehouse.Event{Kind: gatehouse.EventUserChanged}))
		}, true},
		{"a changed password", func(s *stage) {
			s.done(s.store().SetPassword(s.Context(), tenant, "sub-of-alice", "$argon2id$new", gatehouse.Event{Kind: gatehouse.EventUserChanged}))
		}, true},
		{"a withdrawn consent", func(s *stage) {
			s.done(s.store().WithdrawConsent(s.Context(), tenant, "sub-of-alice", "web", by))
		}, true},
		{"a removed user", func(s *stage) {
			s.done(s.store().DeleteUser(s.Context(), tenant, "sub-of-alice", gatehouse.Event{Kind: gatehouse.EventUserChanged}))
		}, true},
		{"a sign-out", func(s *stage) { s.signOut() }, false},
		{"another user in the same browser", func(s *stage) {
			page := s.Get(request("prompt", "login"))
			s.Browser.Post("/login", page.With("username", "bob", "password", "builder-bob-builds"))
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			online, stays := s.tokens(), s.tokens("scope", offline)
			waiting := s.code()
			s.wantLive(online)
			s.wantLive(stays)
			test.act(s)
			s.wantDead(online)
			s.wants(s.redeem(waiting), http.StatusBadRequest, "invalid_grant")
			if test.offlineDies {
				s.wantDead(stays)
				return
			}
			s.wantLive(stays)
			s.wants(s.refresh(stays.refresh), http.StatusOK, "")
		})
	}
}

// TestADisabledClientHasNothing: its access tokens are over for good, its
// grants wait until it is enabled again.
func TestADisabledClientHasNothing(t *testing.T) {
	spec.Covers(t, "AD-08")
	s := open(t)
	issued, waiting := s.tokens(), s.code()
	disable := func(disabled bool) {
		s.done(s.store().DisableClient(t.Context(), gatehouse.DefaultTenant, "web", disabled, gatehouse.Event{Kind: gatehouse.EventClientChanged}))
	}
	ask := func() string {
		return s.post("/introspect", "photos-api", url.Values{"token": {issued.access}}).Text
	}
	if ask() == inactive {
		t.Error("the resource server is told that a living token is not active")
	}
	disable(true)
	s.wants(s.refresh(issued.refresh), http.StatusUnauthorized, "invalid_client")
	s.wants(s.redeem(waiting), http.StatusUnauthorized, "invalid_client")
	s.wants(s.userinfo(issued.access), http.StatusUnauthorized, "invalid_token")
	if text := ask(); text != inactive {
		t.Errorf("the resource server is told %s", text)
	}
	if page := s.Get(request()); page.Location != nil || page.StatusCode != http.StatusBadRequest {
		t.Errorf("authorization is answered with %d, sent to %v", page.StatusCode, page.Location)
	}
	disable(false)
	s.wantAccessDead(issued.access)
	s.wants(s.refresh(issued.refresh), http.StatusOK, "")
}

// TestEnablingAgainRevivesNothing: what a disabling ended stays ended.
func TestEnablingAgainRevivesNothing(t *testing.T) {
	s := open(t)
	issued := s.tokens("scope", offline)
	for _, disabled := range []bool{true, false} {
		s.done(s.store().DisableUser(s.Context(), gatehouse.DefaultTenant, "sub-of-alice", disabled, gatehouse.Event{Kind: gatehouse.EventUserChanged}))
	}
	s.wantDead(issued)
	page := s.Get(request("prompt", "none"))
	if page.Location == nil || page.Location.Query().Get("error") != "login_required" {
		t.Errorf("the session lives: %v", page.Location)
	}
}

func TestSigningInAgainKeepsTheGrantsOfTheSamePerson(t *testing.T) {
	s := open(t)
	before := s.tokens()
	after := s.tokens("prompt", "login")
	s.wantLive(before)
	s.wantLive(after)
	s.signOut()
	s.wantDead(before)
	s.wantDead(after)
}

func TestRevocation(t *testing.T) {
	spec.Covers(t, "RFC7009-2.1-4", "IN-04")
	s := open(t)
	issued := s.tokens()
	next := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
	s.revoke("evil", issued.access)
	s.wantLive(next)
	s.revoke("web", issued.access) // an access token: itself alone
	s.wantAccessDead(issued.access)
	s.wantLive(next)
	s.revoke("web", next.refresh) // a refresh token: its grant
	s.wantDead(next)
	s.wantEnded(gatehouse.EndedByRevocation)
}

func TestSecretRotationOverlaps(t *testing.T) {
	spec.Covers(t, "TM-01")
	travel(t, func(s *stage) {
		const successor = "web-successor-that-is-long-enough-to-be-random"
		issued := s.tokens()
		client, _, err := s.store().Client(s.Context(), gatehouse.DefaultTenant, "web")
		s.did(err)
		_, err = admin.RotateSecret(context.Background(), s.store(), nil, gatehouse.DefaultTenant, client, secret.New(successor), time.Hour)
		s.did(err)
		ask := func(text string) gatehousetest.Answer {
			return s.Issuer.Post(s.T, "/introspect", "web", text, url.Values{"token": {issued.refresh}})
		}
		time.Sleep(time.Hour - time.Second)
		for _, text := range []string{secrets["web"], successor} {
			if s.wants(ask(text), http.StatusOK, "").Member("active") != "true" {
				s.Error("the refresh token is not active")
			}
		}
		time.Sleep(time.Second)
		s.wants(ask(secrets["web"]), http.StatusUnauthorized, "invalid_client")
		s.wants(ask(successor), http.StatusOK, "")
	})
}

package authserver_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/config"
	"gatehouse/internal/spec"
)

const day = 24 * time.Hour

// claims reads the claims of a JWT without checking it.
func (s *stage) claims(raw string) map[string]any {
	s.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		s.Fatalf("not a JWT: %s", raw)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	s.did(err)
	var claims map[string]any
	s.did(json.Unmarshal(payload, &claims))
	return claims
}

// at returns a claim that is a time.
func (s *stage) at(raw, claim string) time.Time {
	s.Helper()
	seconds, isNumber := s.claims(raw)[claim].(float64)
	if !isNumber {
		s.Fatalf("%s is %v", claim, s.claims(raw)[claim])
	}
	return time.Unix(int64(seconds), 0)
}

func (s *stage) wantAt(raw, claim string, want time.Time) {
	s.Helper()
	if got := s.at(raw, claim); !got.Equal(want.Truncate(time.Second)) {
		s.Errorf("%s is %v, want %v", claim, got.UTC(), want.UTC())
	}
}

func TestCodesLiveForAMinute(t *testing.T) {
	spec.Covers(t, "CD-06", "RFC6749-4.1.2-1")
	travel(t, func(s *stage) {
		code := s.code()
		time.Sleep(time.Minute - time.Second)
		s.wants(s.redeem(code), http.StatusOK, "")
		for _, late := range []time.Duration{time.Minute, time.Minute + time.Second, 30 * day} {
			code = s.code("prompt", "login")
			time.Sleep(late)
			s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
		}
	})
}

func TestCodesLiveAsLongAsTheTenantSays(t *testing.T) {
	travel(t, func(s *stage) {
		life := func(of time.Duration) {
			code := s.code()
			time.Sleep(of - time.Second)
			s.wants(s.redeem(code), http.StatusOK, "")
			code = s.code()
			time.Sleep(of)
			s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
		}
		life(gatehouse.MaxCodeLifetime)
		s.set(func(settings *gatehouse.Settings) { settings.CodeLifetime = config.Duration(5 * time.Second) })
		life(5 * time.Second)
	}, func(settings *gatehouse.Settings) { settings.CodeLifetime = config.Duration(gatehouse.MaxCodeLifetime) })
}

func TestAccessTokensLiveAsLongAsTheySay(t *testing.T) {
	spec.Covers(t, "RFC6750-5.2-2")
	travel(t, func(s *stage) {
		now := time.Now()
		answer := s.wants(s.redeem(s.code()), http.StatusOK, "")
		access := answer.Member("access_token")
		if answer.Member("expires_in") != "600" {
			t.Errorf("expires_in is %s", answer.Member("expires_in"))
		}
		s.wantAt(access, "iat", now)
		s.wantAt(access, "exp", now.Add(10*time.Minute))
		time.Sleep(10*time.Minute - time.Second)
		s.wantLive(tokens{access: access})
		time.Sleep(time.Second)
		s.wantAccessDead(access)

		form := url.Values{"grant_type": {"client_credentials"}, "scope": {"ledger:read"}}
		opaque := s.wants(s.token("svc", form), http.StatusOK, "")
		if opaque.Member("expires_in") != "300" || !strings.HasPrefix(opaque.Member("access_token"), "gha_") {
			t.Errorf("the opaque token: %s", opaque.Text)
		}
		ask := func() string {
			return s.post("/introspect", "svc", url.Values{"token": {opaque.Member("access_token")}}).Member("active")
		}
		time.Sleep(5*time.Minute - time.Second)
		if ask() != "true" {
			t.Error("the opaque token is not active a second before its end")
		}
		time.Sleep(time.Second)
		if ask() != "false" {
			t.Error("the opaque token is active at its end")
		}
	})
}

func TestRefreshTokensDieOfIdleness(t *testing.T) {
	spec.Covers(t, "RFC9700-4.14.2-5")
	travel(t, func(s *stage) {
		issued := s.tokens("scope", offline)
		for range 2 {
			time.Sleep(30*day - time.Second)
			issued = tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
		}
		time.Sleep(30 * day)
		s.wantDead(issued)
		s.wantEvents(gatehouse.EventRefreshReplayed, 0)
		s.wants(s.redeem(s.code()), http.StatusOK, "")
	})
}

func TestRotationNeverMovesTheAbsoluteEnd(t *testing.T) {
	spec.Covers(t, "RT-12")
	travel(t, func(s *stage) {
		issued := s.tokens("scope", offline)
		for range 8 {
			time.Sleep(10 * day)
			issued = tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
		}
		time.Sleep(10*day - time.Second)
		issued = tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
		time.Sleep(time.Second)
		s.wants(s.refresh(issued.refresh), http.StatusBadRequest, "invalid_grant")
		if text := s.introspect(issued.refresh).Text; text != inactive {
			t.Errorf("introspection says %s", text)
		}
		s.wantEvents(gatehouse.EventGrantEnded, 0)
	})
}

// silent asks without a page and returns the error, "" when a code came.
func (s *stage) silent(pairs ...string) string {
	s.Helper()
	page := s.Get(request(append([]string{"prompt", "none"}, pairs...)...))
	if page.Location == nil {
		s.Fatalf("prompt=none ended on a page: %d %s", page.StatusCode, page.Text)
	}
	query := page.Location.Query()
	if query.Get("error") == "" && query.Get("code") == "" {
		s.Errorf("neither code nor error: %v", page.Location)
	}
	return query.Get("error")
}

func (s *stage) wantSilent(want string, pairs ...string) {
	s.Helper()
	if got := s.silent(pairs...); got != want {
		s.Errorf("prompt=none is answered with %q, want %q", got, want)
	}
}

func TestSessionsEndByIdlenessAndByAge(t *testing.T) {
	travel(t, func(s *stage) {
		s.wantSilent("login_required")
		s.code()
		s.wantSilent("")
		time.Sleep(day - time.Second)
		s.wantSilent("")
		time.Sleep(day)
		s.wantSilent("login_required") // idle
		s.code()
		for range 13 {
			time.Sleep(day / 2)
			s.wantSilent("")
		}
		time.Sleep(day / 2)
		s.wantSilent("login_required") // seven days, though never idle
		s.code()
		s.wantSilent("")
	})
}

func TestASignInThatTakesTooLongStartsAgain(t *testing.T) {
	travel(t, func(s *stage) {
		page := s.Get(request())
		form := page.With("username", "alice", "password", "wonderland-alice")
		time.Sleep(time.Hour)
		consent := s.Browser.Post("/login", form)
		if !strings.Contains(consent.Text, `id="consent-allow"`) {
			t.Fatalf("after an hour: %d %s", consent.StatusCode, consent.Text)
		}
		time.Sleep(time.Second)
		late := s.Browser.Post("/consent", consent.With("decision", "allow"))
		if late.StatusCode != http.StatusBadRequest || late.Location != nil || !strings.Contains(late.Text, "interaction-expired") {
			t.Errorf("the form is answered with %d %s", late.StatusCode, late.Text)
		}
		s.wantEvents(gatehouse.EventCodeIssued, 0)
		s.code()
	})
}

// shows says whether the request asks for a password.
func (s *stage) shows(target string) (gatehousetest.Page, bool) {
	s.Helper()
	page := s.Get(target)
	return page, strings.Contains(page.Text, `id="password"`)
}

func TestMaxAgeAndPromptLoginAskForThePasswordOnce(t *testing.T) {
	spec.Covers(t, "SE-12", "OIDF-19", "OIDF-20", "OIDCC-3.1.2.1-8")
	travel(t, func(s *stage) {
		signedIn := time.Now()
		first := s.tokens()
		s.wantAt(first.id, "auth_time", signedIn)
		time.Sleep(100 * time.Second)
		for _, silently := range [][]string{{}, {"max_age", "100"}, {"max_age", "10000"}} {
			issued := s.tokens(silently...)
			s.wantAt(issued.id, "auth_time", signedIn)
			s.wantAt(issued.id, "iat", time.Now())
		}
		s.wantSilent("login_required", "max_age", "99")
		s.wantSilent("login_required", "max_age", "0")
		for _, again := range [][]string{{"max_age", "99"}, {"max_age", "0"}, {"prompt", "login"}, {"prompt", "login consent", "max_age", "1"}} {
			time.Sleep(100 * time.Second)
			if _, asks := s.shows(request(again...)); !asks {
				t.Errorf("%v: no password was asked for", again)
			}
			page := s.Get(request(again...))
			time.Sleep(20 * time.Second) // longer than max_age: judged at the start, so no loop
			page = s.Browser.Post("/login", page.With("username", "alice", "password", "wonderland-alice"))
			if strings.Contains(page.Text, `id="consent-allow"`) {
				page = s.Browser.Post("/consent", page.With("decision", "allow"))
			}
			if page.Location == nil || page.Location.Query().Get("code") == "" {
				t.Fatalf("%v: %d %s", again, page.StatusCode, page.Text)
			}
			issued := tokensOf(s.wants(s.redeem(page.Location.Query().Get("code")), http.StatusOK, ""))
			s.wantAt(issued.id, "auth_time", time.Now())
		}
		refreshed := tokensOf(s.wants(s.refresh(first.refresh), http.StatusOK, ""))
		s.wantAt(refreshed.id, "auth_time", signedIn) // OpenID Connect Core §12.2
	})
}

// TestAnOldSessionNeverSatisfiesPromptLogin: the sealed interaction is no
// proof of a sign-in.
func TestAnOldSessionNeverSatisfiesPromptLogin(t *testing.T) {
	travel(t, func(s *stage) {
		s.code()
		time.Sleep(time.Minute)
		login := s.Get(request("prompt", "login"))
		if page, asks := s.shows("/authorize?i=" + login.Hidden().Get("i")); asks || page.StatusCode != http.StatusBadRequest {
			t.Errorf("the state of the login page is taken for that of a resumed request: %d", page.StatusCode)
		}
		page := s.Browser.Post("/login", login.With("action", "continue", "session", "any"))
		if page.Location != nil || page.StatusCode == http.StatusOK {
			t.Errorf("went on without a password: %d, sent to %v", page.StatusCode, page.Location)
		}
		page = s.Browser.Post("/login", login.With("username", "alice", "password", "wonderland-alice"))
		if page.Location == nil {
			t.Errorf("the right password: %d %s", page.StatusCode, page.Text)
		}
	})
}

// TestAnOlderSessionOfTheSameUserCannotAnswer what a new sign-in was asked
// for: consent is given in a session that satisfies the request.
func TestAnOlderSessionOfTheSameUserCannotAnswer(t *testing.T) {
	travel(t, func(s *stage) {
		s.code()
		old := s.cookie("session")
		time.Sleep(time.Hour)
		fresh := s.anew(s.T)
		page := fresh.Get(request("prompt", "login consent"))
		page = fresh.Browser.Post("/login", page.With("username", "alice", "password", "wonderland-alice"))
		form := page.With("decision", "allow")
		r, _ := http.NewRequest(http.MethodPost, s.URL+"/consent", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", formType)
		r.AddCookie(fresh.cookie("browser"))
		r.AddCookie(old)
		answer := s.Do(s.T, r)
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(answer.Text, "consent-other-session.") {
			t.Errorf("the old session is answered with %d, sent to %s", answer.StatusCode, answer.Header.Get("Location"))
		}
		s.wantAnswer(fresh.Browser.Post("/consent", form), webCallback, "")
	})
}

func TestSelectAccountAsksAndAcceptsTheSession(t *testing.T) {
	travel(t, func(s *stage) {
		s.code()
		time.Sleep(time.Minute)
		page := s.Get(request("prompt", "select_account"))
		form := page.With("action", "continue")
		_, session, found := strings.Cut(page.Text, `name="session" value="`)
		session, _, _ = strings.Cut(session, `"`)
		if !found {
			t.Fatalf("the page offers no session: %s", page.Text)
		}
		form.Set("session", session)
		page = s.Browser.Post("/login", form)
		if page.Location == nil || page.Location.Query().Get("code") == "" {
			t.Errorf("not sent back: %d %s", page.StatusCode, page.Text)
		}
	})
}

func TestTheGraceIsASetting(t *testing.T) {
	minute := config.DurationOrZero(time.Minute)
	travel(t, func(s *stage) {
		issued := s.tokens()
		next := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
		time.Sleep(time.Minute - time.Second)
		s.wants(s.refresh(issued.refresh), http.StatusOK, "")
		time.Sleep(time.Second)
		s.wants(s.refresh(issued.refresh), http.StatusBadRequest, "invalid_grant")
		s.wantDead(next)
	}, func(settings *gatehouse.Settings) { settings.RefreshGrace = &minute })
}

// TestEndingsOutliveTheTokensTheyConcern: sweeping forgets nothing too soon.
func TestEndingsOutliveTheTokensTheyConcern(t *testing.T) {
	travel(t, func(s *stage) {
		issued := s.tokens()
		s.revoke("web", issued.refresh)
		for range 10 {
			time.Sleep(time.Minute)
			_, err := s.store().Sweep(s.Context())
			s.did(err)
			s.wantDead(issued)
		}
		time.Sleep(40 * day)
		_, err := s.store().Sweep(s.Context())
		s.did(err)
		s.wantDead(issued)
	})
}

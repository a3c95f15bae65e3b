package authserver_test

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/spec"
)

// travel runs a test on a stage whose time passes when it sleeps.
func travel(t *testing.T, run func(*stage), changes ...func(*gatehouse.Settings)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { run(open(t, changes...)) })
}

// defaultGrace and defaultCodeLifetime are what a tenant has that sets none.
const (
	defaultGrace        = 30 * time.Second
	defaultCodeLifetime = time.Minute
)

func TestCodeRedeemedTwiceEndsTheGrantAndAllItIssued(t *testing.T) {
	spec.Covers(t, "CD-01", "RFC6749-4.1.2-3", "OIDF-27")
	s := open(t)
	code := s.code()
	first := tokensOf(s.wants(s.redeem(code), http.StatusOK, ""))
	s.wantLive(first)
	next := tokensOf(s.wants(s.refresh(first.refresh), http.StatusOK, ""))

	s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
	s.wantAccessDead(first.access)
	s.wantDead(next)
	s.wantEvents(gatehouse.EventCodeReplayed, 1)
	s.wantEnded(gatehouse.EndedByCodeReplay)

	s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
	s.wantEvents(gatehouse.EventCodeReplayed, 1)
	s.wantLive(s.tokens())
}

func TestSecondRedemptionCountsAlsoAfterTheCodeHasExpired(t *testing.T) {
	travel(t, func(s *stage) {
		code := s.code()
		issued := tokensOf(s.wants(s.redeem(code), http.StatusOK, ""))
		time.Sleep(5 * defaultCodeLifetime)
		s.wantLive(issued)
		s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
		s.wantDead(issued)
		s.wantEnded(gatehouse.EndedByCodeReplay)
	})
}

func TestFirstRedemptionAfterTheExpiryEndsNothing(t *testing.T) {
	travel(t, func(s *stage) {
		code := s.code()
		time.Sleep(defaultCodeLifetime)
		s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
		s.wantEvents(gatehouse.EventGrantEnded, 0)
		s.wantEvents(gatehouse.EventCodeReplayed, 0)
	})
}

// TestAReplayIsOneWhateverElseIsAsked: a copy of the code is out, also when its
// holder asks for something that would be refused.
func TestAReplayIsOneWhateverElseIsAsked(t *testing.T) {
	spec.Covers(t, "CD-01")
	s := open(t)
	code := s.code()
	s.wants(s.redeem(code, "resource", "https://unknown.example"), http.StatusBadRequest, "invalid_target")
	issued := tokensOf(s.wants(s.redeem(code), http.StatusOK, ""))
	s.wantLive(issued)
	s.wants(s.redeem(code, "resource", "https://unknown.example"), http.StatusBadRequest, "invalid_grant")
	s.wantDead(issued)
	s.wantEnded(gatehouse.EndedByCodeReplay)
	s.wantLive(s.tokens())
}

// TestTokensNameTheSessionThatTheGrantHasNow: the same person signed in again
// in the same browser while the code, and later the refresh token, was on its way.
func TestTokensNameTheSessionThatTheGrantHasNow(t *testing.T) {
	s := open(t)
	code := s.code()
	again := s.tokens("prompt", "login")
	issued := tokensOf(s.wants(s.redeem(code), http.StatusOK, ""))
	if sid := s.claims(issued.id)["sid"]; sid == nil || sid != s.claims(again.id)["sid"] {
		t.Errorf("the ID token of the code names the session %v, not %v", sid, s.claims(again.id)["sid"])
	}
	latest := s.tokens("prompt", "login")
	refreshed := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
	if sid := s.claims(refreshed.id)["sid"]; sid == nil || sid != s.claims(latest.id)["sid"] {
		t.Errorf("the ID token of the refresh names the session %v, not %v", sid, s.claims(latest.id)["sid"])
	}
}

// attempts with a stolen code that is not yet redeemed, or has been.
func (s *stage) foreignAttempts(code string) {
	s.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {webCallback}, "code_verifier": {verifier}}
	for _, client := range []string{"evil", "spa", "native", "basic"} {
		answer := s.token(client, form)
		if answer.StatusCode != http.StatusBadRequest || answer.Member("access_token") != "" {
			s.Errorf("%s redeemed the code of web: %d %s", client, answer.StatusCode, answer.Text)
		}
	}
	s.wants(s.token("evil", with(form, []string{"client_id", "web"})), http.StatusBadRequest, "invalid_grant")
	form.Del("client_id")
	s.wants(s.Issuer.Post(s.T, "/token", "web", "a wrong secret", form), http.StatusUnauthorized, "invalid_client")
	s.wants(s.Issuer.Post(s.T, "/token", "web", "", form), http.StatusUnauthorized, "invalid_client")
	s.wants(s.redeem(code, "redirect_uri", "https://app.example/other"), http.StatusBadRequest, "invalid_grant")
	s.wants(s.redeem(code, "redirect_uri", "https://app.example/cb?kept=1"), http.StatusBadRequest, "invalid_grant")
	s.wants(s.redeem(code, "redirect_uri", "https://evil.example/cb", "code_verifier", "x"), http.StatusBadRequest, "invalid_grant")
	s.wants(s.redeem(code, "code_verifier", ""), http.StatusBadRequest, "invalid_grant")
}

func TestForeignAttemptsNeverHarmACode(t *testing.T) {
	spec.Covers(t, "CD-02", "RFC6749-4.1.2-2", "RFC6749-4.1.3-2", "RFC6749-4.1.3-3", "RU-21")
	s := open(t)
	code := s.code()
	for range 4 {
		s.foreignAttempts(code)
	}
	issued := tokensOf(s.wants(s.redeem(code), http.StatusOK, ""))
	for range 4 {
		s.foreignAttempts(code)
		s.wants(s.redeem(code, "code_verifier", "a-wrong-verifier-that-has-a-length-of-at-least-43"), http.StatusBadRequest, "invalid_grant")
	}
	s.wantLive(issued)
	s.wantEvents(gatehouse.EventGrantEnded, 0)
	s.wantEvents(gatehouse.EventCodeReplayed, 0)
}

const wrongVerifier = "this-is-the-wrong-verifier-but-it-has-the-right-length"

func TestThirdWrongVerifierKillsTheCode(t *testing.T) {
	spec.Covers(t, "PK-05")
	s := open(t)
	code := s.code()
	for range gatehouse.MaxWrongVerifiers - 1 {
		s.wants(s.redeem(code, "code_verifier", wrongVerifier), http.StatusBadRequest, "invalid_grant")
	}
	s.wants(s.redeem(code), http.StatusOK, "")

	code = s.code()
	for range gatehouse.MaxWrongVerifiers {
		s.wants(s.redeem(code, "code_verifier", wrongVerifier), http.StatusBadRequest, "invalid_grant")
	}
	s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
	s.wantEnded(gatehouse.EndedByWrongVerifier)
	s.wantEvents(gatehouse.EventWrongVerifier, 2*gatehouse.MaxWrongVerifiers-1)
}

func TestConsentSentTwiceGetsTheSameRedirectAndLaterTheFinishedPage(t *testing.T) {
	s := open(t)
	page := s.Get(request("prompt", "consent"))
	page = s.Browser.Post("/login", page.With("username", "alice", "password", "wonderland-alice"))
	form := page.With("decision", "allow")
	first := s.Browser.Post("/consent", form)
	second := s.Browser.Post("/consent", form)
	if first.Location == nil || second.Location == nil || first.Location.String() != second.Location.String() {
		t.Fatalf("the redirects are %v and %v", first.Location, second.Location)
	}
	s.wantEvents(gatehouse.EventCodeIssued, 1)
	issued := tokensOf(s.wants(s.redeem(first.Location.Query().Get("code")), http.StatusOK, ""))
	third := s.Browser.Post("/consent", form)
	if third.Location != nil || third.StatusCode != http.StatusOK {
		t.Errorf("after the redemption: %d, sent to %v", third.StatusCode, third.Location)
	}
	s.wantLive(issued)
	s.wantEvents(gatehouse.EventCodeIssued, 1)
	other := s.NewBrowser(t)
	if page := other.Post("/consent", form); page.Location != nil || page.StatusCode < 400 {
		t.Errorf("another browser sent the form: %d, sent to %v", page.StatusCode, page.Location)
	}
}

func TestWithinTheGraceThePredecessorGetsTheSameSuccessorAndItIsRecorded(t *testing.T) {
	spec.Covers(t, "FT-05")
	travel(t, func(s *stage) {
		issued := s.tokens()
		next := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
		time.Sleep(defaultGrace - time.Second)
		again := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
		if again.refresh != next.refresh {
			s.Error("the successors differ")
		}
		if again.access == next.access {
			s.Error("the access token is the same")
		}
		event := s.wantEvents(gatehouse.EventRedelivered, 1)[0]
		if event.By.Address != "192.0.2.7" || event.ClientID != "web" || event.Subject != "sub-of-alice" {
			s.Errorf("the redelivery is recorded as %+v", event)
		}
		s.wantLive(next)
		s.wantLive(tokens{access: again.access, refresh: again.refresh})
	})
}

func TestReplayAfterTheGraceEndsTheGrant(t *testing.T) {
	spec.Covers(t, "RT-01", "RFC9700-4.14.2-3")
	travel(t, func(s *stage) {
		issued := s.tokens()
		next := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
		time.Sleep(defaultGrace)
		s.wantLive(next)
		s.wants(s.refresh(issued.refresh), http.StatusBadRequest, "invalid_grant")
		s.wantDead(next)
		s.wantAccessDead(issued.access)
		s.wantEvents(gatehouse.EventRefreshReplayed, 1)
		s.wantEnded(gatehouse.EndedByRefreshReplay)
	})
}

func TestAnOlderGenerationEndsTheGrantAlsoWithinTheGrace(t *testing.T) {
	s := open(t)
	issued := s.tokens()
	second := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
	third := tokensOf(s.wants(s.refresh(second.refresh), http.StatusOK, ""))
	s.wantLive(third)
	s.wants(s.refresh(issued.refresh), http.StatusBadRequest, "invalid_grant")
	s.wantDead(third)
	s.wantEnded(gatehouse.EndedByRefreshReplay)
}

func noGrace(settings *gatehouse.Settings) { settings.RefreshGrace = new(config.DurationOrZero) }

func TestWithoutGraceEveryReplayEndsTheGrant(t *testing.T) {
	s := open(t, noGrace)
	issued := s.tokens()
	next := tokensOf(s.wants(s.refresh(issued.refresh), http.StatusOK, ""))
	s.wantLive(next)
	s.wants(s.refresh(issued.refresh), http.StatusBadRequest, "invalid_grant")
	s.wantDead(next)
}

func TestForeignClientsNeverHarmARefreshToken(t *testing.T) {
	spec.Covers(t, "RT-06", "RT-07", "RFC6749-6-3")
	s := open(t)
	issued := s.tokens()
	old := issued.refresh
	issued = tokensOf(s.wants(s.refresh(old), http.StatusOK, ""))
	for _, token := range []string{old, issued.refresh} {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
		for _, client := range []string{"evil", "spa", "native"} {
			s.wants(s.token(client, form), http.StatusBadRequest, "invalid_grant")
			s.revoke(client, token)
			if text := s.post("/introspect", "evil", url.Values{"token": {token}}).Text; text != inactive {
				t.Errorf("evil is told %s", text)
			}
		}
		s.wants(s.Issuer.Post(t, "/token", "web", "", form), http.StatusUnauthorized, "invalid_client")
		s.wants(s.Issuer.Post(t, "/token", "web", "wrong", form), http.StatusUnauthorized, "invalid_client")
	}
	s.wantLive(issued)
	s.wants(s.refresh(issued.refresh), http.StatusOK, "")
	s.wantEvents(gatehouse.EventGrantEnded, 0)
}

func TestThiefAndVictimInEitherOrder(t *testing.T) {
	// Once both have used the token, whoever comes second after the grace ends
	// what the other one has.
	for name, run := range map[string]func(s *stage, stolen string){
		"the thief is first": func(s *stage, stolen string) {
			thief := tokensOf(s.wants(s.refresh(stolen), http.StatusOK, ""))
			thief = tokensOf(s.wants(s.refresh(thief.refresh), http.StatusOK, ""))
			s.wants(s.refresh(stolen), http.StatusBadRequest, "invalid_grant") // the victim
			s.wantDead(thief)
		},
		"the victim is first": func(s *stage, stolen string) {
			victim := tokensOf(s.wants(s.refresh(stolen), http.StatusOK, ""))
			time.Sleep(defaultGrace)
			s.wants(s.refresh(stolen), http.StatusBadRequest, "invalid_grant") // the thief
			s.wantDead(victim)
		},
		"both within the grace, then both go on": func(s *stage, stolen string) {
			thief := tokensOf(s.wants(s.refresh(stolen), http.StatusOK, ""))
			victim := tokensOf(s.wants(s.refresh(stolen), http.StatusOK, ""))
			s.wantEvents(gatehouse.EventRedelivered, 1)
			time.Sleep(time.Hour)
			thief2 := tokensOf(s.wants(s.refresh(thief.refresh), http.StatusOK, ""))
			time.Sleep(time.Hour)
			s.wants(s.refresh(victim.refresh), http.StatusBadRequest, "invalid_grant")
			s.wantDead(thief2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			travel(t, func(s *stage) { run(s, s.tokens().refresh) })
		})
	}
}

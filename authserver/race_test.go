package authserver_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// callers come at once.
const callers = 50

// rounds returns how often a race is run.
func rounds() int {
	if os.Getenv("GATEHOUSE_TEST_NIGHTLY") == "1" {
		return 200
	}
	return 20
}

// together runs the acts at once, as nearly as a barrier can, and returns
// their answers.
func together(acts ...func() gatehousetest.Answer) []gatehousetest.Answer {
	answers := make([]gatehousetest.Answer, len(acts))
	barrier := make(chan struct{})
	var group sync.WaitGroup
	for i, act := range acts {
		group.Go(func() {
			<-barrier
			answers[i] = act()
		})
	}
	close(barrier)
	group.Wait()
	return answers
}

func times(count int, act func() gatehousetest.Answer) []func() gatehousetest.Answer {
	acts := make([]func() gatehousetest.Answer, count)
	for i := range acts {
		acts[i] = act
	}
	return acts
}

// accepted returns the tokens of the answers that gave some, and fails unless
// all others refuse with invalid_grant.
func (s *stage) accepted(answers []gatehousetest.Answer) []tokens {
	s.Helper()
	var all []tokens
	for _, answer := range answers {
		if answer.StatusCode == http.StatusOK {
			all = append(all, tokensOf(answer))
			continue
		}
		s.wants(answer, http.StatusBadRequest, "invalid_grant")
	}
	return all
}

// wantGone fails if introspection knows anything of the tokens.
func (s *stage) wantGone(all []tokens) {
	s.Helper()
	for _, t := range all {
		for _, text := range []string{t.access, t.refresh} {
			if said := s.introspect(text).Text; said != inactive {
				s.Errorf("introspection says %s", said)
			}
		}
	}
}

// photosOnly asks for no ID token, which would cost most of the time.
var photosOnly = []string{"scope", "photos:read"}

func TestOneCodeByFiftyCallers(t *testing.T) {
	spec.Covers(t, "FT-01", "RFC6749-10.5-1")
	s := open(t)
	for round := range rounds() {
		code := s.code(photosOnly...)
		all := s.accepted(together(times(callers, func() gatehousetest.Answer { return s.redeem(code) })...))
		if len(all) != 1 {
			t.Errorf("round %d: %d redemptions succeeded", round, len(all))
		}
		s.wantGone(all)
		s.wants(s.refresh(all[0].refresh), http.StatusBadRequest, "invalid_grant")
	}
	s.wantEvents(gatehouse.EventCodeReplayed, rounds())
	s.wantEvents(gatehouse.EventGrantEnded, rounds())
}

func TestOneCodeByItsOwnerAmongStrangers(t *testing.T) {
	s := open(t)
	for round := range rounds() {
		code := s.code(photosOnly...)
		foreign := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {webCallback}, "code_verifier": {verifier}}
		acts := times(gatehouse.MaxWrongVerifiers-1, func() gatehousetest.Answer { return s.redeem(code, "code_verifier", wrongVerifier) })
		acts = append(acts, func() gatehousetest.Answer { return s.redeem(code) })
		acts = append(acts, times(10, func() gatehousetest.Answer { return s.token("evil", foreign) })...)
		acts = append(acts, times(10, func() gatehousetest.Answer { return s.token("spa", foreign) })...)
		acts = append(acts, times(10, func() gatehousetest.Answer { return s.redeem(code, "redirect_uri", "https://app.example/") })...)
		all := s.accepted(together(acts...))
		if len(all) != 1 {
			t.Fatalf("round %d: the owner got %d answers with tokens", round, len(all))
		}
		if s.introspect(all[0].access).Member("active") != "true" || s.introspect(all[0].refresh).Member("active") != "true" {
			t.Errorf("round %d: strangers harmed the grant", round)
		}
	}
	s.wantEvents(gatehouse.EventGrantEnded, 0)
}

func TestOneRefreshTokenByFiftyCallers(t *testing.T) {
	spec.Covers(t, "RT-02", "FT-05")
	s := open(t)
	for round := range rounds() {
		issued := s.tokens(photosOnly...)
		all := s.accepted(together(times(callers, func() gatehousetest.Answer { return s.refresh(issued.refresh) })...))
		if len(all) != callers {
			t.Fatalf("round %d: %d of %d were answered", round, len(all), callers)
		}
		for _, one := range all {
			if one.refresh != all[0].refresh {
				t.Fatalf("round %d: two successors", round)
			}
		}
		ends := []tokens{all[0], all[callers/2], all[callers-1]} // asking about all would take most of the time
		for _, one := range ends {
			if s.introspect(one.access).Member("active") != "true" {
				t.Errorf("round %d: an access token is dead", round)
			}
		}
		next := tokensOf(s.wants(s.refresh(all[0].refresh), http.StatusOK, ""))
		s.wants(s.refresh(issued.refresh), http.StatusBadRequest, "invalid_grant") // an older generation
		s.wantGone(append(ends, next))
	}
}

func TestOneRefreshTokenByFiftyCallersWithoutGrace(t *testing.T) {
	spec.Covers(t, "FT-04")
	s := open(t, noGrace)
	for round := range rounds() {
		issued := s.tokens(photosOnly...)
		all := s.accepted(together(times(callers, func() gatehousetest.Answer { return s.refresh(issued.refresh) })...))
		if len(all) != 1 {
			t.Errorf("round %d: %d succeeded", round, len(all))
		}
		s.wantGone(append(all, issued))
	}
	s.wantEvents(gatehouse.EventRefreshReplayed, rounds())
}

func TestConsentFormSentFiftyTimesAtOnce(t *testing.T) {
	s := open(t)
	page := s.Get(request("prompt", "consent"))
	page = s.Browser.Post("/login", page.With("username", "alice", "password", "wonderland-alice"))
	form := page.With("decision", "allow")
	answers := together(times(callers, func() gatehousetest.Answer { return s.Once(http.MethodPost, "/consent", form) })...)
	for _, answer := range answers {
		if got, want := answer.Header.Get("Location"), answers[0].Header.Get("Location"); got != want || got == "" {
			t.Fatalf("sent to %q and %q", got, want)
		}
	}
	s.wantEvents(gatehouse.EventCodeIssued, 1)
}

// TestRefreshAgainstItsEnd: after both have answered nothing is left,
// whichever was first.
func TestRefreshAgainstItsEnd(t *testing.T) {
	tenant, by := gatehouse.DefaultTenant, gatehouse.Circumstance{}
	user := func(s *stage, disabled bool) error {
		_, err := s.store().DisableUser(s.Context(), tenant, "sub-of-alice", disabled, gatehouse.Event{Kind: gatehouse.EventUserChanged})
		return err
	}
	none := gatehousetest.Answer{}
	for _, test := range []struct {
		name  string
		end   func(s *stage, issued tokens) gatehousetest.Answer
		after func(s *stage)
	}{
		{"revocation", func(s *stage, issued tokens) gatehousetest.Answer { return s.revoke("web", issued.refresh) }, nil},
		{"withdrawn consent", func(s *stage, _ tokens) gatehousetest.Answer {
			if _, err := s.store().WithdrawConsent(s.Context(), tenant, "sub-of-alice", "web", by); err != nil {
				s.Error(err)
			}
			return none
		}, nil},
		{"sign-out", func(s *stage, issued tokens) gatehousetest.Answer {
			return s.Once(http.MethodGet, "/logout?"+url.Values{"id_token_hint": {issued.id}}.Encode(), nil)
		}, nil},
		{"disabled user", func(s *stage, _ tokens) gatehousetest.Answer {
			if err := user(s, true); err != nil {
				s.Error(err)
			}
			return none
		}, func(s *stage) { s.did(user(s, false)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			for range rounds() {
				issued := s.tokens()
				acts := times(4, func() gatehousetest.Answer { return s.refresh(issued.refresh) })
				answers := together(append(acts, func() gatehousetest.Answer { return test.end(s, issued) })...)
				all := s.accepted(answers[:4])
				for _, one := range append(all, issued) {
					s.wantDead(one)
				}
				if test.after != nil {
					test.after(s)
				}
			}
		})
	}
}

// TestRedemptionAgainstDisabling: a code whose user is disabled meanwhile
// yields nothing that lasts.
func TestRedemptionAgainstDisabling(t *testing.T) {
	s := open(t)
	for range rounds() {
		code := s.code()
		answers := together(func() gatehousetest.Answer { return s.redeem(code) }, func() gatehousetest.Answer {
			_, err := s.store().DisableUser(t.Context(), gatehouse.DefaultTenant, "sub-of-alice", true, gatehouse.Event{Kind: gatehouse.EventUserChanged})
			if err != nil {
				t.Error(err)
			}
			return gatehousetest.Answer{}
		})
		for _, one := range s.accepted(answers[:1]) {
			s.wantDead(one)
		}
		_, err := s.store().DisableUser(t.Context(), gatehouse.DefaultTenant, "sub-of-alice", false, gatehouse.Event{Kind: gatehouse.EventUserChanged})
		s.did(err)
	}
}

// TestUniqueAndUnpredictable looks at many of everything that must not be
// guessed.
func TestUniqueAndUnpredictable(t *testing.T) {
	spec.Covers(t, "PK-08", "RFC6749-10.10-1")
	s := open(t)
	s.code()
	seen := map[string]bool{}
	add := func(kind, text string) {
		if text == "" || seen[text] {
			t.Errorf("%s came twice, or is empty: %q", kind, text)
		}
		seen[text] = true
	}
	prefix := map[string]string{}
	for i := range 25 {
		code := s.code(photosOnly...)
		issued := s.tokens(photosOnly...)
		for kind, text := range map[string]string{"code": code, "refresh token": issued.refresh} {
			add(kind, text)
			if i == 0 {
				prefix[kind] = text
			}
			prefix[kind] = common(prefix[kind], text)
		}
		add("access token", issued.access)
	}
	for kind, shared := range prefix {
		// Kind, version, key id and the time of birth: four characters and eleven bytes.
		if len(shared) > 4+15 {
			t.Errorf("every %s begins with %q", kind, shared)
		}
	}
	for i := range 5 {
		browser := s.NewBrowser(t)
		browser.SignIn(request(), "alice", "wonderland-alice")
		for _, cookie := range browser.Cookies() {
			add(fmt.Sprintf("cookie %s of browser %d", cookie.Name, i), cookie.Value)
			if len(cookie.Value) < 43 {
				t.Errorf("cookie %s has %d characters", cookie.Name, len(cookie.Value))
			}
		}
	}
}

func common(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[:i]
		}
	}
	return a
}

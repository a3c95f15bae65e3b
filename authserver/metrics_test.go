package authserver_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
)

// counted reads a series of the page of metrics, which has labels in the order
// of their names; 0 when it is not there.
func (s *stage) counted(series string) int {
	s.Helper()
	w := httptest.NewRecorder()
	s.Server().MetricsHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			number, err := strconv.Atoi(strings.TrimSpace(value))
			s.did(err)
			return number
		}
	}
	return 0
}

func of(client, outcome string) string {
	return `gatehouse_client_requests_total{client_id="` + client + `",outcome="` + outcome + `",tenant="default"}`
}

func issuedTo(client, grant string) string {
	return `gatehouse_tokens_issued_total{client_id="` + client + `",grant_type="` + grant + `",tenant="default"}`
}

// TestMetricsTellWhatBecameOfEachClient: each outcome is made to happen, and
// then read.
func TestMetricsTellWhatBecameOfEachClient(t *testing.T) {
	s := open(t)
	raises := func(act func(), series ...string) {
		t.Helper()
		before := map[string]int{}
		for _, one := range series {
			before[one] = s.counted(one)
		}
		act()
		for _, one := range series {
			if raised := s.counted(one) - before[one]; raised != 1 {
				t.Errorf("%s rose by %d", one, raised)
			}
		}
	}
	code := s.code()
	var first tokens
	raises(func() { first = tokensOf(s.wants(s.redeem(code), http.StatusOK, "")) },
		of("web", "served"), issuedTo("web", "authorization_code"), `gatehouse_requests_total{endpoint="token",method="POST",status="2xx"}`)
	raises(func() { s.wants(s.refresh(first.refresh), http.StatusOK, "") },
		of("web", "served"), issuedTo("web", "refresh_token"), `gatehouse_refresh_total{outcome="rotated"}`)
	raises(func() { s.wants(s.refresh(first.refresh), http.StatusOK, "") },
		of("web", "redelivered"), issuedTo("web", "refresh_token"), `gatehouse_refresh_total{outcome="redelivered"}`)
	raises(func() {
		s.wants(s.token("svc", photos("scope", "no:such")), http.StatusBadRequest, "invalid_scope")
	},
		of("svc", "refused"), `gatehouse_refusals_total{rule="scope-not-registered"}`, `gatehouse_requests_total{endpoint="token",method="POST",status="4xx"}`)
	raises(func() { s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant") },
		of("web", "replayed"), `gatehouse_refusals_total{rule="code-replayed"}`)
	s.set(noGrace)
	old := s.tokens()
	s.wants(s.refresh(old.refresh), http.StatusOK, "")
	raises(func() { s.wants(s.refresh(old.refresh), http.StatusBadRequest, "invalid_grant") },
		of("web", "replayed"), `gatehouse_refusals_total{rule="refresh-replayed"}`, `gatehouse_refresh_total{outcome="replayed"}`)

	s.set(func(settings *gatehouse.Settings) { settings.RateLimits.TokenPerClient = 0.1 })
	s.wants(s.token("svc", photos()), http.StatusOK, "")
	raises(func() { s.wants(s.token("svc", photos()), http.StatusTooManyRequests, "temporarily_unavailable") },
		of("svc", "limited"), `gatehouse_refusals_total{rule="client-limited"}`)
	raises(func() {
		s.wants(s.post("/revoke", "svc", url.Values{"token": {"x"}}), http.StatusOK, "")
		s.wants(s.post("/revoke", "svc", url.Values{"token": {"x"}}), http.StatusTooManyRequests, "temporarily_unavailable")
	}, of("svc", "limited"), of("svc", "served"))
	// A stranger who names the client counts nowhere under its name.
	before := s.counted(of("svc", "refused")) + s.counted(of("svc", "limited"))
	s.wants(s.Issuer.Post(t, "/token", "svc", "a-secret-that-somebody-has-guessed-at-last", photos()), http.StatusUnauthorized, "invalid_client")
	if after := s.counted(of("svc", "refused")) + s.counted(of("svc", "limited")); after != before {
		t.Error("what a stranger did is counted as the client's")
	}
}

// TestMetricsTellOfSignIns, and of those that were held up by account and by
// address.
func TestMetricsTellOfSignIns(t *testing.T) {
	const hour = config.Duration(time.Hour)
	s := open(t, func(settings *gatehouse.Settings) {
		settings.Throttle = gatehouse.Throttle{FreeAttempts: 1, FirstDelay: hour, MaxDelay: hour, Window: hour}
		settings.RateLimits.FailuresPerAddress = 1.0 / 3600
	})
	login := s.Get(request())
	try := func(username, password string, want int) {
		t.Helper()
		answer := s.Once(http.MethodPost, "/login", login.With("username", username, "password", password))
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", username, answer.StatusCode, want)
		}
		if want == http.StatusTooManyRequests && answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: 429 without Retry-After", username)
		}
	}
	try("bob", "a-password-that-is-wrong", http.StatusUnprocessableEntity)
	try("alice", "wonderland-alice", http.StatusTooManyRequests) // the address has failed as often as it may
	s.set(func(settings *gatehouse.Settings) { settings.RateLimits.FailuresPerAddress = -1 })
	try("bob", "builder-bob-builds", http.StatusTooManyRequests) // so has the account
	try("alice", "wonderland-alice", http.StatusSeeOther)
	for series, want := range map[string]int{
		`gatehouse_logins_total{outcome="wrong"}`: 1, `gatehouse_logins_total{outcome="throttled"}`: 2, `gatehouse_logins_total{outcome="succeeded"}`: 1,
		`gatehouse_refusals_total{rule="login-throttled"}`: 1, `gatehouse_refusals_total{rule="login-address-limited"}`: 1, `gatehouse_refusals_total{rule="login-wrong"}`: 1,
	} {
		if got := s.counted(series); got != want {
			t.Errorf("%s is %d, want %d", series, got, want)
		}
	}
}

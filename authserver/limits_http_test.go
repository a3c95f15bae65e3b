package authserver_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// burst is how many failures the tests' limit lets pass at once.
const burst = 20

func fewFailures(s *gatehouse.Settings) { s.RateLimits.FailuresPerAddress = burst / 10 }

// from sends a form from another address than the rest of the tests.
func (s *stage) from(address, path, client string, form url.Values) gatehousetest.Answer {
	s.Helper()
	r, err := http.NewRequest(http.MethodPost, s.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.Fatal(err)
	}
	r.RemoteAddr = address
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		r.SetBasicAuth(client, secrets[client])
	}
	return s.Do(s.T, r)
}

// wantLimited fails unless attempt is refused with 429 after the burst, and
// returns the last answer.
func (s *stage) wantLimited(attempt func() gatehousetest.Answer) gatehousetest.Answer {
	s.Helper()
	for n := range burst {
		if answer := attempt(); answer.StatusCode == http.StatusTooManyRequests {
			s.Fatalf("attempt %d: %s", n, answer.Text)
		}
	}
	var last gatehousetest.Answer
	for range 3 { // the clock may give back one
		if last = attempt(); last.StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	wait, err := strconv.Atoi(last.Header.Get("Retry-After"))
	if last.StatusCode != http.StatusTooManyRequests || err != nil || wait != 1 || !strings.Contains(last.Text, "address-limited") {
		s.Fatalf("after %d failures: %d, Retry-After %q, %s", burst, last.StatusCode, last.Header.Get("Retry-After"), last.Text)
	}
	if strings.Contains(last.Header.Get("Cache-Control"), "no-store") == false {
		s.Errorf("Cache-Control %q", last.Header.Get("Cache-Control"))
	}
	return last
}

const thief, thiefsNeighbour = "[2001:db8:bad:1::1]:4711", "[2001:db8:bad:1::ffff]:4712"

func TestGuessingCodesIsSlowed(t *testing.T) {
	spec.Covers(t, "BF-07", "TM-03")
	s := open(t, fewFailures)
	code := s.code("client_id", "native", "redirect_uri", "http://127.0.0.1/cb", "scope", "openid")
	guess := url.Values{"grant_type": {"authorization_code"}, "client_id": {"native"}, "code": {"ghc_" + strings.Repeat("A", 120)}, "redirect_uri": {"http://127.0.0.1/cb"}, "code_verifier": {verifier}}
	s.wantLimited(func() gatehousetest.Answer { return s.from(thief, "/token", "", guess) })
	if answer := s.from(thiefsNeighbour, "/token", "", guess); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("another address of the thief's network: %d", answer.StatusCode)
	}
	s.wants(s.from("192.0.2.99:1", "/token", "", guess), http.StatusBadRequest, "invalid_grant")
	guess.Set("code", code)
	s.wants(s.from("192.0.2.99:1", "/token", "", guess), http.StatusOK, "")
}

func TestGuessingRefreshTokensIsSlowed(t *testing.T) {
	spec.Covers(t, "BF-07")
	s := open(t, fewFailures)
	mine := s.tokens()
	guess := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"ghr_" + strings.Repeat("A", 130)}}
	s.wantLimited(func() gatehousetest.Answer { return s.from(thief, "/token", "web", guess) })
	// The application itself carries the guesses: its own tokens still work.
	right := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {mine.refresh}}
	s.wants(s.from(thief, "/token", "web", right), http.StatusOK, "")
	s.wants(s.from("192.0.2.99:1", "/token", "web", guess), http.StatusBadRequest, "invalid_grant")
}

func TestGuessingAccessTokensIsSlowed(t *testing.T) {
	spec.Covers(t, "BF-07")
	s := open(t, fewFailures)
	mine := s.tokens()
	for name, guess := range map[string]string{"opaque": "gha_" + strings.Repeat("A", 100), "JWT": mine.access[:len(mine.access)-4] + "AAAA"} {
		s := s.anew(t)
		from := "[2001:db8:bad:" + strconv.Itoa(len(name)) + "::1]:1"
		ask := func(token, address string) gatehousetest.Answer {
			r, err := http.NewRequest(http.MethodGet, s.URL+"/userinfo", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.RemoteAddr = address
			r.Header.Set("Authorization", "Bearer "+token)
			return s.Do(t, r)
		}
		last := s.wantLimited(func() gatehousetest.Answer { return ask(guess, from) })
		if challenge := last.Header.Get("WWW-Authenticate"); challenge != "" {
			t.Errorf("%s: 429 with the challenge %s", name, challenge)
		}
		s.wants(ask(guess, "192.0.2.99:1"), http.StatusUnauthorized, "invalid_token")
		s.wants(ask(mine.access, from), http.StatusOK, "")
	}
}

func TestGuessingAtIntrospectionIsSlowed(t *testing.T) {
	spec.Covers(t, "BF-07")
	s := open(t, fewFailures)
	mine := s.tokens()
	ask := func(token string) gatehousetest.Answer {
		return s.from(thief, "/introspect", "photos-api", url.Values{"token": {token}})
	}
	over := s.tokens()
	s.revoke("web", over.access)
	for range 2 * burst { // what we issued is no guess
		if answer := ask(over.access); answer.StatusCode != http.StatusOK || answer.Text != inactive {
			t.Fatalf("%d %s", answer.StatusCode, answer.Text)
		}
	}
	for _, guess := range []string{"gha_" + strings.Repeat("A", 100), "ghr_" + strings.Repeat("A", 130), "anything"} {
		if answer := ask(guess); answer.StatusCode != http.StatusOK || answer.Text != inactive {
			t.Errorf("%s: %d %s", guess, answer.StatusCode, answer.Text)
		}
	}
	for range burst {
		ask("anything")
	}
	if answer := ask("anything"); answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q", answer.StatusCode, answer.Header.Get("Retry-After"))
	}
	// A resource server whose callers send nonsense still serves the others.
	if answer := ask(mine.access); answer.Member("active") != "true" {
		t.Errorf("%d %s", answer.StatusCode, answer.Text)
	}
}

func TestGuessingClientSecretsIsSlowed(t *testing.T) {
	spec.Covers(t, "BF-07")
	s := open(t, fewFailures)
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"photos:read"}}
	wrong := url.Values{"grant_type": {"client_credentials"}, "client_id": {"svc"}, "client_secret": {"a-guess-that-is-long-enough-to-be-random"}}
	s.wantLimited(func() gatehousetest.Answer { return s.from(thief, "/token", "", wrong) })
	if answer := s.from(thiefsNeighbour, "/revoke", "", wrong); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%d %s", answer.StatusCode, answer.Text)
	}
	// Whoever shares the thief's network and knows the secret is served.
	s.wants(s.from(thief, "/token", "svc", form), http.StatusOK, "")
	s.wants(s.from("192.0.2.99:1", "/token", "svc", form), http.StatusOK, "")
	s.set(func(settings *gatehouse.Settings) { settings.RateLimits.FailuresPerAddress = -1 })
	s.wants(s.from(thief, "/token", "svc", form), http.StatusOK, "")
}

func TestClientsHaveRatesOfTheirOwn(t *testing.T) {
	s := open(t, func(settings *gatehouse.Settings) {
		settings.RateLimits.TokenPerClient, settings.RateLimits.IntrospectionPerClient = 0.1, 0.1
	})
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"photos:read"}}
	issued := s.wants(s.token("svc", form), http.StatusOK, "")
	limited := s.token("svc", form)
	if limited.StatusCode != http.StatusTooManyRequests || limited.Header.Get("Retry-After") != "10" || !strings.Contains(limited.Text, "client-limited") {
		t.Errorf("%d, Retry-After %q, %s", limited.StatusCode, limited.Header.Get("Retry-After"), limited.Text)
	}
	about := url.Values{"token": {issued.Member("access_token")}}
	s.wants(s.post("/introspect", "svc", about), http.StatusOK, "")
	if answer := s.post("/introspect", "svc", about); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%d %s", answer.StatusCode, answer.Text)
	}
	s.wants(s.post("/introspect", "photos-api", about), http.StatusOK, "")
}

func TestGuessingAtRevocationIsSlowed(t *testing.T) {
	spec.Covers(t, "BF-07")
	s := open(t, fewFailures)
	mine := s.tokens()
	for name, guess := range map[string]string{"opaque": "gha_" + strings.Repeat("A", 100), "refresh": "ghr_" + strings.Repeat("A", 130), "JWT": mine.access[:len(mine.access)-4] + "AAAA"} {
		s := s.anew(t)
		from := "[2001:db8:bad:" + strconv.Itoa(len(name)) + "::1]:1"
		form := url.Values{"token": {guess}}
		s.wantLimited(func() gatehousetest.Answer { return s.from(from, "/revoke", "svc", form) })
		s.wants(s.from("192.0.2.99:1", "/revoke", "svc", form), http.StatusOK, "")
	}
	// Neither did the guesses do anything, nor do they hold up who revokes the own.
	s.wants(s.userinfo(mine.access), http.StatusOK, "")
	s.wants(s.from("[2001:db8:bad:3::1]:1", "/revoke", "web", url.Values{"token": {mine.access}}), http.StatusOK, "")
	s.wants(s.userinfo(mine.access), http.StatusUnauthorized, "invalid_token")
}

func TestRevocationHasARateOfItsOwn(t *testing.T) {
	s := open(t, func(settings *gatehouse.Settings) { settings.RateLimits.TokenPerClient = 0.1 })
	issued := s.wants(s.token("svc", photos()), http.StatusOK, "").Member("access_token")
	about := url.Values{"token": {issued}}
	s.wants(s.post("/revoke", "svc", about), http.StatusOK, "")
	limited := s.wants(s.post("/revoke", "svc", about), http.StatusTooManyRequests, "temporarily_unavailable")
	if limited.Header.Get("Retry-After") != "10" || !strings.Contains(limited.Text, "client-limited") {
		t.Errorf("Retry-After %q, %s", limited.Header.Get("Retry-After"), limited.Text)
	}
	s.wants(s.post("/revoke", "web", about), http.StatusOK, "")
}

// TestNobodyUsesUpAPublicClientsRate: its id is in every browser that runs it.
func TestNobodyUsesUpAPublicClientsRate(t *testing.T) {
	s := open(t, func(settings *gatehouse.Settings) { settings.RateLimits.TokenPerClient = 1 })
	code := s.code("client_id", "spa", "redirect_uri", "https://spa.example/cb", "scope", "openid")
	flood := url.Values{"client_id": {"spa"}, "grant_type": {"refresh_token"}, "refresh_token": {"x"}}
	limited := 0
	for range 50 {
		switch answer := s.from(thief, "/token", "", flood); answer.StatusCode {
		case http.StatusTooManyRequests:
			limited++
			if answer.Header.Get("Retry-After") == "" || answer.Member("error") != "temporarily_unavailable" {
				t.Fatalf("Retry-After %q, %s", answer.Header.Get("Retry-After"), answer.Text)
			}
		case http.StatusBadRequest:
		default:
			t.Fatalf("%d %s", answer.StatusCode, answer.Text)
		}
	}
	if limited < 30 {
		t.Errorf("%d of 50 requests of a flood were limited", limited)
	}
	for range 20 {
		s.from(thief, "/revoke", "", url.Values{"client_id": {"spa"}, "token": {"x"}})
	}
	own := url.Values{"grant_type": {"authorization_code"}, "client_id": {"spa"}, "code": {code}, "redirect_uri": {"https://spa.example/cb"}, "code_verifier": {verifier}}
	issued := s.wants(s.from("192.0.2.99:1", "/token", "", own), http.StatusOK, "")
	s.wants(s.from("192.0.2.99:1", "/revoke", "", url.Values{"client_id": {"spa"}, "token": {issued.Member("refresh_token")}}), http.StatusOK, "")
}

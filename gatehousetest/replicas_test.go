package gatehousetest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// replicas starts two servers on one PostgreSQL database.
func replicas(t *testing.T) (here, there *gatehousetest.Issuer) {
	t.Helper()
	here = gatehousetest.Start(t, gatehousetest.Options{Tenant: tenant, Engine: gatehousetest.PostgreSQL})
	return here, gatehousetest.Start(t, gatehousetest.Options{Data: here.Data, Engine: gatehousetest.PostgreSQL})
}

// code signs alice in and returns the code of her consent.
func code(t *testing.T, issuer *gatehousetest.Issuer) string {
	t.Helper()
	page := issuer.NewBrowser(t).SignIn(authorization, "alice", "wonderland-alice")
	if page.Location == nil || page.Location.Query().Get("code") == "" {
		t.Fatalf("%d at %s, sent to %v", page.StatusCode, page.Path, page.Location)
	}
	return page.Location.Query().Get("code")
}

func redeem(t *testing.T, issuer *gatehousetest.Issuer, code string) gatehousetest.Answer {
	t.Helper()
	return issuer.Post(t, "/token", "web", webSecret, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"https://app.example/cb"}, "code_verifier": {verifier},
	})
}

func refresh(t *testing.T, issuer *gatehousetest.Issuer, token string) gatehousetest.Answer {
	t.Helper()
	return issuer.Post(t, "/token", "web", webSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func service(t *testing.T, issuer *gatehousetest.Issuer) gatehousetest.Answer {
	t.Helper()
	return issuer.Post(t, "/token", "web", webSecret, url.Values{"grant_type": {"client_credentials"}})
}

// within fails the test unless the answer comes to have the status, in the second that is promised or
// later on a machine that is busy with other tests; package faults holds servers to the second.
func within(t *testing.T, status int, ask func() gatehousetest.Answer) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		answer := ask()
		if answer.StatusCode == status {
			return
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("it is still %d %s, want %d", answer.StatusCode, answer.Text, status)
		}
	}
}

func TestTwoServersOnOneDatabaseAreOne(t *testing.T) {
	here, there := replicas(t)
	jwks := func(issuer *gatehousetest.Issuer) string { return issuer.NewBrowser(t).Get("/jwks").Text }
	if jwks(here) != jwks(there) || !strings.Contains(jwks(here), `"kid"`) {
		t.Errorf("the key sets are %s and %s", jwks(here), jwks(there))
	}
	tokens := redeem(t, there, code(t, here))
	if tokens.StatusCode != http.StatusOK {
		t.Fatalf("a code of the other server: %d %s", tokens.StatusCode, tokens.Text)
	}
	renewed := refresh(t, here, tokens.Member("refresh_token"))
	if renewed.StatusCode != http.StatusOK {
		t.Fatalf("a refresh token of the other server: %d %s", renewed.StatusCode, renewed.Text)
	}
	revoked := there.Post(t, "/revoke", "web", webSecret, url.Values{"token": {renewed.Member("refresh_token")}})
	if again := refresh(t, here, renewed.Member("refresh_token")); revoked.StatusCode != http.StatusOK || again.Member("error") != "invalid_grant" {
		t.Errorf("revoked at one (%d), the other says %d %s", revoked.StatusCode, again.StatusCode, again.Text)
	}

	// A session that began here goes on there.
	browser := here.NewBrowser(t)
	browser.SignIn(authorization, "alice", "wonderland-alice")
	r, err := http.NewRequest(http.MethodGet, there.URL+authorization, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range browser.Cookies() {
		r.AddCookie(cookie)
	}
	if answer := there.Do(t, r); !strings.HasPrefix(answer.Header.Get("Location"), "https://app.example/cb?") {
		t.Errorf("the session is unknown at the other server: %d, sent to %s", answer.StatusCode, answer.Header.Get("Location"))
	}
}

func TestTwoServersRedeemACodeOnce(t *testing.T) {
	here, there := replicas(t)
	both := [2]*gatehousetest.Issuer{here, there}
	rounds := 20
	if nightly() {
		rounds = 200
	}
	for round := range rounds {
		code := code(t, here)
		statuses := make([]int, 8)
		barrier := make(chan struct{})
		var racing sync.WaitGroup
		for i := range statuses {
			racing.Go(func() {
				<-barrier
				statuses[i] = redeem(t, both[i%2], code).StatusCode
			})
		}
		close(barrier)
		racing.Wait()
		accepted := 0
		for _, status := range statuses {
			switch status {
			case http.StatusOK:
				accepted++
			case http.StatusBadRequest:
			default:
				t.Errorf("round %d: status %d", round, status)
			}
		}
		if accepted != 1 {
			t.Errorf("round %d: %d succeeded", round, accepted)
		}
	}
}

func TestWhatOneServerEndsTheOtherRefuses(t *testing.T) {
	here, there := replicas(t)
	db, by := here.Server().Store(), gatehouse.Event{Actor: "test"}
	tokens := redeem(t, there, code(t, here))
	if tokens.StatusCode != http.StatusOK {
		t.Fatal(tokens.Text)
	}
	disable := func(disabled bool) {
		if _, err := db.DisableClient(t.Context(), gatehouse.DefaultTenant, "web", disabled, by); err != nil {
			t.Fatal(err)
		}
	}
	within(t, http.StatusOK, func() gatehousetest.Answer { return service(t, there) })
	disable(true)
	within(t, http.StatusUnauthorized, func() gatehousetest.Answer { return service(t, there) })
	disable(false)
	within(t, http.StatusOK, func() gatehousetest.Answer { return service(t, there) })

	// The secret, to another one at once.
	if _, err := db.AddClientSecret(t.Context(), gatehouse.DefaultTenant, "web", gatehouse.ClientSecret{ID: "other", Kind: "sha256", Hash: make([]byte, 32)}, db.Now(), by); err != nil {
		t.Fatal(err)
	}
	within(t, http.StatusUnauthorized, func() gatehousetest.Answer { return service(t, there) })
}

func TestTenantsOfOneServerAreThoseOfTheOther(t *testing.T) {
	here, there := replicas(t)
	blue := here.AddTenant(t, "blue", "", tenant)
	atTheOther := func() gatehousetest.Answer {
		return there.Post(t, "/t/blue/token", "web", webSecret, url.Values{"grant_type": {"client_credentials"}})
	}
	within(t, http.StatusOK, atTheOther)
	if token := atTheOther().Member("access_token"); blue.Post(t, "/introspect", "web", webSecret, url.Values{"token": {token}}).StatusCode != http.StatusOK {
		t.Error("the tenant has other keys here")
	}
	for _, disabled := range []bool{true, false} {
		if _, err := here.Server().Store().DisableTenant(t.Context(), "blue", disabled, gatehouse.Event{Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		want := http.StatusOK
		if disabled {
			want = http.StatusNotFound
		}
		within(t, want, atTheOther)
	}
}

func TestTwoServersCountFailedLoginsTogether(t *testing.T) {
	here, there := replicas(t)
	both := [2]*gatehousetest.Issuer{here, there}
	try := func(issuer *gatehousetest.Issuer, password string) gatehousetest.Page {
		b := issuer.NewBrowser(t)
		login := b.Get(authorization)
		return b.Post("/login", login.With("username", "alice", "password", password))
	}
	// Five are free for one address; the sixth waits, wherever it is tried.
	for i := range 5 {
		if page := try(both[i%2], "wrong"); page.StatusCode == http.StatusTooManyRequests {
			t.Fatalf("attempt %d has to wait", i+1)
		}
	}
	for _, issuer := range both {
		if page := try(issuer, "wonderland-alice"); page.StatusCode != http.StatusTooManyRequests || page.Header.Get("Retry-After") == "" {
			t.Errorf("after five failures: %d at %s, Retry-After %q", page.StatusCode, page.Path, page.Header.Get("Retry-After"))
		}
	}
}

// TestAServerWithoutItsDatabase asks a server whose store is closed, as if the database had gone:
// acts are refused, and what resource servers need goes on.
func TestAServerWithoutItsDatabase(t *testing.T) {
	spec.Covers(t, "FT-16")
	issuer, _ := gatehousetest.Run(t, gatehousetest.Options{Tenant: tenant})
	if answer := service(t, issuer); answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Text)
	}
	documents := map[string]string{"/jwks": "", "/.well-known/openid-configuration": "", "/.well-known/oauth-authorization-server": ""}
	for path := range documents {
		documents[path] = issuer.NewBrowser(t).Get(path).Text
	}
	if err := issuer.Server().Store().Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // the life of what is remembered of clients
	for _, path := range []string{"/token", "/introspect", "/revoke"} {
		answer := issuer.Post(t, path, "web", webSecret, url.Values{"grant_type": {"client_credentials"}, "token": {"x"}})
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Member("error") != "temporarily_unavailable" || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s, Retry-After %q", path, answer.StatusCode, answer.Text, answer.Header.Get("Retry-After"))
		}
	}
	for _, path := range []string{authorization, "/readyz"} {
		if page := issuer.NewBrowser(t).Get(path); page.StatusCode != http.StatusServiceUnavailable || page.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q", path, page.StatusCode, page.Header.Get("Retry-After"))
		}
	}
	time.Sleep(time.Second) // metadata documents are built again after that
	for path, before := range documents {
		if page := issuer.NewBrowser(t).Get(path); page.StatusCode != http.StatusOK || page.Text != before {
			t.Errorf("%s while the database is away: %d %s, before: %s", path, page.StatusCode, page.Text, before)
		}
	}
	if page := issuer.NewBrowser(t).Get("/livez"); page.StatusCode != http.StatusOK {
		t.Error(fmt.Sprint("not even alive: ", page.StatusCode))
	}
}

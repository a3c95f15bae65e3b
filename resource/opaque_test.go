package resource_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/resource"
	"gatehouse/revocation"
)

var nothing = resource.Needs{}

func takesOpaque(c *resource.Config) { c.Opaque = true }

func TestOpaqueTokens(t *testing.T) {
	spec.Covers(t, "RFC7662-2.2-5", "RFC7662-4-3")
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		rs := a.server(t, takesOpaque)
		good := a.opaque("gha_good", "")
		for range 3 {
			w := ask(rs, good, resource.Needs{Scopes: []string{"photos:read"}})
			if wants(t, w, http.StatusOK, ""); w.Body.String() != good {
				t.Errorf("jti %s", w.Body)
			}
		}
		if n := a.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		wants(t, ask(rs, good, resource.Needs{Scopes: []string{"photos:write"}}), http.StatusForbidden, "resource-scope")
		wants(t, ask(rs, a.jwt(t, nil), nothing), http.StatusOK, "") // which nobody is asked about
		if n := a.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		// An answer is used for half a minute.
		a.change(func(a *as) { delete(a.active, good) })
		time.Sleep(29 * time.Second)
		wants(t, ask(rs, good, nothing), http.StatusOK, "")
		time.Sleep(2 * time.Second)
		wants(t, ask(rs, good, nothing), http.StatusUnauthorized, "resource-token-invalid")
		wants(t, ask(rs, good, nothing), http.StatusUnauthorized, "resource-token-invalid")
		if n := a.asked.Load(); n != 2 {
			t.Errorf("asked %d times about a token that has ended", n)
		}
		// One about an inactive token for less: it may have been a moment too early.
		a.opaque(good, "")
		time.Sleep(6 * time.Second)
		wants(t, ask(rs, good, nothing), http.StatusOK, "")
	})
}

// TestOpaqueTokensAreNotUsedPastTheirTime has answers that are young and tokens that have expired since.
func TestOpaqueTokensAreNotUsedPastTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		rs := a.server(t, takesOpaque)
		good := a.opaque("gha_good", "")
		time.Sleep(10*time.Minute - 2*time.Second)
		wants(t, ask(rs, good, nothing), http.StatusOK, "")
		time.Sleep(2 * time.Second) // and the tolerance for clocks
		wants(t, ask(rs, good, nothing), http.StatusOK, "")
		time.Sleep(5 * time.Second)
		wants(t, ask(rs, good, nothing), http.StatusUnauthorized, "resource-token-invalid")
		if n := a.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		aged := a.server(t, func(c *resource.Config) { c.Opaque, c.MaxTokenAge = true, 20*time.Second })
		young := a.opaque("gha_young", fmt.Sprintf(`,"iat":%d`, time.Now().Unix()))
		wants(t, ask(aged, young, nothing), http.StatusOK, "")
		time.Sleep(26 * time.Second)
		wants(t, ask(aged, young, nothing), http.StatusUnauthorized, "resource-token-invalid")
	})
}

func TestAnswersThatAreNone(t *testing.T) {
	spec.Covers(t, "JW-10", "SS-06", "SS-09", "SS-10")
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		status int
	}{
		"another audience": {says(`{"active":true,"aud":"https://other.test","sub":"x"}`), 401},
		"no audience":      {says(`{"active":true,"sub":"x"}`), 401},
		"another issuer":   {says(`{"active":true,"aud":"` + audience + `","iss":"https://as2.test"}`), 401},
		"inactive":         {says(`{"active":false}`), 401},
		"active as text":   {says(`{"active":"true","aud":"` + audience + `"}`), 401},
		"active twice":     {says(`{"active":false,"active":true,"aud":"` + audience + `"}`), 503},
		"HTML":             {says(`<html>`), 503},
		"empty":            {says(``), 503},
		"deep":             {says(`{"active":true,"aud":"` + audience + `","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`), 503},
		"huge":             {says(`{"active":true,"aud":"` + audience + `","x":"` + strings.Repeat("x", 1<<20) + `"}`), 503},
		"not found":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, 503},
		"unauthorized":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, 503},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.test/introspect", http.StatusTemporaryRedirect)
		}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAS()
			a.answer = test.answer
			evil := 0
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "evil.test" {
					evil++
				}
				return a.RoundTrip(r)
			})
			rs := a.server(t, func(c *resource.Config) { c.Opaque, c.HTTPClient = true, &http.Client{Transport: transport} })
			rule := "resource-introspection-unavailable"
			if test.status == 401 {
				rule = "resource-token-invalid"
			}
			w := ask(rs, "gha_x", nothing)
			if wants(t, w, test.status, rule); test.status == 503 && (w.Header().Get("Retry-After") != "1" || w.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("%v", w.Header())
			}
			if evil > 0 {
				t.Error("the redirect was followed")
			}
			a.change(func(a *as) { a.answer = nil })
			wants(t, ask(rs, a.opaque("gha_y", ""), nothing), http.StatusOK, "")
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// TestQuestionsAreBounded has many ask about one token at once, and many about made-up ones.
func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		a.slow = time.Second
		rs := a.server(t, func(c *resource.Config) { c.Opaque, c.MaxCached = true, 100 })
		good := a.opaque("gha_good", "")
		var callers sync.WaitGroup
		for range 200 {
			callers.Go(func() { wants(t, ask(rs, good, nothing), http.StatusOK, "") })
		}
		callers.Wait()
		if n := a.asked.Load(); n != 1 {
			t.Errorf("asked %d times about one token at once", n)
		}
		var mu sync.Mutex
		statuses := map[int]int{}
		for i := range 200 {
			callers.Go(func() {
				w := ask(rs, fmt.Sprint("gha_made-up-", i), nothing)
				mu.Lock()
				defer mu.Unlock()
				statuses[w.Code]++
			})
		}
		callers.Wait()
		if statuses[401] != 64 || statuses[503] != 136 {
			t.Errorf("statuses %v", statuses)
		}
		a.slow = 0
		for i := range 10_000 {
			wants(t, ask(rs, fmt.Sprint("gha_other-", i), nothing), http.StatusUnauthorized, "resource-token-invalid")
		}
		before := a.asked.Load()
		if wants(t, ask(rs, good, nothing), http.StatusOK, ""); a.asked.Load() != before {
			t.Error("made-up tokens pushed a good one out")
		}
	})
}

func TestAnIssuerThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		a.slow = time.Hour
		var log bytes.Buffer
		rs := a.server(t, func(c *resource.Config) { c.Opaque, c.Logger = true, slog.New(slog.NewJSONHandler(&log, nil)) })
		began := time.Now()
		wants(t, ask(rs, "gha_x", nothing), http.StatusServiceUnavailable, "resource-introspection-unavailable")
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
		if !strings.Contains(log.String(), "deadline exceeded") || strings.Contains(log.String(), "gha_x") || strings.Contains(log.String(), asSecret) {
			t.Errorf("log %s", log.String())
		}
		// A caller who gives up leaves the question to the others.
		a.slow = time.Second
		good := a.opaque("gha_good", "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := rs.Check(ctx, good, nothing); err == nil {
			t.Error("an answer that was not there")
		}
		before := a.asked.Load()
		wants(t, ask(rs, good, nothing), http.StatusOK, "")
		if a.asked.Load() != before {
			t.Error("it was asked again")
		}
	})
}

// TestOpaqueTokensAndTheFeed: what the feed says of an opaque token's ids holds, too.
func TestOpaqueTokensAndTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		rs := a.server(t, func(c *resource.Config) { c.Opaque, c.Feed = true, true })
		synctest.Wait()
		one, two := a.opaque("gha_one", ""), a.opaque("gha_two", "")
		wants(t, ask(rs, one, nothing), http.StatusOK, "")
		wants(t, ask(rs, two, nothing), http.StatusOK, "")
		time.Sleep(50 * time.Second) // for as long as the feed is heard
		wants(t, ask(rs, two, nothing), http.StatusOK, "")
		if n := a.asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		a.revoke(revocation.GrantHandle, "gid of gha_one")
		synctest.Wait()
		wants(t, ask(rs, one, nothing), http.StatusUnauthorized, "resource-token-revoked")
		wants(t, ask(rs, two, nothing), http.StatusOK, "")
		a.revoke(revocation.TokenID, "gha_two")
		synctest.Wait()
		wants(t, ask(rs, two, nothing), http.StatusUnauthorized, "resource-token-revoked")
	})
}

// TestJWTsThatAreIntrospected: of an issuer whose word counts more than its signature, and of that
// one alone.
func TestJWTsThatAreIntrospected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		const other = "https://other.test"
		rs := a.server(t, func(c *resource.Config) {
			c.Issuer, c.ClientID, c.ClientSecret = "", "", ""
			c.Issuers = []resource.Issuer{{Identifier: asURL, ClientID: asClient, ClientSecret: asSecret, IntrospectJWTs: true}, {Identifier: other}}
		})
		raw, theirs := a.jwt(t, nil), a.jwt(t, claims{"iss": other})
		wants(t, ask(rs, raw, nothing), http.StatusUnauthorized, "resource-token-invalid") // right, and not active
		a.change(func(a *as) {
			a.active[raw] = `{"active":true,"iss":"` + asURL + `","aud":"` + audience + `","client_id":"web","sub":"alice","jti":"said"}`
		})
		time.Sleep(time.Minute)
		if w := ask(rs, raw, nothing); w.Code != http.StatusOK || w.Body.String() != "said" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		before := a.asked.Load()
		wants(t, ask(rs, theirs, nothing), http.StatusOK, "")
		wants(t, ask(rs, "a.b.c", nothing), http.StatusUnauthorized, "resource-token-invalid")
		if n := a.asked.Load() - before; n != 0 {
			t.Errorf("a token is shown to another's issuer %d times", n)
		}
		if err := (resource.Config{Audience: audience, Issuers: []resource.Issuer{{Identifier: asURL, IntrospectJWTs: true}}}).Check(); err == nil {
			t.Error("it would be introspected by nobody")
		}
	})
}

package resource_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/oauth"
	"gatehouse/resource"
)

func TestStepUp(t *testing.T) {
	spec.Covers(t, "RFC9470-3-1", "RFC9470-6.1-1", "RFC9470-6.2-1")
	a := newAS()
	rs := a.server(t, takesOpaque)
	strong := resource.Needs{Scopes: []string{"photos:read"}, ACRValues: []string{"urn:strong", "urn:stronger"}}
	recent := resource.Needs{MaxAuthAge: time.Minute}
	both := resource.Needs{ACRValues: strong.ACRValues, MaxAuthAge: 90 * time.Second}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	for name, test := range map[string]struct {
		claims    claims
		needs     resource.Needs
		challenge string // "" when it is let through
	}{
		"strong enough":          {claims{"acr": "urn:strong"}, strong, ""},
		"stronger":               {claims{"acr": "urn:stronger"}, strong, ""},
		"weaker":                 {claims{"acr": "urn:weak"}, strong, `, scope="photos:read", acr_values="urn:strong urn:stronger"`},
		"of no known strength":   {nil, strong, `, scope="photos:read", acr_values="urn:strong urn:stronger"`},
		"recent":                 {claims{"auth_time": ago(30 * time.Second)}, recent, ""},
		"old":                    {claims{"auth_time": ago(2 * time.Minute)}, recent, `, max_age="60"`},
		"of no known time":       {nil, recent, `, max_age="60"`},
		"recent, and too weak":   {claims{"auth_time": ago(0)}, both, `, acr_values="urn:strong urn:stronger", max_age="90"`},
		"recent and strong":      {claims{"auth_time": ago(0), "acr": "urn:strong"}, both, ""},
		"without the scope, too": {claims{"acr": "urn:weak", "scope": "openid"}, strong, `, scope="photos:read", acr_values="urn:strong urn:stronger"`},
	} {
		members := ""
		for claim, value := range test.claims {
			text, _ := json.Marshal(value)
			members += `,"` + claim + `":` + string(text)
		}
		tokens := []string{a.jwt(t, test.claims)}
		if test.claims["scope"] == nil {
			tokens = append(tokens, a.opaque("gha_"+name, members))
		}
		for _, raw := range tokens {
			w := ask(rs, raw, test.needs)
			if test.challenge == "" {
				wants(t, w, http.StatusOK, "")
				continue
			}
			wants(t, w, http.StatusUnauthorized, "resource-step-up")
			challenge := w.Header().Get("WWW-Authenticate")
			if !strings.Contains(challenge, `error="insufficient_user_authentication"`) || !strings.HasSuffix(challenge, test.challenge) {
				t.Errorf("%s: %s", name, challenge)
			}
		}
	}
	for _, impossible := range []resource.Needs{{MaxAuthAge: -1}, {ACRValues: []string{""}}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v does not panic", impossible)
				}
			}()
			rs.Guard(impossible)
		}()
		if _, err := rs.Check(t.Context(), a.jwt(t, nil), impossible); oauth.AsError(err).Code != oauth.ServerError {
			t.Errorf("%+v: %v", impossible, err)
		}
	}
}

func TestMetadata(t *testing.T) {
	spec.Covers(t, "RFC9728-2-1", "RFC9728-3-1", "RFC9728-3.2-1", "RFC9728-5.1-1")
	for identifier, want := range map[string]struct{ path, url string }{
		"https://api.test":            {"/.well-known/oauth-protected-resource", "https://api.test/.well-known/oauth-protected-resource"},
		"https://api.test/":           {"/.well-known/oauth-protected-resource", "https://api.test/.well-known/oauth-protected-resource"},
		"https://api.test/photos":     {"/.well-known/oauth-protected-resource/photos", "https://api.test/.well-known/oauth-protected-resource/photos"},
		"https://api.test/a/b/?x=1":   {"/.well-known/oauth-protected-resource/a/b", "https://api.test/.well-known/oauth-protected-resource/a/b?x=1"},
		"http://127.0.0.1:8082/a%2Fb": {"/.well-known/oauth-protected-resource/a%2Fb", "http://127.0.0.1:8082/.well-known/oauth-protected-resource/a%2Fb"},
	} {
		a := newAS()
		rs := a.server(t, func(c *resource.Config) {
			c.Audience = identifier
			c.Metadata = &resource.Metadata{Name: "Photos", Scopes: []string{"photos:read"}, Documentation: "https://docs.test/"}
		})
		if rs.MetadataPath() != want.path {
			t.Errorf("%s: at %s", identifier, rs.MetadataPath())
		}
		w := httptest.NewRecorder()
		rs.MetadataHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		var document map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(document)
		identifierText, _ := json.Marshal(identifier)
		if got := string(text); got != `{"authorization_servers":["https://as.test"],"bearer_methods_supported":["header"],"resource":`+string(identifierText)+`,"resource_documentation":"https://docs.test/","resource_name":"Photos","scopes_supported":["photos:read"]}` {
			t.Errorf("%s", got)
		}
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		for method, status := range map[string]int{http.MethodHead: 200, http.MethodOptions: 204, http.MethodPost: 405} {
			w := httptest.NewRecorder()
			if rs.MetadataHandler().ServeHTTP(w, httptest.NewRequest(method, "/", nil)); w.Code != status {
				t.Errorf("%s: %d", method, w.Code)
			}
		}
		for name, w := range map[string]*httptest.ResponseRecorder{
			"no token":  ask(rs, "", resource.Needs{Scopes: []string{"photos:read"}}),
			"bad token": ask(rs, "x", resource.Needs{Scopes: []string{"photos:read"}}),
			"scope":     ask(rs, a.jwt(t, claims{"aud": identifier, "scope": nil}), resource.Needs{Scopes: []string{"photos:read"}}),
		} {
			if challenge := w.Header().Get("WWW-Authenticate"); !strings.HasSuffix(challenge, `, scope="photos:read", resource_metadata="`+want.url+`"`) {
				t.Errorf("%s: %s", name, challenge)
			}
		}
	}
	w := httptest.NewRecorder()
	rs := newAS().server(t, nil)
	if rs.MetadataHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.Code != http.StatusNotFound || rs.MetadataPath() != "" {
		t.Errorf("without metadata: %d at %s", w.Code, rs.MetadataPath())
	}
}

// TestWhoseTokenItIs tells tokens of users from those of clients.
func TestWhoseTokenItIs(t *testing.T) {
	spec.Covers(t, "BC-21", "BC-09", "RFC9068-5-1")
	a := newAS()
	rs := a.server(t, takesOpaque)
	for raw, is := range map[string]bool{
		a.jwt(t, nil): true, a.jwt(t, claims{"sub": "web"}): false, a.opaque("gha_user", ""): true, a.opaque("gha_machine", `,"own":1`): true,
		a.jwt(t, claims{"client_id": "albums", "gid": "g", "lineage": []claims{{"jti": "1", "client_id": "web"}}}):                                               true,
		a.jwt(t, claims{"client_id": "albums", "sub": "web", "gid": nil, "act": claims{"sub": "albums"}, "lineage": []claims{{"jti": "1", "client_id": "web"}}}): false,
	} {
		access, err := rs.Check(t.Context(), raw, nothing)
		if err != nil {
			t.Fatal(err)
		}
		user, got := access.User()
		if got != is || is && (user != resource.User{Issuer: asURL, Subject: "alice"}) || !is && user != (resource.User{}) {
			t.Errorf("user %+v, %v", user, got)
		}
	}
	a.change(func(a *as) { a.active["gha_nobody"] = `{"active":true,"aud":"` + audience + `","client_id":"web"}` })
	access, err := rs.Check(t.Context(), "gha_nobody", nothing)
	if _, is := access.User(); is || err != nil || access.Issuer != asURL || !access.Expiry.IsZero() {
		t.Errorf("%+v %v", access, err)
	}
	wants(t, ask(rs, a.jwt(t, claims{"aud": "https://other.test"}), nothing), http.StatusUnauthorized, "resource-token-invalid")
	wants(t, ask(rs, a.jwt(t, nil), resource.Needs{Scopes: []string{"photos:write"}}), http.StatusForbidden, "resource-scope")
}

func TestRequiredClaimsAndLimits(t *testing.T) {
	a := newAS()
	rs := a.server(t, func(c *resource.Config) {
		c.Opaque, c.RequiredClaims, c.MaxTokenBytes = true, []string{"tenant"}, 1000
	})
	wants(t, ask(rs, a.jwt(t, claims{"tenant": "blue"}), nothing), http.StatusOK, "")
	wants(t, ask(rs, a.jwt(t, nil), nothing), http.StatusUnauthorized, "resource-token-invalid")
	wants(t, ask(rs, a.jwt(t, claims{"tenant": ""}), nothing), http.StatusUnauthorized, "resource-token-invalid")
	wants(t, ask(rs, a.jwt(t, claims{"tenant": "blue", "x": strings.Repeat("x", 1000)}), nothing), http.StatusUnauthorized, "resource-token-invalid")
	wants(t, ask(rs, a.opaque("gha_blue", `,"tenant":"blue"`), nothing), http.StatusOK, "")
	wants(t, ask(rs, a.opaque("gha_none", ""), nothing), http.StatusUnauthorized, "resource-token-invalid")
	asked := a.asked.Load()
	if wants(t, ask(rs, "gha_"+strings.Repeat("x", 1000), nothing), http.StatusUnauthorized, "resource-token-invalid"); a.asked.Load() != asked {
		t.Error("a token that is too long was shown to the issuer")
	}
}

// TestBoundTokens are taken with their proof and in no other way.
func TestBoundTokens(t *testing.T) {
	a := newAS()
	var asked resource.Bound
	var outcome error
	rs := a.server(t, func(c *resource.Config) {
		c.Opaque = true
		c.Confirm = func(_ context.Context, bound resource.Bound) error {
			asked = bound
			return outcome
		}
	})
	plain := a.server(t, takesOpaque)
	send := func(rs *resource.Server, scheme, raw string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/photos", nil)
		r.Header.Set("Authorization", scheme+" "+raw)
		w := httptest.NewRecorder()
		rs.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		return w
	}
	dpop, mtls := a.jwt(t, claims{"cnf": claims{"jkt": "x"}}), a.jwt(t, claims{"cnf": claims{"x5t#S256": "x"}})
	opaque := a.opaque("gha_bound", `,"cnf":{"jkt":"x"}`)
	free := a.jwt(t, nil)
	for _, raw := range []string{dpop, mtls, opaque} {
		wants(t, send(plain, "Bearer", raw), http.StatusUnauthorized, "resource-token-bound")
		if w := send(plain, "DPoP", raw); w.Code != http.StatusUnauthorized || w.Body.Len() != 0 {
			t.Errorf("a scheme that is not known: %d %s", w.Code, w.Body)
		}
	}
	for _, test := range []struct {
		scheme, raw string
		status      int
	}{
		{"DPoP", dpop, 200}, {"dpop", opaque, 200}, {"Bearer", mtls, 200}, {"Bearer", free, 200},
		{"Bearer", dpop, 401}, {"Bearer", opaque, 401}, {"DPoP", mtls, 401}, {"DPoP", free, 401},
		{"Bearer", a.jwt(t, claims{"cnf": "x"}), 401}, {"DPoP", a.jwt(t, claims{"cnf": nil, "jkt": "x"}), 401},
	} {
		asked = resource.Bound{}
		w := send(rs, test.scheme, test.raw)
		if w.Code != test.status {
			t.Errorf("%s %.20s: %d %s", test.scheme, test.raw, w.Code, w.Body)
		}
		if test.status == 200 && test.raw != free && (asked.Token != test.raw || asked.Request == nil || asked.Access.JTI == "") {
			t.Errorf("asked %+v", asked)
		}
	}
	outcome = errors.New("the proof is of another key")
	for range 2 { // also for a token that was seen before
		wants(t, send(rs, "DPoP", dpop), http.StatusUnauthorized, "resource-token-bound")
	}
	outcome = oauth.Refuse("resource-token-bound", oauth.InvalidRequest, "Mine.")
	wants(t, send(rs, "DPoP", dpop), http.StatusBadRequest, "resource-token-bound")
	outcome = nil
	if _, err := rs.Check(t.Context(), mtls, nothing); err != nil || asked.Request != nil {
		t.Errorf("%v %+v", err, asked)
	}
}

func TestCheck(t *testing.T) {
	a := newAS()
	var log bytes.Buffer
	rs := a.server(t, func(c *resource.Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	needs := resource.Needs{Scopes: []string{"photos:write"}}
	access, err := rs.Check(t.Context(), a.jwt(t, nil), needs)
	refusal := oauth.AsError(err)
	if refusal.Code != oauth.InsufficientScope || access.JTI != "jti-1" {
		t.Errorf("%+v %v", access, err)
	}
	w := httptest.NewRecorder()
	oauth.WriteChallenge(w, refusal, rs.Challenge(refusal, needs))
	if challenge := w.Header().Get("WWW-Authenticate"); w.Code != 403 || !strings.HasSuffix(challenge, `scope="photos:write"`) {
		t.Errorf("%d %s", w.Code, challenge)
	}
	if _, err := rs.Check(t.Context(), a.jwt(t, nil), resource.Needs{Scopes: []string{"document:read:{id}"}}); oauth.AsError(err).Code != oauth.InsufficientScope {
		t.Errorf("a scope whose parameter has no value: %v", err)
	}
	if _, err := rs.Check(t.Context(), "", nothing); oauth.AsError(err).Code != oauth.InvalidToken {
		t.Errorf("no token: %v", err)
	}
	if access, err := rs.Check(t.Context(), a.jwt(t, nil), nothing); err != nil || access.ClientID != "web" {
		t.Errorf("%+v %v", access, err)
	}
	ctx := resource.WithAccess(t.Context(), access)
	if again, ok := resource.AccessFrom(ctx); !ok || again.JTI != access.JTI {
		t.Errorf("%+v", again)
	}
}

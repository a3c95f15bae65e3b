package gateway_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/gateway"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/resource"
)

func TestWhatIsLetThrough(t *testing.T) {
	s := newStage(t, nil)
	raw := s.issuer.token(t, nil)
	s.lets("with a token")
	if saw := s.echo.last(t); saw.Target != "/photos/1" || saw.Header.Get("Authorization") != "" || saw.Header.Get("X-Forwarded-Host") != strings.TrimPrefix(s.front.URL, "http://") ||
		saw.Header.Get("X-Forwarded-Proto") != "http" || saw.Header.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("the upstream saw %+v", saw)
	}
	wants(t, "HEAD, by GET", s.do("HEAD", "/photos/1", bearer(raw), nil), http.StatusOK, "")
	wants(t, "a public path", s.do("POST", "/public/a/b?c=d", nil, strings.NewReader("body")), http.StatusOK, "")
	if saw := s.echo.last(t); saw.Target != "/public/a/b?c=d" || saw.Body != "body" || saw.Method != "POST" {
		t.Errorf("the upstream saw %+v", saw)
	}
	before := len(s.echo.requests())
	for name, test := range map[string]struct {
		page page
		want int
		rule string
	}{
		"no token":             {s.do("GET", "/photos/1", nil, nil), 401, ""},
		"no route":             {s.do("GET", "/nothing", bearer(raw), nil), 404, "gateway-no-route"},
		"no route at the root": {s.do("GET", "/", bearer(raw), nil), 404, "gateway-no-route"},
		"another method":       {s.do("PATCH", "/photos/1", bearer(raw), nil), 405, "gateway-method"},
		"a method of nobody's": {s.do("BREW_COFFEE", "/any/x", bearer(raw), nil), 405, "gateway-method"},
		"TRACE":                {s.do("TRACE", "/any/x", bearer(raw), nil), 405, "gateway-method"},
		"too little scope":     {s.do("PUT", "/photos/1", bearer(raw), nil), 403, "resource-scope"},
		"another audience":     {s.do("GET", "/photos/1", bearer(s.issuer.token(t, claims{"aud": "https://other.example"})), nil), 401, "resource-token-invalid"},
		"expired":              {s.do("GET", "/photos/1", bearer(s.issuer.token(t, claims{"exp": time.Now().Add(-time.Minute).Unix()})), nil), 401, "resource-token-invalid"},
		"two headers":          {s.do("GET", "/photos/1", with(bearer(raw), "Authorization", "Bearer "+raw), nil), 400, "resource-several-headers"},
		"two transports":       {s.do("GET", "/photos/1?access_token=x", bearer(raw), nil), 400, "resource-two-transports"},
		"basic":                {s.do("GET", "/photos/1", http.Header{"Authorization": {"Basic eDp5"}}, nil), 401, ""},
		"a token in the query": {s.do("GET", "/photos/1?access_token="+raw, nil, nil), 401, ""},
	} {
		wants(t, name, test.page, test.want, test.rule)
		if test.want == 401 && !strings.HasPrefix(test.page.Header.Get("WWW-Authenticate"), `Bearer realm="`) {
			t.Errorf("%s: %v", name, test.page)
		}
		if strings.Contains(test.page.String(), "eyJ") {
			t.Errorf("%s quotes the token: %v", name, test.page)
		}
	}
	if p := s.do("PUT", "/photos/1", bearer(raw), nil); !strings.Contains(p.Header.Get("WWW-Authenticate"), `scope="photos:write"`) {
		t.Errorf("the challenge does not say what is needed: %v", p)
	}
	if p := s.do("PATCH", "/photos/1", bearer(raw), nil); p.Header.Get("Allow") != "DELETE, GET, HEAD, PUT" {
		t.Errorf("Allow: %v", p)
	}
	if after := len(s.echo.requests()); after != before {
		t.Errorf("the upstream saw %d requests that were refused", after-before)
	}
	s.lets("after all of it")
}

// TestForgedTokens: what package resource refuses, the gateway refuses; and on every route that
// wants a token, with every method.
func TestForgedTokens(t *testing.T) {
	spec.Covers(t, "JW-01", "JW-02", "JW-04", "JW-09", "JW-10", "JW-12", "JW-24")
	s := newStage(t, nil)
	good := claims{"iss": s.issuer.URL, "sub": "alice", "aud": audience, "client_id": "web", "jti": "1", "scope": "photos:read photos:write admin", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	raw := sign(t, issuerKey(), "at+jwt", good)
	parts := strings.Split(raw, ".")
	forged := map[string]string{
		"another key":        sign(t, attackerKey(), "at+jwt", good),
		"an ID token":        sign(t, issuerKey(), "JWT", good),
		"no signature":       parts[0] + "." + parts[1] + ".",
		"alg none":           "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + ".",
		"no exp":             s.issuer.token(t, claims{"exp": nil}),
		"no audience":        s.issuer.token(t, claims{"aud": nil}),
		"of another issuer":  s.issuer.token(t, claims{"iss": "https://evil.example"}),
		"bound to a key":     s.issuer.token(t, claims{"cnf": map[string]string{"jkt": "x"}}),
		"an identity JWT":    sign(t, issuerKey(), gateway.TypeIdentity, good),
		"nothing to be read": "gha_unknown",
	}
	for name, token := range forged {
		for _, target := range []string{"GET /photos/1", "PUT /photos/1", "OPTIONS /any/x", "GET /admin"} {
			method, path, _ := strings.Cut(target, " ")
			wants(t, name+" at "+target, s.do(method, path, bearer(token), nil), http.StatusUnauthorized, "")
		}
	}
	if n := len(s.echo.requests()); n != 0 {
		t.Errorf("the upstream saw %d requests", n)
	}
	for _, target := range []string{"GET /photos/1", "PUT /photos/1", "OPTIONS /any/x", "GET /admin"} {
		method, path, _ := strings.Cut(target, " ")
		wants(t, target, s.do(method, path, bearer(raw), nil), http.StatusOK, "")
	}
	s.issuer.mu.Lock()
	s.issuer.active["gha_known"] = `{"active":true,"iss":"` + s.issuer.URL + `","aud":"` + audience + `","client_id":"web","sub":"alice","scope":"photos:read"}`
	s.issuer.mu.Unlock()
	wants(t, "opaque", s.do("GET", "/photos/1", bearer("gha_known"), nil), http.StatusOK, "")
}

// TestUndecided: while what is needed to decide is away, nothing is let through.
func TestUndecided(t *testing.T) {
	s := newStage(t, nil)
	s.issuer.down.Store(true)
	p := s.do("GET", "/photos/1", bearer(s.issuer.token(t, nil)), nil)
	wants(t, "without keys", p, http.StatusServiceUnavailable, "resource-keys-unavailable")
	if p.Header.Get("Retry-After") == "" || p.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%v", p)
	}
	wants(t, "opaque", s.do("GET", "/photos/1", bearer("gha_x"), nil), http.StatusServiceUnavailable, "resource-introspection-unavailable")
	wants(t, "public", s.do("GET", "/public/x", nil, nil), http.StatusOK, "")
	if n := len(s.echo.requests()); n != 1 {
		t.Errorf("the upstream saw %d requests", n)
	}
}

// TestNeeds: what a route needs of a token is looked at on that route alone.
func TestNeeds(t *testing.T) {
	needs := map[string]resource.Needs{
		"claims": {Claims: []resource.Claim{{Name: "tier", Values: []string{"gold"}}}},
		"acr":    {ACRValues: []string{"urn:strong"}},
		"young":  {MaxTokenAge: time.Minute},
		"recent": {MaxAuthAge: time.Minute},
	}
	s := newStage(t, func(_ *stage, c *gateway.Config) {
		for name, need := range needs {
			c.Routes = append(c.Routes, gateway.Route{Name: name, Match: gateway.Match{Path: "/needs/" + name}, Authentication: "photos", Upstream: "echo", Needs: need})
		}
		c.Routes = append(c.Routes, gateway.Route{Name: "by path", Match: gateway.Match{Path: "/documents/{id}"}, Authentication: "photos", Upstream: "echo", Needs: resource.Needs{Scopes: []string{"document:read:{id}"}}})
		c.Routes[len(c.Routes)-1].Name = "by-path"
	})
	poor := s.issuer.token(t, claims{"iat": time.Now().Add(-time.Hour).Unix()})
	rich := s.issuer.token(t, claims{"tier": "gold", "acr": "urn:strong", "auth_time": time.Now().Unix(), "scope": "document:read:7"})
	for name, want := range map[string]struct {
		status int
		rule   string
	}{"claims": {403, "resource-claims"}, "acr": {401, "resource-step-up"}, "young": {401, "resource-token-age"}, "recent": {401, "resource-step-up"}} {
		wants(t, name, s.do("GET", "/needs/"+name, bearer(poor), nil), want.status, want.rule)
		wants(t, name, s.do("GET", "/needs/"+name, bearer(rich), nil), http.StatusOK, "")
	}
	wants(t, "a scope for this path", s.do("GET", "/documents/7", bearer(rich), nil), http.StatusOK, "")
	wants(t, "a scope for another", s.do("GET", "/documents/8", bearer(rich), nil), http.StatusForbidden, "resource-scope")
	s.lets("a route without needs of its own")
}

// TestOneLineForEachDecision, with nothing that works as a token, and JSON whatever is sent.
func TestOneLineForEachDecision(t *testing.T) {
	spec.Covers(t, "LG-01", "LG-02")
	s := newStage(t, nil)
	raw := s.issuer.token(t, claims{"sub": "al\"ice\n\u2028x"})
	s.do("GET", "/photos/1?code=secret-in-query", bearer(raw), nil)
	s.do("GET", "/photos/1", bearer("secret.that.isnone"), nil)
	s.do("PUT", "/photos/1", bearer(raw), nil)
	s.do("GET", "/nothing", nil, nil)
	s.do("GET", "/public/x", with(bearer(raw), "Cookie", "session=secret-cookie"), nil)
	lines := s.log.Lines(t, "decision")
	if len(lines) != 5 {
		t.Fatalf("%d lines, want 5:\n%s", len(lines), s.log)
	}
	for i, want := range []map[string]any{
		{"decision": "allowed", "reason": "allowed", "route": "read", "jti": "jti-1", "client_id": "web", "sub": "al\"ice\n\u2028x", "iss": s.issuer.URL, "method": "GET", "path": "/photos/1", "address": "127.0.0.1"},
		{"decision": "refused", "reason": "resource-token-invalid", "route": "read", "status": 401.0},
		{"decision": "refused", "reason": "resource-scope", "route": "write", "jti": "jti-1", "client_id": "web"},
		{"decision": "refused", "reason": "gateway-no-route", "route": "", "path": "/nothing"},
		{"decision": "allowed", "route": "public"},
	} {
		for name, value := range want {
			if lines[i][name] != value {
				t.Errorf("line %d: %s is %v, want %v", i, name, lines[i][name], value)
			}
		}
	}
	for _, secret := range []string{"secret", strings.Split(raw, ".")[2], "eyJ"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log has %q:\n%s", secret, s.log)
		}
	}
	stats := s.gateway.Stats()
	if stats.Answers["read"]["2xx"] != 1 || stats.Answers["read"]["5xx"] != 0 || stats.Waited["read"] <= 0 || stats.Waited["write"] != 0 {
		t.Errorf("%v, %v", stats.Answers, stats.Waited)
	}
	if stats.Decisions["read"]["allowed"] != 1 || stats.Decisions["write"]["resource-scope"] != 1 || stats.Decisions[""]["gateway-no-route"] != 1 {
		t.Errorf("%v", stats.Decisions)
	}
}

// TestDecisionsThatAreAskedFor are those that requests get.
func TestDecisionsThatAreAskedFor(t *testing.T) {
	s := newStage(t, func(_ *stage, c *gateway.Config) {
		c.Routes[0].Forward.Headers = true
		c.Routes[0].Limits = []gateway.Limit{{Per: gateway.PerSubject, Rate: 0.01}}
	})
	ask := func(method, target, raw string, explain bool) gateway.Decision {
		header := http.Header{"X-Gatehouse-Subject": {"mallory"}, "Accept": {"*/*"}}
		if raw != "" {
			header.Set("Authorization", "Bearer "+raw)
		}
		return s.gateway.Decide(t.Context(), gateway.Request{Scheme: "https", Host: "api.example", Method: method, Target: target, Header: header, Peer: loopback, Explain: explain})
	}
	raw := s.issuer.token(t, nil)
	for range 3 { // counts against no limit
		d := ask("GET", "/photos/1", raw, true)
		if !d.Allowed || d.Status != 200 || d.Reason != gateway.Allowed || d.Route != "read" || d.Access.Claims.Subject != "alice" || d.Until.IsZero() {
			t.Fatalf("%+v", d)
		}
		if d.Set.Get("X-Gatehouse-Subject") != "alice" || !slices.Equal(d.Removed, []string{"Authorization", "X-Gatehouse-Subject"}) {
			t.Errorf("set %v, removed %v", d.Set, d.Removed)
		}
		var names []string
		for _, step := range d.Steps {
			names = append(names, step.Name+" "+string(step.Outcome))
			if step.Explanation == "" || strings.Contains(step.Explanation, raw[len(raw)-20:]) {
				t.Errorf("%+v", step)
			}
		}
		if want := []string{"target passed", "route passed", "address passed", "network skipped", "country skipped", "token passed", "limit passed", "upgrade skipped", "forward passed"}; !slices.Equal(names, want) {
			t.Errorf("%q", names)
		}
	}
	if len(s.log.Lines(t, "decision")) != 0 {
		t.Error("an explanation is told in the log")
	}
	if d := ask("GET", "/photos/1", raw, false); !d.Allowed || d.Steps != nil {
		t.Errorf("%+v", d)
	}
	if d := ask("GET", "/photos/1", raw, false); d.Allowed || d.Reason != "gateway-limit" || d.Status != 429 || d.Header.Get("Retry-After") == "" {
		t.Errorf("%+v", d)
	}
	d := ask("GET", "/photos/1", "", true)
	if last := d.Steps[len(d.Steps)-1]; d.Allowed || d.Status != 401 || d.Header.Get("WWW-Authenticate") == "" || last.Name != "token" || last.Outcome != gateway.Refused {
		t.Errorf("%+v", d)
	}
	for _, target := range []string{"", "photos", "http://[::1", "/a b"} {
		if d := ask("GET", target, raw, true); d.Allowed || d.Reason != "gateway-target" || len(d.Steps) != 1 {
			t.Errorf("%q: %+v", target, d)
		}
	}
	if d := ask("GET", "/public/x", "", false); !d.Allowed || d.Access != nil || len(d.Set) != 0 {
		t.Errorf("%+v", d)
	}
	if len(s.echo.requests()) != 0 {
		t.Error("a decision passes something on")
	}
}

func TestKeysOfIdentityTokens(t *testing.T) {
	s := newStage(t, func(_ *stage, c *gateway.Config) {
		c.Identity.Issuer, c.Identity.Keys = "https://gw.example", []*jose.PrivateKey{identityKey(), mustGenerate("gw-2")}
	})
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405} {
		w := newRecorder(s.gateway.JWKS(), method)
		if w.Code != want {
			t.Errorf("%s: %d", method, w.Code)
		}
		if set, err := jose.ParseKeySet(w.Body.Bytes()); method == "GET" && (err != nil || len(set.Keys) != 2 || w.Header().Get("Content-Type") != "application/jwk-set+json") {
			t.Errorf("%+v, %v", set, err)
		}
	}
}

// TestSeveralIssuers: each one's keys count for its tokens alone, and a token is exchanged where
// it is from.
func TestSeveralIssuers(t *testing.T) {
	second := newIssuer(t)
	s := newStage(t, func(s *stage, c *gateway.Config) {
		forwarding(toAPI)(s, c)
		c.Authentications[0].Resource = resource.Config{Audience: audience, Issuers: []resource.Issuer{{Identifier: s.issuer.URL}, {Identifier: second.URL}}}
		c.Exchangers = append(c.Exchangers, gateway.Exchanger{Issuer: second.URL, Client: c.Exchangers[0].Client})
	})
	for _, one := range []*issuer{s.issuer, second} {
		wants(t, one.URL, s.do("GET", "/photos/1", bearer(one.token(t, nil)), nil), http.StatusOK, "")
		if n := len(one.exchanged()); n != 1 {
			t.Errorf("%s exchanged %d times", one.URL, n)
		}
	}
	wants(t, "a third", s.do("GET", "/photos/1", bearer(newIssuer(t).token(t, nil)), nil), http.StatusUnauthorized, "resource-token-invalid")
}

// TestMetadataOfResources is served where clients look for it, at its own host alone.
func TestMetadataOfResources(t *testing.T) {
	s := newStage(t, func(_ *stage, c *gateway.Config) {
		c.Authentications[0].Resource.Metadata = &resource.Metadata{Name: "Photos", Scopes: []string{"photos:read"}}
	})
	const path = "/.well-known/oauth-protected-resource"
	p := s.do("GET", path, http.Header{"Host": {"photos.example"}}, nil)
	if p.StatusCode != http.StatusOK || !strings.Contains(p.text, `"resource":"`+audience+`"`) || !strings.Contains(p.text, s.issuer.URL) {
		t.Errorf("%v", p)
	}
	wants(t, "at another host", s.do("GET", path, http.Header{"Host": {"other.example"}}, nil), http.StatusNotFound, "gateway-no-route")
	wants(t, "another path", s.do("GET", path+"/x", http.Header{"Host": {"photos.example"}}, nil), http.StatusNotFound, "gateway-no-route")
	if p := s.do("GET", "/photos/1", nil, nil); !strings.Contains(p.Header.Get("WWW-Authenticate"), `resource_metadata="`+audience+path+`"`) {
		t.Errorf("%v", p)
	}
}

package client_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/jose"
)

// refusedLogin signs in and wants no session.
func refusedLogin(t *testing.T, a *application, status int) {
	t.Helper()
	b := newBrowser(t)
	if answer := b.signIn(a); answer.StatusCode != status || b.me(a) != "" {
		t.Errorf("%d, signed in as %q; want %d\n%s", answer.StatusCode, b.me(a), status, answer.text)
	}
}

// accepted signs in and wants a session.
func accepted(t *testing.T, a *application) {
	t.Helper()
	b := newBrowser(t)
	if answer := b.signIn(a); b.me(a) == "" {
		t.Errorf("refused with %d: %s", answer.StatusCode, answer.text)
	}
}

func TestClaimsOfIDTokens(t *testing.T) {
	spec.Covers(t, "OIDCC-3.1.3.7-1", "FD-10", "JW-09", "JW-10")
	p := newProvider(t)
	a := p.application(t, client.Config{TrustedAudiences: []string{"https://trusted.example"}})
	now := time.Now().Unix()
	for name, change := range map[string]claims{
		"no iss": {"iss": nil}, "another iss": {"iss": "https://other.example"}, "iss with a slash": {"iss": p.issuer + "/"}, "an empty iss": {"iss": ""},
		"no sub": {"sub": nil}, "an empty sub": {"sub": ""}, "a sub that is null": {"sub": json.RawMessage("null")}, "a long sub": {"sub": strings.Repeat("a", 256)}, "a number for a sub": {"sub": 17},
		"no aud": {"aud": nil}, "another aud": {"aud": "other"}, "no audience in aud": {"aud": []string{}}, "foreign audiences": {"aud": []string{"other", "another"}},
		"an audience that is not trusted": {"aud": []string{clientID, "other"}, "azp": clientID},
		"two audiences without azp":       {"aud": []string{clientID, "https://trusted.example"}},
		"another azp":                     {"azp": "other"}, "an empty azp": {"azp": ""},
		"no nonce": {"nonce": nil}, "another nonce": {"nonce": "other"}, "an empty nonce": {"nonce": ""},
		"no iat": {"iat": nil}, "iat long ago": {"iat": now - 3600}, "iat ahead": {"iat": now + 3600}, "iat as a text": {"iat": "now"},
		"no exp": {"exp": nil}, "expired": {"exp": now - 60, "iat": now - 120}, "exp as a text": {"exp": "tomorrow"}, "nbf ahead": {"nbf": now + 3600},
		"auth_time ahead": {"auth_time": now + 3600},
		"another at_hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "an empty at_hash": {"at_hash": ""}, "a number for at_hash": {"at_hash": 1}, "at_hash null": {"at_hash": json.RawMessage("null")},
		"a logout token's events": {"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}},
	} {
		t.Run(name, func(t *testing.T) {
			p.change(func(p *provider) { p.idToken = func(c claims) claims { return c.with(change) } })
			refusedLogin(t, a, http.StatusBadGateway)
		})
	}
	for name, change := range map[string]claims{
		"one in a list": {"aud": []string{clientID}}, "a trusted audience": {"aud": []string{clientID, "https://trusted.example"}, "azp": clientID},
		"our azp": {"azp": clientID}, "no at_hash": {"at_hash": nil}, "no auth_time": {"auth_time": nil}, "an unknown claim": {"vendor": map[string]any{"a": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			p.change(func(p *provider) { p.idToken = func(c claims) claims { return c.with(change) } })
			accepted(t, a)
		})
	}
}

func TestAtHashByAlgorithm(t *testing.T) {
	spec.Covers(t, "JW-23")
	for alg, key := range keysOf {
		p := newProvider(t)
		p.key = key()
		a := p.application(t, client.Config{})
		accepted(t, a)
		other := jose.EdDSA
		if alg == jose.EdDSA {
			other = jose.ES256
		}
		// The hash of another algorithm is the wrong one.
		p.change(func(p *provider) {
			p.idToken = func(c claims) claims { return c.with(claims{"at_hash": atHash(other, "x")}) }
		})
		refusedLogin(t, a, http.StatusBadGateway)
	}
}

func TestWithoutIDToken(t *testing.T) {
	spec.Covers(t, "FD-10")
	p := newProvider(t)
	a := p.application(t, client.Config{})
	p.change(func(p *provider) { p.idToken = func(claims) claims { return nil } })
	refusedLogin(t, a, http.StatusBadGateway)
	p.change(func(p *provider) { p.idToken = nil })
	accepted(t, a)
	// Whoever asks for no ID token gets no session.
	refusedLogin(t, p.application(t, client.Config{Scope: "email"}), http.StatusBadGateway)
}

// compact is a JWS of header and claims with a signature made of them.
func compact(header string, c claims, signature func(signed string) []byte) string {
	payload, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode(payload)
	return signed + "." + encode(signature(signed))
}

func TestSignaturesOfIDTokens(t *testing.T) {
	spec.Covers(t, "JW-01", "JW-02", "JW-04", "JW-05", "JW-06", "JW-12", "JW-13", "JW-21")
	p := newProvider(t)
	a := p.application(t, client.Config{})
	impostor := mustGenerate(jose.ES256, "key-1")
	none := func(string) []byte { return []byte{} }
	some := func(string) []byte { return []byte("signature") }
	genuine := func(c claims) string { return sign(t, p.key, jose.TypeJWT, c) }
	published, err := json.Marshal(p.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, forge := range map[string]func(claims) string{
		"foreign key, our kid":      func(c claims) string { return sign(t, impostor, jose.TypeJWT, c) },
		"foreign key, own kid":      func(c claims) string { return sign(t, mustGenerate(jose.ES256, "other"), jose.TypeJWT, c) },
		"foreign key and expired":   func(c claims) string { return sign(t, impostor, jose.TypeJWT, c.with(claims{"exp": 1})) },
		"none":                      func(c claims) string { return compact(`{"alg":"none"}`, c, none) },
		"none with a signature":     func(c claims) string { return compact(`{"alg":"none"}`, c, some) },
		"None":                      func(c claims) string { return compact(`{"alg":"None","kid":"key-1"}`, c, some) },
		"no alg":                    func(c claims) string { return compact(`{"kid":"key-1"}`, c, some) },
		"HS256 by the public key":   func(c claims) string { return compact(`{"alg":"HS256","kid":"key-1"}`, c, hmacBy(published)) },
		"HS256 by the secret":       func(c claims) string { return compact(`{"alg":"HS256"}`, c, hmacBy([]byte(clientSecret))) },
		"its own key in the header": func(c claims) string { return withOwnKey(t, impostor, c) },
		"a key to be fetched": func(c claims) string {
			return compact(`{"alg":"ES256","jku":"`+p.URL+`/evil-jwks","kid":"key-1"}`, c, some)
		},
		"crit":           func(c claims) string { return compact(`{"alg":"ES256","kid":"key-1","crit":["exp"],"exp":1}`, c, some) },
		"b64":            func(c claims) string { return compact(`{"alg":"ES256","kid":"key-1","b64":false}`, c, some) },
		"a strange kid":  func(c claims) string { return compact(`{"alg":"ES256","kid":"../../dev/null"}`, c, some) },
		"a changed body": func(c claims) string { return changedBody(genuine(c)) },
		"cut off":        func(c claims) string { raw := genuine(c); return raw[:len(raw)-8] },
		"no signature":   func(c claims) string { raw := genuine(c); return raw[:strings.LastIndex(raw, ".")+1] },
		"an access token": func(c claims) string {
			return sign(t, p.key, jose.TypeAccessToken, c)
		},
		"a logout token": func(c claims) string { return sign(t, p.key, jose.TypeLogoutToken, c) },
		"encrypted":      func(claims) string { return "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.Y2lwaGVy.dGFn" },
		"plain claims": func(c claims) string {
			payload, _ := json.Marshal(c)
			return base64.RawURLEncoding.EncodeToString(payload)
		},
		"nothing but dots": func(claims) string { return strings.Repeat(".", client.MaxTokenBytes) },
		"too long":         func(c claims) string { return genuine(c.with(claims{"x": strings.Repeat("x", client.MaxTokenBytes)})) },
	} {
		t.Run(name, func(t *testing.T) {
			p.change(func(p *provider) { p.sign = forge })
			refusedLogin(t, a, http.StatusBadGateway)
			p.change(func(p *provider) { p.sign = nil })
			accepted(t, a)
		})
	}
	if p.seen("/evil-jwks") != 0 {
		t.Error("a key out of a header was fetched")
	}
}

func TestDemandsOnTheSignIn(t *testing.T) {
	p := newProvider(t)
	c := p.client(t, client.Config{RedirectURI: "http://127.0.0.1/callback"})
	now := time.Now()
	for name, test := range map[string]struct {
		asked  client.AuthorizationRequest
		change claims
		good   bool
	}{
		"fresh":                 {client.AuthorizationRequest{MaxAge: time.Minute}, claims{"auth_time": now.Unix() - 30}, true},
		"too long ago":          {client.AuthorizationRequest{MaxAge: time.Minute}, claims{"auth_time": now.Unix() - 120}, false},
		"no auth_time":          {client.AuthorizationRequest{MaxAge: time.Minute}, claims{"auth_time": nil}, false},
		"signed in anew":        {client.AuthorizationRequest{Prompt: "login"}, claims{}, true},
		"signed in long before": {client.AuthorizationRequest{Prompt: "login"}, claims{"auth_time": now.Unix() - 3600}, false},
		"the acr":               {client.AuthorizationRequest{ACRValues: []string{"gold", "silver"}, RequireACR: true}, claims{"acr": "silver"}, true},
		"another acr":           {client.AuthorizationRequest{ACRValues: []string{"gold", "silver"}, RequireACR: true}, claims{"acr": "bronze"}, false},
		"no acr":                {client.AuthorizationRequest{ACRValues: []string{"gold"}, RequireACR: true}, claims{}, false},
		"another acr, no must":  {client.AuthorizationRequest{ACRValues: []string{"gold"}}, claims{"acr": "bronze"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p.change(func(p *provider) { p.idToken = func(c claims) claims { return c.with(test.change) } })
			address, tx, err := c.Begin(t.Context(), test.asked)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Finish(t.Context(), tx, answerTo(t, address))
			if refusal, refused := errors.AsType[*client.LoginError](err); test.good != (err == nil) || refused && refusal.Reason != client.WrongAuthentication {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestSlowPeopleSignInAnew: whoever signs in for a request has signed in young enough for it, however
// long the rest of the login takes; and who had before, is judged as of the request.
func TestSlowPeopleSignInAnew(t *testing.T) {
	for name, test := range map[string]struct {
		before time.Duration // of the sign-in, before the request
		good   bool
	}{
		"for the request": {-time.Minute, true}, "just before": {20 * time.Second, true}, "too long before": {40 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, network := newDirectProvider(t)
				c := p.client(t, client.Config{HTTPClient: &http.Client{Transport: network}, RedirectURI: "http://127.0.0.1:2/callback"})
				signedIn := time.Now().Add(-test.before).Unix()
				p.change(func(p *provider) {
					p.idToken = func(c claims) claims { return c.with(claims{"auth_time": signedIn}) }
				})
				address, tx, err := c.Begin(t.Context(), client.AuthorizationRequest{MaxAge: 30 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Minute) // on the page of consent
				if _, err = c.Finish(t.Context(), tx, answerBy(t, network, address)); test.good != (err == nil) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

func TestParametersOfALogin(t *testing.T) {
	p := newProvider(t)
	c := p.client(t, client.Config{RedirectURI: "http://127.0.0.1/callback", Resources: []string{"https://api.example/a", "https://api.example/b"}})
	address, _, err := c.Begin(t.Context(), client.AuthorizationRequest{
		Prompt: "login", MaxAge: time.Hour, ACRValues: []string{"a", "b"}, LoginHint: "alice@example.com", UILocales: "de", Display: "page",
		Claims: json.RawMessage(`{"userinfo":{"name":null}}`), Extra: map[string][]string{"audience": {"legacy"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := queryOf(t, address)
	for name, want := range map[string]string{
		"prompt": "login", "max_age": "3600", "acr_values": "a b", "login_hint": "alice@example.com", "ui_locales": "de", "display": "page",
		"claims": `{"userinfo":{"name":null}}`, "audience": "legacy", "scope": "openid", "resource": "https://api.example/a",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Get(name), want)
		}
	}
	if len(got["resource"]) != 2 {
		t.Errorf("resources %q", got["resource"])
	}
	for _, own := range []string{"state", "nonce", "client_id", "request", "max_age", "code_challenge", "redirect_uri"} {
		if _, _, err := c.Begin(t.Context(), client.AuthorizationRequest{Extra: map[string][]string{own: {"x"}}}); err == nil {
			t.Errorf("Extra replaced %s", own)
		}
	}
}

package client_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/token"
)

// answers makes the provider answer a path with a JSON document.
func (p *provider) answers(path string, status int, document any) {
	p.change(func(p *provider) {
		p.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				writeJSON(w, status, document)
			}
			return r.URL.Path == path
		}
	})
}

func TestWaysToAuthenticate(t *testing.T) {
	spec.Covers(t, "RFC6749-2.3.1-C1")
	p := newProvider(t)
	secret := client.NewSecret(clientSecret)
	for name, test := range map[string]struct {
		config    client.Config
		supported []string
		basic     bool
		form      []string // parameters beside grant_type
	}{
		"Basic, where nothing is said": {client.Config{ClientSecret: secret}, nil, true, nil},
		"Basic, where both are known":  {client.Config{ClientSecret: secret}, []string{"client_secret_post", "client_secret_basic"}, true, nil},
		"post, where it is known only": {client.Config{ClientSecret: secret}, []string{"client_secret_post"}, false, []string{"client_id", "client_secret"}},
		"post, by name":                {client.Config{ClientSecret: secret, AuthMethod: client.AuthPost}, nil, false, []string{"client_id", "client_secret"}},
		"none":                         {client.Config{}, nil, false, []string{"client_id"}},
		"by certificate":               {client.Config{AuthMethod: client.AuthTLS}, nil, false, []string{"client_id"}},
		"by key":                       {client.Config{PrivateKey: p.key}, nil, false, []string{"client_assertion", "client_assertion_type", "client_id"}},
	} {
		t.Run(name, func(t *testing.T) {
			p.change(func(p *provider) { p.metadata["token_endpoint_auth_methods_supported"] = test.supported })
			test.config.ClientID = "web:1 +%"
			credentials, err := p.client(t, test.config).Credentials(client.CredentialsConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := credentials.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			form, header := p.last()
			form.Del("grant_type")
			form.Del("scope")
			var names []string
			for name := range form {
				names = append(names, name)
			}
			if slices.Sort(names); !slices.Equal(names, test.form) || test.basic != (header.Get("Authorization") != "") {
				t.Errorf("%q, Authorization %q", names, header.Get("Authorization"))
			}
			if encoded, basic := strings.CutPrefix(header.Get("Authorization"), "Basic "); basic {
				decoded, err := base64.StdEncoding.DecodeString(encoded)
				if want := url.QueryEscape("web:1 +%") + ":" + url.QueryEscape(clientSecret); err != nil || string(decoded) != want {
					t.Errorf("%q, want %q", decoded, want)
				}
			}
		})
	}
	for name, config := range map[string]client.Config{
		"two": {ClientSecret: secret, PrivateKey: p.key}, "no secret": {AuthMethod: client.AuthBasic}, "no key": {AuthMethod: client.AuthPrivateKey, ClientSecret: secret}, "an unknown one": {AuthMethod: "client_secret_jwt", ClientSecret: secret},
	} {
		config.ClientID = clientID
		if _, err := client.New(t.Context(), p.issuer, config); err == nil || strings.Contains(err.Error(), clientSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEndpointsForCertificates(t *testing.T) {
	p := newProvider(t)
	p.metadata["mtls_endpoint_aliases"] = map[string]any{"token_endpoint": p.URL + "/mtls/token"}
	p.answers("/mtls/token", http.StatusOK, map[string]any{"access_token": "bound", "token_type": "Bearer"})
	for method, want := range map[string]string{client.AuthTLS: "bound", client.AuthNone: ""} {
		credentials, err := p.client(t, client.Config{ClientID: clientID, AuthMethod: method}).Credentials(client.CredentialsConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if got := access(t, credentials); want != "" && got != want || want == "" && got == "bound" {
			t.Errorf("%s: %q", method, got)
		}
	}
}

func TestClientAssertions(t *testing.T) {
	spec.Covers(t, "CA-03", "RFC7523-3-C1")
	p := newProvider(t)
	key := mustGenerate(jose.ES256, "client-key")
	jtis := map[string]bool{}
	send := func(config client.Config) token.Claims {
		t.Helper()
		config.ClientID, config.PrivateKey = clientID, key
		c := p.client(t, config)
		if _, err := c.Introspect(t.Context(), client.NewSecret("x"), ""); err != nil {
			t.Fatal(err)
		}
		form, _ := p.last()
		unverified, err := jose.Parse(form.Get("client_assertion"), jose.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := unverified.Verify(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		var claims struct {
			Iss, Sub, Jti string
			Aud           any
			Iat, Exp      int64
		}
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		now := time.Now().Unix()
		if claims.Iss != clientID || claims.Sub != clientID || claims.Iat < now-5 || claims.Iat > now || claims.Exp <= now || claims.Exp > now+120 {
			t.Errorf("%+v", claims)
		}
		if len(claims.Jti) < 22 || jtis[claims.Jti] {
			t.Errorf("jti %q", claims.Jti)
		}
		jtis[claims.Jti] = true
		audience, one := claims.Aud.(string)
		if !one {
			t.Errorf("aud is %v, and not one text", claims.Aud)
		}
		return token.Claims{Audience: []string{audience}}
	}
	p.answers("/introspect", http.StatusOK, map[string]any{"active": false})
	for range 50 {
		if got := send(client.Config{}).Audience[0]; got != p.issuer {
			t.Errorf("aud %q", got)
		}
	}
	if got := send(client.Config{AssertionAudience: p.URL + "/token"}).Audience[0]; got != p.URL+"/token" {
		t.Errorf("aud %q", got)
	}
}

func TestPushedRequests(t *testing.T) {
	spec.Covers(t, "RFC9126-4-C1")
	p := newProvider(t)
	p.answers("/par", http.StatusCreated, map[string]any{"request_uri": "urn:ietf:params:oauth:request_uri:1", "expires_in": 60})
	for name, test := range map[string]struct {
		config   client.Config
		required bool
	}{"demanded": {client.Config{}, true}, "wished for": {client.Config{PushRequests: true}, false}} {
		t.Run(name, func(t *testing.T) {
			p.change(func(p *provider) { p.metadata["require_pushed_authorization_requests"] = test.required })
			test.config.RedirectURI = "http://127.0.0.1/callback"
			address, tx, err := p.client(t, test.config).Begin(t.Context(), client.AuthorizationRequest{LoginHint: "alice@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			if got := queryOf(t, address); len(got) != 2 || got.Get("client_id") != clientID || got.Get("request_uri") != "urn:ietf:params:oauth:request_uri:1" {
				t.Errorf("the front channel has %v", got)
			}
			form, header := p.last()
			if form.Get("state") != tx.State || form.Get("login_hint") != "alice@example.com" || form.Get("response_type") != "code" || header.Get("Authorization") == "" {
				t.Errorf("pushed %v", form)
			}
		})
	}
	c := p.client(t, client.Config{PushRequests: true, RedirectURI: "http://127.0.0.1/callback"})
	for _, bad := range []any{map[string]any{}, map[string]any{"request_uri": ""}, []int{}} {
		p.answers("/par", http.StatusCreated, bad)
		if address, _, err := c.Begin(t.Context(), client.AuthorizationRequest{}); err == nil {
			t.Errorf("%v makes %s", bad, address)
		}
	}
}

func TestExchange(t *testing.T) {
	spec.Covers(t, "RFC8693-2.2.1-C1")
	p := newProvider(t)
	c := p.client(t, client.Config{})
	good := map[string]any{"access_token": "exchanged", "token_type": "Bearer", "expires_in": 60, "issued_token_type": client.TypeAccessToken, "scope": "read"}
	p.answers("/token", http.StatusOK, good)
	tokens, err := c.Exchange(t.Context(), client.Exchange{
		SubjectToken: client.NewSecret("theirs"), ActorToken: client.NewSecret("ours"), ActorTokenType: client.TypeJWT,
		Resources: []string{api}, Audiences: []string{"a", "b"}, Scope: "read write", RequestedTokenType: client.TypeAccessToken,
	})
	if err != nil || tokens.AccessToken.Reveal() != "exchanged" || tokens.Scope.String() != "read" || tokens.IssuedType != client.TypeAccessToken {
		t.Errorf("%+v, %v", tokens, err)
	}
	form, _ := p.last()
	for name, want := range map[string]string{
		"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "theirs", "subject_token_type": client.TypeAccessToken,
		"actor_token": "ours", "actor_token_type": client.TypeJWT, "resource": api, "scope": "read write", "requested_token_type": client.TypeAccessToken,
	} {
		if form.Get(name) != want {
			t.Errorf("%s is %q", name, form.Get(name))
		}
	}
	if len(form["audience"]) != 2 {
		t.Errorf("audience %q", form["audience"])
	}
	if _, err := c.Exchange(t.Context(), client.Exchange{SubjectToken: client.NewSecret("theirs")}); err != nil {
		t.Error(err)
	}
	if form, _ := p.last(); form.Has("actor_token") || form.Has("actor_token_type") || form.Has("scope") {
		t.Errorf("sent %v", form)
	}
	delete(good, "issued_token_type")
	p.answers("/token", http.StatusOK, good)
	if _, err := c.Exchange(t.Context(), client.Exchange{SubjectToken: client.NewSecret("theirs")}); err == nil {
		t.Error("a token of no type is taken")
	}
	p.answers("/token", http.StatusBadRequest, map[string]any{"error": "invalid_target", "error_description": "not for theirs-secret"})
	_, err = c.Exchange(t.Context(), client.Exchange{SubjectToken: client.NewSecret("theirs-secret")})
	if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Code != "invalid_target" || strings.Contains(err.Error(), "theirs-secret") {
		t.Errorf("%v", err)
	}
	if _, err := c.Exchange(t.Context(), client.Exchange{}); err == nil {
		t.Error("nothing was exchanged for something")
	}
}

func TestIntrospect(t *testing.T) {
	p := newProvider(t)
	c := p.client(t, client.Config{})
	now := time.Now().Unix()
	p.answers("/introspect", http.StatusOK, map[string]any{"active": true, "scope": "read", "client_id": "other", "sub": "alice", "aud": []string{api}, "exp": now + 60, "iat": now, "vendor": 1})
	got, err := c.Introspect(t.Context(), client.NewSecret("theirs"), "access_token")
	if err != nil || !got.Active || got.Subject != "alice" || got.ClientID != "other" || !slices.Equal(got.Audience, []string{api}) || got.Expiry.Unix() != now+60 || string(got.Raw["vendor"]) != "1" {
		t.Errorf("%+v, %v", got, err)
	}
	if form, header := p.last(); form.Get("token") != "theirs" || form.Get("token_type_hint") != "access_token" || header.Get("Authorization") == "" {
		t.Errorf("asked by %v", form)
	}
	for name, answer := range map[string]map[string]any{
		"inactive": {"active": false, "sub": "alice"}, "active and expired": {"active": true, "exp": now - 60, "sub": "alice"},
	} {
		p.answers("/introspect", http.StatusOK, answer)
		if got, err := c.Introspect(t.Context(), client.NewSecret("theirs"), ""); err != nil || got.Active || got.Subject != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, answer := range map[string]any{"nothing": map[string]any{}, "a text": map[string]any{"active": "true"}, "aud of numbers": map[string]any{"active": true, "aud": []int{1}}, "null": map[string]any{"active": nil}} {
		p.answers("/introspect", http.StatusOK, answer)
		if got, err := c.Introspect(t.Context(), client.NewSecret("theirs"), ""); err == nil || got.Active {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestRegister(t *testing.T) {
	p := newProvider(t)
	var said []byte
	manage := p.URL + "/register/1"
	p.change(func(p *provider) {
		p.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/register") {
				return false
			}
			if want := map[bool]string{true: "Bearer initial", false: "Bearer manage"}[r.URL.Path == "/register"]; r.Header.Get("Authorization") != want {
				writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
				return true
			}
			if r.Method == http.MethodDelete {
				w.WriteHeader(http.StatusNoContent)
				return true
			}
			if r.Method != http.MethodGet {
				buffer := make([]byte, 1<<16)
				n, _ := r.Body.Read(buffer)
				said = buffer[:n]
			}
			writeJSON(w, http.StatusCreated, map[string]any{
				"client_id": "dcr-1", "client_secret": "dcr-secret", "client_secret_expires_at": 0, "registration_client_uri": manage, "registration_access_token": "manage",
				"redirect_uris": []string{"https://app.example/cb"}, "token_endpoint_auth_method": "client_secret_basic", "client_name": "Renamed",
			})
			return true
		}
	})
	key := mustGenerate(jose.EdDSA, "k")
	wanted := client.Registration{
		RedirectURIs: []string{"https://app.example/cb"}, ClientName: "App", JWKS: &jose.KeySet{Keys: []jose.PublicKey{key.Public()}},
		Extra: map[string]any{"dpop_bound_access_tokens": true, "client_name": "no other"},
	}
	registered, err := client.Register(t.Context(), p.issuer, wanted, client.RegisterConfig{InitialAccessToken: client.NewSecret("initial")})
	if err != nil {
		t.Fatal(err)
	}
	if registered.ClientID != "dcr-1" || registered.ClientSecret.Reveal() != "dcr-secret" || registered.Registration.ClientName != "Renamed" || !registered.SecretExpiry.IsZero() {
		t.Errorf("%+v", registered)
	}
	var sent map[string]any
	if err := json.Unmarshal(said, &sent); err != nil || sent["client_name"] != "App" || sent["dpop_bound_access_tokens"] != true || sent["jwks"] == nil {
		t.Errorf("sent %s", said)
	}
	if config := registered.Config(); config.ClientID != "dcr-1" || config.RedirectURI != "https://app.example/cb" || config.AuthMethod != client.AuthBasic {
		t.Errorf("%+v", config)
	}
	if err := registered.Read(t.Context()); err != nil {
		t.Error(err)
	}
	if err := registered.Update(t.Context(), wanted); err != nil || !strings.Contains(string(said), `"client_id":"dcr-1"`) {
		t.Errorf("%v, sent %s", err, said)
	}
	manage = p.URL + "/register/2"
	if err := registered.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = client.Register(t.Context(), p.issuer, wanted, client.RegisterConfig{InitialAccessToken: client.NewSecret("a wrong one")})
	if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Status != http.StatusUnauthorized || strings.Contains(err.Error(), "a wrong one") {
		t.Errorf("%v", err)
	}
	manage = "http://evil.example/"
	if _, err := client.Register(t.Context(), p.issuer, wanted, client.RegisterConfig{InitialAccessToken: client.NewSecret("initial")}); err == nil {
		t.Error("a registration is managed elsewhere, over http")
	}
}

// Whatever the issuer says back, errors hold nothing secret.
func TestErrorsHoldNoSecrets(t *testing.T) {
	spec.Covers(t, "LG-01")
	p := newProvider(t)
	c := p.client(t, client.Config{AuthMethod: client.AuthPost, ClientID: clientID, ClientSecret: client.NewSecret(clientSecret)})
	p.change(func(p *provider) {
		p.answer = func(w http.ResponseWriter, r *http.Request) bool {
			all := strings.Join(slices.Concat(r.PostForm["client_secret"], r.PostForm["refresh_token"], r.PostForm["token"], r.PostForm["subject_token"]), " ")
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": all + "\r\n\x1b[31m" + strings.Repeat("x", 1000), "error_uri": "https://x/?" + all})
			return true
		}
	})
	_, first := c.Source(client.Tokens{RefreshToken: client.NewSecret("my-refresh-token")}, client.SourceConfig{}).Token(t.Context())
	_, second := c.Introspect(t.Context(), client.NewSecret("my-access-token"), "")
	third := c.Revoke(t.Context(), client.NewSecret("my-access-token"), "")
	_, fourth := c.Exchange(t.Context(), client.Exchange{SubjectToken: client.NewSecret("my-subject-token")})
	for _, err := range []error{first, second, third, fourth} {
		refused, ok := errors.AsType[*client.RefusedError](err)
		if !ok || len(err.Error()) > 1000 {
			t.Errorf("%v", err)
			continue
		}
		for _, secret := range []string{clientSecret, "my-refresh-token", "my-access-token", "my-subject-token", "\x1b", "\r"} {
			if strings.Contains(err.Error()+refused.Description+refused.URI, secret) {
				t.Errorf("the error holds %q: %v", secret, err)
			}
		}
	}
}

// TestExchangesSpareAnIssuerThatDoesNotAnswer, and a refusal is an answer.
func TestExchangesSpareAnIssuerThatDoesNotAnswer(t *testing.T) {
	p := newProvider(t)
	c := p.client(t, client.Config{})
	exchange := func() error {
		_, err := c.Exchange(t.Context(), client.Exchange{SubjectToken: client.NewSecret("theirs")})
		return err
	}
	p.answers("/token", http.StatusBadRequest, map[string]any{"error": "invalid_target"})
	for range 10 {
		if _, refused := errors.AsType[*client.RefusedError](exchange()); !refused {
			t.Fatal("it is not refused")
		}
	}
	if state := c.Stats().Breaker; state != "closed" {
		t.Errorf("after refusals the breaker is %s", state)
	}
	p.answers("/token", http.StatusServiceUnavailable, map[string]any{})
	for range 5 {
		if _, away := errors.AsType[*client.UnavailableError](exchange()); !away {
			t.Fatal("it is not away")
		}
	}
	p.answers("/token", http.StatusOK, map[string]any{"access_token": "x", "token_type": "Bearer", "issued_token_type": client.TypeAccessToken})
	if away, is := errors.AsType[*client.UnavailableError](exchange()); !is || away.RetryAfter <= 0 || c.Stats().Breaker != "open" {
		t.Errorf("it is asked again at once: %v, %s", away, c.Stats().Breaker)
	}
}

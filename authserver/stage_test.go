package authserver_test

import (
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/oauth"
)

// tenant is the tenant of this package's tests.
const tenant = `
resources:
  - identifier: https://photos.example
    name: PhotoAPI
    scopes: {"photos:read": See your photos, "photos:write": Add and delete photos}
  - identifier: https://ledger.example
    name: Ledger
    token_format: opaque
    token_lifetime: 5m
    scopes: {"ledger:read": Read your ledger}
clients:
  - client_id: web
    client_name: Example Web
    client_secret: web-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://app.example/cb, "https://app.example/cb?kept=1"]
    post_logout_redirect_uris: [https://app.example/bye]
    grant_types: [authorization_code, refresh_token]
    scope: openid profile email address phone offline_access photos:read photos:write ledger:read
  - client_id: spa
    client_name: Example SPA
    token_endpoint_auth_method: none
    redirect_uris: [https://spa.example/cb]
    grant_types: [authorization_code, refresh_token]
    scope: openid profile photos:read
  - client_id: native
    client_name: Example Native
    token_endpoint_auth_method: none
    redirect_uris: ["http://127.0.0.1/cb", "com.example.app:/cb"]
    grant_types: [authorization_code, refresh_token]
    scope: openid photos:read
  - client_id: basic
    client_name: OpenID Connect Basic
    client_secret: basic-secret-that-is-long-enough-to-be-random
    profile: oidc
    redirect_uris: [https://basic.example/cb]
    scope: openid profile
  - client_id: evil
    client_name: Evil
    client_secret: evil-secret-that-is-long-enough-to-be-random
    token_endpoint_auth_method: client_secret_post
    redirect_uris: [https://evil.example/cb]
    grant_types: [authorization_code, refresh_token]
    scope: openid photos:read
  - client_id: svc
    client_name: Example Service
    client_secret: svc-secret-that-is-long-enough-to-be-random
    grant_types: [client_credentials]
    scope: photos:read photos:write ledger:read
  - client_id: photos-api
    client_secret: photos-api-secret-that-is-long-enough-to-be
    grant_types: [client_credentials]
    introspects: [https://photos.example]
    revocation_feed: true
users:
  - username: alice
    sub: sub-of-alice
    password: wonderland-alice
    name: Alice Example
    given_name: Alice
    family_name: Example
    email: alice@example.com
    email_verified: true
    phone_number: "+1 555 0100"
    address: {formatted: 1 Rabbit Hole, country: WL}
  - username: bob
    sub: sub-of-bob
    password: builder-bob-builds
`

// Secrets of the tenant's clients, by their id.
var secrets = map[string]string{
	"web":        "web-secret-that-is-long-enough-to-be-random",
	"basic":      "basic-secret-that-is-long-enough-to-be-random",
	"svc":        "svc-secret-that-is-long-enough-to-be-random",
	"photos-api": "photos-api-secret-that-is-long-enough-to-be",
	"evil":       "evil-secret-that-is-long-enough-to-be-random",
}

const (
	verifier    = "a-code-verifier-of-at-least-forty-three-characters"
	webCallback = "https://app.example/cb"
)

// stage is a server with its tenant and a browser.
type stage struct {
	*testing.T
	*gatehousetest.Issuer
	*gatehousetest.Browser
}

// open starts a server that is furnished with the tenant; each change is made
// to its settings.
func open(t *testing.T, changes ...func(*gatehouse.Settings)) *stage {
	t.Helper()
	return openAt(t, gatehousetest.URL, changes...)
}

// openAt is open for another issuer.
func openAt(t *testing.T, issuer string, changes ...func(*gatehouse.Settings)) *stage {
	t.Helper()
	return openWith(t, gatehousetest.Options{PublicURL: issuer}, changes...)
}

// openWith is open with further options.
func openWith(t *testing.T, options gatehousetest.Options, changes ...func(*gatehouse.Settings)) *stage {
	t.Helper()
	options.Data = furnished(t)
	started := gatehousetest.Start(t, options)
	s := &stage{t, started, started.NewBrowser(t)}
	if len(changes) > 0 {
		s.set(changes...)
	}
	return s
}

// kept are the data directories of furnished servers by the year they were
// made in: inside a bubble it is another, and keys are slow to make.
var kept struct {
	sync.Mutex
	files map[int]map[string][]byte
}

// furnished returns a new data directory of a server that was started once
// with the tenant.
func furnished(t *testing.T) string {
	t.Helper()
	kept.Lock()
	defer kept.Unlock()
	year := time.Now().Year()
	if kept.files[year] == nil {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: tenant})
		stop()
		if kept.files == nil {
			kept.files = map[int]map[string][]byte{}
		}
		kept.files[year] = filesOf(t, issuer.Data)
	}
	dir := t.TempDir()
	restore(t, dir, kept.files[year])
	return dir
}

// filesOf reads a data directory of a server that was stopped.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// restore writes files into a directory, and removes all others.
func restore(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name := range filesOf(t, dir) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// request returns an authorization request of the client web, with the given
// names and values in turn in place of its own; "" removes one.
func request(pairs ...string) string {
	form := url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {webCallback},
		"scope": {"openid photos:read"}, "state": {"the state"}, "nonce": {"the nonce"},
		"code_challenge": {oauth.ChallengeS256(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			form.Del(pairs[i])
		}
	}
	return "/authorize?" + form.Encode()
}

// code signs alice in and returns the code of the request.
func (s *stage) code(pairs ...string) string {
	s.Helper()
	page := s.SignIn(request(pairs...), "alice", "wonderland-alice")
	if page.Location == nil || page.Location.Query().Get("code") == "" {
		s.Fatalf("no code: %d at %s, sent to %v\n%s", page.StatusCode, page.Path, page.Location, page.Text)
	}
	return page.Location.Query().Get("code")
}

// redeem exchanges a code as the client web would.
func (s *stage) redeem(code string, pairs ...string) gatehousetest.Answer {
	s.Helper()
	return s.token("web", with(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {webCallback}, "code_verifier": {verifier},
	}, pairs))
}

func (s *stage) refresh(token string, pairs ...string) gatehousetest.Answer {
	s.Helper()
	return s.token("web", with(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, pairs))
}

func (s *stage) token(client string, form url.Values) gatehousetest.Answer {
	s.Helper()
	return s.post("/token", client, form)
}

func with(form url.Values, pairs []string) url.Values {
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			form.Del(pairs[i])
		}
	}
	return form
}

// wants fails the test unless the answer has the status and, for a refusal,
// the error code.
func (s *stage) wants(answer gatehousetest.Answer, status int, code string) gatehousetest.Answer {
	s.Helper()
	if answer.StatusCode != status || answer.Member("error") != code {
		s.Errorf("answer is %d %q, want %d %q\n%s", answer.StatusCode, answer.Member("error"), status, code, answer.Text)
	}
	return answer
}

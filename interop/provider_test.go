package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/jose"
)

const (
	// awkwardSecret reads differently by readers who forget the form-encoding inside
	// Basic, or do it twice.
	awkwardSecret = "a+secret: with %2B & = and ~ 0123456789"

	thingsAPI = "https://things.example/api"
	// opaqueThingsAPI is one whose tokens are opaque.
	opaqueThingsAPI = "https://opaque.example/api"

	accessTokenLife = 2 // seconds, so that renewals can be waited for
)

// foreign is npm's oidc-provider, with our client at it.
type foreign struct {
	*testing.T
	issuer  string
	key     *jose.PrivateKey
	origins origins
	names   []string
}

// TestOurClient drives a provider that nobody here wrote with package client.
func TestOurClient(t *testing.T) {
	f := startForeign(t)
	f.check("discovery", f.discovery)
	f.check("code-userinfo-and-awkward-secret", f.code)
	f.check("id-token-es256-and-post", f.otherAlgorithm)
	f.check("form-post", f.formPost)
	f.check("private-key-jwt-and-pushed-request", f.pushed)
	f.check("refresh-rotates-once-for-all", f.refresh)
	f.check("refresh-token-revoked-ends-session", f.refreshRevoked)
	f.check("logout-at-the-provider", f.logout)
	f.check("back-channel-logout", f.backChannel)
	f.check("native-by-loopback", f.loopback)
	f.check("device", f.device)
	f.check("device-denied", f.deviceDenied)
	f.check("client-credentials-for-a-resource", f.clientCredentials)
	f.check("introspection-and-revocation", f.introspection)
	f.check("an-api-takes-its-tokens", f.protectedAPI)
	f.check("registration", f.registration)
	f.check("refusals-name-their-code", f.refusals)
	if wanted := ourClientChecks(); !slices.Equal(f.names, wanted) {
		t.Errorf("the checks were\n%s\nwant\n%s", strings.Join(f.names, "\n"), strings.Join(wanted, "\n"))
	}
}

func (f *foreign) check(name string, body func(t *testing.T)) {
	f.names = append(f.names, name)
	f.Run(name, body)
}

func startForeign(t *testing.T) *foreign {
	t.Helper()
	if _, err := os.Stat("node/node_modules/oidc-provider"); err != nil {
		missing(t, "the npm packages are not installed: (cd interop/node && npm ci)")
	}
	key, err := jose.GenerateKey(jose.ES256, "client-key")
	if err != nil {
		t.Fatal(err)
	}
	f := &foreign{T: t, key: key, origins: newOrigins(t)}
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	f.issuer = "http://127.0.0.1:" + port
	told, err := json.Marshal(map[string]any{"port": json.Number(port), "clients": f.clients(), "resource": thingsAPI, "accessTokenLife": accessTokenLife})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(nodePath(t), "provider.mjs")
	command.Dir = "node"
	command.Env = append(os.Environ(), "GATEHOUSE_INTEROP="+string(told))
	var log lockedBuffer
	command.Stderr = &log
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Logf("oidc-provider:\n%s", log.String())
		}
	})
	ready := make(chan bool, 1)
	go func() {
		defer close(ready)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready") {
				ready <- true
			}
		}
	}()
	select {
	case up := <-ready:
		if !up {
			t.Fatalf("oidc-provider ended\n%s", log.String())
		}
	case <-time.After(readyWithin):
		t.Fatalf("oidc-provider was not ready after %v\n%s", readyWithin, log.String())
	}
	return f
}

// origins are where the applications of the clients are: the provider has to know
// before there are any.
type origins map[string]*place

// place is an origin whose application changes from check to check.
type place struct {
	*httptest.Server
	serves atomic.Pointer[http.ServeMux]
}

func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.serves.Load().ServeHTTP(w, r) }

func newOrigins(t *testing.T) origins {
	t.Helper()
	all := origins{}
	for _, id := range []string{"basic", "es256", "jwt", "bff"} {
		p := &place{}
		p.serves.Store(http.NewServeMux())
		p.Server = httptest.NewServer(p)
		t.Cleanup(p.Close)
		all[id] = p
	}
	return all
}

func (f *foreign) originOf(id string) string { return f.origins[id].URL }

func (f *foreign) clients() []map[string]any {
	web := []string{"authorization_code", "refresh_token", "client_credentials"}
	return []map[string]any{
		{
			"client_id": "basic: +%", "client_secret": awkwardSecret, "grant_types": web, "redirect_uris": []string{f.originOf("basic") + "/callback"},
			"post_logout_redirect_uris": []string{f.originOf("basic") + "/bye"}, "backchannel_logout_uri": f.originOf("basic") + "/backchannel", "backchannel_logout_session_required": true,
			"userinfo_signed_response_alg": "ES256",
		},
		{
			"client_id": "es256", "client_secret": awkwardSecret, "token_endpoint_auth_method": "client_secret_post", "id_token_signed_response_alg": "ES256",
			"grant_types": web, "redirect_uris": []string{f.originOf("es256") + "/callback"},
		},
		{
			"client_id": "jwt", "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256", "jwks": jose.KeySet{Keys: []jose.PublicKey{f.key.Public()}},
			"require_pushed_authorization_requests": true, "id_token_signed_response_alg": "EdDSA", "grant_types": web, "redirect_uris": []string{f.originOf("jwt") + "/callback"},
		},
		{
			"client_id": "bff", "client_secret": awkwardSecret, "grant_types": []string{"authorization_code", "refresh_token"}, "redirect_uris": []string{f.originOf("bff") + "/bff/callback"},
			"post_logout_redirect_uris": []string{f.originOf("bff") + "/bff/logged-out"}, "backchannel_logout_uri": f.originOf("bff") + "/bff/backchannel-logout",
		},
		{
			"client_id": "native", "application_type": "native", "token_endpoint_auth_method": "none", "redirect_uris": []string{"http://127.0.0.1/callback"},
			"grant_types": []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
		},
	}
}

func (f *foreign) new(t *testing.T, config client.Config) *client.Client {
	t.Helper()
	config.Logger = slog.New(slog.DiscardHandler)
	c, err := client.New(t.Context(), f.issuer, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// site is a web application of ours, with a person at it.
type site struct {
	*walker
	*client.Client
	origin string
	last   error // of a login that failed
}

// open serves the application of a client.
func (f *foreign) open(t *testing.T, id string, config client.Config) *site {
	t.Helper()
	s := &site{walker: newWalker(t), origin: f.originOf(id)}
	s.fill = fillForeign
	config.RedirectURI = s.origin + "/callback"
	config.OnError = func(w http.ResponseWriter, _ *http.Request, err error) {
		s.last = err
		w.WriteHeader(client.StatusOf(err))
	}
	s.Client = f.new(t, config)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		s.StartLogin(w, r, "/me", client.AuthorizationRequest{Prompt: "consent"}) // without which it gives no refresh token
	})
	mux.Handle("/callback", s.CallbackHandler(nil))
	mux.Handle("POST /logout", s.LogoutHandler())
	mux.Handle("/backchannel", s.BackChannelLogoutHandler())
	mux.HandleFunc("/bye", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "bye") })
	mux.HandleFunc("/me", func(w http.ResponseWriter, r *http.Request) {
		session, err := s.Session(r)
		if err != nil {
			client.RefuseJSON(w, err)
			return
		}
		tokens, err := session.Token(r.Context())
		if err != nil {
			client.RefuseJSON(w, err)
			return
		}
		fmt.Fprintln(w, session.Subject(), session.UserInfo().Text("email"), tokens.AccessToken.Reveal())
	})
	f.origins[id].serves.Store(mux)
	return s
}

// fillForeign answers each of the provider's development pages with yes.
func fillForeign(page string, who person) (action string, values url.Values, ok bool) {
	form := formPattern.FindStringSubmatch(page)
	if form == nil {
		return "", nil, false
	}
	values = url.Values{}
	for _, input := range inputPattern.FindAllStringSubmatch(form[2], -1) {
		attributes := attributesOf(input[1])
		values.Set(attributes["name"], attributes["value"])
	}
	if values.Has("login") {
		values.Set("login", who.username)
		values.Set("password", who.password)
	}
	if strings.Contains(page, `name="logout"`) {
		values.Set("logout", "yes")
	}
	return attributesOf(form[1])["action"], values, true
}

var alice = person{"alice", "any password"}

// signIn signs in and returns what the application says afterwards, in words.
func (s *site) signIn(t *testing.T) []string {
	t.Helper()
	end := s.walk(t, s.origin+"/login", "", alice)
	words := strings.Fields(end.body)
	if end.status != http.StatusOK || len(words) == 0 {
		t.Fatalf("stopped at %s with %d: %v %.300s", end.address, end.status, s.last, end.body)
	}
	return words
}

// me is what the application says, or its status.
func (s *site) me(t *testing.T) (words []string, status int) {
	t.Helper()
	response, err := s.get(s.origin + "/me")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(body)), response.StatusCode
}

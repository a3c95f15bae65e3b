package gate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/gate"
	"gatehouse/internal/proxy/proxytest"
	"gatehouse/jose"
	"gatehouse/revocation"
)

const audience = "https://photos.example"

// issuer is an authorization server as far as a gateway sees one.
type issuer struct {
	*httptest.Server
	key *jose.PrivateKey

	mu   sync.Mutex
	feed []revocation.Entry
	told chan struct{}
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256, "es-1")
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, told: make(chan struct{})}
	i.Server = httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/jwks", "token_endpoint": i.URL + "/token", "introspection_endpoint": i.URL + "/introspect",
			"revocation_feed_endpoint": i.URL + "/feed", "authorization_endpoint": i.URL + "/authorize", "response_types_supported": []string{"code"},
		})
	case "/jwks":
		_ = json.NewEncoder(w).Encode(jose.KeySet{Keys: []jose.PublicKey{i.key.Public()}})
	case "/token":
		if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" || r.FormValue("resource") != "https://inner.example" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "exchanged-token", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer", "expires_in": 300})
	case "/feed":
		i.serveFeed(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (i *issuer) serveFeed(w http.ResponseWriter, r *http.Request) {
	if _, secret, _ := r.BasicAuth(); secret != "a-secret-of-the-gateway" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", revocation.MediaType)
	out := revocation.NewWriter(w)
	_ = out.Begin(revocation.Beginning{Issuer: i.URL, Snapshot: true})
	for sent := 0; ; {
		i.mu.Lock()
		entries, told := i.feed[sent:], i.told
		i.mu.Unlock()
		for _, e := range entries {
			_ = out.Entry(e)
			sent++
		}
		if out.Mark(revocation.Mark{At: time.Now(), Cursor: "c"}) != nil || out.Flush() != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-told:
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
	}
}

// revoke has the feed tell of a token's end.
func (i *issuer) revoke(jti string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.feed = append(i.feed, revocation.Entry{Claim: revocation.TokenID, Value: jti, Expiry: time.Now().Add(time.Hour)})
	close(i.told)
	i.told = make(chan struct{})
}

func (i *issuer) token(t *testing.T, scope, jti string) string {
	t.Helper()
	payload, err := json.Marshal(map[string]any{
		"iss": i.URL, "sub": "alice", "aud": audience, "client_id": "web", "jti": jti, "gid": "gid-" + jti, "scope": scope,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := i.key.Sign("at+jwt", payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// echo answers with what it saw.
func echo(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"target": r.RequestURI, "header": r.Header})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// place writes files into a directory of the test's, and returns the path of gateway.yaml.
func place(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(directory, "gateway.yaml")
}

const description = `
openapi: 3.0.3
paths:
  /albums/{album}:
    get: {operationId: showAlbum, security: [{oauth: ['albums:read']}]}
components: {securitySchemes: {oauth: {type: oauth2, flows: {}}}}
`

// yaml is a configuration with a route of each kind.
func yaml(issuer, upstream, more string) string {
	return `
authentications:
  - name: photos
    audience: ` + audience + `
    issuers:
      - {issuer: '` + issuer + `', client_id: gateway, client_secret_file: secret, revocation_feed: true}
upstreams:
  - {name: echo, url: '` + upstream + `'}
routes:
  - {name: read, path: '/photos/{id}', methods: [GET], authentication: photos, scopes: ['photos:read'], upstream: echo, forward: {headers: true}}
  - {name: admin, path: /admin, authentication: photos, scopes: [admin], upstream: echo}
  - {name: office, path: /office, authentication: photos, upstream: echo, networks: {deny: [192.0.2.0/24]}}
  - {name: public, path: '/public/{rest...}', public: true, upstream: echo}
openapi:
  - {name: albums, file: albums.yaml, authentication: photos, upstream: echo}
` + more
}

func files(text string) map[string]string {
	return map[string]string{"gateway.yaml": text, "secret": "a-secret-of-the-gateway\n", "albums.yaml": description}
}

func with(base map[string]string, more map[string]string) map[string]string {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

// running is a gateway that serves.
type running struct {
	*gate.Gate
	public, decisions string
	log               *proxytest.Log
	// stop asks it to stop, and stopped waits for that.
	stop    context.CancelFunc
	stopped func()
}

func start(t *testing.T, path string) *running {
	t.Helper()
	config, err := gate.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Check(); err != nil {
		t.Fatal(err)
	}
	r := &running{log: &proxytest.Log{}}
	if r.Gate, err = gate.Open(t.Context(), config, slog.New(slog.NewJSONHandler(r.log, nil))); err != nil {
		t.Fatal(err)
	}
	listen := func(wanted string) (net.Listener, string) {
		if wanted == "" {
			return nil, ""
		}
		return proxytest.Listen(t)
	}
	wantsPublic, wantsDecisions := config.Addresses()
	public, publicAt := listen(wantsPublic)
	decisions, decisionsAt := listen(wantsDecisions)
	r.public, r.decisions = publicAt, decisionsAt
	var ended func() error
	r.stop, ended = proxytest.Run(t, func(ctx context.Context) error { return r.Serve(ctx, public, decisions) })
	r.stopped = sync.OnceFunc(func() {
		if err := ended(); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stopped)
	waiting, cancelWaiting := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancelWaiting()
	if err := r.WaitReady(waiting); err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t *testing.T, address string, headers ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, body.String()
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// asked are the headers of a proxy that asks.
func asked(method, uri string, more ...string) []string {
	return append([]string{"X-Forwarded-Method", method, "X-Forwarded-Uri", uri, "X-Forwarded-Host", "api.example", "X-Forwarded-Proto", "https"}, more...)
}

// eventually waits for what is about to be so.
func eventually(t *testing.T, about string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(about)
		}
	}
}

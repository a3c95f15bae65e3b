package resource_test

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/jose"
	"gatehouse/resource"
)

const audience = "https://rs.test"

var (
	issuerKey   = sync.OnceValue(func() *jose.PrivateKey { return mustGenerate("es-1") })
	attackerKey = sync.OnceValue(func() *jose.PrivateKey { return mustGenerate("es-1") })
)

func mustGenerate(kid string) *jose.PrivateKey {
	key, err := jose.GenerateKey(jose.ES256, kid)
	if err != nil {
		panic(err)
	}
	return key
}

// issuer is an authorization server as far as a resource server sees one.
type issuer struct {
	*httptest.Server
	// metadata, by path; nil answers with our own at the RFC 8414 place.
	metadata     map[string]string
	down         atomic.Bool
	jwksRequests atomic.Int64
	requests     atomic.Int64
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.Close)
	i.metadata = map[string]string{
		"/.well-known/oauth-authorization-server": `{"issuer":"` + i.URL + `","jwks_uri":"` + i.URL + `/jwks"}`,
	}
	return i
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.requests.Add(1)
	if i.down.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if r.URL.Path == "/jwks" {
		i.jwksRequests.Add(1)
		_ = json.NewEncoder(w).Encode(jose.KeySet{Keys: []jose.PublicKey{issuerKey().Public()}})
		return
	}
	document, found := i.metadata[r.URL.Path]
	if !found {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(document))
}

func (i *issuer) server(t testing.TB, config resource.Config) *resource.Server {
	t.Helper()
	if config.Issuer == "" {
		config.Issuer = i.URL
	}
	config.Audience = audience
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	rs, err := resource.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

type claims map[string]any

func (i *issuer) claims() claims {
	return claims{
		"iss": i.URL, "sub": "alice", "aud": audience, "client_id": "web", "jti": "jti-1", "scope": "photos:read openid",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
}

func (c claims) with(changes claims) claims {
	changed := maps.Clone(c)
	maps.Copy(changed, changes)
	maps.DeleteFunc(changed, func(_ string, value any) bool { return value == nil })
	return changed
}

func (c claims) signed(t testing.TB, key *jose.PrivateKey, typ string) string {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Sign(typ, payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// token is a good access token with some claims changed.
func (i *issuer) token(t testing.TB, changes claims) string {
	t.Helper()
	return i.claims().with(changes).signed(t, issuerKey(), "at+jwt")
}

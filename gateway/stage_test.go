package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/gateway"
	"gatehouse/internal/proxy/proxytest"
	"gatehouse/jose"
	"gatehouse/resource"
	"gatehouse/revocation"
)

const (
	audience     = "https://photos.example"
	clientSecret = "gateway-secret-that-is-long-enough-to-be-random"
)

var (
	issuerKey   = sync.OnceValue(func() *jose.PrivateKey { return mustGenerate("es-1") })
	attackerKey = sync.OnceValue(func() *jose.PrivateKey { return mustGenerate("es-1") })
	identityKey = sync.OnceValue(func() *jose.PrivateKey { return mustGenerate("gw-1") })
)

func mustGenerate(kid string) *jose.PrivateKey {
	key, err := jose.GenerateKey(jose.ES256, kid)
	if err != nil {
		panic(err)
	}
	return key
}

// issuer is an authorization server as far as a gateway sees one.
type issuer struct {
	*httptest.Server
	down atomic.Bool
	// exchangesDown answers exchanges with this status.
	exchangesDown atomic.Int32

	mu        sync.Mutex
	active    map[string]string // answers to introspection
	feed      []revocation.Entry
	told      chan struct{} // closed when the feed has something new
	exchanges []url.Values
	asked     int // introspections
	life      int // of exchanged tokens, in seconds
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{active: map[string]string{}, told: make(chan struct{}), life: 300}
	i.Server = httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	if i.down.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	answer := func(v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		answer(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/jwks", "token_endpoint": i.URL + "/token", "introspection_endpoint": i.URL + "/introspect",
			"revocation_feed_endpoint": i.URL + "/feed", "authorization_endpoint": i.URL + "/authorize", "response_types_supported": []string{"code"},
		})
	case "/jwks":
		answer(jose.KeySet{Keys: []jose.PublicKey{issuerKey().Public()}})
	case "/introspect":
		i.mu.Lock()
		defer i.mu.Unlock()
		i.asked++
		if said, known := i.active[r.FormValue("token")]; known {
			_, _ = io.WriteString(w, said)
			return
		}
		_, _ = io.WriteString(w, `{"active":false}`)
	case "/token":
		i.exchange(w, r, answer)
	case "/feed":
		i.serveFeed(w, r)
	default:
		http.NotFound(w, r)
	}
}

// exchange gives a token that names what it was made of.
func (i *issuer) exchange(w http.ResponseWriter, r *http.Request, answer func(any)) {
	_ = r.ParseForm()
	i.mu.Lock()
	i.exchanges = append(i.exchanges, r.PostForm)
	n, life := len(i.exchanges), i.life
	i.mu.Unlock()
	if status := i.exchangesDown.Load(); status != 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status))
		_, _ = io.WriteString(w, `{"error":"invalid_target","error_description":"not for you"}`)
		return
	}
	answer(map[string]any{
		"access_token": fmt.Sprintf("exchanged-%d", n), "issued_token_type": client.TypeAccessToken, "token_type": "Bearer", "expires_in": life,
	})
}

// serveFeed is the revocation feed.
func (i *issuer) serveFeed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", revocation.MediaType)
	out := revocation.NewWriter(w)
	if out.Begin(revocation.Beginning{Issuer: i.URL, Snapshot: true}) != nil {
		return
	}
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

func (i *issuer) exchanged() []url.Values {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.exchanges)
}

// revoke has the feed tell of an end.
func (i *issuer) revoke(claim revocation.Claim, value string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.feed = append(i.feed, revocation.Entry{Claim: claim, Value: value, Expiry: time.Now().Add(time.Hour)})
	close(i.told)
	i.told = make(chan struct{})
}

func (i *issuer) config() resource.Config {
	return resource.Config{Audience: audience, Issuer: i.URL, ClientID: "gateway", ClientSecret: clientSecret, Opaque: true}
}

type claims map[string]any

func (i *issuer) token(t testing.TB, changes claims) string {
	t.Helper()
	c := claims{
		"iss": i.URL, "sub": "alice", "aud": audience, "client_id": "web", "jti": "jti-1", "gid": "gid-1", "scope": "photos:read openid",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return sign(t, issuerKey(), "at+jwt", c)
}

func sign(t testing.TB, key *jose.PrivateKey, typ string, c claims) string {
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

// saw is a request as the echo upstream saw it.
type saw struct {
	Method, Target, Host, Body string
	Header                     http.Header
}

// echo answers with what it saw, and remembers it.
type echo struct {
	*httptest.Server
	mu   sync.Mutex
	seen []saw
}

func newEcho(t testing.TB) *echo {
	t.Helper()
	e := &echo{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		one := saw{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone()}
		e.mu.Lock()
		e.seen = append(e.seen, one)
		e.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_ = json.NewEncoder(w).Encode(one)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *echo) requests() []saw {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.seen)
}

// last is what was seen last; there must be something.
func (e *echo) last(t testing.TB) saw {
	t.Helper()
	all := e.requests()
	if len(all) == 0 {
		t.Fatal("the upstream saw nothing")
	}
	return all[len(all)-1]
}

// stage is an issuer, an echo upstream, and a gateway between them.
type stage struct {
	testing.TB
	issuer  *issuer
	echo    *echo
	gateway *gateway.Gateway
	front   *httptest.Server
	log     *proxytest.Log
}

// routes that most tests need; change may change them.
func (s *stage) config() gateway.Config {
	return gateway.Config{
		Authentications: []gateway.Authentication{{Name: "photos", Resource: s.issuer.config()}},
		Upstreams:       []gateway.Upstream{{Name: "echo", URL: s.echo.URL}},
		Routes: []gateway.Route{
			{Name: "read", Match: gateway.Match{Path: "/photos/{id}", Methods: []string{"GET"}}, Authentication: "photos", Upstream: "echo", Needs: resource.Needs{Scopes: []string{"photos:read"}}},
			{Name: "write", Match: gateway.Match{Path: "/photos/{id}", Methods: []string{"PUT", "DELETE"}}, Authentication: "photos", Upstream: "echo", Needs: resource.Needs{Scopes: []string{"photos:write"}}},
			{Name: "any", Match: gateway.Match{Path: "/any/{rest...}"}, Authentication: "photos", Upstream: "echo", MaxBody: 1 << 10},
			{Name: "admin", Match: gateway.Match{Path: "/admin"}, Authentication: "photos", Upstream: "echo", Needs: resource.Needs{Scopes: []string{"admin"}}},
			{Name: "public", Match: gateway.Match{Path: "/public/{rest...}"}, Public: true, Upstream: "echo"},
		},
		Logger: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func newStage(t testing.TB, change func(*stage, *gateway.Config)) *stage {
	t.Helper()
	s := &stage{TB: t, issuer: newIssuer(t), echo: newEcho(t), log: &proxytest.Log{}}
	config := s.config()
	if change != nil {
		change(s, &config)
	}
	s.gateway = s.make(config)
	s.front = httptest.NewServer(s.gateway)
	t.Cleanup(func() {
		s.gateway.EndStreams()
		s.front.Close()
	})
	return s
}

// make makes a gateway that ends with the test.
func (s *stage) make(config gateway.Config) *gateway.Gateway {
	s.Helper()
	g, err := gateway.New(s.Context(), config)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := g.Close(); err != nil {
			s.Error(err)
		}
	})
	return g
}

type page struct {
	*http.Response
	text string
}

func (p page) String() string { return fmt.Sprintf("%d %v\n%s", p.StatusCode, p.Header, p.text) }

// rule is the name of the rule that refused.
func (p page) rule() string {
	var body struct {
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal([]byte(p.text), &body)
	_, id, _ := strings.Cut(body.Description, " (")
	for { // the id is in the last parentheses
		_, next, more := strings.Cut(id, " (")
		if !more {
			break
		}
		id = next
	}
	name, _, _ := strings.Cut(id, ".")
	return name
}

func (s *stage) do(method, target string, headers http.Header, body io.Reader) page {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.front.URL+target, body)
	if err != nil {
		s.Fatal(err)
	}
	r.Header = headers.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
		r.Header.Del("Host")
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	return page{response, string(text)}
}

// bearer are the headers of a client with the token.
func bearer(raw string) http.Header { return http.Header{"Authorization": {"Bearer " + raw}} }

// with is a copy with some headers changed.
func with(h http.Header, pairs ...string) http.Header {
	h = h.Clone()
	if h == nil {
		h = http.Header{}
	}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// wants holds an answer against its status and, for a refusal, its rule.
func wants(t testing.TB, about string, p page, status int, rule string) {
	t.Helper()
	if p.StatusCode != status || rule != "" && p.rule() != rule {
		t.Errorf("%s: want %d %s, got %v", about, status, rule, p)
	}
}

// lets is the positive control: a good token still opens the door.
func (s *stage) lets(about string) {
	s.Helper()
	wants(s, about, s.do("GET", "/photos/1", bearer(s.issuer.token(s, nil)), nil), http.StatusOK, "")
}

var loopback = netip.MustParseAddr("127.0.0.1")

func newRecorder(h http.Handler, method string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
	return w
}

func (k keyOf) Keys(context.Context, string, jose.Algorithm) ([]jose.PublicKey, error) {
	return []jose.PublicKey{k.key}, nil
}

var discarded = slog.New(slog.DiscardHandler)

func answered(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

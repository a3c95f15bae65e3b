package gatehousetest_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/gatehousetest"
	"gatehouse/gateway"
	"gatehouse/internal/redistest"
	"gatehouse/kv/kvredis"
	"gatehouse/resource"
)

const (
	pairApp      = "https://app.example"
	pairPhotos   = "https://photos.example"
	pairSecret   = "pair-secret-that-is-long-enough-to-be-random"
	pairPassword = "wonderland-alice"
)

const pairTenant = `
resources:
  - identifier: ` + pairPhotos + `
    scopes: {"photos:read": See your photos}
clients:
  - client_id: app
    client_secret: ` + pairSecret + `
    redirect_uris: [` + pairApp + `/bff/callback]
    post_logout_redirect_uris: [` + pairApp + `/bff/logged-out]
    grant_types: [authorization_code, refresh_token]
    scope: openid photos:read
  - client_id: gateway
    client_secret: ` + pairSecret + `
    grant_types: ["urn:ietf:params:oauth:grant-type:token-exchange"]
    scope: photos:read
    token_exchange: {accepts: [` + pairPhotos + `], audiences: [` + pairPhotos + `]}
    introspects: [` + pairPhotos + `]
    revocation_feed: true
users:
  - {username: alice, password: ` + pairPassword + `, sub: user-alice}
  - {username: bob, password: ` + pairPassword + `, sub: user-bob}
`

// spread sends requests to those of a kind in turn, as a balancer without affinity.
type spread struct {
	mu   sync.Mutex
	next int
	all  []http.RoundTripper
}

func (s *spread) one() (http.RoundTripper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return nil, errors.New("nobody is left")
	}
	s.next++
	return s.all[s.next%len(s.all)], nil
}

// loseOne takes the first out: it gets no further request.
func (s *spread) loseOne() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = s.all[1:]
}

func (s *spread) RoundTrip(r *http.Request) (*http.Response, error) {
	one, err := s.one()
	if err != nil {
		return nil, err
	}
	return one.RoundTrip(r)
}

// handlers are a spread of handlers.
type handlers struct {
	mu   sync.Mutex
	next int
	all  []http.Handler
}

func (h *handlers) loseOne() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = h.all[1:]
}

func (h *handlers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.next++
	one := h.all[h.next%len(h.all)]
	h.mu.Unlock()
	one.ServeHTTP(w, r)
}

// pairs are two of each, over one PostgreSQL and one Redis, and one API.
type pairs struct {
	*testing.T
	first, issuer             *gatehousetest.Issuer // the first is killed
	wire                      *spread
	pages, backends, gateways handlers
	stopFirst                 func()
	firstBackend              *bff.BFF
	firstGateway              *gateway.Gateway
	api                       *httptest.Server

	mu     sync.Mutex
	tokens []string // that the API was called with
}

// startPairs has access tokens live for so long.
func startPairs(t *testing.T, lifetime string) *pairs {
	t.Helper()
	redis := redistest.Start(t)
	p := &pairs{T: t}
	first, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: "settings: {access_token_lifetime: " + lifetime + "}" + pairTenant, Engine: gatehousetest.PostgreSQL, Redis: redis.Addr()})
	p.first = first
	p.stopFirst = sync.OnceFunc(func() {
		first.Server().Drain()
		stop()
	})
	t.Cleanup(p.stopFirst)
	p.issuer = gatehousetest.Start(t, gatehousetest.Options{Data: first.Data, Engine: gatehousetest.PostgreSQL, Redis: redis.Addr()})
	p.wire = &spread{all: []http.RoundTripper{first.HTTP().Transport, p.issuer.HTTP().Transport}}
	p.pages.all = []http.Handler{first.Server().Handler(), p.issuer.Server().Handler()}
	p.openAPI()
	front := httptest.NewServer(&p.gateways)
	t.Cleanup(front.Close)
	for i := range 2 {
		g := p.openGateway(redis.Addr())
		b := p.openBackend(redis.Addr(), front.URL)
		if i == 0 {
			p.firstGateway, p.firstBackend = g, b
		}
		p.gateways.all, p.backends.all = append(p.gateways.all, g), append(p.backends.all, b)
	}
	return p
}

func (p *pairs) http() *http.Client { return &http.Client{Transport: p.wire} }

func (p *pairs) store(address, prefix string) *kvredis.Store {
	p.Helper()
	store, err := kvredis.Open(p.Context(), kvredis.Config{Addresses: []string{address}, Prefix: prefix})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(store.Close)
	return store
}

func (p *pairs) openAPI() {
	p.Helper()
	rs, err := resource.New(p.Context(), resource.Config{
		Issuer: gatehousetest.URL, Audience: pairPhotos, ClientID: "gateway", ClientSecret: pairSecret, Feed: true, HTTPClient: p.http(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.Fatal(err)
	}
	p.api = httptest.NewServer(rs.Require("photos:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, _ := resource.AccessFrom(r.Context())
		raw, _ := resource.BearerToken(r.Header.Values("Authorization"))
		p.mu.Lock()
		p.tokens = append(p.tokens, raw)
		p.mu.Unlock()
		_, _ = io.WriteString(w, access.Claims.Subject)
	})))
	p.Cleanup(func() {
		p.api.Close()
		rs.Close()
	})
}

func (p *pairs) openGateway(redis string) *gateway.Gateway {
	p.Helper()
	g, err := gateway.New(p.Context(), gateway.Config{
		Authentications: []gateway.Authentication{{Name: "photos", Resource: resource.Config{
			Issuer: gatehousetest.URL, Audience: pairPhotos, ClientID: "gateway", ClientSecret: pairSecret, Feed: true, HTTPClient: p.http(), Logger: slog.New(slog.DiscardHandler),
		}}},
		Exchangers: []gateway.Exchanger{{Issuer: gatehousetest.URL, Client: client.Config{ClientID: "gateway", ClientSecret: client.NewSecret(pairSecret), HTTPClient: p.http()}}},
		Upstreams:  []gateway.Upstream{{Name: "photos", URL: p.api.URL}},
		Routes: []gateway.Route{{
			Name: "photos", Match: gateway.Match{Path: "/photos", Methods: []string{"GET"}}, Authentication: "photos", Needs: resource.Needs{Scopes: []string{"photos:read"}},
			Upstream: "photos", Forward: gateway.Forward{Exchange: &gateway.Exchange{Resource: pairPhotos}},
		}},
		Store: p.store(redis, "gateway"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = g.Close() }) // the first one is closed already
	return g
}

func (p *pairs) openBackend(redis, upstream string) *bff.BFF {
	p.Helper()
	b, err := bff.New(p.Context(), bff.Config{
		URL: pairApp, Logger: slog.New(slog.DiscardHandler), Store: p.store(redis, "bff"), Keys: [][]byte{[]byte("0123456789abcdef0123456789abcdef")},
		Issuers: []bff.Issuer{{Issuer: gatehousetest.URL, Client: client.Config{
			ClientID: "app", ClientSecret: client.NewSecret(pairSecret), Scope: "openid photos:read", Resources: []string{pairPhotos}, HTTPClient: p.http(),
		}}},
		Upstreams: []bff.Upstream{{Path: "/api", URL: upstream, Routes: []bff.Route{{Path: "/photos", Methods: []string{"GET"}}}}},
		Files:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the application") }),
	})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = b.Close() }) // the first one is closed already
	return b
}

// signIn signs somebody in with a new browser. Each of its requests may come to
// another server and another backend.
func (p *pairs) signIn(username string) *gatehousetest.Browser {
	p.Helper()
	b := p.issuer.NewBrowser(p)
	b.Visits(gatehousetest.URL, &p.pages)
	b.Visits(pairApp, &p.backends)
	if end := b.SignIn(pairApp+"/bff/login?return_to=/", username, pairPassword); end.Text != "the application" {
		p.Fatalf("the sign-in of %s ends at %s with %d: %.300s", username, end.Path, end.StatusCode, end.Text)
	}
	return b
}

func call(b *gatehousetest.Browser) gatehousetest.Answer {
	return b.Fetch(http.MethodGet, pairApp+"/api/photos", "", "X-CSRF", "1")
}

// calls asks at all of them in turn, and wants the same answer of each.
func (p *pairs) calls(when string, b *gatehousetest.Browser, status int, text string) {
	p.Helper()
	for i := range 6 {
		if answer := call(b); answer.StatusCode != status || !strings.Contains(answer.Text, text) {
			p.Fatalf("%s, call %d: %d %s, want %d %s", when, i+1, answer.StatusCode, answer.Text, status, text)
		}
	}
}

// log is what both servers have said.
func (p *pairs) log() string { return p.first.Log() + p.issuer.Log() }

// TestTwoOfEachRenewOnce: both backends want to renew a token at once, again and again;
// one does, at either server, and nobody replays.
func TestTwoOfEachRenewOnce(t *testing.T) {
	p := startPairs(t, "3s")
	alice := p.signIn("alice")
	for began := time.Now(); strings.Count(p.log(), `"grant_type":"refresh_token"`) < 3; {
		if time.Since(began) > stopsWithin {
			t.Fatal("no token was renewed")
		}
		barrier, all := make(chan struct{}), sync.WaitGroup{}
		for range 8 {
			all.Go(func() {
				<-barrier
				if answer := call(alice); answer.StatusCode != http.StatusOK {
					t.Errorf("%d %s", answer.StatusCode, answer.Text)
				}
			})
		}
		close(barrier)
		all.Wait()
	}
	twice, err := p.issuer.Server().Store().Events(t.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{
		Kinds: []gatehouse.EventKind{gatehouse.EventRefreshReplayed, gatehouse.EventRedelivered}, Limit: 1,
	})
	if err != nil || len(twice) != 0 {
		t.Errorf("a refresh token was used twice: %+v, %v", twice, err)
	}
}

// TestTwoOfEachBehaveAsOne: sessions and revocations, and one of each is killed in the
// middle.
func TestTwoOfEachBehaveAsOne(t *testing.T) {
	p := startPairs(t, "10m")
	alice, bob := p.signIn("alice"), p.signIn("bob")
	p.calls("alice", alice, http.StatusOK, "user-alice")
	p.calls("bob", bob, http.StatusOK, "user-bob")

	// A sign-out at one is a sign-out at all, and the API refuses what it was called with.
	p.mu.Lock()
	tokens := p.tokens
	p.mu.Unlock()
	if answer := bob.Fetch(http.MethodPost, pairApp+"/bff/logout", "", "X-CSRF", "1"); answer.StatusCode != http.StatusOK {
		t.Fatalf("the sign-out: %d %s", answer.StatusCode, answer.Text)
	}
	p.calls("signed out", bob, http.StatusUnauthorized, "login_required")
	p.refusesAllOf("user-bob", tokens)
	p.calls("alice, after bob's sign-out", alice, http.StatusOK, "user-alice")

	// One of each is gone in the middle of it.
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		p.calls("in the middle", alice, http.StatusOK, "user-alice")
	}()
	p.pages.loseOne()
	p.wire.loseOne()
	p.backends.loseOne()
	p.gateways.loseOne()
	<-carried
	p.stopFirst()
	if err := errors.Join(p.firstBackend.Close(), p.firstGateway.Close()); err != nil {
		t.Error(err)
	}
	p.calls("alice, with one of each", alice, http.StatusOK, "user-alice")
	bob = p.signIn("bob")
	p.calls("bob, who signed in again", bob, http.StatusOK, "user-bob")
	p.mu.Lock()
	tokens = p.tokens[len(tokens):]
	p.mu.Unlock()
	if answer := alice.Fetch(http.MethodPost, pairApp+"/bff/logout", "", "X-CSRF", "1"); answer.StatusCode != http.StatusOK {
		t.Fatalf("the sign-out: %d %s", answer.StatusCode, answer.Text)
	}
	p.refusesAllOf("user-alice", tokens)
	p.calls("bob, after alice's sign-out", bob, http.StatusOK, "user-bob")
}

// refusesAllOf waits until the API refuses all of somebody's tokens.
func (p *pairs) refusesAllOf(subject string, tokens []string) {
	p.Helper()
	theirs := 0
	for _, raw := range tokens {
		if facts(p, raw).Subject != subject {
			continue
		}
		theirs++
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			status := p.ask(raw)
			if status == http.StatusUnauthorized {
				break
			}
			if time.Since(began) > stopsWithin {
				p.Fatalf("a token of %s is still answered %d", subject, status)
			}
		}
	}
	if theirs == 0 {
		p.Errorf("the API was never called for %s", subject)
	}
}

func (p *pairs) ask(raw string) int {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), http.MethodGet, p.api.URL+"/photos", nil)
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+raw)
	response, err := p.api.Client().Do(r)
	if err != nil {
		p.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

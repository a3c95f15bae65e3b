package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/gateway"
	"gatehouse/internal/proxy"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/kv"
)

// TestMemoryOverManyTokens: distinct tokens, subjects and exchanges leave nothing behind but
// what is bounded. GATEHOUSE_TEST_NIGHTLY=1 makes it a million.
func TestMemoryOverManyTokens(t *testing.T) {
	spec.Covers(t, "DS-04")
	count, room := 4_000, uint64(4<<20)
	var store kv.Store
	if os.Getenv("GATEHOUSE_TEST_NIGHTLY") == "1" {
		// What is counted together with other replicas is at most 65,536 keys of some 200 bytes.
		count, room, store = 1_000_000, 24<<20, kv.NewMemory(kv.MemoryConfig{MaxKeys: 1000, MaxBytes: 1 << 20})
	}
	const bound = 1000
	s := newStage(t, func(s *stage, c *gateway.Config) {
		forwarding(gateway.Forward{JWT: true, Headers: true})(s, c)
		c.Authentications[0].Resource.MaxCached = bound
		c.Store = store
		for i := range c.Routes {
			if !c.Routes[i].Public {
				c.Routes[i].Limits = []gateway.Limit{{Per: gateway.PerSubject, Rate: 10}, {Per: gateway.PerAddress, Rate: 1e6}}
			}
		}
		c.Logger = discarded
	})
	made := 0
	use := func(n int) uint64 {
		for range n {
			made++
			raw := s.issuer.token(t, claims{"jti": fmt.Sprint(made), "gid": fmt.Sprint("gid-", made), "sub": fmt.Sprint("subject-", made)})
			d := s.gateway.Decide(t.Context(), gateway.Request{Scheme: "https", Host: "a", Method: "GET", Target: "/photos/1", Header: bearer(raw), Peer: loopback})
			if !d.Allowed {
				t.Fatalf("token %d: %v", made, d.Refusal)
			}
		}
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := use(5_000) // fills what is bounded
	after := use(count)
	if after > before+room {
		t.Errorf("%d tokens more take %d bytes, from %d to %d", count, int64(after)-int64(before), before, after)
	}
}

// TestExchangedTokensAreBounded in number and by their time.
func TestExchangedTokensAreBounded(t *testing.T) {
	s := newStage(t, func(s *stage, c *gateway.Config) {
		forwarding(toAPI)(s, c)
		c.MaxExchanged = 3
	})
	for i := range 10 {
		wants(t, "a request", s.do("GET", "/photos/1", bearer(s.issuer.token(t, claims{"jti": fmt.Sprint(i)})), nil), http.StatusOK, "")
		if n := s.gateway.Stats().Exchanged; n > 3 {
			t.Fatalf("%d are remembered", n)
		}
	}
	// One that lives as long as its token, and one that is over at once.
	ends := func(about string, changes claims, life int) {
		t.Helper()
		s.issuer.mu.Lock()
		s.issuer.life = life
		s.issuer.mu.Unlock()
		raw := s.issuer.token(t, changes)
		before := len(s.issuer.exchanged())
		for range 2 {
			wants(t, about, s.do("GET", "/photos/1", bearer(raw), nil), http.StatusOK, "")
		}
		if n := len(s.issuer.exchanged()) - before; n != 2 {
			t.Errorf("%s: exchanged %d times", about, n)
		}
	}
	ends("a token that ends soon", claims{"jti": "soon", "exp": time.Now().Add(3 * time.Second).Unix()}, 300)
	ends("an exchanged one that ends soon", claims{"jti": "late"}, 2)
}

// TestExchangesOfAGatewayThatIsNotSetUp are no fault of the token's.
func TestExchangesOfAGatewayThatIsNotSetUp(t *testing.T) {
	s := newStage(t, func(s *stage, c *gateway.Config) {
		forwarding(toAPI)(s, c)
		c.Exchangers[0].Client = client.Config{ClientID: "gateway", ClientSecret: client.NewSecret(clientSecret), HTTPClient: &http.Client{Transport: refusing{}}}
	})
	p := s.do("GET", "/photos/1", bearer(s.issuer.token(t, nil)), nil)
	wants(t, "a wrong secret", p, http.StatusBadGateway, "gateway-exchange-failed")
	if strings.Contains(p.text, "invalid_client") || strings.Contains(s.log.String(), clientSecret) {
		t.Errorf("%v\n%s", p, s.log)
	}
}

// refusing is the way to an issuer that does not know the client.
type refusing struct{}

func (refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/token" {
		return http.DefaultTransport.RoundTrip(r)
	}
	w := answered(http.StatusUnauthorized, `{"error":"invalid_client"}`)
	w.Request = r
	return w, nil
}

func TestStreamsAreBounded(t *testing.T) {
	s := newStage(t, streaming(false))
	raw := s.issuer.token(t, nil)
	for range proxy.MaxStreamsPerKey {
		s.stream("/events", raw)
	}
	p := s.do("GET", "/events", bearer(raw), nil)
	wants(t, "one more", p, http.StatusTooManyRequests, "gateway-streams")
	if p.Header.Get("Retry-After") == "" {
		t.Errorf("%v", p)
	}
	s.stream("/events", s.issuer.token(t, claims{"jti": "jti-2"}))
	s.lets("what is no stream")
	if err := s.gateway.Close(); err != nil {
		t.Error(err)
	}
	wants(t, "after the end", s.do("GET", "/events", bearer(s.issuer.token(t, claims{"jti": "jti-3"})), nil), http.StatusServiceUnavailable, "gateway-stopping")
}

// TestTokensThatEndBeforeTheAnswer: the stream has not begun when its token expires.
func TestTokensThatEndBeforeTheAnswer(t *testing.T) {
	s := newStage(t, func(s *stage, c *gateway.Config) {
		streaming(false)(s, c)
		c.Routes = append(c.Routes, gateway.Route{Name: "hanging", Match: gateway.Match{Path: "/hanging/{rest...}"}, StripPrefix: "/hanging", Authentication: "photos", Upstream: "talking", Stream: true})
	})
	_, err := http.DefaultTransport.RoundTrip(s.get("/hanging/hang", s.issuer.token(t, claims{"exp": time.Now().Add(2 * time.Second).Unix()})))
	// The connection is cut off, as that of any stream is.
	if err == nil {
		t.Error("it is answered")
	}
	eventually(t, "it is told", func() bool { return s.gateway.Stats().Failures["hanging"]["gateway-token-ended"] == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := http.DefaultTransport.RoundTrip(s.get("/hanging/hang", s.issuer.token(t, nil)).WithContext(ctx)); err == nil {
		t.Error("it is answered")
	}
	eventually(t, "who went away is told apart", func() bool { return s.gateway.Stats().Failures["hanging"]["gateway-given-up"] == 1 })
}

func (s *stage) get(path, raw string) *http.Request {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), "GET", s.front.URL+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	r.Header = bearer(raw)
	return r
}

func TestTargetsThatAreTooLong(t *testing.T) {
	s := newStage(t, nil)
	wants(t, "a long path", s.do("GET", "/public/"+strings.Repeat("a", proxy.MaxTargetBytes), nil, nil), http.StatusRequestURITooLong, "gateway-target")
	wants(t, "a long query", s.do("GET", "/public/x?"+strings.Repeat("a", proxy.MaxTargetBytes), nil, nil), http.StatusRequestURITooLong, "gateway-target")
	wants(t, "one that is not", s.do("GET", "/public/x?"+strings.Repeat("a", proxy.MaxTargetBytes/2), nil, nil), http.StatusOK, "")
}

// TestTheSchemeOfTheClient is the connection's, or what a trusted proxy says of it.
func TestTheSchemeOfTheClient(t *testing.T) {
	spec.Covers(t, "PX-10")
	for trusted, want := range map[string]string{"127.0.0.0/8": "https", "10.0.0.0/8": "http"} {
		s := newStage(t, func(_ *stage, c *gateway.Config) { c.TrustedProxies = prefixes(trusted) })
		for _, told := range [][]string{{"https"}, {"https", "https"}, {"ftp"}, {"http"}} {
			s.do("GET", "/public/x", http.Header{"X-Forwarded-Proto": told, "X-Forwarded-Host": {"evil.example"}}, nil)
			want := want
			if len(told) != 1 || told[0] != "https" {
				want = "http"
			}
			if got := s.echo.last(t).Header; got.Get("X-Forwarded-Proto") != want || got.Get("X-Forwarded-Host") != strings.TrimPrefix(s.front.URL, "http://") {
				t.Errorf("trusting %s, told %q: %v", trusted, told, got)
			}
		}
	}
}

// TestRoutesForDecisionsAlone are nothing to the proxy.
func TestRoutesForDecisionsAlone(t *testing.T) {
	s := newStage(t, func(_ *stage, c *gateway.Config) {
		c.Routes = append(c.Routes, gateway.Route{Name: "asked", Match: gateway.Match{Path: "/asked"}, Authentication: "photos"})
	})
	raw := s.issuer.token(t, nil)
	if d := s.gateway.Decide(t.Context(), gateway.Request{Scheme: "https", Host: "a", Method: "GET", Target: "/asked", Header: bearer(raw), Peer: loopback}); !d.Allowed {
		t.Errorf("%+v", d)
	}
	wants(t, "through the proxy", s.do("GET", "/asked", bearer(raw), nil), http.StatusNotFound, "gateway-no-route")
}

// TestAChangedConfiguration is a new gateway in the place of the old one, whose streams end.
func TestAChangedConfiguration(t *testing.T) {
	spec.Covers(t, "PN-09")
	s := newStage(t, streaming(false))
	var current atomic.Pointer[gateway.Gateway]
	current.Store(s.gateway)
	s.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { current.Load().ServeHTTP(w, r) }))
	defer s.front.Close()
	raw := s.issuer.token(t, nil)
	old := s.stream("/events", raw)
	config := s.config()
	config.Routes = config.Routes[:1]
	config.Identity = gateway.Identity{Issuer: "https://gw.example", Keys: []*jose.PrivateKey{identityKey()}}
	current.Store(s.make(config))
	if err := s.gateway.Close(); err != nil {
		t.Error(err)
	}
	isCut(t, "a stream from before", old.Body)
	wants(t, "a route that is gone", s.do("GET", "/public/x", nil, nil), http.StatusNotFound, "gateway-no-route")
	s.lets("one that is still there")
}

package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/gateway"
	"gatehouse/internal/spec"
	"gatehouse/kv"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, one := range texts {
		all = append(all, netip.MustParsePrefix(one))
	}
	return all
}

// from asks for a decision about a request to a public path.
func (s *stage) from(peer, path string, forwarded ...string) gateway.Decision {
	header := http.Header{}
	if forwarded != nil {
		header["X-Forwarded-For"] = forwarded
	}
	return s.gateway.Decide(s.Context(), gateway.Request{Scheme: "https", Host: "a.example", Method: "GET", Target: path, Header: header, Peer: netip.MustParseAddr(peer)})
}

// TestWhereTheClientIs: nobody is believed but configured peers, and of them the last address
// that is not theirs.
func TestWhereTheClientIs(t *testing.T) {
	spec.Covers(t, "PX-06")
	s := newStage(t, func(_ *stage, c *gateway.Config) {
		c.TrustedProxies = prefixes("10.0.0.0/8", "fd00::/8")
		c.Routes = append(c.Routes, gateway.Route{Name: "net", Match: gateway.Match{Path: "/net"}, Public: true, Upstream: "echo", Networks: gateway.Networks{Allow: prefixes("192.0.2.0/24", "2001:db8::/32"), Deny: prefixes("192.0.2.66/32")}})
	})
	for _, test := range []struct {
		peer      string
		forwarded []string
		want      string // "" for none that is known
	}{
		{"192.0.2.1", nil, "192.0.2.1"},
		{"192.0.2.1", []string{"6.6.6.6"}, "192.0.2.1"},
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{"192.0.2.9"}, "192.0.2.9"},
		{"10.0.0.1", []string{"6.6.6.6, 192.0.2.9"}, "192.0.2.9"},
		{"10.0.0.1", []string{"6.6.6.6, 192.0.2.9 , 10.1.1.1"}, "192.0.2.9"},
		{"10.0.0.1", []string{"6.6.6.6", "192.0.2.9"}, "192.0.2.9"},
		{"10.0.0.1", []string{"10.9.9.9, 10.1.1.1"}, "10.9.9.9"},
		{"10.0.0.1", []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"10.0.0.1", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"fd00::1", []string{"192.0.2.9:1234"}, "192.0.2.9"},
		{"::ffff:10.0.0.1", []string{"::ffff:192.0.2.9"}, "192.0.2.9"},
		{"10.0.0.1", []string{"192.0.2.9, unknown"}, ""},
		{"10.0.0.1", []string{"_hidden"}, ""},
		{"10.0.0.1", []string{strings.Repeat("10.0.0.1,", 100) + "192.0.2.9"}, ""},
	} {
		d := s.from(test.peer, "/public/x", test.forwarded...)
		if got := d.Address; !d.Allowed || got.IsValid() != (test.want != "") || got.IsValid() && got.String() != test.want {
			t.Errorf("%s, %q: %v, %s", test.peer, test.forwarded, got, d.Reason)
		}
	}
	for _, test := range []struct {
		peer, forwarded, want string
	}{
		{"192.0.2.1", "", gateway.Allowed}, {"2001:db8::1", "", gateway.Allowed}, {"::ffff:192.0.2.1", "", gateway.Allowed}, {"192.0.2.66", "", "gateway-network"}, {"6.6.6.6", "192.0.2.1", "gateway-network"},
		{"10.0.0.1", "192.0.2.1", gateway.Allowed}, {"10.0.0.1", "192.0.2.1, 6.6.6.6", "gateway-network"}, {"10.0.0.1", "192.0.2.1, x", "gateway-address-unknown"}, {"10.0.0.1", "", "gateway-network"},
	} {
		var forwarded []string
		if test.forwarded != "" {
			forwarded = []string{test.forwarded}
		}
		if d := s.from(test.peer, "/net", forwarded...); d.Reason != test.want {
			t.Errorf("%s, %q: %s, want %s", test.peer, test.forwarded, d.Reason, test.want)
		}
	}
}

func TestCountries(t *testing.T) {
	at := countries{}
	for address, code := range map[string]string{"192.0.2.1": "DE", "192.0.2.2": "FR", "192.0.2.3": "error"} {
		at[netip.MustParseAddr(address)] = code
	}
	s := newStage(t, func(_ *stage, c *gateway.Config) {
		c.Countries = at
		for name, rule := range map[string]gateway.CountryRule{"allow": {Allow: []string{"DE", "AT"}}, "deny": {Deny: []string{"FR"}}, "both": {Allow: []string{"DE", "FR"}, Deny: []string{"FR"}}} {
			c.Routes = append(c.Routes, gateway.Route{Name: name, Match: gateway.Match{Path: "/" + name}, Public: true, Upstream: "echo", Countries: rule})
		}
	})
	for _, test := range []struct{ address, route, want string }{
		{"192.0.2.1", "allow", gateway.Allowed}, {"192.0.2.2", "allow", "gateway-country"}, {"192.0.2.9", "allow", "gateway-country"}, // nowhere is not allowed
		{"192.0.2.1", "deny", gateway.Allowed}, {"192.0.2.2", "deny", "gateway-country"}, {"192.0.2.9", "deny", gateway.Allowed},
		{"192.0.2.1", "both", gateway.Allowed}, {"192.0.2.2", "both", "gateway-country"},
		{"192.0.2.3", "allow", "gateway-country-unavailable"}, {"192.0.2.3", "deny", "gateway-country-unavailable"}, {"192.0.2.3", "public/x", gateway.Allowed},
	} {
		if d := s.from(test.address, "/"+test.route); d.Reason != test.want {
			t.Errorf("%s on %s: %s, want %s", test.address, test.route, d.Reason, test.want)
		}
	}
}

// limited has a route for each kind of limit: five requests at once, and one in two seconds.
func limited(store kv.Store) func(*stage, *gateway.Config) {
	return func(_ *stage, c *gateway.Config) {
		c.Store = store
		for _, per := range []gateway.LimitKey{gateway.PerAddress, gateway.PerClient, gateway.PerSubject} {
			c.Routes = append(c.Routes, gateway.Route{
				Name: string(per), Match: gateway.Match{Path: "/" + string(per)}, Authentication: "photos", Upstream: "echo", Limits: []gateway.Limit{{Per: per, Rate: 0.5}},
			})
		}
	}
}

func TestLimits(t *testing.T) {
	s := newStage(t, limited(nil))
	ask := func(path, peer string, changes claims) gateway.Decision {
		return s.gateway.Decide(t.Context(), gateway.Request{Scheme: "https", Host: "a", Method: "GET", Target: path, Header: bearer(s.issuer.token(t, changes)), Peer: netip.MustParseAddr(peer)})
	}
	spend := func(path, peer string, changes claims) {
		t.Helper()
		for i := range 5 {
			if d := ask(path, peer, changes); !d.Allowed {
				t.Fatalf("%s: request %d: %s", path, i, d.Reason)
			}
		}
		d := ask(path, peer, changes)
		if d.Reason != "gateway-limit" || d.Status != http.StatusTooManyRequests || d.Header.Get("Retry-After") == "" {
			t.Fatalf("%s: %s %v", path, d.Reason, d.Header)
		}
	}
	free := func(path, peer string, changes claims, want bool) {
		t.Helper()
		if d := ask(path, peer, changes); d.Allowed != want {
			t.Errorf("%s from %s with %v: %s", path, peer, changes, d.Reason)
		}
	}
	spend("/address", "192.0.2.1", nil)
	free("/address", "192.0.2.2", nil, true)
	spend("/address", "2001:db8::1", nil)
	free("/address", "2001:db8::ffff", nil, false) // the same subscriber
	free("/address", "2001:db8:0:1::1", nil, true)
	spend("/client", "192.0.2.1", nil)
	free("/client", "192.0.2.2", claims{"sub": "bob"}, false)
	free("/client", "192.0.2.1", claims{"client_id": "other"}, true)
	spend("/subject", "192.0.2.1", nil)
	free("/subject", "192.0.2.2", claims{"client_id": "other"}, false)
	free("/subject", "192.0.2.1", claims{"sub": "bob"}, true)
	// Tokens that are none use up nobody's share but their address's.
	for range 10 {
		s.gateway.Decide(t.Context(), gateway.Request{Scheme: "https", Host: "a", Method: "GET", Target: "/client", Header: bearer(sign(t, attackerKey(), "at+jwt", claims{"client_id": "victim"})), Peer: loopback})
	}
	free("/client", "192.0.2.1", claims{"client_id": "victim"}, true)
}

// TestLimitsOfReplicas: together they let through about what one does; while the store is away
// each keeps the limit by itself; and nobody waits for it.
func TestLimitsOfReplicas(t *testing.T) {
	spec.Covers(t, "FT-18")
	store := &fragile{Store: kv.NewMemory(kv.MemoryConfig{})}
	s := newStage(t, limited(store))
	config := s.config()
	limited(store)(s, &config)
	other := s.make(config)
	raw := s.issuer.token(t, nil)
	ask := func(g *gateway.Gateway) bool {
		return g.Decide(t.Context(), gateway.Request{Scheme: "https", Host: "a", Method: "GET", Target: "/subject", Header: bearer(raw), Peer: loopback}).Allowed
	}
	for i := range 5 {
		if !ask(s.gateway) {
			t.Fatalf("request %d is refused", i)
		}
	}
	eventually(t, "the counts are carried", func() bool { ask(s.gateway); return store.incremented() > 0 })
	for range 3 { // it hears of the others' when it carries its own
		ask(other)
	}
	eventually(t, "the other one knows", func() bool { return !ask(other) })

	store.fail(true)
	third := s.make(config)
	for i := range 5 {
		if !ask(third) {
			t.Fatalf("without the store request %d is refused", i)
		}
	}
	if ask(third) {
		t.Error("without the store nothing is limited")
	}
	eventually(t, "it is told", func() bool {
		ask(third) // those of a window that is over are not carried
		return slices.ContainsFunc(s.log.Lines(t, "rate limits are kept in this process alone: the store that shares them is away"), func(line map[string]any) bool { return line["error"] != nil })
	})
}

// fragile is a store that can be away.
type fragile struct {
	kv.Store
	mu   sync.Mutex
	away bool
	n    int
}

func (f *fragile) fail(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func (f *fragile) incremented() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *fragile) Incr(ctx context.Context, key string, delta int64, ttl time.Duration) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if f.away {
		return 0, errors.New("the store is away")
	}
	if strings.Contains(key, "alice") {
		return 0, errors.New("the key names somebody")
	}
	return f.Store.Incr(ctx, key, delta, ttl)
}

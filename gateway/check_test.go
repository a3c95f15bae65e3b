package gateway_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/gateway"
	"gatehouse/jose"
	"gatehouse/resource"
)

func sound() gateway.Config {
	return gateway.Config{
		Authentications: []gateway.Authentication{{Name: "a", Resource: resource.Config{Issuer: "https://id.example", Audience: audience}}},
		Upstreams:       []gateway.Upstream{{Name: "u", URL: "https://api.internal/v1"}},
		Routes:          []gateway.Route{{Name: "r", Match: gateway.Match{Path: "/x/{id}"}, Authentication: "a", Upstream: "u"}},
	}
}

// TestWrongConfigurations are refused, by New, too, and the sound one is not.
func TestWrongConfigurations(t *testing.T) {
	if err := sound().Check(); err != nil {
		t.Fatal(err)
	}
	rubbish := filepath.Join(t.TempDir(), "rubbish.pem")
	if err := os.WriteFile(rubbish, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	route := func(c *gateway.Config) *gateway.Route { return &c.Routes[0] }
	up := func(c *gateway.Config) *gateway.Upstream { return &c.Upstreams[0] }
	for want, change := range map[string]func(*gateway.Config){
		"there is no route":                func(c *gateway.Config) { c.Routes = nil },
		"names no Authentication":          func(c *gateway.Config) { route(c).Authentication = "" },
		"Public and has an Authentication": func(c *gateway.Config) { route(c).Public = true },
		`no Authentication "b"`:            func(c *gateway.Config) { route(c).Authentication = "b" },
		"fulfils its Needs": func(c *gateway.Config) {
			route(c).Public, route(c).Authentication, route(c).Needs.Scopes = true, "", []string{"x"}
		},
		"nobody that Forward": func(c *gateway.Config) {
			route(c).Public, route(c).Authentication, route(c).Forward.Headers = true, "", true
		},
		"a limit per subject": func(c *gateway.Config) {
			route(c).Public, route(c).Authentication, route(c).Limits = true, "", []gateway.Limit{{Per: gateway.PerSubject, Rate: 1}}
		},
		"none of address, client, subject": func(c *gateway.Config) { route(c).Limits = []gateway.Limit{{Per: "moon", Rate: 1}} },
		"not above zero":                   func(c *gateway.Config) { route(c).Limits = []gateway.Limit{{Per: gateway.PerAddress}} },
		"is not a scope":                   func(c *gateway.Config) { route(c).Needs.Scopes = []string{"a b\x01"} },
		"no variable of the path":          func(c *gateway.Config) { route(c).Needs.Scopes = []string{"x:{other}"} },
		"a claim has no name":              func(c *gateway.Config) { route(c).Needs.Claims = []resource.Claim{{}} },
		"does not begin with a slash":      func(c *gateway.Config) { route(c).Match.Path = "x" },
		"not a method":                     func(c *gateway.Config) { route(c).Match.Methods = []string{"CONNECT"} },
		`"get" is not a method`:            func(c *gateway.Config) { route(c).Match.Methods = []string{"get"} },
		`the host "A.example"`:             func(c *gateway.Config) { route(c).Match.Hosts = []string{"A.example"} },
		`the host "a.example:80"`:          func(c *gateway.Config) { route(c).Match.Hosts = []string{"a.example:80"} },
		`the host "*.com"`:                 func(c *gateway.Config) { route(c).Match.Hosts = []string{"*.com"} },
		"twice":                            func(c *gateway.Config) { route(c).Match.Hosts = []string{"a.example", "a.example"} },
		`no upstream "v"`:                  func(c *gateway.Config) { route(c).Upstream = "v" },
		"one of Resource and Audience":     func(c *gateway.Config) { route(c).Forward.Exchange = &gateway.Exchange{} },
		"no exchanger for the issuer":      func(c *gateway.Config) { route(c).Forward.Exchange = &gateway.Exchange{Resource: "x"} },
		"both Exchange and": func(c *gateway.Config) {
			route(c).Forward = gateway.Forward{Exchange: &gateway.Exchange{Resource: "x"}, InsecureOriginalToken: true}
		},
		"needs Identity.Issuer":    func(c *gateway.Config) { route(c).Forward.JWT = true },
		"not below StripPrefix":    func(c *gateway.Config) { route(c).StripPrefix = "/y" },
		"Origins and is no Stream": func(c *gateway.Config) { route(c).Origins = []string{"https://a.example"} },
		"is not an origin":         func(c *gateway.Config) { route(c).Stream, route(c).Origins = true, []string{"https://a.example/"} },
		"MaxBody or Timeout":       func(c *gateway.Config) { route(c).Timeout = -1 },
		"not a network": func(c *gateway.Config) {
			route(c).Networks.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}
		},
		"the trusted proxies":                        func(c *gateway.Config) { c.TrustedProxies = []netip.Prefix{{}} },
		"Config.Countries is missing":                func(c *gateway.Config) { route(c).Countries.Deny = []string{"XX"} },
		"not a country's code":                       func(c *gateway.Config) { c.Countries, route(c).Countries.Allow = countries{}, []string{"xx"} },
		"the name of an route":                       func(c *gateway.Config) { route(c).Name = "a b" },
		`two of kind route are called "r"`:           func(c *gateway.Config) { c.Routes = append(c.Routes, c.Routes[0]) },
		"is not an https URL without a query":        func(c *gateway.Config) { up(c).URL = "https://api.internal?x" },
		"plain http on another machine":              func(c *gateway.Config) { up(c).URL = "http://api.internal" },
		"H2C is for plain http":                      func(c *gateway.Config) { up(c).H2C = true },
		"one of CertFile and KeyFile":                func(c *gateway.Config) { up(c).CertFile = rubbish },
		"has no certificate in PEM":                  func(c *gateway.Config) { up(c).CAFile = rubbish },
		"no such file":                               func(c *gateway.Config) { up(c).CAFile = rubbish + "x" },
		"rubbish.pem and":                            func(c *gateway.Config) { up(c).CertFile, up(c).KeyFile = rubbish, rubbish },
		"certificates are configured":                func(c *gateway.Config) { up(c).URL, up(c).ServerName = "http://127.0.0.1", "x" },
		"the Host":                                   func(c *gateway.Config) { up(c).Host = "a b" },
		"Retries above":                              func(c *gateway.Config) { up(c).Retries = 9 },
		`the authentication "a": resource: Audience`: func(c *gateway.Config) { c.Authentications[0].Resource.Audience = "" },
		"two exchangers": func(c *gateway.Config) {
			e := gateway.Exchanger{Issuer: "https://id.example", Client: client.Config{ClientID: "x"}}
			c.Exchangers = []gateway.Exchanger{e, e}
		},
		"the exchanger for":                   func(c *gateway.Config) { c.Exchangers = []gateway.Exchanger{{Issuer: "https://id.example"}} },
		"does not end in -":                   func(c *gateway.Config) { c.Identity.HeaderPrefix = "X-Me" },
		"has other characters":                func(c *gateway.Config) { c.Identity.JWTHeader = "X Me" },
		"cannot be kept from an upstream":     func(c *gateway.Config) { c.Identity.JWTHeader = "Content-Length" },
		"would keep Content-Type from":        func(c *gateway.Config) { c.Identity.HeaderPrefix = "content-" },
		"would keep Traceparent from":         func(c *gateway.Config) { c.Identity.JWTHeader = "TraceParent" },
		"means the same as Client-Id":         func(c *gateway.Config) { c.Identity.Claims = map[string]string{"Client-ID": "x"} },
		"Identity.JWTLife":                    func(c *gateway.Config) { c.Identity.JWTLife = time.Hour },
		"one that another has":                func(c *gateway.Config) { c.Identity.Keys = []*jose.PrivateKey{identityKey(), identityKey()} },
		`Identity.Issuer "http://gw.example"`: func(c *gateway.Config) { c.Identity.Issuer = "http://gw.example" },
		"StreamCheck":                         func(c *gateway.Config) { c.StreamCheck = -1 },
		"more than 8 Limits":                  func(c *gateway.Config) { route(c).Limits = make([]gateway.Limit, 9) },
	} {
		c := sound()
		change(&c)
		err := c.Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if g, err := gateway.New(t.Context(), c); err == nil {
			t.Errorf("%s: New takes it", want)
			_ = g.Close()
		}
	}
}

type countries map[netip.Addr]string

func (c countries) Country(a netip.Addr) (string, bool, error) {
	if c[a] == "error" {
		return "", false, os.ErrClosed
	}
	code, known := c[a]
	return code, known, nil
}

// TestRoutesThatOverlap: two of which nobody could tell which is meant are refused, and of others
// the narrower one is taken, in whatever order they are written.
func TestRoutesThatOverlap(t *testing.T) {
	type match = gateway.Match
	route := func(name string, m match) gateway.Route {
		return gateway.Route{Name: name, Match: m, Authentication: "a", Upstream: "u"}
	}
	for name, pair := range map[string][2]match{
		"the same":                     {{Path: "/a"}, {Path: "/a"}},
		"other names of variables":     {{Path: "/{a}"}, {Path: "/{b}"}},
		"crossing":                     {{Path: "/{a}/x"}, {Path: "/y/{b}"}},
		"narrower path, wider methods": {{Path: "/a/b"}, {Path: "/a/{x}", Methods: []string{"GET"}}},
		"methods that cross":           {{Path: "/a", Methods: []string{"GET", "PUT"}}, {Path: "/a", Methods: []string{"PUT", "POST"}}},
		"GET and HEAD":                 {{Path: "/a", Methods: []string{"GET"}}, {Path: "/a", Methods: []string{"HEAD", "POST"}}},
		"at one host":                  {{Path: "/a", Hosts: []string{"x.example", "y.example"}}, {Path: "/a", Hosts: []string{"y.example"}}},
	} {
		for _, order := range [][2]int{{0, 1}, {1, 0}} {
			c := sound()
			c.Routes = []gateway.Route{route("one", pair[order[0]]), route("two", pair[order[1]])}
			if err := c.Check(); err == nil || !strings.Contains(err.Error(), `the routes "one"`) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	c := sound()
	c.Routes = []gateway.Route{
		route("rest", match{Path: "/{rest...}"}), route("a", match{Path: "/a"}), route("any", match{Path: "/{x}"}), route("post-a", match{Path: "/a", Methods: []string{"POST"}}),
		route("below-a", match{Path: "/a/{rest...}"}), route("a-b", match{Path: "/a/{b}"}), route("get-a-b", match{Path: "/a/{b}", Methods: []string{"GET"}}), route("put-a-b", match{Path: "/a/{b}", Methods: []string{"PUT"}}),
		route("host", match{Path: "/{rest...}", Hosts: []string{"h.example"}}), route("host-a", match{Path: "/a", Hosts: []string{"h.example", "*.example"}}), route("sub", match{Path: "/s", Hosts: []string{"*.h.example"}}),
	}
	c.Routes[9].Match.Hosts = []string{"h.example"}
	for range 2 {
		s := &stage{TB: t}
		g := s.make(c)
		for ask, want := range map[string]string{
			"GET x.example /": "rest", "GET x.example /a": "a", "HEAD x.example /a": "a", "POST x.example /a": "post-a", "GET x.example /b": "any", "GET x.example /a/": "below-a",
			"GET x.example /a/1": "get-a-b", "HEAD x.example /a/1": "get-a-b", "PUT x.example /a/1": "put-a-b", "POST x.example /a/1": "a-b", "GET x.example /a/1/2": "below-a", "GET x.example /b/1": "rest",
			"GET h.example /a": "host-a", "POST h.example /a": "host-a", "GET h.example:8443 /a": "host-a", "GET H.Example /b": "host", "GET s.h.example /s": "sub", "GET s.h.example /a": "", "GET a.s.h.example /a": "a",
		} {
			parts := strings.Fields(ask)
			d := g.Decide(t.Context(), gateway.Request{Scheme: "https", Method: parts[0], Host: parts[1], Target: parts[2], Peer: loopback, Explain: true})
			if d.Route != want {
				t.Errorf("%s: %q, want %q", ask, d.Route, want)
			}
		}
		for i, j := 0, len(c.Routes)-1; i < j; i, j = i+1, j-1 {
			c.Routes[i], c.Routes[j] = c.Routes[j], c.Routes[i]
		}
	}
}

// TestManyRoutes: as many as there may be are put in order without delay, and none is lost.
func TestManyRoutes(t *testing.T) {
	c := sound()
	c.Routes = nil
	for i := range gateway.MaxRoutes {
		c.Routes = append(c.Routes, gateway.Route{
			Name: fmt.Sprint("r", i), Match: gateway.Match{Path: fmt.Sprintf("/v1/thing-%d/{id}", i)}, Authentication: "a", Upstream: "u", Needs: resource.Needs{Scopes: []string{fmt.Sprint("scope-", i)}},
		})
	}
	s := &stage{TB: t}
	g := s.make(c)
	for _, i := range []int{0, 17, gateway.MaxRoutes - 1} {
		d := g.Decide(t.Context(), gateway.Request{Scheme: "https", Host: "a", Method: "GET", Target: fmt.Sprintf("/v1/thing-%d/x", i), Peer: loopback, Explain: true})
		if d.Route != fmt.Sprint("r", i) {
			t.Errorf("%d: %q", i, d.Route)
		}
	}
	c.Routes = append(c.Routes, c.Routes[0])
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "more than 4096 routes") {
		t.Errorf("%v", err)
	}
}

package gateway_test

import (
	"net/http"
	"slices"
	"testing"

	"gatehouse/gateway"
)

// What an upstream is told is among the names, and nothing else is managed by them.
func TestNamesOfIdentityHeaders(t *testing.T) {
	own := gateway.Identity{HeaderPrefix: "x-caller-", JWTHeader: "who-asks", Claims: map[string]string{"Tenant": "tenant"}}
	if got, want := own.Headers(), []string{"Who-Asks", "X-Caller-Client-Id", "X-Caller-Expires", "X-Caller-Issuer", "X-Caller-Jti", "X-Caller-Scope", "X-Caller-Subject", "X-Caller-Tenant"}; !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := (gateway.Identity{}).Headers(); len(got) != 7 || !slices.Contains(got, "X-Gatehouse-Identity") {
		t.Errorf("got %v", got)
	}
	s := newStage(t, func(_ *stage, c *gateway.Config) {
		c.Routes[0].Forward.Headers = true
		c.Identity = own
	})
	d := s.gateway.Decide(t.Context(), gateway.Request{
		Scheme: "http", Host: "api.example", Method: "GET", Target: "/photos/1", Peer: loopback, Header: http.Header{"Authorization": {"Bearer " + s.issuer.token(t, claims{"tenant": "acme"})}},
	})
	if !d.Allowed || len(d.Set) != 7 {
		t.Errorf("%+v", d)
	}
	for name := range d.Set {
		if !slices.Contains(own.Headers(), name) || !s.gateway.Managed(name) {
			t.Errorf("%s is not among %v", name, own.Headers())
		}
	}
}

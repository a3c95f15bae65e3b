package admin

import (
	"strings"
	"testing"

	"gatehouse"
)

func TestWhatAClientMayExchangeIsSaidWhole(t *testing.T) {
	photos := photoAPI().Identifier
	machine := func(policy *gatehouse.TokenExchange, grants ...string) gatehouse.ClientMetadata {
		return gatehouse.ClientMetadata{GrantTypes: append(grants, gatehouse.GrantTokenExchange), TokenExchange: policy}
	}
	with := func(m gatehouse.ClientMetadata, change func(*gatehouse.ClientMetadata)) gatehouse.ClientMetadata {
		change(&m)
		return m
	}
	full := &gatehouse.TokenExchange{Accepts: []string{photos}, Audiences: []string{photos}, IDTokens: true, Impersonation: true}
	for _, test := range []struct {
		name     string
		metadata gatehouse.ClientMetadata
		says     string
	}{
		{"whole", machine(full), ""},
		{"beside others", machine(full, gatehouse.GrantClientCredentials), ""},
		{"no policy", machine(nil), "token_exchange: a client with the grant type"},
		{"no grant type", with(web(), func(m *gatehouse.ClientMetadata) { m.TokenExchange = full }), "token_exchange: only a client with the grant type"},
		{"for nothing", machine(&gatehouse.TokenExchange{Accepts: []string{photos}}), "token_exchange.audiences: is missing"},
		{"public", with(machine(full), func(m *gatehouse.ClientMetadata) { m.TokenEndpointAuthMethod = gatehouse.AuthNone }), "token_exchange: token exchange needs client authentication"},
		{"unknown audience", machine(&gatehouse.TokenExchange{Audiences: []string{photos + "x"}}), "token_exchange.audiences[0]: there is no resource"},
		{"unknown source", machine(&gatehouse.TokenExchange{Audiences: []string{photos}, Accepts: []string{"https://other.example"}}), "token_exchange.accepts[0]: there is no resource"},
		{"twice", machine(&gatehouse.TokenExchange{Audiences: []string{photos, photos}}), "token_exchange.audiences[1]: "},
		{"too many", machine(&gatehouse.TokenExchange{Audiences: make([]string, MaxIntrospects+1)}), "more than"},
		{"may act", with(web(), func(m *gatehouse.ClientMetadata) { m.MayAct = "gateway" }), ""},
		{"may act with a space", with(web(), func(m *gatehouse.ClientMetadata) { m.MayAct = "gate way" }), "may_act: "},
	} {
		_, wrong := Register(test.metadata, around())
		if got := explain(wrong); test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%s:\n%q, want %q", test.name, got, test.says)
		}
	}
	weak := Weaknesses(gatehouse.Client{ID: "gw", ClientMetadata: machine(full)})
	if len(weak) != 1 || !strings.Contains(weak[0], "token_exchange.impersonation") {
		t.Errorf("weak is %q", weak)
	}
}

// TestATenantFileSaysWhatMayBeExchanged reads the members as an operator writes
// them, and names the line of a wrong one.
func TestATenantFileSaysWhatMayBeExchanged(t *testing.T) {
	file, err := Decode([]byte(`
clients:
  - client_id: gateway
    grant_types: ["urn:ietf:params:oauth:grant-type:token-exchange"]
    token_exchange: {accepts: [https://a.example], audiences: [https://b.example], id_tokens: true, impersonation: true}
    may_act: other
`), "tenant.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := file.Clients[0]
	if p := got.TokenExchange; p == nil || !p.IDTokens || !p.Impersonation || p.Accepts[0] != "https://a.example" || p.Audiences[0] != "https://b.example" || got.MayAct != "other" {
		t.Errorf("read %+v, %q", p, got.MayAct)
	}
	_, err = Decode([]byte("clients:\n  - client_id: gateway\n    token_exchange: {audience: [https://b.example]}\n"), "tenant.yaml")
	if err == nil || !strings.Contains(err.Error(), "tenant.yaml:3") || !strings.Contains(err.Error(), "audiences") {
		t.Errorf("an unknown key: %v", err)
	}
}

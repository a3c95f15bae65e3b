package admin

import (
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/spec"
)

func TestAD05ReservedClaims(t *testing.T) {
	spec.Covers(t, "AD-05")
	mapped := func(name string) string {
		return explain(CheckSettings(gatehouse.Settings{Claims: []gatehouse.ClaimMapping{{Claim: name, Scope: "openid", In: []gatehouse.ClaimPlace{"access_token"}}}}, nil))
	}
	for _, name := range []string{
		"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "acr", "amr", "scope", "roles", "cnf", "email", "email_verified", "phone_number_verified", "sid", "nonce",
		"auth_time", "client_id", "act", "may_act", "gid", "active", "username", "token_type", "updated_at", "events", "authorization_details", "entitlements",
	} {
		if got := mapped(name); !strings.Contains(got, "is reserved") {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"department", "groups", "https://example.com/claims/tier", "Sub", "x-1"} {
		if got := mapped(name); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestClaimMappings(t *testing.T) {
	resources := []gatehouse.Resource{photoAPI(), {Identifier: "https://docs.example", Scopes: []gatehouse.ResourceScope{{Name: "document:read:{id}"}}}}
	good := gatehouse.ClaimMapping{Claim: "department", Scope: "profile", In: []gatehouse.ClaimPlace{"id_token", "userinfo"}}
	in := func(places ...gatehouse.ClaimPlace) []gatehouse.ClaimPlace { return places }
	for _, test := range []struct {
		mappings []gatehouse.ClaimMapping
		says     string
	}{
		{[]gatehouse.ClaimMapping{good}, ""},
		{[]gatehouse.ClaimMapping{good, {Claim: "department", Scope: "photos:read", In: in("access_token")}}, ""},
		{[]gatehouse.ClaimMapping{{Claim: "d", Resource: "https://api.example/photos", In: in("access_token")}}, ""},
		{[]gatehouse.ClaimMapping{good, good}, "claims[1].claim: claim \"department\" stands in the same place twice"},
		{[]gatehouse.ClaimMapping{{Claim: "a b", Scope: "openid", In: in("userinfo")}}, "is not the name of a claim"},
		{[]gatehouse.ClaimMapping{{Claim: `a"`, Scope: "openid", In: in("userinfo")}}, "is not the name of a claim"},
		{[]gatehouse.ClaimMapping{{Claim: "a", Attribute: "b c", Scope: "openid", In: in("userinfo")}}, "is not the name of an attribute"},
		{[]gatehouse.ClaimMapping{{Claim: "a", Scope: "openid"}}, "the claim stands nowhere"},
		{[]gatehouse.ClaimMapping{{Claim: "a", Scope: "openid", In: in("user_info")}}, "did you mean userinfo?"},
		{[]gatehouse.ClaimMapping{{Claim: "a", In: in("userinfo")}}, "nothing opens the claim"},
		{[]gatehouse.ClaimMapping{{Claim: "a", Scope: "videos:read", In: in("userinfo")}}, "no resource has the scope"},
		{[]gatehouse.ClaimMapping{{Claim: "a", Scope: "offline_access", In: in("userinfo")}}, "no resource has the scope"},
		{[]gatehouse.ClaimMapping{{Claim: "a", Scope: "document:read:{id}", In: in("access_token")}}, "is a form of many scopes"},
		{[]gatehouse.ClaimMapping{{Claim: "a", Resource: "https://other.example", In: in("access_token")}}, "there is no resource"},
		{[]gatehouse.ClaimMapping{{Claim: "a", Resource: "https://api.example/photos", In: in("id_token")}}, "a resource reads access tokens alone"},
		{make([]gatehouse.ClaimMapping, MaxClaimMappings+1), "more than 64 claims"},
	} {
		got := explain(CheckSettings(gatehouse.Settings{Claims: test.mappings}, resources))
		if test.says == "" && got != "" || !strings.Contains(strings.ToLower(got), strings.ToLower(test.says)) {
			t.Errorf("%v:\n%q, want %q", test.mappings, got, test.says)
		}
	}
}

func TestAttributes(t *testing.T) {
	many := gatehouse.Attributes{}
	for i := range MaxAttributes + 1 {
		many["a"+strings.Repeat("b", i)] = true
	}
	for _, test := range []struct {
		attributes gatehouse.Attributes
		says       string
	}{
		{gatehouse.Attributes{"department": "Ledgers", "floor": 2.0, "guest": false, "teams": []any{"a", "b"}, "https://example.com/tier": "gold"}, ""},
		{gatehouse.Attributes{"a b": "x"}, "is not the name of an attribute"},
		{gatehouse.Attributes{"a": map[string]any{"b": "c"}}, "attribute a is neither a text"},
		{gatehouse.Attributes{"a": nil}, "attribute a is neither a text"},
		{gatehouse.Attributes{"a": []any{1.0}}, "attribute a has an element"},
		{gatehouse.Attributes{"a": "b\u202ec"}, "attribute a has the character"},
		{gatehouse.Attributes{"a": make([]any, MaxAttributeValues+1)}, "more than 64 values"},
		{many, "more than 64 attributes"},
		{gatehouse.Attributes{"a": strings.Repeat("x", 1000), "b": []any{strings.Repeat("x", 1000), strings.Repeat("y", 1000), strings.Repeat("z", 1000), strings.Repeat("z", 1000),
			strings.Repeat("z", 1000), strings.Repeat("z", 1000), strings.Repeat("z", 1000), strings.Repeat("z", 1000)}}, "longer than 8192 bytes"},
	} {
		got := explain(checkUser(UserEntry{Username: "u", Attributes: test.attributes}))
		if test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%.80v:\n%q, want %q", test.attributes, got, test.says)
		}
	}
}

package resource_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/oauth"
	"gatehouse/resource"
	"gatehouse/revocation"
)

func TestClaimsThatAnOperationNeeds(t *testing.T) {
	a := newAS()
	rs := a.server(t, nil)
	raw := a.jwt(t, claims{
		"tier": "gold", "level": 3, "staff": true, "none": nil, "groups": []any{"dev", "ops", 7}, "empty": []any{},
		"realm_access": claims{"roles": []string{"admin", "user"}, "a/b": claims{"c~d": "deep"}},
	})
	for _, test := range []struct {
		claim resource.Claim
		has   bool
	}{
		{resource.Claim{Name: "tier"}, true},
		{resource.Claim{Name: "tier", Values: []string{"silver", "gold"}}, true},
		{resource.Claim{Name: "tier", Values: []string{"GOLD", "gol", "gold ", ""}}, false},
		{resource.Claim{Name: "level", Values: []string{"3"}}, true},
		{resource.Claim{Name: "level", Values: []string{"30"}}, false},
		{resource.Claim{Name: "staff", Values: []string{"true"}}, true},
		{resource.Claim{Name: "staff", Values: []string{"false"}}, false},
		{resource.Claim{Name: "none"}, false},
		{resource.Claim{Name: "absent"}, false},
		{resource.Claim{Name: "groups", Values: []string{"ops"}}, true},
		{resource.Claim{Name: "groups", Values: []string{"7"}}, true},
		{resource.Claim{Name: "groups", Values: []string{`["dev","ops",7]`, "root"}}, false},
		{resource.Claim{Name: "empty", Values: []string{""}}, false},
		{resource.Claim{Name: "realm_access", Values: []string{"admin"}}, false},
		{resource.Claim{Name: "/realm_access/roles", Values: []string{"admin"}}, true},
		{resource.Claim{Name: "/realm_access/roles", Values: []string{"root"}}, false},
		{resource.Claim{Name: "/realm_access/a~1b/c~0d", Values: []string{"deep"}}, true},
		{resource.Claim{Name: "/realm_access/roles/0"}, false},
		{resource.Claim{Name: "/tier/x"}, false},
		{resource.Claim{Name: "/tier", Values: []string{"gold"}}, true},
	} {
		w := ask(rs, raw, resource.Needs{Claims: []resource.Claim{test.claim}})
		if test.has {
			wants(t, w, http.StatusOK, "")
		} else {
			wants(t, w, http.StatusForbidden, "resource-claims")
		}
		if t.Failed() {
			t.Fatalf("%+v", test.claim)
		}
	}
	// A missing scope is told first, since a client can do something about it.
	wants(t, ask(rs, raw, resource.Needs{Scopes: []string{"admin"}, Claims: []resource.Claim{{Name: "absent"}}}), http.StatusForbidden, "resource-scope")
	wants(t, ask(rs, raw, resource.Needs{Scopes: []string{"photos:read"}, Claims: []resource.Claim{{Name: "tier"}, {Name: "absent"}}}), http.StatusForbidden, "resource-claims")
	for _, needs := range []resource.Needs{
		{Claims: []resource.Claim{{}}}, {Claims: []resource.Claim{{Name: "/"}}}, {Claims: []resource.Claim{{Name: "/a/b/c/d/e/f/g/h/i"}}}, {MaxTokenAge: -1},
	} {
		if needs.Validate() == nil {
			t.Errorf("%+v is accepted", needs)
		}
	}
}

func TestTheAgeOfATokenThatAnOperationNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		rs := a.server(t, nil)
		raw, young := a.jwt(t, claims{"exp": time.Now().Add(time.Hour).Unix()}), resource.Needs{MaxTokenAge: time.Minute}
		admission, err := rs.Admission(young)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, ask(rs, raw, young), http.StatusOK, "")
		if err := admission.Still(t.Context(), raw); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		wants(t, ask(rs, raw, young), http.StatusUnauthorized, "resource-token-age")
		if err := admission.Still(t.Context(), raw); oauth.AsError(err).Rule != "resource-token-age" {
			t.Errorf("still: %v", err)
		}
		wants(t, ask(rs, raw, nothing), http.StatusOK, "")
	})
}

// TestAdmission: who answers and logs by itself is told the same as the middleware.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAS()
		rs := a.server(t, follows)
		synctest.Wait()
		admission, err := rs.Admission(resource.Needs{Scopes: []string{"photos:read"}})
		if err != nil {
			t.Fatal(err)
		}
		admit := func(authorization string) (*resource.Access, *oauth.Error) {
			r := httptest.NewRequest(http.MethodGet, "/photos", nil)
			if authorization != "" {
				r.Header.Set("Authorization", authorization)
			}
			access, err := admission.Admit(r)
			if err == nil {
				return access, nil
			}
			return access, oauth.AsError(err)
		}
		raw := a.jwt(t, nil)
		access, refusal := admit("Bearer " + raw)
		if refusal != nil || access.Claims.Subject != "alice" || rs.Ended(access) {
			t.Fatalf("%+v, %v", access, refusal)
		}
		if access, refusal := admit(""); access != nil || refusal == nil || refusal.Rule != "resource-token-missing" {
			t.Errorf("without a token: %+v, %v", access, refusal)
		}
		weak, refusal := admit("Bearer " + a.jwt(t, claims{"scope": "openid"}))
		if refusal == nil || refusal.Rule != "resource-scope" || weak == nil {
			t.Fatalf("without the scope: %+v, %v", weak, refusal)
		}
		if challenge := admission.Challenge(httptest.NewRequest("GET", "/", nil), refusal); challenge.Scope.String() != "photos:read" {
			t.Errorf("challenge %+v", challenge)
		}
		a.revoke(revocation.GrantHandle, "gid-1")
		synctest.Wait()
		if _, refusal := admit("Bearer " + raw); refusal == nil || refusal.Rule != "resource-token-revoked" || !rs.Ended(access) {
			t.Errorf("after the end: %v", refusal)
		}
		if err := admission.Still(t.Context(), raw); oauth.AsError(err).Rule != "resource-token-revoked" {
			t.Errorf("still: %v", err)
		}
		if _, err := rs.Admission(resource.Needs{Scopes: []string{"a b\x00"}}); err == nil {
			t.Error("a scope that is none is accepted")
		}
	})
}

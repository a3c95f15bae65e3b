package gatehousetest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/admin"
	"gatehouse/internal/secret"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

// register applies a client to a tenant, as its administrator does.
func register(t *testing.T, server *gatehousetest.Issuer, tenant gatehouse.TenantID, client string) error {
	t.Helper()
	file, err := admin.Decode([]byte("clients:\n  - "+client), "file")
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.Apply(t.Context(), server.Server().Store(), secret.NewHasher(secret.Params{}), tenant, server.URL, file, admin.Options{})
	return err
}

func publicClient(id, uri string) string {
	return `{client_id: ` + id + `, token_endpoint_auth_method: none, redirect_uris: ["` + uri + `"], post_logout_redirect_uris: ["` + uri + `"], scope: openid}`
}

// TestNoCodeIsSentToATenantsHost: not to one's own issuer, nor to another
// tenant's, whatever port a loopback address leaves open, and not even when the
// host became a tenant's after the client was registered.
func TestNoCodeIsSentToATenantsHost(t *testing.T) {
	spec.Covers(t, "RU-01", "RU-13")
	server := gatehousetest.Start(t, gatehousetest.Options{Tenant: twin})
	red := server.AddTenant(t, "crimson", "http://id.red.example", twin)
	blue := server.AddTenant(t, "blue", "", twin)
	loopback := server.AddTenant(t, "loopback", "http://localhost:9090", twin)
	for _, uri := range []string{
		"https://id.red.example/login", "http://127.0.0.1:9090/login", "http://[::1]:9090/cb", "http://127.0.0.1:8080/t/crimson/login",
	} {
		for _, tenant := range []gatehouse.TenantID{gatehouse.DefaultTenant, "blue", "crimson", "loopback"} {
			err := register(t, server, tenant, publicClient("thief", uri))
			if err == nil {
				t.Errorf("tenant %s may register %s", tenant, uri)
			} else if strings.Contains(strings.ReplaceAll(err.Error(), uri, ""), "crimson") || strings.Contains(strings.ToLower(err.Error()), "tenant") {
				t.Errorf("the refusal tells whose host it is: %v", err)
			}
		}
	}

	ask := func(uri string) string {
		query := url.Values{"response_type": {"code"}, "client_id": {"native"}, "redirect_uri": {uri}, "scope": {"openid"}, "code_challenge": {oauth.ChallengeS256(verifier)}, "code_challenge_method": {"S256"}}
		return "/authorize?" + query.Encode()
	}
	registered := func(id gatehouse.TenantID, uri string) {
		t.Helper()
		if err := register(t, server, id, publicClient("native", uri)); err != nil {
			t.Fatal(err)
		}
	}
	sends := func(issuer *gatehousetest.Issuer, uri string, want bool) {
		t.Helper()
		page := issuer.NewBrowser(t).SignIn(ask(uri), "alice", "wonderland-alice")
		if !want && (page.StatusCode != http.StatusBadRequest || page.Location != nil) {
			t.Errorf("%s answers a request for %s with %d, sent to %v", issuer.URL, uri, page.StatusCode, page.Location)
		}
		if want && (page.Location == nil || page.Location.Query().Get("code") == "") {
			t.Errorf("%s answers a request for %s with %d: %s", issuer.URL, uri, page.StatusCode, page.Text)
		}
	}
	// The port of a loopback address is free, but for those of issuers.
	for issuer, id := range map[*gatehousetest.Issuer]gatehouse.TenantID{server: gatehouse.DefaultTenant, blue: "blue", red: "crimson", loopback: "loopback"} {
		registered(id, "http://127.0.0.1/cb")
		for _, port := range []string{":8080", ":9090"} {
			sends(issuer, "http://127.0.0.1"+port+"/cb", false)
		}
		sends(issuer, "http://127.0.0.1:9091/cb", true)
	}

	// A host that becomes a tenant's is closed to what was registered before.
	registered("blue", "https://id.grey.example/cb")
	sends(blue, "https://id.grey.example/cb", true)
	server.AddTenant(t, "grey", "http://id.grey.example", twin)
	sends(blue, "https://id.grey.example/cb", false)
	registered("blue", "https://app.grey.example/cb")
	sends(blue, "https://app.grey.example/cb", true)
}

// TestNobodyIsSentToATenantsHostAfterSigningOut is the same for
// post_logout_redirect_uri.
func TestNobodyIsSentToATenantsHostAfterSigningOut(t *testing.T) {
	spec.Covers(t, "OR-07")
	server := gatehousetest.Start(t, gatehousetest.Options{Tenant: twin})
	blue := server.AddTenant(t, "blue", "", twin)
	begin := func() (browser *gatehousetest.Browser, target string) {
		t.Helper()
		browser = blue.NewBrowser(t)
		page := browser.SignIn(authorization, "alice", "wonderland-alice")
		hint := redeem(t, blue, page.Location.Query().Get("code")).Member("id_token")
		return browser, "/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://app.example/bye"}}.Encode()
	}
	browser, target := begin()
	other, otherTarget := begin()
	if page := browser.Get(blue.URL + target); page.Location == nil || page.Location.String() != "https://app.example/bye" {
		t.Fatalf("%d, sent to %v", page.StatusCode, page.Location)
	}
	server.AddTenant(t, "app", "http://app.example", twinAt("https://elsewhere.example"))
	if page := other.Get(blue.URL + otherTarget); page.Location != nil || page.StatusCode != http.StatusOK || !strings.Contains(page.Text, "logout-done") {
		t.Errorf("%d, sent to %v: %s", page.StatusCode, page.Location, page.Text)
	}
	if page := blue.NewBrowser(t).SignIn(authorization, "alice", "wonderland-alice"); page.Location != nil {
		t.Errorf("a code was sent to %v", page.Location)
	}
}

// twinAt is the tenant file of twins whose application is elsewhere.
func twinAt(origin string) string { return strings.ReplaceAll(twin, "https://app.example", origin) }

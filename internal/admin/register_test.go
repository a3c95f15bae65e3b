package admin

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

func photoAPI() gatehouse.Resource {
	return gatehouse.Resource{
		Identifier: "https://api.example/photos",
		Scopes: []gatehouse.ResourceScope{
			{Name: "photos:read", Description: "See your photos"},
			{Name: "photos:write", Description: "Add photos"},
		},
		TokenFormat: gatehouse.FormatJWT,
	}
}

func around() Surroundings {
	return Surroundings{Hosts: oauth.NewHosts("id.example"), Resources: []gatehouse.Resource{photoAPI()}}
}

// web is a client that may be registered; each row of the tables below changes
// one thing about it.
func web() gatehouse.ClientMetadata {
	return gatehouse.ClientMetadata{ClientName: "Web", RedirectURIs: []string{"https://app.example/cb"}}
}

func explain(list []*Problem) string {
	texts := make([]string, len(list))
	for i, problem := range list {
		texts[i] = problem.Error()
	}
	return strings.Join(texts, "\n")
}

func mustPass(t *testing.T, metadata gatehouse.ClientMetadata) gatehouse.ClientMetadata {
	t.Helper()
	full, wrong := Register(metadata, around())
	if len(wrong) > 0 {
		t.Fatalf("a client that may be registered is refused:\n%s", explain(wrong))
	}
	return full
}

func TestDefaultsOfRFC7591(t *testing.T) {
	spec.Covers(t, "OIDCC-9-2")
	full := mustPass(t, web())
	got := fmt.Sprintf("%s %v %v %s %q %s", full.Profile, full.GrantTypes, full.ResponseTypes, full.TokenEndpointAuthMethod, full.Scope, full.ApplicationType)
	if want := `oauth2.1 [authorization_code] [code] client_secret_basic "openid profile email" web`; got != want {
		t.Errorf("defaults are %s, want %s", got, want)
	}

	renewing := web()
	renewing.GrantTypes = []string{"authorization_code", "refresh_token"}
	if got := mustPass(t, renewing).Scope; got != "openid profile email offline_access" {
		t.Errorf("the scope of a client with refresh_token is %q", got)
	}

	machine := mustPass(t, gatehouse.ClientMetadata{GrantTypes: []string{"client_credentials"}})
	if machine.Scope != "" || len(machine.ResponseTypes) != 0 {
		t.Errorf("a machine has scope %q and response types %q, want none", machine.Scope, machine.ResponseTypes)
	}
}

// RU-08, RU-09, RU-10, RU-20, BC-12: what may not be a redirect URI, in any of
// the lists that hold them.
func TestRedirectURIsThatAreRefused(t *testing.T) {
	spec.Covers(t, "RU-08", "RU-09", "RU-20", "RFC6749-3.1.2-1", "RFC8252-7.1-1", "RFC8252-8.3-1", "RFC9700-4.1.3-2", "OIDCRIL-3.1-1", "OAUTH21-8.4.2-1", "RFC9700-2.6-3", "RFC9700-4.1.3-1")
	rows := []struct{ attack, uri, says string }{
		{"RU-08", "*", "refused.md"},
		{"RU-08", "https://*", "refused.md#wildcards"},
		{"RU-08", "https://app.test*", "refused.md#wildcards"},
		{"RU-08", "https://*.test/cb", "refused.md#wildcards"},
		{"RU-08", "http://*", "refused.md#wildcards"},
		{"RU-09", "javascript:alert(1)", "refused.md#schemes"},
		{"RU-09", "JaVaScRiPt:alert(1)", "refused.md#schemes"},
		{"RU-09", "data:text/html,x", "refused.md#schemes"},
		{"RU-09", "vbscript:x", "refused.md#schemes"},
		{"RU-09", "file:///etc/passwd", "refused.md#schemes"},
		{"RU-09", "blob:https://app.example/1", "refused.md#schemes"},
		{"RU-09", "about:blank", "refused.md#schemes"},
		{"RU-09", "view-source:https://app.example/", "refused.md#schemes"},
		{"RU-09", "\thttps://app.example/cb", "character"},
		{"RU-09", " https://app.example/cb", "character"},
		{"RU-09", "\rhttps://app.example/cb", "character"},
		{"RU-10", "https://app.example/cb#part", "fragment"},
		{"RU-10", "https://app.example/cb#", "fragment"},
		{"RU-20", "myapp://cb", "refused.md#schemes"},
		{"RU-20", "com.example.app://evil/cb", "one slash"},
		{"RU-20", "com.example.app:/cb/../x", "dot segments"},
		{"RU-20", "COM.example.app:/cb", "lower case"},
		{"BC-12", "http://app.test/cb", "refused.md#http"},
		{"RFC 8252 8.3", "http://localhost/cb", "127.0.0.1"},
		{"RU-02", "https://app.example@evil.test/cb", "user information"},
		{"RU-05", "https://app.example/cb/../x", "dot segments"},
		{"design 11.1", "https://id.example/callback", "of this server itself"},
		{"design 11.1", "https://id.example:443/callback", "of this server itself"},
		{"", "", "absolute"},
	}
	for _, row := range rows {
		for _, list := range []string{"redirect_uris", "post_logout_redirect_uris"} {
			t.Run(row.attack+" "+list+" "+row.uri, func(t *testing.T) {
				metadata := web()
				good := "https://app.example/other"
				if list == "redirect_uris" {
					metadata.RedirectURIs = []string{good, row.uri}
				} else {
					metadata.PostLogoutRedirectURIs = []string{good, row.uri}
				}
				_, wrong := Register(metadata, around())
				if len(wrong) != 1 || wrong[0].Path != list+"[1]" || !strings.Contains(wrong[0].Error(), row.says) {
					t.Errorf("problems are %q, want one at %s[1] that mentions %q", explain(wrong), list, row.says)
				}
			})
		}
	}
	for _, uri := range []string{
		"https://app.example/cb?tenant=1", "https://app.example:8443/cb", "http://127.0.0.1/cb", "http://127.0.0.1:4711/cb",
		"http://[::1]/cb", "com.example.app:/cb", "https://notid.example/cb", "https://id.example:8443/cb",
	} {
		metadata := web()
		metadata.RedirectURIs, metadata.PostLogoutRedirectURIs = []string{uri}, []string{uri}
		mustPass(t, metadata)
	}
}

// RU-09 on the addresses that pages link to and load.
func TestPageURIsThatAreRefused(t *testing.T) {
	spec.Covers(t, "RU-09")
	fields := map[string]func(*gatehouse.ClientMetadata, string){
		"client_uri": func(m *gatehouse.ClientMetadata, uri string) { m.ClientURI = uri },
		"logo_uri":   func(m *gatehouse.ClientMetadata, uri string) { m.LogoURI = uri },
		"policy_uri": func(m *gatehouse.ClientMetadata, uri string) { m.PolicyURI = uri },
		"tos_uri":    func(m *gatehouse.ClientMetadata, uri string) { m.TosURI = uri },
	}
	for field, set := range fields {
		for _, uri := range []string{
			"javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "file:///x", "http://app.example/", "/relative", "\thttps://app.example/",
		} {
			metadata := web()
			set(&metadata, uri)
			if _, wrong := Register(metadata, around()); len(wrong) != 1 || wrong[0].Path != field {
				t.Errorf("%s %q: problems are %q, want one at %s", field, uri, explain(wrong), field)
			}
		}
		metadata := web()
		set(&metadata, "https://app.example/page")
		mustPass(t, metadata)
	}
}

// DC-02, TX-10 and the rules of the house that need no address.
func TestMetadataThatIsRefused(t *testing.T) {
	spec.Covers(t, "RFC6749-3.1.2.2-1", "RFC6749-4.4-1")
	public := func(m *gatehouse.ClientMetadata) { m.TokenEndpointAuthMethod = "none" }
	rows := []struct {
		rule   string
		change func(*gatehouse.ClientMetadata)
		path   string
		says   string
	}{
		{"DC-02 implicit", func(m *gatehouse.ClientMetadata) { m.GrantTypes = []string{"authorization_code", "implicit"} }, "grant_types[1]", "docs/refused.md#implicit"},
		{"DC-02 password", func(m *gatehouse.ClientMetadata) { m.GrantTypes = []string{"authorization_code", "password"} }, "grant_types[1]", "docs/refused.md#password"},
		{"DC-02 unknown grant", func(m *gatehouse.ClientMetadata) { m.GrantTypes = []string{"authorization_code", "refresh_tokens"} }, "grant_types[1]", "did you mean refresh_token?"},
		{"DC-02 later grant", func(m *gatehouse.ClientMetadata) {
			m.GrantTypes = []string{"authorization_code", "urn:ietf:params:oauth:grant-type:device_code"}
		}, "grant_types[1]", "this version has: authorization_code"},
		{"DC-02 twice", func(m *gatehouse.ClientMetadata) { m.GrantTypes = []string{"authorization_code", "authorization_code"} }, "grant_types[1]", "twice"},
		{"DC-02 response type", func(m *gatehouse.ClientMetadata) { m.ResponseTypes = []string{"code", "token"} }, "response_types[1]", "docs/refused.md#implicit"},
		{"DC-02 hybrid", func(m *gatehouse.ClientMetadata) { m.ResponseTypes = []string{"code id_token"} }, "response_types[0]", "docs/refused.md#implicit"},
		{"DC-02 unknown response type", func(m *gatehouse.ClientMetadata) { m.ResponseTypes = []string{"none"} }, "response_types[0]", "this version has: code"},
		{"DC-02 mismatch", func(m *gatehouse.ClientMetadata) {
			m.GrantTypes, m.ResponseTypes = []string{"client_credentials"}, []string{"code"}
		}, "response_types", "authorization_code"},
		{"DC-02 none with client_credentials", func(m *gatehouse.ClientMetadata) {
			public(m)
			m.GrantTypes = []string{"authorization_code", "client_credentials"}
		}, "grant_types", "credentials"},
		{"refresh alone", func(m *gatehouse.ClientMetadata) { m.GrantTypes = []string{"client_credentials", "refresh_token"} }, "grant_types", "refresh_token"},
		{"no redirect URI", func(m *gatehouse.ClientMetadata) { m.RedirectURIs = nil }, "redirect_uris", "at least one"},
		{"redirect URI twice", func(m *gatehouse.ClientMetadata) {
			m.RedirectURIs = []string{"https://app.example/cb", "https://app.example/cb"}
		}, "redirect_uris[1]", "twice"},
		{"unknown method", func(m *gatehouse.ClientMetadata) { m.TokenEndpointAuthMethod = "client_secret_baisc" }, "token_endpoint_auth_method", "did you mean client_secret_basic?"},
		{"secret in clear", func(m *gatehouse.ClientMetadata) { m.TokenEndpointAuthMethod = "client_secret_jwt" }, "token_endpoint_auth_method", "docs/refused.md#client-secret-jwt"},
		{"unknown profile", func(m *gatehouse.ClientMetadata) { m.Profile = "oauth2" }, "profile", "oauth2.1"},
		{"profile not built", func(m *gatehouse.ClientMetadata) { m.Profile = "fapi2" }, "profile", "not built"},
		{"profile not built", func(m *gatehouse.ClientMetadata) { m.Profile = "mcp" }, "profile", "not built"},
		{"oidc for public", func(m *gatehouse.ClientMetadata) { public(m); m.Profile = "oidc" }, "profile", "PKCE"},
		{"skip_consent for public", func(m *gatehouse.ClientMetadata) { public(m); m.SkipConsent = true }, "skip_consent", "public"},
		{"introspection by public", func(m *gatehouse.ClientMetadata) { public(m); m.Introspects = []string{photoAPI().Identifier} }, "introspects", "secret"},
		{"feed for public", func(m *gatehouse.ClientMetadata) { public(m); m.RevocationFeed = true }, "revocation_feed", "secret"},
		{"DC-03 unknown scope", func(m *gatehouse.ClientMetadata) { m.Scope = "openid photos:raed" }, "scope", "did you mean photos:read?"},
		{"DC-03 admin scope", func(m *gatehouse.ClientMetadata) { m.Scope = "openid admin" }, "scope", `"admin"`},
		{"scope with quotes", func(m *gatehouse.ClientMetadata) { m.Scope = `open"id` }, "scope", "RFC 6749"},
		{"default resource", func(m *gatehouse.ClientMetadata) { m.DefaultResource = "https://api.example/photo" }, "default_resource", "did you mean"},
		{"introspects", func(m *gatehouse.ClientMetadata) { m.Introspects = []string{"https://other.example"} }, "introspects[0]", "no resource"},
		{"ID token algorithm", func(m *gatehouse.ClientMetadata) { m.IDTokenSignedResponseAlg = "HS256" }, "id_token_signed_response_alg", "RS256"},
		{"ID token algorithm none", func(m *gatehouse.ClientMetadata) { m.IDTokenSignedResponseAlg = "none" }, "id_token_signed_response_alg", "RS256"},
		{"max age", func(m *gatehouse.ClientMetadata) { age := -1; m.DefaultMaxAge = &age }, "default_max_age", "0 to"},
		{"name with direction marks", func(m *gatehouse.ClientMetadata) { m.ClientName = "evil\u202egnp" }, "client_name", "U+202E"},
		{"long name", func(m *gatehouse.ClientMetadata) { m.ClientName = strings.Repeat("x", MaxNameLength+1) }, "client_name", "longer"},
		{"origin with path", func(m *gatehouse.ClientMetadata) { m.FormActionOrigins = []string{"https://app.example/x"} }, "form_action_origins[0]", "origin"},
		{"origin of everything", func(m *gatehouse.ClientMetadata) { m.FormActionOrigins = []string{"*"} }, "form_action_origins[0]", "origin"},
		{"too many", func(m *gatehouse.ClientMetadata) {
			m.RedirectURIs = nil
			for i := range MaxRedirectURIs + 1 {
				m.RedirectURIs = append(m.RedirectURIs, fmt.Sprintf("https://app.example/%d", i))
			}
		}, "redirect_uris", "more than"},
		{"application type", func(m *gatehouse.ClientMetadata) { m.ApplicationType = "mobile" }, "application_type", "native"},
	}
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			metadata := web()
			row.change(&metadata)
			_, wrong := Register(metadata, around())
			if len(wrong) != 1 || wrong[0].Path != row.path || !strings.Contains(wrong[0].Error(), row.says) {
				t.Errorf("problems are %q, want one at %s that mentions %q", explain(wrong), row.path, row.says)
			}
		})
	}
	zero := 0
	full := web()
	full.Profile, full.Scope, full.DefaultResource, full.Introspects = "oidc", "openid photos:read", photoAPI().Identifier, []string{photoAPI().Identifier}
	full.GrantTypes = []string{"authorization_code", "refresh_token", "client_credentials"}
	full.SkipConsent, full.DefaultMaxAge, full.IDTokenSignedResponseAlg = true, &zero, "EdDSA"
	full.FormActionOrigins, full.ClientName = []string{"https://other.example"}, "Fotos für Änne"
	mustPass(t, full)
}

func TestProblemsAreToldAllAtOnce(t *testing.T) {
	metadata := web()
	metadata.GrantTypes = []string{"authorization_code", "implicit"}
	metadata.RedirectURIs = []string{"http://app.test/cb", "javascript:x"}
	metadata.Scope = "admin"
	if _, wrong := Register(metadata, around()); len(wrong) != 4 {
		t.Errorf("problems are\n%s\nwant four", explain(wrong))
	}
}

// DC-11: keys by value.
func TestKeySetsThatAreRefused(t *testing.T) {
	const x, y = `"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"`, `"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"` // RFC 7515 appendix A.3
	good := `{"kty":"EC","crv":"P-256","kid":"1","x":` + x + `,"y":` + y
	rows := []struct{ what, jwks string }{
		{"private", `{"keys":[` + good + `,"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}]}`},
		{"symmetric", `{"keys":[{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`},
		{"the same kid twice", `{"keys":[` + good + `},` + good + `}]}`},
		{"short RSA", `{"keys":[{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("f", 171) + `"}]}`},
		{"not a set", `{"kty":"EC"}`},
		{"no key", `{"keys":[]}`},
		{"no JSON", `{`},
		{"too large", `{"keys":[],"x":"` + strings.Repeat("x", MaxJWKSLength) + `"}`},
	}
	for _, row := range rows {
		metadata := web()
		metadata.JWKS = json.RawMessage(row.jwks)
		if _, wrong := Register(metadata, around()); len(wrong) != 1 || wrong[0].Path != "jwks" {
			t.Errorf("%s: problems are %q, want one at jwks", row.what, explain(wrong))
		}
	}
	metadata := web()
	metadata.JWKS = json.RawMessage(`{"keys":[` + good + `}]}`)
	mustPass(t, metadata)
}

// Every page that a refusal names is there.
func TestRefusedPageHasTheAnchors(t *testing.T) {
	page, err := os.ReadFile("../../docs/refused.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, anchor := range []string{"implicit", "password", "wildcards", "schemes", "http", "client-secret-jwt"} {
		if !strings.Contains(string(page), "\n## "+anchor+"\n") {
			t.Errorf("docs/refused.md has no section %s", anchor)
		}
	}
}

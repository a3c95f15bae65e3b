package resource_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/resource"
	"gatehouse/token"
)

func TestNewRefuses(t *testing.T) {
	spec.Covers(t, "JW-10")
	good := resource.Config{Issuer: "https://as.test", Audience: audience}
	for name, test := range map[string]struct {
		change func(*resource.Config)
		want   string
	}{
		"JW-10 no audience":     {func(c *resource.Config) { c.Audience = "" }, "Audience is missing"},
		"no issuer":             {func(c *resource.Config) { c.Issuer = "" }, "Issuer is missing"},
		"an issuer without URL": {func(c *resource.Config) { c.Issuer = "as.test" }, "Issuer"},
		"an issuer with query":  {func(c *resource.Config) { c.Issuer += "?a=b" }, "Issuer"},
		"plain http":            {func(c *resource.Config) { c.Issuer = "http://as.test" }, "InsecureAllowHTTP"},
		"plain http for keys":   {func(c *resource.Config) { c.JWKSURI = "http://as.test/jwks" }, "JWKSURI"},
		"a large skew":          {func(c *resource.Config) { c.Skew = token.MaxSkew + 1 }, "Skew"},
		"no algorithm":          {func(c *resource.Config) { c.Algorithms = []jose.Algorithm{} }, "Algorithms"},
		"a secret is missing":   {func(c *resource.Config) { c.Feed, c.ClientID = true, "rs" }, "ClientSecret"},
		"no client":             {func(c *resource.Config) { c.Opaque = true }, "ClientID"},
		"optional what is not":  {func(c *resource.Config) { c.InsecureFeedOptional = true }, "InsecureFeedOptional"},
		"issuers twice":         {func(c *resource.Config) { c.Issuers = []resource.Issuer{{Identifier: "https://as2.test"}} }, "both"},
		"one issuer twice":      {func(c *resource.Config) { several(c, resource.Issuer{}, resource.Issuer{}) }, "twice"},
		"an issuer without id": {func(c *resource.Config) {
			several(c, resource.Issuer{Identifier: "https://as.test"})
			c.Issuers[0].Identifier = ""
		}, "Issuer is missing"},
		"two that are opaque": {func(c *resource.Config) { several(c, opaqueAt("https://as.test"), opaqueAt("https://as2.test")) }, "two issuers"},
		"many issuers":        {func(c *resource.Config) { several(c, make([]resource.Issuer, 65)...) }, "more than 64"},
		"plain introspection": {func(c *resource.Config) { several(c, resource.Issuer{IntrospectionURI: "http://as.test/x"}) }, "IntrospectionURI"},
		"plain feed":          {func(c *resource.Config) { several(c, resource.Issuer{FeedURI: "http://as.test/x"}) }, "FeedURI"},
		"metadata of no URL":  {func(c *resource.Config) { c.Audience, c.Metadata = "urn:api", &resource.Metadata{} }, "Metadata needs an Audience"},
		"metadata over http":  {func(c *resource.Config) { c.Audience, c.Metadata = "http://rs.test", &resource.Metadata{} }, "Metadata needs an Audience"},
		"negative cache":      {func(c *resource.Config) { c.MaxCached = -1 }, "MaxCached"},
		"negative age":        {func(c *resource.Config) { c.MaxTokenAge = -1 }, "MaxAge"},
		"algorithm none":      {func(c *resource.Config) { c.Algorithms = []jose.Algorithm{"none"} }, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			test.change(&config)
			if _, err := resource.New(t.Context(), config); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %s", err, test.want)
			}
		})
	}
	for _, issuer := range []string{"https://as.test", "https://as.test/tenant", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080"} {
		if _, err := resource.New(t.Context(), resource.Config{Issuer: issuer, Audience: audience}); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
	if _, err := resource.New(t.Context(), resource.Config{Issuer: "http://as.test", Audience: audience, InsecureAllowHTTP: true}); err != nil {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := resource.New(cancelled, good); err == nil {
		t.Error("New with a context that is over succeeds")
	}
}

func TestDiscovery(t *testing.T) {
	for name, test := range map[string]struct {
		path     string // of the issuer
		metadata func(url string) map[string]string
		want     int
	}{
		"OpenID Connect place": {"", func(url string) map[string]string {
			return map[string]string{"/.well-known/openid-configuration": `{"issuer":"` + url + `","jwks_uri":"` + url + `/jwks"}`}
		}, http.StatusOK},
		"path, RFC 8414": {"/t1", func(url string) map[string]string {
			return map[string]string{"/.well-known/oauth-authorization-server/t1": `{"issuer":"` + url + `/t1","jwks_uri":"` + url + `/jwks"}`}
		}, http.StatusOK},
		"path, OpenID Connect": {"/t1/", func(url string) map[string]string {
			return map[string]string{"/t1/.well-known/openid-configuration": `{"issuer":"` + url + `/t1/","jwks_uri":"` + url + `/jwks"}`}
		}, http.StatusOK},
		"issuer of another": {"", func(url string) map[string]string {
			return map[string]string{"/.well-known/oauth-authorization-server": `{"issuer":"https://as2.test","jwks_uri":"` + url + `/jwks"}`}
		}, http.StatusServiceUnavailable},
		"issuer with a slash": {"", func(url string) map[string]string {
			return map[string]string{"/.well-known/oauth-authorization-server": `{"issuer":"` + url + `/","jwks_uri":"` + url + `/jwks"}`}
		}, http.StatusServiceUnavailable},
		"no jwks_uri": {"", func(url string) map[string]string {
			return map[string]string{"/.well-known/oauth-authorization-server": `{"issuer":"` + url + `"}`}
		}, http.StatusServiceUnavailable},
		"jwks_uri over plain http": {"", func(url string) map[string]string {
			return map[string]string{"/.well-known/oauth-authorization-server": `{"issuer":"` + url + `","jwks_uri":"http://as.test/jwks"}`}
		}, http.StatusServiceUnavailable},
		"repeated member": {"", func(url string) map[string]string {
			return map[string]string{"/.well-known/oauth-authorization-server": `{"issuer":"` + url + `","jwks_uri":"` + url + `/jwks","JWKS_URI":"x"}`}
		}, http.StatusServiceUnavailable},
		"a page at the RFC 8414 place": {"", func(url string) map[string]string {
			return map[string]string{
				"/.well-known/oauth-authorization-server": "<!doctype html><title>An application</title>",
				"/.well-known/openid-configuration":       `{"issuer":"` + url + `","jwks_uri":"` + url + `/jwks"}`,
			}
		}, http.StatusOK},
		"no metadata": {"", func(string) map[string]string { return nil }, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			i.metadata = test.metadata(i.URL)
			rs := i.server(t, resource.Config{Issuer: i.URL + test.path})
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", "Bearer "+i.token(t, claims{"iss": i.URL + test.path}))
			w := httptest.NewRecorder()
			rs.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("answer %d %s, want %d", w.Code, w.Body, test.want)
			}
		})
	}
}

func TestConfiguredKeys(t *testing.T) {
	i := newIssuer(t)
	i.metadata = nil
	rs := i.server(t, resource.Config{JWKSURI: i.URL + "/jwks", Skew: 30 * time.Second, Algorithms: []jose.Algorithm{jose.ES256}})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+i.token(t, claims{"exp": time.Now().Add(-20 * time.Second).Unix()}))
	w := httptest.NewRecorder()
	rs.Require()(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
	if w.Code != http.StatusNoContent || i.requests.Load() != 1 {
		t.Errorf("answer %d %s, %d requests", w.Code, w.Body, i.requests.Load())
	}
}

// several has the issuers in place of the one; without an identifier they are https://as.test.
func several(c *resource.Config, issuers ...resource.Issuer) {
	c.Issuer = ""
	for i := range issuers {
		if issuers[i].Identifier == "" {
			issuers[i].Identifier = "https://as.test"
		}
	}
	c.Issuers = issuers
}

func opaqueAt(issuer string) resource.Issuer {
	return resource.Issuer{Identifier: issuer, ClientID: "rs", ClientSecret: "secret", Opaque: true}
}

package bff_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/kv"
)

func goodConfig() bff.Config {
	metadata := &client.Metadata{AuthorizationEndpoint: "https://id.example/authorize", TokenEndpoint: "https://id.example/token", JWKSURI: "https://id.example/jwks"}
	return bff.Config{
		URL: origin, Logger: slog.New(slog.DiscardHandler),
		Issuers:   []bff.Issuer{{Issuer: "https://id.example", Client: client.Config{ClientID: "app", Metadata: metadata}}},
		Upstreams: []bff.Upstream{{Path: "/api", URL: "https://api.example", Routes: []bff.Route{{Path: "/x", Methods: []string{"GET"}}}}},
	}
}

func TestConfigurations(t *testing.T) {
	for about, test := range map[string]struct {
		change func(*bff.Config)
		says   string
	}{
		"no URL":               {func(c *bff.Config) { c.URL = "" }, "the URL is missing"},
		"a path":               {func(c *bff.Config) { c.URL = origin + "/" }, "is not an origin"},
		"large letters":        {func(c *bff.Config) { c.URL = "https://App.example" }, "small letters"},
		"the default port":     {func(c *bff.Config) { c.URL = origin + ":443" }, "leave it out"},
		"plain http":           {func(c *bff.Config) { c.URL = "http://app.example" }, "use https"},
		"no issuer":            {func(c *bff.Config) { c.Issuers = nil }, "issuers"},
		"two without a name":   {func(c *bff.Config) { c.Issuers = append(c.Issuers, c.Issuers[0]) }, "called"},
		"a name":               {func(c *bff.Config) { c.Issuers[0].Name = "A" }, "small letters"},
		"a prompt":             {func(c *bff.Config) { c.Issuers[0].Prompt = "none" }, "the prompt"},
		"no client":            {func(c *bff.Config) { c.Issuers[0].Client.ClientID = "" }, "ClientID"},
		"an issuer on http":    {func(c *bff.Config) { c.Issuers[0].Issuer = "http://id.example" }, "does not use https"},
		"no keys":              {func(c *bff.Config) { c.Store = kv.NewMemory(kv.MemoryConfig{}) }, "keys are missing"},
		"an API on http":       {func(c *bff.Config) { c.Upstreams[0].URL = "http://api.example" }, "plain http"},
		"an API with a query":  {func(c *bff.Config) { c.Upstreams[0].URL += "?x" }, "without a query"},
		"an API with a person": {func(c *bff.Config) { c.Upstreams[0].URL = "https://a:b@api.example" }, "without a query"},
		"no routes":            {func(c *bff.Config) { c.Upstreams[0].Routes = nil }, "routes"},
		"no methods":           {func(c *bff.Config) { c.Upstreams[0].Routes[0].Methods = nil }, "names no method"},
		"a strange method":     {func(c *bff.Config) { c.Upstreams[0].Routes[0].Methods = []string{"get"} }, "no method"},
		"TRACE":                {func(c *bff.Config) { c.Upstreams[0].Routes[0].Methods = []string{"TRACE"} }, "no method"},
		"a strange path":       {func(c *bff.Config) { c.Upstreams[0].Routes[0].Path = "/a/*" }, "inside a segment"},
		"a stream without GET": {func(c *bff.Config) {
			c.Upstreams[0].Routes[0] = bff.Route{Path: "/x", Methods: []string{"POST"}, Stream: true}
		}, "has no GET"},
		"in the way":            {func(c *bff.Config) { c.Upstreams[0].Path = "/bff" }, "in the way"},
		"twice":                 {func(c *bff.Config) { c.Upstreams = append(c.Upstreams, c.Upstreams[0]) }, "two upstreams"},
		"endpoints on one path": {func(c *bff.Config) { c.Paths.Login = "/bff/user" }, "same path"},
		"an endpoint's path":    {func(c *bff.Config) { c.Paths.Login = "/bff/{x}" }, "no plain path"},
		"a header of everybody": {func(c *bff.Config) { c.CSRFHeader = "Accept" }, "proves nothing"},
		"a header's name":       {func(c *bff.Config) { c.CSRFHeader = "X CSRF" }, "letters"},
		"a cookie's name":       {func(c *bff.Config) { c.CookieName = "a b" }, "letters and digits"},
		"an identity header":    {func(c *bff.Config) { c.IdentityHeaders = []string{"Cookie"} }, "cannot be kept"},
		"too many sessions":     {func(c *bff.Config) { c.MaxSessions = 1000 }, "sessions"},
	} {
		c := goodConfig()
		test.change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", about, err)
		}
		if b, err := bff.New(t.Context(), c); err == nil {
			_ = b.Close()
			t.Errorf("%s: New takes it", about)
		}
	}
	b, err := bff.New(t.Context(), goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	if routes := strings.Join(b.Routes(), " "); routes != "/api/x /bff/backchannel-logout /bff/bff.js /bff/callback /bff/logged-out /bff/login /bff/logout /bff/user" {
		t.Errorf("routes %s", routes)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// No cookie but one that we made is a session, whatever it looks like.
func FuzzSessionHandle(f *testing.F) {
	b, err := bff.New(context.Background(), goodConfig())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = b.Close() })
	f.Add("__Host-Http-bff=", "/api/x")
	f.Add("__Host-Http-bff=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; __Host-Http-bff-tx-1=x", "/bff/user")
	f.Add("bff=\x00; =; ;;__Host-Http-bff=\"a b\"", "/bff/callback?state=x&code=y")
	f.Fuzz(func(t *testing.T, cookie, target string) {
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, "/", nil)
			if at, err := r.URL.Parse(target); err == nil {
				r.URL, r.RequestURI = at, target
			}
			r.Header = ours.Clone()
			r.Header["Cookie"] = []string{cookie}
			w := httptest.NewRecorder()
			b.ServeHTTP(w, r)
			signedOut := method == "POST" && r.URL.Path == "/bff/logout"
			begun := r.URL.Path == "/bff/login" && w.Code == http.StatusSeeOther
			if w.Code < 400 && !signedOut && !begun && r.URL.Path != "/bff/bff.js" {
				t.Errorf("%s %q with %q: %d %s", method, target, cookie, w.Code, w.Body)
			}
			if w.Code >= 500 {
				t.Errorf("%s %q with %q: %d %s", method, target, cookie, w.Code, w.Body)
			}
		}
	})
}

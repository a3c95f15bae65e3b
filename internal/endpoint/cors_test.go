package endpoint

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestCORS(t *testing.T) {
	public, known, none := row("public", "/public", http.MethodGet), row("known", "/known", http.MethodPost), row("none", "/none", http.MethodGet)
	public.CORS, known.CORS = AnyOrigin, KnownOrigin
	b := newBench(t, public, known, none)
	for _, c := range []struct {
		method, path, origin string
		status               int
		allowed              string
	}{
		{http.MethodGet, "/public", "https://anyone.example", 200, "*"},
		{http.MethodGet, "/public", "", 200, "*"},
		{http.MethodOptions, "/public", "https://anyone.example", 204, "*"},
		{http.MethodPost, "/known", "https://app.example", 200, "https://app.example"},
		{http.MethodPost, "/known", "https://evil.example", 200, ""},
		{http.MethodPost, "/known", "null", 200, ""},
		{http.MethodPost, "/known", "", 200, ""},
		{http.MethodOptions, "/known", "https://app.example", 204, "https://app.example"},
		{http.MethodOptions, "/known", "https://evil.example", 204, ""},
		{http.MethodGet, "/none", "https://app.example", 200, ""},
		{http.MethodOptions, "/none", "https://app.example", 405, ""},
	} {
		var headers []string
		if c.origin != "" {
			headers = []string{"Origin", c.origin}
		}
		w := b.ask(c.method, c.path, headers...)
		header := w.Header()
		if w.Code != c.status || header.Get("Access-Control-Allow-Origin") != c.allowed {
			t.Errorf("%+v: %d, allowed %q", c, w.Code, header.Get("Access-Control-Allow-Origin"))
		}
		if header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%+v: credentials are allowed", c)
		}
		if c.path == "/known" && header.Get("Vary") != "Origin" {
			t.Errorf("%+v: a cache may mix up origins", c)
		}
		preflight := c.method == http.MethodOptions && c.allowed != ""
		if got := header.Get("Access-Control-Allow-Headers"); preflight != (got != "") {
			t.Errorf("%+v: headers %q", c, got)
		}
	}
	wanted := []string{"authorization", "dpop", "content-type", "mcp-protocol-version"}
	allowed := strings.ToLower(b.ask(http.MethodOptions, "/public").Header().Get("Access-Control-Allow-Headers"))
	for _, name := range wanted {
		if !strings.Contains(allowed, name) {
			t.Errorf("the preflight does not allow %s", name)
		}
	}
	b.origins.err = errors.New("the database is away")
	if w := b.ask(http.MethodPost, "/known", "Origin", "https://app.example"); w.Code != http.StatusInternalServerError || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

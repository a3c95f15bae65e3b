package endpoint

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzPaths: whatever is in the request line, a row is served for exactly the
// path that it is registered for, and nothing answers with a redirect.
func FuzzPaths(f *testing.F) {
	for _, seed := range []string{"/token", "//token", "/token/", "/%74oken", "/./token", "/x/../token", "/token?x=1", "/t/blue/token", "/t/blue//token", "/assets/a.css", "/assets/../token", "http://evil.test/token", "/token;x", "/tok\\en", "*"} {
		f.Add(http.MethodGet, seed)
		f.Add(http.MethodPost, seed)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		address, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		served := ""
		row := func(path string) Row {
			return Row{
				Name: path, Path: path, Methods: []string{http.MethodGet, http.MethodPost}, CORS: KnownOrigin, Errors: JSONErrors,
				Serve: func(http.ResponseWriter, *Request) error { served = path; return nil },
			}
		}
		b := newBench(t, row("/token"), row("/.well-known/openid-configuration"), row("/assets/"))
		w := httptest.NewRecorder()
		b.ServeHTTP(w, &http.Request{Method: method, URL: address, Header: http.Header{}, Body: http.NoBody, RequestURI: target, RemoteAddr: "192.0.2.1:1"})
		if w.Header().Get("Location") != "" || w.Code >= 300 && w.Code < 400 || w.Code >= 500 {
			t.Errorf("%s %q: %d, to %q", method, target, w.Code, w.Header().Get("Location"))
		}
		if served == "" {
			return
		}
		path := strings.TrimPrefix(address.EscapedPath(), "/t/blue")
		if path != served && (served != "/assets/" || !strings.HasPrefix(path, served)) {
			t.Errorf("%s %q served %s", method, target, served)
		}
	})
}

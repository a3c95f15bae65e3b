package dev

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

var somewhere = urls{issuer: "http://127.0.0.1:8080", playground: "http://127.0.0.1:8081", api: "http://127.0.0.1:8082", bff: "http://127.0.0.1:8083", gateway: "http://127.0.0.1:8084", apiIdentifier: "http://127.0.0.1:8082"}

func playgroundOf(t *testing.T) http.Handler {
	t.Helper()
	page, err := newPlayground(somewhere, []User{{Username: "alice", Password: "white-rabbit", Sub: "demo-alice"}}, service{})
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func get(t *testing.T, handler http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	return getAt(handler, "127.0.0.1:8081", path)
}

func getAt(handler http.Handler, host, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestPagesByAnotherName(t *testing.T) {
	playground, app := playgroundOf(t), appHandler(os.DirFS("app"), somewhere)
	for _, host := range []string{"localhost:8081", "rebound.example:8081"} {
		w := getAt(playground, host, "/callback?code=x")
		if w.Code != http.StatusTemporaryRedirect || w.Header().Get("Location") != "http://127.0.0.1:8081/callback?code=x" {
			t.Errorf("%s: %d %s", host, w.Code, w.Header().Get("Location"))
		}
		w = getAt(app, host, "/?x=1")
		if w.Code != http.StatusTemporaryRedirect || w.Header().Get("Location") != "http://127.0.0.1:8083/?x=1" {
			t.Errorf("%s: %d %s", host, w.Code, w.Header().Get("Location"))
		}
	}
	if w := getAt(app, "127.0.0.1:8083", "/"); w.Code != http.StatusOK {
		t.Errorf("by its own name: %d", w.Code)
	}
}

func TestPlaygroundServesItsPage(t *testing.T) {
	handler := playgroundOf(t)
	for path, kind := range map[string]string{
		"/": "text/html", "/callback?code=x&state=y": "text/html", "/style.css": "text/css", "/mark.svg": "image/svg+xml",
		"/page.js": "text/javascript", "/oauth.js": "text/javascript", "/view.js": "text/javascript", "/exchange.js": "text/javascript", "/service": "text/html", "/service.js": "text/javascript", "/tokens.js": "text/javascript", "/watch.js": "text/javascript", "/chain.js": "text/javascript", "/config.json": "application/json",
	} {
		w := get(t, handler, path)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'; script-src 'self'; style-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		if !strings.Contains(policy, "connect-src 'self' http://127.0.0.1:8080 http://127.0.0.1:8082 http://127.0.0.1:8084;") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		if w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: the code in the URL goes on as a referrer", path)
		}
	}
	for _, path := range []string{"/nothing", "/page", "/callback/", "/../dev.go"} {
		if w := get(t, handler, path); w.Code == http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w, post := httptest.NewRecorder(), httptest.NewRequest("POST", "/callback", nil)
	post.Host = "127.0.0.1:8081"
	if handler.ServeHTTP(w, post); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestPlaygroundConfig(t *testing.T) {
	var config playgroundConfig
	if err := json.Unmarshal(get(t, playgroundOf(t), "/config.json").Body.Bytes(), &config); err != nil {
		t.Fatal(err)
	}
	if config.Issuer != somewhere.issuer || config.API != somewhere.api || config.RedirectURI != "http://127.0.0.1:8081/callback" || config.ClientID != clientPlayground {
		t.Errorf("%+v", config)
	}
}

// TestPageIDs holds pages and their scripts together: each id that a script looks
// up, or the page's comment promises, is there once.
func TestPageIDs(t *testing.T) {
	playground, app := playgroundOf(t), appHandler(os.DirFS("app"), somewhere)
	for _, test := range []struct {
		handler       http.Handler
		host          string
		path, scripts string
		ids           int // at least
	}{
		{playground, "127.0.0.1:8081", "/", "/page.js /view.js /exchange.js", 30},
		{playground, "127.0.0.1:8081", "/service", "/service.js /view.js /exchange.js", 10},
		{app, "127.0.0.1:8083", "/", "/app.js", 10},
	} {
		page := getAt(test.handler, test.host, test.path).Body.String()
		comment, body, found := strings.Cut(page, "-->")
		if !found {
			t.Fatalf("%s has no comment about its ids", test.path)
		}
		script := ""
		for name := range strings.FieldsSeq(test.scripts) {
			script += getAt(test.handler, test.host, name).Body.String()
		}
		wanted := regexp.MustCompile(`\b(?:pg|sv|app)-[a-z]+(?:-[a-z]+)*\b`).FindAllString(comment, -1)
		for _, match := range regexp.MustCompile(`(?:\$\(|\s)'((?:pg|sv|app)-[a-z-]+[a-z])'`).FindAllStringSubmatch(script, -1) {
			wanted = append(wanted, match[1])
		}
		if len(wanted) < test.ids {
			t.Fatalf("%s: only %d ids were found", test.path, len(wanted))
		}
		for _, id := range wanted {
			if id == "pg-scope" { // made by the script, one for each scope
				continue
			}
			if n := strings.Count(body, `id="`+id+`"`); n != 1 {
				t.Errorf("%s: id %s is there %d times", test.path, id, n)
			}
		}
		if strings.Contains(body, "style=") || strings.Contains(body, " onclick") || strings.Contains(body, "https://") {
			t.Errorf("%s has something that its policy forbids", test.path)
		}
	}
}

func TestPlaygroundShowsOnlyWellKnownPasswords(t *testing.T) {
	known := wellKnown([]User{
		{Username: "alice", Password: "white-rabbit"},
		{Username: "bob", Password: "a password of the developer's own"},
		{Username: "carol", Password: "white-rabbit"},
	})
	if len(known) != 1 || known[0].Username != "alice" {
		t.Errorf("%+v", known)
	}
}

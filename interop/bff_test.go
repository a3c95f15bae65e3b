package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/bff"
	"gatehouse/client"
)

// sampleApp is the application of examples/bff.
const sampleApp = "../examples/bff/app"

// TestBFF puts our backend for frontend in front of an API and behind a provider that
// nobody here wrote: once for a person without a browser, and once for Chromium with
// the sample application.
func TestBFF(t *testing.T) {
	f := startForeign(t)
	b := f.openBFF(t)
	t.Run("a-session-from-login-to-logout", b.session)
	t.Run("a-logout-at-the-provider", b.logoutAtProvider)
	t.Run("chromium", b.chromium)
}

// backend is a BFF, and what its API saw.
type backend struct {
	*foreign
	origin string

	mu     sync.Mutex
	tokens []string
}

func (f *foreign) openBFF(t *testing.T) *backend {
	t.Helper()
	b := &backend{foreign: f, origin: f.originOf("bff")}
	api := httptest.NewServer(http.HandlerFunc(b.serveAPI))
	made, err := bff.New(t.Context(), bff.Config{
		URL: b.origin, Files: http.FileServer(http.Dir(sampleApp)), Logger: slog.New(slog.DiscardHandler), StreamCheck: 100 * time.Millisecond, UserClaims: []string{"sub", "email"},
		Issuers: []bff.Issuer{{Issuer: f.issuer, Prompt: "consent", Client: client.Config{
			ClientID: "bff", ClientSecret: client.NewSecret(awkwardSecret), Scope: "openid offline_access email", UserInfo: true,
		}}},
		Upstreams: []bff.Upstream{{Path: "/api", URL: api.URL, Routes: []bff.Route{
			{Path: "/photos", Methods: []string{"GET"}}, {Path: "/events", Methods: []string{"GET"}, Stream: true},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.Close(); err != nil {
			t.Error(err)
		}
		api.Close()
	})
	mux := http.NewServeMux()
	mux.Handle("/", made)
	f.origins["bff"].serves.Store(mux)
	return b
}

func (b *backend) serveAPI(w http.ResponseWriter, r *http.Request) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer || strings.Contains(r.Header.Get("Cookie"), "bff") { // other programs of this machine have cookies, too
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	b.mu.Lock()
	b.tokens = append(b.tokens, token)
	b.mu.Unlock()
	if r.URL.Path == "/events" {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: The API says hello.\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"photos":[{"title":"A lake"},{"title":"A hill"}]}`)
}

func (b *backend) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.tokens...)
}

// call is a script's request.
func (b *backend) call(t *testing.T, w *walker, method, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.origin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-CSRF", "1")
	response, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func (b *backend) signIn(t *testing.T) *walker {
	t.Helper()
	w := newWalker(t)
	w.fill = fillForeign
	for until := time.Now().Add(stopsWithin); ; time.Sleep(100 * time.Millisecond) {
		end := w.walk(t, b.origin+"/bff/login?return_to=/", "", alice)
		if end.status == http.StatusOK && strings.Contains(end.body, "Signed in") {
			return w
		}
		// The provider's word about a logout of the same second is for this login, too.
		if end.status != http.StatusUnauthorized || time.Now().After(until) {
			t.Fatalf("stopped at %s with %d: %.300s", end.address, end.status, end.body)
		}
	}
}

func (b *backend) session(t *testing.T) {
	w := b.signIn(t)
	if status, text := b.call(t, w, "GET", "/bff/user"); status != http.StatusOK || !strings.Contains(text, `"email":"alice@example.com"`) {
		t.Errorf("%d %s", status, text)
	}
	if status, text := b.call(t, w, "GET", "/api/photos"); status != http.StatusOK || !strings.Contains(text, "A lake") {
		t.Errorf("%d %s", status, text)
	}
	first := b.seen()[0]
	time.Sleep(accessTokenLife * time.Second) // the provider's clock is its own
	if status, text := b.call(t, w, "GET", "/api/photos"); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	if all := b.seen(); all[len(all)-1] == first {
		t.Error("the token was not renewed")
	}
	status, text := b.call(t, w, "POST", "/bff/logout")
	var next struct {
		LogoutURL string `json:"logout_url"`
	}
	if err := json.Unmarshal([]byte(text), &next); err != nil || status != http.StatusOK || !strings.HasPrefix(next.LogoutURL, b.issuer) {
		t.Fatalf("%d %s", status, text)
	}
	if end := w.walk(t, next.LogoutURL, "", alice); end.status != http.StatusOK || !strings.HasPrefix(end.address.String(), b.origin) || end.address.Path != "/" {
		t.Errorf("the logout ends at %s with %d: %.300s", end.address, end.status, end.body)
	}
	if status, _ := b.call(t, w, "GET", "/api/photos"); status != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", status)
	}
}

// The provider's own word ends the session here.
func (b *backend) logoutAtProvider(t *testing.T) {
	w := b.signIn(t)
	if end := w.walk(t, b.issuer+"/session/end?"+url.Values{"client_id": {"bff"}}.Encode(), "", alice); end.status != http.StatusOK {
		t.Fatalf("stopped at %s with %d: %.300s", end.address, end.status, end.body)
	}
	for until := time.Now().Add(stopsWithin); ; time.Sleep(10 * time.Millisecond) {
		status, _ := b.call(t, w, "GET", "/bff/user")
		if status == http.StatusUnauthorized {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the session goes on: %d", status)
		}
	}
}

func (b *backend) chromium(t *testing.T) {
	told, err := json.Marshal(map[string]any{"app": b.origin, "chromium": chromiumPath(t), "screenshots": os.Getenv("GATEHOUSE_SCREENSHOTS")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), nodeWithin)
	defer cancel()
	command := exec.CommandContext(ctx, nodePath(t), "bff.mjs")
	command.Dir = "node"
	command.Env = append(os.Environ(), "GATEHOUSE_INTEROP="+string(told))
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopsWithin
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Errorf("node bff.mjs: %v\n%s", err, stderr.String())
	}
	assertChecks(t, strings.Split(strings.TrimSpace(stdout.String()), "\n"), []string{
		"signed-out-at-first", "sign-in-and-back", "no-token-in-the-browser", "an-api-call", "a-stream", "other-origins-are-refused", "sign-out-ends-the-stream",
	})
	for _, token := range b.seen() {
		if strings.Contains(stdout.String()+stderr.String(), token) {
			t.Error("the browser saw a token")
		}
	}
	if len(b.seen()) == 0 {
		t.Error("the API was never called")
	}
}

package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
)

// collector takes traces and keeps what was sent, as it came.
func collector(t *testing.T) (address string, sent func() string) {
	t.Helper()
	var mu sync.Mutex
	var all strings.Builder
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		all.WriteString(r.URL.Path + "\n" + string(body))
	}))
	t.Cleanup(server.Close)
	return server.URL, func() string {
		mu.Lock()
		defer mu.Unlock()
		return all.String()
	}
}

func TestTracesReachTheCollectorWithoutSecrets(t *testing.T) {
	address, sent := collector(t)
	var log record
	s := open(t, Config{PublicURL: "http://127.0.0.1:8080", Data: t.TempDir(), Tracing: Tracing{Endpoint: address}}, log.logger())
	makeTenant(t, s, "blue", "")
	putClient(t, s.store, "native", "http://127.0.0.1/cb")
	post := func(path string, form url.Values) {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080"+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", "gh-session-default-8080=the-cookie")
		s.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	post("/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"native"}, "code": {"the-code"}, "redirect_uri": {"http://127.0.0.1/cb"}, "code_verifier": {strings.Repeat("the-verifier", 5)}})
	post("/t/blue/token", url.Values{"client_id": {"nobody"}, "client_secret": {"the-secret"}, "refresh_token": {"the-refresh-token"}})
	post("/login", url.Values{"username": {"the-username"}, "password": {"the-password"}})
	get(s, "127.0.0.1:8080", "/authorize?client_id=nobody&state=the-query")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	told := sent()
	for _, want := range []string{"/v1/traces\n", "gatehouse", "token", "database: reading a client", string(gatehouse.DefaultTenant), "blue", "native", "gatehouse.rule", "code-invalid"} {
		if !strings.Contains(told, want) {
			t.Errorf("the collector was not told of %q", want)
		}
	}
	for _, secret := range []string{"the-query", "the-cookie", "the-code", "the-verifier", "the-secret", "the-refresh-token", "the-password", "the-username"} {
		if strings.Contains(told, secret) {
			t.Errorf("the collector was told %q", secret)
		}
	}
	if !strings.Contains(log.String(), "trace_id=") {
		t.Errorf("no line names its trace: %s", log.String())
	}
}

func TestACollectorThatHangsDelaysNobody(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hanging.Close()
	defer close(release)
	s := open(t, Config{PublicURL: "http://127.0.0.1:8080", Data: t.TempDir(), Tracing: Tracing{Endpoint: hanging.URL}}, quiet())
	for range 6000 { // more than wait for the collector
		if status, _, _ := get(s, "127.0.0.1:8080", "/jwks"); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Errorf("the collector keeps the server from ending well: %v", err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("stopping waited for the collector: %v", took)
	}
}

func TestTracingIsChecked(t *testing.T) {
	base := Config{PublicURL: "http://127.0.0.1:8080", Data: "x"}
	share := func(of float64) *float64 { return &of }
	for _, c := range []struct {
		wrong string
		Tracing
	}{
		{"tracing needs an endpoint", Tracing{Sample: share(0.5)}},
		{"tracing.endpoint must", Tracing{Endpoint: "collector:4317"}},
		{"tracing.sample must", Tracing{Endpoint: "http://127.0.0.1:4318", Sample: share(1.5)}},
		{"tracing.sample must", Tracing{Endpoint: "http://127.0.0.1:4318", Sample: share(0)}},
	} {
		base.Tracing = c.Tracing
		if err := base.Check(); err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%+v: %v", c.Tracing, err)
		}
	}
	base.Tracing = Tracing{Endpoint: "https://collector.example", Sample: share(0.1), TrustIncoming: true}
	if err := base.Check(); err != nil {
		t.Error(err)
	}
}

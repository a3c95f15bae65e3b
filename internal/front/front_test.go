package front_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/front"
	"gatehouse/internal/proxy/proxytest"
	"gatehouse/internal/redistest"
)

// discovery is an issuer as far as a start asks for one.
func discovery(t *testing.T) string {
	t.Helper()
	var issuer *httptest.Server
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/openid-configuration" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer.URL, "authorization_endpoint": issuer.URL + "/a", "token_endpoint": issuer.URL + "/t", "jwks_uri": issuer.URL + "/j"})
	}))
	t.Cleanup(issuer.Close)
	return issuer.URL
}

// place writes files into a directory of the test's, and returns the path of bff.yaml.
func place(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, text := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(directory, "bff.yaml")
}

const key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"

func yaml(issuer, more string) string {
	return `
url: https://app.example
issuers:
  - issuer: ` + issuer + `
    client_id: app
    client_secret_file: secret
upstreams:
  - path: /api
    url: http://127.0.0.1:1
    routes: [{path: /x, methods: [GET]}]
files: {directory: dist}
` + more
}

var application = map[string]string{
	"secret": "a secret that is long enough\n", "key": key, "dist/index.html": "<title>app</title>", "dist/app.js": "1", "dist/.env": "SECRET=1",
	"dist/.well-known/x": "known", "outside": "SECRET=2",
}

func with(more ...map[string]string) map[string]string {
	all := maps.Clone(application)
	for _, one := range more {
		maps.Copy(all, one)
	}
	return all
}

// start serves a configuration and returns its address and how to stop it.
func start(t *testing.T, path string, log *proxytest.Log) (address string, stop func()) {
	t.Helper()
	config, err := front.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Check(); err != nil {
		t.Fatal(err)
	}
	running, err := front.Open(t.Context(), config, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	listener, address := proxytest.Listen(t)
	_, ended := proxytest.Run(t, func(ctx context.Context) error { return running.Serve(ctx, listener) })
	return address, func() {
		if err := ended(); err != nil {
			t.Error(err)
		}
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	}
}

func get(t *testing.T, address string, headers ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest("GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, body.String()
}

// Each store serves: the application, its own endpoints, and health.
func TestStores(t *testing.T) {
	t.Run("memory", func(t *testing.T) { serves(t, "") })
	t.Run("database", func(t *testing.T) { serves(t, "sessions: {store: database, database: sessions.db, key_file: key}") })
	t.Run("redis", func(t *testing.T) {
		serves(t, "sessions: {store: redis, key_file: key}\nredis: {addresses: ['"+redistest.Start(t).Addr()+"']}")
	})
}

func serves(t *testing.T, more string) {
	var log proxytest.Log
	address, stop := start(t, place(t, with(map[string]string{"bff.yaml": yaml(discovery(t), more+"\nlog: {access: true}\n")})), &log)
	for path, want := range map[string]string{
		"/": "<title>", "/photos/7": "<title>", "/app.js": "1", "/.well-known/x": "known", "/bff/bff.js": "export", "/bff/livez": "live", "/bff/readyz": "ready",
	} {
		status, header, text := get(t, address+path, "Accept", "text/html")
		if status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", path, status, text)
		}
		if !strings.HasPrefix(path, "/bff/") && (!strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || header.Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%s: %v", path, header)
		}
	}
	for path, status := range map[string]int{"/app.css": 404, "/.env": 404, "/dist": 404, "/%2e%2e/outside": 400, "/../outside": 400, "/api/x": 403, "/api/y": 404} {
		if got, _, text := get(t, address+path); got != status || strings.Contains(text, "SECRET") {
			t.Errorf("%s: %d %s", path, got, text)
		}
	}
	if status, _, text := get(t, address+"/api/x", "X-CSRF", "1"); status != http.StatusUnauthorized || !strings.Contains(text, "login_url") {
		t.Errorf("%d %s", status, text)
	}
	if status, _, _ := get(t, address+"/", "X-Long", strings.Repeat("x", 64<<10)); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a long header: %d", status)
	}
	status, header, _ := get(t, address+"/bff/login?secret=1")
	if status != http.StatusSeeOther || !strings.Contains(header.Get("Location"), "redirect_uri=https%3A%2F%2Fapp.example%2Fbff%2Fcallback") {
		t.Errorf("%d %v", status, header)
	}
	stop()
	if !strings.Contains(log.String(), `"path":"/bff/login","status":303`) || strings.Contains(log.String(), "secret=1") {
		t.Errorf("the log is\n%s", log.String())
	}
}

func TestMetricsHaveAListenerOfTheirOwn(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := probe.Addr().String()
	_ = probe.Close()
	var log proxytest.Log
	address, stop := start(t, place(t, with(map[string]string{"bff.yaml": yaml(discovery(t), "metrics: {listen: '"+at+"'}\n")})), &log)
	get(t, address+"/bff/livez") // by now it serves
	if status, _, text := get(t, "http://"+at+"/metrics"); status != http.StatusOK || !strings.Contains(text, "gatehouse_build_info") || !strings.Contains(text, "go_goroutines") {
		t.Errorf("%d %.200s", status, text)
	}
	if status, _, _ := get(t, address+"/metrics"); status == http.StatusOK {
		t.Error("the public listener shows metrics")
	}
	stop()
}

func TestConfigurationsSayWhatIsWrong(t *testing.T) {
	issuer := discovery(t)
	for about, test := range map[string][2]string{
		"an unknown key":      {"sesions: {}", "did you mean sessions?"},
		"a store":             {"sessions: {store: disk}", "sessions.store must be"},
		"no database":         {"sessions: {store: database, key_file: key}", "sessions.database"},
		"no key":              {"sessions: {store: database, database: x.db}", "sessions.key_file is missing"},
		"no Redis":            {"sessions: {store: redis, key_file: key}", "redis.addresses"},
		"Redis, and memory":   {"redis: {addresses: ['127.0.0.1:1']}", "sessions.store is memory"},
		"half of TLS":         {"tls: {key: key}", "both certificate and key"},
		"a proxy":             {"trusted_proxies: [everybody]", "neither an address nor a network"},
		"listen":              {"listen: localhost", "host:port"},
		"public metrics":      {"listen: '127.0.0.1:1'\nmetrics: {listen: '127.0.0.1:1'}", "metrics.listen must differ"},
		"the log":             {"log: {level: loud}", "log.level"},
		"a header":            {"csrf_header: Accept", "proves nothing"},
		"a cookie":            {"sessions: {cookie_name: 'a b'}", "letters and digits"},
		"sessions of a user":  {"sessions: {per_user: 1000}", "1 to 256"},
		"an endpoint's place": {"paths: {login: /api/login}", "in the way"},
	} {
		config, err := front.Load(place(t, with(map[string]string{"bff.yaml": yaml(issuer, test[0])})), nil)
		if err == nil {
			err = config.Check()
		}
		if err == nil || !strings.Contains(err.Error(), test[1]) {
			t.Errorf("%s: %v", about, err)
		}
	}
	for about, text := range map[string]string{
		"no proof of the client": strings.Replace(yaml(issuer, ""), "client_secret_file: secret", "scope: openid", 1),
		"two":                    strings.Replace(yaml(issuer, ""), "client_secret_file: secret", "client_secret_file: secret\n    client_secret: another secret", 1),
		"a placeholder":          strings.Replace(yaml(issuer, ""), "client_secret_file: secret", "client_secret: CHANGE-ME", 1),
	} {
		config, err := front.Load(place(t, with(map[string]string{"bff.yaml": text})), nil)
		if err == nil {
			err = config.Check()
		}
		if err == nil || !strings.Contains(err.Error(), "client_secret") || strings.Contains(err.Error(), "another secret") || strings.Contains(err.Error(), "CHANGE") {
			t.Errorf("%s: %v", about, err)
		}
	}
	// Variables win.
	config, err := front.Load(place(t, with(map[string]string{"bff.yaml": yaml(issuer, "")})), []string{"GATEHOUSE_BFF_URL=https://other.example", "GATEHOUSE_BFF_SESSIONS_LIFE=1h"})
	if err != nil || config.URL != "https://other.example" || config.Sessions.Life.String() != "1h" {
		t.Errorf("%v %v", config, err)
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	issuer := discovery(t)
	const inDatabase = "sessions: {store: database, database: sessions.db, key_file: key}"
	for about, test := range map[string]struct {
		more  string
		files map[string]string
		says  string
	}{
		"an empty secret": {"", map[string]string{"secret": "\n"}, "is empty"},
		"a short key":     {inDatabase, map[string]string{"key": "AAAA\n"}, "32 bytes in base64"},
		"no key":          {inDatabase, map[string]string{"key": "\n"}, "has no key"},
		"no authorities":  {"ca_file: secret", nil, "no certificate in PEM"},
	} {
		config, err := front.Load(place(t, with(test.files, map[string]string{"bff.yaml": yaml(issuer, test.more)})), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := config.Check(); err != nil {
			t.Fatal(err)
		}
		opened, err := front.Open(t.Context(), config, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", about, err)
		}
		if err == nil {
			_ = opened.Close()
		}
	}
}

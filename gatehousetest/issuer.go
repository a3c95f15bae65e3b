package gatehousetest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/secrecy"
	"gatehouse/internal/server"
	"gatehouse/internal/store"
)

// URL is the issuer of every server in this package, unless Options say
// otherwise.
const URL = "http://127.0.0.1:8080"

// Options are what a test may choose. The zero value serves an empty tenant.
type Options struct {
	// Tenant is a tenant file in YAML.
	Tenant string
	// PublicURL is the issuer; URL when empty.
	PublicURL string
	// Data is the directory of a server that was started before; a new
	// temporary one when empty.
	Data string
	// Engine of the database: SQLite or PostgreSQL; when empty, what
	// GATEHOUSE_TEST_ENGINE says, else SQLite. With PostgreSQL the test needs
	// GATEHOUSE_TEST_POSTGRES, the URL of a server on which it may make
	// databases, and is skipped without it.
	Engine string
	// Database is the URL of a PostgreSQL database that is there, to be shared
	// by several servers; the database goes with Data when empty.
	Database string
	// Redis is the address of a Redis server of this machine, to be shared by
	// several servers; there is none when empty.
	Redis string
	// Allow are addresses that clients may name although they are special, as
	// egress.allow has them: those of a test's own receivers.
	Allow []string
	// Clock is read in place of the system's clock, which a test may so set
	// ahead and back; time.Now when nil.
	Clock func() time.Time
	// Traces has every request traced, by a collector on the loopback interface;
	// not in a bubble of testing/synctest.
	Traces bool
}

// patience is how long servers of tests wait for their database: machines that
// test are busy.
const patience = 30 * time.Second

// tenantFile is the name of Options.Tenant in the data directory.
const tenantFile = "tenant.yaml"

// Issuer is a running authorization server.
type Issuer struct {
	URL string
	// Data is the server's directory.
	Data    string
	server  *server.Server
	log     *logBuffer
	config  server.Config
	secrets *secrecy.Ledger
	traces  *traceBuffer // nil without
}

// Start runs a server until the test ends. Every secret that passes is then
// searched for in all that the server has said and stored, and fails the test
// where it is found.
func Start(t testing.TB, options Options) *Issuer {
	t.Helper()
	issuer, stop := Run(t, options)
	t.Cleanup(stop)
	return issuer
}

// Run runs a server until stop is called, for tests that restart it or that
// must end it inside a bubble.
func Run(t testing.TB, options Options) (_ *Issuer, stop func()) {
	t.Helper()
	if options.PublicURL == "" {
		options.PublicURL = URL
	}
	fresh := options.Data == "" && options.Database == ""
	if options.Data == "" {
		options.Data = t.TempDir()
	}
	config := server.Config{
		PublicURL: options.PublicURL, Data: options.Data, Egress: server.Egress{Allow: options.Allow}, Log: server.Log{Level: "debug", Access: true},
		// The least that the configuration accepts: tests sign in often.
		PasswordHashing: server.PasswordHashing{MemoryMiB: 19, Passes: 1, Slots: 2},
		// Counted, and read by MetricsHandler: nothing listens here.
		Metrics: server.Metrics{Listen: "127.0.0.1:9464"},
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	config = config.WithClock(options.Clock, patience)
	if options.Redis != "" {
		config.Redis.Addresses = []string{options.Redis}
	}
	if options.Tenant != "" {
		config.Apply = filepath.Join(options.Data, tenantFile)
		if err := os.WriteFile(config.Apply, []byte(options.Tenant), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var traces *traceBuffer
	if options.Traces {
		traces = collectTraces()
		config.Tracing.Endpoint = traces.address
	}
	log := &logBuffer{}
	if options.Database != "" || engineOf(options) == PostgreSQL {
		config.Database = options.Database
		if config.Database == "" {
			config.Database = postgresOf(t, options.Data)
		}
	}
	if fresh {
		furnish(t, config)
	} else if config.OnPostgres() {
		if _, err := server.InitKeys(context.Background(), config, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatalf("make the key-encryption key: %v", err)
		}
	}
	s, err := server.Open(context.Background(), config, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatalf("start the server: %v", err)
	}
	issuer := &Issuer{options.PublicURL, options.Data, s, log, config, &secrecy.Ledger{}, traces}
	issuer.noteFile(t)
	return issuer, func() {
		t.Helper()
		issuer.search(t)
		if err := s.Close(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
		issuer.searchStopped(t)
	}
}

// Database says where the server's database is, for a test that opens it
// beside the server.
func (i *Issuer) Database(log *slog.Logger) store.Config { return i.config.StoreConfig(log) }

// Server returns the running server.
func (i *Issuer) Server() *server.Server { return i.server }

// Log returns everything that the server has logged.
func (i *Issuer) Log() string { return i.log.String() }

// RoundTrip hands a request straight to the server. It comes from the
// request's RemoteAddr if a test has set one.
func (i *Issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	response := i.exchange(i.incoming(r))
	response.Request = r
	return response, nil
}

// incoming is a client's request as the server sees it.
func (i *Issuer) incoming(r *http.Request) *http.Request {
	incoming := r.Clone(r.Context())
	incoming.RequestURI = r.URL.RequestURI()
	incoming.Host = r.URL.Host
	if incoming.RemoteAddr == "" {
		incoming.RemoteAddr = "192.0.2.7:4711" // RFC 5737 §3
	}
	if incoming.Body == nil {
		incoming.Body = http.NoBody
	}
	return incoming
}

// Answer is a response whose body was read.
type Answer struct {
	*http.Response
	Text string
}

// Member returns a member of a JSON object as text, "" when it is absent.
func (a Answer) Member(name string) string {
	var members map[string]any
	if json.Unmarshal([]byte(a.Text), &members) != nil {
		return ""
	}
	if text, isText := members[name].(string); isText {
		return text
	}
	value, err := json.Marshal(members[name])
	if err != nil || members[name] == nil {
		return ""
	}
	return string(value)
}

// Post sends a form without cookies, as a client's back channel does. A
// clientID with a secret authenticates by Basic; without one it is sent as a
// parameter.
func (i *Issuer) Post(t testing.TB, path, clientID, secret string, form url.Values) Answer {
	t.Helper()
	sent := url.Values{}
	for name, values := range form {
		sent[name] = values
	}
	if clientID != "" && secret == "" {
		sent.Set("client_id", clientID)
	}
	r, err := http.NewRequest(http.MethodPost, i.URL+path, strings.NewReader(sent.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		r.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(secret))
	}
	return i.Do(t, r)
}

// Do sends a request without cookies and reads the answer.
func (i *Issuer) Do(t testing.TB, r *http.Request) Answer {
	t.Helper()
	response, err := i.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

func read(t testing.TB, response *http.Response) Answer {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{response, string(body)}
}

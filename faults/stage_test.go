package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

// built is the binary that TestMain built.
var built string

func TestMain(m *testing.M) {
	status, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		status = 1
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) (status int, err error) {
	directory, err := os.MkdirTemp("", "gatehouse-faults-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if err := readDirectories(); err != nil {
		return 1, err
	}
	if built, err = build("..", directory, nil); err != nil {
		return 1, err
	}
	defer machine.feel()()
	return m.Run(), nil
}

// readDirectories looks into every directory of the module, so that go test knows
// that its remembered result is void when a file changes: it does not see what go
// build reads.
func readDirectories() error {
	return filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && name != ".." && (entry.Name()[0] == '.' || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		return err
	})
}

// build builds the binary of the sources in a directory, by the flags of a
// release, so that its packages are compiled once.
func build(sources, into string, variables []string) (binary string, err error) {
	binary = filepath.Join(into, "gatehouse")
	arguments, variables := []string{"build", "-trimpath", "-o", binary}, append(os.Environ(), variables...)
	if nightly() {
		arguments = append(arguments, "-race")
	} else {
		variables = append(variables, "CGO_ENABLED=0")
	}
	command := exec.Command("go", append(arguments, "./cmd/gatehouse")...)
	command.Dir, command.Env = sources, variables
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, output)
	}
	return binary, nil
}

func nightly() bool { return os.Getenv("GATEHOUSE_TEST_NIGHTLY") == "1" }

// rounds is how often a race is run.
func rounds() int {
	if nightly() {
		return 200
	}
	return 20
}

const (
	webSecret = "a-secret-of-the-web-0123456789abcdefghij"
	svcSecret = "a-secret-of-the-service-0123456789abcdef"
	// otherSecret is of a client that has nothing to do with web.
	otherSecret = "a-secret-of-the-other-0123456789abcdefgh"
	password    = "seventeen white rabbits"
	callback    = "https://app.example/callback"
	api         = "https://api.example"
	people      = 8 // user0 to user7
)

// tenant is what all houses serve. Limits are out of the way.
func tenant() string {
	text := `settings:
  name: Faults
  refresh_grace: 5m
  rate_limits: {token_per_client: -1, introspection_per_client: -1, failures_per_address: -1}
resources:
  - {identifier: ` + api + `, name: API, scopes: {"api:read": Read, "api:write": Write}}
clients:
  - {client_id: svc, client_secret: ` + svcSecret + `, grant_types: [client_credentials], scope: "api:read", introspects: [` + api + `]}
  - client_id: web
    client_secret: ` + webSecret + `
    redirect_uris: ["` + callback + `"]
    grant_types: [authorization_code, refresh_token]
    scope: openid offline_access api:read
    default_resource: ` + api + `
  - {client_id: other, client_secret: ` + otherSecret + `, redirect_uris: ["` + callback + `"], grant_types: [authorization_code]}
users:
`
	for i := range people {
		text += fmt.Sprintf("  - {username: user%d, password: %s, name: User %d}\n", i, password, i)
	}
	return text
}

// house is what servers share: the database, the key file, the issuer.
type house struct {
	*testing.T
	directory string
	database  string // URL of PostgreSQL, "" for an SQLite file
	issuer    string
	servers   []*server
	beyond    []*server    // processes that are no authorization servers
	callers   *http.Client // the clients' back channel
	// impatient callers take 503 for an answer. Others ask again: a machine that is
	// busy with other things may say so to a crowd. How often it did is putOff.
	impatient bool
	putOff    atomic.Int64
}

// newHouse makes a house with some servers that do not run yet; on SQLite there
// is one.
func newHouse(t *testing.T, database string, servers int) *house {
	t.Helper()
	h := bareHouse(t, database, servers)
	for _, s := range h.servers {
		s.configure("metrics: {listen: " + s.metrics + "}")
	}
	return h.furnish()
}

// furnish makes the key and the tenant.
func (h *house) furnish() *house {
	h.Helper()
	if h.database != "" {
		h.must(h.servers[0].gatehouse("keys", "init"))
	}
	h.must(h.servers[0].gatehouse("apply", filepath.Join(h.directory, "tenant.yaml")))
	return h
}

// bareHouse is a house of which there is only the configuration.
func bareHouse(t *testing.T, database string, servers int) *house {
	t.Helper()
	directory, err := os.MkdirTemp("", "gh") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, directory: directory, database: database, callers: callers()}
	t.Cleanup(h.remove)
	h.write("tenant.yaml", tenant())
	for i := range servers {
		s := &server{house: h, binary: built, name: fmt.Sprint("server", i), address: freeAddress(t), metrics: freeAddress(t)}
		if i == 0 {
			h.issuer = "http://" + s.address
		}
		text := fmt.Sprintf("listen: %s\npublic_url: %s\ndata: %s\npassword_hashing: {memory_mib: 19, passes: 1}\n",
			s.address, h.issuer, filepath.Join(directory, s.name))
		if database != "" {
			text += fmt.Sprintf("database: %s\nkey_file: %s\n", database, filepath.Join(directory, "gatehouse.key"))
		}
		h.write(s.name+".yaml", text)
		h.servers = append(h.servers, s)
	}
	return h
}

// remove stops what runs and looks through the logs for what must not be there.
func (h *house) remove() {
	h.callers.CloseIdleConnections()
	for _, s := range append(h.servers, h.beyond...) {
		s.kill()
		log := s.log()
		for _, trouble := range []string{"DATA RACE", `"msg":"panic"`, "panic:", "fatal error:"} {
			if strings.Contains(log, trouble) {
				h.Errorf("the log of %s has %q:\n%s", s.name, trouble, log)
			}
		}
	}
	if err := os.RemoveAll(h.directory); err != nil {
		h.Error(err)
	}
}

func (h *house) write(name, text string) {
	h.Helper()
	if err := os.WriteFile(filepath.Join(h.directory, name), []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
}

func (h *house) must(said string, err error) string {
	h.Helper()
	if err != nil {
		h.Fatalf("%v\n%s", err, said)
	}
	return said
}

// start starts all servers.
func (h *house) start() *house {
	h.Helper()
	for _, s := range h.servers {
		s.start()
	}
	return h
}

// beside opens the database beside the servers, until the test ends.
func (h *house) beside() *store.Store {
	h.Helper()
	config := store.Config{URL: h.database, Log: slog.New(slog.DiscardHandler)}
	if h.database == "" {
		config.Path = filepath.Join(h.directory, h.servers[0].name, "gatehouse.db")
	}
	db, err := store.Open(h.Context(), config)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if err := db.Close(); err != nil {
			h.Error(err)
		}
	})
	return db
}

// onEach runs a test on an SQLite file with one server, and on PostgreSQL with
// two.
func onEach(t *testing.T, test func(t *testing.T, database string, servers int)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "", 1)
	})
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		test(t, postgrestest.Schema(t), 2)
	})
}

const (
	// firstPort and ports are where servers listen: below those that systems give to
	// outgoing connections, one of which could take the port before the server does.
	firstPort, ports = 20_000, 10_000
	portTries        = 1000
)

// given are the ports that were given to a server: never to another, too, since it
// may be between two starts.
var given sync.Map

// freeAddress returns a loopback address on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range portTries {
		port := firstPort + rand.IntN(ports)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		defer listener.Close()
		return listener.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

// environment is ours without the variables that would configure the server.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "GATEHOUSE_") })
}

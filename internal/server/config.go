package server

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/egress"
	"gatehouse/internal/config"
	"gatehouse/internal/tracing"
	"gatehouse/oauth"
)

// Config is the process's configuration: one YAML file and GATEHOUSE_*
// variables. What a tenant is made of (clients, users, policies) is data and
// comes through `gatehouse apply`.
type Config struct {
	// Listen is the address to serve on.
	Listen string `yaml:"listen"`
	// PublicURL is the default tenant's issuer: https, without a trailing
	// slash, query or path; http on loopback hosts alone.
	PublicURL string `yaml:"public_url"`
	// Data is the directory of the database, the key file and the control
	// socket.
	Data string `yaml:"data"`
	// Database is the SQLite file, gatehouse.db in Data when empty, or the URL
	// of a PostgreSQL database: postgres://USER:PASSWORD@HOST/DATABASE.
	Database string `yaml:"database"`
	// KeyFile holds the key-encryption key; gatehouse.key in Data when empty.
	KeyFile string `yaml:"key_file"`
	// Apply is a tenant file that is applied at every start.
	Apply string `yaml:"apply"`
	// CAFile has further certification authorities, in PEM, for outgoing
	// connections.
	CAFile string `yaml:"ca_file"`

	TLS             TLS             `yaml:"tls"`
	Redis           Redis           `yaml:"redis"`
	Log             Log             `yaml:"log"`
	Metrics         Metrics         `yaml:"metrics"`
	Tracing         Tracing         `yaml:"tracing"`
	Egress          Egress          `yaml:"egress"`
	PasswordHashing PasswordHashing `yaml:"password_hashing"`

	// ShutdownTimeout is how long requests may go on after a stop was asked.
	ShutdownTimeout config.Duration `yaml:"shutdown_timeout"`
	// InsecureAllowHTTP admits an http public_url on a host that is not
	// loopback.
	InsecureAllowHTTP bool `yaml:"insecure_allow_http"`

	clock    func() time.Time // the database's own when nil
	patience time.Duration    // the store's own when 0
}

// TLS names a certificate chain and its key in PEM files. They are read again
// when they change.
type TLS struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // json or text
	// Access adds a line for every request.
	Access bool `yaml:"access"`
}

// Metrics says where Prometheus may read how the server is.
type Metrics struct {
	// Listen is an address of its own, with no TLS and no sign-in: loopback,
	// or a network that only the operators reach. Nobody can read when empty.
	Listen string `yaml:"listen"`
}

// Tracing says where OpenTelemetry's traces go.
type Tracing struct {
	// Endpoint is the URL of a collector that takes OTLP over HTTP. Nothing is
	// traced when empty.
	Endpoint string `yaml:"endpoint"`
	// Sample is the share of requests that are traced, above 0 and up to 1; all
	// when nil.
	Sample *float64 `yaml:"sample"`
	// TrustIncoming continues the traces that callers name: for servers that
	// only a gateway of the operator's reaches.
	TrustIncoming bool `yaml:"trust_incoming"`
}

func (t Tracing) share() float64 {
	if t.Sample == nil {
		return 1
	}
	return *t.Sample
}

func (t Tracing) check() error {
	if t.Endpoint == "" {
		if t != (Tracing{}) {
			return errors.New("tracing needs an endpoint, such as http://127.0.0.1:4318")
		}
		return nil
	}
	if err := tracing.CheckEndpoint(t.Endpoint); err != nil {
		return fmt.Errorf("tracing.endpoint %w", err)
	}
	if share := t.share(); !(share > 0 && share <= 1) {
		return errors.New("tracing.sample must be above 0 and at most 1; without an endpoint nothing is traced")
	}
	return nil
}

// Egress is for fetches of addresses that clients or users supplied.
type Egress struct {
	// Allow exempts hosts, host:port pairs or CIDR ranges from the refusal
	// of special-use addresses.
	Allow []string `yaml:"allow"`
}

// PasswordHashing is the cost of argon2id. Slots bound how many passwords are
// hashed at once, so that logins cannot starve the other endpoints.
type PasswordHashing struct {
	MemoryMiB uint32 `yaml:"memory_mib"`
	Passes    uint32 `yaml:"passes"`
	Slots     int    `yaml:"slots"`
}

// Names of the files in the data directory.
const (
	databaseFile = "gatehouse.db"
	keyFile      = "gatehouse.key"
	socketFile   = "gatehouse.sock"
)

// LoadConfig reads the configuration file and the GATEHOUSE_* variables of
// environ, which win. Paths in the file are relative to it. An empty path
// reads the variables alone.
func LoadConfig(path string, environ []string) (Config, error) {
	var c Config
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return Config{}, fmt.Errorf("read the configuration: %w", err)
		}
		if err := config.Decode(text, path, &c); err != nil {
			return Config{}, err
		}
		c.resolve(filepath.Dir(path))
	}
	if err := config.Environment("GATEHOUSE_", environ, &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (c *Config) resolve(directory string) {
	if c.Database != "" && !filepath.IsAbs(c.Database) && !strings.Contains(c.Database, "://") {
		c.Database = filepath.Join(directory, c.Database)
	}
	for _, path := range append(c.Redis.Paths(), &c.Data, &c.KeyFile, &c.Apply, &c.CAFile, &c.TLS.Certificate, &c.TLS.Key) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(directory, *path)
		}
	}
}

// DatabasePath returns where the SQLite database is.
func (c Config) DatabasePath() string { return c.within(c.Database, databaseFile) }

// KeyPath returns where the key-encryption key is.
func (c Config) KeyPath() string { return c.within(c.KeyFile, keyFile) }

// ControlSocket returns where a server running on the data directory answers
// the commands of this machine.
func ControlSocket(data string) string { return filepath.Join(data, socketFile) }

func (c Config) within(path, name string) string {
	if path != "" {
		return path
	}
	return filepath.Join(c.Data, name)
}

// Check says everything that is wrong with the configuration, in words for
// the operator, or nil.
func (c Config) Check() error {
	var problems []error
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if err := c.checkDatabase(); err != nil {
		problems = append(problems, err)
	}
	if err := c.checkPublicURL(); err != nil {
		problems = append(problems, err)
	}
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		complain("listen must be host:port, such as 127.0.0.1:8080")
	}
	if err := c.Metrics.Check(c.Listen); err != nil {
		problems = append(problems, err)
	}
	if err := c.Tracing.check(); err != nil {
		problems = append(problems, err)
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		complain("tls needs both certificate and key")
	}
	if err := c.Redis.Check(); err != nil {
		problems = append(problems, err)
	}
	if err := c.Log.Check(); err != nil {
		problems = append(problems, err)
	}
	if c.PasswordHashing.MemoryMiB != 0 && (c.PasswordHashing.MemoryMiB < 19 || c.PasswordHashing.MemoryMiB > 1024) {
		complain("password_hashing.memory_mib must be between 19 and 1024")
	}
	if c.PasswordHashing.Passes > 10 || c.PasswordHashing.Slots < 0 || c.PasswordHashing.Slots > 256 {
		complain("password_hashing.passes may be at most 10 and slots at most 256")
	}
	return errors.Join(problems...)
}

func oneOf(text string, choices ...string) bool {
	for _, choice := range choices {
		if text == choice {
			return true
		}
	}
	return false
}

func (c Config) checkPublicURL() error {
	if c.PublicURL == "" {
		return errors.New("public_url is missing; give the URL under which people and clients reach this server, such as https://id.example.com")
	}
	if err := oauth.CheckIssuerOrigin(c.PublicURL); err != nil {
		return fmt.Errorf("public_url %w", err)
	}
	public, err := url.Parse(c.PublicURL)
	if err == nil && public.Scheme == "http" && !c.InsecureAllowHTTP && !oauth.LoopbackHost(public.Hostname()) {
		return errors.New("public_url uses http on a host that is not loopback; use https, or set insecure_allow_http and accept that everybody on the way can read passwords and tokens")
	}
	return err
}

// Outbound makes the client that fetches from addresses which others named.
func (c Config) Outbound() (*egress.Client, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	client, err := egress.NewClient(egress.Config{Allow: c.Egress.Allow, RootCAs: roots})
	if err != nil {
		return nil, fmt.Errorf("egress.allow: %w", err)
	}
	return client, nil
}

// roots returns the system's certification authorities and those of CAFile,
// or nil for the system's alone.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file %s has no certificate in PEM", c.CAFile)
	}
	return pool, nil
}

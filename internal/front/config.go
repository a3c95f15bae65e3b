package front

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/internal/config"
	"gatehouse/internal/process"
	"gatehouse/internal/server"
)

// Config is the process's configuration: one YAML file and GATEHOUSE_BFF_*
// variables, which win.
type Config struct {
	// URL is the origin under which browsers reach the application.
	URL string `yaml:"url"`
	// Listen is the address to serve on.
	Listen string `yaml:"listen"`
	// Issuers are where people sign in, the default first.
	Issuers []Issuer `yaml:"issuers"`
	// Upstreams are the APIs.
	Upstreams []Upstream `yaml:"upstreams"`
	Files     Files      `yaml:"files"`
	Sessions  Sessions   `yaml:"sessions"`

	// Base is the path of the BFF's own endpoints, Paths of single ones.
	Base  string `yaml:"base"`
	Paths Paths  `yaml:"paths"`

	CSRFHeader      string   `yaml:"csrf_header"`
	UserClaims      []string `yaml:"user_claims"`
	IdentityHeaders []string `yaml:"identity_headers"`
	// TrustedProxies are addresses or networks whose X-Forwarded-For is passed on.
	TrustedProxies []string `yaml:"trusted_proxies"`

	// CAFile has further certification authorities, in PEM, for issuers and Redis.
	CAFile  string         `yaml:"ca_file"`
	TLS     server.TLS     `yaml:"tls"`
	Redis   server.Redis   `yaml:"redis"`
	Log     server.Log     `yaml:"log"`
	Metrics server.Metrics `yaml:"metrics"`
	// ShutdownTimeout is how long requests may go on after a stop was asked. Streams end at
	// once.
	ShutdownTimeout config.Duration `yaml:"shutdown_timeout"`
	// InsecureAllowHTTP admits an http url that is not this machine's.
	InsecureAllowHTTP bool `yaml:"insecure_allow_http"`
}

// Issuer is where people sign in, and the application's registration there.
type Issuer struct {
	Name                string `yaml:"name"`
	Issuer              string `yaml:"issuer"`
	process.Credentials `yaml:",inline"`
	Scope               string   `yaml:"scope"`
	Resources           []string `yaml:"resources"`
	// UserInfo asks the UserInfo endpoint at each login, unless it is false.
	UserInfo     *bool `yaml:"userinfo"`
	PushRequests bool  `yaml:"push_requests"`
	// Prompt is "", consent, login or select_account, at each login.
	Prompt string `yaml:"prompt"`
	// Wait has the start fail while the issuer is away; else it is asked at the first
	// login.
	Wait bool `yaml:"required_at_start"`
}

// Upstream is an API.
type Upstream struct {
	Path      string          `yaml:"path"`
	URL       string          `yaml:"url"`
	Routes    []Route         `yaml:"routes"`
	Resource  string          `yaml:"resource"`
	Anonymous bool            `yaml:"anonymous"`
	MaxBody   int64           `yaml:"max_body_bytes"`
	Timeout   config.Duration `yaml:"timeout"`
	// CAFile has the authorities that are trusted instead of the system's.
	CAFile            string `yaml:"ca_file"`
	InsecureAllowHTTP bool   `yaml:"insecure_allow_http"`
}

// Route is what may be asked of an upstream.
type Route struct {
	Path    string   `yaml:"path"`
	Methods []string `yaml:"methods"`
	Stream  bool     `yaml:"stream"`
	// Resource stands in the place of the upstream's.
	Resource string `yaml:"resource"`
}

// Files are the application's own: what its build has made.
type Files struct {
	Directory string `yaml:"directory"`
	// ContentSecurityPolicy is sent with them.
	ContentSecurityPolicy string `yaml:"content_security_policy"`
}

// Sessions says where sessions are and for how long.
type Sessions struct {
	// Store is memory, database or redis.
	Store string `yaml:"store"`
	// Database is a SQLite file.
	Database string `yaml:"database"`
	// KeyFile has the keys that seal what is stored: 32 bytes in base64 on each line,
	// the first seals, the others still open.
	KeyFile    string          `yaml:"key_file"`
	Life       config.Duration `yaml:"life"`
	Idle       config.Duration `yaml:"idle"`
	PerUser    int             `yaml:"per_user"`
	CookieName string          `yaml:"cookie_name"`
}

// Paths of single endpoints.
type Paths struct {
	Login             string `yaml:"login"`
	Callback          string `yaml:"callback"`
	User              string `yaml:"user"`
	Logout            string `yaml:"logout"`
	LoggedOut         string `yaml:"logged_out"`
	BackChannelLogout string `yaml:"backchannel_logout"`
	Module            string `yaml:"module"`
}

// Kinds of Sessions.Store.
const (
	InMemory   = "memory"
	InDatabase = "database"
	InRedis    = "redis"
)

// variables is what the environment's begin with.
const variables = "GATEHOUSE_BFF_"

// Load reads the configuration file and the GATEHOUSE_BFF_* variables of environ.
// Paths in the file are relative to it.
func Load(path string, environ []string) (Config, error) {
	var c Config
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	if err := config.Decode(text, path, &c); err != nil {
		return Config{}, err
	}
	files := append(c.Redis.Paths(), &c.CAFile, &c.TLS.Certificate, &c.TLS.Key, &c.Files.Directory, &c.Sessions.Database, &c.Sessions.KeyFile)
	for i := range c.Issuers {
		files = append(files, c.Issuers[i].Paths()...)
	}
	for i := range c.Upstreams {
		files = append(files, &c.Upstreams[i].CAFile)
	}
	process.Below(path, files...)
	if err := config.Environment(variables, environ, &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Check says everything that is wrong with the configuration, in words for the
// operator, or nil. It reads no other file.
func (c Config) Check() error {
	var problems []error
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		complain("listen must be host:port, such as 127.0.0.1:8070")
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		complain("tls needs both certificate and key")
	}
	if err := c.Metrics.Check(c.Listen); err != nil {
		problems = append(problems, err)
	}
	if err := c.Log.Check(); err != nil {
		problems = append(problems, err)
	}
	if err := c.Redis.Check(); err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, c.checkSessions()...)
	for _, i := range c.Issuers {
		// RFC 10017 §6.1
		if err := i.Credentials.Check(fmt.Sprintf("the issuer %q", i.Issuer), "a backend for frontend is a confidential client"); err != nil {
			problems = append(problems, err)
		}
	}
	settings, err := c.settings()
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	if c.sealed() {
		settings.Keys = [][]byte{make([]byte, client.KeyBytes)}
	}
	return errors.Join(append(problems, settings.Check())...)
}

// sealed says whether sessions are put where keys are needed.
func (c Config) sealed() bool { return c.Sessions.Store == InDatabase || c.Sessions.Store == InRedis }

func (c Config) checkSessions() (problems []error) {
	complain := func(text string) { problems = append(problems, errors.New(text)) }
	switch c.Sessions.Store {
	case "", InMemory:
		if c.Sessions.Database != "" || c.Redis.Used() {
			complain("sessions.store is memory, and a database or Redis is named; say sessions.store: database or redis")
		}
	case InDatabase:
		if c.Sessions.Database == "" || strings.Contains(c.Sessions.Database, "://") {
			complain("sessions.store: database needs sessions.database, the path of a SQLite file; several processes share a Redis")
		}
	case InRedis:
		if !c.Redis.Used() {
			complain("sessions.store: redis needs redis.addresses")
		}
	default:
		complain("sessions.store must be memory, database or redis")
	}
	if c.sealed() && c.Sessions.KeyFile == "" {
		complain("sessions.key_file is missing: what is stored is sealed; openssl rand -base64 32 makes a key")
	}
	return problems
}

// settings is the configuration of the BFF, without what is in other files.
func (c Config) settings() (bff.Config, error) {
	b := bff.Config{
		URL: c.URL, Base: c.Base, CSRFHeader: c.CSRFHeader, UserClaims: c.UserClaims, IdentityHeaders: c.IdentityHeaders,
		Paths:       bff.Paths{Login: c.Paths.Login, Callback: c.Paths.Callback, User: c.Paths.User, Logout: c.Paths.Logout, LoggedOut: c.Paths.LoggedOut, BackChannelLogout: c.Paths.BackChannelLogout, Module: c.Paths.Module},
		SessionLife: c.Sessions.Life.Std(), SessionIdle: c.Sessions.Idle.Std(), MaxSessions: c.Sessions.PerUser, CookieName: c.Sessions.CookieName,
		InsecureAllowHTTP: c.InsecureAllowHTTP,
	}
	for _, i := range c.Issuers {
		b.Issuers = append(b.Issuers, bff.Issuer{Name: i.Name, Issuer: i.Issuer, Prompt: i.Prompt, Client: client.Config{
			ClientID: i.ClientID, ClientSecret: i.ClientSecret, Scope: i.Scope, Resources: i.Resources,
			UserInfo: i.UserInfo == nil || *i.UserInfo, PushRequests: i.PushRequests, Lazy: !i.Wait,
		}})
	}
	for _, u := range c.Upstreams {
		one := bff.Upstream{Path: u.Path, URL: u.URL, Resource: u.Resource, Anonymous: u.Anonymous, MaxBody: u.MaxBody, Timeout: u.Timeout.Std(), InsecureAllowHTTP: u.InsecureAllowHTTP}
		for _, route := range u.Routes {
			one.Routes = append(one.Routes, bff.Route{Path: route.Path, Methods: route.Methods, Stream: route.Stream, Resource: route.Resource})
		}
		b.Upstreams = append(b.Upstreams, one)
	}
	var err error
	b.TrustedProxies, err = process.Networks("trusted_proxies", c.TrustedProxies)
	return b, err
}

package gate

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"gatehouse/gateway"
	"gatehouse/internal/config"
	"gatehouse/internal/process"
	"gatehouse/internal/secret"
	"gatehouse/internal/server"
)

// Config is the process's configuration: one YAML file and GATEHOUSE_GATEWAY_*
// variables, which win.
type Config struct {
	// Listen is the address to serve clients on; with a Decisions.Listen it may be left out.
	Listen string `yaml:"listen"`
	// H2C admits HTTP/2 without TLS on Listen, which clients of gRPC need where there is none.
	H2C bool `yaml:"h2c"`
	// Base is the path of the gateway's own endpoints: livez, readyz, jwks.json.
	Base string `yaml:"base"`

	Authentications []Authentication `yaml:"authentications"`
	Upstreams       []Upstream       `yaml:"upstreams"`
	Routes          []Route          `yaml:"routes"`
	// OpenAPI are descriptions of which each operation is a route.
	OpenAPI []OpenAPI `yaml:"openapi"`
	// Exchangers are the gateway's registrations at issuers that exchange tokens.
	Exchangers []Exchanger `yaml:"exchangers"`
	Identity   Identity    `yaml:"identity"`
	Decisions  Decisions   `yaml:"decisions"`

	// TrustedProxies are addresses or networks whose X-Forwarded-For and -Proto are believed.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// CountriesFile is a file in MaxMind's format, for rules about countries.
	CountriesFile string `yaml:"countries_file"`
	// StreamCheck is how often the tokens of open streams are looked at.
	StreamCheck config.Duration `yaml:"stream_check"`
	// MaxExchanged bounds how many exchanged tokens are remembered.
	MaxExchanged int `yaml:"max_exchanged_tokens"`

	// CAFile has further certification authorities, in PEM, for issuers and Redis.
	CAFile  string         `yaml:"ca_file"`
	TLS     server.TLS     `yaml:"tls"`
	Redis   server.Redis   `yaml:"redis"`
	Log     server.Log     `yaml:"log"`
	Metrics server.Metrics `yaml:"metrics"`
	// ShutdownTimeout is how long requests may go on after a stop was asked. Streams end at
	// once.
	ShutdownTimeout config.Duration `yaml:"shutdown_timeout"`
}

// Authentication is whose tokens are taken.
type Authentication struct {
	Name     string `yaml:"name"`
	Audience string `yaml:"audience"`
	// Issuers of one authentication are trusted alike.
	Issuers        []Issuer        `yaml:"issuers"`
	Algorithms     []string        `yaml:"algorithms"`
	Skew           config.Duration `yaml:"skew"`
	MaxTokenAge    config.Duration `yaml:"max_token_age"`
	RequiredClaims []string        `yaml:"required_claims"`
	MaxTokenBytes  int             `yaml:"max_token_bytes"`
	MaxCached      int             `yaml:"max_cached_tokens"`
	// InsecureAllowHTTP admits http for issuers that are not on this machine.
	InsecureAllowHTTP bool `yaml:"insecure_allow_http"`
}

// Issuer is one whose tokens are taken.
type Issuer struct {
	Issuer  string `yaml:"issuer"`
	JWKSURI string `yaml:"jwks_uri"`
	// IntrospectionEndpoint and FeedEndpoint, where the issuer's metadata do not name them.
	IntrospectionEndpoint string `yaml:"introspection_endpoint"`
	FeedEndpoint          string `yaml:"revocation_feed_endpoint"`
	// ClientID and the secret are the gateway's at the issuer, for introspection and feed.
	ClientID         string        `yaml:"client_id"`
	ClientSecret     secret.String `yaml:"client_secret"`
	ClientSecretFile string        `yaml:"client_secret_file"`
	// Opaque tokens are introspected; there can be one such issuer.
	Opaque bool `yaml:"opaque"`
	// IntrospectJWTs has this issuer's JWTs introspected, too.
	IntrospectJWTs bool `yaml:"introspect_jwts"`
	// Feed follows the revocation feed.
	Feed                 bool `yaml:"revocation_feed"`
	InsecureFeedOptional bool `yaml:"insecure_feed_optional"`
}

// Upstream is a server behind the gateway.
type Upstream struct {
	Name          string          `yaml:"name"`
	URL           string          `yaml:"url"`
	Audience      string          `yaml:"audience"`
	TLS           UpstreamTLS     `yaml:"tls"`
	H2C           bool            `yaml:"h2c"`
	Host          string          `yaml:"host"`
	AnswerTimeout config.Duration `yaml:"answer_timeout"`
	// Retries is how often a safe request is sent again; nil is the default.
	Retries           *int `yaml:"retries"`
	ExactPaths        bool `yaml:"exact_paths"`
	CORS              bool `yaml:"cors"`
	InsecureAllowHTTP bool `yaml:"insecure_allow_http"`
}

// UpstreamTLS is how an upstream and the gateway recognise each other.
type UpstreamTLS struct {
	CAFile      string `yaml:"ca_file"`
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	ServerName  string `yaml:"server_name"`
}

// Common is what routes and descriptions have in common.
type Common struct {
	Hosts       []string        `yaml:"hosts"`
	Upstream    string          `yaml:"upstream"`
	Forward     Forward         `yaml:"forward"`
	Limits      []Limit         `yaml:"limits"`
	StripPrefix string          `yaml:"strip_prefix"`
	Networks    Networks        `yaml:"networks"`
	Countries   Countries       `yaml:"countries"`
	MaxBody     int64           `yaml:"max_body_bytes"`
	Timeout     config.Duration `yaml:"timeout"`
}

// Route is what may be asked for.
type Route struct {
	Name    string   `yaml:"name"`
	Path    string   `yaml:"path"`
	Methods []string `yaml:"methods"`

	Authentication string          `yaml:"authentication"`
	Public         bool            `yaml:"public"`
	Scopes         []string        `yaml:"scopes"`
	ACRValues      []string        `yaml:"acr_values"`
	MaxAuthAge     config.Duration `yaml:"max_auth_age"`
	MaxTokenAge    config.Duration `yaml:"max_token_age"`
	Claims         []Claim         `yaml:"claims"`

	Common  `yaml:",inline"`
	Stream  bool     `yaml:"stream"`
	Origins []string `yaml:"origins"`
}

// Claim is one that a token must have.
type Claim struct {
	Name   string   `yaml:"name"`
	Values []string `yaml:"values"`
}

// Networks are rules about the client's address.
type Networks struct {
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

// Countries are rules about where the client's address is: codes of two capital letters.
type Countries struct {
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

// Limit is how many requests a second are let through.
type Limit struct {
	Per  string  `yaml:"per"`
	Rate float64 `yaml:"per_second"`
}

// Forward is what an upstream is told of whom was let in.
type Forward struct {
	Headers               bool     `yaml:"headers"`
	JWT                   bool     `yaml:"jwt"`
	Exchange              Exchange `yaml:"exchange"`
	InsecureOriginalToken bool     `yaml:"insecure_original_token"`
}

// Exchange is what a token is exchanged for.
type Exchange struct {
	Resource string `yaml:"resource"`
	Audience string `yaml:"audience"`
	Scope    string `yaml:"scope"`
}

// OpenAPI is a description of which each operation is a route.
type OpenAPI struct {
	Name           string            `yaml:"name"`
	File           string            `yaml:"file"`
	Authentication string            `yaml:"authentication"`
	Schemes        map[string]string `yaml:"schemes"`
	IgnoredSchemes []string          `yaml:"ignored_schemes"`
	AllowPublic    bool              `yaml:"allow_public"`
	BasePath       string            `yaml:"base_path"`
	Common         `yaml:",inline"`
}

// Exchanger is the gateway's registration at an issuer that exchanges tokens.
type Exchanger struct {
	Issuer              string `yaml:"issuer"`
	process.Credentials `yaml:",inline"`
	InsecureAllowHTTP   bool `yaml:"insecure_allow_http"`
}

// Identity is how upstreams are told who asks.
type Identity struct {
	HeaderPrefix string            `yaml:"header_prefix"`
	Claims       map[string]string `yaml:"claims"`
	Issuer       string            `yaml:"issuer"`
	// Keys sign: the first does, all are published.
	Keys      []Key           `yaml:"keys"`
	JWTHeader string          `yaml:"jwt_header"`
	JWTLife   config.Duration `yaml:"jwt_life"`
}

// Key is a private key in PKCS #8 and PEM.
type Key struct {
	ID   string `yaml:"id"`
	Alg  string `yaml:"alg"`
	File string `yaml:"file"`
}

// Decisions are told to other proxies.
type Decisions struct {
	// Listen is an address of its own. The question is asked at /decide.
	Listen string `yaml:"listen"`
	// ExtAuthzListen is where gatehouse-extauthz, a program of its own, answers Envoy.
	ExtAuthzListen string `yaml:"ext_authz_listen"`
	// Proxies are addresses or networks that may ask, and whose X-Forwarded-For is believed.
	Proxies []string `yaml:"proxies"`
	// Headers in which they tell of the request; none stands for X-Forwarded-*.
	Headers Headers `yaml:"headers"`
	// TLS of this listener.
	TLS server.TLS `yaml:"tls"`
}

// Headers are the names of those that a proxy tells of a request in.
type Headers struct {
	Method string `yaml:"method"`
	URI    string `yaml:"uri"`
	Host   string `yaml:"host"`
	Scheme string `yaml:"scheme"`
	URL    string `yaml:"url"`
}

// DefaultBase is the path of the gateway's own endpoints.
const DefaultBase = "/.gatehouse"

// variables is what the environment's begin with.
const variables = "GATEHOUSE_GATEWAY_"

// Load reads the configuration file and the GATEHOUSE_GATEWAY_* variables of environ.
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
	process.Below(path, c.paths()...)
	if err := config.Environment(variables, environ, &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// paths are all files that are named.
func (c *Config) paths() []*string {
	files := append(c.Redis.Paths(), &c.CAFile, &c.CountriesFile, &c.TLS.Certificate, &c.TLS.Key, &c.Decisions.TLS.Certificate, &c.Decisions.TLS.Key)
	for i := range c.Authentications {
		for j := range c.Authentications[i].Issuers {
			files = append(files, &c.Authentications[i].Issuers[j].ClientSecretFile)
		}
	}
	for i := range c.Upstreams {
		t := &c.Upstreams[i].TLS
		files = append(files, &t.CAFile, &t.Certificate, &t.Key)
	}
	for i := range c.OpenAPI {
		files = append(files, &c.OpenAPI[i].File)
	}
	for i := range c.Exchangers {
		files = append(files, c.Exchangers[i].Paths()...)
	}
	for i := range c.Identity.Keys {
		files = append(files, &c.Identity.Keys[i].File)
	}
	return files
}

// Check says everything that is wrong with the configuration and the files that it
// names, in words for the operator, or nil. It asks nobody.
func (c Config) Check() error {
	var problems []error
	add := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	for setting, address := range map[string]string{"listen": c.Listen, "decisions.listen": c.Decisions.Listen, "decisions.ext_authz_listen": c.Decisions.ExtAuthzListen} {
		if _, _, err := net.SplitHostPort(address); address != "" && err != nil {
			add(fmt.Errorf("%s must be host:port, such as 127.0.0.1:8060", setting))
		}
	}
	if c.Listen != "" && c.Listen == c.Decisions.Listen {
		add(errors.New("decisions.listen must differ from listen: whoever asks for decisions can tell of any request"))
	}
	add(c.Metrics.Check(c.Listen, c.Decisions.Listen, c.Decisions.ExtAuthzListen))
	for setting, t := range map[string]server.TLS{"tls": c.TLS, "decisions.tls": c.Decisions.TLS} {
		if (t.Certificate == "") != (t.Key == "") {
			add(fmt.Errorf("%s needs both certificate and key", setting))
		}
	}
	if c.H2C && c.TLS.Certificate != "" {
		add(errors.New("h2c is HTTP/2 without TLS, and there is a certificate: clients have HTTP/2 by it; leave h2c out"))
	}
	if base := c.base(); !strings.HasPrefix(base, "/") || strings.HasSuffix(base, "/") {
		add(fmt.Errorf("base must be a path such as %s, without a slash at the end", DefaultBase))
	}
	add(c.Log.Check())
	add(c.Redis.Check())
	settings, err := c.settings()
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	add(settings.Check())
	add(c.checkBase(settings))
	if c.Decisions.Listen != "" || c.Decisions.ExtAuthzListen != "" {
		decisions, err := c.decisions(settings)
		add(err)
		if err == nil {
			add(decisions.Check())
		}
	} else if len(c.Decisions.Proxies) > 0 || c.Decisions.Headers != (Headers{}) {
		add(errors.New("decisions.listen is missing: an address such as 127.0.0.1:8061, on which proxies ask"))
	}
	return errors.Join(problems...)
}

// public says whether clients are served, and not only proxies that ask.
func (c Config) public() bool { return c.Listen != "" || c.Decisions.Listen == "" }

func (c Config) base() string {
	if c.Base == "" {
		return DefaultBase
	}
	return c.Base
}

// checkBase keeps routes off the gateway's own paths, at which they would never be
// reached.
func (c Config) checkBase(settings gateway.Config) error {
	var problems []error
	for _, r := range settings.Routes {
		if r.Match.Path == c.base() || strings.HasPrefix(r.Match.Path, c.base()+"/") {
			problems = append(problems, fmt.Errorf("the route %q is below %s, where the gateway's own endpoints are; say another base", r.Name, c.base()))
		}
	}
	return errors.Join(problems...)
}

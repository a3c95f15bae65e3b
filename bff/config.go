package bff

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/client"
	"gatehouse/internal/proxy"
	"gatehouse/kv"
	"gatehouse/oauth"
)

// What a Config that leaves it open stands for.
const (
	DefaultBase        = "/bff"
	DefaultCookieName  = "bff"
	DefaultCSRFHeader  = "X-CSRF"
	DefaultMaxBody     = 10 << 20
	DefaultTimeout     = time.Minute
	DefaultStreamCheck = 5 * time.Second
)

// Bounds of a Config.
const (
	MaxIssuers   = 16
	MaxUpstreams = 64
	MaxRoutes    = 256 // of one upstream
)

// Config says for whom the BFF stands where.
type Config struct {
	// URL is the origin under which browsers reach the application: a scheme and a
	// host. https, or http on this machine.
	URL string
	// Issuers are where people sign in, the default first.
	Issuers []Issuer
	// Upstreams are the APIs.
	Upstreams []Upstream
	// Files answers all paths that are neither an upstream's nor the BFF's own; nil
	// answers 404. It is not asked who is signed in.
	Files http.Handler

	// Base is the path under which the BFF's own endpoints are; Paths names single
	// ones elsewhere.
	Base  string
	Paths Paths

	// Store, Keys, SessionLife, SessionIdle, MaxSessions: see [client.Config]. All
	// issuers share them.
	Store       kv.Store
	Keys        [][]byte
	SessionLife time.Duration
	SessionIdle time.Duration
	MaxSessions int
	// CookieName is the beginning of the names of all our cookies, less the prefix.
	CookieName string

	// CSRFHeader is the name of the header that every API call has, with the value 1.
	CSRFHeader string
	// UserClaims are what /bff/user tells of the ID token and UserInfo; nil stands for
	// sub and name.
	UserClaims []string
	// IdentityHeaders are further names of headers that no request brings to an
	// upstream; a star may stand at the end.
	IdentityHeaders []string
	// TrustedProxies are the peers whose X-Forwarded-For is passed on.
	TrustedProxies []netip.Prefix
	// StreamCheck is how often sessions with open streams are looked at, for those
	// that another process ended.
	StreamCheck time.Duration

	Logger *slog.Logger
	// InsecureAllowHTTP admits a URL on http that is not this machine's.
	InsecureAllowHTTP bool
}

// Issuer is where people sign in, and what the application is there.
type Issuer struct {
	// Name tells issuers apart, in addresses and to /bff/login?issuer=; small
	// letters, digits and "-". The first issuer may have none.
	Name string
	// Issuer is its identifier.
	Issuer string
	// Client is who we are there. Addresses, cookies, stores and times are set by New.
	Client client.Config
	// Prompt is sent with each login (OpenID Connect Core §3.1.2.1): "", or consent for
	// issuers that give refresh tokens only then (§11), or select_account.
	Prompt string
}

// Upstream is an API.
type Upstream struct {
	// Path is where browsers find it: requests for what is below it are sent to what
	// is below URL.
	Path string
	URL  string
	// Routes are what may be asked for. Nothing else is passed on.
	Routes []Route
	// Resource, if set, is the API's identifier (RFC 8707 §2): what is passed on has an access
	// token for it alone, which is had by the session's refresh token when it is wanted first.
	// "" stands for the token of the login, which is for the issuer's Client.Resources.
	// Every issuer must know it.
	Resource string
	// Anonymous passes requests on without a session and without a token.
	Anonymous bool
	// MaxBody bounds a request's body, in bytes.
	MaxBody int64
	// Timeout bounds one request and its answer, streams apart.
	Timeout time.Duration
	// TLS is how the upstream is recognised; nil trusts the system's authorities.
	TLS *tls.Config
	// InsecureAllowHTTP admits an upstream on plain http that is not on this machine:
	// whoever is on the way can read the tokens.
	InsecureAllowHTTP bool
}

// Route is a path below an upstream's, as in [http.ServeMux]: "/photos/{id}",
// "/files/{rest...}".
type Route struct {
	Path string
	// Methods that may be used; GET stands for HEAD, too.
	Methods []string
	// Stream says that answers may go on until the session ends, and that browsers may
	// open it by EventSource or WebSocket, which cannot send the CSRF header.
	Stream bool
	// Resource, if set, stands in the place of the Upstream's.
	Resource string
}

// Paths are those of the BFF's own endpoints.
type Paths struct {
	Login, Callback, User, Logout, LoggedOut, BackChannelLogout, Module string
}

func (c Config) withDefaults() Config {
	text := func(s *string, fallback string) {
		if *s == "" {
			*s = fallback
		}
	}
	text(&c.Base, DefaultBase)
	text(&c.Paths.Login, c.Base+"/login")
	text(&c.Paths.Callback, c.Base+"/callback")
	text(&c.Paths.User, c.Base+"/user")
	text(&c.Paths.Logout, c.Base+"/logout")
	text(&c.Paths.LoggedOut, c.Base+"/logged-out")
	text(&c.Paths.BackChannelLogout, c.Base+"/backchannel-logout")
	text(&c.Paths.Module, c.Base+"/bff.js")
	text(&c.CookieName, DefaultCookieName)
	text(&c.CSRFHeader, DefaultCSRFHeader)
	if c.UserClaims == nil {
		c.UserClaims = []string{"sub", "name"} // RFC 10017 §6.1.2: what the frontend needs, and no more
	}
	if c.StreamCheck == 0 {
		c.StreamCheck = DefaultStreamCheck
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Upstreams = slices.Clone(c.Upstreams)
	for i := range c.Upstreams {
		if u := &c.Upstreams[i]; u.MaxBody == 0 {
			u.MaxBody = DefaultMaxBody
		}
		if u := &c.Upstreams[i]; u.Timeout == 0 {
			u.Timeout = DefaultTimeout
		}
	}
	return c
}

func (p Paths) all() map[string]string {
	return map[string]string{
		"login": p.Login, "callback": p.Callback, "user": p.User, "logout": p.Logout, "logged_out": p.LoggedOut,
		"backchannel_logout": p.BackChannelLogout, "module": p.Module,
	}
}

// Check says everything that can be known to be wrong with the configuration without
// asking anybody, or nil.
func (c Config) Check() error {
	c = c.withDefaults()
	var problems []error
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if err := c.checkURL(); err != nil {
		problems = append(problems, err)
	}
	if len(c.Issuers) == 0 || len(c.Issuers) > MaxIssuers {
		complain("there must be 1 to %d issuers", MaxIssuers)
	}
	names := map[string]bool{}
	for at, i := range c.Issuers {
		if i.Name == "" && at > 0 {
			complain("the issuer without a name must be the first")
		}
		if names[i.Name] {
			complain("two issuers are called %q; give each a name of its own", i.Name)
		}
		names[i.Name] = true
		if !slices.Contains([]string{"", "login", "consent", "select_account"}, i.Prompt) {
			complain("the issuer %q: the prompt %q is none of login, consent, select_account", i.Issuer, i.Prompt)
		}
		if err := checkName(i.Name); err != nil {
			complain("the issuer %q: %w", i.Name, err)
		}
		if err := c.clientConfig(i, nil).Check(i.Issuer); err != nil {
			complain("the issuer %q: %w", i.Issuer, err)
		}
	}
	if strings.ContainsFunc(c.CSRFHeader, func(r rune) bool { return r != '-' && !letter(r) }) {
		complain("the CSRF header %q may have letters and - only", c.CSRFHeader)
	}
	if c.CSRFHeader != "" && simpleHeader(c.CSRFHeader) {
		complain("other sites can send the header %s, so that it proves nothing; take X-CSRF", c.CSRFHeader)
	}
	if strings.ContainsFunc(c.CookieName, func(r rune) bool { return !letter(r) && !('0' <= r && r <= '9') }) {
		complain("the cookie's name %q may have letters and digits only", c.CookieName)
	}
	if c.SessionLife < 0 || c.SessionIdle < 0 || c.StreamCheck < 0 {
		complain("a time cannot be below zero")
	}
	if c.MaxSessions < 0 || c.MaxSessions > client.MaxGroup {
		complain("the sessions of a person may be 1 to %d", client.MaxGroup)
	}
	if c.Store != nil && len(c.Keys) == 0 {
		complain("the keys are missing: what is put into a shared store is sealed; give 32 random bytes that all replicas know")
	}
	if _, err := proxy.NewFilter(func(string) bool { return false }, c.IdentityHeaders...); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(append(problems, c.checkPaths()...)...)
}

func (c Config) checkURL() error {
	if c.URL == "" {
		return errors.New("the URL is missing; give the origin under which browsers reach the application, such as https://app.example.com")
	}
	at, err := url.Parse(c.URL)
	if err != nil || at.Host == "" || at.Scheme+"://"+at.Host != c.URL || at.Scheme != "https" && at.Scheme != "http" || strings.ToLower(c.URL) != c.URL {
		return fmt.Errorf("the URL %q is not an origin: a scheme and a host in small letters, without a path or a slash at the end", c.URL)
	}
	if port := at.Port(); port == "443" && at.Scheme == "https" || port == "80" && at.Scheme == "http" {
		return fmt.Errorf("the URL %q names the port that browsers leave out; leave it out", c.URL)
	}
	if at.Scheme == "http" && !c.InsecureAllowHTTP && !oauth.LoopbackHost(at.Hostname()) {
		return errors.New("the URL uses http on a host that is not this machine; use https")
	}
	return nil
}

// checkPaths holds the paths of endpoints and upstreams against each other.
func (c Config) checkPaths() (problems []error) {
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	taken := map[string]string{}
	for name, path := range c.Paths.all() {
		if pattern, err := proxy.ParsePattern(path); err != nil || !pattern.Match(path) || path == "/" || strings.Contains(path, "{") {
			complain("the path of %s, %q, is no plain path", name, path)
		}
		if other, twice := taken[path]; twice {
			complain("%s and %s have the same path %s", min(name, other), max(name, other), path)
		}
		taken[path] = name
	}
	if len(c.Upstreams) > MaxUpstreams {
		complain("there are more than %d upstreams", MaxUpstreams)
	}
	for i, u := range c.Upstreams {
		problems = append(problems, u.check()...)
		for name, path := range c.Paths.all() {
			if below(path, u.Path) || below(u.Path, path) {
				complain("the upstream at %s is in the way of %s at %s", u.Path, name, path)
			}
		}
		for _, other := range c.Upstreams[:i] {
			if u.Path == other.Path {
				complain("two upstreams are at %s", u.Path)
			}
		}
	}
	return problems
}

// resources are those of which upstreams get a token of their own.
func (c Config) resources() (all []string) {
	for _, u := range c.Upstreams {
		for _, route := range u.Routes {
			if one := cmp.Or(route.Resource, u.Resource); one != "" && !u.Anonymous && !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	return all
}

func (u Upstream) check() (problems []error) {
	complain := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("the upstream at "+u.Path+": "+format, args...))
	}
	if pattern, err := proxy.ParsePattern(u.Path); err != nil || strings.Contains(u.Path, "{") || !pattern.Match(u.Path) {
		return []error{fmt.Errorf("the path of an upstream, %q, is no plain path such as /api", u.Path)}
	}
	at, err := url.Parse(u.URL)
	if err != nil || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" || at.Scheme != "https" && at.Scheme != "http" ||
		at.Path != "" && proxy.CheckPath(at.EscapedPath()) != nil {
		complain("%q is no https URL without a query", u.URL)
	} else if at.Scheme == "http" && !u.InsecureAllowHTTP && !u.Anonymous && !oauth.LoopbackHost(at.Hostname()) {
		complain("tokens would go over plain http; use https, or say that it is insecure")
	}
	if len(u.Routes) == 0 || len(u.Routes) > MaxRoutes {
		complain("it needs 1 to %d routes: nothing is passed on that no route names", MaxRoutes)
	}
	if u.MaxBody < 0 || u.Timeout < 0 {
		complain("a bound cannot be below zero")
	}
	if u.Anonymous && (u.Resource != "" || slices.ContainsFunc(u.Routes, func(r Route) bool { return r.Resource != "" })) {
		complain("it is Anonymous and gets no token, so that a Resource says nothing")
	}
	for _, route := range u.Routes {
		if _, err := proxy.ParsePattern(route.Path); err != nil {
			complain("%w", err)
		}
		if len(route.Methods) == 0 {
			complain("the route %s names no method", route.Path)
		}
		for _, method := range route.Methods {
			if method == "" || strings.ToUpper(method) != method || strings.ContainsFunc(method, func(r rune) bool { return !letter(r) }) ||
				method == http.MethodConnect || method == http.MethodTrace {
				complain("the route %s: %q is no method that is passed on; methods are written in capital letters, and CONNECT and TRACE are none", route.Path, method)
			}
		}
		if route.Stream && !slices.Contains(route.Methods, http.MethodGet) {
			complain("the route %s is a stream and has no GET", route.Path)
		}
	}
	return problems
}

// below says whether a path is another, or below it.
func below(path, other string) bool {
	rest, found := strings.CutPrefix(path, strings.TrimSuffix(other, "/"))
	return found && (rest == "" || rest[0] == '/')
}

const maxName = 16

func checkName(name string) error {
	if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r != '-' && !('a' <= r && r <= 'z') && !('0' <= r && r <= '9') }) {
		return fmt.Errorf("a name has at most %d small letters, digits and -", maxName)
	}
	return nil
}

func letter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// simpleHeader says whether every site can send the header without asking first
// (Fetch, CORS-safelisted request-header), or browsers set it by themselves.
func simpleHeader(name string) bool {
	lower := strings.ToLower(name)
	return slices.Contains([]string{"accept", "accept-language", "content-language", "content-type", "range", "cookie", "origin", "referer", "host", "user-agent", "connection", "dpr", "width", "viewport-width", "save-data", "downlink", "ect", "rtt", "device-memory"}, lower) ||
		strings.HasPrefix(lower, "sec-") || strings.HasPrefix(lower, "accept") || strings.HasPrefix(lower, "if-")
}

// Addresses are what is registered at an issuer: one of its redirect_uris, one of its
// post_logout_redirect_uris, and the backchannel_logout_uri.
type Addresses struct{ RedirectURI, PostLogoutRedirectURI, BackChannelLogoutURI string }

// Addresses returns those for the issuer of a name.
func (c Config) Addresses(issuer string) Addresses {
	c = c.withDefaults()
	at := func(path string) string { return c.URL + under(path, issuer) }
	return Addresses{at(c.Paths.Callback), at(c.Paths.LoggedOut), at(c.Paths.BackChannelLogout)}
}

package gateway

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/proxy"
	"gatehouse/oauth"
)

// maxName bounds the names of authentications, upstreams and routes, which are labels
// of metrics and parts of log lines.
const maxName = 64

// Check says everything that can be known to be wrong with the configuration without
// asking anybody, or nil.
func (c Config) Check() error {
	c = c.withDefaults()
	var p problems
	p.bound("authentications", len(c.Authentications), MaxAuthentications)
	p.bound("upstreams", len(c.Upstreams), MaxUpstreams)
	p.bound("routes", len(c.Routes), MaxRoutes)
	if len(c.Routes) == 0 {
		p.say("there is no route, so that nothing would be let through")
	}
	if c.StreamCheck < 0 || c.MaxExchanged < 0 {
		p.say("StreamCheck or MaxExchanged is below zero")
	}
	p.networks("the trusted proxies", c.TrustedProxies)
	c.checkAuthentications(&p)
	c.checkExchangers(&p)
	c.checkIdentity(&p)
	names := map[string]bool{}
	for _, u := range c.Upstreams {
		p.name("upstream", u.Name, names)
		p.about(fmt.Sprintf("the upstream %q", u.Name), u.check())
	}
	names = map[string]bool{}
	for _, r := range c.Routes {
		p.name("route", r.Name, names)
		p.about(fmt.Sprintf("the route %q", r.Name), c.checkRoute(r))
	}
	if len(p) == 0 { // what overlaps is known of routes that are right
		_, err := newTables(c.Routes)
		p.about("", err)
	}
	return errors.Join(p...)
}

// problems are what is wrong.
type problems []error

func (p *problems) say(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

// about adds each of the joined errors, with what it is about.
func (p *problems) about(what string, err error) {
	if err == nil {
		return
	}
	all := []error{err}
	if joined, is := err.(interface{ Unwrap() []error }); is {
		all = joined.Unwrap()
	}
	for _, one := range all {
		if what != "" {
			one = fmt.Errorf("%s: %w", what, one)
		}
		*p = append(*p, one)
	}
}

func (p *problems) bound(what string, n, bound int) {
	if n > bound {
		p.say("there are more than %d %s", bound, what)
	}
}

func (p *problems) name(kind, name string, taken map[string]bool) {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !letterOrDigit(r) && !strings.ContainsRune("-_.", r) }) {
		p.say("the name of an %s, %q, is not 1 to %d letters, digits, -, _ and .", kind, name, maxName)
	}
	if taken[name] {
		p.say("two of kind %s are called %q", kind, name)
	}
	taken[name] = true
}

func (p *problems) networks(what string, networks []netip.Prefix) {
	p.bound("networks of "+what, len(networks), MaxNetworks)
	for _, one := range networks {
		if !one.IsValid() || one != one.Masked() || one.Addr().Is4In6() || one.Addr().Zone() != "" {
			p.say("%s: %s is not a network such as 192.0.2.0/24 or 2001:db8::/32 with nothing behind its bits", what, one)
		}
	}
}

func letterOrDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

func (c *Config) checkAuthentications(p *problems) {
	names := map[string]bool{}
	for _, a := range c.Authentications {
		p.name("authentication", a.Name, names)
		p.about(fmt.Sprintf("the authentication %q", a.Name), a.Resource.Check())
	}
}

func (c *Config) checkExchangers(p *problems) {
	issuers := map[string]bool{}
	for _, e := range c.Exchangers {
		if issuers[e.Issuer] {
			p.say("two exchangers are for the issuer %q", e.Issuer)
		}
		issuers[e.Issuer] = true
		p.about(fmt.Sprintf("the exchanger for %q", e.Issuer), e.Client.Check(e.Issuer))
	}
}

// needed are some of the headers without which requests mean something else.
var needed = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Type", "Cookie", "Date", "Expect",
	"Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "Idempotency-Key", "Last-Event-Id", "Origin", "Prefer", "Range", "Referer", "Sec-Fetch-Site", "Sec-Websocket-Key", "Te",
	"Traceparent", "Tracestate", "Transfer-Encoding", "Upgrade", "User-Agent", "Via",
}

func (c *Config) checkIdentity(p *problems) {
	i := c.Identity
	for what, name := range map[string]string{"HeaderPrefix": i.HeaderPrefix, "JWTHeader": i.JWTHeader} {
		if !fieldName(name) {
			p.say("Identity.%s: %q has other characters than letters, digits and -", what, name)
		}
	}
	if !strings.HasSuffix(i.HeaderPrefix, "-") {
		p.say("Identity.HeaderPrefix %q does not end in -; headers of others would be taken for ours", i.HeaderPrefix)
	}
	if filter, err := newFilter(i); err != nil {
		p.about("Identity", err)
	} else {
		for _, name := range needed {
			if filter.Identifies(name) {
				p.say("Identity: HeaderPrefix %q or JWTHeader %q would keep %s from upstreams; take another name, such as one that begins with X-", i.HeaderPrefix, i.JWTHeader, name)
			}
		}
	}
	taken := map[string]string{}
	for _, one := range standardHeaders {
		taken[proxy.Alias(one)] = one
	}
	for name, claim := range i.Claims {
		if !fieldName(name) || claim == "" {
			p.say("Identity.Claims: %q from the claim %q is no header", name, claim)
		}
		if other, twice := taken[proxy.Alias(name)]; twice {
			p.say("Identity.Claims: %s means the same as %s", name, other)
		}
		taken[proxy.Alias(name)] = name
	}
	if i.JWTLife < time.Second || i.JWTLife > MaxJWTLife {
		p.say("Identity.JWTLife is not between a second and %v", MaxJWTLife)
	}
	kids := map[string]bool{}
	for _, key := range i.Keys {
		if kids[key.ID()] || key.ID() == "" {
			p.say("Identity.Keys: a key has no id, or one that another has")
		}
		kids[key.ID()] = true
	}
	if i.Issuer != "" {
		if at, err := url.Parse(i.Issuer); err != nil || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" ||
			at.Scheme != "https" && !(at.Scheme == "http" && oauth.LoopbackHost(at.Hostname())) {
			p.say("Identity.Issuer %q is not an https URL", i.Issuer)
		}
	}
}

// fieldName says whether a text can be the name of a header, or its beginning.
func fieldName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool { return r != '-' && !letterOrDigit(r) })
}

func (u Upstream) check() error {
	var p problems
	at, err := url.Parse(u.URL)
	if err != nil || at.Host == "" || at.User != nil || at.RawQuery != "" || at.ForceQuery || at.Fragment != "" || at.Scheme != "https" && at.Scheme != "http" ||
		at.Path != "" && proxy.CheckPath(at.EscapedPath()) != nil {
		p.say("%q is not an https URL without a query", u.URL)
		return errors.Join(p...)
	}
	if at.Scheme == "http" && !u.InsecureAllowHTTP && !oauth.LoopbackHost(at.Hostname()) {
		p.say("%s is plain http on another machine; use https, or say InsecureAllowHTTP", u.URL)
	}
	if at.Scheme == "http" && (u.CAFile != "" || u.CertFile != "" || u.ServerName != "") {
		p.say("certificates are configured, but %s is plain http", u.URL)
	}
	if (u.CertFile == "") != (u.KeyFile == "") {
		p.say("one of CertFile and KeyFile is missing")
	}
	if u.H2C && at.Scheme == "https" {
		p.say("H2C is for plain http; over TLS, HTTP/2 is agreed on by itself")
	}
	if u.AnswerTimeout < 0 || u.Retries > MaxRetries {
		p.say("AnswerTimeout is below zero, or Retries above %d", MaxRetries)
	}
	if u.Host != "" && !validHost(u.Host) {
		p.say("the Host %q is not a name in small letters, with a port or without", u.Host)
	}
	if err := u.checkFiles(); err != nil {
		p = append(p, err)
	}
	return errors.Join(p...)
}

func (c *Config) checkRoute(r Route) error {
	var p problems
	pattern := r.Match.check(&p)
	switch {
	case r.Public && r.Authentication != "":
		p.say("it is Public and has an Authentication")
	case r.Public && (len(r.Needs.Scopes)+len(r.Needs.Claims)+len(r.Needs.ACRValues) > 0 || r.Needs.MaxAuthAge != 0 || r.Needs.MaxTokenAge != 0 || r.Forward != Forward{}):
		p.say("it is Public, so that no token fulfils its Needs, and there is nobody that Forward could tell of")
	case !r.Public && r.Authentication == "":
		p.say("it names no Authentication; a route that lets everybody in says Public")
	case !r.Public && !slices.ContainsFunc(c.Authentications, func(a Authentication) bool { return a.Name == r.Authentication }):
		p.say("there is no Authentication %q", r.Authentication)
	}
	if err := r.Needs.Validate(); err != nil {
		p.say("Needs: %w", err)
	}
	for _, scope := range r.Needs.Scopes {
		_, fills := oauth.FillScope(scope, func(name string) string {
			value := ""
			pattern.Values("/"+strings.Repeat("x/", proxy.MaxPatternBytes/2), func(variable, _ string) {
				if variable == name {
					value = "x"
				}
			})
			return value
		})
		if oauth.ScopeHasParameters(scope) && !fills {
			p.say("the scope %s has a parameter that is no variable of the path %s", scope, r.Match.Path)
		}
	}
	p.networks("Networks", slices.Concat(r.Networks.Allow, r.Networks.Deny))
	c.checkCountries(r.Countries, &p)
	p.bound("Limits", len(r.Limits), MaxLimits)
	for _, l := range r.Limits {
		if l.Per != PerAddress && l.Per != PerClient && l.Per != PerSubject {
			p.say("a limit is per %q, which is none of address, client, subject", l.Per)
		}
		if r.Public && l.Per != PerAddress {
			p.say("it is Public, and has a limit per %s", l.Per)
		}
		if !(l.Rate > 0) || math.IsInf(l.Rate, 0) {
			p.say("the rate of a limit is not above zero")
		}
	}
	c.checkForward(r, &p)
	if r.StripPrefix != "" {
		if _, under := pattern.Under(r.StripPrefix); !under {
			p.say("the path %s is not below StripPrefix %q, which is a path such as /api", r.Match.Path, r.StripPrefix)
		}
	}
	for _, origin := range r.Origins {
		if at, err := url.Parse(origin); err != nil || at.Scheme+"://"+at.Host != origin || at.Host == "" || strings.ToLower(origin) != origin {
			p.say("%q is not an origin: a scheme and a host in small letters", origin)
		}
	}
	if len(r.Origins) > 0 && !r.Stream {
		p.say("it has Origins and is no Stream, so that nobody opens a WebSocket")
	}
	if r.MaxBody < 0 || r.Timeout < 0 {
		p.say("MaxBody or Timeout is below zero")
	}
	return errors.Join(p...)
}

func (c *Config) checkForward(r Route, p *problems) {
	if r.Upstream != "" && !slices.ContainsFunc(c.Upstreams, func(u Upstream) bool { return u.Name == r.Upstream }) {
		p.say("there is no upstream %q", r.Upstream)
	}
	f := r.Forward
	if f.JWT && (len(c.Identity.Keys) == 0 || c.Identity.Issuer == "") {
		p.say("Forward.JWT needs Identity.Issuer and Identity.Keys")
	}
	if f.JWT && r.Upstream == "" {
		p.say("Forward.JWT is for an upstream, and it has none")
	}
	if f.Exchange == nil {
		return
	}
	if f.InsecureOriginalToken {
		p.say("Forward has both Exchange and InsecureOriginalToken")
	}
	if (f.Exchange.Resource == "") == (f.Exchange.Audience == "") {
		p.say("Forward.Exchange needs one of Resource and Audience")
	}
	if _, err := oauth.ParseScope(f.Exchange.Scope); err != nil {
		p.say("Forward.Exchange.Scope is malformed")
	}
	for _, a := range c.Authentications {
		if a.Name != r.Authentication {
			continue
		}
		issuers := []string{a.Resource.Issuer}
		for _, i := range a.Resource.Issuers {
			issuers = append(issuers, i.Identifier)
		}
		for _, issuer := range issuers {
			if issuer != "" && !slices.ContainsFunc(c.Exchangers, func(e Exchanger) bool { return e.Issuer == issuer }) {
				p.say("Forward.Exchange: there is no exchanger for the issuer %s", issuer)
			}
		}
	}
}

func (c *Config) checkCountries(rule CountryRule, p *problems) {
	codes := slices.Concat(rule.Allow, rule.Deny)
	if len(codes) > 0 && c.Countries == nil {
		p.say("it has a rule about countries, but Config.Countries is missing")
	}
	for _, code := range codes {
		if len(code) != 2 || strings.ContainsFunc(code, func(r rune) bool { return r < 'A' || 'Z' < r }) {
			p.say("%q is not a country's code of two capital letters", code)
		}
	}
}

// check adds what is wrong with the match, and returns its pattern.
func (m Match) check(p *problems) proxy.Pattern {
	pattern, err := proxy.ParsePattern(m.Path)
	p.about("", err)
	p.bound("hosts", len(m.Hosts), MaxHosts)
	for _, host := range m.Hosts {
		if name := strings.TrimPrefix(host, "*."); !validHost(name) || hostName(name) != name || strings.HasPrefix(host, "*.") && !strings.Contains(name, ".") {
			p.say("the host %q is not a name in small letters without a port, nor *. and one", host)
		}
	}
	for _, method := range m.Methods {
		if !validMethod(method) {
			p.say("%q is not a method that is passed on; methods are written in capital letters, and CONNECT and TRACE are none", method)
		}
	}
	return pattern
}

func validMethod(method string) bool {
	return method != "" && len(method) <= maxName && method != http.MethodConnect && method != http.MethodTrace &&
		!strings.ContainsFunc(method, func(r rune) bool { return r != '-' && (r < 'A' || 'Z' < r) })
}

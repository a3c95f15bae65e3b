package gateway

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"gatehouse/client"
	"gatehouse/internal/proxy"
	"gatehouse/oauth"
	"gatehouse/resource"
)

// call is a request on its way through the rules.
type call struct {
	Request
	// http is the request as net/http has it, or would have it.
	http *http.Request
	// route is nil until it is found.
	route    *route
	decision Decision

	raw       string // the access token, once it was found right
	digest    digest // of raw, where it is needed
	exchanged client.Secret
	admitted  *resource.Access
}

// key is what the token is exchanged for, and kept by.
func (c *call) key() exchangeKey {
	return exchangeKey{c.admitted.Issuer, c.digest, *c.route.Forward.Exchange}
}

// step is told of what a rule said.
func (c *call) step(name string, outcome Outcome, format string, args ...any) {
	if c.Explain {
		c.decision.Steps = append(c.decision.Steps, Step{name, outcome, fmt.Sprintf(format, args...)})
	}
}

// rules are what every request is held to, in this order. The first refusal is the
// decision.
var rules = []struct {
	name string
	rule func(*Gateway, context.Context, *call) *oauth.Error
}{
	{"target", (*Gateway).checkTarget},
	{"route", (*Gateway).findRoute},
	{"address", (*Gateway).findAddress},
	{"network", (*Gateway).checkNetwork},
	{"country", (*Gateway).checkCountry},
	{"limit", (*Gateway).limitAddress},
	{"token", (*Gateway).checkToken},
	{"limit", (*Gateway).limitWhoAsks},
	{"upgrade", (*Gateway).checkUpgrade},
	{"forward", (*Gateway).prepareForward},
}

// Decide decides about a request and passes nothing on. A decision is told in the log
// and counted, as that of ServeHTTP is.
func (g *Gateway) Decide(ctx context.Context, r Request) Decision {
	c := &call{Request: r}
	target, err := url.ParseRequestURI(r.Target)
	if err != nil {
		c.step("target", Refused, "it cannot be parsed")
		c.decision.refuse(badTarget(&proxy.TargetError{Detail: "cannot be parsed"}))
	} else {
		header := r.Header
		if header == nil {
			header = http.Header{}
		}
		c.Header = header
		request := &http.Request{Method: r.Method, URL: target, RequestURI: r.Target, Host: r.Host, Header: header, RemoteAddr: netip.AddrPortFrom(r.Peer, 0).String()}
		c.http = request.WithContext(ctx)
		g.decide(ctx, c)
	}
	if !r.Explain {
		g.tell(ctx, c)
	}
	for name := range c.Header {
		if g.Managed(name) {
			c.decision.Removed = append(c.decision.Removed, name)
		}
	}
	slices.Sort(c.decision.Removed)
	return c.decision
}

// decide goes through the rules.
func (g *Gateway) decide(ctx context.Context, c *call) {
	for i := range rules {
		if refusal := rules[i].rule(g, ctx, c); refusal != nil {
			c.step(rules[i].name, Refused, "%s", refusal.Description)
			c.decision.refuse(refusal)
			return
		}
	}
	d := &c.decision
	d.Allowed, d.Status, d.Reason = true, http.StatusOK, Allowed
	if d.Access != nil {
		d.Until = d.Access.Expiry
	}
}

func (g *Gateway) checkTarget(_ context.Context, c *call) *oauth.Error {
	if !validHost(c.Host) || len(c.Header["Host"]) > 1 || len(c.Header["Host"]) == 1 && c.Header["Host"][0] != c.Host { // RFC 9113 §8.3.1
		return badHost()
	}
	if c.ServerName != "" && !strings.EqualFold(strings.TrimSuffix(c.ServerName, "."), hostName(c.Host)) {
		return misdirected()
	}
	if err := proxy.CheckTarget(c.http, c.Host); err != nil {
		return badTarget(err)
	}
	c.step("target", Passed, "host %s, path %s: they have one meaning", hostName(c.Host), c.http.URL.Path)
	return nil
}

func (g *Gateway) findRoute(_ context.Context, c *call) *oauth.Error {
	t := g.tables.at(hostName(c.Host))
	if t == nil {
		return noRoute()
	}
	path := c.http.URL.Path
	found, allowed := t.find(path, c.Method)
	if found != nil && !validMethod(c.Method) {
		found, allowed = nil, everyMethod
	}
	if found == nil {
		if allowed == nil {
			return noRoute()
		}
		c.decision.Header = http.Header{"Allow": {allowHeader(allowed)}}
		return wrongMethod()
	}
	c.route, c.decision.Route = found, found.Name
	if t.ambiguous(path, c.Method, found) {
		return ambiguousPath()
	}
	c.step("route", Passed, "%s, by the path %s", found.Name, found.pattern)
	return nil
}

// everyMethod are those that a client is told of a route that takes every one.
var everyMethod = []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch, http.MethodPost, http.MethodPut}

func (g *Gateway) findAddress(_ context.Context, c *call) *oauth.Error {
	address, known := g.clientAddress(c.Peer, c.Header)
	if known {
		c.decision.Address = address
		c.step("address", Passed, "the client is at %s", address)
		return nil
	}
	r := c.route
	if r.Networks.empty() && r.Countries.empty() && !slices.ContainsFunc(r.Limits, func(l Limit) bool { return l.Per == PerAddress }) {
		c.step("address", Skipped, "where the client is cannot be told, and no rule asks")
		return nil
	}
	return unknownAddress()
}

func (g *Gateway) checkNetwork(_ context.Context, c *call) *oauth.Error {
	switch rule := c.route.Networks; {
	case rule.empty():
		c.step("network", Skipped, "the route has no rule about networks")
	case !rule.has(c.decision.Address):
		return wrongNetwork()
	default:
		c.step("network", Passed, "%s is in a network of the route", c.decision.Address)
	}
	return nil
}

func (g *Gateway) checkCountry(_ context.Context, c *call) *oauth.Error {
	rule := c.route.Countries
	if rule.empty() {
		c.step("country", Skipped, "the route has no rule about countries")
		return nil
	}
	code, known, err := g.config.Countries.Country(c.decision.Address)
	if err != nil {
		return noCountries(err)
	}
	if !rule.has(code, known) {
		return wrongCountry()
	}
	c.step("country", Passed, "the country %q is one of the route's", code)
	return nil
}

func (g *Gateway) limitAddress(_ context.Context, c *call) *oauth.Error {
	for _, l := range c.route.Limits {
		if l.Per == PerAddress {
			if refusal := g.limit(c, l, network(c.decision.Address)); refusal != nil {
				return refusal
			}
		}
	}
	return nil
}

func (g *Gateway) limitWhoAsks(_ context.Context, c *call) *oauth.Error {
	for _, l := range c.route.Limits {
		if l.Per == PerAddress {
			continue
		}
		of := c.admitted.ClientID
		if l.Per == PerSubject {
			of = c.admitted.Claims.Subject
		}
		if refusal := g.limit(c, l, c.admitted.Issuer+" "+of); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (g *Gateway) limit(c *call, l Limit, of string) *oauth.Error {
	take := g.limits.take
	if c.Explain {
		take = g.limits.wait
	}
	if wait := take(limitKey(c.route.Name, l.Per, of), l.Rate); wait > 0 {
		return limited(l.Per, wait)
	}
	c.step("limit", Passed, "below %g a second per %s", l.Rate, l.Per)
	return nil
}

// checkToken lets in by the token, and whoever comes where the route is public.
func (g *Gateway) checkToken(ctx context.Context, c *call) *oauth.Error {
	r := c.route
	if r.Public {
		c.step("token", Skipped, "the route is public")
		return nil
	}
	if oauthParameterized(r) {
		r.pattern.Values(c.http.URL.Path, c.http.SetPathValue)
	}
	access, err := r.admission.Admit(c.http)
	c.decision.Access = access
	if err != nil {
		refusal := oauth.AsError(err)
		if refusal.Status == http.StatusUnauthorized || refusal.Status == http.StatusForbidden || refusal.Status == http.StatusBadRequest {
			c.decision.Header = http.Header{"Www-Authenticate": {r.admission.Challenge(c.http, refusal).Header(refusal)}}
		}
		return refusal
	}
	c.admitted = access
	_, c.raw, _ = strings.Cut(c.Header.Get("Authorization"), " ")
	c.raw = strings.Trim(c.raw, " ")
	c.step("token", Passed, "it is the token %q of %s for the client %q and the subject %q, and has what the route needs", access.JTI, access.Issuer, access.ClientID, access.Claims.Subject)
	return nil
}

// oauthParameterized says whether a scope takes its value from the path.
func oauthParameterized(r *route) bool {
	return slices.ContainsFunc(r.Needs.Scopes, oauth.ScopeHasParameters)
}

// checkUpgrade holds WebSockets to the route and to the page that opens them; other
// protocols are not changed to.
func (g *Gateway) checkUpgrade(_ context.Context, c *call) *oauth.Error {
	upgrades, webSocket := proxy.Upgrades(c.http)
	if !upgrades || !webSocket {
		c.step("upgrade", Skipped, "the request is no WebSocket")
		return nil
	}
	if !c.route.Stream {
		return notUpgraded()
	}
	origins := c.Header["Origin"]
	if len(origins) > 1 || len(origins) == 1 && origins[0] != c.Scheme+"://"+strings.ToLower(c.Host) && !slices.Contains(c.route.Origins, origins[0]) { // RFC 6455 §10.2
		return wrongOrigin()
	}
	c.step("upgrade", Passed, "the route takes WebSockets, and of this origin")
	return nil
}

// prepareForward makes what the upstream gets.
func (g *Gateway) prepareForward(ctx context.Context, c *call) *oauth.Error {
	f := &c.route.Forward
	if *f == (Forward{}) {
		c.step("forward", Passed, "the upstream is told nothing of who asks")
		return nil
	}
	c.decision.Set = http.Header{}
	if f.Headers {
		g.identity.tell(c.decision.Set, c.admitted)
	}
	if f.JWT || f.Exchange != nil {
		c.digest = digestOf(c.raw)
	}
	if f.JWT {
		jwt, err := g.identity.jwt(c.admitted, c.digest, c.route.audience)
		if err != nil {
			return oauth.Fault(err)
		}
		c.decision.Set[g.identity.header] = []string{jwt}
	}
	switch {
	case f.InsecureOriginalToken:
		c.decision.Set["Authorization"] = []string{c.Header.Get("Authorization")}
	case f.Exchange != nil && c.Explain:
		c.step("forward", Passed, "the token would be exchanged for one to %s%s", f.Exchange.Resource, f.Exchange.Audience)
		return nil
	case f.Exchange != nil:
		token, err := g.exchanges.get(ctx, c.route.server, c.admitted, c.raw, c.key())
		if err != nil {
			return notExchanged(err)
		}
		c.exchanged = token
		c.decision.Set["Authorization"] = []string{"Bearer " + token.Reveal()}
	}
	c.step("forward", Passed, "the upstream is told by %s", strings.Join(slices.Sorted(maps.Keys(c.decision.Set)), ", "))
	return nil
}

package gate

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"gatehouse/client"
	"gatehouse/gateway"
	"gatehouse/gateway/forwardauth"
	"gatehouse/gateway/openapi"
	"gatehouse/internal/process"
	"gatehouse/jose"
	"gatehouse/resource"
)

// unread stands for countries whose file is read when the gateway is opened.
type unread struct{}

func (unread) Country(netip.Addr) (string, bool, error) { return "", false, errors.New("not read") }

// settings is the configuration of the gateway, with what is in other files but for the
// countries. The error
// says everything that keeps it from being made.
func (c Config) settings() (gateway.Config, error) {
	g := gateway.Config{StreamCheck: c.StreamCheck.Std(), MaxExchanged: c.MaxExchanged}
	var problems []error
	add := func(what string, err error) {
		if err != nil {
			problems = append(problems, about(what, err))
		}
	}
	if c.CountriesFile != "" {
		g.Countries = unread{}
	}
	for _, a := range c.Authentications {
		one, err := c.authentication(a)
		add(fmt.Sprintf("the authentication %q", a.Name), err)
		g.Authentications = append(g.Authentications, one)
	}
	for _, u := range c.Upstreams {
		g.Upstreams = append(g.Upstreams, upstream(u))
	}
	for _, r := range c.Routes {
		one, err := route(r)
		add(fmt.Sprintf("the route %q", r.Name), err)
		g.Routes = append(g.Routes, one)
	}
	for _, o := range c.OpenAPI {
		routes, err := described(o)
		add("openapi", err)
		g.Routes = append(g.Routes, routes...)
	}
	for _, e := range c.Exchangers {
		one, err := c.exchanger(e)
		add(fmt.Sprintf("the exchanger for %q", e.Issuer), err)
		g.Exchangers = append(g.Exchangers, one)
	}
	identity, err := c.Identity.read()
	add("identity", err)
	g.Identity = identity
	trusted, err := process.Networks("trusted_proxies", c.TrustedProxies)
	add("", err)
	asking, err := process.Networks("decisions.proxies", c.Decisions.Proxies)
	add("", err)
	g.TrustedProxies = trusted
	for _, one := range asking {
		if !slices.Contains(trusted, one) {
			g.TrustedProxies = append(g.TrustedProxies, one)
		}
	}
	return g, errors.Join(problems...)
}

func about(what string, err error) error {
	if what == "" {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (c Config) authentication(a Authentication) (gateway.Authentication, error) {
	one := gateway.Authentication{Name: a.Name, Resource: resource.Config{
		Audience: a.Audience, Skew: a.Skew.Std(), MaxTokenAge: a.MaxTokenAge.Std(), RequiredClaims: a.RequiredClaims, MaxTokenBytes: a.MaxTokenBytes, MaxCached: a.MaxCached,
		InsecureAllowHTTP: a.InsecureAllowHTTP,
	}}
	for _, algorithm := range a.Algorithms {
		one.Resource.Algorithms = append(one.Resource.Algorithms, jose.Algorithm(algorithm))
	}
	roots, err := process.Authorities("ca_file", c.CAFile, true)
	if err != nil {
		return one, err
	}
	one.Resource.HTTPClient = process.HTTPClient(roots)
	if len(a.Issuers) == 0 {
		return one, errors.New("it needs issuers, those whose tokens are taken")
	}
	for _, i := range a.Issuers {
		secret := i.ClientSecret
		switch {
		case i.ClientSecretFile != "" && !secret.IsZero():
			return one, fmt.Errorf("the issuer %q has both client_secret and client_secret_file", i.Issuer)
		case process.Placeholder(secret):
			return one, fmt.Errorf("the issuer %q has a client_secret that is the example's placeholder", i.Issuer)
		case i.ClientSecretFile != "":
			if secret, err = process.Secret(i.ClientSecretFile); err != nil {
				return one, fmt.Errorf("client_secret_file: %w", err)
			}
		}
		one.Resource.Issuers = append(one.Resource.Issuers, resource.Issuer{
			Identifier: i.Issuer, JWKSURI: i.JWKSURI, IntrospectionURI: i.IntrospectionEndpoint, FeedURI: i.FeedEndpoint,
			ClientID: i.ClientID, ClientSecret: secret.Reveal(), Opaque: i.Opaque, Feed: i.Feed, InsecureFeedOptional: i.InsecureFeedOptional,
		})
	}
	return one, nil
}

func upstream(u Upstream) gateway.Upstream {
	one := gateway.Upstream{
		Name: u.Name, URL: u.URL, Audience: u.Audience, CAFile: u.TLS.CAFile, CertFile: u.TLS.Certificate, KeyFile: u.TLS.Key, ServerName: u.TLS.ServerName,
		H2C: u.H2C, Host: u.Host, AnswerTimeout: u.AnswerTimeout.Std(), ExactPaths: u.ExactPaths, CORS: u.CORS, InsecureAllowHTTP: u.InsecureAllowHTTP,
	}
	if u.Retries != nil {
		if one.Retries = *u.Retries; one.Retries == 0 {
			one.Retries = -1 // none, where 0 is the default
		}
	}
	return one
}

func route(r Route) (gateway.Route, error) {
	one := gateway.Route{
		Name: r.Name, Match: gateway.Match{Path: r.Path, Methods: r.Methods}, Authentication: r.Authentication, Public: r.Public,
		Needs:  resource.Needs{Scopes: r.Scopes, ACRValues: r.ACRValues, MaxAuthAge: r.MaxAuthAge.Std(), MaxTokenAge: r.MaxTokenAge.Std()},
		Stream: r.Stream, Origins: r.Origins,
	}
	for _, claim := range r.Claims {
		one.Needs.Claims = append(one.Needs.Claims, resource.Claim{Name: claim.Name, Values: claim.Values})
	}
	return one, r.complete(&one)
}

// complete adds what routes and descriptions have in common.
func (c Common) complete(r *gateway.Route) (err error) {
	r.Match.Hosts, r.Upstream, r.StripPrefix, r.MaxBody, r.Timeout = c.Hosts, c.Upstream, c.StripPrefix, c.MaxBody, c.Timeout.Std()
	r.Forward = c.Forward.read()
	r.Limits = c.limits()
	r.Countries = gateway.CountryRule{Allow: c.Countries.Allow, Deny: c.Countries.Deny}
	if r.Networks.Allow, err = process.Networks("networks.allow", c.Networks.Allow); err == nil {
		r.Networks.Deny, err = process.Networks("networks.deny", c.Networks.Deny)
	}
	return err
}

func (c Common) limits() (all []gateway.Limit) {
	for _, l := range c.Limits {
		all = append(all, gateway.Limit{Per: gateway.LimitKey(l.Per), Rate: l.Rate})
	}
	return all
}

func (f Forward) read() gateway.Forward {
	one := gateway.Forward{Headers: f.Headers, JWT: f.JWT, InsecureOriginalToken: f.InsecureOriginalToken}
	if f.Exchange != (Exchange{}) {
		one.Exchange = &gateway.Exchange{Resource: f.Exchange.Resource, Audience: f.Exchange.Audience, Scope: f.Exchange.Scope}
	}
	return one
}

// described are the routes of a description.
func described(o OpenAPI) ([]gateway.Route, error) {
	if o.File == "" {
		return nil, errors.New("a description has no file")
	}
	text, err := os.ReadFile(o.File)
	if err != nil {
		return nil, err
	}
	var common gateway.Route
	if err := o.complete(&common); err != nil {
		return nil, about(o.Name, err)
	}
	routes, err := openapi.Routes(text, o.File, openapi.Config{
		Name: o.Name, Authentication: o.Authentication, Schemes: o.Schemes, IgnoredSchemes: o.IgnoredSchemes, AllowPublic: o.AllowPublic, BasePath: o.BasePath,
		Hosts: o.Hosts, Upstream: o.Upstream, Forward: common.Forward, Limits: common.Limits, StripPrefix: o.StripPrefix,
	})
	for i := range routes {
		routes[i].Networks, routes[i].Countries = common.Networks, common.Countries
		routes[i].MaxBody, routes[i].Timeout = common.MaxBody, common.Timeout
	}
	return routes, err
}

func (c Config) exchanger(e Exchanger) (gateway.Exchanger, error) {
	one := gateway.Exchanger{Issuer: e.Issuer, Client: client.Config{Lazy: true, InsecureAllowHTTP: e.InsecureAllowHTTP}}
	// RFC 8693 §5: whoever exchanges says who it is
	if err := e.Credentials.Check("it", "only a client that authenticates may exchange tokens"); err != nil {
		return one, err
	}
	roots, err := process.Authorities("ca_file", c.CAFile, true)
	if err != nil {
		return one, err
	}
	one.Client.HTTPClient = process.HTTPClient(roots)
	return one, e.Prove(&one.Client)
}

func (i Identity) read() (gateway.Identity, error) {
	one := gateway.Identity{HeaderPrefix: i.HeaderPrefix, Claims: i.Claims, Issuer: i.Issuer, JWTHeader: i.JWTHeader, JWTLife: i.JWTLife.Std()}
	for _, key := range i.Keys {
		if key.ID == "" || key.Alg == "" || key.File == "" {
			return one, errors.New("a key needs id, alg and file")
		}
		read, err := process.PrivateKey(key.File, key.Alg, key.ID)
		if err != nil {
			return one, fmt.Errorf("the key %s: %w", key.ID, err)
		}
		one.Keys = append(one.Keys, read)
	}
	return one, nil
}

// decisions is the configuration of the handler that proxies ask.
func (c Config) decisions(g gateway.Config) (forwardauth.Config, error) {
	proxies, err := process.Networks("decisions.proxies", c.Decisions.Proxies)
	if err != nil {
		return forwardauth.Config{}, err
	}
	h := c.Decisions.Headers
	return forwardauth.Config{
		Proxies: proxies, Headers: forwardauth.Headers{Method: h.Method, URI: h.URI, Host: h.Host, Scheme: h.Scheme, URL: h.URL},
		Identity: g.Identity, Logger: g.Logger,
	}, nil
}

// AllRoutes are the routes of the configuration, those of descriptions included.
func (c Config) AllRoutes() ([]gateway.Route, error) {
	settings, err := c.settings()
	return settings.Routes, err
}

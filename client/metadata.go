package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/jose"
	"gatehouse/oauth"
)

// Metadata is what an issuer says about itself (RFC 8414 §2, OpenID Connect
// Discovery §3), in the members that a client uses.
type Metadata struct {
	Issuer                             string `json:"issuer"`
	AuthorizationEndpoint              string `json:"authorization_endpoint"`
	TokenEndpoint                      string `json:"token_endpoint"`
	UserinfoEndpoint                   string `json:"userinfo_endpoint"`
	JWKSURI                            string `json:"jwks_uri"`
	RegistrationEndpoint               string `json:"registration_endpoint"`
	RevocationEndpoint                 string `json:"revocation_endpoint"`
	IntrospectionEndpoint              string `json:"introspection_endpoint"`
	EndSessionEndpoint                 string `json:"end_session_endpoint"`
	DeviceAuthorizationEndpoint        string `json:"device_authorization_endpoint"`
	PushedAuthorizationRequestEndpoint string `json:"pushed_authorization_request_endpoint"`

	RequirePushedAuthorizationRequests         bool     `json:"require_pushed_authorization_requests"`
	AuthorizationResponseIssParameterSupported bool     `json:"authorization_response_iss_parameter_supported"`
	TokenEndpointAuthMethodsSupported          []string `json:"token_endpoint_auth_methods_supported"`
	GrantTypesSupported                        []string `json:"grant_types_supported"`
	ScopesSupported                            []string `json:"scopes_supported"`

	// MTLSEndpointAliases are for clients that authenticate by certificate
	// (RFC 8705 §5).
	MTLSEndpointAliases Aliases `json:"mtls_endpoint_aliases"`
}

// Aliases are addresses at which an issuer asks for certificates (RFC 8705 §5).
type Aliases struct {
	TokenEndpoint                      string `json:"token_endpoint"`
	RevocationEndpoint                 string `json:"revocation_endpoint"`
	IntrospectionEndpoint              string `json:"introspection_endpoint"`
	DeviceAuthorizationEndpoint        string `json:"device_authorization_endpoint"`
	PushedAuthorizationRequestEndpoint string `json:"pushed_authorization_request_endpoint"`
	UserinfoEndpoint                   string `json:"userinfo_endpoint"`
}

// byCertificate is the metadata as a client with a certificate reads it.
func (m Metadata) byCertificate() Metadata {
	for _, alias := range []struct {
		to   *string
		from string
	}{
		{&m.TokenEndpoint, m.MTLSEndpointAliases.TokenEndpoint},
		{&m.RevocationEndpoint, m.MTLSEndpointAliases.RevocationEndpoint},
		{&m.IntrospectionEndpoint, m.MTLSEndpointAliases.IntrospectionEndpoint},
		{&m.DeviceAuthorizationEndpoint, m.MTLSEndpointAliases.DeviceAuthorizationEndpoint},
		{&m.PushedAuthorizationRequestEndpoint, m.MTLSEndpointAliases.PushedAuthorizationRequestEndpoint},
		{&m.UserinfoEndpoint, m.MTLSEndpointAliases.UserinfoEndpoint},
	} {
		if alias.from != "" {
			*alias.to = alias.from
		}
	}
	return m
}

// check says what keeps the metadata from being used for the issuer.
func (m Metadata) check(issuer string, insecure bool) error {
	// RFC 8414 §3.3, OpenID Connect Discovery §4.3: identical, or nothing of it may
	// be used. Anything looser lets one issuer speak for another.
	if m.Issuer != issuer {
		return fmt.Errorf("it is of the issuer %q and not of %q: write the issuer exactly as its metadata does", foreign(m.Issuer), issuer)
	}
	for _, endpoint := range m.endpoints() {
		if endpoint.address == "" {
			continue
		}
		if err := checkEndpoint(endpoint.address, issuer, insecure); err != nil {
			return fmt.Errorf("%s: %w", endpoint.name, err)
		}
	}
	return nil
}

type namedAddress struct{ name, address string }

// endpoints are all addresses in the metadata.
func (m Metadata) endpoints() []namedAddress {
	return []namedAddress{
		{"authorization_endpoint", m.AuthorizationEndpoint},
		{"token_endpoint", m.TokenEndpoint},
		{"userinfo_endpoint", m.UserinfoEndpoint},
		{"jwks_uri", m.JWKSURI},
		{"registration_endpoint", m.RegistrationEndpoint},
		{"revocation_endpoint", m.RevocationEndpoint},
		{"introspection_endpoint", m.IntrospectionEndpoint},
		{"end_session_endpoint", m.EndSessionEndpoint},
		{"device_authorization_endpoint", m.DeviceAuthorizationEndpoint},
		{"pushed_authorization_request_endpoint", m.PushedAuthorizationRequestEndpoint},
		{"mtls_endpoint_aliases: token_endpoint", m.MTLSEndpointAliases.TokenEndpoint},
		{"mtls_endpoint_aliases: revocation_endpoint", m.MTLSEndpointAliases.RevocationEndpoint},
		{"mtls_endpoint_aliases: introspection_endpoint", m.MTLSEndpointAliases.IntrospectionEndpoint},
		{"mtls_endpoint_aliases: device_authorization_endpoint", m.MTLSEndpointAliases.DeviceAuthorizationEndpoint},
		{"mtls_endpoint_aliases: pushed_authorization_request_endpoint", m.MTLSEndpointAliases.PushedAuthorizationRequestEndpoint},
		{"mtls_endpoint_aliases: userinfo_endpoint", m.MTLSEndpointAliases.UserinfoEndpoint},
	}
}

// checkIssuer wants an issuer identifier: https, or http on this machine, with
// neither query nor fragment (RFC 8414 §2).
func checkIssuer(issuer string, insecure bool) error {
	uri, err := url.Parse(issuer)
	if err != nil || uri.Host == "" || uri.User != nil || uri.Opaque != "" || strings.ContainsAny(issuer, "?#") {
		return fmt.Errorf("the issuer %q is not a URL of scheme, host and path", foreign(issuer))
	}
	if uri.Scheme == "https" || uri.Scheme == "http" && (insecure || oauth.LoopbackHost(uri.Hostname())) {
		return nil
	}
	return fmt.Errorf("the issuer %q does not use https; plain http is for this machine only, or say InsecureAllowHTTP", foreign(issuer))
}

// checkEndpoint wants https of an https issuer: one that is elsewhere has no
// business with plain http on our machine. An issuer on http may use both.
func checkEndpoint(address, issuer string, insecure bool) error {
	uri, err := url.Parse(address)
	switch {
	case err != nil || uri.Host == "" || uri.User != nil || uri.Opaque != "" || strings.Contains(address, "#"):
		return errors.New("it is not a URL of scheme, host, path and query") // RFC 6749 §3.1, §3.2: no fragment
	case uri.Scheme == "https":
		return nil
	case uri.Scheme == "http" && (insecure || strings.HasPrefix(issuer, "http:") && oauth.LoopbackHost(uri.Hostname())):
		return nil
	}
	return errors.New("it does not use https")
}

// fetchMetadata asks the two places in turn, that of OpenID Connect first if the
// client wants ID tokens. What is no metadata at the first place leads to the other
// one; whoever answers with metadata there has answered.
func (w *wire) fetchMetadata(ctx context.Context, issuer string, openID bool) (Metadata, error) {
	const op = "discovery"
	server, provider, err := oauth.MetadataURLs(issuer)
	if err != nil {
		return Metadata{}, &InvalidError{Op: op, Detail: err.Error()}
	}
	var last error
	addresses := []string{server, provider}
	if openID {
		addresses = []string{provider, server}
	}
	for _, address := range addresses {
		request, err := newRequest(ctx, op, http.MethodGet, address, nil)
		if err != nil {
			return Metadata{}, err
		}
		got, err := w.do(op, request)
		if err != nil {
			return Metadata{}, err
		}
		if oauth.NothingPublished(got.status, got.header) {
			last = fmt.Errorf("status %d", got.status)
			continue
		}
		if err := got.failure(op); err != nil {
			return Metadata{}, err
		}
		var metadata Metadata
		limits := jose.Limits{Bytes: MaxResponseBytes, Members: maxAnswerMembers}
		if err := limits.Decode(got.body, &metadata); err != nil {
			return Metadata{}, &InvalidError{Op: op, Detail: "the metadata at " + address + " cannot be read", Cause: err}
		}
		if err := metadata.check(issuer, w.insecure); err != nil {
			return Metadata{}, &InvalidError{Op: op, Detail: "the metadata at " + address + " cannot be used", Cause: err}
		}
		return metadata, nil
	}
	return Metadata{}, &InvalidError{Op: op, Detail: "the issuer has no metadata at " + strings.Join(addresses, " nor at "), Cause: last}
}

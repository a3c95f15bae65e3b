package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// endpoint is one of an issuer's, by its name in the metadata.
type endpoint struct {
	name    string
	address func(Metadata) string
}

var (
	tokenEndpoint         = endpoint{"token_endpoint", func(m Metadata) string { return m.TokenEndpoint }}
	revocationEndpoint    = endpoint{"revocation_endpoint", func(m Metadata) string { return m.RevocationEndpoint }}
	introspectionEndpoint = endpoint{"introspection_endpoint", func(m Metadata) string { return m.IntrospectionEndpoint }}
	deviceEndpoint        = endpoint{"device_authorization_endpoint", func(m Metadata) string { return m.DeviceAuthorizationEndpoint }}
	pushEndpoint          = endpoint{"pushed_authorization_request_endpoint", func(m Metadata) string { return m.PushedAuthorizationRequestEndpoint }}
	userinfoEndpoint      = endpoint{"userinfo_endpoint", func(m Metadata) string { return m.UserinfoEndpoint }}
)

// known is what is known of the issuer, as this client reads it.
func (c *Client) known(ctx context.Context) (*known, error) {
	return c.read(c.provider.known(ctx))
}

func (c *Client) read(k *known, err error) (*known, error) {
	if err == nil && c.config.byCertificate() {
		aliased := *k
		aliased.Metadata = k.byCertificate()
		return &aliased, nil
	}
	return k, err
}

// missing is the error of an endpoint that the issuer does not have.
func (e endpoint) missing(op string) error {
	return &InvalidError{Op: op, Detail: "the issuer's metadata has no " + e.name}
}

// post sends an authenticated form to an endpoint and returns the answer if it is
// a success. An endpoint that has moved is looked for once.
func (c *Client) post(ctx context.Context, op string, to endpoint, form url.Values) (answer, error) {
	return c.reach(ctx, op, to, func(address string, metadata Metadata) (answer, error) {
		sent := url.Values{}
		for name, values := range form {
			sent[name] = slices.Clone(values)
		}
		header := http.Header{}
		if err := c.authenticate(sent, header, metadata); err != nil {
			return answer{}, err
		}
		request, err := newRequest(ctx, op, http.MethodPost, address, []byte(sent.Encode()))
		if err != nil {
			return answer{}, err
		}
		request.Header.Set("Content-Type", formType)
		for name, values := range header {
			request.Header[name] = values
		}
		got, err := c.wire.do(op, request)
		if err != nil {
			return answer{}, err
		}
		return got, got.failure(op, c.secretsOf(sent, header)...)
	})
}

// reach calls the endpoint at its address. When nothing is there any more, the
// metadata is fetched again, and if that names another address, it is called.
func (c *Client) reach(ctx context.Context, op string, to endpoint, call func(address string, metadata Metadata) (answer, error)) (answer, error) {
	k, err := c.known(ctx)
	if err != nil {
		return answer{}, err
	}
	address := to.address(k.Metadata)
	if address == "" {
		return answer{}, to.missing(op)
	}
	got, err := call(address, k.Metadata)
	if !goneAway(err) {
		return got, err
	}
	again, failed := c.read(c.provider.again(ctx))
	if failed != nil || to.address(again.Metadata) == address || to.address(again.Metadata) == "" {
		return got, err
	}
	return call(to.address(again.Metadata), again.Metadata)
}

// goneAway says that nobody acted upon a request because the endpoint is not, or
// no longer, where it was sent.
func goneAway(err error) bool {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused.Code == "" && (refused.Status == http.StatusNotFound || refused.Status == http.StatusMethodNotAllowed || refused.Status == http.StatusGone)
	}
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		return !unavailable.uncertain && unavailable.Cause != nil && neverSent(unavailable.Cause)
	}
	invalid, ok := errors.AsType[*InvalidError](err)
	return ok && invalid.redirected
}

// secretParameters are never repeated by an error, even if the server repeats them.
var secretParameters = []string{
	"client_secret", "client_assertion", "code", "code_verifier", "refresh_token", "token", "device_code",
	"subject_token", "actor_token", "assertion", "id_token_hint", "state", "nonce",
}

// secretsOf are what a request proves something by, in its header too.
func (c *Client) secretsOf(form url.Values, header http.Header) []string {
	_, credentials, _ := strings.Cut(header.Get("Authorization"), " ")
	secrets := []string{credentials, c.config.ClientSecret.Reveal()}
	for _, name := range secretParameters {
		secrets = append(secrets, form.Get(name))
	}
	return secrets
}

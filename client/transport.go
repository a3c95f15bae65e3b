package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/oauth"
)

// maxDrained bounds what is read of a 401's body so that its connection can be
// used again.
const maxDrained = 64 << 10

// ErrForeignResource says that a request goes to none of a Transport's Resources,
// and was not sent: the token is not for it.
var ErrForeignResource = errors.New("client: the token is not for this address; name the API by its URL in the Transport's Resources")

// Transport is an http.RoundTripper that attaches access tokens to requests. A
// request that is answered with 401 is sent once more with a new token, if there
// is one and its body can be read again.
type Transport struct {
	Source TokenSource
	// Resources are the URLs of the APIs that the tokens are for: a request belongs
	// to one if it has its scheme, host and port and its path is that of the
	// resource or below it. Required: a token is a secret, and tells whoever gets it
	// how to use it (RFC 9700 §4.9.1).
	//
	// A redirect that leads elsewhere is followed without the token.
	Resources []string
	// InsecureAllowHTTP admits resources on plain http that are not on this machine:
	// whoever is on the way there can read the tokens.
	InsecureAllowHTTP bool
	// Base sends the requests; nil stands for http.DefaultTransport.
	Base http.RoundTripper
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip sends the request with a token. Errors are those of the Source, of the
// Base, and [ErrForeignResource].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if !t.ours(request.URL) {
		if request.Response != nil { // of a redirect
			return base.RoundTrip(request)
		}
		closeBody(request)
		return nil, t.foreign(request.URL)
	}
	if request.Header.Get("Authorization") != "" {
		closeBody(request)
		return nil, errors.New("client: the request has an Authorization header already")
	}
	tokens, err := t.Source.Token(request.Context())
	if err != nil {
		closeBody(request)
		return nil, err
	}
	response, err := base.RoundTrip(withToken(request, tokens))
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	again, renewed := t.again(request, response, tokens)
	if !renewed {
		return response, nil
	}
	_, _ = io.CopyN(io.Discard, response.Body, maxDrained)
	_ = response.Body.Close()
	return base.RoundTrip(again)
}

// foreign says why a request was not sent.
func (t *Transport) foreign(address *url.URL) error {
	to := address.Scheme + "://" + address.Host
	if address.Scheme == "http" && !t.InsecureAllowHTTP && !oauth.LoopbackHost(address.Hostname()) {
		return fmt.Errorf("%w (%s is on plain http, which is for this machine only; use https, or say InsecureAllowHTTP)", ErrForeignResource, to)
	}
	return fmt.Errorf("%w (%s)", ErrForeignResource, to)
}

// again is the request with another token than the one that was refused, if there
// is reason to send it.
func (t *Transport) again(request *http.Request, response *http.Response, refused Tokens) (*http.Request, bool) {
	source, can := t.Source.(Renewer)
	if !can || !aboutToken(response.Header) {
		return nil, false
	}
	hasBody := request.Body != nil && request.Body != http.NoBody
	if hasBody && request.GetBody == nil {
		return nil, false
	}
	tokens, err := source.Renew(request.Context(), refused)
	if err != nil || tokens.AccessToken.Reveal() == refused.AccessToken.Reveal() {
		return nil, false
	}
	next := withToken(request, tokens)
	if hasBody {
		if next.Body, err = request.GetBody(); err != nil {
			return nil, false
		}
	}
	return next, true
}

// aboutToken says whether a 401 may be over with another token of the same kind.
func aboutToken(header http.Header) bool {
	for _, challenge := range ParseChallenges(header) {
		if strings.EqualFold(challenge.Scheme, "Bearer") && challenge.Parameters["error"] != "" {
			return challenge.Parameters["error"] == string(oauth.InvalidToken)
		}
	}
	return true
}

// withToken leaves the request as it is, as a RoundTripper must.
func withToken(request *http.Request, tokens Tokens) *http.Request {
	with := request.Clone(request.Context())
	with.Header.Set("Authorization", "Bearer "+tokens.AccessToken.Reveal()) // RFC 6750 §2.1
	return with
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

// ours says whether an address belongs to one of the resources.
func (t *Transport) ours(address *url.URL) bool {
	for _, text := range t.Resources {
		resource, err := url.Parse(text)
		if err != nil || resource.Host == "" || address.User != nil || address.Opaque != "" {
			continue
		}
		if address.Scheme != resource.Scheme || !strings.EqualFold(hostPort(address), hostPort(resource)) {
			continue
		}
		if resource.Scheme != "https" && !t.InsecureAllowHTTP && !oauth.LoopbackHost(resource.Hostname()) {
			continue // RFC 6750 §5.3: TLS, always
		}
		if below(address.EscapedPath(), strings.TrimSuffix(resource.EscapedPath(), "/")) {
			return true
		}
	}
	return false
}

// below says whether the path is that of the resource or below it, however whoever
// serves it reads it.
func below(path, resource string) bool {
	if resource == "" {
		return true
	}
	rest, found := strings.CutPrefix(path, resource)
	if !found || rest != "" && rest[0] != '/' {
		return false
	}
	for segment := range strings.SplitSeq(strings.ToLower(rest), "/") {
		name, _, _ := strings.Cut(segment, ";") // a parameter of the segment, which some servers take away first
		if name == "." || name == ".." || strings.Contains(segment, `\`) ||
			strings.Contains(segment, "%2e") || strings.Contains(segment, "%2f") || strings.Contains(segment, "%5c") {
			return false
		}
	}
	return true
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Hostname() + ":" + port
}

package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

const (
	// DefaultTimeout bounds a whole fetch: name, connection, header and body.
	DefaultTimeout = 5 * time.Second

	// DefaultMaxBytes bounds a body.
	DefaultMaxBytes = 256 << 10

	// MaxURLBytes is the longest URL that is fetched.
	MaxURLBytes = 2048

	maxHeaderBytes = 16 << 10
	maxIdle        = 16
	idleTimeout    = 30 * time.Second
)

var (
	// ErrURL says that a URL is not one we fetch, before anything is sent.
	ErrURL = errors.New("the URL is not fetched")

	// ErrRedirect says that the answer was a redirect, which is never followed: it would let the
	// stranger choose the address after we looked at it.
	ErrRedirect = errors.New("the answer is a redirect, and redirects are not followed")

	// ErrTooLarge says that the body is larger than allowed.
	ErrTooLarge = errors.New("the answer is too large")
)

// Config bounds a Client. A zero field takes its default.
type Config struct {
	// Allow lists what is exempt from the refusal of special-use addresses, and may also be fetched
	// over http: a host, a host with a port, an address or a network in CIDR form.
	Allow []string

	RootCAs  *x509.CertPool // default: the system's
	Timeout  time.Duration  // default and most: 5 s
	MaxBytes int64          // default 256 KiB
}

// Client fetches what strangers point to. It is safe for concurrent use.
type Client struct {
	allow    allowList
	ranges   ranges
	timeout  time.Duration
	maxBytes int64
	http     *http.Client
}

// NewClient makes a Client. The error names an entry of Allow that cannot be read.
func NewClient(config Config) (*Client, error) {
	allow, err := newAllowList(config.Allow)
	if err != nil {
		return nil, err
	}
	if config.Timeout <= 0 || config.Timeout > DefaultTimeout {
		config.Timeout = DefaultTimeout
	}
	if config.MaxBytes <= 0 {
		config.MaxBytes = DefaultMaxBytes
	}
	c := &Client{allow: allow, ranges: newRanges(), timeout: config.Timeout, maxBytes: config.MaxBytes}
	c.http = &http.Client{
		Transport: &guarded{client: c, next: &http.Transport{
			Proxy:                  nil, // a proxy would dial for us, and look at nothing
			DialContext:            c.dial,
			TLSClientConfig:        &tls.Config{RootCAs: config.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    config.Timeout,
			ResponseHeaderTimeout:  config.Timeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			DisableCompression:     true, // what is counted is what arrives
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        idleTimeout,
		}},
		// The 3xx answer itself is returned.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       config.Timeout,
	}
	return c, nil
}

// HTTP is the same client for libraries that want an *http.Client. It keeps every rule: a redirect is
// returned and not followed, a body beyond MaxBytes fails with ErrTooLarge while it is read, and
// the whole exchange ends after Timeout.
func (c *Client) HTTP() *http.Client { return c.http }

// Get fetches the URL and returns the body and header of an answer of status 200. Any other outcome
// is an error; errors.Is finds ErrURL, ErrAddress, ErrRedirect, ErrTooLarge and *StatusError in it.
func (c *Client) Get(ctx context.Context, rawURL string) (body []byte, header http.Header, err error) {
	if err := c.CheckURL(rawURL); err != nil {
		return nil, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode >= 300 && response.StatusCode < 400:
		return nil, nil, fmt.Errorf("fetching %s: %w", request.URL.Redacted(), ErrRedirect)
	case response.StatusCode != http.StatusOK:
		return nil, nil, &StatusError{URL: rawURL, Status: response.StatusCode}
	}
	body, err = io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("fetching %s: %w", request.URL.Redacted(), err)
	}
	return body, response.Header, nil
}

// StatusError is an answer of a status other than 200.
type StatusError struct {
	URL    string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("fetching %s: the answer has the status %d, not 200", e.URL, e.Status)
}

// CheckURL refuses with ErrURL or ErrAddress what Get would refuse without asking anyone: for
// registrations. A name that passes may still lead to an address that is refused when it is dialled.
func (c *Client) CheckURL(rawURL string) error {
	if len(rawURL) > MaxURLBytes {
		return fmt.Errorf("%w: it is longer than %d bytes", ErrURL, MaxURLBytes)
	}
	for _, b := range []byte(rawURL) {
		if b <= ' ' || b >= 0x7F || b == '\\' || b == '#' {
			return fmt.Errorf("%w: it has a character that is a space, a backslash, a # or not printable ASCII", ErrURL)
		}
	}
	parsed, err := url.Parse(rawURL)
	if err != nil {
		return fmt.Errorf("%w: it cannot be read as a URL", ErrURL)
	}
	return c.check(parsed)
}

func (c *Client) check(u *url.URL) error {
	host, port := u.Hostname(), portOf(u)
	address, notAddress := netip.ParseAddr(host)
	allowed := c.allow.host(host, port) || notAddress == nil && c.allow.address(address)
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "":
		return fmt.Errorf("%w: it must begin with https://", ErrURL)
	case host == "":
		return fmt.Errorf("%w: it names no host", ErrURL)
	case u.User != nil:
		return fmt.Errorf("%w: it carries a user name", ErrURL)
	case u.Fragment != "":
		return fmt.Errorf("%w: it has a fragment", ErrURL)
	case port == "":
		return fmt.Errorf("%w: its port is empty", ErrURL)
	case notAddress == nil && address.Zone() != "":
		return fmt.Errorf("%w: its address has a zone", ErrURL)
	case u.Scheme == "http" && !allowed:
		return fmt.Errorf("%w: it must begin with https:// (http is for hosts on the allow-list)", ErrURL)
	case notAddress == nil && !allowed:
		return c.ranges.check(address)
	}
	return nil
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Host != "" && u.Host[len(u.Host)-1] == ':':
		return ""
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// dial connects to host:port, and decides by the address that is dialled: a name may have another
// address by the time it is used.
func (c *Client) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: c.timeout}
	if !c.allow.host(host, port) {
		dialer.Control = c.control
	}
	return dialer.DialContext(ctx, network, hostPort)
}

// control sees every address just before it is connected to.
func (c *Client) control(_, addressPort string, _ syscall.RawConn) error {
	dialled, err := netip.ParseAddrPort(addressPort)
	if err != nil {
		return fmt.Errorf("%w: %s cannot be read", ErrAddress, addressPort)
	}
	if c.allow.address(dialled.Addr()) {
		return nil
	}
	return c.ranges.check(dialled.Addr())
}

// guarded holds every request of the *http.Client to the rules, whoever made it.
type guarded struct {
	client *Client
	next   http.RoundTripper
}

func (g *guarded) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := g.client.check(request.URL); err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	response, err := g.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.ContentLength > g.client.maxBytes {
		_ = response.Body.Close()
		return nil, fmt.Errorf("%w: %d bytes are above %d", ErrTooLarge, response.ContentLength, g.client.maxBytes)
	}
	response.Body = &bounded{body: response.Body, left: g.client.maxBytes}
	return response, nil
}

// CloseIdleConnections is what an *http.Client's method of that name calls.
func (g *guarded) CloseIdleConnections() {
	if next, can := g.next.(interface{ CloseIdleConnections() }); can {
		next.CloseIdleConnections()
	}
}

// bounded is a body that fails once it has given as much as it may.
type bounded struct {
	body io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), ErrTooLarge
	}
	b.left -= int64(n)
	return n, err
}

func (b *bounded) Close() error { return b.body.Close() }

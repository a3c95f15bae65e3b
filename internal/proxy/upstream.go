package proxy

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Times of every upstream.
const (
	dialTimeout   = 5 * time.Second
	tlsTimeout    = 5 * time.Second
	answerTimeout = 30 * time.Second
	idleTimeout   = 90 * time.Second
)

// Bounds of every upstream's answers and connections.
const (
	maxAnswerHeader = 64 << 10
	maxIdle         = 64
)

// Upstream is a server that requests are passed on to. Its fields do not change
// while it is in use.
type Upstream struct {
	// URL is where it is; paths are appended to its path.
	URL *url.URL
	// Public is the origin under which browsers reach us, which is what upstreams are
	// told, whatever a request says.
	Public *url.URL
	Filter *Filter
	// Trusted are the peers whose X-Forwarded-For is believed and passed on.
	Trusted []netip.Prefix
	// Error answers a request that could not be passed on.
	Error  func(w http.ResponseWriter, r *http.Request, err error)
	Logger *slog.Logger
}

// NewTransport makes a transport with bounds on every time and size. Redirects are
// the browser's to follow, and proxies of the environment are not used.
func NewTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: tlsTimeout, ResponseHeaderTimeout: answerTimeout, IdleConnTimeout: idleTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader, MaxIdleConnsPerHost: maxIdle, ForceAttemptHTTP2: true,
		// What the browser did not ask for is not unpacked here.
		DisableCompression: true,
	}
}

// Serve passes the request on by the RoundTripper and its answer back. path is
// escaped, has passed [CheckPath], and is all that the upstream sees of a path below
// its own; the query is passed on as it is, less what cannot be parsed.
//
// change, if set, changes the answer's headers after the filter; the request's
// context ends both directions.
func (u *Upstream) Serve(w http.ResponseWriter, r *http.Request, path string, send http.RoundTripper, change func(*http.Response)) {
	proxy := httputil.ReverseProxy{
		Transport: send,
		ErrorLog:  slog.NewLogLogger(u.Logger.Handler(), slog.LevelDebug),
		Rewrite: func(pr *httputil.ProxyRequest) {
			// Hop-by-hop headers are gone by now, those that Connection names too, so that
			// none of what is set here can be taken away by it (RFC 9110 §7.6.1).
			u.Filter.Request(pr.Out.Header)
			pr.Out.Trailer = nil
			u.address(pr, path)
		},
		ModifyResponse: func(response *http.Response) error {
			u.Filter.Response(response.Header)
			if change != nil {
				change(response)
			}
			return nil
		},
		ErrorHandler: u.Error,
	}
	proxy.ServeHTTP(finalOnly{w}, r)
}

// address says where the request goes and where it came from.
func (u *Upstream) address(pr *httputil.ProxyRequest, path string) {
	target := *u.URL
	target.RawQuery = pr.Out.URL.RawQuery
	whole := strings.TrimSuffix(u.URL.EscapedPath(), "/") + path
	target.Path, target.RawPath = "", ""
	if decoded, err := url.PathUnescape(whole); err == nil { // it was checked
		target.Path, target.RawPath = decoded, whole
	}
	pr.Out.URL = &target
	pr.Out.Host = ""
	if from, ok := u.forwarded(pr.In); ok {
		pr.Out.Header["X-Forwarded-For"] = from
	}
	pr.SetXForwarded()
	pr.Out.Header.Set("X-Forwarded-Host", u.Public.Host)
	pr.Out.Header.Set("X-Forwarded-Proto", u.Public.Scheme)
}

// forwarded are the addresses that a trusted peer tells.
func (u *Upstream) forwarded(r *http.Request) ([]string, bool) {
	values := r.Header["X-Forwarded-For"]
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || len(values) == 0 {
		return nil, false
	}
	address := peer.Addr().Unmap()
	return slices.Clone(values), slices.ContainsFunc(u.Trusted, func(p netip.Prefix) bool { return p.Contains(address) })
}

// finalOnly passes on no interim answer but that of an upgrade: 103 and the like
// have headers, which nobody has filtered.
type finalOnly struct{ http.ResponseWriter }

func (f finalOnly) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		f.ResponseWriter.WriteHeader(status)
	}
}

func (f finalOnly) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// Upgrades says whether the request wants another protocol on its connection, and
// whether that is WebSocket (RFC 6455 §4.1).
func Upgrades(r *http.Request) (upgrades, webSocket bool) {
	values := r.Header.Values("Upgrade")
	return len(values) > 0, r.Method == http.MethodGet && len(values) == 1 && strings.EqualFold(values[0], "websocket")
}

// TooLarge says whether a request failed since its body is larger than it may be.
func TooLarge(err error) bool {
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	return tooLarge
}

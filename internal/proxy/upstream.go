package proxy

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
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
	// Host, if set, is sent as Host in the place of URL's.
	Host string
	// Buffers, if set, lends what bodies are copied with.
	Buffers *Buffers
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

// Buffers lends the buffers with which bodies are copied. The zero value is ready, and
// safe for concurrent use.
type Buffers struct{ pool sync.Pool }

// bufferBytes is the size of a buffer.
const bufferBytes = 32 << 10

// Get implements [httputil.BufferPool].
func (b *Buffers) Get() []byte {
	if lent, ok := b.pool.Get().(*[bufferBytes]byte); ok {
		return lent[:]
	}
	return make([]byte, bufferBytes)
}

// Put implements [httputil.BufferPool].
func (b *Buffers) Put(buffer []byte) {
	if len(buffer) == bufferBytes {
		b.pool.Put((*[bufferBytes]byte)(buffer))
	}
}

// Passage is how one request is passed on.
type Passage struct {
	// Path is escaped, has passed [CheckPath], and is all that the upstream sees of a path
	// below its own.
	Path string
	// Send takes it to the upstream.
	Send http.RoundTripper
	// Public is the origin that the upstream is told; nil means the Upstream's.
	Public *url.URL
	// Set are headers that the upstream gets from us, whatever the request has.
	Set http.Header
	// Change, if set, changes the answer's headers after the filter.
	Change func(*http.Response)
}

// Serve passes the request on by the RoundTripper and its answer back; see [Passage] for
// path and change. The query is passed on as it is, less what cannot be parsed. The
// request's context ends both directions.
func (u *Upstream) Serve(w http.ResponseWriter, r *http.Request, path string, send http.RoundTripper, change func(*http.Response)) {
	u.Pass(w, r, Passage{Path: path, Send: send, Change: change})
}

// Pass is Serve with all that can be said about it.
func (u *Upstream) Pass(w http.ResponseWriter, r *http.Request, p Passage) {
	if p.Public == nil {
		p.Public = u.Public
	}
	proxy := httputil.ReverseProxy{
		Transport: p.Send,
		ErrorLog:  slog.NewLogLogger(u.Logger.Handler(), slog.LevelDebug),
		Rewrite: func(pr *httputil.ProxyRequest) {
			// Hop-by-hop headers are gone by now, those that Connection names too, so that
			// none of what is set here can be taken away by it (RFC 9110 §7.6.1).
			u.Filter.Request(pr.Out.Header)
			pr.Out.Trailer = nil
			u.address(pr, p)
			for name, values := range p.Set {
				pr.Out.Header[name] = values
			}
		},
		ModifyResponse: func(response *http.Response) error {
			if response.StatusCode < 100 {
				return errNoStatus
			}
			u.Filter.Response(response.Header)
			u.trailers(response)
			if p.Change != nil {
				p.Change(response)
			}
			return nil
		},
		ErrorHandler: u.Error,
	}
	if u.Buffers != nil {
		proxy.BufferPool = u.Buffers
	}
	proxy.ServeHTTP(finalOnly{w}, r)
}

// errNoStatus is the error of an answer with a status below 100, which has no meaning that
// could be passed on (RFC 9110 §15: "SHOULD process the response as if it had a 5xx").
var errNoStatus = errors.New("proxy: the upstream's answer has no status")

// trailers has the answer's trailers filtered, which are there when its body was read.
func (u *Upstream) trailers(response *http.Response) {
	u.Filter.Trailer(response.Trailer) // those that are announced

	// RFC 9112 §7.1.2: in HTTP/1.1 they come behind chunks, and nowhere else.
	without := response.ProtoMajor == 1 && response.ContentLength >= 0
	if !without && response.StatusCode != http.StatusSwitchingProtocols && response.Body != nil && response.Body != http.NoBody {
		response.Body = &trailed{response.Body, response, u.Filter}
	}
}

// trailed is a body that filters the trailers behind it.
type trailed struct {
	io.ReadCloser
	response *http.Response
	filter   *Filter
}

func (b *trailed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.filter.Trailer(b.response.Trailer)
	}
	return n, err
}

func (b *trailed) Close() error {
	err := b.ReadCloser.Close()
	b.filter.Trailer(b.response.Trailer)
	return err
}

// address says where the request goes and where it came from.
func (u *Upstream) address(pr *httputil.ProxyRequest, p Passage) {
	target := *u.URL
	target.RawQuery = pr.Out.URL.RawQuery
	whole := strings.TrimSuffix(u.URL.EscapedPath(), "/") + p.Path
	target.Path, target.RawPath = "", ""
	if decoded, err := url.PathUnescape(whole); err == nil { // it was checked
		target.Path, target.RawPath = decoded, whole
	}
	pr.Out.URL = &target
	pr.Out.Host = u.Host
	if from, ok := u.forwarded(pr.In); ok {
		pr.Out.Header["X-Forwarded-For"] = from
	}
	pr.SetXForwarded()
	pr.Out.Header.Set("X-Forwarded-Host", p.Public.Host)
	pr.Out.Header.Set("X-Forwarded-Proto", p.Public.Scheme)
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

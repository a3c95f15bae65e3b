package bff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/client"
	"gatehouse/internal/proxy"
)

// maxBlind is how long a stream goes on while nobody can tell whether its session
// lives.
const maxBlind = time.Minute

// answerGrace is how long after an upstream's Timeout the answer may still be written.
const answerGrace = 5 * time.Second

// lookTime bounds one look at a session for its streams.
const lookTime = 5 * time.Second

// upstream is an API, ready to be used.
type upstream struct {
	Upstream
	path      string
	routes    []route
	proxy     proxy.Upstream
	transport *http.Transport
}

type route struct {
	pattern  proxy.Pattern
	methods  []string
	stream   bool
	resource string
}

func (b *BFF) newUpstream(config Upstream, filter *proxy.Filter) (*upstream, error) {
	at, err := url.Parse(config.URL)
	if err != nil {
		return nil, fmt.Errorf("bff: %w", err)
	}
	u := &upstream{Upstream: config, path: config.Path, transport: proxy.NewTransport()}
	if u.path == "/" {
		u.path = ""
	}
	u.transport.TLSClientConfig = config.TLS.Clone() // nil stays nil
	u.proxy = proxy.Upstream{URL: at, Public: b.origin, Filter: filter, Trusted: b.config.TrustedProxies, Buffers: &proxy.Buffers{}, Error: b.notForwarded, Logger: b.config.Logger}
	for _, one := range config.Routes {
		pattern, err := proxy.ParsePattern(one.Path)
		if err != nil {
			return nil, fmt.Errorf("bff: %w", err)
		}
		methods := slices.Clone(one.Methods)
		if slices.Contains(methods, http.MethodGet) && !slices.Contains(methods, http.MethodHead) {
			methods = append(methods, http.MethodHead)
		}
		u.routes = append(u.routes, route{pattern, methods, one.Stream, cmp.Or(one.Resource, config.Resource)})
	}
	return u, nil
}

// find returns the first route for the path, below the upstream's own, and the
// method. Without one, the refusal says what there is.
func (u *upstream) find(path, method string) (route, refusal, bool) {
	var allowed []string
	for _, one := range u.routes {
		if !one.pattern.Match(path) {
			continue
		}
		if slices.Contains(one.methods, method) {
			return one, refusal{}, true
		}
		allowed = append(allowed, one.methods...)
	}
	if allowed == nil {
		return route{}, nothingHere, false
	}
	slices.Sort(allowed)
	return route{}, wrongMethod(slices.Compact(allowed)), false
}

// forward passes a request on to its upstream.
func (b *BFF) forward(w http.ResponseWriter, r *http.Request, u *upstream) {
	to, why, found := u.find(rest(r.URL.Path, u.path), r.Method)
	if !found {
		b.refuse(w, r, why)
		return
	}
	if upgrades, webSocket := proxy.Upgrades(r); upgrades && !(webSocket && to.stream) {
		b.refuse(w, r, noStream)
		return
	}
	var send http.RoundTripper = u.transport
	key := fmt.Sprintf("anonymous %p", r)
	var s *client.Session
	if !u.Anonymous {
		check := b.fromOurPage
		if to.stream {
			check = b.streamFromOurPage
		}
		if why, ours := check(r); !ours {
			b.refuse(w, r, why)
			return
		}
		if r.URL.Query().Has("access_token") { // RFC 9700 §4.3.2: nobody chooses another token than the session's
			b.refuse(w, r, refusal{status: http.StatusBadRequest, code: CodeBadRequest, description: "Access tokens do not belong into addresses."})
			return
		}
		var err error
		if _, s, err = b.session(r); err != nil {
			b.refuse(w, r, refusalOf(err))
			return
		}
		key = s.ID()
		var source client.Renewer = s
		if to.resource != "" {
			source = s.For(to.resource)
		}
		send = &client.Transport{Source: source, Resources: []string{u.URL}, InsecureAllowHTTP: u.InsecureAllowHTTP, Base: u.transport}
	}
	controller := http.NewResponseController(w)
	if to.stream {
		ctx, finish, err := b.openStream(r.Context(), controller, key, s)
		if err != nil {
			b.refuse(w, r, streamRefusal(err))
			return
		}
		defer finish()
		r = r.WithContext(ctx)
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), u.Timeout)
		defer cancel()
		deadline := time.Now().Add(u.Timeout + answerGrace)                                // the refusal has to be written, too
		_, _ = controller.SetReadDeadline(deadline), controller.SetWriteDeadline(deadline) // where the listener can
		r = r.WithContext(ctx)
	}
	r.Body = http.MaxBytesReader(w, r.Body, u.MaxBody)
	u.proxy.Serve(w, r, rest(r.URL.EscapedPath(), u.path), send, func(response *http.Response) { keepPrivate(response, u.Anonymous) })
}

// rest is the part of a path that is below another.
func rest(path, above string) string {
	if rest := strings.TrimPrefix(path, above); rest != "" {
		return rest
	}
	return "/"
}

// keepPrivate keeps an answer with a person's data out of shared caches and other
// sites' pages.
func keepPrivate(response *http.Response, anonymous bool) {
	header := response.Header
	if header.Get("X-Content-Type-Options") == "" {
		header.Set("X-Content-Type-Options", "nosniff")
	}
	if anonymous {
		return
	}
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Add("Vary", "Cookie")
	if told := strings.ToLower(strings.Join(header.Values("Cache-Control"), ",")); !strings.Contains(told, "private") && !strings.Contains(told, "no-store") {
		header.Set("Cache-Control", "no-store")
	}
}

// openStream makes a context that ends with the session; nothing is read or written
// after that, also if the browser does not take what was written.
func (b *BFF) openStream(ctx context.Context, controller *http.ResponseController, key string, s *client.Session) (context.Context, func(), error) {
	ctx, first, closeStream, err := b.streams.Open(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	if s != nil {
		// It may have ended before the stream was there to be told.
		if err := s.Live(ctx); err != nil {
			closeStream()
			return nil, nil, err
		}
		if first && !b.watch(s) {
			closeStream()
			return nil, nil, &client.UnavailableError{Op: "stream", Cause: errors.New("the server is stopping")}
		}
	}
	finish := proxy.CutAtEnd(ctx, controller)
	return ctx, func() {
		finish()
		closeStream()
	}, nil
}

func streamRefusal(err error) refusal {
	if errors.Is(err, proxy.ErrTooManyStreams) {
		return tooMany
	}
	return refusalOf(err)
}

// watch looks now and then whether a session with streams is still there: another
// process may have ended it. It says false when the BFF was closed.
func (b *BFF) watch(s *client.Session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lives.Err() != nil {
		return false
	}
	b.beside.Go(func() {
		seen := time.Now()
		for b.streams.Any(s.ID()) {
			select {
			case <-time.After(b.config.StreamCheck):
			case <-b.lives.Done():
				return
			}
			ctx, cancel := context.WithTimeout(b.lives, lookTime)
			err := s.Live(ctx)
			cancel()
			switch {
			case err == nil:
				seen = time.Now()
			case errors.Is(err, client.ErrNoSession), time.Since(seen) > maxBlind:
				b.streams.End(s.ID())
			}
		}
	})
	return true
}

// notForwarded answers a request that could not be passed on.
func (b *BFF) notForwarded(w http.ResponseWriter, r *http.Request, err error) {
	cause := context.Cause(r.Context())
	network, ok := errors.AsType[net.Error](err)
	timedOut := ok && network.Timeout()
	switch {
	case errors.Is(cause, proxy.ErrEnded):
		b.refuse(w, r, refusalOf(client.ErrSessionEnded))
	case proxy.TooLarge(err):
		b.refuse(w, r, refusal{status: http.StatusRequestEntityTooLarge, code: CodeTooLarge, description: "The request's body is larger than this address takes.", cause: err})
	case errors.Is(cause, context.Canceled): // the browser is gone: nobody reads the answer
		b.refuse(w, r, refusal{status: http.StatusBadRequest, code: CodeBadRequest, description: "The request was given up.", cause: err})
	case ofClient(err):
		b.refuse(w, r, refusalOf(err))
	case timedOut || errors.Is(cause, context.DeadlineExceeded):
		b.refuse(w, r, refusal{status: http.StatusGatewayTimeout, code: CodeBadUpstream, description: "The API did not answer in time.", cause: err})
	default:
		b.refuse(w, r, refusal{status: http.StatusBadGateway, code: CodeBadUpstream, description: "The API could not be reached, or broke off.", cause: err})
	}
}

// ofClient says whether an error is about the session or its tokens, and not about
// the upstream.
func ofClient(err error) bool {
	_, away := errors.AsType[*client.UnavailableError](err)
	_, refused := errors.AsType[*client.RefusedError](err)
	_, invalid := errors.AsType[*client.InvalidError](err)
	return away || refused || invalid || errors.Is(err, client.ErrNoSession) || errors.Is(err, client.ErrSessionEnded) || errors.Is(err, client.ErrTokenExpired)
}

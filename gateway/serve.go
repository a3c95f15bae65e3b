package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gatehouse/internal/proxy"
	"gatehouse/oauth"
	"gatehouse/resource"
)

const (
	// answerGrace is how long after a route's Timeout an answer may still be written.
	answerGrace = 5 * time.Second
	// bodyGrace is how long after it a read of the body ends: before the answer's grace is
	// over, so that the client is told.
	bodyGrace = time.Second
	// maxBlind is how long a stream goes on while nobody can tell whether its token is
	// still right.
	maxBlind = time.Minute
	// lookTime bounds one look at a token for its streams.
	lookTime = 5 * time.Second
)

// errExpired is the cause of a stream's end with its token.
var errExpired = errors.New("gateway: the token expired")

// wellKnown begins the paths of resources' metadata (RFC 9728 §3.1).
const wellKnown = "/.well-known/"

// ServeHTTP answers a request, by its upstream if the decision is to let it through.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	proxy.EndConnection(w, r)
	if len(g.documents) > 0 && strings.HasPrefix(r.URL.Path, wellKnown) {
		if document := g.documents[hostName(r.Host)+r.URL.EscapedPath()]; document != nil {
			document.ServeHTTP(w, r)
			return
		}
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	c := &call{http: r, Request: Request{Host: r.Host, Method: r.Method, Target: r.RequestURI, Header: r.Header, Peer: peer.Addr()}}
	c.Scheme = g.scheme(r, c.Peer)
	if r.TLS != nil {
		c.ServerName = r.TLS.ServerName
	}
	g.decide(r.Context(), c)
	if c.decision.Allowed && c.route.upstream == nil {
		c.decision.refuse(noRoute())
	}
	g.tell(r.Context(), c)
	if !c.decision.Allowed {
		c.decision.WriteRefusal(w)
		return
	}
	g.pass(w, c)
}

// pass passes a request on that was let in.
func (g *Gateway) pass(w http.ResponseWriter, c *call) {
	r, to := c.http, c.route.upstream
	ctx := context.WithValue(r.Context(), callKey{}, c)
	controller := http.NewResponseController(w)
	if c.route.Stream {
		streamCtx, finish, err := g.openStream(ctx, controller, c)
		if err != nil {
			g.fail(w, c, err)
			return
		}
		defer finish()
		ctx = streamCtx
	} else {
		timed, cancel := context.WithTimeout(ctx, c.route.Timeout)
		defer cancel()
		end := time.Now().Add(c.route.Timeout)
		_ = controller.SetWriteDeadline(end.Add(answerGrace)) // where the listener can, as the next
		if r.Body != nil && r.Body != http.NoBody {
			_ = controller.SetReadDeadline(end.Add(bodyGrace))
		}
		ctx = timed
	}
	r = r.WithContext(ctx)
	if upgrades, webSocket := proxy.Upgrades(r); upgrades && !webSocket { // RFC 9110 §7.8: it may be ignored
		r.Header = r.Header.Clone()
		delete(r.Header, "Upgrade")
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(w, r.Body, c.route.MaxBody)
	}
	passage := proxy.Passage{
		Path: proxy.Below(r.URL.EscapedPath(), c.route.stripped), Send: to,
		Public: &url.URL{Scheme: c.Scheme, Host: r.Host}, Set: c.decision.Set,
	}
	began := time.Now()
	passage.Change = func(response *http.Response) {
		g.counts.answered(c.route.Name, response.StatusCode, time.Since(began))
		if response.StatusCode == http.StatusUnauthorized && c.route.Forward.Exchange != nil { // the next request gets another one
			g.exchanges.drop(c.key(), c.exchanged)
		}
	}
	to.proxy.Pass(w, r, passage)
}

// callKey is where the call stands in the context of what is passed on.
type callKey struct{}

// notForwarded answers a request that could not be passed on.
func (g *Gateway) notForwarded(w http.ResponseWriter, r *http.Request, err error) {
	c, _ := r.Context().Value(callKey{}).(*call)
	g.fail(w, c, failure(r.Context(), err))
}

// failure says what kept a request from its answer.
func failure(ctx context.Context, err error) *oauth.Error {
	cause := context.Cause(ctx)
	network, is := errors.AsType[net.Error](err)
	switch {
	case errors.Is(cause, proxy.ErrEnded), errors.Is(cause, errExpired):
		return ended()
	case proxy.TooLarge(err):
		return tooLarge(err)
	case errors.Is(cause, context.Canceled), errors.Is(err, errSender):
		return givenUp(err)
	case errors.Is(err, errResting):
		return resting()
	case is && network.Timeout(), errors.Is(cause, context.DeadlineExceeded):
		return upstreamLate(err)
	}
	return upstreamFailed(err)
}

// fail answers a request that was let in and came to nothing.
func (g *Gateway) fail(w http.ResponseWriter, c *call, refusal *oauth.Error) {
	level := slog.LevelWarn
	if refusal.Status < http.StatusInternalServerError {
		level = slog.LevelInfo
	}
	attributes := []slog.Attr{
		slog.String("error_id", refusal.ID), slog.Int("status", refusal.Status), slog.String("route", c.route.Name),
		slog.String("upstream", c.route.Upstream), slog.String("method", c.Method), slog.String("path", logged(c.http.URL.Path)),
	}
	if refusal.Cause != nil {
		attributes = append(attributes, slog.String("cause", refusal.Cause.Error()))
	}
	g.config.Logger.LogAttrs(c.http.Context(), level, "not passed on", attributes...)
	g.counts.failed(c.route.Name, refusal.Rule)
	d := Decision{Route: c.route.Name}
	d.refuse(refusal)
	if refusal.Status == http.StatusUnauthorized && c.route.admission != nil {
		d.Header.Set("WWW-Authenticate", c.route.admission.Challenge(c.http, refusal).Header(refusal))
	}
	d.WriteRefusal(w)
}

// openStream makes a context that ends with the token, by its time or since it ended;
// nothing is read or written after that, also if the client does not take what was
// written.
func (g *Gateway) openStream(ctx context.Context, controller *http.ResponseController, c *call) (context.Context, func(), *oauth.Error) {
	key, until := "public "+c.decision.Address.String()+" "+c.http.RemoteAddr, time.Time{}
	if c.admitted != nil {
		c.digest = digestOf(c.raw)
		key, until = string(c.digest[:])+" "+c.route.Name, c.admitted.Expiry
	}
	ctx, first, closeStream, err := g.streams.Open(ctx, key)
	if err != nil {
		return nil, nil, tooManyStreams()
	}
	if g.lives.Err() != nil || c.admitted != nil && first && !g.watch(key, c.route.admission, c.raw) {
		closeStream()
		return nil, nil, stopping()
	}
	stop := func() {}
	if !until.IsZero() {
		ctx, stop = context.WithDeadlineCause(ctx, until, errExpired)
	}
	finish := proxy.CutAtEnd(ctx, controller)
	return ctx, func() {
		finish()
		stop()
		closeStream()
	}, nil
}

// watch has one look, while there are streams of the key, whether their token is still
// right. It says false when the gateway was closed.
func (g *Gateway) watch(key string, admission *resource.Admission, raw string) bool {
	if _, already := g.watched.LoadOrStore(key, struct{}{}); already {
		return true
	}
	runs := g.run(func(ctx context.Context) {
		for again := true; again && ctx.Err() == nil; {
			g.look(ctx, key, admission, raw)
			g.watched.Delete(key)
			if again = g.streams.Any(key); again { // opened meanwhile, when somebody looked still
				_, already := g.watched.LoadOrStore(key, struct{}{})
				again = !already
			}
		}
	})
	if !runs {
		g.watched.Delete(key)
	}
	return runs
}

// look looks at a token until there is no stream of the key.
func (g *Gateway) look(ctx context.Context, key string, admission *resource.Admission, raw string) {
	ticker := time.NewTicker(g.config.StreamCheck)
	defer ticker.Stop()
	seen := time.Now()
	for g.streams.Any(key) {
		look, cancel := context.WithTimeout(ctx, lookTime)
		err := admission.Still(look, raw)
		cancel()
		switch {
		case err == nil:
			seen = time.Now()
		case oauth.AsError(err).Code != oauth.TemporarilyUnavailable, time.Since(seen) > maxBlind:
			g.streams.End(key)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// maxLoggedPath bounds what a caller can write into our log.
const maxLoggedPath = 256

func logged(path string) string { return path[:min(len(path), maxLoggedPath)] }

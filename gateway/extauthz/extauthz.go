package extauthz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/textproto"
	"runtime/debug"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"gatehouse/gateway"
	"gatehouse/internal/proxy"
	"gatehouse/oauth"
)

// Config says who asks.
type Config struct {
	// Proxies are those who may ask: whoever else could tell of any request. Required.
	Proxies []netip.Prefix
	// Identity is the gateway's own.
	Identity gateway.Identity
	// Logger tells of questions that are no decision's matter; nil means slog.Default.
	Logger *slog.Logger
}

// Bounds of a question.
const (
	MaxProxies = 256
	maxHeaders = 512
)

// Check says what keeps the configuration from being used.
func (c Config) Check() error {
	if len(c.Proxies) == 0 || len(c.Proxies) > MaxProxies {
		return fmt.Errorf("extauthz: Proxies must name 1 to %d addresses or networks that may ask", MaxProxies)
	}
	for _, p := range c.Proxies {
		if !p.IsValid() || p.Bits() == 0 {
			return errors.New("extauthz: Proxies must not name everybody: whoever may ask can tell of any request")
		}
	}
	return nil
}

// decider is a [gateway.Gateway].
type decider interface {
	Decide(ctx context.Context, r gateway.Request) gateway.Decision
}

// Server answers Envoy. It is safe for concurrent use.
type Server struct {
	authv3.UnimplementedAuthorizationServer
	gateway decider
	proxies []netip.Prefix
	names   []string // of identity headers, and Authorization
	log     *slog.Logger
}

// New makes a server that asks a gateway.
func New(g decider, c Config) (*Server, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	s := &Server{gateway: g, proxies: c.Proxies, names: append(c.Identity.Headers(), "Authorization"), log: c.Logger}
	if s.log == nil {
		s.log = slog.Default()
	}
	return s, nil
}

// Check answers one question. The error is always nil.
func (s *Server) Check(ctx context.Context, question *authv3.CheckRequest) (answer *authv3.CheckResponse, _ error) {
	defer func() {
		if broken := recover(); broken != nil { // net/http does this for its handlers; gRPC lets the process end
			s.log.ErrorContext(ctx, "panic", "error", broken, "stack", string(debug.Stack()))
			answer = s.refused(oauth.Fault(errors.New("panic")))
		}
	}()
	if !s.hears(ctx) {
		refusal := oauth.Refuse("forward-auth-peer", oauth.AccessDenied, "Decisions are told to the configured proxies alone.").WithStatus(http.StatusForbidden)
		s.log.WarnContext(ctx, "question refused", "error_id", refusal.ID)
		return s.refused(refusal), nil
	}
	request, err := read(question)
	if err != nil {
		refusal := oauth.Refuse("ext-authz-question", oauth.InvalidRequest, "The proxy does not tell clearly of the request: "+err.Error()+".")
		s.log.WarnContext(ctx, "question refused", "error_id", refusal.ID)
		return s.refused(refusal), nil
	}
	d := s.gateway.Decide(ctx, request)
	if !d.Allowed {
		return denied(d), nil
	}
	return s.allowed(d), nil
}

// hears says whether the other end may ask.
func (s *Server) hears(ctx context.Context) bool {
	from, known := peer.FromContext(ctx)
	if !known || from.Addr == nil {
		return false
	}
	address, err := netip.ParseAddrPort(from.Addr.String())
	return err == nil && slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(address.Addr().Unmap()) })
}

// read makes the request that is asked about.
func read(question *authv3.CheckRequest) (gateway.Request, error) {
	told := question.GetAttributes().GetRequest().GetHttp()
	if told == nil {
		return gateway.Request{}, errors.New("it is no HTTP request")
	}
	r := gateway.Request{
		Scheme: told.GetScheme(), Host: told.GetHost(), Method: told.GetMethod(), Target: told.GetPath(), Header: http.Header{},
		ServerName: question.GetAttributes().GetTlsSession().GetSni(),
	}
	add := func(name, value string) error {
		if name == "" || strings.HasPrefix(name, ":") { // RFC 9113 §8.3: told by themselves
			return nil
		}
		if len(r.Header) >= maxHeaders {
			return fmt.Errorf("it has more than %d headers", maxHeaders)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		r.Header[name] = append(r.Header[name], value)
		return nil
	}
	if raw := told.GetHeaderMap().GetHeaders(); len(raw) > 0 { // encode_raw_headers
		for _, one := range raw {
			value := one.GetValue()
			if bytes := one.GetRawValue(); len(bytes) > 0 {
				value = string(bytes)
			}
			if err := add(one.GetKey(), value); err != nil {
				return r, err
			}
		}
	} else {
		for name, value := range told.GetHeaders() {
			if err := add(name, value); err != nil {
				return r, err
			}
		}
	}
	switch {
	case r.Scheme != "http" && r.Scheme != "https":
		return r, errors.New("the scheme is neither http nor https")
	case r.Method == "" || r.Host == "":
		return r, errors.New("a method or a host is missing")
	case !strings.HasPrefix(r.Target, "/"):
		return r, errors.New("the path does not begin with a slash")
	case told.GetQuery() != "" || told.GetFragment() != "":
		return r, errors.New("a query or fragment is told apart from the path")
	}
	if address, err := netip.ParseAddr(question.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress()); err == nil {
		r.Peer = address.Unmap()
	}
	return r, nil
}

// own are headers that Envoy sets itself and needs, or takes away itself.
func own(alias string) bool {
	return strings.HasPrefix(alias, "x-envoy-") || alias == "x-forwarded-for" || alias == "x-forwarded-proto" || alias == "x-forwarded-client-cert"
}

// allowed tells Envoy what the upstream gets, and what it does not get.
func (s *Server) allowed(d gateway.Decision) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{Headers: options(d.Set)}
	remove := func(name string) {
		name = strings.ToLower(name)
		if !slices.Contains(ok.HeadersToRemove, name) {
			ok.HeadersToRemove = append(ok.HeadersToRemove, name)
		}
	}
	for _, name := range s.names {
		if d.Set[name] == nil {
			remove(name)
		}
	}
	for _, name := range d.Removed {
		if d.Set[name] == nil && !own(proxy.Alias(name)) {
			remove(name)
		}
	}
	return &authv3.CheckResponse{Status: status.New(codes.OK, "").Proto(), HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok}}
}

// options are headers that stand in the place of any others of their names.
func options(headers http.Header) (all []*corev3.HeaderValueOption) {
	for name, values := range headers {
		for i, value := range values {
			action := corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
			if i > 0 {
				action = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
			}
			all = append(all, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: strings.ToLower(name), Value: value}, AppendAction: action})
		}
	}
	return all
}

// refused denies what no decision was made about.
func (s *Server) refused(refusal *oauth.Error) *authv3.CheckResponse {
	return denied(gateway.Decision{Status: refusal.Status, Reason: refusal.Rule, Refusal: refusal})
}

// denied tells Envoy the answer that the client gets: the one that the gateway writes.
func denied(d gateway.Decision) *authv3.CheckResponse {
	w := &writer{header: http.Header{}}
	d.WriteRefusal(w)
	w.header.Del("Content-Length") // Envoy's matter
	code := codes.PermissionDenied
	switch d.Status {
	case http.StatusUnauthorized:
		code = codes.Unauthenticated
	case http.StatusTooManyRequests:
		code = codes.ResourceExhausted
	case http.StatusServiceUnavailable:
		code = codes.Unavailable
	}
	return &authv3.CheckResponse{Status: status.New(code, d.Reason).Proto(), HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(w.status)}, Headers: options(w.header), Body: w.body.String(),
	}}}
}

// writer keeps an answer.
type writer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(status int)      { w.status = status }
func (w *writer) Write(p []byte) (int, error) { return w.body.Write(p) }

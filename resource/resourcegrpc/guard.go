package resourcegrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"gatehouse/oauth"
	"gatehouse/resource"
)

// Config says what each method needs.
type Config struct {
	// Server checks the tokens. Required.
	Server *resource.Server
	// Methods are what methods need, by their full name, /package.Service/Method,
	// or of a whole service, /package.Service/. The full name wins.
	Methods map[string]resource.Needs
	// Public are methods or services, named alike, that need no token, such as
	// /grpc.health.v1.Health/.
	Public []string
}

// Guard holds calls to what their methods need.
type Guard struct {
	server *resource.Server
	needs  map[string]resource.Needs
	public map[string]bool
}

// recheckEvery is how often the token of a stream is looked at again, when a
// message passes.
const recheckEvery = time.Second

// New returns a guard. It refuses a configuration that says two things of one name,
// or needs that nothing can fulfil.
func New(config Config) (*Guard, error) {
	if config.Server == nil {
		return nil, errors.New("resourcegrpc: Server is missing")
	}
	g := &Guard{server: config.Server, needs: map[string]resource.Needs{}, public: map[string]bool{}}
	for _, name := range config.Public {
		if err := checkName(name); err != nil {
			return nil, err
		}
		g.public[name] = true
	}
	for name, needs := range config.Methods {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if g.public[name] {
			return nil, fmt.Errorf("resourcegrpc: %s is in Methods and in Public", name)
		}
		if err := needs.Validate(); err != nil {
			return nil, fmt.Errorf("resourcegrpc: %s: %w", name, err)
		}
		g.needs[name] = needs
	}
	return g, nil
}

// checkName wants /package.Service/Method or /package.Service/.
func checkName(name string) error {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || parts[0] != "" || parts[1] == "" {
		return fmt.Errorf("resourcegrpc: %q is neither /package.Service/Method nor /package.Service/", name)
	}
	return nil
}

// Unary is the interceptor of calls with one message each way. Handlers find the
// access by [resource.AccessFrom].
func (g *Guard) Unary(ctx context.Context, message any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	admitted, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(admitted.ctx, message)
}

// Stream is the interceptor of streams.
func (g *Guard) Stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	admitted, err := g.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	guarded := &guardedStream{ServerStream: stream, admission: admitted, guard: g, checkedAt: time.Now()}
	err = handler(service, guarded)
	if ended := guarded.ended(); ended != nil { // whatever the handler made of it
		return ended
	}
	return err
}

// admission is a call that was let in; raw is "" when it needs no token.
type admission struct {
	ctx   context.Context
	raw   string
	needs resource.Needs
}

func (g *Guard) admit(ctx context.Context, method string) (admission, error) {
	needs, public, known := g.lookup(method)
	if public {
		return admission{ctx: ctx}, nil
	}
	if !known {
		return admission{}, status.Error(codes.PermissionDenied, "nothing was said of what this method needs")
	}
	incoming, _ := metadata.FromIncomingContext(ctx)
	raw, err := resource.BearerToken(incoming.Get("authorization"))
	if err != nil {
		return admission{}, g.refused(ctx, err, needs)
	}
	access, err := g.server.Check(ctx, raw, needs, slog.String("method", method))
	if err != nil {
		return admission{}, g.refused(ctx, err, needs)
	}
	return admission{resource.WithAccess(ctx, access), raw, needs}, nil
}

func (g *Guard) lookup(method string) (needs resource.Needs, public, known bool) {
	service := method[:strings.LastIndexByte(method, '/')+1]
	for _, name := range []string{method, service} {
		if g.public[name] {
			return resource.Needs{}, true, true
		}
		if needs, known = g.needs[name]; known {
			return needs, false, true
		}
	}
	return resource.Needs{}, false, false
}

// refused is the status of a refusal. The challenge is in the header
// www-authenticate, as over HTTP (RFC 6750 §3).
func (g *Guard) refused(ctx context.Context, err error, needs resource.Needs) error {
	refusal := oauth.AsError(err)
	header := metadata.MD{}
	switch refusal.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest:
		header.Set("www-authenticate", g.server.Challenge(refusal, needs).Header(refusal))
	}
	if refusal.RetryAfter > 0 {
		header.Set("retry-after", fmt.Sprint(int(refusal.RetryAfter.Round(time.Second).Seconds())))
	}
	if len(header) > 0 {
		_ = grpc.SetHeader(ctx, header) // of a stream that has begun it is too late
	}
	return status.Error(codeOf(refusal), refusal.Public())
}

func codeOf(refusal *oauth.Error) codes.Code {
	switch refusal.Status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	}
	return codes.Internal
}

// guardedStream is a stream whose token is looked at again now and then.
type guardedStream struct {
	grpc.ServerStream
	admission
	guard *Guard

	mu        sync.Mutex
	checkedAt time.Time
	err       error // ends the stream for good
}

func (s *guardedStream) Context() context.Context { return s.ctx }

func (s *guardedStream) SendMsg(message any) error {
	if err := s.still(); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(message)
}

func (s *guardedStream) RecvMsg(message any) error {
	if err := s.ServerStream.RecvMsg(message); err != nil {
		return err
	}
	return s.still() // now: the message may have been long in coming
}

// ended is why the guard ended the stream, nil if it did not.
func (s *guardedStream) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *guardedStream) still() error {
	if s.raw == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || time.Since(s.checkedAt) < recheckEvery {
		return s.err
	}
	s.checkedAt = time.Now()
	if err := s.guard.server.Still(s.ctx, s.raw, s.needs); err != nil {
		s.err = s.guard.refused(s.ctx, err, s.needs)
	}
	return s.err
}

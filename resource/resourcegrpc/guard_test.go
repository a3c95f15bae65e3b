package resourcegrpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	health1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"gatehouse/jose"
	"gatehouse/resource"
	"gatehouse/resource/resourcegrpc"
)

const (
	audience = "https://health.test"
	check    = "/grpc.health.v1.Health/Check"
	watch    = "/grpc.health.v1.Health/Watch"
	list     = "/grpc.health.v1.Health/List"
)

var key = sync.OnceValue(func() *jose.PrivateKey {
	key, err := jose.GenerateKey(jose.ES256, "es-1")
	if err != nil {
		panic(err)
	}
	return key
})

// stage is a service behind a guard, and the issuer of its tokens.
type stage struct {
	*testing.T
	issuer *httptest.Server
	health *health.Server
	client health1.HealthClient
	log    *logged
	down   bool
}

type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newStage(t *testing.T, config resourcegrpc.Config) *stage {
	t.Helper()
	s := &stage{T: t, health: health.NewServer(), log: &logged{}}
	s.issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.down:
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/jwks":
			_ = json.NewEncoder(w).Encode(jose.KeySet{Keys: []jose.PublicKey{key().Public()}})
		default:
			_, _ = io.WriteString(w, `{"issuer":"`+s.issuer.URL+`","jwks_uri":"`+s.issuer.URL+`/jwks"}`)
		}
	}))
	t.Cleanup(s.issuer.Close)
	rs, err := resource.New(t.Context(), resource.Config{
		Issuer: s.issuer.URL, Audience: audience, Skew: 1, Metadata: &resource.Metadata{}, Logger: slog.New(slog.NewJSONHandler(s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	config.Server = rs
	guard, err := resourcegrpc.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
	health1.RegisterHealthServer(server, s.health)
	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s.client = health1.NewHealthClient(conn)
	return s
}

func (s *stage) token(scope string, life time.Duration) string {
	s.Helper()
	now := time.Now()
	raw, err := key().Sign(jose.TypeAccessToken, fmt.Appendf(nil,
		`{"iss":%q,"sub":"alice","aud":%q,"client_id":"web","jti":"jti-1","scope":%q,"iat":%d,"exp":%d}`,
		s.issuer.URL, audience, scope, now.Unix(), now.Add(life).Unix()))
	if err != nil {
		s.Fatal(err)
	}
	return raw
}

func with(ctx context.Context, authorization ...string) context.Context {
	for _, value := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
	}
	return ctx
}

func TestUnary(t *testing.T) {
	s := newStage(t, resourcegrpc.Config{
		Methods: map[string]resource.Needs{
			check: {Scopes: []string{"health:read"}}, "/grpc.health.v1.Health/": {Scopes: []string{"health:read", "health:all"}},
		},
	})
	good := s.token("health:read", time.Minute)
	for name, test := range map[string]struct {
		authorization []string
		code          codes.Code
		challenge     string
	}{
		"good":           {[]string{"Bearer " + good}, codes.OK, ""},
		"another case":   {[]string{"bearer " + good}, codes.OK, ""},
		"none":           {nil, codes.Unauthenticated, `Bearer realm="gatehouse", scope="health:read", resource_metadata="` + audience + `/.well-known/oauth-protected-resource"`},
		"another scheme": {[]string{"Basic YTpi"}, codes.Unauthenticated, `Bearer realm="gatehouse", scope=`},
		"two":            {[]string{"Bearer " + good, "Bearer " + good}, codes.InvalidArgument, `error="invalid_request"`},
		"empty":          {[]string{"Bearer "}, codes.InvalidArgument, `error="invalid_request"`},
		"bad":            {[]string{"Bearer x"}, codes.Unauthenticated, `error="invalid_token"`},
		"too little":     {[]string{"Bearer " + s.token("other", time.Minute)}, codes.PermissionDenied, `error="insufficient_scope"`},
	} {
		t.Run(name, func(t *testing.T) {
			var header metadata.MD
			_, err := s.client.Check(with(t.Context(), test.authorization...), &health1.HealthCheckRequest{}, grpc.Header(&header))
			if status.Code(err) != test.code {
				t.Errorf("%v, want %v", err, test.code)
			}
			if got := strings.Join(header.Get("www-authenticate"), "|"); !strings.Contains(got, test.challenge) || (test.challenge == "") != (got == "") {
				t.Errorf("challenge %s, want %s", got, test.challenge)
			}
		})
	}
	for _, part := range []string{`"decision":"allowed","method":"` + check + `","jti":"jti-1","client_id":"web","sub":"alice"`, `"decision":"refused"`} {
		if !strings.Contains(s.log.String(), part) {
			t.Errorf("the log lacks %s: %s", part, s.log)
		}
	}
	if strings.Contains(s.log.String(), good[:20]) {
		t.Error("the log has a token")
	}
	// A method that is not named by itself needs what its service does.
	if _, err := s.client.List(with(t.Context(), "Bearer "+good), &health1.HealthListRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v", err)
	}
	if _, err := s.client.List(with(t.Context(), "Bearer "+s.token("health:read health:all", time.Minute)), &health1.HealthListRequest{}); err != nil {
		t.Error(err)
	}
}

func TestMethodsOfWhichNothingIsSaid(t *testing.T) {
	s := newStage(t, resourcegrpc.Config{Public: []string{list}, Methods: map[string]resource.Needs{check: {}}})
	if _, err := s.client.List(t.Context(), &health1.HealthListRequest{}); err != nil {
		t.Errorf("a public method: %v", err)
	}
	if _, err := s.client.Check(with(t.Context(), "Bearer "+s.token("", time.Minute)), &health1.HealthCheckRequest{}); err != nil {
		t.Errorf("any token: %v", err)
	}
	stream, err := s.client.Watch(with(t.Context(), "Bearer "+s.token("", time.Minute)), &health1.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a method of which nothing is said: %v", err)
	}
}

// TestStream ends a stream whose token has expired.
func TestStream(t *testing.T) {
	s := newStage(t, resourcegrpc.Config{Methods: map[string]resource.Needs{watch: {Scopes: []string{"health:read"}}}})
	if stream, err := s.client.Watch(t.Context(), &health1.HealthCheckRequest{}); err == nil {
		if _, err = stream.Recv(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("without a token: %v", err)
		}
	}
	stream, err := s.client.Watch(with(t.Context(), "Bearer "+s.token("health:read", 3*time.Second)), &health1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	s.health.SetServingStatus("", health1.HealthCheckResponse_NOT_SERVING)
	if answer, err := stream.Recv(); err != nil || answer.Status != health1.HealthCheckResponse_NOT_SERVING {
		t.Fatalf("%v %v", answer, err)
	}
	time.Sleep(3100 * time.Millisecond)
	s.health.SetServingStatus("", health1.HealthCheckResponse_SERVING)
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after the token's time: %v", err)
	}
}

func TestUnavailable(t *testing.T) {
	s := newStage(t, resourcegrpc.Config{Methods: map[string]resource.Needs{check: {}}})
	s.down = true
	var header metadata.MD
	_, err := s.client.Check(with(t.Context(), "Bearer "+s.token("", time.Minute)), &health1.HealthCheckRequest{}, grpc.Header(&header))
	if status.Code(err) != codes.Unavailable || len(header.Get("retry-after")) != 1 || len(header.Get("www-authenticate")) != 0 {
		t.Errorf("%v %v", err, header)
	}
}

func TestNewRefuses(t *testing.T) {
	rs, err := resource.New(t.Context(), resource.Config{Issuer: "https://as.test", Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	for want, config := range map[string]resourcegrpc.Config{
		"Server":         {},
		"Check":          {Server: rs, Public: []string{"Check"}},
		"neither":        {Server: rs, Methods: map[string]resource.Needs{"/Health": {}}},
		"and in Public":  {Server: rs, Methods: map[string]resource.Needs{check: {}}, Public: []string{check}},
		"is not a scope": {Server: rs, Methods: map[string]resource.Needs{check: {Scopes: []string{`a"b`}}}},
		"MaxAuthAge":     {Server: rs, Methods: map[string]resource.Needs{check: {MaxAuthAge: -1}}},
	} {
		if _, err := resourcegrpc.New(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

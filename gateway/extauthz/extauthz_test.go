package extauthz_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"gatehouse/gateway"
	"gatehouse/gateway/extauthz"
	"gatehouse/internal/proxy/proxytest"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/oauth"
	"gatehouse/resource"
)

var local = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// dial serves a decider over gRPC, as it stands in production, and returns Envoy's end.
func dial(t *testing.T, g interface {
	Decide(context.Context, gateway.Request) gateway.Decision
}, c extauthz.Config) authv3.AuthorizationClient {
	t.Helper()
	if c.Proxies == nil {
		c.Proxies = local
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	checks, err := extauthz.New(g, c)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, checks)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = connection.Close()
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return authv3.NewAuthorizationClient(connection)
}

// question is what Envoy asks; change may change it.
func question(method, path string, headers map[string]string, change func(*authv3.AttributeContext)) *authv3.CheckRequest {
	all := map[string]string{":authority": "api.example", ":method": method, ":path": path, ":scheme": "https", "x-forwarded-proto": "https", "x-request-id": "1", "x-envoy-internal": "true"}
	for name, value := range headers {
		all[name] = value
	}
	a := &authv3.AttributeContext{
		Source:  &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "198.51.100.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711}}}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Id: "1", Method: method, Path: path, Host: "api.example", Scheme: "https", Protocol: "HTTP/2", Headers: all}},
	}
	if change != nil {
		change(a)
	}
	return &authv3.CheckRequest{Attributes: a}
}

func ask(t *testing.T, envoy authv3.AuthorizationClient, q *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	answer, err := envoy.Check(t.Context(), q)
	if err != nil {
		t.Fatalf("an error of gRPC, which Envoy may take for a yes: %v", err)
	}
	return answer
}

// sets are the headers of an answer.
func sets(all []*corev3.HeaderValueOption) map[string]string {
	m := map[string]string{}
	for _, one := range all {
		m[one.GetHeader().GetKey()] = one.GetHeader().GetValue()
	}
	return m
}

type decisions struct {
	decision gateway.Decision
	requests []gateway.Request
	panics   bool
}

func (d *decisions) Decide(_ context.Context, r gateway.Request) gateway.Decision {
	if d.panics {
		panic("broken")
	}
	d.requests = append(d.requests, r)
	return d.decision
}

func TestAllowed(t *testing.T) {
	d := &decisions{decision: gateway.Decision{
		Allowed: true, Status: 200, Set: http.Header{"X-Gatehouse-Subject": {"ada"}, "X-Gatehouse-Scope": {"a b"}},
		Removed: []string{"Authorization", "Forwarded", "X_gatehouse_subject", "X-Forwarded-Proto", "X-Envoy-Internal", "X-Real-Ip"},
	}}
	answer := ask(t, dial(t, d, extauthz.Config{}), question("POST", "/photos/1?x=%2F", map[string]string{"authorization": "Bearer t"}, func(a *authv3.AttributeContext) {
		a.TlsSession = &authv3.AttributeContext_TLSSession{Sni: "api.example"}
	}))
	r := d.requests[0]
	if r.Method != "POST" || r.Target != "/photos/1?x=%2F" || r.Host != "api.example" || r.Scheme != "https" || r.ServerName != "api.example" || r.Peer != netip.MustParseAddr("198.51.100.7") || r.Header.Get("Authorization") != "Bearer t" {
		t.Errorf("asked about %+v", r)
	}
	for name := range r.Header {
		if strings.HasPrefix(name, ":") {
			t.Errorf("%s is a header", name)
		}
	}
	ok := answer.GetOkResponse()
	if answer.GetStatus().GetCode() != int32(codes.OK) || ok == nil {
		t.Fatalf("%v", answer)
	}
	if got := sets(ok.GetHeaders()); len(got) != 2 || got["x-gatehouse-subject"] != "ada" || got["x-gatehouse-scope"] != "a b" {
		t.Errorf("%v", got)
	}
	for _, one := range ok.GetHeaders() {
		if one.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("%v would stand beside the client's", one)
		}
	}
	for name, want := range map[string]bool{
		"authorization": true, "forwarded": true, "x_gatehouse_subject": true, "x-real-ip": true, "x-gatehouse-client-id": true, "x-gatehouse-identity": true,
		"x-gatehouse-subject": false, "x-gatehouse-scope": false, "x-forwarded-proto": false, "x-envoy-internal": false,
	} {
		if slices.Contains(ok.GetHeadersToRemove(), name) != want {
			t.Errorf("%s: removed is %t, want %t", name, !want, want)
		}
	}
}

func TestRawHeaders(t *testing.T) {
	d := &decisions{decision: gateway.Decision{Allowed: true, Status: 200}}
	envoy := dial(t, d, extauthz.Config{})
	ask(t, envoy, question("GET", "/x", nil, func(a *authv3.AttributeContext) {
		a.Request.Http.Headers = nil
		a.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":path", RawValue: []byte("/else")}, {Key: "authorization", RawValue: []byte("Bearer a")}, {Key: "authorization", RawValue: []byte("Bearer b")}, {Key: "x-text", Value: "t"}}}
	}))
	if h := d.requests[0].Header; len(h["Authorization"]) != 2 || h.Get("X-Text") != "t" || len(h) != 2 {
		t.Errorf("%v", h)
	}
}

// The answer is the one that the gateway itself would give, and never an error of gRPC.
func TestDenied(t *testing.T) {
	missing := oauth.Refuse("resource-token-missing", "", "The request carries no access token.").WithStatus(http.StatusUnauthorized)
	for _, test := range []struct {
		decision gateway.Decision
		code     codes.Code
		header   string
		body     string
	}{
		{gateway.Decision{Status: 401, Refusal: missing, Header: http.Header{"Www-Authenticate": {`Bearer realm="gatehouse"`}}}, codes.Unauthenticated, "www-authenticate", ""},
		{gateway.Decision{Status: 403, Refusal: oauth.Refuse("resource-scope", oauth.InsufficientScope, "More."), Header: http.Header{"Www-Authenticate": {"Bearer x"}}}, codes.PermissionDenied, "www-authenticate", "insufficient_scope"},
		{gateway.Decision{Status: 429, Refusal: oauth.Refuse("gateway-limit", oauth.TemporarilyUnavailable, "Slower."), Header: http.Header{"Retry-After": {"3"}}}, codes.ResourceExhausted, "retry-after", "Slower."},
		{gateway.Decision{Status: 503, Refusal: oauth.Refuse("x", oauth.TemporarilyUnavailable, "Away."), Header: http.Header{"Retry-After": {"1"}}}, codes.Unavailable, "retry-after", "Away."},
		{gateway.Decision{Status: 421, Refusal: oauth.Refuse("gateway-misdirected", oauth.InvalidRequest, "Elsewhere.")}, codes.PermissionDenied, "cache-control", "Elsewhere."},
	} {
		test.decision.Set = http.Header{"X-Gatehouse-Subject": {"ada"}}
		answer := ask(t, dial(t, &decisions{decision: test.decision}, extauthz.Config{}), question("GET", "/x", nil, nil))
		no := answer.GetDeniedResponse()
		if answer.GetStatus().GetCode() != int32(test.code) || no == nil || int(no.GetStatus().GetCode()) != test.decision.Status || !strings.Contains(no.GetBody(), test.body) || (test.body == "") != (no.GetBody() == "") {
			t.Errorf("%d: %v", test.decision.Status, answer)
			continue
		}
		got := sets(no.GetHeaders())
		if got[test.header] == "" || got["x-gatehouse-subject"] != "" || got["content-length"] != "" {
			t.Errorf("%d: %v", test.decision.Status, got)
		}
	}
	log := &proxytest.Log{}
	answer := ask(t, dial(t, &decisions{panics: true}, extauthz.Config{Logger: slog.New(slog.NewTextHandler(log, nil))}), question("GET", "/x", map[string]string{"authorization": "Bearer secret"}, nil))
	if no := answer.GetDeniedResponse(); no == nil || no.GetStatus().GetCode() != 500 || strings.Contains(no.GetBody(), "broken") || !strings.Contains(log.String(), "panic") || strings.Contains(log.String(), "secret") {
		t.Errorf("a panic: %v\n%s", answer, log.String())
	}
}

func TestQuestionsThatAreNotClear(t *testing.T) {
	spec.Covers(t, "PX-06")
	d := &decisions{decision: gateway.Decision{Allowed: true, Status: 200}}
	envoy := dial(t, d, extauthz.Config{})
	http := func(change func(*authv3.AttributeContext_HttpRequest)) *authv3.CheckRequest {
		return question("GET", "/x", nil, func(a *authv3.AttributeContext) { change(a.Request.Http) })
	}
	for about, q := range map[string]*authv3.CheckRequest{
		"nothing":    {},
		"no HTTP":    question("GET", "/x", nil, func(a *authv3.AttributeContext) { a.Request.Http = nil }),
		"no scheme":  http(func(h *authv3.AttributeContext_HttpRequest) { h.Scheme = "" }),
		"no host":    http(func(h *authv3.AttributeContext_HttpRequest) { h.Host = "" }),
		"no method":  http(func(h *authv3.AttributeContext_HttpRequest) { h.Method = "" }),
		"no path":    http(func(h *authv3.AttributeContext_HttpRequest) { h.Path = "" }),
		"a URL":      http(func(h *authv3.AttributeContext_HttpRequest) { h.Path = "https://api.example/x" }),
		"a query":    http(func(h *authv3.AttributeContext_HttpRequest) { h.Query = "a=b" }),
		"a fragment": http(func(h *authv3.AttributeContext_HttpRequest) { h.Fragment = "a" }),
		"no end": http(func(h *authv3.AttributeContext_HttpRequest) {
			for i := range 600 {
				h.Headers[fmt.Sprint("x-", i)] = "1"
			}
		}),
	} {
		answer := ask(t, envoy, q)
		if no := answer.GetDeniedResponse(); no == nil || no.GetStatus().GetCode() != 400 || !strings.Contains(no.GetBody(), "ext-authz-question") {
			t.Errorf("%s: %v", about, answer)
		}
	}
	if len(d.requests) > 0 {
		t.Errorf("decided about %v", d.requests)
	}
	stranger := dial(t, d, extauthz.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if no := ask(t, stranger, question("GET", "/x", nil, nil)).GetDeniedResponse(); no == nil || no.GetStatus().GetCode() != 403 || len(d.requests) > 0 {
		t.Errorf("a stranger: %v", no)
	}
	if ask(t, envoy, question("GET", "/x", nil, nil)).GetOkResponse() == nil {
		t.Error("a clear question was refused")
	}
}

func TestConfigurationsSayWhatIsWrong(t *testing.T) {
	for _, proxies := range [][]netip.Prefix{nil, {netip.MustParsePrefix("0.0.0.0/0")}, {{}}, make([]netip.Prefix, 257)} {
		if _, err := extauthz.New(&decisions{}, extauthz.Config{Proxies: proxies}); err == nil {
			t.Errorf("%v were taken", proxies)
		}
	}
}

// With a gateway behind: tokens, paths and headers as Envoy tells them.
func TestGateway(t *testing.T) {
	spec.Covers(t, "PX-01", "PX-02", "PN-01", "PN-03", "PX-15")
	key, err := jose.GenerateKey(jose.ES256, "k")
	if err != nil {
		t.Fatal(err)
	}
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
	}))
	t.Cleanup(issuer.Close)
	payload, err := json.Marshal(map[string]any{
		"iss": issuer.URL, "sub": "alice", "aud": "https://photos.example", "client_id": "web", "jti": "j", "scope": "photos:read", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Sign("at+jwt", payload)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(t.Context(), gateway.Config{
		Authentications: []gateway.Authentication{{Name: "photos", Resource: resource.Config{Audience: "https://photos.example", Issuer: issuer.URL, JWKSURI: issuer.URL + "/jwks"}}},
		Routes: []gateway.Route{
			{Name: "read", Match: gateway.Match{Path: "/photos/{id}"}, Authentication: "photos", Needs: resource.Needs{Scopes: []string{"photos:read"}}, Forward: gateway.Forward{Headers: true}},
			{Name: "admin", Match: gateway.Match{Path: "/admin"}, Authentication: "photos", Needs: resource.Needs{Scopes: []string{"admin"}}},
			{Name: "near", Match: gateway.Match{Path: "/near"}, Public: true, Networks: gateway.Networks{Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}},
			{Name: "public", Match: gateway.Match{Path: "/public/{rest...}"}, Public: true},
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	envoy := dial(t, g, extauthz.Config{})
	bearer := map[string]string{"authorization": "Bearer " + token}
	for _, test := range []struct {
		path    string
		headers map[string]string
		status  int
	}{
		{"/photos/1", bearer, 200}, {"/photos/1", nil, 401}, {"/photos/1", map[string]string{"authorization": "Bearer " + token + ",Bearer " + token}, 401}, {"/admin", bearer, 403}, {"/nothing", bearer, 404},
		{"/public/x", map[string]string{"x-gatehouse-subject": "root", "x_gatehouse_subject": "root"}, 200}, {"/near", map[string]string{"x-forwarded-for": "192.0.2.1"}, 200},
		{"/admin?x=/public/", nil, 401}, {"/public/../admin", nil, 400}, {"/public/%2e%2e/admin", nil, 400}, {"/public/..%2fadmin", nil, 400}, {"//admin", nil, 400}, {"/admin;x", nil, 400}, {"/%61dmin", nil, 400}, {"/public/a#b", nil, 400},
		{"/admin", map[string]string{"x-original-url": "/public/x", "x-envoy-original-path": "/public/x", "x-forwarded-uri": "/public/x", "x-http-method-override": "OPTIONS"}, 401},
	} {
		answer := ask(t, envoy, question("GET", test.path, test.headers, nil))
		got := int(answer.GetDeniedResponse().GetStatus().GetCode())
		if ok := answer.GetOkResponse(); ok != nil {
			got = 200
			for name := range test.headers {
				if name != "x-forwarded-for" && sets(ok.GetHeaders())[name] == "" && !slices.Contains(ok.GetHeadersToRemove(), name) {
					t.Errorf("%s: the client's %s reaches the upstream", test.path, name)
				}
			}
			if test.path == "/photos/1" && (sets(ok.GetHeaders())["x-gatehouse-subject"] != "alice" || !slices.Contains(ok.GetHeadersToRemove(), "authorization")) {
				t.Errorf("the upstream gets %v", ok)
			}
		}
		if got != test.status {
			t.Errorf("%s: %d, want %d: %v", test.path, got, test.status, answer)
		}
	}
	answer := ask(t, envoy, question("GET", "/public/x", nil, func(a *authv3.AttributeContext) {
		a.TlsSession = &authv3.AttributeContext_TLSSession{Sni: "public.example"}
	}))
	if answer.GetDeniedResponse().GetStatus().GetCode() != 421 {
		t.Errorf("another name in the handshake: %v", answer)
	}
}

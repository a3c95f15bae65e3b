package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"gatehouse/internal/proxy/proxytest"
)

const configuration = `
authentications:
  - {name: photos, audience: 'https://photos.example', issuers: [{issuer: 'http://127.0.0.1:1'}]}
routes:
  - {name: photos, path: '/photos/{id}', authentication: photos, scopes: ['photos:read']}
  - {name: public, path: /public, public: true}
`

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(directory, "gateway.yaml")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// start runs the program and returns Envoy's connection to it.
func start(t *testing.T, file, address string, secure credentials.TransportCredentials) (connection *grpc.ClientConn, log *proxytest.Log, stop func() int) {
	t.Helper()
	log = &proxytest.Log{}
	_, ended := proxytest.Run(t, func(ctx context.Context) int { return run(ctx, []string{"--config", file}, log, log) })
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(secure))
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceValue(func() int {
		code := ended()
		_ = connection.Close()
		return code
	})
	t.Cleanup(func() { stop() })
	waiting, cancelWaiting := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancelWaiting()
	for {
		answer, err := healthv1.NewHealthClient(connection).Check(waiting, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		if answer.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return connection, log, stop
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func check(t *testing.T, connection *grpc.ClientConn, path string) int {
	t.Helper()
	answer, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: path, Host: "api.example", Scheme: "https"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if answer.GetOkResponse() != nil {
		return 200
	}
	return int(answer.GetDeniedResponse().GetStatus().GetCode())
}

func TestServe(t *testing.T) {
	address := freeAddress(t)
	connection, log, stop := start(t, write(t, map[string]string{"gateway.yaml": configuration + "decisions: {ext_authz_listen: '" + address + "', proxies: [127.0.0.1]}\n"}), address, insecure.NewCredentials())
	for path, want := range map[string]int{"/public": 200, "/photos/1": 401, "/else": 404, "/public/../photos/1": 400} {
		if got := check(t, connection, path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if code := stop(); code != exitOK {
		t.Errorf("it ended with %d\n%s", code, log)
	}
	for _, line := range []string{"deciding for Envoy", `"decision":"refused","reason":"resource-token-missing","route":"photos"`, "stopped"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, log)
		}
	}
}

func TestServeOverTLS(t *testing.T) {
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	key, err := x509.MarshalPKCS8PrivateKey(other.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(other.Certificate())
	address := freeAddress(t)
	connection, _, _ := start(t, write(t, map[string]string{
		"gateway.yaml": configuration + "decisions: {ext_authz_listen: '" + address + "', proxies: [127.0.0.1], tls: {certificate: cert.pem, key: key.pem}}\n",
		"cert.pem":     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})),
		"key.pem":      string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}), address, credentials.NewTLS(&tls.Config{RootCAs: roots}))
	if got := check(t, connection, "/public"); got != 200 {
		t.Error(got)
	}
}

func TestWhatIsTypedWrongly(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for about, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":        {nil, exitUsage, "which configuration?"},
		"a word":         {[]string{"--config", "x", "y"}, exitUsage, "which configuration?"},
		"a flag":         {[]string{"--conf", "x"}, exitUsage, "usage:"},
		"help":           {[]string{"--help"}, exitOK, "usage:"},
		"no file":        {[]string{"--config", "nowhere"}, exitFailed, "nowhere"},
		"no listener":    {[]string{"--config", write(t, map[string]string{"gateway.yaml": configuration})}, exitFailed, "decisions.ext_authz_listen is missing"},
		"nobody asks":    {[]string{"--config", write(t, map[string]string{"gateway.yaml": configuration + "decisions: {ext_authz_listen: '127.0.0.1:0'}\n"})}, exitFailed, "1 to 256 addresses"},
		"an unknown key": {[]string{"--config", write(t, map[string]string{"gateway.yaml": "rotes: []\n"})}, exitFailed, "did you mean routes?"},
		"taken": {[]string{"--config", write(t, map[string]string{"gateway.yaml": configuration + "decisions: {ext_authz_listen: '" + taken.Addr().String() + "', proxies: [127.0.0.1]}\n"})}, exitFailed,
			"decisions.ext_authz_listen"},
	} {
		var said bytes.Buffer
		if code := run(t.Context(), test.args, &said, &said); code != test.code || !strings.Contains(said.String(), test.says) {
			t.Errorf("%s: %d %s", about, code, said.String())
		}
	}
}

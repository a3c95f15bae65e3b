package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/proxy/proxytest"
)

const gatewayPublic = "routes: [{name: public, path: /public, public: true}]\n"

func writeGateway(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(gatewayPublic+text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A port that is taken is told before anything is served, whichever of the listeners it is.
func TestGatewayWhosePortIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for setting, text := range map[string]string{
		"GATEHOUSE_GATEWAY_LISTEN":           "listen: '" + taken.Addr().String() + "'\n",
		"GATEHOUSE_GATEWAY_DECISIONS_LISTEN": "listen: 127.0.0.1:0\ndecisions: {listen: '" + taken.Addr().String() + "', proxies: [127.0.0.1]}\n",
		"metrics.listen":                     "listen: 127.0.0.1:0\nmetrics: {listen: '" + taken.Addr().String() + "'}\n",
	} {
		out := &proxytest.Log{}
		code := run(t.Context(), terminal{in: strings.NewReader(""), out: out, err: out}, []string{"gateway", "--config", writeGateway(t, text)})
		if code != exitFailed || !strings.Contains(out.String(), setting) || !strings.Contains(out.String(), taken.Addr().String()) {
			t.Errorf("%s: ended with %d:\n%s", setting, code, out)
		}
	}
}

// Being told to stop is no failure.
func TestGatewayServesUntilItIsStopped(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.Addr().String()
	_ = probe.Close()
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := &proxytest.Log{}, make(chan int, 1)
	file := writeGateway(t, "decisions: {listen: '"+address+"', proxies: [127.0.0.1]}\n")
	go func() {
		ended <- run(ctx, terminal{in: strings.NewReader(""), out: out, err: out}, []string{"gateway", "--config", file})
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not serve: %v\n%s", err, out)
		}
	}
	cancel()
	if code := <-ended; code != exitOK || !strings.Contains(out.String(), `"msg":"deciding"`) || strings.Contains(out.String(), `"msg":"serving"`) || !strings.Contains(out.String(), `"msg":"stopped"`) {
		t.Errorf("ended with %d:\n%s", code, out)
	}
}

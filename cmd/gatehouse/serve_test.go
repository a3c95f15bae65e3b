package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/server"
	"gatehouse/internal/spec"
)

// startServer runs a server of this configuration on a free port until the
// test ends, and returns its address.
func startServer(t *testing.T, processFile string) string {
	t.Helper()
	process, err := server.LoadConfig(processFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	running, err := server.Open(t.Context(), process, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- running.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

var refusalID = regexp.MustCompile(`\(([a-z-]+\.[a-z0-9]+)\)`)

func TestExplainAsksTheRunningServer(t *testing.T) {
	// The path of a socket is short (about 100 characters), that of a test's
	// own directory may not be.
	directory, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	data := filepath.Join(directory, "data")
	processFile := filepath.Join(directory, "gatehouse.yaml")
	if err := os.WriteFile(processFile, []byte("public_url: http://127.0.0.1:8080\ndata: "+data+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := startServer(t, processFile)
	waitForSocket(t, server.ControlSocket(data))

	response, err := http.Post("http://"+address+"/token", "application/x-www-form-urlencoded", strings.NewReader("scope=a&scope=b"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var refusal struct {
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(response.Body).Decode(&refusal); err != nil {
		t.Fatal(err)
	}
	match := refusalID.FindStringSubmatch(refusal.Description)
	if match == nil {
		t.Fatalf("no id in %q", refusal.Description)
	}
	explain := func(id string) string {
		out := strings.Builder{}
		if code := run(t.Context(), terminal{strings.NewReader(""), &out, &out}, []string{"explain", id, "--data", data}); code != exitOK {
			t.Errorf("explain %s ended with %d", id, code)
		}
		return out.String()
	}
	if got := explain(match[1]); !strings.Contains(got, "The running server remembers") || !strings.Contains(got, "invalid_request") || !strings.Contains(got, "Mend") && !strings.Contains(got, "mend") {
		t.Errorf("explain says\n%s", got)
	}
	if got := explain("form-repeated-parameter.zzzzzzzz"); !strings.Contains(got, "does not remember") {
		t.Errorf("explain says of another refusal\n%s", got)
	}
}

func waitForSocket(t *testing.T, path string) {
	t.Helper()
	for range 100 {
		if info, err := os.Stat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("no control socket at %s", path)
}

// JW-26: no key comes with the program.
func TestTwoInstallationsShareNoKey(t *testing.T) {
	spec.Covers(t, "JW-26")
	var all [2][]string
	for i := range all {
		directory := t.TempDir()
		processFile := filepath.Join(directory, "gatehouse.yaml")
		if err := os.WriteFile(processFile, []byte("public_url: http://127.0.0.1:8080\ndata: data\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		response, err := http.Get("http://" + startServer(t, processFile) + "/jwks")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var set struct {
			Keys []struct{ N, X string }
		}
		if err := json.NewDecoder(response.Body).Decode(&set); err != nil || len(set.Keys) == 0 {
			t.Fatalf("%d keys, %v", len(set.Keys), err)
		}
		for _, key := range set.Keys {
			all[i] = append(all[i], key.N+key.X)
		}
		sealing, err := os.ReadFile(filepath.Join(directory, "data", "gatehouse.key"))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = append(all[i], string(sealing))
	}
	for _, key := range all[0] {
		if key == "" || slices.Contains(all[1], key) {
			t.Errorf("both installations have the key %q", key)
		}
	}
}

// Commands work beside a running server, which follows within a second.
func TestARunningServerFollows(t *testing.T) {
	directory := t.TempDir()
	data := filepath.Join(directory, "data")
	processFile := filepath.Join(directory, "gatehouse.yaml")
	if err := os.WriteFile(processFile, []byte("public_url: http://127.0.0.1:8080\ndata: data\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := startServer(t, processFile)
	command := func(args ...string) string {
		t.Helper()
		out := strings.Builder{}
		if code := run(t.Context(), terminal{strings.NewReader(""), &out, &out}, append(args, "--data", data)); code != exitOK {
			t.Fatalf("%v ended with %d:\n%s", args, code, out.String())
		}
		return out.String()
	}
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(command("client", "add", "--grant-type", "client_credentials", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	within := func(want int, secret string) {
		t.Helper()
		status := 0
		for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if status = tokenStatus(t, address, made.ID, secret); status == want {
				return
			}
		}
		t.Errorf("after a second the token endpoint still answers %d, want %d", status, want)
	}
	within(http.StatusOK, made.Secret)
	command("client", "disable", made.ID)
	within(http.StatusUnauthorized, made.Secret)
	command("client", "enable", made.ID)
	within(http.StatusOK, made.Secret)
	old := made.Secret
	if err := json.Unmarshal([]byte(command("client", "rotate-secret", made.ID, "--overlap", "1h", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	within(http.StatusOK, made.Secret)
	within(http.StatusOK, old)
	command("client", "rm", made.ID, "--yes")
	within(http.StatusUnauthorized, made.Secret)
}

func tokenStatus(t *testing.T, address, id, secret string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(id, secret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

// Wanting to stop is no failure, not even before the first keys are made.
func TestServeStoppedAtItsFirstStart(t *testing.T) {
	for _, after := range []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond} {
		processFile := filepath.Join(t.TempDir(), "gatehouse.yaml")
		if err := os.WriteFile(processFile, []byte("public_url: http://127.0.0.1:8080\nlisten: 127.0.0.1:0\ndata: data\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), after)
		said := strings.Builder{}
		if code := run(ctx, terminal{strings.NewReader(""), &said, &said}, []string{"serve", "--config", processFile}); code != exitOK || strings.Contains(said.String(), "gatehouse: ") {
			t.Errorf("stopped after %v it ended with %d: %s", after, code, said.String())
		}
		cancel()
	}
}

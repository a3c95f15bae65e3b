package interop

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sample = "../examples/bff"

// rewrite copies a file of the sample with other addresses, since its ports may be in
// use.
func rewrite(t *testing.T, name, path, more string, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(sample, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(text))+more), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBFFSample runs what examples/bff/README.md says, with sessions in a database:
// they outlast the process.
func TestBFFSample(t *testing.T) {
	directory := t.TempDir()
	address := freeAddress(t)
	app := "http://" + address
	tenant := filepath.Join(directory, "tenant.yaml")
	rewrite(t, "tenant.yaml", tenant, "", "127.0.0.1:8070", address)
	server := &stage{}
	stdout := server.run(t, "dev", "--json", "--port", "0", "--data", t.TempDir(), "--apply", tenant)
	server.readLine(t, stdout)

	directoryOfApp, err := filepath.Abs(sampleApp)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(directory, "bff.yaml")
	rewrite(t, "client.secret", filepath.Join(directory, "client.secret"), "")
	if err := os.WriteFile(filepath.Join(directory, "key"), []byte("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rewrite(t, "bff.yaml", file, "sessions: {store: database, database: sessions.db, key_file: key}\n",
		"127.0.0.1:8070", address, "http://127.0.0.1:8080", server.Dev.Issuer, "http://127.0.0.1:8082", server.Dev.API, "./app", directoryOfApp)

	w := newWalker(t)
	call := func(method, path string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, app+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-CSRF", "1")
		response, err := w.client.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	begin := func() *stage {
		backend := &stage{}
		backend.run(t, "bff", "--config", file)
		for until := time.Now().Add(readyWithin); ; time.Sleep(20 * time.Millisecond) {
			if status, _ := call("GET", "/bff/readyz"); status == http.StatusOK {
				return backend
			}
			if time.Now().After(until) {
				t.Fatalf("gatehouse bff was not ready\n%s", backend.log)
			}
		}
	}
	backend := begin()
	if status, text := call("GET", "/"); status != http.StatusOK || !strings.Contains(text, "app.js") {
		t.Errorf("%d %s", status, text)
	}
	alice := person{server.Dev.Users[0].Username, server.Dev.Users[0].Password}
	if end := w.walk(t, app+"/bff/login", "", alice); end.status != http.StatusOK || !strings.Contains(end.body, "Signed in") {
		t.Fatalf("stopped at %s with %d: %.300s\n%s", end.address, end.status, end.body, backend.log)
	}
	for _, when := range []string{"at first", "after a restart"} {
		if status, text := call("GET", "/api/photos"); status != http.StatusOK || !strings.Contains(text, `"photos"`) {
			t.Errorf("%s: %d %s\n%s", when, status, text, backend.log)
		}
		if when == "at first" {
			backend.stop(t)
			backend = begin()
		}
	}
	if status, text := call("POST", "/bff/logout"); status != http.StatusOK || !strings.Contains(text, server.Dev.Issuer) {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := call("GET", "/api/photos"); status != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", status)
	}
	backend.stop(t)
	if log := backend.log.String(); strings.Contains(log, `"level":"ERROR"`) || strings.Contains(log, "only-on-this-machine") {
		t.Errorf("the log is\n%s", log)
	}
}

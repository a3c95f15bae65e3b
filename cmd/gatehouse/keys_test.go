package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestARunningServerFollowsItsKeys changes keys by commands under a running
// server.
func TestARunningServerFollowsItsKeys(t *testing.T) {
	directory, err := os.MkdirTemp("", "gh") // the path of its socket must be short
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
	keySet := func() (kids []string, cache string) {
		t.Helper()
		response, err := http.Get("http://" + address + "/jwks")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		var set struct{ Keys []struct{ Kid string } }
		if err := json.Unmarshal(text, &set); err != nil {
			t.Fatal(err)
		}
		for _, key := range set.Keys {
			kids = append(kids, key.Kid)
		}
		return kids, response.Header.Get("Cache-Control")
	}
	command := func(args ...string) {
		t.Helper()
		out := strings.Builder{}
		if code := run(t.Context(), terminal{strings.NewReader(""), &out, &out}, append([]string{"keys"}, append(args, "--config", processFile)...)); code != exitOK {
			t.Fatalf("%v ended with %d\n%s", args, code, out.String())
		}
	}
	follows := func(what string, has func(kids []string, cache string) bool) {
		t.Helper()
		for range 200 {
			if has(keySet()) {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("the running server does not know of %s", what)
	}

	first, cache := keySet()
	if len(first) != 4 || cache != "public, max-age=300" {
		t.Fatalf("at first: %v, %s", first, cache)
	}
	command("rotate", "--algorithm", "ES256")
	follows("the successor", func(kids []string, cache string) bool { return len(kids) == 5 && cache == "public, max-age=300" })
	command("revoke", first[1], "--yes")
	follows("the revocation", func(kids []string, cache string) bool {
		return len(kids) == 4 && !strings.Contains(strings.Join(kids, " "), first[1]) && cache == "public, max-age=60"
	})
}

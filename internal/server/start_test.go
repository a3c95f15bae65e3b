package server

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/egress"
	"gatehouse/internal/seal"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// refuses returns the error of a server that cannot be opened.
func refuses(t *testing.T, config Config) string {
	t.Helper()
	s, err := Open(t.Context(), config, quiet())
	if err == nil {
		_ = s.Close()
		t.Fatal("the server opened")
	}
	return err.Error()
}

func TestFirstStart(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	data := filepath.Join(t.TempDir(), "new", "data")
	config := Config{PublicURL: "http://127.0.0.1:8080", Data: data}
	begin := time.Now()
	s := open(t, config, quiet())
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/jwks", nil))
	t.Logf("the first start with its first answer: %v", time.Since(begin))
	keys := w.Body.String()
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, keys)
	}
	for name, want := range map[string]fs.FileMode{"": 0o700, databaseFile: 0o600, keyFile: 0o600} {
		info, err := os.Stat(filepath.Join(data, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%q has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	kek, err := os.ReadFile(config.KeyPath())
	if err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	again := open(t, config, quiet())
	w = httptest.NewRecorder()
	again.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/jwks", nil))
	t.Logf("the second start with its first answer: %v", time.Since(begin))
	if w.Body.String() != keys {
		t.Error("the second start has other keys")
	}
	if now, err := os.ReadFile(config.KeyPath()); err != nil || string(now) != string(kek) {
		t.Errorf("the key file was written again: %v", err)
	}
}

func TestFirstStartsAtOnceShareTheKeys(t *testing.T) {
	config := Config{PublicURL: "http://127.0.0.1:8080", Data: filepath.Join(t.TempDir(), "new")}
	var keys [3]string
	var starts sync.WaitGroup
	for i := range keys {
		starts.Go(func() {
			s, err := Open(t.Context(), config, quiet())
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/jwks", nil))
			keys[i] = w.Body.String()
		})
	}
	starts.Wait()
	if keys[0] == "" || keys[0] != keys[1] || keys[0] != keys[2] {
		t.Errorf("key sets: %q", keys)
	}
}

func TestKeyFileBelongsToTheDatabase(t *testing.T) {
	config := Config{PublicURL: "http://127.0.0.1:8080", Data: dataDirectory(t)}
	kek, err := seal.ReadKeyFile(config.KeyPath())
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("%08x", kek.ID)
	away := config.KeyPath() + ".away"
	if err := os.Rename(config.KeyPath(), away); err != nil {
		t.Fatal(err)
	}
	if complaint := refuses(t, config); !strings.Contains(complaint, id) || !strings.Contains(complaint, config.KeyPath()+" is missing") {
		t.Error(complaint)
	}
	if _, err := os.Stat(config.KeyPath()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a new key file was made for an old database: %v", err)
	}

	other, err := seal.CreateKeyFile(config.KeyPath())
	if err != nil {
		t.Fatal(err)
	}
	if complaint := refuses(t, config); !strings.Contains(complaint, id) || !strings.Contains(complaint, fmt.Sprintf("%08x", other.ID)) {
		t.Error(complaint)
	}
	if kept, err := seal.ReadKeyFile(config.KeyPath()); err != nil || kept.ID != other.ID {
		t.Errorf("the foreign key file was changed: %v", err)
	}

	if err := os.Rename(away, config.KeyPath()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(config.KeyPath(), 0o644); err != nil {
		t.Fatal(err)
	}
	if complaint := refuses(t, config); runtime.GOOS != "windows" && !strings.Contains(complaint, "chmod 600") {
		t.Error(complaint)
	}
	if err := os.Chmod(config.KeyPath(), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, config, quiet())
}

func TestOpenRefuses(t *testing.T) {
	data := dataDirectory(t)
	good := Config{PublicURL: "http://127.0.0.1:8080", Data: data}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"configuration": {func(c *Config) { c.PublicURL = "" }, "public_url is missing"},
		"ca_file":       {func(c *Config) { c.CAFile = filepath.Join(data, "none") }, "read ca_file"},
		"egress":        {func(c *Config) { c.Egress.Allow = []string{"10.0.0.0/99"} }, "egress.allow"},
		"directory":     {func(c *Config) { c.Data = filepath.Join(data, keyFile) }, "make the data directory"},
		"database":      {func(c *Config) { c.Database = filepath.Join(data, keyFile) }, "opening the database"},
		"no tenant":     {func(c *Config) { c.Apply = filepath.Join(data, "none.yaml") }, "read the tenant file"},
		"bad tenant":    {func(c *Config) { c.Apply = filepath.Join(data, keyFile) }, keyFile},
	} {
		config := good
		c.change(&config)
		if complaint := refuses(t, config); !strings.Contains(complaint, c.want) {
			t.Errorf("%s: %s", name, complaint)
		}
	}
	open(t, good, quiet())
}

func TestOutboundKnowsTheSettings(t *testing.T) {
	logos := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("a logo")) }))
	logos.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	logos.StartTLS()
	defer logos.Close()
	data := dataDirectory(t)
	file := filepath.Join(data, "ca.pem")
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: logos.Certificate().Raw})))
	fetch := func(change func(*Config)) (string, error) {
		config := Config{PublicURL: "http://127.0.0.1:8080", Data: data}
		change(&config)
		s := open(t, config, quiet())
		defer s.Close()
		defer s.Outbound().HTTP().CloseIdleConnections()
		text, _, err := s.Outbound().Get(t.Context(), logos.URL)
		return string(text), err
	}
	host := strings.TrimPrefix(logos.URL, "https://")
	if text, err := fetch(func(c *Config) { c.CAFile, c.Egress.Allow = file, []string{host} }); err != nil || text != "a logo" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := fetch(func(c *Config) { c.CAFile = file }); !errors.Is(err, egress.ErrAddress) {
		t.Errorf("without the allow-list: %v", err)
	}
	if _, err := fetch(func(c *Config) { c.Egress.Allow = []string{host} }); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the certification authority: %v", err)
	}
}

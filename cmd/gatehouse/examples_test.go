package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/admin"
	"gatehouse/internal/config"
	"gatehouse/internal/front"
	"gatehouse/internal/gate"
	"gatehouse/internal/secret"
	"gatehouse/internal/server"
)

const (
	processExample = "../../docs/gatehouse.example.yaml"
	tenantExample  = "../../docs/tenant.example.yaml"
	bffExample     = "../../docs/bff.example.yaml"
	gatewayExample = "../../docs/gateway.example.yaml"
)

// commented is a line of a setting that the examples leave out: # and a key,
// or the keys below one.
var commented = regexp.MustCompile(`(?m)^( *)#([^ #\n].*|  +[a-z_]+:.*|  +- .*)$`)

func readExample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// namedKeys lists every key of a YAML text by the paths of config.Keys. It
// decodes into any, so that it does not depend on the keys being known.
func namedKeys(t *testing.T, text string) []string {
	t.Helper()
	var tree map[string]any
	if err := config.Decode([]byte(text), "example", &tree); err != nil {
		t.Fatal(err)
	}
	var keys []string
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch node := node.(type) {
		case map[string]any:
			for name, value := range node {
				keys = append(keys, strings.TrimPrefix(path+"."+name, "."))
				walk(strings.TrimPrefix(path+"."+name, "."), value)
			}
		case []any:
			for _, element := range node {
				walk(path, element)
			}
		}
	}
	walk("", tree)
	return keys
}

func namesEverything(t *testing.T, text string, known []string) {
	t.Helper()
	named := namedKeys(t, commented.ReplaceAllString(text, "$1$2"))
	for _, key := range known {
		if !slices.Contains(named, key) {
			t.Errorf("the example does not name %s", key)
		}
	}
}

func TestProcessExampleNamesEverySetting(t *testing.T) {
	text := readExample(t, processExample)
	namesEverything(t, text, config.Keys(server.Config{}))
	for _, variant := range []string{text, commented.ReplaceAllString(text, "$1$2")} {
		var process server.Config
		if err := config.Decode([]byte(variant), processExample, &process); err != nil {
			t.Fatal(err)
		}
		if err := process.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestBFFExampleNamesEverySetting(t *testing.T) {
	text := readExample(t, bffExample)
	namesEverything(t, text, config.Keys(front.Config{}))
	var backend front.Config
	if err := config.Decode([]byte(text), bffExample, &backend); err != nil {
		t.Fatal(err)
	}
	if err := backend.Check(); err != nil {
		t.Error(err)
	}
	// With everything set, what excludes each other is complained about, and no more.
	full := front.Config{}
	if err := config.Decode([]byte(commented.ReplaceAllString(text, "$1$2")), bffExample, &full); err != nil {
		t.Fatal(err)
	}
	full.Issuers[0].ClientSecret, full.Issuers[0].PrivateKeyFile, full.Issuers[0].PrivateKeyAlg = secret.String{}, "", ""
	full.Sessions.Store = front.InRedis
	if err := full.Check(); err != nil {
		t.Error(err)
	}
}

func TestGatewayExampleNamesEverySetting(t *testing.T) {
	text := readExample(t, gatewayExample)
	namesEverything(t, text, config.Keys(gate.Config{}))
	var plain, full gate.Config
	if err := config.Decode([]byte(text), gatewayExample, &plain); err != nil {
		t.Fatal(err)
	}
	if err := plain.Check(); err != nil {
		t.Error(err)
	}
	// With everything set, all is understood; what is complained about are files that are not
	// there, placeholders, and what excludes each other.
	if err := config.Decode([]byte(commented.ReplaceAllString(text, "$1$2")), gatewayExample, &full); err != nil {
		t.Fatal(err)
	}
	if err := full.Check(); err == nil {
		t.Error("files that are not there were read")
	}
	if full.Decisions.Headers.Method != "X-Forwarded-Method" || full.OpenAPI[0].Limits[0].Rate != 20 || full.Authentications[0].Issuers[0].Feed != true {
		t.Errorf("%+v", full)
	}
}

func TestTenantExampleNamesEverySetting(t *testing.T) {
	text := readExample(t, tenantExample)
	namesEverything(t, text, config.Keys(admin.File{}))
	for _, variant := range []string{text, commented.ReplaceAllString(text, "$1$2")} {
		if _, err := admin.Decode([]byte(variant), tenantExample); err != nil {
			t.Error(err)
		}
	}
}

// TestExamplesStart starts a server with exactly docs/gatehouse.example.yaml
// and applies exactly docs/tenant.example.yaml to its data. Only the address
// that it listens on is another, since the port may be in use.
func TestExamplesStart(t *testing.T) {
	directory := t.TempDir()
	processFile, tenantFile := filepath.Join(directory, "gatehouse.yaml"), filepath.Join(directory, "tenant.yaml")
	for name, example := range map[string]string{processFile: processExample, tenantFile: tenantExample} {
		if err := os.WriteFile(name, []byte(readExample(t, example)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := startServer(t, processFile)
	response, err := http.Get("http://" + address + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var metadata struct{ Issuer string }
	if err := json.NewDecoder(response.Body).Decode(&metadata); err != nil || metadata.Issuer != "https://id.example.com" {
		t.Errorf("status %d, issuer %q, %v", response.StatusCode, metadata.Issuer, err)
	}

	out := strings.Builder{}
	term := terminal{in: strings.NewReader(""), out: &out, err: &out}
	if code := run(t.Context(), term, []string{"apply", tenantFile, "--config", processFile}); code != exitOK {
		t.Fatalf("apply ended with %d:\n%s", code, out.String())
	}
	for _, line := range []string{"+ client web", "+ client billing-api", "+ user alice", "note: user alice has no password yet"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("apply did not say %q:\n%s", line, out.String())
		}
	}
	if strings.Contains(out.String(), "weakened") {
		t.Errorf("the example uses a weakening switch:\n%s", out.String())
	}
	out.Reset()
	if code := run(t.Context(), term, []string{"apply", tenantFile, "--config", processFile}); code != exitOK || !strings.Contains(out.String(), "no changes") {
		t.Errorf("the second time ended with %d:\n%s", code, out.String())
	}

	// JW-26: the placeholders in the place of secrets are refused.
	secrets := strings.NewReplacer("#client_secret:", "client_secret:", "#password:", "password:").Replace(readExample(t, tenantExample))
	if err := os.WriteFile(tenantFile, []byte(secrets), 0o600); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if code := run(t.Context(), term, []string{"apply", tenantFile, "--config", processFile}); code != exitFailed || strings.Count(out.String(), "placeholder") != 2 {
		t.Errorf("the example's placeholders: ended with %d:\n%s", code, out.String())
	}
}

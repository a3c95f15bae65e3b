package main

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/secrecy"
	"gatehouse/internal/spec"
)

const (
	fileSecret   = "file-secret-that-is-long-enough-to-be-random"
	filePassword = "a password, of four unusual words"
)

// TestNoCommandShowsASecret: what was stored cannot be had back by any command,
// also not as a hash that could be tried at home, and an error about a file does
// not quote the secrets in it.
func TestNoCommandShowsASecret(t *testing.T) {
	spec.Covers(t, "AD-01", "LG-01")
	t.Setenv("GATEHOUSE_PASSWORD_HASHING_MEMORY_MIB", "19")
	t.Setenv("GATEHOUSE_PASSWORD_HASHING_PASSES", "1")
	directory := t.TempDir()
	data, config := filepath.Join(directory, "data"), filepath.Join(directory, "gatehouse.yaml")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config, "public_url: http://127.0.0.1:9\nlisten: 127.0.0.1:0\ndata: "+data+"\n")
	command := func(input string, args ...string) (string, int) {
		t.Helper()
		out := strings.Builder{}
		code := run(t.Context(), terminal{strings.NewReader(input), &out, &out}, append(args, "--config", config))
		return out.String(), code
	}
	var secrets secrecy.Ledger
	digest := sha256.Sum256([]byte(fileSecret))
	secrets.Add(secrecy.ClientSecret, fileSecret)
	secrets.Add(secrecy.ClientSecret, string(digest[:]))
	secrets.Add(secrecy.ClientSecret, "short-one-of-20-chars")
	secrets.Add(secrecy.Password, filePassword)
	secrets.Add(secrecy.Password, "$argon2id$") // of whatever password

	good := filepath.Join(directory, "good.yaml")
	write(good, `
clients:
  - {client_id: web, client_secret: `+fileSecret+`, redirect_uris: [https://app.example/cb]}
  - {client_id: old, client_secret: short-one-of-20-chars, insecure_short_secret: true, redirect_uris: [https://old.example/cb]}
users:
  - {username: alice, password: "`+filePassword+`"}
`)
	for _, args := range [][]string{{"apply", good, "--dry-run"}, {"apply", good}, {"apply", good}} {
		text, code := command("", args...)
		if code != exitOK {
			t.Fatalf("%v: %s", args, text)
		}
		secrets.Search(strings.Join(args[:1], " "), []byte(text))
	}
	shown := 0
	for _, args := range [][]string{
		{"client", "list"}, {"client", "show", "web"}, {"client", "show", "old"}, {"user", "list"}, {"user", "show", "alice"}, {"keys", "list"}, {"events"}, {"tenant", "list"}, {"tenant", "show", "default"}, {"check"},
	} {
		for _, form := range [][]string{nil, {"--json"}} {
			text, _ := command("", append(args, form...)...)
			if len(text) > 40 {
				shown++
			}
			secrets.Search(strings.Join(append(args, form...), " "), []byte(text))
		}
	}
	if shown < 15 {
		t.Errorf("only %d of the commands showed something", shown)
	}

	for name, text := range map[string]string{
		"an unknown key":          "clients:\n  - {client_id: web, client_secrt: " + fileSecret + "}\n",
		"a list for a text":       "clients:\n  - {client_id: web, client_secret: [" + fileSecret + "]}\n",
		"a text for a list":       "clients:\n  - {client_id: web, client_secrets: " + fileSecret + "}\n",
		"broken YAML":             "clients:\n  - {client_id: web, client_secret: \"" + fileSecret + "\nusers: [\n",
		"a secret twice":          "clients:\n  - {client_id: web, client_secret: " + fileSecret + ", client_secret: " + fileSecret + "}\n",
		"a tab":                   "clients:\n\t- {client_id: web, client_secret: " + fileSecret + "}\n",
		"a password for a public": "clients:\n  - {client_id: spa, token_endpoint_auth_method: none, client_secret: " + fileSecret + ", redirect_uris: [https://spa.example/cb]}\n",
		"a short secret":          "clients:\n  - {client_id: new, client_secret: short-one-of-20-chars, redirect_uris: [https://app.example/cb]}\n",
		"a user's list":           "users:\n  - {username: bob, password: [\"" + filePassword + "\"]}\n",
		"a user twice":            "users:\n  - {username: bob, password: \"" + filePassword + "\"}\n  - {username: bob, password: \"" + filePassword + "\"}\n",
	} {
		file := filepath.Join(directory, "bad.yaml")
		write(file, text)
		said, code := command("", "apply", file)
		if code == exitOK {
			t.Errorf("%s is applied: %s", name, said)
		}
		secrets.Search("the error about "+name, []byte(said))
	}
	said, _ := command(filePassword+"\n", "user", "set-password", "nobody", "--password-stdin")
	secrets.Search("the error about a user who is not there", []byte(said))
	secrets.Report(t)

	// What was just made is shown once, to whoever made it.
	made, code := command("", "client", "rotate-secret", "web")
	if code != exitOK || !strings.Contains(made, "client_secret") {
		t.Errorf("%d: %s", code, made)
	}
}

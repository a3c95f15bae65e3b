package interop

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestInterop drives one running gatehouse with every client at once.
func TestInterop(t *testing.T) {
	server := start(t)
	t.Run("clients", func(t *testing.T) {
		t.Run("openid-client", func(t *testing.T) {
			t.Parallel()
			assertChecks(t, server.node(t, "openid-client.mjs", nil), openIDClientChecks())
		})
		t.Run("oauth4webapi", func(t *testing.T) {
			t.Parallel()
			assertChecks(t, server.node(t, "oauth4webapi.mjs", nil), oauth4webapiChecks())
		})
		t.Run("passport-openidconnect", func(t *testing.T) {
			t.Parallel()
			assertChecks(t, server.node(t, "passport.mjs", nil), passportChecks())
		})
		t.Run("authlib", func(t *testing.T) {
			t.Parallel()
			assertChecks(t, server.python(t, "authlib_client.py"), authlibChecks())
		})
		t.Run("go-oidc", func(t *testing.T) {
			t.Parallel()
			testGoClients(t, server)
		})
		t.Run("chromium", func(t *testing.T) {
			t.Parallel()
			more := map[string]string{"chromium": chromiumPath(t)}
			if dir := os.Getenv("GATEHOUSE_SCREENSHOTS"); dir != "" {
				absolute, err := filepath.Abs(dir)
				if err != nil {
					t.Fatal(err)
				}
				more["screenshots"] = absolute
			}
			assertChecks(t, server.node(t, "browser.mjs", more), browserChecks())
		})
	})
	t.Run("log", func(t *testing.T) { assertQuietLog(t, server) })
	t.Run("stop", func(t *testing.T) { server.stop(t) })
}

// assertChecks fails for each check that failed, is missing or is unknown.
func assertChecks(t *testing.T, lines, wanted []string) {
	t.Helper()
	var names []string
	for _, line := range lines {
		name, passed := strings.CutPrefix(line, "ok ")
		if failure, failed := strings.CutPrefix(line, "not ok "); failed {
			name, _, _ = strings.Cut(failure, ":")
			t.Error(line)
		} else if !passed {
			t.Errorf("a line that is no check: %q", line)
			continue
		}
		names = append(names, name)
	}
	if !slices.Equal(names, wanted) {
		t.Errorf("the checks were\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(wanted, "\n"))
	}
	t.Logf("%d checks", len(names))
}

// assertQuietLog says that the server had no fault of its own and wrote no
// secret while all these clients used it.
func assertQuietLog(t *testing.T, server *stage) {
	t.Helper()
	log := server.log.String()
	if log == "" {
		t.Error("the server logged nothing at all")
	}
	for line := range strings.Lines(log) {
		for _, fault := range []string{"level=ERROR", `"level":"ERROR"`, "panic", "server_error"} {
			if strings.Contains(line, fault) {
				t.Errorf("a fault of the server: %s", line)
			}
		}
	}
	secrets := []string{
		"a long walk by the sea", "another walk in the woods", "wanda never signs in here",
		"a short ride to the hills", "a swim across the lake",
		"-0123456789abcdefghijklmnop", // each client_secret of testdata/tenant.yaml
	}
	for _, user := range server.Dev.Users {
		secrets = append(secrets, user.Password)
	}
	for _, c := range server.Dev.Clients {
		if c.ClientSecret != "" {
			secrets = append(secrets, c.ClientSecret)
		}
	}
	for _, text := range secrets {
		if strings.Contains(log, text) {
			t.Errorf("the log holds the secret %q", text)
		}
	}
	// Codes, refresh tokens, opaque tokens and JWTs by their looks.
	tokens := regexp.MustCompile(`gh[cra]_[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)
	if found := tokens.FindString(log); found != "" {
		t.Errorf("the log holds a token: %.40s", found)
	}
}

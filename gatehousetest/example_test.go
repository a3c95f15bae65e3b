package gatehousetest_test

import (
	"fmt"
	"log"
	"net/url"
	"os"
	"testing"

	"gatehouse/gatehousetest"
	"gatehouse/oauth"
)

const tenant = `
clients:
  - client_id: web
    client_name: Example Web
    client_secret: web-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://app.example/cb]
    grant_types: [authorization_code, refresh_token, client_credentials]
    scope: openid profile
users:
  - username: alice
    password: wonderland-alice
    name: Alice Example
`

const (
	webSecret = "web-secret-that-is-long-enough-to-be-random"
	verifier  = "a-code-verifier-of-at-least-forty-three-characters"
)

var authorization = "/authorize?" + url.Values{
	"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {"https://app.example/cb"}, "scope": {"openid profile"},
	"code_challenge": {oauth.ChallengeS256(verifier)}, "code_challenge_method": {"S256"}, "state": {"the state"},
}.Encode()

// A user signs in with a browser, allows the request, and the application
// exchanges its code for tokens. In a test, t is the test.
func Example() {
	t, done := standIn()
	defer done()

	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: tenant})
	page := issuer.NewBrowser(t).SignIn(authorization, "alice", "wonderland-alice")
	fmt.Println("back at the application:", page.Location.Host+page.Location.Path)

	tokens := issuer.Post(t, "/token", "web", webSecret, url.Values{
		"grant_type": {"authorization_code"}, "code": {page.Location.Query().Get("code")},
		"redirect_uri": {"https://app.example/cb"}, "code_verifier": {verifier},
	})
	fmt.Println("tokens:", tokens.StatusCode, tokens.Member("token_type"), tokens.Member("scope"))
	// Output:
	// back at the application: app.example/cb
	// tokens: 200 Bearer openid profile
}

// example stands in for the test that an example has not.
type example struct {
	testing.TB
	directory string
	cleanups  []func()
}

func standIn() (e *example, done func()) {
	directory, err := os.MkdirTemp("", "gatehousetest")
	if err != nil {
		log.Fatal(err)
	}
	e = &example{directory: directory}
	return e, func() {
		for _, cleanup := range e.cleanups {
			cleanup()
		}
		_ = os.RemoveAll(directory)
	}
}

func (e *example) Helper()                           {}
func (e *example) TempDir() string                   { return e.directory }
func (e *example) Cleanup(f func())                  { e.cleanups = append(e.cleanups, f) }
func (e *example) Fatal(args ...any)                 { log.Fatal(args...) }
func (e *example) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
func (e *example) Errorf(format string, args ...any) { log.Fatalf(format, args...) }

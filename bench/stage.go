package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/jose"
)

// Names of the files in the directory of a measurement.
const (
	configFile = "gatehouse.yaml"
	tenantFile = "tenant.yaml"
)

// Who and what the stage has.
const (
	machineID, machineSecret = "machine", "a-secret-of-the-machine-0123456789abcdef"
	apiID, apiSecret         = "api", "a-secret-of-the-api-0123456789abcdefghij"
	webID, webSecret         = "web", "a-secret-of-the-web-0123456789abcdefghij"
	password                 = "seventeen white rabbits"

	resourceES256  = "https://es256.example"
	resourceEdDSA  = "https://eddsa.example"
	resourceOpaque = "https://opaque.example"
	redirectURI    = "https://app.example/callback"

	stageUsers = 8
)

// tenant is the tenant file: the rate limits are on, and out of the way.
func tenant() string {
	text := `settings:
  name: Measurement
  access_token_lifetime: 12h
  rate_limits: {token_per_client: 1000000, introspection_per_client: 1000000}
resources:
  - {identifier: ` + resourceES256 + `, name: ES256, scopes: {"es:read": Read}}
  - {identifier: ` + resourceEdDSA + `, name: EdDSA, scopes: {"ed:read": Read}, token_signing_alg: EdDSA}
  - {identifier: ` + resourceOpaque + `, name: Opaque, scopes: {"op:read": Read}, token_format: opaque}
clients:
  - {client_id: ` + machineID + `, client_secret: ` + machineSecret + `, grant_types: [client_credentials], scope: "es:read ed:read op:read"}
  - {client_id: ` + apiID + `, client_secret: ` + apiSecret + `, grant_types: [client_credentials], introspects: [` + resourceES256 + `, ` + resourceOpaque + `]}
  - client_id: ` + webID + `
    client_secret: ` + webSecret + `
    redirect_uris: ["` + redirectURI + `"]
    grant_types: [authorization_code, refresh_token]
    scope: openid profile email offline_access es:read
    default_resource: ` + resourceES256 + `
    id_token_signed_response_alg: ES256
users:
`
	for i := range stageUsers {
		text += fmt.Sprintf("  - {username: user%d, password: %s, name: User %d, email: user%d@example.com, email_verified: true}\n", i, password, i, i)
	}
	return text
}

// stage is a server under measurement, with its clients and users.
type stage struct {
	*process
	directory, binary, postgres string
	core                        int
	keys                        jose.KeySet
	rawKeys                     json.RawMessage
	// started is how long a start takes when keys and database exist.
	started time.Duration
	// signedIn are the Cookie headers of the users, once they are needed.
	signedIn []string
	// resource is what flows ask for by name, "" where the client has a default.
	resource string
}

// newStage builds, furnishes and starts a server in the directory. It is to
// be stopped.
func newStage(directory, postgres string, core int) (*stage, error) {
	s := &stage{directory: directory, postgres: postgres, core: core}
	var err error
	if s.binary, err = build(directory); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("listen: %s\npublic_url: http://%s\ndata: %s\nmetrics: {listen: %s}\n", address, address, filepath.Join(directory, "data"), metrics)
	if postgres != "" {
		config += "database: " + postgres + "\n"
	}
	for name, text := range map[string]string{configFile: config, tenantFile: tenant()} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	if postgres != "" {
		if err := s.gatehouse("keys", "init", "--config", filepath.Join(directory, configFile)); err != nil {
			return nil, err
		}
	}
	if err := s.gatehouse("apply", filepath.Join(directory, tenantFile), "--config", filepath.Join(directory, configFile)); err != nil {
		return nil, err
	}
	if s.process, err = serve(core, s.binary, directory, address); err != nil {
		return nil, err
	}
	if err := s.readKeys(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *stage) gatehouse(args ...string) error {
	command := exec.Command(s.binary, args...)
	command.Env = environment()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("gatehouse %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return nil
}

func (s *stage) readKeys() error {
	text, err := get("http://" + s.address + "/jwks")
	if err != nil {
		return err
	}
	s.rawKeys = text
	s.keys, err = jose.ParseKeySet(text)
	return err
}

// side is one of the two that are compared: the server, or the bare limit.
type side struct {
	address string
	stage   *stage
	keys    jose.KeySet
	// limit is nil for the server.
	limit *limitHello
	// bare says that it is the limit of a row of proxies.
	bare bool
	seen sampler
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// token asks the server for one token response, outside of what is measured.
func (s *stage) token(id, secret, form string) (tokenAnswer, error) {
	w, err := dial(s.address)
	if err != nil {
		return tokenAnswer{}, err
	}
	defer w.close()
	_ = w.conn.SetDeadline(time.Now().Add(answerPatience))
	a, err := w.do(request("POST", "/token", s.address, form, "Authorization", basic(id, secret)))
	if err != nil {
		return tokenAnswer{}, err
	}
	if a.status != http.StatusOK {
		return tokenAnswer{}, fmt.Errorf("the token endpoint answers %d: %s", a.status, a.body)
	}
	var answered tokenAnswer
	return answered, json.Unmarshal(a.body, &answered)
}

package admin

import (
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/spec"
)

// BC-21: a client_id is never a sub, whichever came first.
func TestClientIDIsNeverASub(t *testing.T) {
	spec.Covers(t, "RFC9700-4.15.1-1", "RFC9068-5-1")
	d := newDesk(t)
	d.apply(house, d.dryRun(house)...)
	d.refuse("clients:\n  - client_id: \"248289761001\"\n    grant_types: [client_credentials]\n", "sub of user alice")
	d.refuse("users:\n  - username: bob\n    sub: web\n", "client_id of a client")
	d.refuse("clients:\n  - client_id: both\n    grant_types: [client_credentials]\nusers:\n  - username: bob\n    sub: both\n", "client_id of clients[0]")
	d.apply("clients:\n  - client_id: svc\n    grant_types: [client_credentials]\nusers:\n  - username: bob\n    sub: b-1\n", "+ client svc", "+ user bob")
}

// JW-26: secrets that everybody knows, and short ones.
func TestSecretsThatAreRefused(t *testing.T) {
	d := newDesk(t)
	head := "clients:\n  - client_id: m\n    grant_types: [client_credentials]\n    client_secret: "
	d.refuse(head+strings.Repeat("x", MinSecretLength-1)+"\n", "insecure_short_secret")
	d.refuse(head+"replace-me-with-32-characters-or-more\n", "placeholder")
	d.refuse(head+strings.Repeat("x", MaxSecretLength+1)+"\n", "at most")
	d.refuse(head+strings.Repeat("ä", MinSecretLength)+"\n", "printable ASCII")
	d.refuse("clients:\n  - client_id: p\n    token_endpoint_auth_method: none\n    redirect_uris: [https://p.example/cb]\n    client_secret: "+strings.Repeat("x", MinSecretLength)+"\n", "has no secret")
	d.refuse("users:\n  - username: bob\n    password: replace-me-please\n", "placeholder")
	d.refuse("users:\n  - username: bob\n    password: short\n", "at least 8")
	d.refuse("users:\n  - username: bob\n    password_hash: 5f4dcc3b5aa765d61d8327deb882cf99\n", "argon2id")
	d.refuse("users:\n  - username: bob\n    password: long-enough-1\n    password_hash: x\n", "give one of them")
	d.apply(head+strings.Repeat("x", MinSecretLength)+"\n", "+ client m")
}

func TestIdentifiersThatAreRefused(t *testing.T) {
	d := newDesk(t)
	client := func(id string) string {
		return "clients:\n  - client_id: " + id + "\n    grant_types: [client_credentials]\n"
	}
	d.refuse(client(`"two words"`), "space")
	d.refuse(client(`"caf\u00e9"`), "printable ASCII")
	d.refuse(client("https://app.example/client.json"), "https://")
	d.refuse(client("HTTPS://app.example/client.json"), "https://")
	d.refuse(client(strings.Repeat("x", MaxIdentifierLength+1)), "longer")
	d.refuse("clients:\n  - grant_types: [client_credentials]\n", "neither client_id nor client_name")
	d.refuse(client("twice")+"  - client_id: twice\n    grant_types: [client_credentials]\n", "entry 0")
	d.refuse(client("named")+"    client_name: N\n  - client_name: N\n    grant_types: [client_credentials]\n", "write its client_id")
	d.refuse("users:\n  - username: bob\n    sub: \"two words\"\n", "space")
	d.refuse("users:\n  - sub: x\n", "username: is missing")
	d.refuse("users:\n  - username: bob\n  - username: BOB\n", "entry 0")
	d.refuse("users:\n  - username: bob\n    email: x@y.example\n  - username: X@y.example\n", "entry 0")
	d.apply(client("client-1.example_A"), "+ client client-1.example_A")
}

// TestNoKeysAreFetchedForAClient: keys are given by value.
func TestNoKeysAreFetchedForAClient(t *testing.T) {
	spec.Covers(t, "SS-02")
	for _, address := range []string{"http://127.0.0.1:9/jwks", "http://169.254.169.254/latest", "https://app.example/jwks"} {
		text := "clients:\n  - client_id: m\n    grant_types: [client_credentials]\n    jwks_uri: " + address + "\n"
		if _, err := Decode([]byte(text), "tenant.yaml"); err == nil || !strings.Contains(err.Error(), "unknown key jwks_uri") {
			t.Errorf("%s: %v", address, err)
		}
	}
	newDesk(t).apply("clients:\n  - client_id: m\n    grant_types: [client_credentials]\n", "+ client m")
}

func TestLoginNamesBelongToOneUser(t *testing.T) {
	d := newDesk(t)
	d.apply(house, d.dryRun(house)...)
	d.refuse("users:\n  - username: alice\n    sub: other\n", "a sub never changes")
	d.refuse("users:\n  - username: alice@example.com\n", "signs in by this name")
	d.refuse("users:\n  - username: bob\n    email: Alice@example.com\n", "signs in by this name")
	d.apply("users:\n  - username: Alice\n    name: A\n    email: alice@example.com\n",
		"user alice: name: Alice Liddell -> A", "user alice: username: alice -> Alice")
	d.apply("users:\n  - username: alice-l\n    sub: \"248289761001\"\n    name: A\n    email: alice@example.com\n",
		"user Alice: username: Alice -> alice-l")
}

func TestResourcesThatAreRefused(t *testing.T) {
	d := newDesk(t)
	one := func(lines ...string) string {
		return "resources:\n  - identifier: https://api.example\n    " + strings.Join(lines, "\n    ") + "\n"
	}
	d.refuse("resources:\n  - name: x\n", "identifier: is missing")
	d.refuse("resources:\n  - identifier: api\n", "absolute URI")
	d.refuse("resources:\n  - identifier: https://api.example/#x\n", "fragment")
	d.refuse("resources:\n  - identifier: https://api.example\n  - identifier: https://api.example/\n", "same resource")
	d.refuse("resources:\n  - identifier: https://api.example\n  - identifier: https://api.example\n", "twice")
	d.refuse(one("token_format: jwe"), "token format")
	d.refuse(one("token_lifetime: 25h"), "must be")
	d.refuse(one("token_signing_alg: HS256"), "ES256")
	d.refuse(one("scopes: {photos: See}"), "resource:operation")
	d.refuse(one("scopes: {openid: See}"), "OpenID Connect")
	d.refuse(one("scopes: {'a:b': ''}"), "no sentence")
	d.refuse(one("scopes: {'a b:c': See}"), "not the name of a scope")
	d.refuse(one("scopes: [{name: a:b, description: A}, {name: a:b, description: B}]"), "twice")
	d.refuse(one("scopes: {'a:b': A}")+"  - identifier: https://other.example\n    scopes: {'a:b': A}\n", "belongs to")
	d.apply(one("scopes: [{name: z:b, description: Z}, {name: a:b, description: A}]", "token_format: opaque", "token_lifetime: 1h"), "+ resource https://api.example")
	d.apply("resources:\n  - identifier: urn:example:api\n", "+ resource urn:example:api")
	if resources, err := d.db.Resources(t.Context(), gatehouse.DefaultTenant); err != nil || resources[0].Scopes[0].Name != "z:b" {
		t.Errorf("a list of scopes lost its order: %+v, %v", resources, err)
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	spec.Covers(t, "RFC6819-5.1.5.2-1")
	d := newDesk(t)
	rows := []struct{ line, says string }{
		{"code_lifetime: 11m", "1s to 10m"},
		{"access_token_lifetime: 25h", "1s to 1d"},
		{"refresh_grace: 10m", "0s to 5m"},
		{"session_idle_lifetime: 8d", "longer than session_absolute_lifetime"},
		{"refresh_absolute_lifetime: 1d", "longer than refresh_absolute_lifetime"},
		{"support_uri: javascript:x", "scheme"},
		{"logo_uri: http://id.example/logo.png", "https"},
		{"color: red", "six hexadecimal digits"},
		{"color: '#0b6e6e; background: url(https://evil.test)'", "not a colour"},
		{"max_sessions_per_user: -1", "must be 0 to"},
		{"default_resource: https://none.example", "no resource"},
		{"throttle: {first_delay: 1h}", "longer than throttle.max_delay"},
		{"throttle: {free_attempts: -1}", "must be 1"},
		{"rate_limits: {token_per_client: 1000001}", "at most"},
		{"event_retention: 1h", "1d to"},
		{"key_rotation: 1h", "1d to"},
		{"key_rotation: 800d", "1d to"},
		{"interaction_lifetime: 1s", "1m to"},
		{"name: \"a\\u202eb\"", "U+202E"},
	}
	for _, row := range rows {
		d.refuse("settings:\n  "+row.line+"\n", row.says)
	}
	d.apply("settings:\n  code_lifetime: 10m\n  refresh_grace: 0s\n", "settings: code_lifetime: 10m", "settings: refresh_grace: 0s")
}

func TestAllProblemsOfAFileAtOnce(t *testing.T) {
	d := newDesk(t)
	d.refuse(`
settings: {code_lifetime: 1h}
resources:
  - identifier: api
clients:
  - client_id: a
    redirect_uris: ["https://a.example/*", http://a.example/cb]
  - client_id: b
    grant_types: [password]
users:
  - username: bob
    email: nowhere
`,
		"tenant.yaml:2: settings.code_lifetime",
		"tenant.yaml:4: resources[0].identifier",
		"tenant.yaml:7: clients[0] (a).redirect_uris[0]",
		"clients[0] (a).redirect_uris[1]",
		"tenant.yaml:9: clients[1] (b).grant_types[0]",
		"tenant.yaml:12: users[0] (bob).email",
	)
}

package config_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/secret"
)

type tenant struct {
	PublicURL string                 `yaml:"public_url"`
	TLS       tls                    `yaml:"tls"`
	Clients   []client               `yaml:"clients"`
	Issuers   map[string]issuer      `yaml:"issuers"`
	Claims    map[string]any         `yaml:"claims"`
	Anything  any                    `yaml:"anything"`
	Idle      config.Duration        `yaml:"idle"`
	Grace     *config.DurationOrZero `yaml:"grace"`
	Debug     bool                   `yaml:"debug"`
	Port      uint16                 `yaml:"port"`
	Offset    int8                   `yaml:"offset"`
	Ratio     float64                `yaml:"ratio"`
	Raw       json.RawMessage        `yaml:"raw"`
	Listen    string
	Hidden    string `yaml:"-"`
	limits    `yaml:",inline"`
}

type tls struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

type client struct {
	ID           string        `yaml:"client_id"`
	Secret       secret.String `yaml:"client_secret"`
	PasswordHash hash          `yaml:"password_hash"`
	RedirectURIs []string      `yaml:"redirect_uris"`
	Public       *bool         `yaml:"public"`
}

type issuer struct {
	URL string `yaml:"url"`
}

type limits struct {
	MaxBody int `yaml:"max_body"`
}

// hash is a type whose error shows what it was given.
type hash string

func (h *hash) UnmarshalText(text []byte) error {
	return errors.New("cannot read " + string(text))
}

func TestDecode(t *testing.T) {
	var got tenant
	err := config.Decode([]byte("\uFEFF"+`# a comment
public_url: https://id.example.com   # another
tls:
  certificate: 'cert''s.pem'
  key:
clients:
  - client_id: "010"
    client_secret: 12345
    redirect_uris: [ "https://a.example/cb", 'com.example:/cb' ]
    public: false
  - client_id: |
      two
      lines
issuers:
  "https://a": {url: x}
  b:
    url: y
claims: {name: Ada, age: 36, tall: true, langs: [en, fr], nothing: null, ratio: 1.5, nested: {a: -1}}
anything: [1, two]
idle: 30d
grace: 0s
debug: true
port: 65535
offset: -128
ratio: 3
raw: {keys: [{kty: EC}]}
listen: 127.0.0.1:8080
max_body: 0x10
`), "tenant.yaml", &got)
	if err != nil {
		t.Fatal(err)
	}
	zero, no := config.DurationOrZero(0), false
	want := tenant{
		PublicURL: "https://id.example.com",
		TLS:       tls{Certificate: "cert's.pem"},
		Clients: []client{
			{ID: "010", Secret: secret.New("12345"), RedirectURIs: []string{"https://a.example/cb", "com.example:/cb"}, Public: &no},
			{ID: "two\nlines\n"},
		},
		Issuers: map[string]issuer{"https://a": {URL: "x"}, "b": {URL: "y"}},
		Claims: map[string]any{"name": "Ada", "age": int64(36), "tall": true, "langs": []any{"en", "fr"},
			"nothing": nil, "ratio": 1.5, "nested": map[string]any{"a": int64(-1)}},
		Anything: []any{int64(1), "two"},
		Idle:     config.Duration(30 * 24 * time.Hour),
		Grace:    &zero,
		Debug:    true, Port: 65535, Offset: -128, Ratio: 3,
		Raw:    json.RawMessage(`{"keys":[{"kty":"EC"}]}`),
		Listen: "127.0.0.1:8080",
		limits: limits{MaxBody: 16},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeKeepsWhatIsAbsent(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "---\n...\n", "\n\n", "null", "port:\nidle: ~\nclients: null\n"} {
		got := tenant{Port: 7, Idle: 5, Clients: []client{{ID: "x"}}}
		if err := config.Decode([]byte(text), "f", &got); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if !reflect.DeepEqual(got, tenant{Port: 7, Idle: 5, Clients: []client{{ID: "x"}}}) {
			t.Errorf("%q changed the defaults: %+v", text, got)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown key", "clients:\n  - client_id: a\n    redirect_uri: [x]\n", "unknown key redirect_uri at t.yaml:3:5; did you mean redirect_uris?"},
		{"dash for underscore", "public-url: x\n", "unknown key public-url at t.yaml:1:1; did you mean public_url?"},
		{"swapped letters", "\n# c\n\nlitsen: x\n", "unknown key litsen at t.yaml:4:1; did you mean listen?"},
		{"nothing near", "zzzzzzzz: 1\n", "unknown key zzzzzzzz at t.yaml:1:1"},
		{"unknown key in flow", "tls: {certificate: a, kee: b}\n", "unknown key kee at t.yaml:1:23; did you mean key?"},
		{"unknown key in a map", "issuers:\n  a:\n    uri: x\n", "unknown key uri at t.yaml:3:5; did you mean url?"},
		{"after a literal", "listen: |\n  a\n  b\n\nprot: 1\n", "unknown key prot at t.yaml:5:1; did you mean port?"},
		{"hidden field", "hidden: x\n", "unknown key hidden at t.yaml:1:1"},
		{"field's Go name", "Port: 1\n", "unknown key Port at t.yaml:1:1; did you mean port?"},
		{"repeated key", "port: 1\ndebug: true\nport: 2\n", "repeated key port at t.yaml:3:1; it is on line 1 already"},
		{"repeated key in a map", "claims: {a: 1, 'a': 2}\n", "repeated key a at t.yaml:1:16; it is on line 1 already"},
		{"text for a number", "port: eighty\n", "key port must be a whole number, not text, at t.yaml:1:7"},
		{"fraction", "port: 1.5\n", "key port must be a whole number, not a number, at t.yaml:1:7"},
		{"too large", "port: 65536\n", "key port has a number that is too large or negative at t.yaml:1:7"},
		{"negative", "port: -1\n", "key port has a number that is too large or negative at t.yaml:1:7"},
		{"too small", "offset: -129\n", "key offset has a number that is too large or too small at t.yaml:1:9"},
		{"leading zero", "port: 010\n", "key port has a number that begins with 0 at t.yaml:1:7; leave the 0 out, or write 0o for an octal number"},
		{"number for text", "listen: 8080\n", "key listen must be text, not a number, at t.yaml:1:9; put it in quotes"},
		{"boolean for text", "tls:\n  key: true\n", "key key must be text, not true or false, at t.yaml:2:8; put it in quotes"},
		{"yes for a boolean", "debug: yes\n", "key debug must be true or false, not text, at t.yaml:1:8"},
		{"text for a list", "clients: a\n", "key clients must be a list, not text, at t.yaml:1:10"},
		{"keys for a list", "clients:\n  client_id: a\n", "key clients must be a list, not a set of keys, at t.yaml:2:3"},
		{"list for keys", "tls: [a]\n", "key tls must be a set of keys, not a list, at t.yaml:1:6"},
		{"list for one value", "idle: [1d]\n", "key idle must be a single value, not a list, at t.yaml:1:7"},
		{"empty entry", "clients:\n  -\n  - client_id: a\n", "key clients has an empty entry at t.yaml:2:"},
		{"list file", "- a\n", "the file must be a set of keys, not a list, at t.yaml:1:1"},
		{"text file", "hello\n", "the file must be a set of keys, not text, at t.yaml:1:1"},
		{"bad duration", "idle: 10 minutes\n", "key idle is not accepted at t.yaml:1:7; a duration must be written like 30d, 12h, 10m, 1m30s or 500ms"},
		{"zero duration", "idle: 0s\n", "key idle is not accepted at t.yaml:1:7; a duration must be above zero"},
		{"two documents", "port: 1\n---\nport: 2\n", "a second document at t.yaml:2:1; keep one document in each file"},
		{"two headers", "---\nport: 1\n---\n", "a second document at t.yaml:3:1; keep one document in each file"},
		{"anchor", "listen: &x a\n", "an anchor or alias at t.yaml:1:9; write the value out, or put a text that begins with & or * in quotes"},
		{"alias", "listen: *x\n", "an anchor or alias at t.yaml:1:9; write the value out, or put a text that begins with & or * in quotes"},
		{"merge", "<<: {port: 1}\n", "a merge key at t.yaml:1:1; write the keys out"},
		{"tag", "listen: !!binary aGk=\n", "a tag at t.yaml:1:9; leave it out, or put a text that begins with ! in quotes"},
		{"directive", "%YAML 1.2\n---\nport: 1\n", "a directive at t.yaml:1:1; leave the line out"},
		{"complex key", "? [a, b]\n: c\n", "a complex key at t.yaml:1:1; write key: value, or put a text that begins with ? in quotes"},
		{"brackets", "anything: " + strings.Repeat("[", 100) + "\n", "more than 32 nested brackets at t.yaml:1:43"},
		{"deep lines", "anything:\n" + strings.Repeat(" ", 600) + "a: 1\n", "a key or list entry beyond column 512 at t.yaml:2:602"},
		{"many keys", strings.Repeat("a:\n", 10_001), "more than 10000 keys in one place at t.yaml:10001:2; make a list of them, or several files"},
		{"many keys in brackets", "{" + strings.Repeat("a: 1, ", 10_001) + "}", "more than 10000 keys in one place at t.yaml:1:60003; make a list of them, or several files"},
		{"not UTF-8", "listen: a\xff\n", "a character that is not UTF-8 or not printable at t.yaml:1:10; save the file as UTF-8 text"},
		{"NUL", "listen: a\x00\n", "a character that is not UTF-8 or not printable at t.yaml:1:10; save the file as UTF-8 text"},
		{"too large a file", "# " + strings.Repeat("a", config.MaxBytes), "more than 4 MiB at t.yaml; split the file"},
	} {
		err := config.Decode([]byte(test.text), "t.yaml", &tenant{})
		if err == nil || err.Error() != test.want && !strings.HasSuffix(test.want, ":") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, test.want)
		}
	}
}

func TestDecodeTellsEveryProblem(t *testing.T) {
	err := config.Decode([]byte("port: x\nprot: 1\ndebug: maybe\n"), "t.yaml", &tenant{})
	want := "key port must be a whole number, not text, at t.yaml:1:7\n" +
		"unknown key prot at t.yaml:2:1; did you mean port?\n" +
		"key debug must be true or false, not text, at t.yaml:3:8"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var problem *config.Problem
	if !errors.As(err, &problem) || problem.Line != 1 || problem.Column != 7 || problem.Name != "t.yaml" {
		t.Errorf("the first problem is %+v", problem)
	}
	var text strings.Builder
	for range 100 {
		text.WriteString("- 1\n")
	}
	err = config.Decode([]byte(text.String()), "t.yaml", &[]string{})
	if err == nil || strings.Count(err.Error(), "\n") != 20 || !strings.HasSuffix(err.Error(), "and 80 more problems") {
		t.Errorf("a hundred problems:\n%v", err)
	}
}

func TestSyntaxErrorsHaveAPlaceAndNoExcerpt(t *testing.T) {
	for _, text := range []string{
		"clients:\n  - client_secret: \"hunter2\n", "clients: [{client_secret: hunter2\n", "client_secret: hunter2: x\n",
		"client_secret: hunter2\n bad\n", "client_secret: 'hunter2' x\n", "\tclient_secret: hunter2\n", "client_secret: @hunter2\n",
		"client_secret: \"\\qhunter2\"\n",
	} {
		err := config.Decode([]byte(text), "t.yaml", &tenant{})
		if err == nil || !strings.Contains(err.Error(), "t.yaml:") {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows the secret: %v", text, err)
		}
	}
}

func TestErrorsNeverShowSecrets(t *testing.T) {
	type holder struct {
		Plain    hash             `yaml:"plain"`
		Secret   hash             `yaml:"client_secret"`
		Password hash             `yaml:"Password"`
		Hashes   []hash           `yaml:"password_hashes"`
		Secrets  struct{ A hash } `yaml:"secrets"`
		Number   int              `yaml:"secret_number"`
		Marker   secret.String    `yaml:"marker"`
	}
	for _, text := range []string{
		"client_secret: hunter2", "Password: hunter2", "password_hashes: [hunter2]", "secrets: {a: hunter2}", "secret_number: hunter2",
		"client_secret: [hunter2]", "secret_number: {hunter2: 1}",
	} {
		err := config.Decode([]byte(text), "t.yaml", &holder{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := config.Decode([]byte("plain: shown"), "t.yaml", &holder{}); err == nil || !strings.Contains(err.Error(), "cannot read shown") {
		t.Errorf("other keys tell why: %v", err)
	}
	if err := config.Decode([]byte(`marker: "[redacted]"`), "t.yaml", &holder{}); err == nil || !strings.Contains(err.Error(), "placeholder") {
		t.Errorf("a placeholder for a secret: %v", err)
	}
}

func TestKeys(t *testing.T) {
	want := []string{
		"public_url", "tls", "tls.certificate", "tls.key",
		"clients", "clients.client_id", "clients.client_secret", "clients.password_hash", "clients.redirect_uris", "clients.public",
		"issuers", "issuers.*.url", "claims", "anything", "idle", "grace", "debug", "port", "offset", "ratio", "raw", "listen", "max_body",
	}
	for _, v := range []any{tenant{}, &tenant{}} {
		if got := config.Keys(v); !reflect.DeepEqual(got, want) {
			t.Errorf("%T:\ngot  %v\nwant %v", v, got, want)
		}
	}
	type tree struct {
		Children []tree `yaml:"children"`
	}
	if got := config.Keys(tree{}); len(got) == 0 || len(got) > 20 {
		t.Errorf("a type that contains itself has %d keys", len(got))
	}
}

func TestHostileFilesAreRefusedQuickly(t *testing.T) {
	for _, unit := range []string{"[", "{a: ", "- ", "? ", "!!a ", "&a ", "a:\n", "*a ", "\n", " ", "\"", "|\n", "a: b\n", "- a\n", "#", ": ", "'", ",", "%", "---\n"} {
		start := time.Now()
		var got any
		err := config.Decode([]byte(strings.Repeat(unit, (256<<10)/len(unit))), "t.yaml", &got)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%q took %v (%v)", unit, took, err)
		}
	}
}

func TestLargeListsAreRead(t *testing.T) {
	var text strings.Builder
	const many = 20_000
	text.WriteString("clients:\n")
	for range many {
		text.WriteString("- client_id: a\n  redirect_uris: [b]\n  public: true\n")
	}
	var got tenant
	if err := config.Decode([]byte(text.String()), "t.yaml", &got); err != nil || len(got.Clients) != many {
		t.Errorf("%d of %d clients: %v", len(got.Clients), many, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("public_url: https://a\ntls: {key: x}\nclients:\n  - client_id: a\n    redirect_uris: [b]\n"))
	f.Add([]byte("claims: {a: [1, 2.5, null, true], b: {c: 'd'}}\nidle: 30d\n"))
	f.Add([]byte("a: |\n  x\n y: [\n"))
	f.Add([]byte("? a\n: &b *c\n<<: !!d e\n--- \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second tenant
		one, two := config.Decode(data, "f", &first), config.Decode(data, "f", &second)
		if (one == nil) != (two == nil) || one != nil && one.Error() != two.Error() {
			t.Errorf("two readings differ: %v and %v", one, two)
		}
		if one == nil && !reflect.DeepEqual(first, second) {
			t.Error("two readings give different values")
		}
		var anything any
		_ = config.Decode(data, "f", &anything)
	})
}

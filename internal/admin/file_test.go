package admin

import (
	"strings"
	"testing"

	"gatehouse"
)

func TestDecodeNamesLinesAndSuggestions(t *testing.T) {
	rows := []struct{ text, says string }{
		{"clients:\n  - client_id: web\n    redirect_uri: x\n", "unknown key redirect_uri at tenant.yaml:3:5; did you mean redirect_uris?"},
		{"client:\n  - client_id: web\n", "unknown key client at tenant.yaml:1:1; did you mean clients?"},
		{"users:\n  - username: a\n    passwort: b\n", "did you mean password?"},
		{"settings:\n  code_lifetime: soon\n", "tenant.yaml:2:18; a duration must be written"},
		{"resources:\n  - identifier: https://a.example\n    scopes: {a: {b: c}}\n", "write each scope with its sentence"},
		{"resources:\n  - identifier: https://a.example\n    scopes:\n      - {name: a, descripton: b}\n", "a list of name and description"},
		{"clients:\n  - client_id: web\n    jwks: '[]'\n", "a key set of RFC 7517"},
		{"clients:\n  - client_id: web\n    client_secret: \"[redacted]\"\n", "tenant.yaml:3:20"},
	}
	for _, row := range rows {
		_, err := Decode([]byte(row.text), "tenant.yaml")
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%q: error is %v, want one that says %q", row.text, err, row.says)
		}
	}
}

func TestBothFormsOfScopesAndKeys(t *testing.T) {
	file, err := Decode([]byte(`
resources:
  - identifier: https://a.example
    scopes:
      b:r: B
      a:r: A
  - identifier: https://b.example
    scopes:
      - name: z:r
        description: Z
clients:
  - client_id: one
    jwks: {keys: [{kty: EC}]}
  - client_id: two
    jwks: '{"keys": [{"kty": "EC"}]}'
`), "tenant.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Resources[0].Scopes; len(got) != 2 || got[0] != (gatehouse.ResourceScope{Name: "a:r", Description: "A"}) {
		t.Errorf("scopes as keys are %+v", got)
	}
	if got := file.Resources[1].Scopes; len(got) != 1 || got[0] != (gatehouse.ResourceScope{Name: "z:r", Description: "Z"}) {
		t.Errorf("scopes as a list are %+v", got)
	}
	for _, client := range file.Clients {
		if got := string(client.Metadata().JWKS); got != `{"keys":[{"kty":"EC"}]}` {
			t.Errorf("jwks of %s is %s", client.ClientID, got)
		}
	}
}

// FuzzDecode holds that any file is read or refused, and that what is read can
// be judged.
func FuzzDecode(f *testing.F) {
	f.Add(house)
	f.Add("clients:\n  - jwks: {keys: []}\n    client_secrets: [a, b]\n")
	f.Add("resources:\n  - scopes: [{name: a, description: b}]\n")
	f.Add("users:\n  - address: {formatted: |\n      a\n      b}\n    birthdate: 0000-11-23\n")
	f.Add("settings: {refresh_grace: 0s, throttle: {window: 1h}, rate_limits: {token_per_client: .nan}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Decode([]byte(text), "fuzz.yaml")
		if err != nil {
			return
		}
		for i, entry := range file.Clients {
			full, wrong := Register(entry.Metadata(), around())
			file.locate(under(EntryPath("clients", i, entry.Label()), wrong))
			for _, problem := range wrong {
				if problem.line == 0 {
					t.Errorf("no line for %s", problem.Path)
				}
			}
			if _, again := Register(full, around()); len(wrong) == 0 && len(again) > 0 {
				t.Errorf("a client that was registered is refused the second time: %s", explain(again))
			}
		}
		for _, entry := range file.Resources {
			checkResource(entry.resource())
		}
		for _, entry := range file.Users {
			checkUser(entry)
		}
		if file.Settings != nil {
			CheckSettings(*file.Settings, nil)
		}
	})
}

package dev

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sample() Ready {
	return Ready{
		Issuer: "http://127.0.0.1:8080", Playground: "http://127.0.0.1:8081", API: "http://127.0.0.1:8082",
		BFF: "http://127.0.0.1:8083", Gateway: "http://127.0.0.1:8084", Thumbnails: "https://127.0.0.1:8085",
		Users: []User{{Username: "alice", Password: "white-rabbit", Sub: "demo-alice"}, {Username: "carol", Sub: "c-17"}},
		Clients: []Client{
			{
				ClientID: "web", ClientSecret: "web-secret", Name: "Demo web application",
				RedirectURIs: []string{"http://127.0.0.1:3000/callback", "http://127.0.0.1/callback"},
				GrantTypes:   []string{"authorization_code", "refresh_token"}, Scope: "openid photos:read", TokenEndpointAuthMethod: "client_secret_basic",
			},
			{
				ClientID: "spa", Name: "Demo browser application", RedirectURIs: []string{"http://127.0.0.1/callback"},
				GrantTypes: []string{"authorization_code"}, Scope: "openid", TokenEndpointAuthMethod: "none",
			},
			{
				ClientID: "machine", ClientSecret: "machine-secret", Name: "Demo service", RedirectURIs: []string{},
				GrantTypes: []string{"client_credentials"}, Scope: "photos:read photos:write", TokenEndpointAuthMethod: "client_secret_basic",
			},
		},
		Data: "/tmp/gatehouse-dev-1", Temporary: true, Version: "1.2.3",
	}
}

func TestText(t *testing.T) {
	kept := sample()
	kept.Temporary, kept.Data, kept.Version = false, "/home/me/stage", ""
	kept.API, kept.APIResource = "http://127.0.0.1:40001", "http://127.0.0.1:8082"
	for name, ready := range map[string]Ready{"temporary": sample(), "kept": kept} {
		golden := "testdata/" + name + ".txt"
		got := ready.Text(false)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not what is printed; run go test -update and read the difference\n%s", golden, got)
		}
	}
}

func TestTextColours(t *testing.T) {
	plain, coloured := sample().Text(false), sample().Text(true)
	if strings.Contains(plain, "\x1b") {
		t.Error("an escape code in plain text")
	}
	if !strings.Contains(coloured, "\x1b[36mhttp://127.0.0.1:8080\x1b[0m") {
		t.Error("the issuer has no colour")
	}
	for _, attribute := range []string{"0", sgrBold, sgrFaint, sgrCyan} {
		coloured = strings.ReplaceAll(coloured, "\x1b["+attribute+"m", "")
	}
	if coloured != plain {
		t.Error("with colours the text is another one")
	}
	if wantsColour(new(bytes.Buffer)) {
		t.Error("a buffer is no terminal")
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if wantsColour(file) {
		t.Error("a file is no terminal")
	}
}

func TestTextWithoutMachine(t *testing.T) {
	ready := sample()
	ready.Clients[2].ClientSecret = "" // rotated by hand: only its hash is known
	if text := ready.Text(false); strings.Contains(text, "curl") {
		t.Errorf("a curl line without a secret cannot work:\n%s", text)
	}
}

func TestLine(t *testing.T) {
	line, err := sample().Line()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"issuer":"http://127.0.0.1:8080","playground":"http://127.0.0.1:8081","api":"http://127.0.0.1:8082",` +
		`"bff":"http://127.0.0.1:8083","gateway":"http://127.0.0.1:8084","thumbnails":"https://127.0.0.1:8085",` +
		`"users":[{"username":"alice","password":"white-rabbit","sub":"demo-alice"},{"username":"carol","sub":"c-17"}],` +
		`"clients":[{"client_id":"web","client_secret":"web-secret","redirect_uris":["http://127.0.0.1:3000/callback","http://127.0.0.1/callback"],` +
		`"grant_types":["authorization_code","refresh_token"],"scope":"openid photos:read","token_endpoint_auth_method":"client_secret_basic"},` +
		`{"client_id":"spa","redirect_uris":["http://127.0.0.1/callback"],"grant_types":["authorization_code"],"scope":"openid","token_endpoint_auth_method":"none"},` +
		`{"client_id":"machine","client_secret":"machine-secret","redirect_uris":[],"grant_types":["client_credentials"],"scope":"photos:read photos:write","token_endpoint_auth_method":"client_secret_basic"}]}` + "\n"
	if string(line) != want {
		t.Errorf("got  %s\nwant %s", line, want)
	}
	if !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 {
		t.Error("not one line of JSON")
	}
}

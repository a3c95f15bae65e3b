package process_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/internal/process"
	"gatehouse/internal/secret"
	"gatehouse/jose"
)

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCredentials(t *testing.T) {
	key, err := jose.GenerateKey(jose.ES256, "k")
	if err != nil {
		t.Fatal(err)
	}
	der, err := key.MarshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	secretFile, empty := file(t, "secret", "from a file\r\n"), file(t, "empty", "\n")
	for about, test := range map[string]struct {
		credentials process.Credentials
		wrong       string // of Check, and of Prove
		secret, kid string
	}{
		"a secret":          {process.Credentials{ClientSecret: secret.New("in the text")}, "", "in the text", ""},
		"a secret's file":   {process.Credentials{ClientSecretFile: secretFile}, "", "from a file", ""},
		"a key":             {process.Credentials{PrivateKeyFile: keyFile, PrivateKeyAlg: "ES256", PrivateKeyID: "kid"}, "", "", "kid"},
		"nothing":           {process.Credentials{}, "it needs one of", "", ""},
		"two":               {process.Credentials{ClientSecretFile: secretFile, PrivateKeyFile: keyFile, PrivateKeyAlg: "ES256"}, "it needs one of", "", ""},
		"no algorithm":      {process.Credentials{PrivateKeyFile: keyFile}, "together", "", ""},
		"a placeholder":     {process.Credentials{ClientSecret: secret.New("rather in a file")}, "placeholder", "", ""},
		"no file":           {process.Credentials{ClientSecretFile: "nowhere"}, "client_secret_file: ", "", ""},
		"an empty file":     {process.Credentials{ClientSecretFile: empty}, "is empty", "", ""},
		"no key in it":      {process.Credentials{PrivateKeyFile: secretFile, PrivateKeyAlg: "ES256"}, "no PKCS #8 key", "", ""},
		"another algorithm": {process.Credentials{PrivateKeyFile: keyFile, PrivateKeyAlg: "RS256"}, "private_key_file: ", "", ""},
	} {
		test.credentials.ClientID = "app"
		var config client.Config
		err := test.credentials.Check("it", "for a reason")
		if err == nil {
			err = test.credentials.Prove(&config)
		}
		if test.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), test.wrong) || strings.Contains(err.Error(), "rather") {
				t.Errorf("%s: %v", about, err)
			}
			continue
		}
		if err != nil || config.ClientID != "app" || config.ClientSecret.Reveal() != test.secret || test.kid != "" && config.PrivateKey.ID() != test.kid {
			t.Errorf("%s: %+v %v", about, config, err)
		}
	}
}

func TestNetworks(t *testing.T) {
	got, err := process.Networks("here", []string{"10.0.0.0/8", "192.0.2.1", "2001:db8::1"})
	if err != nil || len(got) != 3 || got[1].String() != "192.0.2.1/32" || got[2].Bits() != 128 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := process.Networks("here", []string{"everybody"}); err == nil || !strings.HasPrefix(err.Error(), `here: "everybody"`) {
		t.Error(err)
	}
}

func TestBelow(t *testing.T) {
	relative, absolute, none := "a/b", "/c", ""
	process.Below("/etc/x/file.yaml", &relative, &absolute, &none)
	if relative != "/etc/x/a/b" || absolute != "/c" || none != "" {
		t.Error(relative, absolute, none)
	}
}

func TestAuthorities(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	certificate := file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	for _, beside := range []bool{false, true} {
		roots, err := process.Authorities("ca_file", certificate, beside)
		if err != nil {
			t.Fatal(err)
		}
		response, err := process.HTTPClient(roots).Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	if roots, err := process.Authorities("ca_file", "", true); roots != nil || err != nil || process.HTTPClient(roots) != nil {
		t.Error(roots, err)
	}
	for _, wrong := range []string{"nowhere", file(t, "empty", "")} {
		if _, err := process.Authorities("ca_file", wrong, false); err == nil || !strings.HasPrefix(err.Error(), "ca_file: ") {
			t.Error(err)
		}
	}
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	if err := process.CheckCertificate(certificate, keyFile, time.Now()); err != nil {
		t.Error(err)
	}
	if err := process.CheckCertificate(certificate, keyFile, server.Certificate().NotAfter.Add(time.Second)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Error(err)
	}
	if err := process.CheckCertificate(certificate, certificate, time.Now()); err == nil {
		t.Error("a certificate was taken for a key")
	}
	if process.OpenToOthers(keyFile) || process.OpenToOthers("") || process.OpenToOthers("nowhere") {
		t.Error("nobody else may use it")
	}
	if err := os.Chmod(keyFile, 0o640); err != nil {
		t.Fatal(err)
	}
	if !process.OpenToOthers(keyFile) {
		t.Error("the group may use it")
	}
}

func TestFindings(t *testing.T) {
	var found process.Findings
	found.Note("a", "fine", "mend", nil)
	found.Note("b", "fine", "mend", errors.New("broken"))
	found.Weak("c", "weak", "strengthen")
	if len(found) != 3 || found[0].OK != "fine" || found[0].Err != nil || found[1].OK != "" || found[1].Err == nil || found[2].Weak != "weak" || found[2].Do != "strengthen" {
		t.Errorf("%+v", found)
	}
}

package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoadConfig(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "gatehouse.yaml")
	write(t, file, `
listen: 127.0.0.1:8080
public_url: https://id.example
data: data
key_file: /keys/gatehouse.key
apply: tenants/one.yaml
ca_file: ../ca.pem
tls: {certificate: tls.crt, key: tls.key}
log: {level: warn, access: true}
egress: {allow: [10.0.0.0/8, "logos.example:8443"]}
password_hashing: {memory_mib: 32, passes: 2, slots: 3}
shutdown_timeout: 45s
`)
	c, err := LoadConfig(file, []string{"GATEHOUSE_LISTEN=0.0.0.0:9090", "GATEHOUSE_DATABASE=here.db", "GATEHOUSE_LOG_FORMAT=text", "GATEHOUSE_APPLY=", "HOME=/root"})
	if err != nil {
		t.Fatal(err)
	}
	for name, is := range map[string]struct{ got, want string }{
		"data":              {c.Data, filepath.Join(directory, "data")},
		"key_file":          {c.KeyFile, "/keys/gatehouse.key"},
		"apply":             {c.Apply, filepath.Join(directory, "tenants", "one.yaml")},
		"ca_file":           {c.CAFile, filepath.Join(filepath.Dir(directory), "ca.pem")},
		"tls.certificate":   {c.TLS.Certificate, filepath.Join(directory, "tls.crt")},
		"tls.key":           {c.TLS.Key, filepath.Join(directory, "tls.key")},
		"listen":            {c.Listen, "0.0.0.0:9090"},
		"database":          {c.Database, "here.db"}, // a variable's path is relative to where one types it
		"log":               {c.Log.Level + " " + c.Log.Format, "warn text"},
		"the database path": {c.DatabasePath(), "here.db"},
		"the key path":      {c.KeyPath(), "/keys/gatehouse.key"},
		"egress":            {strings.Join(c.Egress.Allow, " "), "10.0.0.0/8 logos.example:8443"},
	} {
		if is.got != is.want {
			t.Errorf("%s is %q, want %q", name, is.got, is.want)
		}
	}
	if !c.Log.Access || c.ShutdownTimeout.Std() != 45*time.Second || c.PasswordHashing != (PasswordHashing{32, 2, 3}) {
		t.Errorf("%+v", c)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}

	alone, err := LoadConfig("", []string{"GATEHOUSE_DATA=/var/lib/gatehouse", "GATEHOUSE_PUBLIC_URL=https://id.example"})
	if err != nil || alone.Check() != nil {
		t.Errorf("%v, %v", err, alone.Check())
	}
	if got := alone.DatabasePath() + " " + alone.KeyPath() + " " + ControlSocket(alone.Data); got != "/var/lib/gatehouse/gatehouse.db /var/lib/gatehouse/gatehouse.key /var/lib/gatehouse/gatehouse.sock" {
		t.Error(got)
	}
}

func TestLoadConfigRefusesWhatItDoesNotKnow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	for text, parts := range map[string][]string{
		"listen: 127.0.0.1:8080\npublicurl: https://id.example": {"gatehouse.yaml:2", "publicurl", "public_url"},
		"tls: {certficate: a}": {"gatehouse.yaml:1", "certificate"},
		"log: {access: often}": {"gatehouse.yaml:1", "access"},
		"listen: a\nlisten: b": {"gatehouse.yaml:2"},
	} {
		write(t, file, text)
		_, err := LoadConfig(file, nil)
		for _, part := range parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v lacks %s", text, err, part)
			}
		}
	}
	if _, err := LoadConfig("", []string{"GATEHOUSE_PUBLIC_URI=https://id.example"}); err == nil || !strings.Contains(err.Error(), "GATEHOUSE_PUBLIC_URL") {
		t.Errorf("%v", err)
	}
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("%v", err)
	}
}

func TestPublicURL(t *testing.T) {
	for text, complaint := range map[string]string{
		"https://id.example":         "",
		"https://id.example:8443":    "",
		"https://xn--mnchen-3ya.de":  "",
		"https://[2001:db8::1]:8443": "",
		"http://127.0.0.1:8080":      "",
		"http://localhost:8080":      "",
		"http://[::1]:8080":          "",
		"http://127.0.0.1":           "",
		"":                           "public_url is missing",
		"id.example":                 "absolute https URL",
		"//id.example":               "absolute https URL",
		"https:id.example":           "absolute https URL",
		"https://":                   "absolute https URL",
		"ftp://id.example":           "absolute https URL",
		"javascript:alert(1)":        "absolute https URL",
		"https://id.example/":        "trailing slash",
		"https://id.example/auth":    "trailing slash",
		"https://id.example?x":       "trailing slash",
		"https://id.example?":        "trailing slash",
		"https://id.example#x":       "trailing slash",
		"https://id.example#":        "trailing slash",
		"https://u@id.example":       "trailing slash",
		"https://u:p@id.example":     "trailing slash",
		"https://ID.example":         "lower case",
		"HTTPS://id.example":         "lower case",
		"https://münchen.de":         "xn--",
		"https://id.example:":        "port",
		"https://id.example:0":       "port",
		"https://id.example:08443":   "port",
		"https://id.example:65536":   "port",
		"https://id.example:443":     "leave out the port",
		"http://127.0.0.1:80":        "leave out the port",
		"http://id.example":          "insecure_allow_http",
		"http://127.0.0.1.evil":      "insecure_allow_http",
		"http://10.0.0.1:8080":       "insecure_allow_http",
	} {
		err := Config{PublicURL: text, Data: "data"}.Check()
		if complaint == "" && err != nil || complaint != "" && (err == nil || !strings.Contains(err.Error(), complaint)) {
			t.Errorf("%q: %v, want %q", text, err, complaint)
		}
	}
	if err := (Config{PublicURL: "http://id.example", Data: "data", InsecureAllowHTTP: true}).Check(); err != nil {
		t.Error(err)
	}
}

func TestCheckTellsEverythingAtOnce(t *testing.T) {
	err := Config{
		Listen: "8080", TLS: TLS{Certificate: "tls.crt"}, Log: Log{Level: "loud", Format: "xml"},
		PasswordHashing: PasswordHashing{MemoryMiB: 18, Passes: 11},
	}.Check()
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, part := range []string{"data is missing", "public_url is missing", "listen must be", "tls needs both", "log.level", "log.format", "memory_mib", "passes"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told: %v", part, err)
		}
	}
	good := Config{PublicURL: "https://id.example", Database: "a", KeyFile: "b", PasswordHashing: PasswordHashing{19, 10, 256}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []PasswordHashing{{MemoryMiB: 1025}, {Slots: 257}, {Slots: -1}, {Passes: 11}} {
		good.PasswordHashing = bad
		if good.Check() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}

func TestCAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if pool, err := (Config{}).roots(); err != nil || pool != nil {
		t.Errorf("%v, %v", pool, err)
	}
	if _, err := (Config{CAFile: file}).roots(); err == nil || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("%v", err)
	}
	write(t, file, "no certificate")
	if _, err := (Config{CAFile: file}).roots(); err == nil || !strings.Contains(err.Error(), "has no certificate in PEM") {
		t.Errorf("%v", err)
	}
	text, err := os.ReadFile(newPapers(t).Certificate)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(text))
	if pool, err := (Config{CAFile: file}).roots(); err != nil || pool == nil {
		t.Errorf("%v, %v", pool, err)
	}
}

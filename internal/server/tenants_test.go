package server

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"gatehouse"
	"gatehouse/internal/admin"
	"gatehouse/internal/spec"
	"gatehouse/internal/store"
)

// makeTenant makes a tenant as the command does.
func makeTenant(t *testing.T, s *Server, id gatehouse.TenantID, issuer string) {
	t.Helper()
	keys, err := s.keys.FirstKeys(id)
	if err != nil {
		t.Fatal(err)
	}
	settings := gatehouse.Settings{Name: "Tenant " + string(id)}
	outcome, err := s.store.CreateTenant(t.Context(), gatehouse.TenantRecord{ID: id, Issuer: issuer}, settings, keys, gatehouse.Event{})
	if err != nil || outcome != gatehouse.TenantCreated {
		t.Fatalf("%s: %q %v", id, outcome, err)
	}
}

// get asks the server for a path at a host and returns the status and the issuer of a metadata document.
func get(s *Server, host, path string) (status int, issuer, text string) {
	r := httptest.NewRequest(http.MethodGet, "http://"+host+path, nil)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	var document struct {
		Issuer string `json:"issuer"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &document)
	return w.Code, document.Issuer, w.Body.String()
}

func TestTenantsHaveOneAddressEach(t *testing.T) {
	spec.Covers(t, "RFC8414-3-1", "RFC8414-3.3-1", "OIDCD-4-1")
	s := open(t, Config{PublicURL: "https://id.example", Data: t.TempDir()}, quiet())
	defer s.Close()
	makeTenant(t, s, "blue", "")
	makeTenant(t, s, "red", "https://id.red.example:8443")
	makeTenant(t, s, "wrong-scheme", "http://plain.example")
	const openid, rfc8414 = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	for _, c := range []struct{ host, path, issuer string }{
		{"id.example", openid, "https://id.example"},
		{"ID.Example", rfc8414, "https://id.example"},
		{"10.0.0.7:8080", openid, "https://id.example"}, // a proxy's name for us
		{"id.example", "/t/blue" + openid, "https://id.example/t/blue"},
		{"id.example", "/t/blue" + rfc8414, "https://id.example/t/blue"},
		{"id.example", openid + "/t/blue", "https://id.example/t/blue"},
		{"id.example", rfc8414 + "/t/blue", "https://id.example/t/blue"}, // RFC 8414 §3.1
		{"id.red.example:8443", openid, "https://id.red.example:8443"},
		{"ID.RED.example:8443", rfc8414, "https://id.red.example:8443"},
		{"id.red.example.:08443", openid, "https://id.red.example:8443"},
		{"id.example.:443", openid, "https://id.example"},

		{"id.red.example", openid, ""}, // a tenant's host on another port is nobody's
		{"id.red.example:443", openid, ""},
		{"id.example", "/t/red" + openid, ""}, // it has an address of its own
		{"id.example", openid + "/t/red", ""},
		{"id.red.example:8443", "/t/red" + openid, ""},
		{"id.red.example:8443", "/t/blue" + openid, ""},
		{"id.red.example:8443", openid + "/t/blue", ""},
		{"id.example", "/t/default" + openid, ""},
		{"id.example", "/t/nobody" + openid, ""},
		{"id.example", "/t/Blue" + openid, ""},
		{"id.example", "/t/" + openid, ""},
		{"id.example", "/t/blue/t/blue" + openid, ""},
		{"id.example", openid + "/t/blue/", ""},
		{"id.example", openid + "/t/blue/t/blue", ""},
		{"id.example", "/t/wrong-scheme" + openid, ""},
		{"plain.example", openid, ""},
		{"id.example", "/t/blue", ""},
		{"id.example", "/t/blue/readyz", ""}, // the process' own
	} {
		want := http.StatusOK
		if c.issuer == "" {
			want = http.StatusNotFound
		}
		if status, issuer, text := get(s, c.host, c.path); status != want || issuer != c.issuer {
			t.Errorf("%s%s: %d, issuer %q, want %d %q: %s", c.host, c.path, status, issuer, want, c.issuer, text)
		}
	}
	sets := map[string]bool{}
	for _, at := range [][2]string{{"id.example", "/jwks"}, {"id.example", "/t/blue/jwks"}, {"id.red.example:8443", "/jwks"}} {
		_, _, text := get(s, at[0], at[1])
		sets[text] = true
	}
	if len(sets) != 3 {
		t.Errorf("%d key sets for three tenants", len(sets))
	}
}

func TestEveryURLOfATenantsMetadataIsServed(t *testing.T) {
	s := open(t, Config{PublicURL: "https://id.example", Data: t.TempDir()}, quiet())
	defer s.Close()
	makeTenant(t, s, "blue", "")
	_, _, text := get(s, "id.example", "/t/blue/.well-known/openid-configuration")
	var document map[string]any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for member, value := range document {
		address, isText := value.(string)
		if !isText || member == "issuer" || !strings.HasPrefix(address, "https://") {
			continue
		}
		seen++
		path, below := strings.CutPrefix(address, "https://id.example")
		if !below || !strings.HasPrefix(path, "/t/blue/") {
			t.Errorf("%s is %s", member, address)
		}
		if status, _, _ := get(s, "id.example", path); status == http.StatusNotFound {
			t.Errorf("%s: nothing is at %s", member, address)
		}
	}
	if seen < 6 {
		t.Errorf("only %d addresses in %s", seen, text)
	}
}

func TestADisabledTenantIsNotServed(t *testing.T) {
	spec.Covers(t, "AD-08")
	s := open(t, Config{PublicURL: "https://id.example", Data: t.TempDir()}, quiet())
	defer s.Close()
	makeTenant(t, s, "blue", "")
	wants := func(want int) {
		t.Helper()
		for _, path := range []string{"/t/blue/jwks", "/t/blue/authorize", "/t/blue/login", "/t/blue/.well-known/openid-configuration"} {
			status, _, _ := get(s, "id.example", path)
			if (status == http.StatusNotFound) != (want == http.StatusNotFound) {
				t.Errorf("%s: %d", path, status)
			}
		}
	}
	wants(http.StatusOK)
	for _, disabled := range []bool{true, false} {
		if _, err := s.store.DisableTenant(t.Context(), "blue", disabled, gatehouse.Event{}); err != nil {
			t.Fatal(err)
		}
		if disabled {
			wants(http.StatusNotFound)
		} else {
			wants(http.StatusOK)
		}
	}
}

func TestATenantWithoutKeysIsNotServed(t *testing.T) {
	s := open(t, Config{PublicURL: "https://id.example", Data: t.TempDir()}, quiet())
	defer s.Close()
	if err := s.store.PutSettings(t.Context(), "half", gatehouse.Settings{Name: "Half"}, gatehouse.Event{}); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := get(s, "id.example", "/t/half/jwks"); status != http.StatusNotFound {
		t.Errorf("%d", status)
	}
	if keys, err := s.store.Keys(t.Context(), "half"); err != nil || len(keys) != 0 {
		t.Errorf("a request has made keys: %v %v", keys, err)
	}
}

func TestTenantsWhileTheDatabaseIsAway(t *testing.T) {
	s := open(t, Config{PublicURL: "https://id.example", Data: t.TempDir()}, quiet())
	makeTenant(t, s, "blue", "")
	makeTenant(t, s, "red", "https://id.red.example")
	makeTenant(t, s, "asleep", "")
	known := [][2]string{{"id.example", "/jwks"}, {"id.example", "/t/blue/jwks"}, {"id.red.example", "/jwks"}, {"10.0.0.7:8080", "/jwks"}}
	before := map[[2]string]string{}
	for _, at := range known {
		_, _, before[at] = get(s, at[0], at[1])
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the snapshot is too old to serve", func() bool {
		_, err := s.store.Clients(t.Context(), "blue", "", 1)
		status, _, _ := get(s, "id.example", "/authorize")
		return errors.Is(err, store.ErrUnavailable) && status == http.StatusServiceUnavailable
	})
	for _, at := range known {
		if status, _, text := get(s, at[0], at[1]); status != http.StatusOK || text != before[at] {
			t.Errorf("%s: %d %s", at, status, text)
		}
	}
	for _, at := range [][2]string{{"id.example", "/t/blue/authorize"}, {"id.red.example", "/authorize"}, {"id.example", "/t/asleep/jwks"}} {
		if status, _, text := get(s, at[0], at[1]); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", at, status, text)
		}
	}
}

// TestAThousandTenants makes as many and looks whether a server that starts on them reads more than
// the one that is asked for.
func TestAThousandTenants(t *testing.T) {
	config := Config{PublicURL: "https://id.example", Data: t.TempDir()}
	s := open(t, config, quiet())
	broken := []gatehouse.StoredKey{{ID: "broken", Purpose: gatehouse.KeySign, Sealed: []byte("nobody can open this")}}
	const tenants = 1000
	var making errgroup.Group // together they share commits
	making.SetLimit(64)
	for i := range tenants {
		making.Go(func() error {
			id := gatehouse.TenantID("tenant-" + strconv.Itoa(i))
			_, err := s.store.CreateTenant(t.Context(), gatehouse.TenantRecord{ID: id}, gatehouse.Settings{}, broken, gatehouse.Event{})
			return err
		})
	}
	if err := making.Wait(); err != nil {
		t.Fatal(err)
	}
	makeTenant(t, s, "blue", "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Who opens the keys of any other fails.
	again := open(t, config, quiet())
	defer again.Close()
	if status, issuer, text := get(again, "id.example", "/t/blue/.well-known/openid-configuration"); status != http.StatusOK || issuer != "https://id.example/t/blue" {
		t.Errorf("%d %s", status, text)
	}
	if status, _, _ := get(again, "id.example", "/t/tenant-7/jwks"); status != http.StatusServiceUnavailable && status != http.StatusInternalServerError {
		t.Errorf("keys that cannot be opened: %d", status)
	}
	if records, err := again.store.Tenants(t.Context(), "", 1000); err != nil || len(records) != 1000 {
		t.Errorf("%d tenants, %v", len(records), err)
	}
}

func TestThePublicURLIsNoTenants(t *testing.T) {
	config := Config{PublicURL: "https://id.example", Data: t.TempDir()}
	s := open(t, config, quiet())
	makeTenant(t, s, "red", "https://id.red.example")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	config.PublicURL = "https://id.red.example"
	if _, err := Open(t.Context(), config, quiet()); err == nil || !strings.Contains(err.Error(), "public_url is the issuer of tenant red") {
		t.Errorf("%v", err)
	}
	config.PublicURL = "https://id.example"
	again := open(t, config, quiet())
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// arriving is a body during whose arrival something happens.
type arriving struct {
	io.Reader
	meanwhile func()
}

func (a *arriving) Read(p []byte) (int, error) {
	if a.meanwhile != nil {
		a.meanwhile()
		a.meanwhile = nil
	}
	return a.Reader.Read(p)
}

func TestARequestThatArrivesSlowlyDoesNotOutliveItsTenant(t *testing.T) {
	s := open(t, Config{PublicURL: "https://id.example", Data: t.TempDir()}, quiet())
	defer s.Close()
	makeTenant(t, s, "blue", "")
	file, err := admin.Decode([]byte("clients:\n  - client_id: svc\n    client_secret: a-secret-that-is-long-enough-to-be-random\n    token_endpoint_auth_method: client_secret_post\n    grant_types: [client_credentials]\n    scope: photos:read\nresources:\n  - identifier: https://api.example/\n    scopes: {'photos:read': See}\n"), "blue.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Apply(t.Context(), s.store, s.hasher, "blue", "https://id.example/t/blue", file, admin.Options{}); err != nil {
		t.Fatal(err)
	}
	ask := func(meanwhile func()) (int, string) {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"svc"}, "client_secret": {"a-secret-that-is-long-enough-to-be-random"}}
		r := httptest.NewRequest(http.MethodPost, "http://id.example/t/blue/token", &arriving{strings.NewReader(form.Encode()), meanwhile})
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	disable := func(disabled bool) {
		if _, err := s.store.DisableTenant(t.Context(), "blue", disabled, gatehouse.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	if status, text := ask(func() { disable(true) }); status != http.StatusBadRequest || !strings.Contains(text, "tenant-disabled") {
		t.Errorf("a token of a disabled tenant: %d %s", status, text)
	}
	disable(false)
	if status, text := ask(nil); status != http.StatusOK {
		t.Errorf("enabled again: %d %s", status, text)
	}
}

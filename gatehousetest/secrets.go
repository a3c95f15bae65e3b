package gatehousetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/admin"
	"gatehouse/internal/seal"
	"gatehouse/internal/secrecy"
	"gatehouse/internal/store/postgrestest"
)

// Public says of a text that a test sends as a password, a token or the like
// that it is no secret: it stands elsewhere, too.
func (i *Issuer) Public(text string) { i.secrets.Public(text) }

// SecretsSeen is how many secrets have passed so far.
func (i *Issuer) SecretsSeen() int { return i.secrets.Count() }

// noteFile notes the secrets of the tenant file in the data directory, which an
// earlier server may have applied.
func (i *Issuer) noteFile(t testing.TB) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(i.Data, tenantFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	i.noteTenant(string(text))
}

// noteTenant notes the secrets of a tenant file.
func (i *Issuer) noteTenant(text string) {
	file, err := admin.Decode([]byte(text), tenantFile)
	if err != nil {
		return // which the server will say
	}
	for _, client := range file.Clients {
		for _, secret := range client.Secrets() {
			i.secrets.Add(secrecy.ClientSecret, secret.Reveal())
		}
	}
	for _, user := range file.Users {
		i.secrets.Add(secrecy.Password, user.Password.Reveal())
	}
}

// noteKeys notes the key-encryption key, and every key of every tenant that it
// opens. Of a server whose database is away there are none to note.
func (i *Issuer) noteKeys() {
	text, err := os.ReadFile(i.config.KeyPath())
	if err != nil {
		return
	}
	for _, line := range strings.Split(string(text), "\n") {
		encoded, _ := strings.CutPrefix(line, "key: ")
		if secret, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			i.secrets.Add(secrecy.Key, string(secret))
		}
	}
	kek, err := seal.ReadKeyFile(i.config.KeyPath())
	if err != nil {
		return
	}
	ring := seal.NewRing(kek.Derive("key encryption"))
	ctx, cancel := context.WithTimeout(context.Background(), keysTime)
	defer cancel()
	records, err := i.server.Store().Tenants(ctx, "", 0)
	if err != nil {
		return
	}
	tenants := []gatehouse.TenantID{gatehouse.DefaultTenant}
	for _, record := range records {
		if record.ID != gatehouse.DefaultTenant {
			tenants = append(tenants, record.ID)
		}
	}
	for _, tenant := range tenants {
		keys, err := i.server.Store().Keys(ctx, tenant)
		if err != nil {
			return
		}
		for _, key := range keys {
			if secret, opened := ring.Open(key.Sealed, keyData(tenant, key)); opened {
				i.noteKey(secret)
			}
		}
	}
}

// keysTime is how long a database that may be away is waited for.
const keysTime = 5 * time.Second

// noteKey notes what is private of a key: its 32 bytes, or the numbers of a
// signing key.
func (i *Issuer) noteKey(secret []byte) {
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		i.secrets.Add(secrecy.Key, string(secret))
		return
	}
	switch key := parsed.(type) {
	case *ecdsa.PrivateKey:
		if scalar, err := key.Bytes(); err == nil {
			i.secrets.Add(secrecy.Key, string(scalar))
		}
	case ed25519.PrivateKey:
		i.secrets.Add(secrecy.Key, string(key.Seed()))
	case *rsa.PrivateKey:
		i.secrets.Add(secrecy.Key, string(key.D.Bytes()))
		for _, prime := range key.Primes {
			i.secrets.Add(secrecy.Key, string(prime.Bytes()))
		}
	}
}

// search looks for the secrets of the test in all that a server has behind it
// that is about to stop.
func (i *Issuer) search(t testing.TB) {
	t.Helper()
	i.noteKeys()
	page := httptest.NewRecorder()
	i.server.MetricsHandler().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	i.secrets.Search("the page of metrics", page.Body.Bytes())
	i.searchFiles(t)
	if i.config.OnPostgres() {
		i.secrets.Search("the database", []byte(postgrestest.Dump(t, i.config.Database)))
	}
}

// searchFiles looks into every file of the data directory, of which two hold
// secrets by right: the key file and the tenant file.
func (i *Issuer) searchFiles(t testing.TB) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(i.Data, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if path == i.config.KeyPath() || filepath.Base(path) == tenantFile {
			continue
		}
		if content, err := os.ReadFile(path); err == nil { // not the control socket
			i.secrets.Search("the file "+filepath.Base(path), content)
		}
	}
}

// searchStopped looks once more, now that the server has said and written its
// last, and tells the test what was found.
func (i *Issuer) searchStopped(t testing.TB) {
	t.Helper()
	i.secrets.Search("the log", []byte(i.log.String()))
	if i.traces != nil {
		i.secrets.Search("the traces", []byte(i.Traces()))
		i.traces.stop()
	}
	i.searchFiles(t)
	i.secrets.Report(t)
}

// exchange hands a request to the server and notes what is secret in it.
func (i *Issuer) exchange(incoming *http.Request) *http.Response {
	sent := &noted{ReadCloser: incoming.Body}
	incoming.Body = sent
	recorder := httptest.NewRecorder()
	i.server.Handler().ServeHTTP(recorder, incoming)
	response := recorder.Result()
	i.secrets.Exchange(incoming, sent.read.Bytes(), response, recorder.Body.Bytes())
	return response
}

// maxNoted bounds what is kept of a request's body, in bytes: more than the
// server reads of one.
const maxNoted = 64 << 10

// noted keeps what is read of a body.
type noted struct {
	io.ReadCloser
	read bytes.Buffer
}

func (n *noted) Read(p []byte) (int, error) {
	count, err := n.ReadCloser.Read(p)
	n.read.Write(p[:min(count, max(0, maxNoted-n.read.Len()))])
	return count, err
}

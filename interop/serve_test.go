package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// TestServe drives `gatehouse serve` over https, as it stands in production.
func TestServe(t *testing.T) {
	server := serve(t)
	t.Run("chromium", func(t *testing.T) {
		more := map[string]string{"chromium": chromiumPath(t)}
		assertChecks(t, server.node(t, "https.mjs", more), httpsChecks())
	})
	t.Run("apache", func(t *testing.T) { testApache(t, server) })
	t.Run("log", func(t *testing.T) { assertQuietLog(t, server) })
	t.Run("stop", func(t *testing.T) { server.stop(t) })
}

// serve runs `gatehouse serve` on a configuration, a certificate and a tenant
// file of a directory of its own.
func serve(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{Callback: "http://" + freeAddress(t), Apache: "https://" + freeAddress(t), authority: filepath.Join(dir, "certificate.pem")}
	s.Dev.Issuer = "https://localhost:" + port
	s.fill(t, "serve-tenant.yaml", filepath.Join(dir, "tenant.yaml"))
	s.fill(t, "serve.yaml", filepath.Join(dir, "gatehouse.yaml"), "PORT", port)
	roots := writeCertificate(t, dir)
	s.run(t, "serve", "--config", filepath.Join(dir, "gatehouse.yaml"))

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: stopsWithin}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
	deadline := time.Now().Add(readyWithin)
	for {
		if _, err = oidc.NewProvider(ctx, s.Dev.Issuer); err == nil {
			return s
		}
		select {
		case <-s.ended:
			t.Fatalf("gatehouse serve ended: %v\n%s", s.outcome, s.log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("gatehouse serve was not ready after %v: %v\n%s", readyWithin, err, s.log)
		}
	}
}

// writeCertificate writes a certificate for localhost and 127.0.0.1 that is
// its own authority, with its key.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	for name, text := range map[string][]byte{
		"certificate.pem": chain, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	return roots
}

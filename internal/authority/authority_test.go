package authority_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse/internal/authority"
)

// TestMutualTLS: each side takes the other's certificate and nobody else's.
func TestMutualTLS(t *testing.T) {
	ours, err := authority.NewMutual("thumbnails", "photoapi", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := authority.NewMutual("thumbnails", "photoapi", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, authority.Name(r.TLS)) }))
	server.TLS = ours.Server
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	ask := func(config *tls.Config) (string, error) {
		transport := &http.Transport{TLSClientConfig: config}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		return string(text), err
	}
	if who, err := ask(ours.Client); err != nil || who != "photoapi" {
		t.Errorf("%q %v", who, err)
	}
	for name, config := range map[string]*tls.Config{
		"a client of another authority":  {RootCAs: ours.Client.RootCAs, Certificates: theirs.Client.Certificates},
		"no certificate":                 {RootCAs: ours.Client.RootCAs},
		"the server's own, as a client":  {RootCAs: ours.Client.RootCAs, Certificates: ours.Server.Certificates},
		"a client that does not know us": {RootCAs: theirs.Client.RootCAs, Certificates: ours.Client.Certificates},
	} {
		if who, err := ask(config); err == nil {
			t.Errorf("%s is taken for %q", name, who)
		}
	}
}

func TestCertificatesEnd(t *testing.T) {
	long := time.Now().Add(-2 * 365 * 24 * time.Hour)
	old, err := authority.NewMutual("thumbnails", "photoapi", long)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = old.Server
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := &http.Transport{TLSClientConfig: old.Client}
	defer transport.CloseIdleConnections()
	if response, err := (&http.Client{Transport: transport}).Get(server.URL); err == nil {
		_ = response.Body.Close()
		t.Error("a certificate of two years ago is taken")
	}
}

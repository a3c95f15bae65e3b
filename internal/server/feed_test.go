package server

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/secret"
	"gatehouse/revocation"
)

// followFeed connects as a client that may, and returns the answer's messages.
func (r *running) followFeed(t *testing.T) (*http.Response, *revocation.Reader) {
	t.Helper()
	const password = "a-secret-of-the-feed's-reader-0123456789"
	client := gatehouse.Client{
		ID: "reader", ClientMetadata: gatehouse.ClientMetadata{TokenEndpointAuthMethod: gatehouse.AuthClientSecretBasic, RevocationFeed: true},
		Secrets: []gatehouse.ClientSecret{{ID: "s", Kind: gatehouse.SecretSHA256, Hash: secret.Hash(password)}},
	}
	if err := r.Store().PutClient(t.Context(), gatehouse.DefaultTenant, client, gatehouse.Event{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url("/revocations"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(client.ID, password)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatalf("status %d", response.StatusCode)
	}
	return response, revocation.NewReader(response.Body)
}

// TestFeedOutlivesTheListenersTimes has a listener whose times are for requests.
func TestFeedOutlivesTheListenersTimes(t *testing.T) {
	impatient := func(s *Server) { s.limits.read, s.limits.write = 200*time.Millisecond, 200*time.Millisecond }
	for name, start := range map[string]func() *running{
		"HTTP/1.1": func() *running { return run(t, impatient) },
		"HTTP/2.0": func() *running {
			p := newPapers(t)
			r := run(t, func(s *Server) {
				config := s.config
				config.TLS, config.PublicURL = p.TLS, "https://127.0.0.1:8443"
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				*s = *open(t, config, s.log)
				impatient(s)
			})
			r.scheme, r.client = "https", r.newClient(t, &tls.Config{RootCAs: p.trust})
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := start()
			r.client.Timeout = 0
			response, messages := r.followFeed(t)
			if response.Proto != name {
				t.Errorf("by %s", response.Proto)
			}
			marks := 0
			for began := time.Now(); marks < 3; {
				m, err := messages.Next()
				if err != nil {
					t.Fatalf("after %v and %d marks: %v", time.Since(began), marks, err)
				}
				if m.Mark != nil {
					marks++
				}
			}
			// Who reads the feed does not hold up the end.
			began := time.Now()
			ended := make(chan error)
			go func() {
				var err error
				for err == nil {
					_, err = messages.Next()
				}
				ended <- err
			}()
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			if err := <-ended; err != io.EOF {
				t.Errorf("the feed ended with %v", err)
			}
			if took := time.Since(began); took > defaultShutdownTimeout/2 {
				t.Errorf("the server took %v to stop", took)
			}
			if strings.Contains(r.log.String(), "cut off") {
				t.Error("the reader was cut off at the end of the shutdown time-out")
			}
		})
	}
}

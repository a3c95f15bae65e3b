package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/gateway"
	"gatehouse/internal/spec"
)

// flaky is an upstream that closes so many connections without an answer.
type flaky struct {
	*httptest.Server
	left, seen atomic.Int32
}

func newFlaky(t testing.TB) *flaky {
	t.Helper()
	f := &flaky{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.seen.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		if f.left.Add(-1) >= 0 {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = connection.Close()
			}
		}
	}))
	t.Cleanup(f.Close)
	return f
}

// through has a public route to an upstream.
func through(u gateway.Upstream) func(*stage, *gateway.Config) {
	return func(_ *stage, c *gateway.Config) {
		u.Name = "tried"
		c.Upstreams = append(c.Upstreams, u)
		c.Routes = append(c.Routes, gateway.Route{Name: "tried", Match: gateway.Match{Path: "/tried"}, Public: true, Upstream: "tried"})
	}
}

// TestRequestsAreSentAgainWhereThatIsSafe, and nowhere else.
func TestRequestsAreSentAgainWhereThatIsSafe(t *testing.T) {
	for _, test := range []struct {
		method, body string
		retries      int
		want         int
		sent         int32
	}{
		{"GET", "", 0, 200, 2}, {"PUT", "", 0, 200, 2}, {"DELETE", "", 0, 200, 2}, {"HEAD", "", 0, 200, 2}, {"GET", "", 2, 200, 2},
		{"GET", "", -1, 502, 1}, {"POST", "", 0, 502, 1}, {"PATCH", "", 0, 502, 1}, {"PUT", "x", 0, 502, 1}, {"POST", "x", 3, 502, 1},
	} {
		f := newFlaky(t)
		s := newStage(t, through(gateway.Upstream{URL: f.URL, Retries: test.retries}))
		f.left.Store(1)
		p := s.do(test.method, "/tried", nil, strings.NewReader(test.body))
		if got := f.seen.Load(); p.StatusCode != test.want || got != test.sent {
			t.Errorf("%s with %q and %d retries: %d after %d times, want %d after %d", test.method, test.body, test.retries, p.StatusCode, got, test.want, test.sent)
		}
		wants(t, test.method, s.do("GET", "/tried", nil, nil), http.StatusOK, "")
	}
	f := newFlaky(t)
	s := newStage(t, through(gateway.Upstream{URL: f.URL, Retries: 1}))
	f.left.Store(5)
	wants(t, "an end to it", s.do("GET", "/tried", nil, nil), http.StatusBadGateway, "gateway-upstream-failed")
	if got := f.seen.Load(); got != 2 {
		t.Errorf("sent %d times", got)
	}
}

// TestUpstreamsThatDoNotAnswerAreSpared, and tried again after a while.
func TestUpstreamsThatDoNotAnswerAreSpared(t *testing.T) {
	spec.Covers(t, "LG-03")
	f := newFlaky(t)
	address := f.Listener.Addr().String()
	s := newStage(t, through(gateway.Upstream{URL: f.URL, Retries: -1}))
	f.left.Store(5)
	for range 5 {
		wants(t, "away", s.do("POST", "/tried", nil, nil), http.StatusBadGateway, "gateway-upstream-failed")
	}
	p := s.do("GET", "/tried", nil, nil)
	wants(t, "spared", p, http.StatusServiceUnavailable, "gateway-upstream-resting")
	if p.Header.Get("Retry-After") == "" || strings.Contains(p.text, address) {
		t.Errorf("%v", p)
	}
	if got := s.gateway.Health().Upstreams; got["tried"] != "open" || got["echo"] != "closed" {
		t.Errorf("%v", got)
	}
	s.lets("another upstream")
	if failures := s.gateway.Stats().Failures["tried"]; failures["gateway-upstream-failed"] != 5 || failures["gateway-upstream-resting"] != 1 {
		t.Errorf("%v", failures)
	}
	if got := f.seen.Load(); got != 5 {
		t.Errorf("it was asked %d times", got)
	}
	eventually(t, "it is tried again", func() bool { return s.do("GET", "/tried", nil, nil).StatusCode == 200 })
}

// TestBodiesThatBreakOffOpenNoBreaker: who sends half a body, or stops in the middle of one,
// keeps nobody else from the upstream.
func TestBodiesThatBreakOffOpenNoBreaker(t *testing.T) {
	spec.Covers(t, "LG-03")
	s := newStage(t, func(s *stage, c *gateway.Config) {
		through(gateway.Upstream{URL: s.echo.URL})(s, c)
		c.Routes[len(c.Routes)-1].Timeout = 200 * time.Millisecond
	})
	for about, body := range map[string]string{
		"a broken chunk":     "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\nnonsense\r\n",
		"a body that stalls": "Content-Length: 100\r\n\r\nabcd",
	} {
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				connection, err := net.Dial("tcp", s.front.Listener.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer connection.Close()
				_, _ = io.WriteString(connection, "POST /tried HTTP/1.1\r\nHost: photos.example\r\n"+body)
				if answer, _ := io.ReadAll(io.LimitReader(connection, 12)); string(answer) != "HTTP/1.1 400" {
					t.Errorf("%s: %q", about, answer)
				}
			})
		}
		group.Wait()
		if got := s.gateway.Health().Upstreams["tried"]; got != "closed" {
			t.Errorf("%s: the breaker is %s", about, got)
		}
		wants(t, about, s.do("GET", "/tried", nil, nil), http.StatusOK, "")
	}
	if failures := s.gateway.Stats().Failures["tried"]; failures["gateway-given-up"] != 12 {
		t.Errorf("%v", failures)
	}
}

// authority signs certificates.
type authority struct {
	t           testing.TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// issue makes a certificate and its key, in PEM.
func (a *authority) issue(name string, expiry time.Time) (certificate, key []byte) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: expiry, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// mutual is an upstream that wants to know by certificate who asks, and tells it.
func mutual(t testing.TB, certificate, key []byte, clients *authority) *httptest.Server {
	t.Helper()
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
		if len(r.TLS.PeerCertificates) > 0 {
			_, _ = io.WriteString(w, " "+r.TLS.PeerCertificates[0].Subject.CommonName)
		}
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		server.TLS.ClientCAs, server.TLS.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		server.TLS.ClientCAs.AddCert(clients.certificate)
	}
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func write(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestUpstreamsByCertificate: both ends show theirs, a new one is taken from its file without a
// new start, and of a wrong file the last good ones stay.
func TestUpstreamsByCertificate(t *testing.T) {
	servers, clients := newAuthority(t, "servers"), newAuthority(t, "clients")
	certificate, key := servers.issue("api.internal", time.Now().Add(time.Hour))
	upstream := mutual(t, certificate, key, clients)
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	show := func(name string) {
		certificate, key := clients.issue(name, time.Now().Add(time.Hour))
		write(t, at("key.pem"), key)
		write(t, at("cert.pem"), certificate)
	}
	show("gateway-1")
	write(t, at("ca.pem"), servers.pem)
	s := newStage(t, through(gateway.Upstream{URL: upstream.URL, CAFile: at("ca.pem"), CertFile: at("cert.pem"), KeyFile: at("key.pem"), ServerName: "api.internal"}))
	if p := s.do("GET", "/tried", nil, nil); p.StatusCode != 200 || p.text != "HTTP/2.0 gateway-1" {
		t.Fatalf("%v\n%s", p, s.log)
	}
	show("gateway-2")
	eventually(t, "the new certificate is shown", func() bool { return s.do("GET", "/tried", nil, nil).text == "HTTP/2.0 gateway-2" })
	write(t, at("cert.pem"), []byte("rubbish"))
	eventually(t, "a wrong file is told", func() bool {
		return len(s.log.Lines(t, "the certificates of an upstream cannot be read; those from before stay")) > 0
	})
	if p := s.do("GET", "/tried", nil, nil); p.text != "HTTP/2.0 gateway-2" {
		t.Errorf("%v", p)
	}
	show("gateway-3")
	write(t, at("ca.pem"), clients.pem) // which does not vouch for the upstream
	eventually(t, "the new authority counts", func() bool { return s.do("POST", "/tried", nil, nil).StatusCode == http.StatusBadGateway })
}

// TestUpstreamsThatAreOthers: nobody but the upstream gets a request.
func TestUpstreamsThatAreOthers(t *testing.T) {
	spec.Covers(t, "SS-13")
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, ours.pem)
	for name, test := range map[string]struct {
		authority *authority
		host      string
		expiry    time.Time
		want      int
	}{
		"the right one":     {ours, "api.internal", time.Now().Add(time.Hour), 200},
		"of another host":   {ours, "evil.internal", time.Now().Add(time.Hour), 502},
		"expired":           {ours, "api.internal", time.Now().Add(-time.Minute), 502},
		"of nobody we know": {theirs, "api.internal", time.Now().Add(time.Hour), 502},
	} {
		certificate, key := test.authority.issue(test.host, test.expiry)
		s := newStage(t, through(gateway.Upstream{URL: mutual(t, certificate, key, nil).URL, CAFile: ca, ServerName: "api.internal"}))
		if p := s.do("GET", "/tried", nil, nil); p.StatusCode != test.want {
			t.Errorf("%s: %v", name, p)
		}
	}
}

// TestTokensThatTheUpstreamRefuses are not used again.
func TestTokensThatTheUpstreamRefuses(t *testing.T) {
	var refuse atomic.Bool
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse.Load() {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	}))
	t.Cleanup(upstream.Close)
	s := newStage(t, func(s *stage, c *gateway.Config) {
		forwarding(toAPI)(s, c)
		c.Upstreams[0].URL = upstream.URL
	})
	raw := s.issuer.token(t, nil)
	ask := func(status int, want string) {
		t.Helper()
		if p := s.do("GET", "/photos/1", bearer(raw), nil); p.StatusCode != status || p.text != want {
			t.Errorf("%v, want %q", p, want)
		}
	}
	ask(200, "Bearer exchanged-1")
	refuse.Store(true)
	ask(401, "Bearer exchanged-1")
	refuse.Store(false)
	ask(200, "Bearer exchanged-2")
	ask(200, "Bearer exchanged-2")
}

package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/spec"
)

// papers are a self-made certificate and its key in files.
type papers struct {
	TLS
	trust  *x509.CertPool
	serial int64
	at     time.Time // the files' time, a second later with each writing
}

func newPapers(t *testing.T) *papers {
	t.Helper()
	directory := t.TempDir()
	p := &papers{
		TLS:   TLS{Certificate: filepath.Join(directory, "tls.crt"), Key: filepath.Join(directory, "tls.key")},
		trust: x509.NewCertPool(), at: time.Now().Add(-time.Hour),
	}
	p.renew(t, time.Now().Add(time.Hour))
	return p
}

// renew writes a new pair that is good until expiry.
func (p *papers) renew(t *testing.T, expiry time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(p.serial), Subject: pkix.Name{CommonName: "gatehouse test"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: expiry,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
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
	p.trust.AppendCertsFromPEM(chain)
	p.write(t, p.Certificate, chain)
	p.write(t, p.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func (p *papers) write(t *testing.T, path string, content []byte) {
	t.Helper()
	write(t, path, string(content))
	p.at = p.at.Add(time.Second)
	if err := os.Chtimes(path, p.at, p.at); err != nil {
		t.Fatal(err)
	}
}

// runTLS serves https with the papers. The clock of the certificate's checks
// stands until it is moved.
func runTLS(t *testing.T, changes ...func(*Server)) (r *running, p *papers, pass func(time.Duration)) {
	t.Helper()
	p = newPapers(t)
	begin, passed := time.Now(), atomic.Int64{}
	r = run(t, func(s *Server) {
		config := s.config
		config.TLS, config.PublicURL = p.TLS, "https://127.0.0.1:8443"
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		*s = *open(t, config, s.log)
		s.clock = func() time.Time { return begin.Add(time.Duration(passed.Load())) }
		for _, change := range changes {
			change(s)
		}
	})
	r.scheme = "https"
	r.client = r.newClient(t, &tls.Config{RootCAs: p.trust})
	return r, p, func(d time.Duration) { passed.Add(int64(d)) }
}

// shake returns the serial number of the certificate that a new connection
// is shown.
func (r *running) shake(t *testing.T, config *tls.Config) (int64, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", r.address, config)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestServeOverTLS(t *testing.T) {
	r, _, _ := runTLS(t)
	response, text := r.ask(t, "/.well-known/openid-configuration")
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 || !strings.Contains(text, `"issuer":"https://127.0.0.1:8443"`) {
		t.Errorf("%d %s %s", response.StatusCode, response.Proto, text)
	}
	if got := response.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
		t.Errorf("HSTS %q", got)
	}
	request := "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {"https://app.example/cb"}, "scope": {"openid"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636 appendix B
	}.Encode()
	sent, text := r.ask(t, request)
	if sent.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", sent.StatusCode, text)
	}
	page, _ := r.ask(t, sent.Header.Get("Location"))
	cookies := append(sent.Cookies(), page.Cookies()...)
	for _, cookie := range cookies {
		if !strings.HasPrefix(cookie.Name, "__Host-") || !cookie.Secure || !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" {
			t.Errorf("cookie %v", cookie)
		}
	}
	if len(cookies) == 0 {
		t.Error("no cookie was set")
	}
	plain, err := http.Get("http://" + r.address + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	if text := body(t, plain); plain.StatusCode != http.StatusBadRequest {
		t.Errorf("http on the https port: %d %s", plain.StatusCode, text)
	}
}

// wantModernTLS checks the versions and cipher suites of RFC 9325 §3.1, §4.1.
func (r *running) wantModernTLS(t *testing.T, p *papers) {
	t.Helper()
	for name, c := range map[string]struct {
		config *tls.Config
		good   bool
	}{
		"TLS 1.0": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false},
		"TLS 1.1": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		"TLS 1.2": {&tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"TLS 1.3": {&tls.Config{MinVersion: tls.VersionTLS13}, true},
		"RC4":     {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}, false},
		"RSA":     {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}}, false},
	} {
		c.config.RootCAs = p.trust
		if _, err := r.shake(t, c.config); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// settings returns what the server allows an HTTP/2 connection (RFC 9113 §6.5).
func (r *running) settings(t *testing.T, trust *x509.CertPool) map[uint16]uint32 {
	t.Helper()
	conn, err := tls.Dial("tcp", r.address, &tls.Config{RootCAs: trust, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const nothingToSet = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+nothingToSet); err != nil {
		t.Fatal(err)
	}
	var head [9]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		t.Fatal(err)
	}
	const settingsFrame = 4
	if head[3] != settingsFrame {
		t.Fatalf("the first frame is of type %d, not SETTINGS", head[3])
	}
	frame := make([]byte, int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, frame); err != nil {
		t.Fatal(err)
	}
	settings := map[uint16]uint32{}
	for ; len(frame) >= 6; frame = frame[6:] {
		settings[binary.BigEndian.Uint16(frame)] = binary.BigEndian.Uint32(frame[2:])
	}
	return settings
}

func TestHTTP2ConnectionsAreBounded(t *testing.T) {
	r, p, _ := runTLS(t)
	const maxConcurrentStreams, maxFrameSize, maxHeaderListSize = 3, 5, 6
	settings := r.settings(t, p.trust)
	if settings[maxConcurrentStreams] != 100 || settings[maxFrameSize] != 16<<10 {
		t.Errorf("settings %v", settings)
	}
	if limit, set := settings[maxHeaderListSize]; !set || limit > 64<<10 {
		t.Errorf("headers of %d bytes are taken", limit)
	}
}

func TestCertificateFollowsItsFiles(t *testing.T) {
	spec.Covers(t, "FT-28")
	r, p, pass := runTLS(t)
	shown := func(want int64) {
		t.Helper()
		if serial, err := r.shake(t, &tls.Config{RootCAs: p.trust}); err != nil || serial != want {
			t.Errorf("certificate %d is shown (%v), want %d", serial, err, want)
		}
	}
	age := r.limits.certificateAge
	shown(1)
	r.wantModernTLS(t, p)

	p.renew(t, time.Now().Add(time.Hour))
	pass(age - 1)
	shown(1)
	pass(1)
	shown(2)
	r.wantModernTLS(t, p)

	good, err := os.ReadFile(p.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	before := p.serial
	for name, spoil := range map[string]func(){
		"broken":      func() { p.write(t, p.Certificate, []byte("not PEM")) },
		"cut off":     func() { p.write(t, p.Certificate, good[:len(good)/2]) },
		"gone":        func() { _ = os.Remove(p.Certificate) },
		"half a pair": func() { q := newPapers(t); text, _ := os.ReadFile(q.Certificate); p.write(t, p.Certificate, text) },
		"expired":     func() { p.renew(t, time.Now().Add(-time.Hour)) },
	} {
		warned := strings.Count(r.log.String(), "the last good one stays")
		spoil()
		for range 3 {
			pass(age)
			shown(before)
		}
		if count := strings.Count(r.log.String(), "the last good one stays"); count != warned+1 {
			t.Errorf("%s: %d warnings", name, count-warned)
		}
		p.renew(t, time.Now().Add(time.Hour))
		before = p.serial
		pass(age)
		shown(before)
	}
	r.wantModernTLS(t, p)
}

func TestBadCertificatesAtTheStart(t *testing.T) {
	data := dataDirectory(t)
	p := newPapers(t)
	for name, paths := range map[string]TLS{
		"missing":   {p.Certificate + ".no", p.Key},
		"no key":    {p.Certificate, p.Certificate},
		"swapped":   {p.Key, p.Certificate},
		"directory": {filepath.Dir(p.Certificate), p.Key},
	} {
		s := open(t, Config{PublicURL: "https://id.example", Data: data, TLS: paths}, slog.New(slog.DiscardHandler))
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Serve(t.Context(), listener); err == nil || !strings.Contains(err.Error(), "check tls.certificate and tls.key") {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	p.renew(t, time.Now().Add(-time.Hour))
	var log bytes.Buffer
	s := open(t, Config{PublicURL: "https://id.example", Data: data, TLS: p.TLS}, slog.New(slog.NewTextHandler(&log, nil)))
	if _, err := s.tlsConfig(); err != nil || !strings.Contains(log.String(), "has expired") {
		t.Errorf("an expired certificate: %v, %s", err, &log)
	}
}

// TestHalfOpenHandshakesAreCutOff: who begins a handshake and does not go on is
// hung up on, and holds up nobody.
func TestHalfOpenHandshakesAreCutOff(t *testing.T) {
	spec.Covers(t, "DS-09", "FT-35")
	r, p, _ := runTLS(t, func(s *Server) { s.limits.readHeader = 50 * time.Millisecond })
	for name, begun := range map[string]string{"nothing": "", "half a record": "\x16\x03\x01\x02\x00", "half a ClientHello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
		conn := r.dial(t)
		if _, err := io.WriteString(conn, begun); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil { // ends when the server hangs up
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.shake(t, &tls.Config{RootCAs: p.trust}); err != nil {
			t.Errorf("another caller beside %s: %v", name, err)
		}
	}
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/server"
)

// said returns the findings as check prints them.
func (e *examination) said(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	if err := e.print(&out, false); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// face is what a server, or the proxy before it, shows to the public.
type face struct {
	issuer, hsts, cookie, date string
	metrics, broken            bool
}

func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.hsts != "" {
		w.Header().Set("Strict-Transport-Security", f.hsts)
	}
	if f.date != "" {
		w.Header().Set("Date", f.date)
	}
	switch {
	case f.broken:
		w.WriteHeader(http.StatusBadGateway)
	case r.URL.Path == "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": f.issuer})
	case r.URL.Path == "/account" && f.cookie != "":
		w.Header().Set("Set-Cookie", f.cookie)
	case r.URL.Path == "/metrics" && f.metrics:
		_, _ = w.Write([]byte("gatehouse_build_info 1\n"))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestCheckLooksFromOutside(t *testing.T) {
	shown := &face{}
	outside := httptest.NewTLSServer(shown)
	defer outside.Close()
	roots := x509.NewCertPool()
	roots.AddCert(outside.Certificate())
	good := face{issuer: outside.URL, hsts: "max-age=1", cookie: "__Host-gh-browser-x=1; Path=/; Secure; HttpOnly; SameSite=Lax"}
	for name, c := range map[string]struct {
		spoil    func(*face)
		verdicts map[verdict]string // "" for none
	}{
		"all is well":        {func(*face) {}, map[verdict]string{fine: "cookies keep their protection", doubt: "", failing: ""}},
		"another issuer":     {func(f *face) { f.issuer += "/" }, map[verdict]string{failing: "the issuer there is"}},
		"no metadata":        {func(f *face) { f.broken = true }, map[verdict]string{failing: "502 Bad Gateway and no metadata"}},
		"no HSTS":            {func(f *face) { f.hsts = "" }, map[verdict]string{doubt: "answers lack it", failing: ""}},
		"a clock":            {func(f *face) { f.date = "Mon, 02 Jan 2006 15:04:05 GMT" }, map[verdict]string{doubt: "clock is -", failing: ""}},
		"no cookie":          {func(f *face) { f.cookie = "lb=1" }, map[verdict]string{doubt: "sets no cookie", failing: ""}},
		"a script's cookie":  {func(f *face) { f.cookie = strings.Replace(f.cookie, "HttpOnly; ", "", 1) }, map[verdict]string{failing: "lacks HttpOnly"}},
		"a clear cookie":     {func(f *face) { f.cookie = strings.Replace(f.cookie, "Secure; ", "", 1) }, map[verdict]string{failing: "lacks Secure"}},
		"a strangers' sites": {func(f *face) { f.cookie = strings.Replace(f.cookie, "Lax", "None", 1) }, map[verdict]string{failing: "lacks SameSite"}},
		"metrics":            {func(f *face) { f.metrics = true }, map[verdict]string{failing: "shows the metrics to everybody"}},
	} {
		t.Run(name, func(t *testing.T) {
			*shown = good
			c.spoil(shown)
			e := &examination{process: server.Config{PublicURL: outside.URL}, now: time.Now()}
			e.checkRunning(t.Context(), roots)
			for which, want := range c.verdicts {
				if want == "" && e.count(which) > 0 {
					t.Errorf("a %s too many:\n%s", which, e.said(t))
				}
				found := want == ""
				for _, f := range e.findings {
					found = found || f.Verdict == which && strings.Contains(f.Found, want)
				}
				if !found {
					t.Errorf("no %s says %q:\n%s", which, want, e.said(t))
				}
			}
			for _, f := range e.findings {
				if (f.Verdict == fine) != (f.Do == "") {
					t.Errorf("what to do about %+v?", f)
				}
			}
		})
	}
	e := &examination{process: server.Config{PublicURL: outside.URL}, now: time.Now()}
	e.checkRunning(t.Context(), nil)
	if e.count(doubt) != 1 || e.count(failing) != 0 || !strings.Contains(e.said(t), "certificate") {
		t.Errorf("an authority that nobody trusts:\n%s", e.said(t))
	}
}

// pair writes a self-made certificate for 127.0.0.1 that is good in the span.
func pair(t *testing.T, from, until time.Time) server.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	paths := server.TLS{Certificate: filepath.Join(directory, "tls.crt"), Key: filepath.Join(directory, "tls.key")}
	for path, block := range map[string]*pem.Block{paths.Certificate: {Type: "CERTIFICATE", Bytes: certificate}, paths.Key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

func TestCheckReadsTheCertificate(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		from, until time.Time
		host        string
		mode        os.FileMode
		want        verdict
		says        string
	}{
		"good":     {now.Add(-time.Hour), now.Add(90 * 24 * time.Hour), "127.0.0.1", 0o600, fine, "is valid until"},
		"ending":   {now.Add(-time.Hour), now.Add(24 * time.Hour), "127.0.0.1", 0o600, doubt, "expires at"},
		"ended":    {now.Add(-2 * time.Hour), now.Add(-time.Hour), "127.0.0.1", 0o600, failing, "expired at"},
		"too soon": {now.Add(time.Hour), now.Add(90 * 24 * time.Hour), "127.0.0.1", 0o600, failing, "not valid before"},
		"foreign":  {now.Add(-time.Hour), now.Add(90 * 24 * time.Hour), "id.example", 0o600, doubt, "id.example"},
		"open":     {now.Add(-time.Hour), now.Add(90 * 24 * time.Hour), "127.0.0.1", 0o644, doubt, "others than its owner"},
	} {
		e := &examination{process: server.Config{PublicURL: "https://" + c.host, TLS: pair(t, c.from, c.until)}, now: now}
		if err := os.Chmod(e.process.TLS.Key, c.mode); err != nil {
			t.Fatal(err)
		}
		e.checkCertificate()
		if e.count(c.want) != 1 || e.count(doubt)+e.count(failing) > 1 || !strings.Contains(e.said(t), c.says) {
			t.Errorf("%s:\n%s", name, e.said(t))
		}
	}
}

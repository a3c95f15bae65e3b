package client_test

import (
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/egress"
	"gatehouse/internal/spec"
)

// discover tries to make a client.
func discover(t *testing.T, issuer string, config client.Config) error {
	t.Helper()
	config.ClientID, config.Logger = clientID, slog.New(slog.DiscardHandler)
	c, err := client.New(t.Context(), issuer, config)
	if err == nil {
		_ = c.Close()
	}
	return err
}

func TestMetadataOfAnotherIssuer(t *testing.T) {
	spec.Covers(t, "OIDCD-4.3-C1")
	p := newProvider(t)
	for _, other := range []any{
		p.URL + "/", strings.ToUpper(p.URL), "https://other.example", "", nil, 17, strings.Replace(p.URL, "127.0.0.1", "localhost", 1), p.URL + "/.", p.URL + "#",
	} {
		p.change(func(p *provider) { p.metadata["issuer"] = other })
		var invalid *client.InvalidError
		if err := discover(t, p.URL, client.Config{}); !errors.As(err, &invalid) {
			t.Errorf("the issuer %v: %v", other, err)
		}
	}
	p.change(func(p *provider) { p.metadata["issuer"] = p.URL })
	if err := discover(t, p.URL, client.Config{}); err != nil {
		t.Error(err)
	}
}

func TestIssuersThatAreNone(t *testing.T) {
	for _, issuer := range []string{
		"", "id.example", "ftp://id.example", "http://id.example", "https://", "https://user@id.example", "https://id.example?x", "https://id.example#x", "https://id.example?", "mailto:a@b",
	} {
		if err := discover(t, issuer, client.Config{Lazy: true}); err == nil {
			t.Errorf("%q is an issuer", issuer)
		}
	}
	if err := discover(t, "http://id.example", client.Config{Lazy: true, InsecureAllowHTTP: true}); err != nil {
		t.Error(err)
	}
}

func TestEndpointsWithoutTLS(t *testing.T) {
	p := newProvider(t)
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "revocation_endpoint", "end_session_endpoint"} {
		for _, bad := range []string{"http://other.example/x", "/token", "ftp://id.example", "https://user@id.example/", "javascript:alert(1)", "https://id.example/#x"} {
			good := p.metadata[name]
			p.change(func(p *provider) { p.metadata[name] = bad })
			if err := discover(t, p.URL, client.Config{}); err == nil {
				t.Errorf("%s at %s is taken", name, bad)
			}
			p.change(func(p *provider) { p.metadata[name] = good })
		}
	}
	p.change(func(p *provider) {
		p.metadata["mtls_endpoint_aliases"] = map[string]any{"token_endpoint": "http://other.example"}
	})
	if err := discover(t, p.URL, client.Config{}); err == nil {
		t.Error("an alias without TLS is taken")
	}
	// An issuer elsewhere has no endpoint on our machine.
	remote := client.Metadata{TokenEndpoint: "http://127.0.0.1/token"}
	if err := discover(t, "https://id.example", client.Config{Metadata: &remote}); err == nil {
		t.Error("an issuer elsewhere has an endpoint on our machine, over http")
	}
}

func TestWhereMetadataLies(t *testing.T) {
	for _, path := range []string{"/t/blue/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/t/blue"} {
		var asked []string
		var server *httptest.Server
		server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.Path)
			if r.URL.Path != path {
				http.NotFound(w, r)
				return
			}
			writeJSON(w, http.StatusOK, map[string]any{"issuer": server.URL + "/t/blue", "token_endpoint": server.URL + "/token"})
		}))
		defer server.Close()
		if err := discover(t, server.URL+"/t/blue", client.Config{Scope: "openid"}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if asked[0] != "/t/blue/.well-known/openid-configuration" {
			t.Errorf("with openid, the first place is %s", asked[0])
		}
		asked = nil
		if err := discover(t, server.URL+"/t/blue", client.Config{Scope: "photos"}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if asked[0] != "/.well-known/oauth-authorization-server/t/blue" {
			t.Errorf("without openid, the first place is %s", asked[0])
		}
	}
}

// TestWhatElseServesTheHost: an issuer publishes at one place alone, and something else answers at the
// other one; what is busy there may be the issuer, though.
func TestWhatElseServesTheHost(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		good   bool
	}{
		"bad request":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }, true},
		"forbidden":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, true},
		"to a sign-in": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/sign-in", http.StatusFound) }, true},
		"a page": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<!doctype html><title>App</title>")
		}, true},
		"too busy": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, false},
		"broken":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, false},
		"another issuer's": {func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, map[string]any{"issuer": "https://other.example"})
		}, false},
	} {
		for _, scope := range []string{"openid", "photos"} {
			var first atomic.Bool
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if first.CompareAndSwap(false, true) {
					test.answer(w, r)
					return
				}
				writeJSON(w, http.StatusOK, map[string]any{"issuer": server.URL, "token_endpoint": server.URL + "/token"})
			}))
			if err := discover(t, server.URL, client.Config{Scope: scope}); test.good != (err == nil) {
				t.Errorf("%s, %s: %v", name, scope, err)
			}
			server.Close()
		}
	}
}

// Answers that never end, or not soon, or in the wrong place.
func TestHostileAnswers(t *testing.T) {
	spec.Covers(t, "SS-06", "SS-09", "SS-10")
	canary := newProvider(t)
	done := make(chan struct{})
	var finish atomic.Bool
	for name, hostile := range map[string]func(w http.ResponseWriter, r *http.Request){
		"500":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a page":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"nothing":  func(http.ResponseWriter, *http.Request) {},
		"a list":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") },
		"cut off":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"access_token":"a`) },
		"too deep": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat(`{"a":`, 1000)) },
		"members twice": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"issuer":"a","issuer":"b","access_token":"a","access_token":"b","token_type":"Bearer"}`)
		},
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"access_token":"a"`)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, canary.URL+r.URL.Path, http.StatusTemporaryRedirect)
		},
		"a redirect to itself": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for block := []byte(strings.Repeat(" ", 64<<10)); !finish.Load(); {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		},
		"a bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			for block := make([]byte, 64<<10); !finish.Load(); {
				if _, err := zip.Write(block); err != nil {
					return
				}
			}
		},
		"a header without end": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 1<<20)) },
		"a drip": func(w http.ResponseWriter, r *http.Request) {
			for {
				select {
				case <-done:
					return
				case <-r.Context().Done():
					return
				case <-time.After(50 * time.Millisecond):
					_, _ = io.WriteString(w, " ")
					_ = http.NewResponseController(w).Flush()
				}
			}
		},
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-done:
			case <-r.Context().Done():
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			patient := p.client(t, client.Config{RedirectURI: "http://127.0.0.1/callback"})
			address, tx, err := patient.Begin(t.Context(), client.AuthorizationRequest{})
			if err != nil {
				t.Fatal(err)
			}
			metadata, err := patient.Metadata(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c := p.client(t, client.Config{Metadata: &metadata, Timeout: 500 * time.Millisecond})
			form := answerTo(t, address)
			p.change(func(p *provider) {
				p.answer = func(w http.ResponseWriter, r *http.Request) bool { hostile(w, r); return true }
			})
			if err := discover(t, p.URL, client.Config{Timeout: 500 * time.Millisecond}); err == nil {
				t.Error("it passes as metadata")
			}
			login, err := c.Finish(t.Context(), tx, form)
			if err == nil {
				t.Errorf("it passes as tokens: %+v", login)
			}
			for _, secret := range []string{form.Get("code"), tx.Verifier, clientSecret} {
				if strings.Contains(fmt.Sprint(err), secret) {
					t.Errorf("the error holds a secret: %v", err)
				}
			}
		})
	}
	close(done)
	finish.Store(true)
	if n := canary.seen("/*"); n != 0 {
		t.Errorf("%d requests went where redirects pointed", n)
	}
}

func TestCertificatesOfOthers(t *testing.T) {
	spec.Covers(t, "SS-13")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"issuer": "https://" + r.Host, "token_endpoint": "https://" + r.Host + "/token"})
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	var away *client.UnavailableError
	if err := discover(t, server.URL, client.Config{}); !errors.As(err, &away) {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	if err := discover(t, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), client.Config{HTTPClient: server.Client()}); !errors.As(err, &away) {
		t.Errorf("a certificate for another name: %v", err)
	}
	if err := discover(t, server.URL, client.Config{HTTPClient: server.Client()}); err != nil {
		t.Error(err)
	}
}

// TestDefaultTransportsOfPrograms: without an HTTPClient, the program's default transport counts: with the
// certificates that it trusts, and also one that is none of net/http's.
func TestDefaultTransportsOfPrograms(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.Version < tls.VersionTLS12 {
			t.Error("an old TLS is spoken")
		}
		writeJSON(w, http.StatusOK, map[string]any{"issuer": "https://" + r.Host, "token_endpoint": "https://" + r.Host + "/token"})
	}))
	defer server.Close()
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	trusting := before.(*http.Transport).Clone()
	trusting.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trusting.TLSClientConfig.MinVersion = tls.VersionTLS10
	traced := 0
	for name, transport := range map[string]http.RoundTripper{
		"its own roots": trusting,
		"a tracer": roundTrip(func(r *http.Request) (*http.Response, error) {
			traced++
			return trusting.RoundTrip(r)
		}),
	} {
		http.DefaultTransport = transport
		if err := discover(t, server.URL, client.Config{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if traced != 1 {
		t.Errorf("%d requests were traced", traced)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// An issuer that a stranger named is reached through egress, and nothing inside is.
func TestIssuersThatStrangersName(t *testing.T) {
	spec.Covers(t, "SS-06")
	inside := newProvider(t)
	guard, err := egress.NewClient(egress.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, issuer := range []string{inside.URL, strings.Replace(inside.URL, "127.0.0.1", "localhost", 1), "https://169.254.169.254", "https://[::1]:1"} {
		if err := discover(t, issuer, client.Config{HTTPClient: guard.HTTP()}); err == nil {
			t.Errorf("%s is reached", issuer)
		}
	}
	if n := inside.seen("/*"); n != 0 {
		t.Errorf("%d requests went inside", n)
	}
	guard, err = egress.NewClient(egress.Config{Allow: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := discover(t, inside.URL, client.Config{HTTPClient: guard.HTTP()}); err != nil {
		t.Error(err)
	}
}

func TestEndpointsThatMove(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{})
	accepted(t, a)
	p.change(func(p *provider) {
		p.metadata["token_endpoint"] = p.URL + "/v2/token"
		p.answer = func(w http.ResponseWriter, r *http.Request) bool {
			switch r.URL.Path {
			case "/token":
				http.NotFound(w, r)
				return true
			case "/v2/token":
				r.URL.Path = "/token"
			}
			return false
		}
	})
	// Within the floor of a minute the old metadata stands.
	refusedLogin(t, a, http.StatusInternalServerError)
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		b := newBrowser(t)
		b.network = network
		b.signIn(a)
		time.Sleep(2 * time.Minute)
		p.change(func(p *provider) {
			p.metadata["token_endpoint"] = "http://localhost:3/token" // another host, even
			p.metadata["jwks_uri"] = "http://localhost:3/jwks"
			p.key = mustGenerate(p.key.Algorithm(), "key-2")
			p.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if gone := r.Host != "localhost:3" && (r.URL.Path == "/token" || r.URL.Path == "/jwks"); gone {
					w.WriteHeader(http.StatusGone)
					return true
				}
				return false
			}
		})
		network["localhost:3"] = p
		b = newBrowserAs(b)
		if answer := b.signIn(a); b.me(a) == "" {
			t.Errorf("%d %s", answer.StatusCode, answer.text)
		}
	})
}

func TestMetadataIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		c := p.client(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		fetches := func() int { return p.seen("/.well-known/openid-configuration") }
		read := func() string {
			t.Helper()
			m, err := c.Metadata(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return m.UserinfoEndpoint
		}
		for range 100 {
			read()
			time.Sleep(30 * time.Second)
		}
		if fetches() != 1 {
			t.Errorf("%d fetches within an hour", fetches())
		}
		p.change(func(p *provider) { p.metadata["userinfo_endpoint"] = p.URL + "/new" })
		time.Sleep(client.DefaultMetadataAge)
		read() // what is at hand, while the new is fetched
		if got := read(); got != p.URL+"/new" {
			t.Errorf("the endpoint is %s", got)
		}
		// What is known stays while the issuer is away, or not itself.
		p.change(func(p *provider) { p.metadata["issuer"] = "https://evil.example" })
		time.Sleep(24 * time.Hour)
		for range 10 {
			if got := read(); got != p.URL+"/new" {
				t.Errorf("the endpoint is %s", got)
			}
		}
		if fetches() != 3 {
			t.Errorf("%d fetches", fetches())
		}
	})
}

func TestLazyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		delete(network, "127.0.0.1:1")
		config := client.Config{ClientID: clientID, HTTPClient: &http.Client{Transport: network}}
		var away *client.UnavailableError
		if _, err := client.New(t.Context(), p.issuer, config); !errors.As(err, &away) {
			t.Errorf("an issuer that is away: %v", err)
		}
		config.Lazy = true
		c := p.client(t, config)
		if _, err := c.Metadata(t.Context()); !errors.As(err, &away) || away.RetryAfter > time.Second {
			t.Errorf("an issuer that is away: %v", err)
		}
		network["127.0.0.1:1"] = p
		if _, err := c.Metadata(t.Context()); !errors.As(err, &away) {
			t.Errorf("asked again within a second: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := c.Metadata(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func FuzzDiscovery(f *testing.F) {
	p, network := newDirectProvider(f)
	good, err := json.Marshal(p.metadata)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Add(`{"issuer":"` + p.issuer + `"}`)
	f.Add(`{"issuer":"` + p.issuer + `/"}`)
	f.Add(`{"Issuer":"x"}`)
	f.Add("")
	f.Fuzz(func(t *testing.T, document string) {
		network["127.0.0.1:1"] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, document) })
		config := client.Config{ClientID: clientID, HTTPClient: &http.Client{Transport: network}, Logger: slog.New(slog.DiscardHandler)}
		c, err := client.New(t.Context(), p.issuer, config)
		if err != nil {
			return
		}
		defer c.Close()
		m, err := c.Metadata(t.Context())
		if err != nil || m.Issuer != p.issuer {
			t.Fatalf("%q makes the issuer %q (%v)", document, m.Issuer, err)
		}
		for _, address := range []string{m.TokenEndpoint, m.AuthorizationEndpoint, m.JWKSURI} {
			if address != "" && !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://127.") && !strings.HasPrefix(address, "http://localhost") && !strings.HasPrefix(address, "http://[::1]") {
				t.Fatalf("%q makes an endpoint at %q", document, address)
			}
		}
	})
}

package resource_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/resource"
)

// TestSeveralIssuers keeps each issuer to its own keys.
func TestSeveralIssuers(t *testing.T) {
	spec.Covers(t, "FA-07", "RFC8725-3.8-1", "RFC9068-4-2")
	synctest.Test(t, func(t *testing.T) {
		other := mustGenerate("es-1") // by the same name as the other issuer's
		one, two := newAS(), newAS()
		two.keys = []jose.PublicKey{other.Public()}
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "as2.test" {
				return two.RoundTrip(r)
			}
			return one.RoundTrip(r)
		})
		rs := one.server(t, func(c *resource.Config) {
			c.Issuer, c.ClientID, c.ClientSecret = "", "", ""
			c.Issuers = []resource.Issuer{
				{Identifier: asURL, ClientID: asClient, ClientSecret: asSecret, Opaque: true, Feed: true},
				{Identifier: "https://as2.test"},
			}
			c.HTTPClient = &http.Client{Transport: transport}
		})
		synctest.Wait()
		of := func(issuer string, key *jose.PrivateKey) string {
			return claims{
				"iss": issuer, "sub": "alice", "aud": audience, "client_id": "web", "jti": issuer,
				"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
			}.signed(t, key, "at+jwt")
		}
		users := map[resource.User]bool{}
		for issuer, key := range map[string]*jose.PrivateKey{asURL: issuerKey(), "https://as2.test": other} {
			for range 2 {
				wants(t, ask(rs, of(issuer, key), nothing), http.StatusOK, "")
			}
			access, err := rs.Check(t.Context(), of(issuer, key), nothing)
			if err != nil {
				t.Fatal(err)
			}
			user, is := access.User()
			if !is || user.Issuer != issuer || user.Subject != "alice" || users[user] || user.String() != issuer+"#alice" {
				t.Errorf("%+v %v", user, is)
			}
			users[user] = true
		}
		for name, raw := range map[string]string{
			"the other's key":     of(asURL, other),
			"and the other way":   of("https://as2.test", issuerKey()),
			"an unknown issuer":   of("https://as3.test", issuerKey()),
			"with a slash":        of(asURL+"/", issuerKey()),
			"no issuer":           claims{"sub": "x"}.signed(t, issuerKey(), "at+jwt"),
			"issuer of the wrong": claims{"iss": []string{asURL}}.signed(t, issuerKey(), "at+jwt"),
			"not a token":         "a.b.c",
		} {
			w := ask(rs, raw, nothing)
			if wants(t, w, http.StatusUnauthorized, "resource-token-invalid"); w.Code != 401 {
				t.Errorf("%s: %d", name, w.Code)
			}
		}
		// An opaque token is shown to the one issuer that may have made it.
		wants(t, ask(rs, one.opaque("gha_one", ""), nothing), http.StatusOK, "")
		if one.asked.Load() != 1 || two.asked.Load() != 0 || two.feeds.Load() != 0 || one.feeds.Load() != 1 {
			t.Errorf("asked %d and %d times, feeds %d and %d", one.asked.Load(), two.asked.Load(), one.feeds.Load(), two.feeds.Load())
		}
	})
}

// TestMovedEndpoints has an issuer that comes to have other addresses, and answers at the old ones no
// more, or still.
// TestWhereEndpointsMayBe has issuers name their keys at addresses that some issuers do have, and at
// some that none may.
func TestWhereEndpointsMayBe(t *testing.T) {
	for address, want := range map[string]int{
		asURL + "/jwks?p=b2c_1_sign_in":    http.StatusOK, // RFC 6749 §3.1: a query is an endpoint's own
		"https://keys.as.test/jwks":        http.StatusOK,
		"http://as.test/jwks":              http.StatusServiceUnavailable,
		"http://127.0.0.1/jwks":            http.StatusServiceUnavailable, // of this machine, not of the issuer's
		"http://localhost:8080/jwks":       http.StatusServiceUnavailable,
		"https://user:pass@as.test/jwks":   http.StatusServiceUnavailable,
		"https://as.test/jwks#":            http.StatusServiceUnavailable,
		"https://as.test/jwks#?p=fragment": http.StatusServiceUnavailable,
		"file:///etc/passwd":               http.StatusServiceUnavailable,
		"/jwks":                            http.StatusServiceUnavailable,
	} {
		t.Run(address, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAS()
				fetched := ""
				transport := roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/.well-known/oauth-authorization-server" {
						w := httptest.NewRecorder()
						fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, asURL, address)
						return w.Result(), nil
					}
					fetched = r.URL.String()
					return a.RoundTrip(r)
				})
				rs := a.server(t, func(c *resource.Config) { c.HTTPClient = &http.Client{Transport: transport} })
				wants(t, ask(rs, a.jwt(t, nil), nothing), want, "")
				if want == http.StatusOK && fetched != address || want != http.StatusOK && fetched != "" {
					t.Errorf("fetched %q", fetched)
				}
			})
		})
	}
}

func TestMovedEndpoints(t *testing.T) {
	for _, gone := range []bool{true, false} {
		t.Run(fmt.Sprint("gone: ", gone), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAS()
				place, moved := "", false
				transport := roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/.well-known/oauth-authorization-server" {
						w := httptest.NewRecorder()
						fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%[1]s%[2]s/jwks","introspection_endpoint":"%[1]s%[2]s/introspect","revocation_feed_endpoint":"%[1]s%[2]s/revocations"}`, asURL, place)
						return w.Result(), nil
					}
					path, there := strings.CutPrefix(r.URL.Path, place)
					if !there && gone || !there && moved && r.URL.Path == "/introspect" {
						w := httptest.NewRecorder()
						w.WriteHeader(http.StatusGone)
						return w.Result(), nil
					}
					clone := r.Clone(r.Context())
					clone.URL.Path = path
					if !there {
						clone.URL.Path = r.URL.Path
					}
					return a.RoundTrip(clone)
				})
				rs := a.server(t, func(c *resource.Config) {
					c.Opaque, c.Feed, c.HTTPClient = true, true, &http.Client{Transport: transport}
				})
				synctest.Wait()
				wants(t, ask(rs, a.jwt(t, nil), nothing), http.StatusOK, "")
				wants(t, ask(rs, a.opaque("gha_one", ""), nothing), http.StatusOK, "")
				place, moved = "/v2", true
				for range 40 {
					time.Sleep(2 * time.Minute)
					ask(rs, a.jwt(t, nil), nothing)
					ask(rs, a.opaque("gha_one", ""), nothing)
				}
				wants(t, ask(rs, a.jwt(t, nil), nothing), http.StatusOK, "")
				wants(t, ask(rs, a.opaque("gha_two", ""), nothing), http.StatusOK, "")
				if status := rs.Feeds()[asURL]; !status.Connected {
					t.Errorf("%+v", status)
				}
			})
		})
	}
}

// TestMetadataIsAskedForRarely has an issuer whose metadata lacks what is needed, or fails.
func TestMetadataIsAskedForRarely(t *testing.T) {
	spec.Covers(t, "JW-17")
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		transport := roundTrip(func(*http.Request) (*http.Response, error) {
			fetches++
			w := httptest.NewRecorder()
			_, _ = w.WriteString(`{"issuer":"` + asURL + `","jwks_uri":"http://inside.test/jwks"}`)
			return w.Result(), nil
		})
		a := newAS()
		rs := a.server(t, func(c *resource.Config) {
			c.Opaque, c.Feed, c.HTTPClient = true, true, &http.Client{Transport: transport}
		})
		for i := range 600 {
			wants(t, ask(rs, a.jwt(t, claims{"jti": fmt.Sprint(i)}), nothing), http.StatusServiceUnavailable, "resource-keys-unavailable")
			wants(t, ask(rs, fmt.Sprint("gha_", i), nothing), http.StatusServiceUnavailable, "resource-introspection-unavailable")
			time.Sleep(time.Second)
		}
		if fetches > 12 {
			t.Errorf("%d fetches in ten minutes", fetches)
		}
	})
}

// TestCertificates speaks to no issuer that cannot prove its name.
func TestCertificates(t *testing.T) {
	spec.Covers(t, "SS-13")
	i := &issuer{}
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	i.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	i.StartTLS()
	t.Cleanup(i.Close)
	i.metadata = map[string]string{"/.well-known/oauth-authorization-server": `{"issuer":"` + i.URL + `","jwks_uri":"` + i.URL + `/jwks"}`}
	raw := i.token(t, nil)
	get := func(client *http.Client) int {
		rs := i.server(t, resource.Config{HTTPClient: client})
		return ask(rs, raw, nothing).Code
	}
	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate())
	if status := get(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}); status != http.StatusOK {
		t.Errorf("with the right roots: %d", status)
	}
	if status := get(nil); status != http.StatusServiceUnavailable {
		t.Errorf("a certificate that nobody vouches for: %d", status)
	}
	if status := get(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "as.test"}}}); status != http.StatusServiceUnavailable {
		t.Errorf("a certificate of another name: %d", status)
	}
}

// TestAnIssuerThatNeverEnds has answers that are slow, endless, compressed, or redirected.
func TestAnIssuerThatNeverEnds(t *testing.T) {
	spec.Covers(t, "SS-09", "SS-06")
	for name, answer := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"a drip": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		},
		"endless headers": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
			for {
				if _, err := conn.Write([]byte("X: " + strings.Repeat("x", 1000) + "\r\n")); err != nil {
					return
				}
			}
		},
		"redirected": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/jwks", http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			slow := httptest.NewServer(answer)
			t.Cleanup(slow.Close)
			rs, err := resource.New(t.Context(), resource.Config{Issuer: i.URL, Audience: audience, JWKSURI: slow.URL, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if w := ask(rs, i.token(t, nil), nothing); w.Code != http.StatusServiceUnavailable {
				t.Errorf("answer %d", w.Code)
			}
			if took := time.Since(began); took > 20*time.Second { // five are its bound; machines that test are busy
				t.Errorf("it took %v", took)
			}
			wants(t, ask(i.server(t, resource.Config{}), i.token(t, nil), nothing), http.StatusOK, "")
		})
	}
}

package server

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse"
	"gatehouse/internal/crowd"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

// forerunners fill what has a fixed size, such as the ring of refusals.
const forerunners = keptRefusals + 200

// TestNothingIsKeptOfACrowd: whatever a stranger can choose, a million of them
// leave no more behind than a few.
func TestNothingIsKeptOfACrowd(t *testing.T) {
	spec.Covers(t, "DS-04")
	config := Config{PublicURL: "http://127.0.0.1:8080", Data: dataDirectory(t), Metrics: Metrics{Listen: "127.0.0.1:1"}, Log: Log{Access: true}}
	s := open(t, config, slog.New(slog.DiscardHandler))
	handler := s.Handler()
	ask := func(method, target string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
		r.Host = "127.0.0.1:8080"
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if change != nil {
			change(r)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	authorization := func(pairs ...string) string {
		query := url.Values{
			"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {"https://app.example/cb"}, "scope": {"openid"},
			"code_challenge": {oauth.ChallengeS256("a-code-verifier-of-at-least-forty-three-characters")}, "code_challenge_method": {"S256"},
		}
		for i := 0; i < len(pairs); i += 2 {
			query.Set(pairs[i], pairs[i+1])
		}
		return "/authorize?" + query.Encode()
	}
	web := func(r *http.Request) { r.SetBasicAuth("web", webSecret) }
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	segment := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	// The failures of one address would soon be refused unseen.
	settings := gatehouse.Settings{RateLimits: gatehouse.RateLimits{TokenPerClient: -1, IntrospectionPerClient: -1, FailuresPerAddress: -1}}
	if err := s.store.PutSettings(t.Context(), gatehouse.DefaultTenant, settings, gatehouse.Event{}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []struct {
		name string
		send func(n int) *httptest.ResponseRecorder
		want int
	}{
		{"client ids", func(n int) *httptest.ResponseRecorder {
			return ask("POST", "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {crowd.Long(n)}, "client_secret": {"x"}}, nil)
		}, 401},
		{"client secrets", func(n int) *httptest.ResponseRecorder {
			return ask("POST", "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"web"}, "client_secret": {crowd.Long(n)}}, nil)
		}, 401},
		{"codes", func(n int) *httptest.ResponseRecorder {
			return ask("POST", "/token", url.Values{"grant_type": {"authorization_code"}, "code": {"ghc_" + segment(crowd.Long(n))[:123]}}, web)
		}, 400},
		{"grant types", func(n int) *httptest.ResponseRecorder {
			return ask("POST", "/token", url.Values{"grant_type": {crowd.Long(n)}}, web)
		}, 400},
		{"tokens to revoke", func(n int) *httptest.ResponseRecorder {
			return ask("POST", "/revoke", url.Values{"token": {"ghr_" + segment(crowd.Long(n))}}, web)
		}, 200},
		{"kids of bearer tokens", func(n int) *httptest.ResponseRecorder {
			head := segment(`{"typ":"at+jwt","alg":"ES256","kid":"` + crowd.Long(n) + `"}`)
			return ask("GET", "/userinfo", nil, bearer(head+"."+segment(`{"iss":"http://127.0.0.1:8080","jti":"`+crowd.Long(n)+`"}`)+"."+strings.Repeat("A", 86)))
		}, 401},
		{"opaque tokens", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/userinfo", nil, bearer("gha_"+segment(crowd.Long(n))))
		}, 401},
		{"clients of requests", func(n int) *httptest.ResponseRecorder {
			return ask("GET", authorization("client_id", crowd.Long(n)), nil, nil)
		}, 400},
		{"redirect URIs", func(n int) *httptest.ResponseRecorder {
			return ask("GET", authorization("redirect_uri", "https://app.example/"+crowd.Long(n)), nil, nil)
		}, 400},
		{"requests that nobody finishes", func(n int) *httptest.ResponseRecorder {
			return ask("GET", authorization("state", crowd.Long(n)), nil, nil)
		}, 303},
		{"interactions", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/login?i="+segment(crowd.Long(n)), nil, nil)
		}, 400},
		{"cookies", func(n int) *httptest.ResponseRecorder {
			return ask("GET", authorization(), nil, func(r *http.Request) {
				for _, kind := range []string{"session", "browser"} { // of the right length, so that it is looked for
					r.AddCookie(&http.Cookie{Name: "gh-" + kind + "-default-8080", Value: fmt.Sprintf("%043d", n)})
				}
				r.AddCookie(&http.Cookie{Name: "gh-session-" + crowd.Name(n) + "-8080", Value: "x"})
			})
		}, 303},
		{"hosts", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/jwks", nil, func(r *http.Request) { r.Host = crowd.Name(n) + ".example" })
		}, 200},
		{"tenants", func(n int) *httptest.ResponseRecorder { return ask("GET", "/t/"+crowd.Name(n)+"/jwks", nil, nil) }, 404},
		{"tenants' metadata", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/.well-known/oauth-authorization-server/t/"+crowd.Name(n), nil, nil)
		}, 404},
		{"paths", func(n int) *httptest.ResponseRecorder { return ask("GET", "/"+crowd.Long(n), nil, nil) }, 404},
		{"methods", func(n int) *httptest.ResponseRecorder {
			return ask("X"+strings.ReplaceAll(crowd.Name(n), "-", ""), "/token", nil, nil)
		}, 405},
		{"origins", func(n int) *httptest.ResponseRecorder {
			return ask("POST", "/token", url.Values{"client_id": {"nobody"}}, func(r *http.Request) {
				r.Header.Set("Origin", "https://"+crowd.Long(n)+".example")
			})
		}, 401},
		{"addresses", func(n int) *httptest.ResponseRecorder {
			return ask("POST", "/token", url.Values{"client_id": {"web"}, "client_secret": {"x"}}, func(r *http.Request) {
				address := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(n >> 16), byte(n >> 8), byte(n)})
				r.RemoteAddr = "[" + address.String() + "]:1"
			})
		}, 401},
		{"headers and agents", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/livez", nil, func(r *http.Request) {
				r.Header.Set("User-Agent", crowd.Long(n))
				r.Header.Set("X-Request-Id", crowd.Long(n))
				r.Header.Set("Traceparent", "00-"+fmt.Sprintf("%032x-%016x", n+1, n+1)+"-01")
				r.Header.Set(crowd.Name(n), crowd.Long(n))
			})
		}, 200},
	} {
		t.Run(kind.name, func(t *testing.T) {
			var unlike atomic.Pointer[httptest.ResponseRecorder]
			grown := crowd.Grows(forerunners, func(n int) {
				if got := kind.send(n); got.Code != kind.want {
					unlike.CompareAndSwap(nil, got)
				}
			})
			if got := unlike.Load(); got != nil {
				t.Errorf("%d, want %d: %s", got.Code, kind.want, got.Body)
			}
			if grown > crowd.Keeps {
				t.Errorf("%d strangers left %d bytes behind", crowd.Size(), grown)
			}
		})
	}
	runtime.KeepAlive(s)
}

// farAway is a connection of which only the address matters.
type farAway struct {
	net.Conn
	address net.Addr
}

func (f *farAway) RemoteAddr() net.Addr { return f.address }
func (f *farAway) Close() error         { return nil }

// TestNothingIsKeptOfACrowdOfConnections: each comes from a network of its own. Some
// are closed by their callers, the others by us.
func TestNothingIsKeptOfACrowdOfConnections(t *testing.T) {
	spec.Covers(t, "DS-04")
	const limit = 50
	c := newConnections(limit)
	var closed atomic.Int64
	grown := crowd.Grows(forerunners, func(n int) {
		address := net.IP{0x20, 0x01, 0x0d, 0xb8, byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, 0, 0, 0, 0, 0, 1}
		conn := &farAway{address: &net.TCPAddr{IP: address, Port: 1 + n%60_000}}
		if surplus := c.note(conn, http.StateNew); surplus != nil {
			closed.Add(1)
		}
		if n%2 == 0 {
			c.note(conn, http.StateActive)
			c.note(conn, http.StateClosed)
		}
	})
	if grown > crowd.Keeps {
		t.Errorf("%d strangers left %d bytes behind", crowd.Size(), grown)
	}
	if len(c.open) > limit || len(c.networks) > limit || closed.Load() == 0 {
		t.Errorf("%d connections of %d networks are open, and %d were closed", len(c.open), len(c.networks), closed.Load())
	}
}

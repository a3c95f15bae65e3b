package bff_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/bff"
	"gatehouse/internal/crowd"
	"gatehouse/internal/spec"
)

// TestNothingIsKeptOfACrowd: whatever a stranger sends, a million of them leave no
// more behind than a few.
func TestNothingIsKeptOfACrowd(t *testing.T) {
	spec.Covers(t, "DS-04")
	s := newStage(t, nil, func(c *bff.Config) {
		c.Logger = slog.New(slog.DiscardHandler)
		c.Issuers[0].Client.Logger = c.Logger
	})
	b := s.browser()
	b.signIn()
	cookies := b.names()
	ask := func(method, target string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
		r.Host = "app.example"
		for name, values := range ours {
			r.Header[name] = values
		}
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if change != nil {
			change(r)
		}
		w := httptest.NewRecorder()
		s.bffs[0].ServeHTTP(w, r)
		return w
	}
	withCookies := func(value string) func(*http.Request) {
		return func(r *http.Request) {
			for _, name := range cookies {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			r.AddCookie(&http.Cookie{Name: cookies[0] + "-" + value[:10], Value: value})
		}
	}
	for _, kind := range []struct {
		name string
		send func(n int) *httptest.ResponseRecorder
		want int
	}{
		{"session cookies", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/api/photos", nil, withCookies(crowd.Long(n)))
		}, http.StatusUnauthorized},
		{"people", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/bff/user", nil, withCookies(crowd.Name(n)))
		}, http.StatusUnauthorized},
		{"logins that nobody finishes", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/bff/login?return_to="+url.QueryEscape("/"+crowd.Long(n)), nil, nil)
		}, http.StatusSeeOther},
		{"answers to nothing", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/bff/callback?code=x&iss="+url.QueryEscape(s.issuer.URL)+"&state="+crowd.Long(n), nil, withCookies(crowd.Long(n)))
		}, http.StatusBadRequest},
		{"logout tokens", func(n int) *httptest.ResponseRecorder {
			return ask("POST", "/bff/backchannel-logout", url.Values{"logout_token": {"e30.e30." + crowd.Long(n)}}, nil)
		}, http.StatusBadRequest},
		{"paths", func(n int) *httptest.ResponseRecorder { return ask("GET", "/api/"+crowd.Long(n), nil, nil) }, http.StatusNotFound},
		{"methods", func(n int) *httptest.ResponseRecorder {
			return ask("X"+strings.ReplaceAll(crowd.Name(n), "-", ""), "/bff/login", nil, nil)
		}, http.StatusMethodNotAllowed},
		{"hosts", func(n int) *httptest.ResponseRecorder {
			return ask("GET", "/bff/user", nil, func(r *http.Request) { r.Host = crowd.Name(n) + ".example" })
		}, http.StatusUnauthorized},
	} {
		t.Run(kind.name, func(t *testing.T) {
			var unlike atomic.Pointer[httptest.ResponseRecorder]
			grown := crowd.Grows(500, func(n int) {
				if w := kind.send(n); w.Code != kind.want {
					unlike.CompareAndSwap(nil, w)
				}
			})
			if w := unlike.Load(); w != nil {
				text, _ := io.ReadAll(w.Body)
				t.Errorf("%d %v, want %d: %s", w.Code, w.Header(), kind.want, text)
			}
			if grown > crowd.Keeps {
				t.Errorf("%d strangers left %d bytes behind", crowd.Size(), grown)
			}
			if !b.signedIn() {
				t.Error("who is signed in has been signed out")
			}
		})
	}
	runtime.KeepAlive(s)
}

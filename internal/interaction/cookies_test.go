package interaction

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"gatehouse"
	"gatehouse/internal/endpoint"
)

func TestABrowserKeepsCookiesOfTenTenants(t *testing.T) {
	for _, c := range []Cookies{{Secure: true}, {Suffix: "-8080"}} {
		name := func(tenant string) string { return c.start(sessionCookie) + tenant + c.Suffix }
		dropped := func(tenant string, count int) (gone []string) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.AddCookie(&http.Cookie{Name: "theirs", Value: "x"})
			r.AddCookie(&http.Cookie{Name: c.start(bindingCookie) + "t0" + c.Suffix, Value: "x"})
			r.AddCookie(&http.Cookie{Name: sessionCookie + "t0-8081", Value: "x"}) // of an issuer on another port
			for i := range count {
				r.AddCookie(&http.Cookie{Name: name(fmt.Sprint("t", i)), Value: "x"})
			}
			w := httptest.NewRecorder()
			c.SetSession(w, &endpoint.Request{Request: r, Tenant: gatehouse.Tenant{ID: gatehouse.TenantID(tenant)}}, "value")
			for _, cookie := range w.Result().Cookies() {
				if cookie.MaxAge < 0 {
					gone = append(gone, cookie.Name)
				} else if cookie.Name != name(tenant) {
					t.Errorf("%s is set", cookie.Name)
				}
			}
			return gone
		}
		for _, s := range []struct {
			tenant string
			has    int
			gone   []string
		}{
			{"new", 0, nil}, {"new", 9, nil}, {"new", 10, []string{name("t0")}}, {"new", 12, []string{name("t0"), name("t1"), name("t2")}},
			{"t0", 10, nil}, {"t1", 11, []string{name("t0")}},
		} {
			if gone := dropped(s.tenant, s.has); !slices.Equal(gone, s.gone) {
				t.Errorf("%s at a browser with %d: %v go, not %v", s.tenant, s.has, gone, s.gone)
			}
		}
	}
}

package dev

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"gatehouse/resource"
	"gatehouse/token"
)

// actedBy is a guard that gives each request a token with an act claim, "" for none.
func actedBy(actor string) guard {
	return func(...string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				claims := token.Claims{Subject: "demo-alice", Raw: map[string]json.RawMessage{"sub": json.RawMessage(`"demo-alice"`)}}
				if actor != "" {
					claims.Raw[claimAct] = json.RawMessage(`{"sub":"` + actor + `"}`)
				}
				next.ServeHTTP(w, r.WithContext(resource.WithAccess(r.Context(), resource.Access{Claims: claims})))
			})
		}
	}
}

func certifiedAs(name string) *tls.ConnectionState {
	return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: name}}}}}
}

// TestTheTokenAndTheCertificateAreOfOne service.
func TestTheTokenAndTheCertificateAreOfOne(t *testing.T) {
	for name, test := range map[string]struct {
		actor  string
		state  *tls.ConnectionState
		status int
	}{
		"PhotoAPI's own":             {"photoapi", certifiedAs("photoapi"), http.StatusOK},
		"another's certificate":      {"photoapi", certifiedAs("machine"), http.StatusForbidden},
		"another's token":            {"machine", certifiedAs("photoapi"), http.StatusForbidden},
		"no actor":                   {"", certifiedAs("photoapi"), http.StatusForbidden},
		"no certificate":             {"photoapi", nil, http.StatusForbidden},
		"a certificate not verified": {"photoapi", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "photoapi"}}}}, http.StatusForbidden},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/thumbnail?hue=200", nil)
		r.TLS = test.state
		newThumbnailsAPI(actedBy(test.actor)).ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestThumbnailsHaveAHue(t *testing.T) {
	api := newThumbnailsAPI(actedBy("photoapi"))
	for hue, status := range map[string]int{"0": 200, "359": 200, "360": 400, "-1": 400, "": 400, "blue": 400, "1%22/%3E": 400} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/thumbnail?hue="+hue, nil)
		r.TLS = certifiedAs("photoapi")
		if api.ServeHTTP(w, r); w.Code != status {
			t.Errorf("hue %q: %d %s", hue, w.Code, w.Body)
		}
	}
}

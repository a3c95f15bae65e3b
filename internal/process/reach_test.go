package process_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"gatehouse/internal/process"
)

// Who does not listen, or cannot say who it is, is not reached.
func TestReach(t *testing.T) {
	asked := false
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true })
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	gone := httptest.NewServer(handler)
	gone.Close()
	trusting := secure.Client().Transport.(*http.Transport).TLSClientConfig
	for about, test := range map[string]struct {
		address string
		config  *tls.Config
		reached bool
	}{
		"http": {plain.URL + "/v1", nil, true}, "https": {secure.URL, trusting, true}, "an authority that nobody knows": {secure.URL, &tls.Config{MinVersion: tls.VersionTLS12}, false},
		"nobody there": {gone.URL, nil, false}, "https, and it speaks http": {"https" + plain.URL[len("http"):], trusting, false}, "no address": {"http://[", nil, false},
	} {
		if err := process.Reach(t.Context(), test.address, test.config); (err == nil) != test.reached {
			t.Errorf("%s: %v", about, err)
		}
	}
	if asked {
		t.Error("something was asked")
	}
	if process.Count(1, "route") != "1 route" || process.Count(0, "route") != "0 routes" {
		t.Error("how many?")
	}
}

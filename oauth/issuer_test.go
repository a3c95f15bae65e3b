package oauth

import (
	"net/http"
	"testing"
)

func TestIssuerOrigins(t *testing.T) {
	for _, good := range []string{"https://id.example", "https://id.example:8443", "http://127.0.0.1:8080", "http://[::1]:8080", "https://xn--bcher-kva.example"} {
		if err := CheckIssuerOrigin(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "id.example", "ftp://id.example", "https://", "https://id.example/", "https://id.example/t/blue", "https://ID.example",
		"HTTPS://id.example", "https://id.example?x", "https://id.example#x", "https://u@id.example", "https://b\u00fccher.example",
		"https://id.example:", "https://id.example:0443", "https://id.example:443", "http://id.example:80", "https://id.example:99999", "https://id.example\x00",
		"https://id.example.", "https://id..example", "https://id!.example", "https://-id.example", "https://[0:0:0:0:0:0:0:1]:8443",
	} {
		if CheckIssuerOrigin(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestMetadataURLs(t *testing.T) {
	for issuer, want := range map[string][2]string{
		"https://as.test":        {"https://as.test/.well-known/oauth-authorization-server", "https://as.test/.well-known/openid-configuration"},
		"https://as.test/":       {"https://as.test/.well-known/oauth-authorization-server", "https://as.test/.well-known/openid-configuration"},
		"https://as.test:8443/t": {"https://as.test:8443/.well-known/oauth-authorization-server/t", "https://as.test:8443/t/.well-known/openid-configuration"},
		"https://as.test/t/a%20b/": {
			"https://as.test/.well-known/oauth-authorization-server/t/a%20b", "https://as.test/t/a%20b/.well-known/openid-configuration",
		},
	} {
		server, provider, err := MetadataURLs(issuer)
		if got := [2]string{server, provider}; err != nil || got != want {
			t.Errorf("%s: %v, %v", issuer, got, err)
		}
	}
	for _, issuer := range []string{"", "as.test", "/t", "https:", "https://a b"} {
		if _, _, err := MetadataURLs(issuer); err == nil {
			t.Errorf("%q has metadata", issuer)
		}
	}
}

func TestNothingPublished(t *testing.T) {
	for status, want := range map[int]bool{
		301: true, 302: true, 307: true, 400: true, 401: true, 403: true, 404: true, 405: true, 410: true,
		200: false, 201: false, 408: false, 425: false, 429: false, 500: false, 502: false, 503: false,
	} {
		if got := NothingPublished(status, http.Header{}); got != want {
			t.Errorf("%d: %v", status, got)
		}
	}
	for mediaType, want := range map[string]bool{"text/html; charset=utf-8": true, "TEXT/HTML": true, "application/json": false, "text/plain": false, "": false, ";": false} {
		if got := NothingPublished(http.StatusOK, http.Header{"Content-Type": {mediaType}}); got != want {
			t.Errorf("%q: %v", mediaType, got)
		}
	}
}

package proxy_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/proxy"
	"gatehouse/internal/spec"
)

func isOurs(name string) bool { return strings.HasPrefix(strings.ToLower(name), "__host-http-session") }

func newFilter(t testing.TB, further ...string) *proxy.Filter {
	t.Helper()
	f, err := proxy.NewFilter(isOurs, further...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestIdentityHeadersAreStripped(t *testing.T) {
	spec.Covers(t, "PX-02", "PX-12", "PX-17")
	bad := []string{
		"Authorization", "X_authorization", "Dpop", "Forwarded", "X-Forwarded-For", "X_forwarded_user", "X-Forwarded_user", "X.Forwarded.User", "X-FORWARDED-EMAIL",
		"X-Real-Ip", "Remote-User", "Remote_user", "X-Remote-User", "X-Auth-Request-Email", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override",
		"X-Ssl-Client-Cert", "Ssl-Client-Cert", "X-Forwarded-Client-Cert", "Client-Cert", "Client-Cert-Chain", "X-Client-Cert", "X-Arr-Clientcert",
		"X-Tenant-User", "X_tenant_user", "Cookie_", "COOKIE", "X-Goog-Iap-Jwt-Assertion", "Proxy-Authorization",
		"Proxy", "X-Middleware-Subrequest", "L5d-Dst-Override", "Oidc_claim_sub", "Shib-Identity-Provider", "Impersonate-User", "X-Role", "X-Serverless-Authorization", "X-Principal-Name",
	}
	good := []string{"Accept", "Content-Type", "X-Csrf", "If-None-Match", "Accept-Language", "Traceparent", "X-Tenant", "X-Request-Id", "Api-Version"}
	h := http.Header{"Cookie": {"a=1; __Host-Http-session=secret; b=2", "__host-http-session-tx-1=x", `c="x; __Host-Http-session=secret; y"`, "=__Host-Http-session=secret; bare; d=4"}}
	for _, name := range append(bad, good...) {
		h[name] = []string{"x"}
	}
	newFilter(t, "X-Tenant-*").Request(h)
	delete(h, "Cookie_") // another name than cookie, and no business of ours
	if kept := slices.Sorted(maps.Keys(h)); !slices.Equal(kept, slices.Sorted(slices.Values(append(good, "Cookie")))) {
		t.Errorf("kept %q", kept)
	}
	if want := []string{"a=1; b=2", `c="x`, "d=4"}; !slices.Equal(h["Cookie"], want) {
		t.Errorf("cookies %q, want %q", h["Cookie"], want)
	}
	only := http.Header{"Cookie": {"__Host-Http-session=secret"}}
	newFilter(t).Request(only)
	if len(only) != 0 {
		t.Errorf("left %v", only)
	}
	for _, name := range []string{"", "*", "Cookie", "host", "X y", "X:y", "Ä"} {
		if _, err := proxy.NewFilter(isOurs, name); err == nil {
			t.Errorf("%q is taken for an identity header", name)
		}
	}
}

func TestAnswersSpeakForTheirServerAlone(t *testing.T) {
	h := http.Header{
		"Set-Cookie":                       {"theme=dark; Path=/", "__Host-Http-session=evil; Path=/", " __host-http-SESSION-tx-1=evil", "=__Host-Http-session=evil", "bare", "x=__Host-Http-session"},
		"Access-Control-Allow-Origin":      {"https://evil.example"},
		"Access-Control-Allow-Credentials": {"true"}, "Clear-Site-Data": {`"cookies"`}, "Strict-Transport-Security": {"max-age=0"}, "X-Accel-Redirect": {"/etc"},
		"Content-Type": {"text/plain"}, "Etag": {`"1"`},
	}
	newFilter(t).Response(h)
	if want := []string{"theme=dark; Path=/", "x=__Host-Http-session"}; !slices.Equal(h["Set-Cookie"], want) {
		t.Errorf("cookies %q", h["Set-Cookie"])
	}
	if len(h) != 3 {
		t.Errorf("left %v", h)
	}
}

// However headers are spelled, no server finds an identity or a cookie of ours in
// what is left.
func FuzzRequestHeaders(f *testing.F) {
	f.Add("X_Forwarded-User", "a=1; __Host-Http-session=s; b")
	f.Add("x.auth.request.user", "__HOST-HTTP-SESSION=s")
	f.Add("Cookie", "=__Host-Http-session=s;;; =")
	filter := newFilter(f)
	f.Fuzz(func(t *testing.T, name, cookie string) {
		h := http.Header{name: {"value"}, "Cookie": {cookie}}
		filter.Request(h)
		for left := range h {
			if filter.Identifies(left) || filter.Identifies(strings.ReplaceAll(left, "_", "-")) || strings.EqualFold(left, "cookie") && left != "Cookie" {
				t.Errorf("%q is left", left)
			}
		}
		parsed := (&http.Request{Header: h}).Cookies()
		for _, one := range parsed {
			if isOurs(one.Name) {
				t.Errorf("%q leaves %q", cookie, h["Cookie"])
			}
		}
		again := h.Clone()
		filter.Request(again)
		if !slices.Equal(again["Cookie"], h["Cookie"]) {
			t.Errorf("twice it is %q, once %q", again["Cookie"], h["Cookie"])
		}
		back := http.Header{"Set-Cookie": {cookie}}
		filter.Response(back)
		for _, one := range (&http.Response{Header: back}).Cookies() {
			if isOurs(one.Name) {
				t.Errorf("%q sets %q", cookie, back["Set-Cookie"])
			}
		}
	})
}

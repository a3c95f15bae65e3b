package bff_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/internal/spec"
)

// A sign-in that came to nothing is told on a page that leads back to the application, and
// has nothing of what the address said in it.
func TestSignInsThatComeToNothing(t *testing.T) {
	spec.Covers(t, "XS-01")
	s := newStage(t, nil, nil)
	isPage := func(about string, p page, status int, says string) {
		t.Helper()
		if p.StatusCode != status || p.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(p.text, says) || !strings.Contains(p.text, `<a id="bff-home" href="/">`) {
			t.Errorf("%s: %v", about, p)
		}
		policy := p.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'; style-src 'sha256-") || !strings.Contains(policy, "frame-ancestors 'none'") || p.Header.Get("Cache-Control") != "no-store" || strings.Contains(p.text, "evil") {
			t.Errorf("%s: %v", about, p)
		}
	}
	b := s.browser()
	isPage("a login of nobody's", b.do("GET", "/bff/callback?state=evil&code=<script>evil", nil, nil), http.StatusBadRequest, "Please begin a new one.")
	// Called off at the issuer.
	begun := b.do("GET", "/bff/login", http.Header{"Sec-Fetch-Dest": {"document"}}, nil)
	at, err := url.Parse(begun.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	refused := "/bff/callback?" + url.Values{"error": {"access_denied"}, "error_description": {"<b>evil</b>"}, "state": {at.Query().Get("state")}, "iss": {s.issuer.URL}}.Encode()
	isPage("called off", b.do("GET", refused, nil, nil), http.StatusForbidden, "was not completed")
	if len(b.jar) != 0 {
		t.Errorf("cookies are left: %v", b.names())
	}
	// The issuer is away.
	path := b.callback("/bff/login")
	s.line.set(func() { s.line.cut["/token"] = true })
	away := b.do("GET", path, nil, nil)
	isPage("away", away, http.StatusServiceUnavailable, "try again in a little while")
	if away.Header.Get("Retry-After") == "" {
		t.Errorf("%v", away)
	}
	s.line.set(func() { s.line.cut["/token"] = false })
	b.signIn()
	if !b.signedIn() {
		t.Error("not signed in")
	}
}

// Who uses the package can answer in another way.
func TestOwnAnswers(t *testing.T) {
	s := newStage(t, nil, func(c *bff.Config) {
		c.Issuers[0].Client.OnError = func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "own: "+client.SentenceOf(err), client.StatusOf(err))
		}
	})
	if p := s.browser().do("GET", "/bff/callback?state=x&code=y", nil, nil); p.StatusCode != http.StatusBadRequest || !strings.Contains(p.text, "own: This sign-in cannot be completed.") {
		t.Errorf("%v", p)
	}
}

package bff_test

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse/bff"
	"gatehouse/internal/spec"
)

// Whatever somebody sends, each event is one line of the log, and no header of an answer is
// anybody's but ours.
func TestNobodyWritesOurLinesForUs(t *testing.T) {
	spec.Covers(t, "LG-02", "XS-07")
	s := newStage(t, nil, nil)
	b := s.browser()
	for _, evil := range []string{"\r\nSet-Cookie: evil=1", "\nSet-Cookie: evil=1", "\r", "\x1b[2J", "\u2028", "\u2029", "\u010d\u010a", `","level":"ERROR","msg":"forged`, "\x00", "\x85"} {
		escaped := url.QueryEscape(evil)
		for _, path := range []string{"/bff/login?return_to=/" + escaped, "/bff/login?issuer=" + escaped, "/bff/callback?state=" + escaped, "/bff/callback?error=" + escaped + "&state=x", "/bff/logged-out?state=" + escaped, "/api/" + url.PathEscape(evil), "/open/" + url.PathEscape(evil)} {
			p := b.do("GET", path, http.Header{"User-Agent": {strings.Map(printable, evil)}}, nil)
			if p.StatusCode >= 500 || p.Header.Get("Set-Cookie") != "" && strings.Contains(p.Header.Get("Set-Cookie"), "evil") || strings.ContainsAny(p.Header.Get("Location"), "\r\n\x00\x1b") {
				t.Errorf("%q: %v", path, p)
			}
		}
	}
	for line := range strings.Lines(s.log.String()) {
		var event struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Msg == "forged" || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x1b\x00") {
			t.Errorf("a line that is none of ours: %q %v", line, err)
		}
	}
	if s.log.String() == "" {
		t.Error("nothing is logged")
	}
	b.signIn()
	if !b.signedIn() {
		t.Error("not signed in")
	}
}

// printable drops what no client can put into a header.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

// Who an API is, and why it cannot be reached, is for the log; and one that cannot prove who
// it is gets no token.
func TestAPIsThatCannotBeReached(t *testing.T) {
	spec.Covers(t, "LG-03", "SS-13")
	asked := false
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true })
	stranger := httptest.NewUnstartedServer(handler)
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are broken off
	stranger.StartTLS()
	defer stranger.Close()
	gone := httptest.NewServer(handler)
	gone.Close()
	s := newStage(t, nil, func(c *bff.Config) {
		routes := []bff.Route{{Path: "/x", Methods: []string{"GET"}}}
		c.Upstreams = append(c.Upstreams, bff.Upstream{Path: "/stranger", URL: stranger.URL, Routes: routes}, bff.Upstream{Path: "/gone", URL: gone.URL, Routes: routes})
	})
	b := s.browser()
	b.signIn()
	for path, at := range map[string]string{"/stranger/x": stranger.URL, "/gone/x": gone.URL} {
		p := b.call("GET", path)
		wantRefusal(t, path, p, http.StatusBadGateway, bff.CodeBadUpstream)
		_, host, _ := strings.Cut(at, "//")
		for _, detail := range []string{host, "x509", "certificate", "refused", "dial", "127.0.0.1"} {
			if strings.Contains(p.String(), detail) {
				t.Errorf("%s: the browser is told %q: %v", path, detail, p)
			}
		}
		if !strings.Contains(s.log.String(), host) && !strings.Contains(s.log.String(), "x509") {
			t.Errorf("%s: the log tells nothing", path)
		}
	}
	if asked {
		t.Error("an API that proved nothing was asked")
	}
	for _, token := range s.line.seen() {
		if strings.Contains(s.log.String(), token) {
			t.Error("a token is in the log")
		}
	}
	if p := b.call("GET", "/api/photos"); p.StatusCode != http.StatusOK {
		t.Errorf("another API: %v", p)
	}
}

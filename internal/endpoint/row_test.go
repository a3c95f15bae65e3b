package endpoint

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:4711":           "192.0.2.1",
		"[::ffff:192.0.2.1]:4711":  "192.0.2.1",
		"[2001:db8:1:2::1]:1":      "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:80": "2001:db8:1:2::/64",
		"[2001:db8:1:3::1]:1":      "2001:db8:1:3::/64",
		"[fe80::1%eth0]:1":         "fe80::/64",
		"@":                        "@", // a Unix socket
		"":                         "",
	} {
		if got := Network(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("%q: %s, want %s", remote, got, want)
		}
	}
}

func TestAddressBelievesNoProxy(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "192.0.2.1:4711"
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip"} {
		r.Header.Set(name, "198.51.100.1")
	}
	if got := Address(r); got != "192.0.2.1" {
		t.Errorf("address %s", got)
	}
}

func TestWhatStrangersSayIsClipped(t *testing.T) {
	r := &Request{Request: httptest.NewRequest(http.MethodGet, "/", nil)}
	long := strings.Repeat("é", maxKept)
	r.Header.Set("User-Agent", long+"\xff")
	r.Note("client_id", "x"+long)
	r.Note("short", "kept whole")
	for _, kept := range []string{r.Circumstance().UserAgent, r.notes[0].Value.String()} {
		if len(kept) > maxKept || len(kept) < maxKept-1 || !utf8.ValidString(kept) {
			t.Errorf("kept %d bytes: %q", len(kept), kept)
		}
	}
	if r.notes[1].Value.String() != "kept whole" {
		t.Errorf("kept %q", r.notes[1].Value)
	}
}

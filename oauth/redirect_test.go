package oauth_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

var (
	strict = oauth.RedirectRules{}
	lax    = oauth.RedirectRules{AllowLocalhost: true, AllowUndottedScheme: true}
)

func TestCheckRedirectURI(t *testing.T) {
	for _, uri := range []string{
		"https://app.example/cb", "https://app.example", "https://app.example:8443/cb?x=1&y=%20", "https://app.example/a.b/..c/...", "https://xn--bcher-kva.example/",
		"http://127.0.0.1/cb", "http://127.0.0.1:8080/cb", "http://[::1]/cb", "http://[::1]:8080/cb", "com.example.app:/cb", "com.example.app:cb", "https://[2001:db8::1]/cb",
		"https://app.example:1/cb", "https://app.example:65535/cb", "https://my_app.a-b.example/cb", "https://1.example/cb", "https://192.0.2.7:8443/cb", "https://localhost/cb", "https://0x.example.x0/cb",
		"https://" + strings.Repeat("x", 63) + ".example/cb", "https://app.example/cb;v=1", "https://app.example/cb?next=https://app.example/../x",
	} {
		if err := oauth.CheckRedirectURI(uri, strict); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{"http://localhost/cb", "http://localhost:3000/cb", "cursor://anysphere.cursor-mcp/cb", "myapp:/cb"} {
		if err := oauth.CheckRedirectURI(uri, lax); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
		if err := oauth.CheckRedirectURI(uri, strict); err == nil {
			t.Errorf("%s passes the strict rules", uri)
		}
	}
}

// TestRU08RU09RefusedAtRegistration, by every set of rules.
func TestRU08RU09RefusedAtRegistration(t *testing.T) {
	spec.Covers(t, "RU-08", "RU-09", "RU-20", "RFC6749-3.1.2-1")
	for _, uri := range []string{
		"", "*", "https://*", "https://app.test*", "https://*.test/cb", "http://*", "https://app.test/*", "com.example.app:/*",
		"javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://app.test/x", "about:blank", "view-source:https://app.test", "ftp://app.test/",
		"\tjavascript:alert(1)", " javascript:alert(1)", "\rjavascript:alert(1)", "java\tscript:alert(1)", "mailto:x@y", "tel:1", "intent://x", "wss://app.test/", "chrome://x", "filesystem:https://x", "urn:x:y",
		"/cb", "//app.test/cb", "app.test/cb", "cb", "https:", "https:///cb", "https:/cb", "https:cb", "https://:443/cb", "https://app.test:/cb", "https://app.test:x/cb",
		"https://user@app.test/cb", "https://user:pass@app.test/cb", "https://@app.test/cb", "https://app.test%40evil.test/cb", "https://app.test@evil.test/cb",
		"https://app.test/cb#", "https://app.test/cb#x", "com.example.app:/cb#x", "https://app.test/#/cb",
		"https://app.test/../cb", "https://app.test/./cb", "https://app.test/cb/..", "https://app.test/%2e%2e/cb", "https://app.test/a%2f..%2fb", "https://app.test/..;/cb", "https://app.test/%2E/cb", "https://app.test/a%5c..%5cb", "com.example.app:/cb/../x",
		"HTTPS://app.test/cb", "https://APP.test/cb", "https://app.test/c b", "https://app.test/c\nb", "https://app.test/ü", "https://bücher.test/", `https://app.test/"`, `https://app.test\@evil.test`, "https://app.test/<x>", "https://app.test/`", "https://app.test/{x}", "https://app.test/|", "https://app.test/\x00", "https://app.test/\x7f",
		"http://app.test/cb", "http://127.0.0.1.evil.test/cb", "http://127.0.0.2/cb", "http://127.1/cb", "http://0.0.0.0/cb", "http://[::2]/cb", "http://10.0.0.1/", "http://user@127.0.0.1/cb", "http://127.0.0.1/../cb", "http://LOCALHOST/cb",
		"com.example.app://evil/cb", "com.example.app://cb", "com.example.app:///cb/../x", "COM.example.app:/cb", "com.example.app://user@/cb", "1com.example:/cb", "com.example.app%3A/cb",
		"https://app.test/" + strings.Repeat("x", oauth.MaxURILength),
		"https://app.test:99999/cb", "https://app.test:65536/cb", "https://app.test:0/cb", "https://app.test:0443/cb", "http://127.0.0.1:009471/cb", "http://127.0.0.1:0/cb", "http://[::1]:99999/cb",
		"https://app.test./cb", "https://./cb", "https://.app.test/cb", "https://app..test/cb", "https://-/cb", "https://-app.test/cb", "https://app-.test/cb", "https://app.-test/cb", "https://app;x.test/cb", "https://app,test/cb", "https://app'test/cb", "https://app+test/cb",
		"https://127.1/cb", "https://2130706433/cb", "https://0x7f000001/cb", "https://0x/cb", "https://app.1/cb", "https://256.0.0.1/cb", "https://127.0.0.01/cb", "https://[fe80::1%25eth0]/cb", "https://[127.0.0.1]/cb", "https://[app.test]/cb",
		"https://" + strings.Repeat("x", 64) + ".test/cb", "https://" + strings.Repeat("x.", 127) + "test/cb",
	} {
		for _, rules := range []oauth.RedirectRules{strict, lax} {
			err := oauth.CheckRedirectURI(uri, rules)
			if err == nil {
				t.Errorf("%q passes", uri)
			} else if len(err.Error()) > 4*oauth.MaxURILength {
				t.Errorf("%.40q: the message has %d characters", uri, len(err.Error()))
			}
		}
	}
}

func TestCheckWebURI(t *testing.T) {
	spec.Covers(t, "RU-09")
	for _, uri := range []string{"https://app.example/logo.svg?v=1", "http://localhost:8080/logo", "http://127.0.0.1/", "http://[::1]:3000/"} {
		if err := oauth.CheckWebURI(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{"", "javascript:alert(1)", "data:image/svg+xml,x", "http://app.example/", "com.example.app:/x", "https:///x", "https://u@app.example/", " https://app.example/", "https://app.example/#x", "https://app.example/../x",
		"https://app.example:99999/", "https://app.example:0/", "https://app.example./", "https://app..example/", "https://-app.example/", "http://localhost:080/"} {
		if oauth.CheckWebURI(uri) == nil {
			t.Errorf("%q passes", uri)
		}
	}
}

func TestMatchRedirectURI(t *testing.T) {
	registered := []string{"https://app.example/cb", "http://127.0.0.1/cb", "http://[::1]:5000/cb?x=1", "com.example.app:/cb", "http://localhost/cb"}
	for _, uri := range append(slices.Clone(registered), "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", "http://[::1]/cb?x=1", "http://[::1]:99/cb?x=1") {
		if !oauth.MatchRedirectURI(registered, uri, strict) {
			t.Errorf("%s does not match", uri)
		}
	}
	for _, uri := range []string{
		"", "https://app.example/CB", "https://app.example:443/cb", "https://127.0.0.1/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:1:2/cb", "http://127.0.0.1:-1/cb", "http://127.0.0.1:123456/cb", "http://127.0.0.1:99999/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:080/cb",
		"http://127.0.0.1:1x/cb", "http://127.0.0.1:1", "http://127.0.0.11/cb", "http://127.0.0.1.evil.test/cb", "http://127.0.0.1@evil.test/cb", "http://127.0.0.1:1@evil.test/cb", "http://[::1]:99/cb", "http://[::1]x:99/cb?x=1",
		"HTTP://127.0.0.1/cb", "http://127.0.0.1:1/cb#", "http://127.0.0.1:1/cb?", "http://localhost:1/cb", "com.example.app:/cb/", "http://0127.0.0.1/cb",
	} {
		if oauth.MatchRedirectURI(registered, uri, strict) {
			t.Errorf("%s matches", uri)
		}
	}
	if !oauth.MatchRedirectURI(registered, "http://localhost:1/cb", lax) || oauth.MatchRedirectURI(registered, "https://localhost:1/cb", lax) || oauth.MatchRedirectURI(nil, "", lax) {
		t.Error("localhost is matched by the wrong rules")
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]bool{"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "localhost.evil.test": false, "LOCALHOST": false, "10.0.0.1": false, "": false, "0.0.0.0": false} {
		if oauth.LoopbackHost(host) != want {
			t.Errorf("%s: loopback is %v", host, !want)
		}
	}
	ours := oauth.NewHosts("id.example", "[2001:db8::1]:8443", "127.0.0.1:8080", "[2001:db8::2]")
	for uri, want := range map[string]bool{
		"https://id.example/cb": true, "https://ID.example:443/cb": true, "https://id.example:8443/cb": false, "http://id.example/cb": true, "http://id.example:80/": true, "https://x.id.example/": false,
		"https://[2001:db8::1]:8443/": true, "https://[2001:db8::1]/": false, "http://127.0.0.1:8080/x": true, "http://127.0.0.1:8081/x": false, "com.example.app:/cb": false, "%": false,
		"http://[::1]:8080/x": true, "http://localhost:8080/x": true, "http://127.0.0.2:8080/x": true, "http://[::1]:8081/x": false, "http://[::1]/x": false, "http://localhost.test:8080/x": false,
		"https://id.example./cb": true, "https://id.example:80/cb": false, "http://id.example:443/cb": false, "https://[2001:DB8:0:0::1]:8443/": true, "https://[2001:db8::2]:443/": true, "https://2001:db8::2/": false, "http://[::ffff:127.0.0.1]:8080/": true, "//id.example/": true, "/id.example": false, "": false,
	} {
		if ours.Has(uri) != want {
			t.Errorf("%s: on our hosts is %v", uri, !want)
		}
	}
	if (oauth.Hosts{}).Has("https://id.example/") {
		t.Error("no hosts have one")
	}
}

func FuzzRedirectURI(f *testing.F) {
	for _, seed := range []string{
		"https://app.example/cb", "http://127.0.0.1:80@evil.test/", "http://[::1]:1/cb", "com.example.app:/cb", "javascript:alert(1)", "https://app.example%40evil.test/cb", "http://127.0.0.1:1/cb", "//x", `https://a\@b/`,
	} {
		f.Add(seed)
	}
	registered := []string{"https://app.example/cb", "http://127.0.0.1/cb", "http://[::1]:5000/cb", "com.example.app:/cb"}
	f.Fuzz(func(t *testing.T, uri string) {
		if oauth.CheckRedirectURI(uri, strict) == nil {
			parsed, err := url.Parse(uri)
			if err != nil || parsed.Scheme == "" || parsed.Fragment != "" || parsed.User != nil || strings.ContainsAny(uri, " \t\r\n*\\#") {
				t.Errorf("%q may be registered: %v", uri, err)
			}
			if parsed.Scheme == "http" && !oauth.LoopbackHost(parsed.Hostname()) || parsed.Scheme == "javascript" || parsed.Scheme == "data" {
				t.Errorf("%q may be registered", uri)
			}
			if oauth.CheckRedirectURI(uri, lax) != nil || !oauth.MatchRedirectURI([]string{uri}, uri, strict) {
				t.Errorf("%q: the lax rules refuse it, or it does not match itself", uri)
			}
		}
		if !oauth.MatchRedirectURI(registered, uri, strict) || slices.Contains(registered, uri) {
			return
		}
		// Only the port of a registered loopback address may differ.
		parsed, err := url.Parse(uri)
		if err != nil || parsed.Scheme != "http" || parsed.User != nil || parsed.RequestURI() != "/cb" || parsed.Fragment != "" || !slices.Contains([]string{"127.0.0.1", "::1"}, parsed.Hostname()) {
			t.Errorf("%q matches", uri)
		}
		if oauth.CheckRedirectURI(uri, strict) != nil {
			t.Errorf("%q matches, but could not be registered", uri)
		}
	})
}

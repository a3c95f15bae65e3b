package login

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

// drawn is the answer of one of the pages that others show.
func (h *house) drawn(show func(http.ResponseWriter, *endpoint.Request)) *http.Response {
	recorder := httptest.NewRecorder()
	show(recorder, &endpoint.Request{Request: httptest.NewRequest(http.MethodGet, "/", nil), Tenant: h.tenant, Prefix: "/t"})
	return recorder.Result()
}

func (h *house) formPost(redirectURI string, params ...oauth.Param) *http.Response {
	return h.drawn(func(w http.ResponseWriter, r *endpoint.Request) {
		h.pages.FormPost(w, r, gatehouse.Client{}, redirectURI, params)
	})
}

// everyPage draws each page once.
func everyPage(h *house) map[string]*http.Response {
	b, i := h.consent(interaction.Interaction{Scope: photoScope})
	h.sessionFor("u-alice", "sid-phone", time.Hour)
	h.allowances = []gatehouse.Allowance{{ClientID: "web", Scope: photoScope, Resources: []string{"https://api.photos.example"}, Since: h.now, LastUsedAt: h.now}}
	h.told = []gatehouse.Event{{Kind: gatehouse.EventRefreshReplayed, Subject: "u-alice", ClientID: "web", At: h.now, LastAt: h.now, Count: 1}}
	visitor := h.browser()
	return map[string]*http.Response{
		"account":       b.get("/account"),
		"account login": visitor.get(visitor.get("/account").Header.Get("Location")),
		"login":         b.get("/login?i=" + b.begin(interaction.Interaction{}, interaction.StageLogin)),
		"wrong":         b.signIn("alice", "wrong"),
		"consent":       b.get("/consent?i=" + i),
		"logout":        b.get("/logout/confirm"),
		"logged out":    h.browser().get("/logout/confirm"),
		"bad login":     b.get("/login"),
		"error": h.drawn(func(w http.ResponseWriter, r *endpoint.Request) {
			h.pages.Error(w, r, oauth.Refuse("x", oauth.InvalidRequest, "Bad."))
		}),
		"finished":  h.drawn(h.pages.Finished),
		"form_post": h.formPost("https://photos.example/cb", oauth.Param{Name: "code", Value: "c"}),
	}
}

func TestEveryPageCarriesTheHeaders(t *testing.T) {
	spec.Covers(t, "CF-01", "RFC6749-10.13-1", "RFC9700-4.16-1", "RFC9700-4.2.4-1", "FORMPOST-2-3")
	h := newHouse(t)
	for name, response := range everyPage(h) {
		for header, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin-when-cross-origin", "Cache-Control": "no-store", "Vary": "Cookie",
		} {
			if got := response.Header.Get(header); got != want {
				t.Errorf("%s: %s: %q, want %q", name, header, got, want)
			}
		}
		csp := response.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: %q is not in %q", name, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || (strings.Contains(csp, "script-src") != (name == "form_post")) {
			t.Errorf("%s: policy %q", name, csp)
		}
		if response.Header.Get("Permissions-Policy") == "" {
			t.Errorf("%s: no Permissions-Policy", name)
		}
	}
}

var (
	outside     = regexp.MustCompile(`(?:src|href)="(?:https?:)?//[^"]*"`)
	inlineStyle = regexp.MustCompile(`<style|\sstyle=|\son[a-z]+=`)
	labelFor    = regexp.MustCompile(`<label for="([^"]+)"`)
)

func TestEveryPageIsWhole(t *testing.T) {
	spec.Covers(t, "RFC8252-8.12-1")
	h := newHouse(t)
	client := h.clients["web"]
	client.LogoURI, client.PolicyURI, client.TosURI = "", "", ""
	h.clients["web"] = client
	for name, response := range everyPage(h) {
		page := bodyOf(response)
		for _, want := range []string{`<html lang="en">`, "<main", "<h1>", "Example House</title>", `name="viewport"`} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %s", name, want)
			}
		}
		if found := append(outside.FindAllString(page, -1), inlineStyle.FindAllString(page, -1)...); len(found) > 0 {
			t.Errorf("%s: %q", name, found)
		}
		if strings.Contains(page, "<script") != (name == "form_post") {
			t.Errorf("%s: a script that nobody needs, or none where one is", name)
		}
		if strings.Contains(page, "{") || strings.Contains(page, "ZgotmplZ") {
			t.Errorf("%s: something was not filled in: %s", name, page)
		}
		for _, id := range labelFor.FindAllStringSubmatch(page, -1) {
			if !strings.Contains(page, `id="`+id[1]+`"`) {
				t.Errorf("%s: a label for nothing: %s", name, id[1])
			}
		}
	}
}

func TestStableIDs(t *testing.T) {
	h := newHouse(t)
	pages := everyPage(h)
	for page, ids := range map[string][]string{
		"login":         {"login-form", "username", "password", "login-submit"},
		"wrong":         {"login-form", "login-error"},
		"consent":       {"consent-allow", "consent-deny"},
		"logout":        {"logout-confirm-page", "logout-yes"},
		"logged out":    {"logout-done"},
		"bad login":     {"error-page", "error-id"},
		"error":         {"error-page", "error-id"},
		"finished":      {"finished-page"},
		"account login": {"login-form", "username", "password", "login-submit"},
		"account":       {"account-page", "sessions", "sessions-end-others", "allowed", "events", "password", "password-form", "current", "new", "again"},
	} {
		body := bodyOf(pages[page])
		for _, id := range ids {
			if strings.Count(body, ` id="`+id+`"`) != 1 {
				t.Errorf("%s: id %s is there %d times", page, id, strings.Count(body, ` id="`+id+`"`))
			}
		}
	}
	login := bodyOf(h.browser().get("/login?i=none"))
	if strings.Contains(login, "login-form") {
		t.Error("a form without an interaction")
	}
}

func TestSignInFormIsOneThatPasswordManagersKnow(t *testing.T) {
	spec.Covers(t, "OIDCC-3.1.2.1-13")
	h := newHouse(t)
	b := h.browser()
	page := bodyOf(b.get("/login?i=" + b.begin(interaction.Interaction{LoginHint: "alice@mail.example"}, interaction.StageLogin)))
	for _, want := range []string{`autocomplete="username"`, `autocomplete="current-password"`, `value="alice@mail.example"`, `type="password"`, `method="post" action="/login"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	page = bodyOf(b.get("/login?i=" + b.begin(interaction.Interaction{LoginHint: strings.Repeat("x", maxNameLength+1)}, interaction.StageLogin)))
	if strings.Contains(page, "xxxx") {
		t.Error("an endless hint is shown")
	}
}

const hostile = `"><script>alert(1)</script></script><img src=x onerror=alert(1)>'` + "\r\nSet-Cookie: a=b"

func wantInert(t *testing.T, what string, response *http.Response) {
	t.Helper()
	page := bodyOf(response)
	for _, bad := range []string{"<script>alert", "<img src=x", "javascript:", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("%s: %q got through:\n%s", what, bad, page)
		}
	}
	if cookies := response.Header.Values("Set-Cookie"); len(cookies) > 0 && strings.Contains(strings.Join(cookies, ""), "a=b") {
		t.Errorf("%s: a header was split", what)
	}
}

func TestHostileTextsAreInert(t *testing.T) {
	spec.Covers(t, "XS-01", "XS-03", "XS-07", "RFC6749-10.14-1")
	h := newHouse(t)
	h.tenant.Settings.Name = "House " + hostile
	h.tenant.Settings.SupportURI = "javascript:alert(1)"
	h.clients["web"] = gatehouse.Client{ID: "web", ClientMetadata: gatehouse.ClientMetadata{
		ClientName: "Name " + hostile, LogoURI: "javascript:alert(1)", PolicyURI: "javascript:alert(1)", TosURI: "data:text/html,<script>alert(1)</script>",
		FormActionOrigins: []string{"https://a.example;script-src *", "javascript:alert(1)", "https://ok.example"},
	}}
	h.resources[0].Name, h.resources[0].Scopes[0].Description = "API "+hostile, "see "+hostile
	user := h.users["u-alice"]
	user.Claims.Name = "Alice " + hostile
	h.users["u-alice"] = user
	for name, response := range everyPage(h) {
		if csp := response.Header.Get("Content-Security-Policy"); strings.Contains(csp, "script-src *") {
			t.Errorf("%s: policy %q", name, csp)
		}
		wantInert(t, name, response)
	}
	b := h.browser()
	response := b.signIn(hostile, "wrong")
	if page := bodyOf(response); !strings.Contains(page, "&lt;script&gt;alert(1)") {
		t.Error("the name is not shown again")
	}
	wantInert(t, "name", b.signIn(hostile, "wrong"))
	wantInert(t, "hint", b.get("/login?i="+b.begin(interaction.Interaction{LoginHint: hostile}, interaction.StageLogin)))
	wantInert(t, "query", b.get("/login?x=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"))
	wantInert(t, "error", h.drawn(func(w http.ResponseWriter, r *endpoint.Request) {
		h.pages.Error(w, r, &oauth.Error{ID: hostile, Description: hostile, Status: 400})
	}))
	wantInert(t, "logout", h.drawn(func(w http.ResponseWriter, r *endpoint.Request) { h.pages.LogoutConfirm(w, r, hostile) }))
}

func TestFormPost(t *testing.T) {
	spec.Covers(t, "XS-02", "FORMPOST-2-1", "FORMPOST-4-1")
	h := newHouse(t)
	response := h.formPost("https://photos.example/cb?x=1&y=2", oauth.Param{Name: "code", Value: "c"}, oauth.Param{Name: "state", Value: hostile})
	wantStatus(t, response, http.StatusOK)
	page := bodyOf(response)
	for _, want := range []string{
		`action="https://photos.example/cb?x=1&amp;y=2"`, `name="code" value="c"`, `value="&#34;&gt;&lt;script&gt;`, "<noscript><button", `method="post"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	if strings.Count(page, "<script>") != 1 || strings.Count(page, "</script>") != 1 {
		t.Errorf("scripts: %s", page)
	}
	_, rest, _ := strings.Cut(page, "<script>")
	script, _, _ := strings.Cut(rest, "</script>")
	digest := sha256.Sum256([]byte(script))
	csp := response.Header.Get("Content-Security-Policy")
	if want := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "';"; !strings.Contains(csp, want) {
		t.Errorf("%s is not in %s", want, csp)
	}
	if !strings.Contains(csp, "form-action 'self' https://photos.example;") {
		t.Errorf("policy %s", csp)
	}
	response = h.drawn(func(w http.ResponseWriter, r *endpoint.Request) {
		client := gatehouse.Client{ClientMetadata: gatehouse.ClientMetadata{FormActionOrigins: []string{"https://further.example"}}}
		h.pages.FormPost(w, r, client, "https://photos.example/cb", nil)
	})
	if csp := response.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://photos.example https://further.example;") {
		t.Errorf("the client's own origins are lost: %s", csp)
	}
	if page := bodyOf(h.formPost("com.example.app:/cb")); !strings.Contains(page, `action="com.example.app:/cb"`) {
		t.Errorf("a scheme of its own is lost: %s", page)
	}
	if page := bodyOf(h.formPost("javascript:alert(1)")); strings.Contains(page, "javascript:") {
		t.Error("a script as the target")
	}
}

func TestFormAction(t *testing.T) {
	spec.Covers(t, "CF-13")
	h := newHouse(t)
	for _, test := range []struct {
		redirectURI string
		more        []string
		want        string
	}{
		{"https://app.example/cb?x=y", nil, "'self' https://app.example;"},
		{"https://app.example:8443/cb", nil, "'self' https://app.example:8443;"},
		{"http://127.0.0.1:5000/cb", nil, "'self' http://127.0.0.1:5000;"},
		{"http://localhost:5000/cb", nil, "'self' http://localhost:5000;"},
		{"http://[::1]:5000/cb", nil, "'self' http:;"},
		{"https://[2001:db8::1]/cb", nil, "'self' https:;"},
		{"com.example.app:/cb", nil, "'self' com.example.app:;"},
		{"cursor://anysphere/cb", nil, "'self' cursor:;"},
		{"https://a.example;script-src/cb", nil, "'self' https:;"},
		{"https://app.example/cb", []string{"https://next.example", "::", "https://other.example:444/"}, "'self' https://app.example https://next.example https://other.example:444;"},
	} {
		client := h.clients["web"]
		client.FormActionOrigins = test.more
		h.clients["web"] = client
		b, i := h.consent(interaction.Interaction{RedirectURI: test.redirectURI})
		login := b.get("/login?i=" + b.begin(interaction.Interaction{RedirectURI: test.redirectURI}, interaction.StageLogin))
		for _, response := range []*http.Response{b.get("/consent?i=" + i), login} {
			if csp := response.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action "+test.want) {
				t.Errorf("%s: %s, want %s", test.redirectURI, csp, test.want)
			}
		}
	}
}

func TestLogosLoadFromTheirOriginAlone(t *testing.T) {
	for logo, want := range map[string]string{
		"https://cdn.example/a.png": "img-src 'self' https://cdn.example;", "http://127.0.0.1:8080/a.png": "img-src 'self' http://127.0.0.1:8080;",
		"": "img-src 'self';", "https://[::1]/a.png": "img-src 'self';", "data:image/png,x": "img-src 'self';", "javascript:x": "img-src 'self';",
	} {
		client := gatehouse.Client{ClientMetadata: gatehouse.ClientMetadata{LogoURI: logo}}
		if csp := policyFor(client, "https://app.example/").String(); !strings.Contains(csp, want) {
			t.Errorf("%q: %s, want %s", logo, csp, want)
		}
	}
}

func TestErrorPages(t *testing.T) {
	h := newHouse(t)
	h.tenant.Settings.SupportURI = "https://help.example/"
	for _, test := range []struct {
		refusal *oauth.Error
		heading string
		retry   string
	}{
		{oauth.Refuse("a", oauth.InvalidRequest, "Bad."), english().ErrorStopped, ""},
		{oauth.Fault(nil), english().ErrorOurs, ""},
		{oauth.Refuse("b", oauth.TemporarilyUnavailable, "Busy.").After(1500 * time.Millisecond), english().ErrorBusy, "2"},
		{oauth.Refuse("c", oauth.TemporarilyUnavailable, "Many.").WithStatus(429), english().ErrorTooMany, ""},
	} {
		response := h.drawn(func(w http.ResponseWriter, r *endpoint.Request) { h.pages.Error(w, r, test.refusal) })
		wantStatus(t, response, test.refusal.Status)
		page := bodyOf(response)
		for _, want := range []string{"<h1>" + test.heading, test.refusal.Description, `<code id="error-id">` + test.refusal.ID, `href="https://help.example/"`} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in %s", want, page)
			}
		}
		if got := response.Header.Get("Retry-After"); got != test.retry {
			t.Errorf("Retry-After %q, want %q", got, test.retry)
		}
	}
}

func TestAssetsAreCachedForEver(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	page := bodyOf(b.get("/login"))
	for _, match := range regexp.MustCompile(`href="(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		response := b.get(match[1])
		wantStatus(t, response, http.StatusOK)
		if got := response.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" || response.Header.Get("Vary") != "" {
			t.Errorf("%s: %q", match[1], got)
		}
		if len(bodyOf(response)) == 0 {
			t.Errorf("%s is empty", match[1])
		}
	}
	wantStatus(t, b.get("/assets/gatehouse.css"), http.StatusNotFound)
	if page := bodyOf(h.drawn(h.pages.Finished)); !strings.Contains(page, `href="/t/assets/gatehouse.`) {
		t.Error("the tenant's prefix is missing")
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		" a \t\n b ": "a b", "a\u202eb\u200b\x00": "ab", "": "", "日本": "日本",
		strings.Repeat("é", 81): strings.Repeat("é", 79) + "…",
	} {
		if got := displayed(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"photo": "P", "«éa»": "É", "-": "·", "4you": "4"} {
		if got := viewOf(gatehouse.Client{ID: "x", ClientMetadata: gatehouse.ClientMetadata{ClientName: name}}).Initial; got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

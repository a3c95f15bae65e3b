package bff_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/bff"
	"gatehouse/internal/spec"
)

func TestSignInUserLogout(t *testing.T) {
	spec.Covers(t, "BB-01", "BB-02", "BB-07", "BB-10", "SE-02", "SE-04", "SE-10")
	s := newStage(t, nil, nil)
	b := s.browser()
	nobody := b.call("GET", "/bff/user")
	wantRefusal(t, "nobody", nobody, http.StatusUnauthorized, bff.CodeLoginRequired)
	if !strings.Contains(nobody.text, `"login_url":"/bff/login"`) || nobody.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("no way to sign in: %v", nobody)
	}

	done := b.signIn()
	// A page of ours goes on, so that the strict cookie goes with the next request.
	if !strings.Contains(done.text, `content="0;url=/here"`) || !strings.Contains(done.Header.Get("Cache-Control"), "no-store") || done.Header.Get("Vary") != "Cookie" {
		t.Errorf("the callback: %v", done)
	}
	if want := []string{"__Host-Http-bff"}; !slices.Equal(b.names(), want) {
		t.Errorf("cookies %v", b.names())
	}
	for _, cookie := range b.set {
		site := http.SameSiteLaxMode
		if cookie.Name == "__Host-Http-bff" {
			site = http.SameSiteStrictMode
		}
		if !strings.HasPrefix(cookie.Name, "__Host-Http-bff") || !cookie.Secure || !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" || cookie.SameSite != site {
			t.Errorf("the cookie is %v", cookie)
		}
	}
	if value := b.jar["__Host-Http-bff"]; len(value) != 43 { // 256 bits
		t.Errorf("the handle has %d characters", len(value))
	}

	who := b.call("GET", "/bff/user")
	var told struct {
		Claims    map[string]string `json:"claims"`
		Ends      int64             `json:"ends"`
		LogoutURL string            `json:"logout_url"`
	}
	if err := json.Unmarshal([]byte(who.text), &told); err != nil || who.StatusCode != http.StatusOK || told.Ends == 0 || told.LogoutURL != "/bff/logout" {
		t.Errorf("%v %v", who, err)
	}
	if names := slices.Sorted(maps.Keys(told.Claims)); !slices.Equal(names, []string{"name", "sub"}) || told.Claims["name"] != "Alice Example" {
		t.Errorf("the claims are %v", told.Claims)
	}
	if answer := b.call("GET", "/api/photos"); answer.StatusCode != http.StatusOK || answer.text != "GET /v1/photos" {
		t.Errorf("%v", answer)
	}
	if token := s.last().Header.Get("Authorization"); token != "Bearer "+s.line.seen()[0] {
		t.Errorf("the API was given %q", token)
	}

	thief := b.copied()
	out := b.call("POST", "/bff/logout")
	var next map[string]string
	if err := json.Unmarshal([]byte(out.text), &next); err != nil || out.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", out, err)
	}
	target, err := url.Parse(next["logout_url"])
	if err != nil || target.Query().Get("id_token_hint") == "" || target.Query().Get("post_logout_redirect_uri") != origin+"/bff/logged-out" || !strings.HasPrefix(next["logout_url"], s.issuer.URL) {
		t.Errorf("the browser goes to %v", next)
	}
	if thief.signedIn() || b.signedIn() {
		t.Error("the session lives on")
	}
	if forms := s.line.forms["/revoke"]; len(forms) != 1 || forms[0].Get("token") != s.line.seen()[1] {
		t.Errorf("revoked %v", forms)
	}
	// The issuer's session is over, too, and the browser comes back to us.
	back := b.at.Get(next["logout_url"])
	if back.Location == nil {
		t.Fatalf("the issuer: %d at %s\n%s", back.StatusCode, back.Path, back.Text)
	}
	if home := b.do("GET", back.Location.RequestURI(), nil, nil); home.StatusCode != http.StatusSeeOther || home.Header.Get("Location") != "/" || len(b.jar) != 0 {
		t.Errorf("%v, cookies %v", home, b.names())
	}
	for _, token := range s.line.seen() {
		if strings.Contains(b.text.String(), token) || strings.Contains(s.log.String(), token) {
			t.Error("a token reached the browser, or the log")
		}
	}
	b.signIn()
	if !b.signedIn() {
		t.Error("a new login does not work")
	}
}

func TestFormLogout(t *testing.T) {
	spec.Covers(t, "CF-11")
	s := newStage(t, nil, nil)
	b := s.browser()
	b.signIn()
	for about, headers := range map[string]http.Header{
		"nothing told": {}, "a sibling": {"Sec-Fetch-Site": {"same-site"}}, "typed": {"Sec-Fetch-Site": {"none"}}, "another origin": {"Origin": {"https://evil.example"}},
		"a sandbox": {"Origin": {"null"}}, "a prefix": {"Origin": {origin + ".evil.example"}}, "http": {"Origin": {"http://app.example"}},
		"two origins": {"Origin": {origin, "https://evil.example"}}, "a header alone is not enough": {"X-Csrf": {"1"}, "Sec-Fetch-Site": {"cross-site"}},
	} {
		wantRefusal(t, about, b.do("POST", "/bff/logout", headers, nil), http.StatusForbidden, bff.CodeCrossSite)
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		if p := b.do(method, "/bff/logout", ours, nil); p.StatusCode != http.StatusMethodNotAllowed || p.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %v", method, p)
		}
	}
	if !b.signedIn() {
		t.Fatal("somebody else signed alice out")
	}
	out := b.do("POST", "/bff/logout", http.Header{"Origin": {origin}, "Content-Type": {"application/x-www-form-urlencoded"}}, nil)
	if out.StatusCode != http.StatusSeeOther || !strings.HasPrefix(out.Header.Get("Location"), s.issuer.URL) || b.signedIn() {
		t.Errorf("%v", out)
	}
	if p := b.call("POST", "/bff/logout"); p.StatusCode != http.StatusOK || !strings.Contains(p.text, `"logout_url":"/"`) {
		t.Errorf("signed out twice: %v", p)
	}
}

func TestLoginIsANavigationToOurselves(t *testing.T) {
	spec.Covers(t, "OR-01", "CF-09", "CF-17", "SE-01", "SE-05")
	s := newStage(t, nil, nil)
	b := s.browser()
	for _, headers := range []http.Header{{"Sec-Fetch-Dest": {"iframe"}}, {"Sec-Fetch-Dest": {"empty"}}, {"Sec-Purpose": {"prefetch"}}} {
		if p := b.do("GET", "/bff/login", headers, nil); p.StatusCode != http.StatusBadRequest || len(b.jar) != 0 {
			t.Errorf("%v: %v", headers, p)
		}
	}
	for _, query := range []string{"return_to=/a&return_to=/b", "issuer=nobody", "max_age=x", "max_age=-1", "a=%zz"} {
		wantRefusal(t, query, b.do("GET", "/bff/login?"+query, nil, nil), http.StatusBadRequest, bff.CodeBadRequest)
	}
	for _, evil := range []string{"//evil.example", `/\evil.example`, "/\t/evil.example", "/%09/evil.example", "/%5cevil.example", "///evil", `\\evil`, "https:evil", "/.//evil", "/x/../..//evil", "https://evil.example", "/bff/login", "/bff/logout?x=1"} {
		done := b.do("GET", b.callback("/bff/login?return_to="+url.QueryEscape(evil)), nil, nil)
		if !strings.Contains(done.text, `content="0;url=/"`) {
			t.Errorf("%q leads to %s", evil, done.text)
		}
	}
	// What an attacker began is not finished here, and nothing twice.
	mallory := s.browser()
	theirs := mallory.callback("/bff/login")
	before := b.jar["__Host-Http-bff"]
	asked := s.line.asked("/token")
	for about, path := range map[string]string{
		"another browser's": theirs, "no state": "/bff/callback?code=x", "empty state": "/bff/callback?code=x&state=", "nothing": "/bff/callback",
	} {
		if p := b.do("GET", path, nil, nil); p.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %v", about, p)
		}
	}
	if s.line.asked("/token") != asked || b.jar["__Host-Http-bff"] != before || !b.signedIn() {
		t.Error("a foreign callback changed something")
	}
	mine := b.callback("/bff/login")
	b.do("GET", mine, nil, nil)
	if after := b.jar["__Host-Http-bff"]; after == before || after == "" {
		t.Error("the login kept the id of before")
	}
	old := s.browser()
	old.jar["__Host-Http-bff"] = before
	if old.signedIn() {
		t.Error("the id of before is still good")
	}
	if p := b.do("GET", mine, nil, nil); p.StatusCode != http.StatusBadRequest {
		t.Errorf("a callback worked twice: %v", p)
	}
	// Opening the sign-in takes a dead cookie away, and a live one not.
	if old.do("GET", "/bff/login", nil, nil); old.jar["__Host-Http-bff"] != "" {
		t.Error("the dead cookie stays")
	}
	if b.do("GET", "/bff/login", nil, nil); !b.signedIn() {
		t.Error("to begin a login ended the session")
	}
	// A preset cookie never becomes a session.
	fixed := s.browser()
	fixed.jar["__Host-Http-bff"] = "preset-by-mallory"
	fixed.signIn()
	if fixed.jar["__Host-Http-bff"] == "preset-by-mallory" || !fixed.signedIn() {
		t.Error("the preset cookie was taken")
	}
}

// A login that asks for more says so to the issuer, and nothing else may be asked.
func TestStepUp(t *testing.T) {
	s := newStage(t, nil, nil)
	p := s.browser().do("GET", "/bff/login?max_age=60&acr_values=gold&prompt=none&client_id=evil&scope=admin", nil, nil)
	at, err := url.Parse(p.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if q := at.Query(); q.Get("max_age") != "60" || q.Get("prompt") != "" || q.Get("client_id") != "app" || strings.Contains(q.Get("scope"), "admin") {
		t.Errorf("the issuer is asked %v", q)
	}
	p = s.browser().do("GET", "/bff/login?max_age=0", nil, nil)
	if !strings.Contains(p.Header.Get("Location"), "prompt=login") {
		t.Errorf("the issuer is asked %s", p.Header.Get("Location"))
	}
}

func TestSessionsOfAPerson(t *testing.T) {
	s := newStage(t, nil, func(c *bff.Config) { c.MaxSessions = 2 })
	browsers := []*browser{s.browser(), s.browser(), s.browser()}
	for _, b := range browsers {
		b.signIn()
	}
	if browsers[0].signedIn() || !browsers[1].signedIn() || !browsers[2].signedIn() {
		t.Error("not the oldest session ended, or none")
	}
}

// Two issuers, one browser: the newer login counts, and the other session is over.
func TestTwoIssuers(t *testing.T) {
	s := newStage(t, nil, func(c *bff.Config) { c.Issuers = append(c.Issuers, c.Issuers[0]); c.Issuers[1].Name = "work" })
	b := s.browser()
	if p := b.call("GET", "/bff/user"); !strings.Contains(p.text, `"work":"/bff/login?issuer=work"`) {
		t.Errorf("the issuers are not told: %v", p)
	}
	b.signIn()
	first := b.copied()
	back := b.callback("/bff/login?issuer=work")
	if !strings.HasPrefix(back, "/bff/callback/work?") {
		t.Errorf("the answer comes to %s", back)
	}
	// One issuer's answer at the other's address is no login (RFC 9700 §4.4).
	if p := b.do("GET", strings.Replace(back, "/callback/work", "/callback", 1), nil, nil); p.StatusCode != http.StatusBadRequest {
		t.Errorf("mixed up: %v", p)
	}
	b.do("GET", back, nil, nil)
	if p := b.call("GET", "/bff/user"); !strings.Contains(p.text, `"issuer":"work"`) {
		t.Errorf("%v", p)
	}
	if want := []string{"__Host-Http-bff-work"}; !slices.Equal(b.names(), want) || first.signedIn() {
		t.Errorf("cookies %v; the first issuer's session lives: %v", b.names(), first.signedIn())
	}
	if p := b.call("POST", "/bff/logout"); p.StatusCode != http.StatusOK || b.signedIn() || len(b.names()) != 1 { // the mark of the logout
		t.Errorf("%v, cookies %v", p, b.names())
	}
}

// What is still to be revoked at a shutdown is tried once more.
func TestRevocationBeforeTheEnd(t *testing.T) {
	s := newStage(t, nil, nil)
	b := s.browser()
	b.signIn()
	s.line.set(func() { s.line.cut["/revoke"] = true })
	b.call("POST", "/bff/logout")
	s.line.set(func() { s.line.cut["/revoke"] = false })
	if err := s.bffs[0].Close(); err != nil {
		t.Fatal(err)
	}
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	if forms := s.line.forms["/revoke"]; len(forms) < 2 || forms[len(forms)-1].Get("token") != s.line.tokens[1] {
		t.Errorf("%d requests", len(forms))
	}
}

func TestModule(t *testing.T) {
	s := newStage(t, nil, nil)
	b := s.browser()
	p := b.do("GET", "/bff/bff.js", nil, nil)
	if p.StatusCode != http.StatusOK || !strings.HasPrefix(p.Header.Get("Content-Type"), "text/javascript") || !strings.Contains(p.text, "export const { api, user, login, logout }") {
		t.Errorf("%d %v", p.StatusCode, p.Header)
	}
	if again := b.do("GET", "/bff/bff.js", http.Header{"If-None-Match": {p.Header.Get("ETag")}}, nil); again.StatusCode != http.StatusNotModified || again.text != "" {
		t.Errorf("%v", again)
	}
	if p := b.do("GET", "/anything/else", nil, nil); p.text != "the page" {
		t.Errorf("%v", p)
	}
}

// A revocation that fails is repeated until it is done; the person does not wait
// for that.
func TestRevocationIsRepeated(t *testing.T) {
	s := newStage(t, nil, nil)
	b := s.browser()
	b.signIn()
	s.line.set(func() { s.line.cut["/revoke"] = true })
	if p := b.call("POST", "/bff/logout"); p.StatusCode != http.StatusOK || b.signedIn() {
		t.Errorf("%v", p)
	}
	failed := s.line.asked("/revoke")
	s.line.set(func() { s.line.cut["/revoke"] = false })
	for until := time.Now().Add(patience); s.line.asked("/revoke") == failed; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the revocation was given up")
		}
	}
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	if forms := s.line.forms["/revoke"]; failed != 1 || forms[1].Get("token") != s.line.tokens[1] {
		t.Errorf("%d requests", len(forms))
	}
}

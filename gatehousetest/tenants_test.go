package gatehousetest_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/spec"
)

// Every tenant of these tests has the same clients, secrets, users and passwords, so that nothing
// but the tenant itself keeps them apart.
// Their codes outlive the many attempts on them, also where the machine is slow.
const twin = `
settings: {code_lifetime: 10m}
clients:
  - client_id: web
    client_secret: web-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://app.example/cb]
    post_logout_redirect_uris: [https://app.example/bye]
    grant_types: [authorization_code, refresh_token, client_credentials]
    scope: openid profile offline_access photos:read secrets:read
    introspects: [https://api.example/, https://opaque.example/]
users:
  - username: alice
    sub: alice-1
    password: wonderland-alice
resources:
  - identifier: https://api.example/
    scopes: {"photos:read": See your photos}
  - identifier: https://opaque.example/
    token_format: opaque
    scopes: {"secrets:read": Know}
`

// possession is something that a tenant has handed out.
type possession struct{ name, value string }

// household is a tenant with what it has handed out to alice and to the client.
type household struct {
	*gatehousetest.Issuer
	id      gatehouse.TenantID
	owns    []possession
	browser *gatehousetest.Browser
}

func (h *household) value(name string) string {
	for _, p := range h.owns {
		if p.name == name {
			return p.value
		}
	}
	panic(name)
}

func offline(extra url.Values) string {
	query, _ := url.ParseQuery(strings.TrimPrefix(authorization, "/authorize?"))
	query.Set("scope", "openid profile offline_access")
	for name, values := range extra {
		query[name] = values
	}
	return "/authorize?" + query.Encode()
}

func furnish(t *testing.T, id gatehouse.TenantID, issuer *gatehousetest.Issuer) *household {
	t.Helper()
	h := &household{Issuer: issuer, id: id, browser: issuer.NewBrowser(t)}
	own := func(name, value string) {
		if value == "" {
			t.Fatalf("%s has no %s", id, name)
		}
		h.owns = append(h.owns, possession{name, value})
	}
	codeOf := func(page gatehousetest.Page) string {
		if page.Location == nil {
			t.Fatalf("%s: %d at %s: %s", id, page.StatusCode, page.Path, page.Text)
		}
		return page.Location.Query().Get("code")
	}
	login := h.browser.Get(offline(nil))
	own("interaction", login.Hidden().Get("i"))
	own("form token", login.Hidden().Get("csrf"))
	first := codeOf(h.browser.SignIn(offline(nil), "alice", "wonderland-alice"))
	tokens := redeem(t, issuer, first)
	own("access token", tokens.Member("access_token"))
	own("ID token", tokens.Member("id_token"))
	own("refresh token", tokens.Member("refresh_token"))
	own("code", codeOf(h.browser.Get(offline(nil))))
	for name, resource := range map[string]string{"client's token": "https://api.example/", "opaque token": "https://opaque.example/"} {
		own(name, issuer.Post(t, "/token", "web", webSecret, url.Values{"grant_type": {"client_credentials"}, "resource": {resource}}).Member("access_token"))
	}
	for _, cookie := range h.browser.Cookies() {
		own("cookie "+cookie.Name, cookie.Value)
	}
	return h
}

// damaged changes a value so that it keeps its form and cannot be genuine.
func damaged(value string) string {
	at := len(value) / 2
	for strings.ContainsRune("._-", rune(value[at])) {
		at++
	}
	other := byte('A')
	if value[at] == other {
		other = 'B'
	}
	return value[:at] + string(other) + value[at+1:]
}

// attempt is one way to bring a value to an endpoint.
type attempt struct {
	method, path, name string
	carry              func(r *http.Request, query, form url.Values, value string)
}

// attempts makes every way to bring a value to any endpoint of the server.
func attempts(h *household) []attempt {
	ways := map[string]func(*http.Request, url.Values, url.Values, string){
		"bearer": func(r *http.Request, _, _ url.Values, value string) { r.Header.Set("Authorization", "Bearer "+value) },
	}
	for _, name := range []string{"token", "code", "refresh_token", "id_token_hint", "i", "posted", "access_token", "csrf"} {
		ways["field "+name] = func(_ *http.Request, _, form url.Values, value string) { form.Set(name, value) }
		ways["query "+name] = func(_ *http.Request, query, _ url.Values, value string) { query.Set(name, value) }
	}
	for _, kind := range []string{"session", "browser", "device"} {
		ways["cookie "+kind] = func(r *http.Request, _, _ url.Values, value string) {
			r.AddCookie(&http.Cookie{Name: "gh-" + kind + "-" + string(h.id) + "-8080", Value: value})
		}
	}
	var names []string
	for name := range ways {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []attempt
	for _, row := range h.Server().Rows() {
		for _, method := range row.Methods {
			for _, name := range names {
				browsed := row.Caller == endpoint.Browser
				odd := method == http.MethodPost && strings.HasPrefix(name, "query ") ||
					strings.HasPrefix(name, "cookie ") && !browsed || name == "bearer" && browsed
				if row.Process || row.Name == "asset" || method == http.MethodGet && strings.HasPrefix(name, "field ") || odd && !nightly() {
					continue
				}
				all = append(all, attempt{method, row.Path, name, ways[name]})
			}
		}
	}
	return all
}

// nightly says whether the run may take long.
func nightly() bool { return os.Getenv("GATEHOUSE_TEST_NIGHTLY") == "1" }

// whole fills in what each endpoint wants beside the value, so that the value decides.
func whole(path, way string, query, form url.Values) {
	switch path {
	case "/token":
		form.Set("grant_type", "authorization_code")
		if strings.Contains(way, "refresh_token") {
			form.Set("grant_type", "refresh_token")
		}
		form.Set("redirect_uri", "https://app.example/cb")
		form.Set("code_verifier", verifier)
	case "/authorize":
		if !strings.HasSuffix(way, " i") && !strings.HasSuffix(way, " posted") {
			asked, _ := url.ParseQuery(strings.TrimPrefix(offline(nil), "/authorize?"))
			for name, values := range asked {
				query[name] = values
				form[name] = values
			}
			query.Set("prompt", "none")
			form.Set("prompt", "none")
		}
	case "/logout":
		query.Set("post_logout_redirect_uri", "https://app.example/bye")
		form.Set("post_logout_redirect_uri", "https://app.example/bye")
	case "/consent":
		form.Set("decision", "allow")
	}
}

var (
	refusalID = regexp.MustCompile(`[a-z-]+\.[0-9a-z]{8}\b`)
	sealed    = regexp.MustCompile(`[A-Za-z0-9_-]{40,}`)
)

// say sends the attempt with the value and tells the answer, without what differs from one answer
// to the next.
func (h *household) say(t *testing.T, a attempt, value string) string {
	t.Helper()
	query, form := url.Values{}, url.Values{}
	r, err := http.NewRequest(a.method, h.URL+a.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.carry(r, query, form, value)
	whole(a.path, a.name, query, form)
	sent, err := http.NewRequest(a.method, h.URL+a.path+"?"+query.Encode(), strings.NewReader(form.Encode()))
	if a.method == http.MethodGet {
		sent, err = http.NewRequest(a.method, h.URL+a.path+"?"+query.Encode(), nil)
	} else {
		sent.URL.RawQuery = ""
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", h.browser.Origin)
	}
	if err != nil {
		t.Fatal(err)
	}
	sent.Header = r.Header
	if a.method == http.MethodPost && a.name != "bearer" {
		sent.SetBasicAuth("web", webSecret)
	}
	answer := h.Do(t, sent)
	text := answer.Text
	if _, main, isPage := strings.Cut(text, "<main"); isPage { // around it, all pages are the same
		text = main
	}
	told := fmt.Sprintln(answer.StatusCode, answer.Header.Get("Location"), answer.Header.Get("WWW-Authenticate"), text)
	for _, cookie := range answer.Cookies() {
		told += fmt.Sprintln(cookie.Name, cookie.MaxAge, len(cookie.Value))
	}
	told = strings.ReplaceAll(told, url.QueryEscape(value), "VALUE")
	told = strings.ReplaceAll(told, value, "VALUE")
	return sealed.ReplaceAllString(refusalID.ReplaceAllString(told, "ID"), "SEALED")
}

// TestNothingOfOneTenantIsUsableInAnother brings everything that one tenant handed out to every
// endpoint of another in every place where a value can stand: the answer is that to a value which
// nobody handed out.
func TestNothingOfOneTenantIsUsableInAnother(t *testing.T) {
	spec.Covers(t, "CD-02", "IN-02")
	server := gatehousetest.Start(t, gatehousetest.Options{Tenant: twin})
	homes := []*household{
		furnish(t, gatehouse.DefaultTenant, server),
		furnish(t, "blue", server.AddTenant(t, "blue", "", twin)),
		furnish(t, "red", server.AddTenant(t, "red", "http://localhost:8080", twin)),
	}
	tried := 0
	for i, home := range homes {
		if i == len(homes)-1 && !nightly() {
			break
		}
		stranger := homes[(i+1)%len(homes)]
		before := events(t, home)
		for _, a := range attempts(stranger) {
			for _, p := range home.owns {
				tried++
				foreign, nobodys := stranger.say(t, a, p.value), stranger.say(t, a, damaged(p.value))
				if foreign != nobodys {
					t.Errorf("%s of %s at %s of %s, %s by %s:\n%s\na damaged one:\n%s", p.name, home.id, a.path, stranger.id, a.method, a.name, foreign, nobodys)
				}
			}
		}
		if after := events(t, home); after != before {
			t.Errorf("%s: attempts next door became events\n%s\n%s", home.id, before, after)
		}
	}
	if tried < 1000 {
		t.Errorf("only %d attempts", tried)
	}
	for _, home := range homes {
		home.goesOn(t)
	}
	homes[0].seesItsOwn(t)
}

// seesItsOwn says that the comparison sees a genuine value: each is taken somewhere at home.
func (h *household) seesItsOwn(t *testing.T) {
	t.Helper()
	all := attempts(h)
	for _, p := range furnish(t, h.id, h.Issuer).owns {
		if strings.HasPrefix(p.name, "cookie gh-device") || strings.HasPrefix(p.name, "cookie gh-browser") || p.name == "form token" {
			continue // they do nothing by themselves
		}
		if !slices.ContainsFunc(all, func(a attempt) bool { return h.say(t, a, p.value) != h.say(t, a, damaged(p.value)) }) {
			t.Errorf("no endpoint takes the %s of its own tenant", p.name)
		}
	}
}

func events(t *testing.T, h *household) string {
	t.Helper()
	found, err := h.Server().Store().Events(t.Context(), h.id, gatehouse.EventFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(len(found))
}

// goesOn says that at home everything is as good as before.
func (h *household) goesOn(t *testing.T) {
	t.Helper()
	bearer := func(token string) *http.Request {
		r, err := http.NewRequest(http.MethodGet, h.URL+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		return r
	}
	if answer := h.Do(t, bearer(h.value("access token"))); answer.StatusCode != http.StatusOK || answer.Member("sub") != "alice-1" {
		t.Errorf("%s: userinfo at home: %d %s", h.id, answer.StatusCode, answer.Text)
	}
	for _, name := range []string{"client's token", "opaque token"} {
		if answer := h.Post(t, "/introspect", "web", webSecret, url.Values{"token": {h.value(name)}}); answer.Member("active") != "true" || answer.Member("iss") != h.URL {
			t.Errorf("%s: %s at home: %s", h.id, name, answer.Text)
		}
	}
	if page := h.browser.Get(offline(url.Values{"prompt": {"none"}})); page.Location == nil || page.Location.Query().Get("code") == "" || page.Location.Query().Get("iss") != h.URL {
		t.Errorf("%s: the session at home: %d, sent to %v", h.id, page.StatusCode, page.Location)
	}
	if answer := refresh(t, h.Issuer, h.value("refresh token")); answer.StatusCode != http.StatusOK {
		t.Errorf("%s: refresh at home: %s", h.id, answer.Text)
	}
	if answer := redeem(t, h.Issuer, h.value("code")); answer.StatusCode != http.StatusOK {
		t.Errorf("%s: the code at home: %s", h.id, answer.Text)
	}
}

// TestTenantsDoNotShareKeysOrNames looks at what two tenants with the same people say of them.
func TestTenantsDoNotShareKeysOrNames(t *testing.T) {
	server := gatehousetest.Start(t, gatehousetest.Options{Tenant: twin})
	blue := server.AddTenant(t, "blue", "", twin)
	kids := map[string]bool{}
	for _, issuer := range []*gatehousetest.Issuer{server, blue} {
		for _, kid := range regexp.MustCompile(`"kid":"([^"]+)"`).FindAllString(issuer.NewBrowser(t).Get("/jwks").Text, -1) {
			if kids[kid] {
				t.Errorf("%s is in both key sets", kid)
			}
			kids[kid] = true
		}
	}
	if len(kids) < 4 {
		t.Fatalf("only %d keys", len(kids))
	}
	claims := func(issuer *gatehousetest.Issuer) string {
		token := issuer.Post(t, "/token", "web", webSecret, url.Values{"grant_type": {"client_credentials"}, "resource": {"https://api.example/"}}).Member("access_token")
		body, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if own := claims(blue); !strings.Contains(own, `"iss":"`+blue.URL+`"`) || strings.Contains(own, `"iss":"`+server.URL+`"`) {
		t.Errorf("the token's claims are %s", own)
	}
}

// TestSessionsOfTenantsLiveSideBySide signs one browser in at two tenants of one host, and out at one.
func TestSessionsOfTenantsLiveSideBySide(t *testing.T) {
	server := gatehousetest.Start(t, gatehousetest.Options{Tenant: twin})
	blue := server.AddTenant(t, "blue", "", twin)
	browser := server.NewBrowser(t)
	at := func(issuer *gatehousetest.Issuer, target string) string { return issuer.URL + target }
	signIn := func(issuer *gatehousetest.Issuer) {
		t.Helper()
		page := browser.Get(at(issuer, authorization))
		page = browser.Post(at(issuer, "/login"), page.With("username", "alice", "password", "wonderland-alice"))
		page = browser.Post(at(issuer, "/consent"), page.With("decision", "allow"))
		if page.Location == nil || page.Location.Query().Get("iss") != issuer.URL {
			t.Fatalf("%d at %s, sent to %v: %s", page.StatusCode, page.Path, page.Location, page.Text)
		}
	}
	signedIn := func(issuer *gatehousetest.Issuer) bool {
		page := browser.Get(at(issuer, authorization+"&prompt=none"))
		return page.Location != nil && page.Location.Query().Get("code") != ""
	}
	signIn(server)
	if signedIn(blue) {
		t.Error("signing in at one tenant signs in at the other")
	}
	signIn(blue)
	if !signedIn(server) || !signedIn(blue) {
		t.Error("one browser cannot be signed in at both")
	}
	page := browser.Get(at(blue, "/logout"))
	browser.Post(at(blue, "/logout/confirm"), page.With("decision", "yes"))
	if signedIn(blue) || !signedIn(server) {
		t.Errorf("after signing out of one: signed in there %v, at the other %v", signedIn(blue), signedIn(server))
	}
}

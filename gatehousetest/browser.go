package gatehousetest

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Browser keeps cookies and follows the server's own redirects, but stops at
// a redirect that leaves the server.
type Browser struct {
	t      testing.TB
	issuer *Issuer
	jar    http.CookieJar
	// Origin is sent with every POST, as browsers do.
	Origin string
}

// NewBrowser opens a browser without cookies.
func (i *Issuer) NewBrowser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{t, i, jar, i.origin(t)}
}

// origin is that of the issuer's pages (RFC 6454 §6.2).
func (i *Issuer) origin(t testing.TB) string {
	t.Helper()
	issuer, err := url.Parse(i.URL)
	if err != nil {
		t.Fatal(err)
	}
	return issuer.Scheme + "://" + issuer.Host
}

// Page is what a browser shows after following redirects: a page of ours, or
// the redirect that leaves the server (then Location is set).
type Page struct {
	Answer
	// Location is where the server sent the browser last, off the server.
	Location *url.URL
	// Path is the path of the page.
	Path string
}

// maxRedirects bounds what a browser follows.
const maxRedirects = 10

// Get opens a path with its query, or a URL of the issuer.
func (b *Browser) Get(target string) Page {
	b.t.Helper()
	return b.follow(http.MethodGet, b.absolute(target), nil)
}

// Post sends a form.
func (b *Browser) Post(target string, form url.Values) Page {
	b.t.Helper()
	return b.follow(http.MethodPost, b.absolute(target), form)
}

func (b *Browser) absolute(target string) string {
	if strings.HasPrefix(target, "/") {
		return b.issuer.URL + target
	}
	return target
}

// Once sends one request and follows nothing.
func (b *Browser) Once(method, target string, form url.Values) Answer {
	b.t.Helper()
	r, err := http.NewRequest(method, b.absolute(target), strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.Origin)
	}
	for _, cookie := range b.jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	answer := b.issuer.Do(b.t, r)
	b.jar.SetCookies(r.URL, answer.Cookies())
	return answer
}

func (b *Browser) follow(method, target string, form url.Values) Page {
	b.t.Helper()
	for range maxRedirects {
		answer := b.Once(method, target, form)
		location, err := answer.Location()
		if err != nil {
			return Page{Answer: answer, Path: answer.Request.URL.Path}
		}
		if !strings.HasPrefix(location.String(), b.issuer.URL+"/") {
			return Page{Answer: answer, Location: location, Path: answer.Request.URL.Path}
		}
		method, target, form = http.MethodGet, location.String(), nil
	}
	b.t.Fatalf("more than %d redirects, the last to %s", maxRedirects, target)
	return Page{}
}

// Cookies returns the browser's cookies for the server.
func (b *Browser) Cookies() []*http.Cookie {
	target, err := url.Parse(b.issuer.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.jar.Cookies(target)
}

var hiddenField = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`)
var attribute = regexp.MustCompile(`(name|value)="([^"]*)"`)

// Hidden returns the hidden fields of the page.
func (p Page) Hidden() url.Values {
	fields := url.Values{}
	for _, tag := range hiddenField.FindAllString(p.Text, -1) {
		var name, value string
		for _, found := range attribute.FindAllStringSubmatch(tag, -1) {
			if found[1] == "name" {
				name = found[2]
			} else {
				value = html.UnescapeString(found[2])
			}
		}
		fields.Set(name, value)
	}
	return fields
}

// With returns the hidden fields of the page with further fields, given as
// names and values in turn.
func (p Page) With(pairs ...string) url.Values {
	form := p.Hidden()
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

// SignIn opens an authorization request, signs in if the login page is shown,
// allows what the consent page asks, and returns the page that the browser
// ends at.
func (b *Browser) SignIn(authorization, username, password string) Page {
	b.t.Helper()
	page := b.Get(authorization)
	if strings.Contains(page.Text, `id="login-form"`) {
		page = b.Post("/login", page.With("username", username, "password", password))
	}
	if strings.Contains(page.Text, `id="consent-allow"`) {
		page = b.Post("/consent", page.With("decision", "allow"))
	}
	return page
}

package gatehousetest

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Browser keeps cookies and follows the redirects of the server, and of the sites
// that it visits, but stops at a redirect that leaves them.
type Browser struct {
	t      testing.TB
	issuer *Issuer
	jar    http.CookieJar
	sites  map[string]http.Handler // by origin
	// Origin is sent with every POST to the server, as browsers do.
	Origin string
}

// NewBrowser opens a browser without cookies.
func (i *Issuer) NewBrowser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{t, i, jar, map[string]http.Handler{}, i.origin(t)}
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
// the redirect that leaves all that the browser visits (then Location is set).
type Page struct {
	Answer
	// Location is where the browser was sent last, and does not go.
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
	r := b.request(method, target, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.Origin)
		if _, elsewhere := b.sites[origin(r.URL)]; elsewhere {
			r.Header.Set("Origin", origin(r.URL))
		}
	}
	return b.send(r)
}

func (b *Browser) request(method, target string, body io.Reader) *http.Request {
	b.t.Helper()
	r, err := http.NewRequest(method, b.absolute(target), body)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// refreshOf is a page that leads on at once: applications whose cookies are strict
// have one behind the sign-in.
var refreshOf = regexp.MustCompile(`<meta http-equiv="refresh" content="0;url=([^"]*)">`)

func (b *Browser) follow(method, target string, form url.Values) Page {
	b.t.Helper()
	for range maxRedirects {
		answer := b.Once(method, target, form)
		location, err := answer.Location()
		if refresh := refreshOf.FindStringSubmatch(answer.Text); err != nil && refresh != nil {
			location, err = answer.Request.URL.Parse(html.UnescapeString(refresh[1]))
		}
		if err != nil {
			return Page{Answer: answer, Path: answer.Request.URL.Path}
		}
		if !b.goes(location) {
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

var formAction = regexp.MustCompile(`<form[^>]*action="([^"]*)"`)

// Action is where the page's first form goes, "" without one.
func (p Page) Action() string {
	if found := formAction.FindStringSubmatch(p.Text); found != nil {
		return html.UnescapeString(found[1])
	}
	return ""
}

// SignIn opens an authorization request, signs in if the login page is shown,
// allows what the consent page asks, and returns the page that the browser
// ends at.
func (b *Browser) SignIn(authorization, username, password string) Page {
	b.t.Helper()
	page := b.Get(authorization)
	if strings.Contains(page.Text, `id="login-form"`) {
		page = b.Post(b.issuer.URL+"/login", page.With("username", username, "password", password))
	}
	if strings.Contains(page.Text, `id="consent-allow"`) {
		page = b.Post(b.issuer.URL+"/consent", page.With("decision", "allow"))
	}
	return page
}

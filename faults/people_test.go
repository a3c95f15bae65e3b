package faults

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"gatehouse/oauth"
)

const verifier = "a-code-verifier-of-at-least-forty-three-characters"

// What the client web asks people for: access that stays, access that ends with
// the session, and no ID token, which costs more than everything else.
const (
	lasting  = "openid offline_access api:read"
	sessions = "openid api:read"
	unnamed  = "api:read"
)

func authorization(scope, prompt string) string {
	query := url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {callback}, "scope": {scope},
		"code_challenge": {oauth.ChallengeS256(verifier)}, "code_challenge_method": {"S256"},
	}
	if prompt != "" {
		query.Set("prompt", prompt)
	}
	return "/authorize?" + query.Encode()
}

// person is somebody at a browser of their own.
type person struct {
	name  string
	http  *http.Client
	scope string // that the client asks for
}

func newPerson(name string) *person {
	jar, _ := cookiejar.New(nil) // without options it cannot fail
	browser := callers()
	browser.Jar = jar
	return &person{name, browser, lasting}
}

// errNotNow is the answer 503: nothing was done, or nobody knows.
var errNotNow = errors.New("503")

// unexpected is an answer that nobody may have, however bad the times.
type unexpected struct{ what string }

func (u *unexpected) Error() string { return u.what }

// open sends a request and follows redirects on the server, to a page or to the
// way out.
func (p *person) open(at *server, method, path string, form url.Values) (answer, error) {
	for range 8 {
		page, err := at.do(p.http, method, path, form)
		if err == nil && page.status == http.StatusServiceUnavailable {
			err = errNotNow
		}
		location := page.header.Get("Location")
		if err != nil || location == "" || strings.Contains(location, "://") && !strings.HasPrefix(location, at.issuer) {
			return page, err
		}
		method, path, form = http.MethodGet, strings.TrimPrefix(location, at.issuer), nil
	}
	return answer{}, &unexpected{"too many redirects"}
}

var (
	forms       = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// form returns the fields of the form that a page sends to a path, with more,
// given as names and values in turn.
func (a answer) form(action string, more ...string) (url.Values, bool) {
	for _, found := range forms.FindAllStringSubmatch(a.text, -1) {
		if found[1] != action {
			continue
		}
		fields := url.Values{}
		for _, field := range hiddenField.FindAllStringSubmatch(found[2], -1) {
			fields.Set(field[1], html.UnescapeString(field[2]))
		}
		for i := 0; i+1 < len(more); i += 2 {
			fields.Set(more[i], more[i+1])
		}
		return fields, true
	}
	return nil, false
}

// outcome is what came back at the client: a code, or the name of an error.
func (a answer) outcome() (code, problem string) {
	location, err := url.Parse(a.header.Get("Location"))
	if err != nil || !strings.HasPrefix(location.String(), callback) {
		return "", fmt.Sprintf("%d %s %.200s", a.status, location, a.text)
	}
	return location.Query().Get("code"), location.Query().Get("error")
}

// silently asks for a code without any page.
func (p *person) silently(at *server) (code, problem string, err error) {
	page, err := p.open(at, http.MethodGet, authorization(p.scope, "none"), nil)
	if err != nil {
		return "", "", err
	}
	if code, problem = page.outcome(); problem == "temporarily_unavailable" {
		err = errNotNow
	}
	return code, problem, err
}

// allows signs in where that is asked for, allows what the client wants, and
// returns the code.
func (p *person) allows(at *server) (code string, err error) {
	page, err := p.open(at, http.MethodGet, authorization(p.scope, "consent"), nil)
	return p.goesOn(at, page, err)
}

// goesOn goes on from a page, or a redirect, to the code.
func (p *person) goesOn(at *server, page answer, err error) (code string, _ error) {
	if location := page.header.Get("Location"); err == nil && strings.HasPrefix(location, "/") {
		page, err = p.open(at, http.MethodGet, location, nil)
	}
	if form, asked := page.form("/login", "username", p.name, "password", password); asked && err == nil {
		page, err = p.open(at, http.MethodPost, "/login", form)
	}
	form, asked := page.form("/consent", "decision", "allow")
	if asked && err == nil {
		page, err = p.open(at, http.MethodPost, "/consent", form)
	}
	if err != nil {
		return "", err
	}
	code, problem := page.outcome()
	if problem == "temporarily_unavailable" {
		return "", errNotNow
	}
	if code == "" {
		return "", &unexpected{fmt.Sprintf("%s allows and gets no code: %s", p.name, problem)}
	}
	return code, nil
}

// withdraws takes back on the account page what the client was allowed, and
// says whether there was something.
func (p *person) withdraws(at *server) (done bool, err error) {
	page, err := p.open(at, http.MethodGet, "/account", nil)
	if err != nil {
		return false, err
	}
	form, allowed := page.form("/account/permissions")
	if !allowed {
		return false, nil
	}
	page, err = at.do(p.http, http.MethodPost, "/account/permissions", form)
	if err == nil && page.status == http.StatusServiceUnavailable {
		err = errNotNow
	}
	if err == nil && !strings.Contains(page.header.Get("Location"), "done=withdrawn") {
		err = &unexpected{fmt.Sprintf("%s withdraws and is sent to %q: %d %.200s", p.name, page.header.Get("Location"), page.status, page.text)}
	}
	return err == nil, err
}

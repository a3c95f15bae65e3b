package interop

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// walker goes through the pages as a person would, with a cookie jar and
// without a browser.
type walker struct {
	client *http.Client
	fill   func(page string, who person) (action string, values url.Values, ok bool)
}

func newWalker(t *testing.T) *walker {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &walker{client: plainHTTP(jar), fill: fill}
}

// person signs in.
type person struct{ username, password string }

const (
	pagesAtMost  = 12          // redirects and forms of one authorization
	acceptsPages = "text/html" // by which mod_auth_openidc knows a person
)

// page is where a walk ended: at an address that was only asked for, or on a
// page that has no form to fill in.
type page struct {
	address *url.URL
	status  int
	body    string
}

// authorize follows an authorization request until the redirect URI and
// returns the parameters that came there.
func (w *walker) authorize(t *testing.T, address, redirectURI string, who person) url.Values {
	t.Helper()
	end := w.walk(t, address, redirectURI+"?", who)
	if query, reached := strings.CutPrefix(end.address.String(), redirectURI+"?"); reached {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	t.Fatalf("stopped at %s with %d: %.600s", end.address.Path, end.status, end.body)
	return nil
}

// walk follows redirects and fills in forms until a page that has none, or, if
// stop is not empty, until a redirect to an address that begins with it.
func (w *walker) walk(t *testing.T, address, stop string, who person) page {
	t.Helper()
	response, err := w.get(address)
	for range pagesAtMost {
		if err != nil {
			t.Fatal(err)
		}
		body, readErr := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		if closeErr := response.Body.Close(); readErr != nil || closeErr != nil {
			t.Fatal(readErr, closeErr)
		}
		at := response.Request.URL
		if location, locationErr := response.Location(); locationErr == nil {
			if stop != "" && strings.HasPrefix(location.String(), stop) {
				return page{address: location}
			}
			response, err = w.get(location.String())
			continue
		}
		action, values, ok := w.fill(string(body), who)
		if !ok {
			return page{address: at, status: response.StatusCode, body: string(body)}
		}
		target, parseErr := at.Parse(action)
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		response, err = w.post(at, target, values)
	}
	t.Fatalf("still no end after %d pages", pagesAtMost)
	return page{}
}

func (w *walker) get(address string) (*http.Response, error) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", acceptsPages)
	return w.client.Do(request)
}

func (w *walker) post(from, target *url.URL, values url.Values) (*http.Response, error) {
	request, err := http.NewRequest(http.MethodPost, target.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", acceptsPages)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", from.Scheme+"://"+from.Host)
	return w.client.Do(request)
}

var (
	formPattern      = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	inputPattern     = regexp.MustCompile(`<input\b([^>]*)>`)
	attributePattern = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

// fill answers the sign-in form with the person's password and the consent
// form with yes.
func fill(page string, who person) (action string, values url.Values, ok bool) {
	for _, form := range formPattern.FindAllStringSubmatch(page, -1) {
		head := attributesOf(form[1])
		if head["id"] != "login-form" && !strings.Contains(form[2], `id="consent-allow"`) {
			continue
		}
		values = url.Values{}
		for _, input := range inputPattern.FindAllStringSubmatch(form[2], -1) {
			attributes := attributesOf(input[1])
			values.Set(attributes["name"], attributes["value"])
		}
		if head["id"] == "login-form" {
			values.Set("username", who.username)
			values.Set("password", who.password)
		} else {
			values.Set("decision", "allow")
		}
		return head["action"], values, true
	}
	return "", nil, false
}

func attributesOf(tag string) map[string]string {
	found := map[string]string{}
	for _, match := range attributePattern.FindAllStringSubmatch(tag, -1) {
		found[match[1]] = html.UnescapeString(match[2])
	}
	return found
}

// get answers the status of a GET with a bearer token.
func get(t *testing.T, address, bearer string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		request.Header.Set("Authorization", fmt.Sprintf("Bearer %s", bearer))
	}
	response, err := plainHTTP(nil).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

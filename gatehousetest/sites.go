package gatehousetest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// HTTP is a client for what calls the issuer in a test, such as client.Config,
// bff.Config and resource.Config: it reaches the issuer and nobody else, without a
// socket.
func (i *Issuer) HTTP() *http.Client { return &http.Client{Transport: direct{i}} }

// direct is the way to the issuer: answers that have no end come as they are written,
// all others are searched for secrets.
type direct struct{ issuer *Issuer }

// feedPath is where the revocation feed is.
const feedPath = "/revocations"

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if origin(r.URL) != d.issuer.URL && !strings.HasPrefix(r.URL.String(), d.issuer.URL+"/") {
		return nil, fmt.Errorf("gatehousetest: %s is not the issuer of this test", origin(r.URL))
	}
	if strings.HasSuffix(r.URL.Path, feedPath) {
		return Streaming{d.issuer}.RoundTrip(r)
	}
	return d.issuer.RoundTrip(r)
}

// Visits lets the browser go to another site, too: an application that sends people to
// the issuer, say. origin is its scheme and host, without a slash at the end.
func (b *Browser) Visits(origin string, site http.Handler) { b.sites[origin] = site }

// Fetch is what a script of a page does: a request to the page's own origin, which
// browsers say in Origin and Sec-Fetch-Site. header are names and values in turn.
// Redirects are not followed.
func (b *Browser) Fetch(method, target, body string, header ...string) Answer {
	b.t.Helper()
	r := b.request(method, target, strings.NewReader(body))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	if method != http.MethodGet && method != http.MethodHead {
		r.Header.Set("Origin", origin(r.URL))
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.send(r)
}

// send has the site answer whose address the request has, with its cookies.
func (b *Browser) send(r *http.Request) Answer {
	b.t.Helper()
	for _, cookie := range b.jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	var answer Answer
	if site, known := b.sites[origin(r.URL)]; known {
		answer = ask(b.t, site, b.issuer.incoming(r))
	} else {
		answer = b.issuer.Do(b.t, r)
	}
	b.jar.SetCookies(r.URL, answer.Cookies())
	return answer
}

// goes says whether the browser may follow to an address.
func (b *Browser) goes(address *url.URL) bool {
	_, known := b.sites[origin(address)]
	return known || strings.HasPrefix(address.String(), b.issuer.URL+"/")
}

// ask hands a request straight to a handler.
func ask(t testing.TB, handler http.Handler, incoming *http.Request) Answer {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, incoming)
	response := recorder.Result()
	response.Request = incoming
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{response, string(body)}
}

// origin is that of an address (RFC 6454 §4).
func origin(address *url.URL) string { return address.Scheme + "://" + address.Host }

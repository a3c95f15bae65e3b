package faults

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// visitor is somebody in the middle of a sign-in, who sends one request of it again
// and again.
type visitor struct {
	*person
	at   *server
	what string
	send func() (answer, error)
	back bool   // the request is the client's, and not a browser's
	said answer // to the request, when it was served
}

// visitors are people at every step of a sign-in. Each is another user, at a
// browser of their own.
func visitors(at *server) []*visitor {
	at.Helper()
	var all []*visitor
	begin := func(what string) *visitor {
		v := &visitor{person: newPerson(fmt.Sprint("user", len(all))), at: at, what: what}
		all = append(all, v)
		return v
	}
	// walk follows the way from the authorization endpoint up to a request of which
	// it does not want the answer yet.
	walk := func(v *visitor, until func(method, path string) bool) {
		at.Helper()
		method, path := http.MethodGet, authorization(v.scope, "consent")
		var form url.Values
		for range 8 {
			if until(method, path) {
				v.send = func() (answer, error) { return at.do(v.http, method, path, form) }
				return
			}
			page, err := at.do(v.http, method, path, form)
			if err != nil {
				at.Fatal(err)
			}
			if location := page.header.Get("Location"); location != "" {
				method, path, form = http.MethodGet, strings.TrimPrefix(location, at.issuer), nil
				continue
			}
			method = http.MethodPost
			var asked bool
			if form, asked = page.form("/login", "username", v.name, "password", password); asked {
				path = "/login"
			} else if form, asked = page.form("/consent", "decision", "allow"); asked {
				path = "/consent"
			} else {
				at.Fatalf("%s: nowhere to go on from %d %s", v.what, page.status, page.text)
			}
		}
		at.Fatalf("%s: the way has no end", v.what)
	}
	for _, step := range []struct{ what, method, path string }{
		{"sign-in page", http.MethodGet, "/login?"},
		{"sign-in", http.MethodPost, "/login"},
		{"decision", http.MethodGet, "/authorize?i="},
		{"consent page", http.MethodGet, "/consent?"},
		{"consent", http.MethodPost, "/consent"},
	} {
		walk(begin(step.what), func(method, path string) bool { return method == step.method && strings.HasPrefix(path, step.path) })
	}
	v := begin("code")
	code, err := v.allows(at)
	if err != nil {
		at.Fatal(err)
	}
	v.back, v.send = true, func() (answer, error) { return at.redeem(code) }
	return all
}

// putOff sends the request, and says what is wrong with an answer that does not put
// it off as it should: in time, and a person on a page that tells when to try again.
func (v *visitor) putOff() error {
	asked := time.Now()
	said, err := v.send()
	if took := overdue(asked, told); err != nil || !said.notNow() || took > 0 {
		return fmt.Errorf("%s: %d %v %s %v; overdue after %v", v.what, said.status, said.header, said.text, err, took)
	}
	page := strings.Contains(said.text, `id="error-page"`) && strings.Contains(said.text, "try again")
	if page == v.back || v.back && said.member("error") != "temporarily_unavailable" {
		return fmt.Errorf("%s is told %v %s", v.what, said.header, said.text)
	}
	return nil
}

// tries sends the request while the database is slow: it is put off or served, in
// time, and served once is enough.
func (v *visitor) tries() error {
	if v.said.status != 0 {
		return nil
	}
	asked := time.Now()
	said, err := v.send()
	_, sentAway := said.outcome() // to the client, who would have to begin anew
	if took := overdue(asked, told); err != nil || took > 0 || sentAway == "temporarily_unavailable" || !said.notNow() && said.status >= http.StatusBadRequest {
		return fmt.Errorf("%s: %d %v %s %v; overdue after %v", v.what, said.status, said.header, said.text, err, took)
	}
	if !said.notNow() {
		v.said = said
	}
	return nil
}

// arrives sends the request once more, unless it was served, and goes on from there,
// with the same page and form, to the end. A code may have been redeemed by a commit
// for whose end the answer did not wait: then it is not redeemed again.
func (v *visitor) arrives() error {
	said, err := v.said, error(nil)
	if said.status == 0 {
		said, err = v.send()
	}
	if !v.back {
		var code string
		if code, err = v.goesOn(v.at, said, err); err == nil {
			said, err = v.at.redeem(code)
		}
	}
	if err == nil && v.back && strings.Contains(said.text, "code-replayed") {
		return nil
	}
	if err != nil || said.member("access_token") == "" {
		return fmt.Errorf("%s, after the outage: %d %s %v", v.what, said.status, said.text, err)
	}
	return nil
}

package client_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse/client"
)

func TestSignIn(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{Scope: "openid email", UserInfo: true})
	b := newBrowser(t)

	opened := b.get(a.URL + "/inbox?unread=1")
	authorize, err := url.Parse(opened.to(t))
	if err != nil {
		t.Fatal(err)
	}
	asked := authorize.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": clientID, "scope": "openid email", "redirect_uri": a.URL + "/callback", "code_challenge_method": "S256",
	} {
		if asked.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, asked.Get(name), want)
		}
	}
	back := b.get(authorize.String()).to(t)
	done := b.get(back)
	if got := done.to(t); got != a.URL+"/inbox?unread=1" {
		t.Errorf("sent to %s", got)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
		if done.Header.Get(name) != want {
			t.Errorf("the callback's %s is %q", name, done.Header.Get(name))
		}
	}
	if got := b.get(done.to(t)).text; got != "alice 17 at /inbox?unread=1" {
		t.Errorf("the application says %q", got)
	}
	if len(b.jar) != 1 {
		t.Errorf("cookies afterwards: %v", b.names())
	}
	form, header := p.last()
	if form.Get("client_secret") != "" || form.Get("client_id") != "" {
		t.Errorf("two ways of authentication: %v", form)
	}
	r := http.Request{Header: header}
	user, password, _ := r.BasicAuth()
	if user, _ = url.QueryUnescape(user); user != clientID {
		t.Errorf("user %q", user)
	}
	if password, _ = url.QueryUnescape(password); password != clientSecret {
		t.Errorf("the secret is not form-encoded: %q", password)
	}
	login := a.logins[0]
	if login.Subject != "alice" || login.Issuer != p.issuer || login.UserInfo.Text("email") != "alice@example.com" || login.Tokens.RefreshToken.IsZero() {
		t.Errorf("the login: %+v", login)
	}
}

func TestApplicationsThatRefuse(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{})
	a.refuse = errors.New("not on the list")
	b := newBrowser(t)
	if answer := b.signIn(a); answer.StatusCode != http.StatusForbidden || strings.Contains(answer.text, "list") || b.me(a) != "" {
		t.Errorf("%d %s, signed in as %q", answer.StatusCode, answer.text, b.me(a))
	}
	a.refuse = nil
	if b.signIn(a); b.me(a) == "" {
		t.Error("not signed in")
	}
}

func TestRequestsWithoutSession(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{})
	for name, test := range map[string]struct {
		method  string
		headers http.Header
		status  int
	}{
		"a page":       {"GET", http.Header{"Accept": {"text/html"}}, http.StatusSeeOther},
		"a navigation": {"GET", http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, http.StatusSeeOther},
		"a script":     {"GET", http.Header{"Accept": {"application/json"}}, http.StatusUnauthorized},
		"fetch":        {"GET", http.Header{"Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "Accept": {"text/html"}}, http.StatusUnauthorized},
		"a frame":      {"GET", http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}, "Accept": {"text/html"}}, http.StatusUnauthorized},
		"a form":       {"POST", http.Header{"Accept": {"text/html"}}, http.StatusUnauthorized},
	} {
		b := newBrowser(t)
		b.headers = test.headers
		answer := b.do(test.method, a.URL+"/x", nil)
		if answer.StatusCode != test.status {
			t.Errorf("%s: %d, want %d", name, answer.StatusCode, test.status)
		}
		if test.status == http.StatusUnauthorized && strings.TrimSpace(answer.text) != `{"error":"login_required"}` {
			t.Errorf("%s: %s", name, answer.text)
		}
	}
}

package client_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
)

// refusedCallback opens a callback and wants the status, no session, and no
// request to the token endpoint.
func refusedCallback(t *testing.T, p *provider, a *application, b *browser, target string, status int) {
	t.Helper()
	before := p.seen("/token")
	answer := b.get(target)
	if answer.StatusCode != status || b.me(a) != "" || len(answer.Header["Location"]) > 0 {
		t.Errorf("%d, signed in as %q, sent to %q; want %d\n%s", answer.StatusCode, b.me(a), answer.Header.Get("Location"), status, answer.text)
	}
	if p.seen("/token") != before {
		t.Error("the token endpoint was asked")
	}
}

// changed is a URL with parameters of its query replaced; nil takes one away.
func changed(target string, parameters url.Values) string {
	uri, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	query := uri.Query()
	for name, values := range parameters {
		if query[name] = values; values == nil {
			delete(query, name)
		}
	}
	uri.RawQuery = query.Encode()
	return uri.String()
}

func TestCallbacksThatBelongToNobody(t *testing.T) {
	spec.Covers(t, "CF-09")
	p := newProvider(t)
	a := p.application(t, client.Config{})
	for name, change := range map[string]url.Values{
		"no state":        {"state": nil},
		"an empty state":  {"state": {""}},
		"a foreign state": {"state": {"af0ifjsldkj"}},
		"two states":      {"state": {"af0ifjsldkj", "af0ifjsldkj"}},
		"no code":         {"code": nil},
		"two codes":       {"code": {"a", "b"}},
		"nothing at all":  {"state": nil, "code": nil, "iss": nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t)
			good := b.callbackOf(a)
			refusedCallback(t, p, a, b, changed(good, change), http.StatusBadRequest)
			if b.get(good); b.me(a) == "" {
				t.Error("the true callback does not sign in any more")
			}
		})
	}
	t.Run("the state of another browser", func(t *testing.T) {
		alice, mallory := newBrowser(t), newBrowser(t)
		alice.callbackOf(a)
		theirs := mallory.callbackOf(a)
		refusedCallback(t, p, a, alice, theirs, http.StatusBadRequest)
		if mallory.get(theirs); mallory.me(a) == "" {
			t.Error("the attempt of another browser used the login up")
		}
	})
	t.Run("used before", func(t *testing.T) {
		b := newBrowser(t)
		good := b.callbackOf(a)
		kept := newBrowser(t)
		for name, cookie := range b.jar {
			kept.jar[name] = cookie
		}
		if b.get(good); b.me(a) == "" {
			t.Fatal("not signed in")
		}
		refusedCallback(t, p, a, kept, good, http.StatusBadRequest)
	})
}

func TestLoginsExpire(t *testing.T) {
	spec.Covers(t, "CF-09")
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		b := newBrowser(t)
		b.network = network
		late := b.callbackOf(a)
		time.Sleep(client.LoginLife + time.Second)
		refusedCallback(t, p, a, b, late, http.StatusBadRequest)
		timely := b.callbackOf(a)
		time.Sleep(client.LoginLife - time.Second)
		p.change(func(p *provider) { p.metadata["version"] = 2 })
		if b.get(timely); b.me(a) == "" {
			t.Error("a login within its time does not sign in")
		}
	})
}

func TestSessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}, SessionLife: 5 * time.Hour, SessionIdle: time.Hour})
		b := newBrowser(t)
		b.network = network
		b.signIn(a)
		for range 5 { // in use, it lives on
			if b.me(a) == "" {
				t.Fatal("the session ended early")
			}
			time.Sleep(59 * time.Minute)
		}
		if b.me(a) == "" {
			t.Error("the session ended early")
		}
		time.Sleep(6 * time.Minute)
		if b.me(a) != "" {
			t.Error("the session outlived its life")
		}
		b.signIn(a)
		time.Sleep(time.Hour)
		if b.me(a) != "" {
			t.Error("the session outlived its idle time")
		}
	})
}

func TestErrorsOfTheIssuer(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{})
	p.callback = func(v url.Values) {
		v.Del("code")
		v.Set("error", "access_denied")
		v.Set("error_description", "The person said no.\r\nSet-Cookie: a=b")
	}
	b := newBrowser(t)
	refusedCallback(t, p, a, b, b.callbackOf(a), http.StatusForbidden)
	p.callback = nil
	if b.signIn(a); b.me(a) == "" {
		t.Error("not signed in afterwards")
	}
}

func TestMixUp(t *testing.T) {
	spec.Covers(t, "FD-07", "RFC9207-2.4-1")
	honest, hostile := newProvider(t), newProvider(t)
	a, other := honest.application(t, client.Config{CookieName: "honest"}), hostile.application(t, client.Config{CookieName: "hostile"})
	for name, change := range map[string]url.Values{
		"the other issuer": {"iss": {hostile.issuer}}, "a slash": {"iss": {honest.issuer + "/"}}, "in capitals": {"iss": {strings.ToUpper(honest.issuer)}},
		"missing": {"iss": nil}, "empty": {"iss": {""}}, "twice": {"iss": {honest.issuer, honest.issuer}},
		"an error of the other": {"iss": {hostile.issuer}, "error": {"access_denied"}, "code": nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t)
			good := b.callbackOf(a)
			refusedCallback(t, honest, a, b, changed(good, change), http.StatusBadRequest)
			if hostile.seen("/token") != 0 {
				t.Error("the other issuer's token endpoint was asked")
			}
			if b.get(good); b.me(a) == "" {
				t.Error("the true answer does not sign in any more")
			}
		})
	}
	t.Run("states that are swapped", func(t *testing.T) {
		b := newBrowser(t)
		mine, theirs := b.callbackOf(a), b.callbackOf(other)
		swapped, err := url.Parse(theirs)
		if err != nil {
			t.Fatal(err)
		}
		refusedCallback(t, honest, a, b, changed(mine, url.Values{"state": {swapped.Query().Get("state")}}), http.StatusBadRequest)
		refusedCallback(t, honest, a, b, changed(mine, swapped.Query()), http.StatusBadRequest)
		if b.get(mine); b.me(a) == "" {
			t.Error("the true answer does not sign in any more")
		}
	})
	t.Run("an issuer that never says iss", func(t *testing.T) {
		p := newProvider(t)
		delete(p.metadata, "authorization_response_iss_parameter_supported")
		p.callback = func(v url.Values) { v.Del("iss") }
		a, b := p.application(t, client.Config{}), newBrowser(t)
		if b.signIn(a); b.me(a) == "" {
			t.Error("not signed in")
		}
		refusedCallback(t, p, a, newBrowserAs(b), changed(newBrowserAs(b).callbackOf(a), url.Values{"iss": {"https://other.example"}}), http.StatusBadRequest)
	})
}

// newBrowserAs is a browser without cookies on the same network.
func newBrowserAs(b *browser) *browser {
	fresh := newBrowser(b.t)
	fresh.network = b.network
	return fresh
}

func TestTokensInTheRedirectAreNeverRead(t *testing.T) {
	spec.Covers(t, "BC-17", "FD-10")
	p := newProvider(t)
	a, b := p.application(t, client.Config{}), newBrowser(t)
	raw := sign(t, p.key, "JWT", claims{"iss": p.issuer, "sub": "mallory", "aud": clientID, "iat": time.Now().Unix(), "exp": time.Now().Unix() + 60})
	refusedCallback(t, p, a, b, changed(b.callbackOf(a), url.Values{"code": nil, "id_token": {raw}, "access_token": {"stolen"}, "token_type": {"Bearer"}}), http.StatusBadRequest)
	if b.get(changed(b.callbackOf(a), url.Values{"id_token": {raw}, "access_token": {"stolen"}})); !strings.HasPrefix(b.me(a), "alice") {
		t.Errorf("signed in as %q", b.me(a))
	}
	if got := a.logins[0].Tokens.AccessToken.Reveal(); got == "stolen" {
		t.Error("the access token of the redirect was taken")
	}
}

func TestSecretsOfALogin(t *testing.T) {
	spec.Covers(t, "PK-07", "PK-08", "SE-09")
	p := newProvider(t)
	c := p.client(t, client.Config{RedirectURI: "http://127.0.0.1/callback"})
	seen := map[string]bool{}
	const samples = 2000
	for range samples {
		address, tx, err := c.Begin(t.Context(), client.AuthorizationRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range []string{tx.State, tx.Nonce, tx.Verifier} {
			if decoded, err := base64.RawURLEncoding.DecodeString(one); err != nil || len(decoded)*8 < 128 || seen[one] {
				t.Fatalf("%q: %d octets, seen before: %v", one, len(decoded), seen[one])
			}
			seen[one] = true
		}
		if strings.Contains(address, tx.Verifier) {
			t.Fatal("the verifier is in the front channel")
		}
		if text := fmt.Sprintf("%v %+v %#v %s", tx, tx, tx, &tx); strings.Contains(text, tx.Verifier) || strings.Contains(text, tx.State) {
			t.Fatalf("a transaction prints as %s", text)
		}
	}
	a, b := p.application(t, client.Config{}), newBrowser(t)
	callback := b.callbackOf(a)
	var cookie string
	for name, one := range b.jar {
		cookie = name + "=" + one.Value
	}
	b.get(callback)
	form, _ := p.last()
	if verifier := form.Get("code_verifier"); verifier == "" || strings.Contains(callback+cookie, verifier) {
		t.Errorf("the verifier %q is at the browser: %s", verifier, cookie)
	}
}

func TestCookies(t *testing.T) {
	spec.Covers(t, "SE-02", "SE-10")
	p := newProvider(t)
	for _, test := range []struct {
		name    string
		config  client.Config
		tx      http.SameSite
		session http.SameSite
	}{
		{"as it comes", client.Config{}, http.SameSiteLaxMode, http.SameSiteLaxMode},
		{"strict", client.Config{SameSiteStrict: true}, http.SameSiteLaxMode, http.SameSiteStrictMode},
		{"by a form", client.Config{ResponseMode: "form_post"}, http.SameSiteNoneMode, http.SameSiteLaxMode},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.config.RedirectURI = "https://app.example/callback"
			c := p.client(t, test.config)
			w := httptest.NewRecorder()
			c.LoginHandler().ServeHTTP(w, httptest.NewRequest("GET", "https://app.example/login?return_to=/inbox", nil))
			tx := w.Result().Cookies()[0]
			check := func(w *http.Response, cookie *http.Cookie, site http.SameSite) {
				t.Helper()
				if !strings.HasPrefix(cookie.Name, "__Host-Http-session") || cookie.Path != "/" || cookie.Domain != "" || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != site {
					t.Errorf("%v", cookie)
				}
				if w.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("Cache-Control %q", w.Header.Get("Cache-Control"))
				}
			}
			check(w.Result(), tx, test.tx)

			authorize, err := w.Result().Location()
			if err != nil {
				t.Fatal(err)
			}
			b := newBrowser(t)
			back, err := url.Parse(b.get(authorize.String()).to(t))
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("GET", back.String(), nil)
			if test.config.ResponseMode == "form_post" {
				r = httptest.NewRequest("POST", "https://app.example/callback", strings.NewReader(back.RawQuery))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			r.AddCookie(tx)
			w = httptest.NewRecorder()
			c.CallbackHandler(nil).ServeHTTP(w, r)
			cookies := w.Result().Cookies()
			if len(cookies) != 2 || cookies[0].MaxAge >= 0 {
				t.Fatalf("%d: %v\n%s", w.Code, cookies, w.Body)
			}
			check(w.Result(), cookies[1], test.session)
			if strict := test.config.SameSiteStrict; strict != (w.Code == http.StatusOK) || strict != strings.Contains(w.Body.String(), `content="0;url=/inbox"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// One answer comes by one method alone.
func TestCallbackMethods(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{})
	b := newBrowser(t)
	good := b.callbackOf(a)
	back, err := url.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	if answer := b.do("POST", a.URL+"/callback", back.Query()); answer.StatusCode != http.StatusBadRequest || b.me(a) != "" {
		t.Errorf("POST: %d", answer.StatusCode)
	}
	if answer := b.do("HEAD", good, nil); answer.StatusCode != http.StatusBadRequest || b.me(a) != "" {
		t.Errorf("HEAD: %d", answer.StatusCode)
	}
	if b.get(good); b.me(a) == "" {
		t.Error("GET does not sign in")
	}
}

func TestParallelTabs(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{})
	b := newBrowser(t)
	var callbacks []string
	for range client.MaxLogins + 3 {
		callbacks = append(callbacks, b.callbackOf(a))
		time.Sleep(2 * time.Millisecond) // so that they have an order
	}
	if len(b.jar) != client.MaxLogins {
		t.Errorf("%d cookies, want %d", len(b.jar), client.MaxLogins)
	}
	refusedCallback(t, p, a, b, callbacks[0], http.StatusBadRequest) // dropped
	for _, callback := range callbacks[3:] {
		if answer := b.get(callback); answer.StatusCode != http.StatusSeeOther {
			t.Errorf("%d %s", answer.StatusCode, answer.text)
		}
	}
	if len(b.jar) != 1 || b.me(a) == "" {
		t.Errorf("cookies %v, signed in as %q", b.names(), b.me(a))
	}
	// Tabs that are opened at once know nothing of each other's cookies.
	b = newBrowser(t)
	tabs := []*browser{newBrowser(t), newBrowser(t), newBrowser(t)}
	callbacks = nil
	for _, tab := range tabs {
		callbacks = append(callbacks, tab.callbackOf(a))
	}
	for _, tab := range tabs {
		for name, cookie := range tab.jar {
			b.jar[name] = cookie
		}
	}
	for _, callback := range callbacks {
		if answer := b.get(callback); answer.StatusCode != http.StatusSeeOther {
			t.Errorf("%d %s", answer.StatusCode, answer.text)
		}
	}
}

func TestSessionsAreReplaced(t *testing.T) {
	spec.Covers(t, "SE-01", "SE-05")
	p := newProvider(t)
	a := p.application(t, client.Config{})
	b := newBrowser(t)
	name := ""
	b.signIn(a)
	for name = range b.jar {
	}
	old := newBrowser(t)
	old.jar[name] = b.jar[name]
	planted := &http.Cookie{Name: name, Value: strings.Repeat("a", 43)}
	victim := newBrowser(t)
	victim.jar[name] = planted
	victim.signIn(a)
	if victim.jar[name].Value == planted.Value {
		t.Error("the session has the id that was planted")
	}
	b.signIn(a)
	if b.jar[name].Value == old.jar[name].Value || old.me(a) != "" || b.me(a) == "" {
		t.Errorf("the old session is %q, the new one %q", old.me(a), b.me(a))
	}
}

func TestSomebodyElseSignedInMeanwhile(t *testing.T) {
	spec.Covers(t, "CF-17")
	p := newProvider(t)
	a := p.application(t, client.Config{})
	as := func(sub string) {
		p.change(func(p *provider) { p.idToken = func(c claims) claims { return c.with(claims{"sub": sub}) } })
	}
	b := newBrowser(t)
	as("mallory")
	first, second := b.callbackOf(a), b.callbackOf(a)
	as("alice")
	b.get(first)
	as("mallory")
	if answer := b.get(second); answer.StatusCode != http.StatusForbidden || !strings.HasPrefix(b.me(a), "alice") {
		t.Errorf("%d, now signed in as %q", answer.StatusCode, b.me(a))
	}
	// A login that alice herself began, in her session, may sign somebody else in.
	if b.signIn(a); !strings.HasPrefix(b.me(a), "mallory") {
		t.Errorf("signed in as %q", b.me(a))
	}
}

func FuzzCallback(f *testing.F) {
	p := newProvider(f)
	c := p.client(f, client.Config{RedirectURI: "http://127.0.0.1/callback"})
	w := httptest.NewRecorder()
	c.LoginHandler().ServeHTTP(w, httptest.NewRequest("GET", "/login", nil))
	cookie := w.Result().Cookies()[0]
	for _, seed := range []string{"code=1&state=2&iss=3", "state=&state=", "error=x&state=%00", "code=%zz", "", "state=%F0"} {
		f.Add(seed, cookie.Name, cookie.Value)
	}
	handler := c.CallbackHandler(nil)
	f.Fuzz(func(t *testing.T, query, name, value string) {
		r := httptest.NewRequest("GET", "/callback", nil)
		r.URL.RawQuery = query
		r.Header.Set("Cookie", name+"="+value)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || slices.ContainsFunc(w.Result().Cookies(), func(c *http.Cookie) bool { return c.MaxAge >= 0 }) {
			t.Fatalf("%d, cookies %v", w.Code, w.Result().Cookies())
		}
		if text, _ := io.ReadAll(w.Body); len(text) > 200 {
			t.Fatalf("it says %q", text)
		}
	})
}

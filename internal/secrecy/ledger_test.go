package secrecy

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// planted are secrets of every sort of character.
var planted = []string{
	"correct horse battery staple", `quotes "and" \slashes/ & <tags>`, "pässwörter-mit-ümläuten", "12345678", "a+b/c=d%41", "\x00\x01\x02\xff\xfe\x80binary", "ghr_AQAAAAdW1zZ3Q0bW9uc3Rlcg",
}

func finds(secret, text string) []string {
	var l Ledger
	l.Add(Password, secret)
	l.Search("the log", []byte(text))
	return l.Found()
}

// TestASecretIsFoundHoweverItIsWritten: the search can see.
func TestASecretIsFoundHoweverItIsWritten(t *testing.T) {
	for _, secret := range planted {
		encoded, err := json.Marshal(secret)
		if err != nil {
			t.Fatal(err)
		}
		plain := &bytes.Buffer{}
		encoder := json.NewEncoder(plain)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(secret); err != nil {
			t.Fatal(err)
		}
		forms := map[string]string{
			"in clear": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "HTML": html.EscapeString(secret), "JSON": string(encoded), "JSON with < and >": plain.String(),
			"hex": hex.EncodeToString([]byte(secret)), "HEX": fmt.Sprintf("%X", secret), "bytea": `\x` + hex.EncodeToString([]byte("before"+secret+"after")),
			"Go syntax": fmt.Sprintf("%q", secret),
		}
		if !strings.HasPrefix(string(encoded), `"`+secret[:1]) || !utf8.ValidString(secret) { // no text at all
			delete(forms, "JSON")
			delete(forms, "JSON with < and >")
			delete(forms, "Go syntax")
		}
		for behind := range 6 {
			around := strings.Repeat("x", behind) + secret + strings.Repeat("y", behind/2)
			forms[fmt.Sprint("base64 after ", behind)] = base64.StdEncoding.EncodeToString([]byte(around))
			forms[fmt.Sprint("base64url after ", behind)] = base64.RawURLEncoding.EncodeToString([]byte(around))
		}
		for name, text := range forms {
			for _, whole := range []string{text, "before " + text, text + " after", strings.Repeat("z", 1000) + text + strings.Repeat("z", 1000)} {
				if found := finds(secret, whole); len(found) != 1 || !strings.HasPrefix(found[0], "the log has a password, ") {
					t.Errorf("%q, %s: %q", secret, name, found)
				}
			}
		}
		for _, text := range []string{"", "short", secret[:len(secret)-1], strings.Repeat("nothing of it ", 100), strings.ToUpper(secret[:4]) + secret[4:]} {
			if found := finds(secret, text); len(found) > 0 && !strings.Contains(text, secret) {
				t.Errorf("%q was found in %q: %q", secret, text, found)
			}
		}
	}
}

func TestWhatIsNoSecret(t *testing.T) {
	var l Ledger
	l.Search("nothing was noted yet", []byte("some text"))
	l.Add(Password, "short")
	l.Public("told to everybody")
	l.Add(Password, "told to everybody")
	l.Add(Code, "ghc_first-counts")
	l.Add(Password, "ghc_first-counts")
	l.Add(Password, "told afterwards")
	l.Public("told afterwards")
	text := []byte("short, told to everybody, told afterwards, ghc_first-counts")
	l.Search("an answer", text, Code)
	if found := l.Found(); len(found) > 0 {
		t.Errorf("%q", found)
	}
	if l.Count() != 2 {
		t.Errorf("%d secrets", l.Count())
	}
	for range 3 {
		l.Search("the log", text)
	}
	if found := l.Found(); len(found) != 1 || found[0] != "the log has a code, in clear: ghc_…" {
		t.Errorf("%q", found)
	}
}

type complaints []string

func (*complaints) Helper() {}
func (c *complaints) Errorf(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

func TestReport(t *testing.T) {
	var l Ledger
	var said complaints
	l.Report(&said)
	if len(said) > 0 {
		t.Fatalf("%q", said)
	}
	for n := range 2 * maxReported {
		secret := fmt.Sprintf("secret number %d", n)
		l.Add(Key, secret)
		l.Search(fmt.Sprint("place ", n), []byte(secret))
	}
	l.Report(&said)
	if len(said) != 1 || strings.Count(said[0], "has a key") != maxReported || !strings.Contains(said[0], fmt.Sprint("and ", maxReported, " more")) || strings.Contains(said[0], "secret number") {
		t.Errorf("%q", said)
	}
}

// exchange plays a request and its answer.
func exchange(l *Ledger, method, target, form string, change func(*http.Request), status int, header map[string]string, body string) {
	r := httptest.NewRequest(method, target, strings.NewReader(form))
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	for name, value := range header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	l.Exchange(r, []byte(form), w.Result(), w.Body.Bytes())
}

// TestExchangesAreNoted: each secret that passes is known afterwards.
func TestExchangesAreNoted(t *testing.T) {
	var l Ledger
	basic := func(r *http.Request) { r.SetBasicAuth("web", url.QueryEscape("a secret & more of it")) }
	exchange(&l, "POST", "/token", "code=ghc_the-code-of-a-client&code_verifier=the-verifier-of-it-all&client_id=web", basic, 200, nil, `{"access_token":"the-access-token","refresh_token":"the-refresh-token","id_token":"the-id-token"}`)
	exchange(&l, "POST", "/login", "username=alice&password=password-of-alice", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "c", Value: "cookie-that-was-there"}) }, 303,
		map[string]string{"Set-Cookie": "gh=cookie-that-is-new; Path=/", "Location": "/authorize?i=sealed-interaction"}, "")
	exchange(&l, "GET", "/userinfo", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer the-bearer-token") }, 401, nil, "")
	exchange(&l, "GET", "/login?i=sealed", "", nil, 200, nil, `<form><input type="hidden" name="csrf" value="form-token&amp;more"><input type="hidden" name="code" value="the-posted-code"></form>`)
	if found := l.Found(); len(found) > 0 {
		t.Errorf("found where it may be: %q", found)
	}
	all := []string{
		"a secret & more of it", "ghc_the-code-of-a-client", "the-verifier-of-it-all", "the-access-token", "the-refresh-token", "the-id-token", "password-of-alice", "cookie-that-was-there",
		"cookie-that-is-new", "sealed-interaction", "the-bearer-token", "form-token&more", "the-posted-code",
	}
	for _, secret := range all {
		before := len(l.Found())
		l.Search("the log: "+secret, []byte(`{"msg":"`+secret+`"}`))
		if len(l.Found()) != before+1 {
			t.Errorf("nobody noted %s", secret)
		}
	}
}

// TestExchangesAreSearched: secrets in an answer that have no place there.
func TestExchangesAreSearched(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		status int
		header map[string]string
		body   string
		found  bool
	}{
		"a refusal tells the password":       {"/login", 422, nil, "wrong: the-password-of-alice", true},
		"a refusal tells a token":            {"/token", 400, nil, "not good: the-access-token", true},
		"a page tells a token":               {"/account", 200, nil, "<p>the-access-token</p>", true},
		"a redirect carries a token":         {"/authorize", 303, map[string]string{"Location": "https://app.example/cb?t=the-access-token"}, "", true},
		"a redirect carries a cookie":        {"/authorize", 303, map[string]string{"Location": "https://app.example/cb?c=cookie-of-alice"}, "", true},
		"a header carries a code":            {"/authorize", 200, map[string]string{"Link": "<https://app.example/?code=ghc_the-code>"}, "", true},
		"a cookie carries a token":           {"/login", 200, map[string]string{"Set-Cookie": "t=the-access-token"}, "", true},
		"a refusal tells a code":             {"/token", 400, nil, "used: ghc_the-code", true},
		"a redirect carries a code":          {"/authorize", 303, map[string]string{"Location": "https://app.example/cb?code=ghc_the-code"}, "", false},
		"the token endpoint tells a token":   {"/t/blue/token", 200, nil, `{"access_token":"the-access-token"}`, false},
		"a form posts a code to the client":  {"/authorize", 200, nil, `<input type="hidden" name="code" value="ghc_the-code">`, false},
		"a browser gets its cookie anew":     {"/login", 200, map[string]string{"Set-Cookie": "gh=cookie-of-alice"}, "", false},
		"a redirect repeats the hint it got": {"/logout", 303, map[string]string{"Location": "/logout?id_token_hint=the-id-token-of-alice"}, "", false},
	} {
		var l Ledger
		l.Add(Password, "the-password-of-alice")
		l.Add(AccessToken, "the-access-token")
		l.Add(Code, "ghc_the-code")
		l.Add(Cookie, "cookie-of-alice")
		l.Add(IDToken, "the-id-token-of-alice")
		exchange(&l, "POST", c.target, "", nil, c.status, c.header, c.body)
		if found := l.Found(); (len(found) > 0) != c.found {
			t.Errorf("%s: %q", name, found)
		}
	}
	// A name that the test also sends as a secret is none.
	var l Ledger
	exchange(&l, "POST", "/token", "client_id=the-same-text-as-both&client_secret=the-same-text-as-both", nil, 401, nil, "unknown: the-same-text-as-both")
	if found := l.Found(); len(found) > 0 {
		t.Errorf("%q", found)
	}
}

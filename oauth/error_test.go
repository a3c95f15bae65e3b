package oauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

// described holds only what RFC 6749 §5.2 lets an error_description have.
func described(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func TestRefusals(t *testing.T) {
	spec.Covers(t, "OIDF-28", "RFC6749-5.2-5")
	cause := errors.New("the cause")
	e := oauth.Refuse("code-invalid", oauth.InvalidGrant, "a \"quoted\" \\ line\r\n\tü\x7f").Because(cause).WithStatus(418).After(time.Second)
	if e.Description != "a 'quoted' ' line''''''" && !described(e.Description) || e.Status != 418 || e.RetryAfter != time.Second || !errors.Is(e, cause) {
		t.Errorf("%+v", e)
	}
	if !described(e.Public()) || strings.Contains(e.Public(), "the cause") || !strings.HasSuffix(e.Public(), " ("+e.ID+")") {
		t.Errorf("public: %s", e.Public())
	}
	if text := e.Error(); !strings.Contains(text, "the cause") || !strings.Contains(text, "invalid_grant") {
		t.Errorf("for the log: %s", text)
	}
	if text := oauth.Refuse("code-invalid", oauth.InvalidGrant, "x").Error(); !strings.HasPrefix(text, "invalid_grant: x (code-invalid.") {
		t.Errorf("without a cause: %s", text)
	}
	seen := map[string]bool{}
	for range 1000 {
		id := oauth.Refuse("code-invalid", oauth.InvalidGrant, "").ID
		if seen[id] || len(id) != len("code-invalid.")+8 {
			t.Fatalf("the id is %s", id)
		}
		seen[id] = true
	}
	for code, status := range map[oauth.Code]int{
		oauth.InvalidRequest: 400, oauth.InvalidClient: 401, oauth.InvalidToken: 401, oauth.InsufficientScope: 403, oauth.ServerError: 500, oauth.TemporarilyUnavailable: 503, oauth.AccessDenied: 400, "": 400,
	} {
		if got := oauth.Refuse("x", code, "").Status; got != status {
			t.Errorf("%s: status %d", code, got)
		}
	}
}

func TestFaultsSayNothing(t *testing.T) {
	spec.Covers(t, "LG-03")
	wrapped := fmt.Errorf("deep: %w", oauth.Refuse("code-invalid", oauth.InvalidGrant, "x"))
	if oauth.AsError(wrapped).Rule != "code-invalid" {
		t.Error("the refusal was not found")
	}
	fault := oauth.AsError(errors.New("/var/lib/gatehouse.db: disk I/O error"))
	if fault.Code != oauth.ServerError || fault.Cause == nil || strings.Contains(fault.Public(), "gatehouse.db") || !strings.HasPrefix(fault.ID, "server-error.") {
		t.Errorf("%+v", fault)
	}
	if _, known := oauth.LookupRule(fault.ID); !known {
		t.Error("server-error has no text")
	}
}

func TestWriters(t *testing.T) {
	write := func(with func(http.ResponseWriter)) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		with(w)
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Pragma") != "no-cache" || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
			t.Errorf("the headers are %v for %d bytes", w.Header(), w.Body.Len())
		}
		return w
	}
	r := httptest.NewRequest(http.MethodPost, "/token", nil)
	refused := oauth.Refuse("x", oauth.InvalidClient, "why")
	w := write(func(w http.ResponseWriter) { oauth.WriteError(w, r, refused) })
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") != "" || w.Body.String() != `{"error":"invalid_client","error_description":"`+refused.Public()+`"}` {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	r.Header.Set("Authorization", "Basic x")
	w = write(func(w http.ResponseWriter) { oauth.WriteError(w, r, refused) })
	if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("the challenge is %q", w.Header().Get("WWW-Authenticate"))
	}
	w = write(func(w http.ResponseWriter) {
		oauth.WriteError(w, r, oauth.Refuse("x", oauth.TemporarilyUnavailable, "").After(1500*time.Millisecond))
	})
	if w.Code != 503 || w.Header().Get("Retry-After") != "2" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w = write(func(w http.ResponseWriter) { oauth.WriteJSON(w, 200, func() {}) })
	if w.Code != 500 || w.Body.String() != `{"error":"server_error"}` {
		t.Errorf("what cannot be encoded: %d %s", w.Code, w.Body)
	}
	w = write(func(w http.ResponseWriter) {
		oauth.WriteJSON(w, 200, map[string]string{"a": "</script>\u2028"})
	})
	if strings.ContainsAny(w.Body.String(), "<>\u2028") || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s", w.Body)
	}
}

func TestWriteBearer(t *testing.T) {
	spec.Covers(t, "RFC6750-3-2")
	write := func(e *oauth.Error, scope oauth.Scope) (*httptest.ResponseRecorder, string) {
		w := httptest.NewRecorder()
		oauth.WriteBearer(w, e, scope)
		return w, w.Header().Get("WWW-Authenticate")
	}
	w, challenge := write(oauth.Refuse("x", "", "").WithStatus(401), nil)
	if w.Code != 401 || challenge != `Bearer realm="gatehouse"` || w.Body.Len() != 0 {
		t.Errorf("no token: %d %s %s", w.Code, challenge, w.Body)
	}
	refused := oauth.Refuse("x", oauth.InsufficientScope, `a "why"`)
	w, challenge = write(refused, oauth.Scope{"openid", "email"})
	if w.Code != 403 || challenge != `Bearer realm="gatehouse", error="insufficient_scope", error_description="`+refused.Public()+`", scope="openid email"` || strings.Count(challenge, `"`) != 8 {
		t.Errorf("%d %s", w.Code, challenge)
	}
	var body oauth.ErrorBody
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error != oauth.InsufficientScope {
		t.Errorf("%s, %v", w.Body, err)
	}
	if w, challenge = write(oauth.Fault(errors.New("x")), nil); w.Code != 500 || challenge != "" {
		t.Errorf("a fault: %d %s", w.Code, challenge)
	}
}

func TestRedirectURL(t *testing.T) {
	spec.Covers(t, "RFC6749-3.1.2-2")
	params := []oauth.Param{{Name: "code", Value: "a b&c"}, {Name: "state", Value: "ü\r\n"}}
	const encoded = "code=a+b%26c&state=%C3%BC%0D%0A"
	for uri, want := range map[string]string{
		"https://a.example/cb": "https://a.example/cb?" + encoded, "https://a.example/cb?": "https://a.example/cb?" + encoded, "https://a.example/cb?x=1": "https://a.example/cb?x=1&" + encoded,
		"https://a.example/cb?x=1&": "https://a.example/cb?x=1&" + encoded, "com.example.app:/cb": "com.example.app:/cb?" + encoded,
	} {
		if got := oauth.RedirectURL(uri, params); got != want {
			t.Errorf("%s: %s, want %s", uri, got, want)
		}
	}
	if got := oauth.RedirectURL("https://a.example/cb", nil); got != "https://a.example/cb" {
		t.Errorf("nothing to add: %s", got)
	}
}

func FuzzRedirectURL(f *testing.F) {
	f.Add("https://a.example/cb?x=1", "the state")
	f.Add("com.example.app:/cb", "\r\nSet-Cookie: x=1")
	f.Fuzz(func(t *testing.T, uri, state string) {
		if oauth.CheckRedirectURI(uri, oauth.RedirectRules{}) != nil {
			return
		}
		got := oauth.RedirectURL(uri, []oauth.Param{{Name: "state", Value: state}})
		_, raw, _ := strings.Cut(got, "?")
		query, err := url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
		if !strings.HasPrefix(got, uri) || strings.ContainsAny(got, "\r\n #") {
			t.Errorf("%q with %q is %q", uri, state, got)
		}
		if err == nil && !slices.Contains(query["state"], state) {
			t.Errorf("%q: the state %q came out as %q", uri, state, query["state"])
		}
	})
}

// TestEveryRuleSaysWhatItDemandsAndHowToMendIt.
func TestEveryRuleSaysWhatItDemandsAndHowToMendIt(t *testing.T) {
	names := oauth.RuleNames()
	if len(names) < 50 || !slices.IsSorted(names) {
		t.Fatalf("%d rules", len(names))
	}
	for _, name := range names {
		rule, found := oauth.LookupRule(name + ".abcdefgh")
		if !found || rule.Name != name {
			t.Errorf("%s is found as %q", name, rule.Name)
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%q is no name", name)
		}
		for part, text := range map[string]string{"text": rule.Text, "Mend": rule.Mend} {
			if len(text) < 20 || strings.Contains(text, "  ") {
				t.Errorf("%s: the %s is %q", name, part, text)
			}
		}
		if strings.HasSuffix(rule.See, ".") {
			t.Errorf("%s: See is %q", name, rule.See)
		}
	}
	for _, unknown := range []string{"", ".", "no-such-rule", "no-such-rule.code-invalid"} {
		if _, found := oauth.LookupRule(unknown); found {
			t.Errorf("%q was found", unknown)
		}
	}
}

func TestPKCE(t *testing.T) {
	spec.Covers(t, "RFC7636-4.1-1", "RFC7636-4.2-2")
	// RFC 7636 appendix B.
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if oauth.ChallengeS256(verifier) != challenge || !oauth.VerifyS256(verifier, challenge) || !oauth.ValidChallenge(challenge) {
		t.Error("the example of RFC 7636 fails")
	}
	for _, good := range []string{strings.Repeat("a", 43), strings.Repeat("~", 128), "-._~" + strings.Repeat("Z9", 20)} {
		if !oauth.ValidVerifier(good) || !oauth.VerifyS256(good, oauth.ChallengeS256(good)) {
			t.Errorf("%s is refused", good)
		}
	}
	for _, wrong := range []string{"", strings.Repeat("a", 42), strings.Repeat("a", 129), strings.Repeat("a", 42) + "+", strings.Repeat("a", 42) + "é", strings.Repeat("a", 43) + "\x00", strings.Repeat("a", 43) + " "} {
		if oauth.ValidVerifier(wrong) || oauth.VerifyS256(wrong, oauth.ChallengeS256(wrong)) {
			t.Errorf("%q is taken", wrong)
		}
	}
	for _, wrong := range []string{"", challenge + "=", challenge[:42], challenge + "A", challenge[:42] + "N", strings.Replace(challenge, "-", "+", 1), verifier + verifier, challenge[:20] + "\n" + challenge[20:]} {
		if oauth.ValidChallenge(wrong) || oauth.VerifyS256(verifier, wrong) {
			t.Errorf("%q is taken", wrong)
		}
	}
}

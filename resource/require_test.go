package resource_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/resource"
)

// api is a protected API with the log of its middleware.
type api struct {
	issuer  *issuer
	handler http.Handler
	log     *bytes.Buffer
}

func newAPI(t testing.TB, scopes ...string) *api {
	t.Helper()
	a := &api{issuer: newIssuer(t), log: &bytes.Buffer{}}
	rs := a.issuer.server(t, resource.Config{Logger: slog.New(slog.NewJSONHandler(a.log, nil))})
	a.handler = rs.Require(scopes...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, ok := resource.AccessFrom(r.Context())
		body, err := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(map[string]any{"access": access, "ok": ok && err == nil, "body": string(body)})
	}))
	return a
}

func (a *api) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	return w
}

func (a *api) get(authorization ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/photos", nil)
	for _, value := range authorization {
		r.Header.Add("Authorization", value)
	}
	return a.do(r)
}

// works is the positive control: a good token still opens the door.
func (a *api) works(t *testing.T) {
	t.Helper()
	if w := a.get("Bearer " + a.issuer.token(t, nil)); w.Code != http.StatusOK {
		t.Errorf("a good token is answered %d %s", w.Code, w.Body)
	}
}

// isRefusal checks an answer against RFC 6750 §3. code "" is a challenge
// without an error.
func isRefusal(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	challenge := w.Header().Get("WWW-Authenticate")
	if w.Code != status || !strings.HasPrefix(challenge, `Bearer realm="`) || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("answer %d %v, want %d", w.Code, w.Header(), status)
	}
	if code == "" {
		if strings.Contains(challenge, "error") || w.Body.Len() != 0 {
			t.Errorf("a request without a token is told %s and %q", challenge, w.Body)
		}
		return
	}
	if !strings.Contains(challenge, `, error="`+code+`", error_description="`) {
		t.Errorf("challenge %s, want error %s", challenge, code)
	}
	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body["error"] != code {
		t.Errorf("body %s, %v", w.Body, err)
	}
	if strings.Contains(w.Body.String(), "eyJ") || strings.Contains(challenge, "eyJ") {
		t.Errorf("the answer quotes the token: %s %s", challenge, w.Body)
	}
}

func TestAccess(t *testing.T) {
	spec.Covers(t, "RFC6750-2.1-1", "RFC9700-2.3-2")
	a := newAPI(t, "photos:read")
	expiry := time.Now().Add(time.Hour).Truncate(time.Second)
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER ", "Bearer   "} {
		w := a.get(scheme + a.issuer.token(t, claims{"exp": expiry.Unix(), "own": 7}))
		var got struct {
			OK     bool            `json:"ok"`
			Access resource.Access `json:"access"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || !got.OK {
			t.Fatalf("%q: %d %s", scheme, w.Code, w.Body)
		}
		access := got.Access
		if access.Issuer != a.issuer.URL || access.Claims.Subject != "alice" || access.ClientID != "web" || access.JTI != "jti-1" ||
			access.Scope.String() != "photos:read openid" || !access.Expiry.Equal(expiry) || string(access.Claims.Raw["own"]) != "7" {
			t.Errorf("access %+v", access)
		}
	}
	if n := a.issuer.jwksRequests.Load(); n != 1 {
		t.Errorf("%d requests for keys, want 1", n)
	}
	if _, ok := resource.AccessFrom(t.Context()); ok {
		t.Error("a context without access has one")
	}
}

func TestNoToken(t *testing.T) {
	spec.Covers(t, "RFC6750-3-1", "RFC6750-3.1-2", "RFC6750-2.3-2", "JW-24")
	a := newAPI(t, "photos:read")
	good := a.issuer.token(t, nil)
	isRefusal(t, a.get(), http.StatusUnauthorized, "")
	for _, other := range []string{"Basic YTpi", "DPoP " + good, good, "Bearer" + good, ""} {
		isRefusal(t, a.get(other), http.StatusUnauthorized, "")
	}
	t.Run("JW-24 token in the query", func(t *testing.T) {
		isRefusal(t, a.do(httptest.NewRequest(http.MethodGet, "/photos?access_token="+good, nil)), http.StatusUnauthorized, "")
		a.works(t)
	})
	t.Run("token in the body", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "/photos", strings.NewReader("access_token="+good))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		isRefusal(t, a.do(r), http.StatusUnauthorized, "")
	})
}

func TestSeveralTransports(t *testing.T) {
	spec.Covers(t, "RFC6750-2-1", "RFC6750-3.1-1", "JW-24")
	a := newAPI(t)
	good := a.issuer.token(t, nil)
	bearer := "Bearer " + good
	t.Run("two headers", func(t *testing.T) {
		isRefusal(t, a.get(bearer, bearer), http.StatusBadRequest, "invalid_request")
		isRefusal(t, a.get(bearer, "Basic YTpi"), http.StatusBadRequest, "invalid_request")
		isRefusal(t, a.get("", bearer), http.StatusBadRequest, "invalid_request")
	})
	t.Run("no token after the scheme", func(t *testing.T) {
		isRefusal(t, a.get("Bearer"), http.StatusBadRequest, "invalid_request")
		isRefusal(t, a.get("bearer  "), http.StatusBadRequest, "invalid_request")
	})
	for _, query := range []string{"access_token=" + good, "access_token", "a=b&access_token=x", "access%5Ftoken=x", "a=%zz&access_token=x"} {
		t.Run("JW-24 header and query "+query[:12], func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/photos?"+query, nil)
			r.Header.Set("Authorization", bearer)
			isRefusal(t, a.do(r), http.StatusBadRequest, "invalid_request")
		})
	}
	form := func(body, contentType string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/photos", strings.NewReader(body))
		r.Header.Set("Authorization", bearer)
		r.Header.Set("Content-Type", contentType)
		return r
	}
	t.Run("JW-24 header and body", func(t *testing.T) {
		isRefusal(t, a.do(form("a=b&access_token="+good, "application/x-www-form-urlencoded; charset=UTF-8")), http.StatusBadRequest, "invalid_request")
	})
	t.Run("a body that is looked at reaches the handler whole", func(t *testing.T) {
		for _, contentType := range []string{"application/x-www-form-urlencoded", "text/plain"} {
			want := "a=" + strings.Repeat("b", 200_000)
			var got struct{ Body string }
			w := a.do(form(want, contentType))
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Body != want {
				t.Errorf("%s: %d, %d octets, %v", contentType, w.Code, len(got.Body), err)
			}
		}
		r := form("", "application/x-www-form-urlencoded")
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("a=b"), brokenBody{}))
		if w := a.do(r); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"ok":false`) {
			t.Errorf("a broken body: %d %s", w.Code, w.Body)
		}
	})
	t.Run("a parameter that only resembles it", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodGet, "/photos?my_access_token=x&q=access_token", nil)
		r.Header.Set("Authorization", bearer)
		if w := a.do(r); w.Code != http.StatusOK {
			t.Errorf("answer %d", w.Code)
		}
	})
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestInvalidToken(t *testing.T) {
	spec.Covers(t, "RFC9068-4-6", "RFC6750-3-2", "JW-10", "JW-12")
	a := newAPI(t, "photos:read")
	good := a.issuer.token(t, nil)
	logout := a.issuer.claims().signed(t, issuerKey(), "logout+jwt")
	for name, raw := range map[string]string{
		"expired":              a.issuer.token(t, claims{"exp": time.Now().Add(-time.Hour).Unix()}),
		"forged":               a.issuer.claims().signed(t, attackerKey(), "at+jwt"),
		"JW-10 aud of another": a.issuer.token(t, claims{"aud": "https://other.test"}),
		"JW-10 no aud":         a.issuer.token(t, claims{"aud": nil}),
		"JW-12 ID token":       a.issuer.claims().signed(t, issuerKey(), "JWT"),
		"JW-12 logout token":   logout,
		"another issuer":       a.issuer.token(t, claims{"iss": "https://as2.test"}),
		"JW-01 none":           "eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".",
		"JW-22 dots":           strings.Repeat(".", 1<<20),
		"opaque":               "gha_abc",
		"two in one header":    good + ", Bearer " + good,
		"malformed scope":      a.issuer.token(t, claims{"scope": `a"b`}),
		"bound to a key":       a.issuer.token(t, claims{"cnf": claims{"jkt": "x"}}),
		"signature cut":        good[:len(good)-4],
	} {
		t.Run(name, func(t *testing.T) {
			isRefusal(t, a.get("Bearer "+raw), http.StatusUnauthorized, "invalid_token")
			a.works(t)
		})
	}
}

func TestInsufficientScope(t *testing.T) {
	spec.Covers(t, "RFC6750-3.1-3", "RFC6750-3.1-1", "RFC9700-2.3-3")
	a := newAPI(t, "photos:read", "photos:write albums:write", "photos:read")
	w := a.get("Bearer " + a.issuer.token(t, nil))
	isRefusal(t, w, http.StatusForbidden, "insufficient_scope")
	if challenge := w.Header().Get("WWW-Authenticate"); !strings.HasSuffix(challenge, `, scope="photos:read photos:write albums:write"`) {
		t.Errorf("the challenge does not name all scopes: %s", challenge)
	}
	if !strings.Contains(a.log.String(), `"jti":"jti-1"`) {
		t.Errorf("the log does not name the token: %s", a.log)
	}
	isRefusal(t, a.get("Bearer "+a.issuer.token(t, claims{"scope": nil})), http.StatusForbidden, "insufficient_scope")
	isRefusal(t, a.get("Bearer "+a.issuer.token(t, claims{"scope": "PHOTOS:READ photos:writer albums:write"})), http.StatusForbidden, "insufficient_scope")
	if w := a.get("Bearer " + a.issuer.token(t, claims{"scope": "albums:write photos:write photos:read more"})); w.Code != http.StatusOK {
		t.Errorf("all scopes: %d %s", w.Code, w.Body)
	}
}

func TestScopesOfTheProgram(t *testing.T) {
	a := newAPI(t)
	rs := a.issuer.server(t, resource.Config{})
	for _, scope := range []string{"", " ", `a"b`, "a\nb", "ä"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Require(%q) does not panic", scope)
				}
			}()
			rs.Require(scope)
		}()
	}
	if w := a.get("Bearer " + a.issuer.token(t, claims{"scope": nil})); w.Code != http.StatusOK {
		t.Errorf("no scope needed, none given: %d", w.Code)
	}
}

func TestAuditLog(t *testing.T) {
	a := newAPI(t, "photos:read")
	good, forged := a.issuer.token(t, nil), a.issuer.claims().signed(t, attackerKey(), "at+jwt")
	lines := func() []string { return strings.Split(strings.TrimSpace(a.log.String()), "\n") }
	a.works(t)
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], `"decision":"allowed","method":"GET","path":"/photos","jti":"jti-1","client_id":"web","sub":"alice","iss":"`+a.issuer.URL+`"`) {
		t.Errorf("log %q", got)
	}
	a.get("Bearer " + forged)
	if got := lines(); len(got) != 2 || !strings.Contains(got[1], `"decision":"refused"`) || !strings.Contains(got[1], "resource-token-invalid.") || strings.Contains(got[1], "jti-1") {
		t.Errorf("log %q", got)
	}
	r := httptest.NewRequest(http.MethodGet, "/photos?access_token="+good, nil)
	r.URL.Path = "/" + strings.Repeat("long", 1000)
	a.do(r)
	if got := lines(); len(got) != 3 || len(got[2]) > 1000 {
		t.Errorf("log %q", got)
	}
	elsewhere := a.issuer.token(t, claims{"aud": "https://elsewhere.test"})
	a.get("Bearer " + elsewhere)
	if got := lines(); len(got) != 4 || !strings.Contains(got[3], `"expected_audience":"`+audience+`"`) || strings.Contains(got[1], "expected_audience") {
		t.Errorf("log %q", got)
	}
	for _, raw := range []string{good, forged, elsewhere} {
		for part := range strings.SplitSeq(raw, ".") {
			if strings.Contains(a.log.String(), part) {
				t.Errorf("the log has part of a token: %s", a.log)
			}
		}
	}
}

func TestKeysUnavailable(t *testing.T) {
	a := newAPI(t, "photos:read")
	a.issuer.down.Store(true)
	w := a.get("Bearer " + a.issuer.token(t, nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("answer %d %v", w.Code, w.Header())
	}
	isRefusal(t, a.get(), http.StatusUnauthorized, "")
	isRefusal(t, a.get("Bearer x"), http.StatusUnauthorized, "invalid_token") // needs no key to be refused
	if n := a.issuer.requests.Load(); n != 1 {
		t.Errorf("%d requests to an issuer that is down, want 1", n)
	}
	if !strings.Contains(a.log.String(), "status 502") {
		t.Errorf("the log does not tell the cause: %s", a.log)
	}
	a.issuer.down.Store(false)
	time.Sleep(time.Second) // the first pause of a key set that was never there
	a.works(t)
}

func TestUnknownKidStorm(t *testing.T) {
	spec.Covers(t, "JW-17")
	a := newAPI(t)
	a.works(t)
	for range 200 { // JW-17
		key, err := jose.GenerateKey(jose.ES256, "random")
		if err != nil {
			t.Fatal(err)
		}
		isRefusal(t, a.get("Bearer "+a.issuer.claims().signed(t, key, "at+jwt")), http.StatusUnauthorized, "invalid_token")
	}
	if n := a.issuer.jwksRequests.Load(); n != 1 {
		t.Errorf("JW-17: %d requests for keys, want 1", n)
	}
	a.works(t)
}

package bff_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/gatehousetest"
	"gatehouse/internal/proxy/proxytest"
	"gatehouse/kv"
)

const (
	origin       = "https://app.example"
	clientSecret = "app-secret-that-is-long-enough-to-be-random"
)

// tenant has the application, once for each name of an issuer that tests give.
const tenant = `
settings:
  access_token_lifetime: 10m
resources:
  - identifier: https://photos.example
    scopes:
      - name: photos:read
        description: See your photos
  - identifier: https://albums.example
    scopes:
      - name: albums:read
        description: See your albums
clients:
  - client_id: app
    client_name: Example App
    client_secret: ` + clientSecret + `
    redirect_uris: [https://app.example/bff/callback, https://app.example/bff/callback/work]
    post_logout_redirect_uris: [https://app.example/bff/logged-out, https://app.example/bff/logged-out/work]
    grant_types: [authorization_code, refresh_token]
    scope: openid profile email offline_access photos:read albums:read
users:
  - username: alice
    password: wonderland-alice
    name: Alice Example
    email: alice@example.com
`

var sealingKey = []byte("0123456789abcdef0123456789abcdef")

// line is the way from the BFF to the issuer: it can be cut, and keeps what passes.
type line struct {
	issuer *gatehousetest.Issuer

	mu     sync.Mutex
	cut    map[string]bool // paths
	answer map[string]int  // statuses, by path
	code   string          // in these answers
	lose   int             // answers of the token endpoint
	forms  map[string][]url.Values
	// expired has the tokens of the next login end at once.
	expired bool
	tokens  []string // every access and refresh token that passed
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ := url.ParseQuery(string(body))
		l.forms[r.URL.Path] = append(l.forms[r.URL.Path], form)
	}
	if l.cut[r.URL.Path] {
		return nil, errors.New("connection reset by peer")
	}
	if status := l.answer[r.URL.Path]; status != 0 {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(`{"error":"` + l.code + `"}`)), Request: r}, nil
	}
	response, err := l.issuer.RoundTrip(r)
	if l.lose > 0 && r.URL.Path == "/token" {
		l.lose--
		return nil, errors.New("connection reset by peer")
	}
	if err == nil && strings.HasSuffix(r.URL.Path, "/token") {
		text, _ := io.ReadAll(response.Body)
		if l.expired {
			l.expired = false
			text = bytes.Replace(text, []byte(`"expires_in":600`), []byte(`"expires_in":0`), 1)
			response.ContentLength = int64(len(text))
			response.Header.Del("Content-Length")
		}
		response.Body = io.NopCloser(bytes.NewReader(text))
		for _, name := range []string{"access_token", "refresh_token"} {
			if _, rest, found := strings.Cut(string(text), `"`+name+`":"`); found {
				value, _, _ := strings.Cut(rest, `"`)
				l.tokens = append(l.tokens, value)
			}
		}
	}
	return response, err
}

func (l *line) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// asked counts the forms that were sent to a path.
func (l *line) asked(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.forms[path])
}

func (l *line) seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.tokens)
}

// stage is an issuer, an API, and replicas of a BFF between them.
type stage struct {
	*testing.T
	issuer *gatehousetest.Issuer
	line   *line
	api    *httptest.Server
	fronts []*httptest.Server
	bffs   []*bff.BFF
	log    *proxytest.Log
	person *gatehousetest.Browser // alice's, at the issuer

	flooded chan struct{} // one for each flood that was stopped

	mu  sync.Mutex
	saw []*http.Request // by the API
}

// newStage starts one replica for each store; change may change each one's Config.
func newStage(t *testing.T, stores []kv.Store, change func(*bff.Config)) *stage {
	t.Helper()
	s := &stage{T: t, issuer: gatehousetest.Start(t, gatehousetest.Options{Tenant: tenant}), log: &proxytest.Log{}, flooded: make(chan struct{}, 1)}
	s.person = s.issuer.NewBrowser(t)
	s.line = &line{issuer: s.issuer, cut: map[string]bool{}, answer: map[string]int{}, forms: map[string][]url.Values{}}
	s.api = httptest.NewServer(http.HandlerFunc(s.serveAPI))
	t.Cleanup(s.api.Close)
	if stores == nil {
		stores = []kv.Store{nil}
	}
	for _, store := range stores {
		config := bff.Config{
			URL: origin, Store: store, StreamCheck: 50 * time.Millisecond, Logger: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Issuers: []bff.Issuer{s.application("")},
			Upstreams: []bff.Upstream{{Path: "/api", URL: s.api.URL + "/v1", MaxBody: 1 << 10, Routes: []bff.Route{
				{Path: "/photos", Methods: []string{"GET", "POST"}}, {Path: "/photos/{id}", Methods: []string{"GET", "DELETE"}},
				{Path: "/events", Methods: []string{"GET"}, Stream: true}, {Path: "/flood", Methods: []string{"GET"}, Stream: true}, {Path: "/socket", Methods: []string{"GET"}, Stream: true},
				{Path: "/cached", Methods: []string{"GET"}}, {Path: "/refuse", Methods: []string{"GET"}}, {Path: "/hang", Methods: []string{"GET"}},
			}}, {Path: "/open", URL: s.api.URL + "/open", Anonymous: true, Routes: []bff.Route{{Path: "/{rest...}", Methods: []string{"GET", "OPTIONS"}}}}},
			Files: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the page") }),
		}
		if store != nil {
			config.Keys = [][]byte{sealingKey}
		}
		if change != nil {
			change(&config)
		}
		one, err := bff.New(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewServer(one)
		t.Cleanup(func() {
			one.EndStreams()
			front.Close()
			if err := one.Close(); err != nil {
				t.Error(err)
			}
		})
		s.bffs, s.fronts = append(s.bffs, one), append(s.fronts, front)
	}
	return s
}

// application is the registered client, at the issuer under a name.
func (s *stage) application(name string) bff.Issuer {
	return bff.Issuer{Name: name, Issuer: s.issuer.URL, Client: client.Config{
		ClientID: "app", ClientSecret: client.NewSecret(clientSecret), Scope: "openid profile email offline_access photos:read",
		Resources: []string{"https://photos.example"}, UserInfo: true, HTTPClient: &http.Client{Transport: s.line},
	}}
}

// serveAPI is the API: it remembers what it saw.
func (s *stage) serveAPI(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.saw = append(s.saw, r.Clone(r.Context()))
	s.mu.Unlock()
	switch r.URL.Path {
	case "/v1/events":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case "/v1/flood":
		w.Header().Set("Content-Type", "text/event-stream")
		for _, err := io.WriteString(w, "data: first\n\n"); err == nil; _, err = io.WriteString(w, "data: "+strings.Repeat("x", 8<<10)+"\n\n") {
			if r.Context().Err() != nil {
				break
			}
		}
		s.flooded <- struct{}{}
	case "/v1/socket":
		s.serveSocket(w)
	case "/v1/hang":
		<-r.Context().Done()
	case "/v1/cached":
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("Set-Cookie", "__Host-Http-bff=evil; Path=/; Secure")
		w.Header().Add("Set-Cookie", "theme=dark")
		w.Header().Set("Access-Control-Allow-Origin", "https://evil.example")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	case "/v1/refuse":
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
		w.WriteHeader(http.StatusForbidden)
	default:
		_, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.RequestURI())
	}
}

// serveSocket says one word in another protocol and waits for the end.
func (s *stage) serveSocket(w http.ResponseWriter) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "websocket")
	w.WriteHeader(http.StatusSwitchingProtocols)
	connection, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.Error(err)
		return
	}
	defer connection.Close()
	_, _ = buffered.WriteString("first\n")
	_ = buffered.Flush()
	_, _ = io.Copy(io.Discard, connection)
}

// last is the request that the API saw last, nil for none.
func (s *stage) last() *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.saw) == 0 {
		return nil
	}
	return s.saw[len(s.saw)-1]
}

func (s *stage) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.saw)
}

// browser is a person's, at one of the replicas. It keeps all that it saw.
type browser struct {
	*stage
	replica int
	jar     map[string]string
	set     []*http.Cookie // all that were set
	at      *gatehousetest.Browser
	text    strings.Builder
}

func (s *stage) browser() *browser {
	return &browser{stage: s, jar: map[string]string{}, at: s.person}
}

type page struct {
	*http.Response
	text string
}

func (p page) String() string { return fmt.Sprintf("%d %v\n%s", p.StatusCode, p.Header, p.text) }

// ours are the headers of a script of our page.
var ours = http.Header{"X-Csrf": {"1"}, "Sec-Fetch-Site": {"same-origin"}}

func with(h http.Header, pairs ...string) http.Header {
	h = h.Clone()
	for i := 0; i < len(pairs); i += 2 {
		if h[pairs[i]] = []string{pairs[i+1]}; pairs[i+1] == "" {
			delete(h, pairs[i])
		}
	}
	return h
}

func (b *browser) request(method, path string, headers http.Header, body io.Reader) *http.Request {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.fronts[b.replica].URL+path, body)
	if err != nil {
		b.Fatal(err)
	}
	r.Header = headers.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

func (b *browser) do(method, path string, headers http.Header, body io.Reader) page {
	b.Helper()
	response, err := http.DefaultTransport.RoundTrip(b.request(method, path, headers, body))
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	for _, cookie := range response.Cookies() {
		b.set = append(b.set, cookie)
		if b.jar[cookie.Name] = cookie.Value; cookie.MaxAge < 0 {
			delete(b.jar, cookie.Name)
		}
	}
	p := page{response, string(text)}
	b.text.WriteString(p.String())
	return p
}

// call is what a script of our page does.
func (b *browser) call(method, path string) page {
	b.Helper()
	return b.do(method, path, ours, nil)
}

// callback begins a login and returns the path that the issuer sends the browser
// back to.
func (b *browser) callback(login string) string {
	b.Helper()
	begun := b.do("GET", login, http.Header{"Sec-Fetch-Dest": {"document"}}, nil)
	if begun.StatusCode != http.StatusSeeOther {
		b.Fatalf("%s: %v", login, begun)
	}
	done := b.at.SignIn(begun.Header.Get("Location"), "alice", "wonderland-alice")
	if done.Location == nil || done.Location.Host != "app.example" {
		b.Fatalf("the issuer: %d at %s to %v\n%s", done.StatusCode, done.Path, done.Location, done.Text)
	}
	return done.Location.RequestURI()
}

func (b *browser) signIn() page {
	b.Helper()
	done := b.do("GET", b.callback("/bff/login?return_to=/here"), nil, nil)
	if done.StatusCode != http.StatusOK {
		b.Fatalf("the callback: %v\n%s", done, b.log)
	}
	return done
}

// signedIn says whether the BFF knows who this is.
func (b *browser) signedIn() bool {
	b.Helper()
	return b.call("GET", "/bff/user").StatusCode == http.StatusOK
}

func (b *browser) names() []string { return slices.Sorted(maps.Keys(b.jar)) }

// copied is another browser with the same cookies.
func (b *browser) copied() *browser {
	thief := b.stage.browser()
	thief.jar = maps.Clone(b.jar)
	return thief
}

// wantRefusal holds a refusal against status and code.
func wantRefusal(t testing.TB, about string, p page, status int, code string) {
	t.Helper()
	if p.StatusCode != status || !strings.Contains(p.text, `"error":"`+code+`"`) || p.Header.Get("Content-Type") != "application/json" || p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: want %d %s, got %v", about, status, code, p)
	}
	if p.Header.Get("Access-Control-Allow-Origin") != "" || p.Header.Get("Location") != "" {
		t.Errorf("%s: %v", about, p)
	}
}

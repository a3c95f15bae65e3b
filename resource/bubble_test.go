package resource_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/jose"
	"gatehouse/resource"
	"gatehouse/revocation"
)

const (
	asURL     = "https://as.test"
	asClient  = "rs"
	asSecret  = "the secret of rs:%"
	rightAuth = "Basic cnM6dGhlK3NlY3JldCtvZitycyUzQSUyNQ==" // form-encoded inside (RFC 6749 §2.3.1)
)

// as is an authorization server in memory, so that synctest can move the clock.
type as struct {
	mu       sync.Mutex
	keys     []jose.PublicKey
	active   map[string]string // of opaque tokens, and JWTs, the answer
	down     bool              // introspection fails
	feedDown bool
	feed     []revocation.Entry
	told     chan struct{} // closed when the feed grows

	asked, fetched, feeds atomic.Int64
	slow                  time.Duration
	answer                http.HandlerFunc // in place of the introspection endpoint
}

func newAS() *as {
	return &as{keys: []jose.PublicKey{issuerKey().Public()}, active: map[string]string{}, told: make(chan struct{})}
}

func (a *as) change(f func(*as)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

// revoke has the feed tell of an end.
func (a *as) revoke(claim revocation.Claim, value string) {
	a.change(func(a *as) {
		a.feed = append(a.feed, revocation.Entry{Claim: claim, Value: value, Expiry: time.Now().Add(time.Hour)})
		close(a.told)
		a.told = make(chan struct{})
	})
}

// RoundTrip answers requests to any host: the tests see to it which.
func (a *as) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/revocations" {
		return a.stream(r)
	}
	w := httptest.NewRecorder()
	a.serve(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response := w.Result()
	response.Request = r
	return response, nil
}

func (a *as) serve(w http.ResponseWriter, r *http.Request) {
	issuer := "https://" + r.URL.Host
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%[1]s/jwks","introspection_endpoint":"%[1]s/introspect","revocation_feed_endpoint":"%[1]s/revocations"}`, issuer)
	case "/jwks":
		a.fetched.Add(1)
		a.mu.Lock()
		defer a.mu.Unlock()
		_ = json.NewEncoder(w).Encode(jose.KeySet{Keys: a.keys})
	case "/introspect":
		a.asked.Add(1)
		a.introspect(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (a *as) introspect(w http.ResponseWriter, r *http.Request) {
	if a.slow > 0 {
		select {
		case <-time.After(a.slow):
		case <-r.Context().Done():
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.answer != nil:
		a.answer(w, r)
		return
	case a.down:
		w.WriteHeader(http.StatusBadGateway)
		return
	case r.Method != http.MethodPost || r.Header.Get("Authorization") != rightAuth || r.ParseForm() != nil || r.PostForm.Get("token_type_hint") != "access_token":
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer, known := a.active[r.PostForm.Get("token")]
	if !known {
		answer = `{"active":false}`
	}
	_, _ = io.WriteString(w, answer)
}

// stream is the revocation feed.
func (a *as) stream(r *http.Request) (*http.Response, error) {
	a.feeds.Add(1)
	a.mu.Lock()
	down := a.feedDown
	a.mu.Unlock()
	if down || r.Header.Get("Authorization") != rightAuth {
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	reader, writer := io.Pipe()
	go func() {
		stop := context.AfterFunc(r.Context(), func() { _ = writer.Close() })
		defer stop()
		defer writer.Close()
		out := revocation.NewWriter(writer)
		_ = out.Begin(revocation.Beginning{Issuer: "https://" + r.URL.Host, Snapshot: true})
		for sent := 0; ; {
			a.mu.Lock()
			entries, told, down := a.feed[sent:], a.told, a.feedDown
			a.mu.Unlock()
			for _, e := range entries {
				_ = out.Entry(e)
				sent++
			}
			if down || out.Mark(revocation.Mark{At: time.Now(), Cursor: "c"}) != nil || out.Flush() != nil {
				return
			}
			select {
			case <-told:
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return
			}
		}
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {revocation.MediaType}}, Body: reader, Request: r}, nil
}

// server is a resource server of the AS, closed with the test.
func (a *as) server(t testing.TB, change func(*resource.Config)) *resource.Server {
	t.Helper()
	config := resource.Config{
		Issuer: asURL, Audience: audience, ClientID: asClient, ClientSecret: asSecret,
		HTTPClient: &http.Client{Transport: a}, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	rs, err := resource.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rs.Close)
	return rs
}

// jwt is a good token with some claims changed.
func (a *as) jwt(t testing.TB, changes claims) string {
	t.Helper()
	return claims{
		"iss": asURL, "sub": "alice", "aud": audience, "client_id": "web", "jti": "jti-1", "gid": "gid-1", "scope": "photos:read openid",
		"iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix(),
	}.with(changes).signed(t, issuerKey(), "at+jwt")
}

// opaque is a token that the AS calls active.
func (a *as) opaque(raw string, members string) string {
	a.change(func(a *as) {
		a.active[raw] = fmt.Sprintf(`{"active":true,"iss":%q,"sub":"alice","aud":%q,"client_id":"web","jti":%q,"gid":"gid of %[3]s","scope":"photos:read","exp":%d%s}`,
			asURL, audience, raw, time.Now().Add(10*time.Minute).Unix(), members)
	})
	return raw
}

// ask sends a request with the token to an operation, and returns the answer.
func ask(rs *resource.Server, raw string, needs resource.Needs) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/photos", nil)
	if raw != "" {
		r.Header.Set("Authorization", "Bearer "+raw)
	}
	w := httptest.NewRecorder()
	rs.Guard(needs)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, _ := resource.AccessFrom(r.Context())
		_, _ = io.WriteString(w, access.JTI)
	})).ServeHTTP(w, r)
	return w
}

// wants checks an answer: its status and, for a refusal, its rule.
func wants(t *testing.T, w *httptest.ResponseRecorder, status int, rule string) {
	t.Helper()
	if w.Code != status || rule != "" && !strings.Contains(w.Body.String(), "("+rule+".") {
		t.Errorf("answer %d %s, want %d %s", w.Code, w.Body, status, rule)
	}
	if strings.Contains(w.Body.String(), asSecret) || strings.Contains(w.Header().Get("WWW-Authenticate"), asSecret) {
		t.Error("the answer quotes a secret")
	}
}

package client_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/jose"
	"gatehouse/oauth"
)

const (
	clientID     = "web"
	clientSecret = "a secret: with + and % of 43 characters, say"
)

// keysOf are made once: RSA takes its time.
var keysOf = map[jose.Algorithm]func() *jose.PrivateKey{
	jose.ES256: sync.OnceValue(func() *jose.PrivateKey { return mustGenerate(jose.ES256, "key-1") }),
	jose.RS256: sync.OnceValue(func() *jose.PrivateKey { return mustGenerate(jose.RS256, "key-1") }),
	jose.EdDSA: sync.OnceValue(func() *jose.PrivateKey { return mustGenerate(jose.EdDSA, "key-1") }),
}

func mustGenerate(alg jose.Algorithm, kid string) *jose.PrivateKey {
	key, err := jose.GenerateKey(alg, kid)
	if err != nil {
		panic(err)
	}
	return key
}

type claims map[string]any

// with returns c changed; nil takes a claim away.
func (c claims) with(changes claims) claims {
	changed := maps.Clone(c)
	maps.Copy(changed, changes)
	maps.DeleteFunc(changed, func(_ string, value any) bool { return value == nil })
	return changed
}

func sign(t testing.TB, key *jose.PrivateKey, typ string, c claims) string {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Sign(typ, payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// grant is what the provider knows of a code.
type grant struct{ nonce, challenge, redirectURI, clientID string }

// provider is an issuer that behaves, except where a test tells it not to.
type provider struct {
	*httptest.Server
	t      testing.TB
	issuer string
	key    *jose.PrivateKey

	mu       sync.Mutex
	metadata map[string]any
	jwks     string // published instead of the key, if set
	idToken  func(claims) claims
	sign     func(claims) string // instead of by the key
	callback func(url.Values)    // changes the authorization response
	userinfo claims
	// answer, if set, may answer a request; it says whether it did.
	answer   func(w http.ResponseWriter, r *http.Request) bool
	grants   map[string]grant
	refresh  map[string]int64 // live refresh tokens, and when their people signed in
	grace    map[string]any   // if set, what spent refresh tokens were exchanged for, which is answered again
	life     int              // expires_in
	requests []string         // METHOD /path
	forms    []url.Values     // of POST requests, in order
	headers  []http.Header    // likewise
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{t: t, key: keysOf[jose.ES256](), grants: map[string]grant{}, refresh: map[string]int64{}, life: 600}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	p.begin()
	return p
}

// begin fills in what follows from the address.
func (p *provider) begin() {
	p.issuer = p.URL
	p.metadata = map[string]any{
		"issuer": p.issuer, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
		"userinfo_endpoint": p.URL + "/userinfo", "jwks_uri": p.URL + "/jwks", "revocation_endpoint": p.URL + "/revoke",
		"introspection_endpoint": p.URL + "/introspect", "end_session_endpoint": p.URL + "/logout?kept=1",
		"device_authorization_endpoint": p.URL + "/device", "pushed_authorization_request_endpoint": p.URL + "/par",
		"registration_endpoint":                          p.URL + "/register",
		"authorization_response_iss_parameter_supported": true,
	}
	p.userinfo = claims{"sub": "alice", "email": "alice@example.com"}
}

// direct hands requests straight to handlers by their hosts: without sockets,
// so that time can be moved.
type direct map[string]http.Handler

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	handler, known := d[r.URL.Host]
	if !known {
		return nil, &net.OpError{Op: "dial", Err: errors.New("nobody listens")}
	}
	incoming := r.Clone(r.Context())
	incoming.RequestURI = r.URL.RequestURI()
	if incoming.Body == nil {
		incoming.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, incoming)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response := recorder.Result()
	response.Request = r
	return response, nil
}

func (d direct) host(name string, handler http.Handler) { d[name] = handler }

// newDirectProvider makes a provider without a socket.
func newDirectProvider(t testing.TB) (*provider, direct) {
	t.Helper()
	p := &provider{t: t, key: keysOf[jose.ES256](), grants: map[string]grant{}, refresh: map[string]int64{}, life: 600}
	p.Server = &httptest.Server{URL: "http://127.0.0.1:1"}
	p.begin()
	return p, direct{"127.0.0.1:1": p}
}

// change tells the provider how to behave from now on.
func (p *provider) change(f func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// seen counts the requests to a path so far, all that begin with it if it ends in *.
func (p *provider) seen(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := 0
	for _, one := range p.requests {
		_, at, _ := strings.Cut(one, " ")
		if prefix, open := strings.CutSuffix(path, "*"); at == path || open && strings.HasPrefix(at, prefix) {
			count++
		}
	}
	return count
}

// last returns the last form that was posted, and its header.
func (p *provider) last() (url.Values, http.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.forms) == 0 {
		p.t.Fatal("nothing was posted")
	}
	return p.forms[len(p.forms)-1], p.headers[len(p.headers)-1]
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		form, _ := url.ParseQuery(string(body))
		p.change(func(p *provider) {
			p.forms, p.headers = append(p.forms, form), append(p.headers, r.Header)
		})
		r.PostForm = form
	}
	var answer func(http.ResponseWriter, *http.Request) bool
	p.change(func(p *provider) {
		p.requests = append(p.requests, r.Method+" "+r.URL.Path)
		answer = p.answer
	})
	if answer != nil && answer(w, r) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		writeJSON(w, http.StatusOK, p.metadata)
	case "/jwks":
		if p.jwks != "" {
			_, _ = io.WriteString(w, p.jwks)
			return
		}
		writeJSON(w, http.StatusOK, jose.KeySet{Keys: []jose.PublicKey{p.key.Public()}})
	case "/authorize":
		p.authorize(w, r)
	case "/token":
		p.token(w, r.PostForm)
	case "/userinfo":
		writeJSON(w, http.StatusOK, p.userinfo)
	case "/revoke":
		delete(p.refresh, r.PostForm.Get("token"))
		writeJSON(w, http.StatusOK, map[string]any{})
	default:
		http.NotFound(w, r)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// authorize signs alice in at once.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	code := rand.Text()
	p.grants[code] = grant{query.Get("nonce"), query.Get("code_challenge"), query.Get("redirect_uri"), query.Get("client_id")}
	response := url.Values{"code": {code}, "state": {query.Get("state")}, "iss": {p.issuer}}
	if p.callback != nil {
		p.callback(response)
	}
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+response.Encode(), http.StatusSeeOther)
}

func (p *provider) token(w http.ResponseWriter, form url.Values) {
	refuse := func(code string) {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": code, "error_description": "The fake provider refuses."})
	}
	now := time.Now().Unix()
	made := claims{"iss": p.issuer, "sub": "alice", "aud": clientID, "iat": now, "exp": now + 300, "auth_time": now, "sid": "sid-1"}
	access := "access-" + rand.Text()
	var answer map[string]any
	switch form.Get("grant_type") {
	case "authorization_code":
		g, known := p.grants[form.Get("code")]
		delete(p.grants, form.Get("code"))
		if !known || g.redirectURI != form.Get("redirect_uri") || !oauth.VerifyS256(form.Get("code_verifier"), g.challenge) {
			refuse("invalid_grant")
			return
		}
		made["aud"] = g.clientID
		if g.nonce != "" {
			made["nonce"] = g.nonce
		}
	case "refresh_token":
		spent := form.Get("refresh_token")
		if again, before := p.grace[spent]; before {
			writeJSON(w, http.StatusOK, again)
			return
		}
		authTime, live := p.refresh[spent]
		if !live {
			refuse("invalid_grant")
			return
		}
		made["auth_time"] = authTime
		delete(p.refresh, spent)
		if p.grace != nil {
			defer func() { p.grace[spent] = answer }()
		}
	default:
		writeJSON(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": p.life})
		return
	}
	refresh := "refresh-" + rand.Text()
	p.refresh[refresh] = made["auth_time"].(int64)
	made["at_hash"] = atHash(p.key.Algorithm(), access)
	if p.idToken != nil {
		made = p.idToken(made)
	}
	answer = map[string]any{"access_token": access, "token_type": "Bearer", "refresh_token": refresh}
	if p.life >= 0 {
		answer["expires_in"] = p.life
	}
	switch {
	case p.sign != nil:
		answer["id_token"] = p.sign(made)
	case made != nil:
		answer["id_token"] = sign(p.t, p.key, jose.TypeJWT, made)
	}
	writeJSON(w, http.StatusOK, answer)
}

// client makes a client of the provider.
func (p *provider) client(t testing.TB, config client.Config) *client.Client {
	t.Helper()
	if config.ClientID == "" {
		config.ClientID, config.ClientSecret = clientID, client.NewSecret(clientSecret)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := client.New(t.Context(), p.issuer, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// application is a web application with a client.
type application struct {
	*httptest.Server
	party  *client.Client
	mux    *http.ServeMux
	logins []client.Login
	refuse error // what onLogin says
}

func transportOf(config client.Config) http.RoundTripper {
	if config.HTTPClient == nil {
		return nil
	}
	return config.HTTPClient.Transport
}

// application serves /login, /callback, /logout, /backchannel and /me.
func (p *provider) application(t testing.TB, config client.Config) *application {
	t.Helper()
	a := &application{mux: http.NewServeMux()}
	if network, ok := transportOf(config).(interface{ host(string, http.Handler) }); ok {
		a.Server = &httptest.Server{URL: "http://127.0.0.1:2"}
		network.host("127.0.0.1:2", a.mux)
	} else {
		a.Server = httptest.NewServer(a.mux)
		t.Cleanup(a.Close)
	}
	mux := a.mux
	config.RedirectURI = a.URL + "/callback"
	a.party = p.client(t, config)
	var mu sync.Mutex
	mux.Handle("/login", a.party.LoginHandler())
	mux.Handle("/initiate", a.party.InitiateHandler())
	mux.Handle("/callback", a.party.CallbackHandler(func(_ *http.Request, login *client.Login) error {
		mu.Lock()
		defer mu.Unlock()
		a.logins = append(a.logins, *login)
		login.Values = map[string]string{"user": "17"}
		return a.refuse
	}))
	mux.Handle("/logout", a.party.LogoutHandler())
	mux.Handle("/bye", a.party.LoggedOutHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "bye") })))
	mux.Handle("/backchannel", a.party.BackChannelLogoutHandler())
	mux.Handle("/fresh", a.party.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := client.SessionFrom(r.Context())
		tokens, err := s.Token(r.Context())
		if err != nil {
			client.RefuseJSON(w, err)
			return
		}
		_, _ = io.WriteString(w, tokens.AccessToken.Reveal())
	})))
	mux.Handle("/", a.party.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := client.SessionFrom(r.Context())
		_, _ = io.WriteString(w, s.Subject()+" "+s.Value("user")+" at "+r.URL.RequestURI())
	})))
	return a
}

// browser keeps cookies and follows nothing by itself.
type browser struct {
	t   testing.TB
	jar map[string]*http.Cookie
	// headers are sent with every request.
	headers http.Header
	network http.RoundTripper
}

func newBrowser(t testing.TB) *browser {
	return &browser{t: t, jar: map[string]*http.Cookie{}, headers: http.Header{"Accept": {"text/html"}}, network: http.DefaultTransport}
}

// page is an answer whose body was read.
type page struct {
	*http.Response
	text string
}

func (b *browser) do(method, target string, form url.Values) page {
	b.t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header = b.headers.Clone()
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, cookie := range b.jar {
		r.AddCookie(cookie)
	}
	response, err := b.network.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(b.jar, cookie.Name)
			continue
		}
		b.jar[cookie.Name] = cookie
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{response, string(text)}
}

func (b *browser) get(target string) page {
	b.t.Helper()
	return b.do(http.MethodGet, target, nil)
}

// to returns where the answer sends the browser.
func (p page) to(t testing.TB) string {
	t.Helper()
	location, err := p.Location()
	if err != nil {
		t.Fatalf("status %d and no redirect: %s", p.StatusCode, p.text)
	}
	return location.String()
}

// callbackOf begins a login and returns the address that the issuer sends the
// browser back to.
func (b *browser) callbackOf(a *application) string {
	b.t.Helper()
	return b.callbackAt(a, "/login")
}

func (b *browser) callbackAt(a *application, login string) string {
	b.t.Helper()
	return b.get(b.get(a.URL + login).to(b.t)).to(b.t)
}

// signIn signs in and returns the callback's answer.
func (b *browser) signIn(a *application) page {
	b.t.Helper()
	return b.get(b.callbackOf(a))
}

// me says who the application thinks this is, "" for nobody.
func (b *browser) me(a *application) string {
	b.t.Helper()
	r := *b
	r.headers = http.Header{}
	answer := r.get(a.URL + "/me")
	if answer.StatusCode != http.StatusOK {
		return ""
	}
	return answer.text
}

// fresh asks the application for an access token that can be used now.
func (b *browser) fresh(a *application) (access string, status int) {
	b.t.Helper()
	r := *b
	r.headers = http.Header{}
	answer := r.get(a.URL + "/fresh")
	if answer.StatusCode != http.StatusOK {
		return "", answer.StatusCode
	}
	return answer.text, http.StatusOK
}

// names are the cookies' names, sorted.
func (b *browser) names() []string { return slices.Sorted(maps.Keys(b.jar)) }

package login

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/internal/seal"
	"gatehouse/internal/secrecy"
	"gatehouse/internal/secret"
	"gatehouse/kv"
)

const issuer = "https://id.example"

// house is a server of the pages alone, with storage, passwords and the
// authorization server played.
type house struct {
	t         testing.TB
	now       time.Time
	box       *interaction.Box
	pages     *Pages
	endpoints *Endpoints
	mux       http.Handler
	log       bytes.Buffer
	tenant    gatehouse.Tenant
	secrets   secrecy.Ledger
	*playedStore
	*playedPasswords
	*playedFlow
}

func newHouse(t testing.TB) *house {
	h := &house{
		t: t, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		tenant:          gatehouse.Tenant{ID: gatehouse.DefaultTenant, Issuer: issuer, Settings: gatehouse.Settings{Name: "Example House"}.WithDefaults()},
		playedStore:     newPlayedStore(),
		playedPasswords: &playedPasswords{},
		playedFlow:      &playedFlow{},
	}
	h.box = &interaction.Box{Keys: playedKeys{}, Now: func() time.Time { return h.now }, Cookies: interaction.Cookies{Secure: true}}
	h.pages = NewPages(h.box)
	h.endpoints = New(Config{
		Pages: h.pages, Store: h.playedStore, Flow: h.playedFlow, Passwords: h.playedPasswords, Counters: kv.NewMemory(kv.MemoryConfig{}),
	})
	mux, err := endpoint.NewMux(endpoint.Config{
		Rows: h.endpoints.Rows(), Tenancy: h, Log: slog.New(slog.NewTextHandler(&h.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.mux = mux
	for _, password := range []string{"correct horse", "battery staple"} {
		h.secrets.Add(secrecy.Password, password)
	}
	t.Cleanup(func() {
		h.secrets.Search("the log", h.log.Bytes())
		h.secrets.Report(t)
	})
	return h
}

// Resolve serves the one tenant at the root.
func (h *house) Resolve(_ context.Context, _, path string) (endpoint.Place, bool, error) {
	return endpoint.Place{Tenant: h.tenant, Path: path}, true, nil
}

func (h *house) request(r *http.Request) *endpoint.Request {
	return &endpoint.Request{Request: r, Tenant: h.tenant}
}

func (h *house) pass(d time.Duration) { h.now = h.now.Add(d) }

type playedKeys struct{}

func playedRing(parts ...string) *seal.Ring {
	key, err := seal.NewKey(7, bytes.Repeat([]byte{42}, seal.KeyBytes))
	if err != nil {
		panic(err)
	}
	return seal.NewRing(key.Derive("test", parts...))
}

func (playedKeys) SealRing(tenant gatehouse.TenantID, purpose string) *seal.Ring {
	return playedRing("seal", string(tenant), purpose)
}

func (playedKeys) MACRing(tenant gatehouse.TenantID, purpose string) *seal.Ring {
	return playedRing("mac", string(tenant), purpose)
}

type playedStore struct {
	mu         sync.Mutex
	clients    map[string]gatehouse.Client
	resources  []gatehouse.Resource
	users      map[string]gatehouse.User // by subject
	sessions   map[[32]byte]gatehouse.Session
	ended      []string
	failures   []string // account keys
	signIns    []gatehouse.Circumstance
	allowances []gatehouse.Allowance
	withdrawn  []string // subject and client id
	told       []gatehouse.Event
	// overtaken plays a password that was changed a moment ago.
	overtaken bool
	rehashed  map[string]string
	// refuseSessions plays a user who was disabled a moment ago.
	refuseSessions bool
	// fault is what every method fails with; with failAt, only the call of
	// that number does.
	fault         error
	failAt, calls int
}

func (s *playedStore) failed() error {
	s.calls++
	if s.failAt != 0 && s.calls != s.failAt {
		return nil
	}
	return s.fault
}

func newPlayedStore() *playedStore {
	s := &playedStore{
		clients: map[string]gatehouse.Client{}, users: map[string]gatehouse.User{},
		sessions: map[[32]byte]gatehouse.Session{}, rehashed: map[string]string{},
	}
	s.clients["web"] = gatehouse.Client{ID: "web", ClientMetadata: gatehouse.ClientMetadata{
		ClientName: "Photo Print", LogoURI: "https://cdn.photos.example/logo.png",
		PolicyURI: "https://photos.example/privacy", TosURI: "https://photos.example/terms",
		RedirectURIs: []string{"https://photos.example/cb"}, TokenEndpointAuthMethod: gatehouse.AuthClientSecretBasic,
		GrantTypes: []string{gatehouse.GrantAuthorizationCode, gatehouse.GrantRefreshToken},
	}}
	s.clients["native"] = gatehouse.Client{ID: "native", ClientMetadata: gatehouse.ClientMetadata{
		RedirectURIs: []string{"com.example.app:/cb", "http://127.0.0.1/cb"}, TokenEndpointAuthMethod: gatehouse.AuthNone,
		GrantTypes: []string{gatehouse.GrantAuthorizationCode},
	}}
	s.resources = []gatehouse.Resource{{Identifier: "https://api.photos.example", Name: "PhotoAPI", Scopes: []gatehouse.ResourceScope{
		{Name: "photos:read", Description: "see your photos and albums"}, {Name: "photos:write", Description: "add photos and albums, and change them"},
	}}}
	s.users["u-alice"] = gatehouse.User{Subject: "u-alice", Username: "alice", PasswordHash: "plain:correct horse", Claims: gatehouse.StandardClaims{Name: "Alice Example", Email: "alice@mail.example"}}
	s.users["u-bob"] = gatehouse.User{Subject: "u-bob", Username: "bob", PasswordHash: "plain:battery staple"}
	s.users["u-fed"] = gatehouse.User{Subject: "u-fed", Username: "fed"}
	s.users["u-dis"] = gatehouse.User{Subject: "u-dis", Username: "dis", PasswordHash: "plain:correct horse", DisabledAt: time.Unix(1, 0)}
	return s
}

func (s *playedStore) Client(_ context.Context, _ gatehouse.TenantID, id string) (gatehouse.Client, bool, error) {
	client, found := s.clients[id]
	return client, found, s.failed()
}

func (s *playedStore) Resources(context.Context, gatehouse.TenantID) ([]gatehouse.Resource, error) {
	return s.resources, s.failed()
}

func (s *playedStore) User(_ context.Context, _ gatehouse.TenantID, subject string) (gatehouse.User, bool, error) {
	user, found := s.users[subject]
	return user, found, s.failed()
}

func (s *playedStore) UserByLogin(_ context.Context, _ gatehouse.TenantID, key string) (gatehouse.User, bool, error) {
	for _, user := range s.users {
		if gatehouse.LoginKey(user.Username) == key || user.Claims.Email != "" && gatehouse.LoginKey(user.Claims.Email) == key {
			return user, true, s.failed()
		}
	}
	return gatehouse.User{}, false, s.failed()
}

func (s *playedStore) Rehash(_ context.Context, _ gatehouse.TenantID, subject, _, phc string) error {
	s.rehashed[subject] = phc
	return s.failed()
}

func (s *playedStore) CountFailedLogin(_ context.Context, _ gatehouse.TenantID, _, key string, _ gatehouse.Circumstance) error {
	s.failures = append(s.failures, key)
	return s.failed()
}

func (s *playedStore) Session(_ context.Context, _ gatehouse.TenantID, hash [32]byte, _ time.Duration) (gatehouse.Session, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, found := s.sessions[hash]
	return session, found, s.failed()
}

func (s *playedStore) CreateSession(_ context.Context, _ gatehouse.TenantID, hash [32]byte, session gatehouse.Session, replaces *[32]byte, by gatehouse.Circumstance) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signIns = append(s.signIns, by)
	if s.refuseSessions {
		return false, nil
	}
	if replaces != nil {
		delete(s.sessions, *replaces)
	}
	s.sessions[hash] = session
	return true, s.failed()
}

func (s *playedStore) EndSession(_ context.Context, _ gatehouse.TenantID, id string, _ gatehouse.EndReason, _ gatehouse.Circumstance) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for hash, session := range s.sessions {
		if session.ID == id {
			delete(s.sessions, hash)
			s.ended = append(s.ended, id)
			return true, s.failed()
		}
	}
	return false, s.failed()
}

func (s *playedStore) UserSessions(_ context.Context, _ gatehouse.TenantID, subject string, _ time.Duration) ([]gatehouse.Session, error) {
	var sessions []gatehouse.Session
	for _, session := range s.sessions {
		if session.Subject == subject {
			sessions = append(sessions, session)
		}
	}
	slices.SortFunc(sessions, func(a, b gatehouse.Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return sessions, s.failed()
}

func (s *playedStore) endWhere(which func(gatehouse.Session) bool) (count int) {
	for hash, session := range s.sessions {
		if which(session) {
			delete(s.sessions, hash)
			s.ended = append(s.ended, session.ID)
			count++
		}
	}
	return count
}

func (s *playedStore) EndUserSession(_ context.Context, _ gatehouse.TenantID, subject, id string, _ gatehouse.Circumstance) (bool, error) {
	if err := s.failed(); err != nil {
		return false, err
	}
	return s.endWhere(func(session gatehouse.Session) bool { return session.ID == id && session.Subject == subject }) > 0, nil
}

func (s *playedStore) EndOtherSessions(_ context.Context, _ gatehouse.TenantID, subject, keep string, _ gatehouse.Circumstance) (int, error) {
	if err := s.failed(); err != nil {
		return 0, err
	}
	return s.endWhere(func(session gatehouse.Session) bool { return session.ID != keep && session.Subject == subject }), nil
}

func (s *playedStore) Allowances(_ context.Context, _ gatehouse.TenantID, subject string) ([]gatehouse.Allowance, error) {
	if subject != "u-alice" {
		return nil, s.failed()
	}
	return s.allowances, s.failed()
}

func (s *playedStore) WithdrawConsent(_ context.Context, _ gatehouse.TenantID, subject, clientID string, _ gatehouse.Circumstance) (bool, error) {
	if err := s.failed(); err != nil {
		return false, err
	}
	s.withdrawn = append(s.withdrawn, subject+" "+clientID)
	before := len(s.allowances)
	s.allowances = slices.DeleteFunc(s.allowances, func(a gatehouse.Allowance) bool { return a.ClientID == clientID && subject == "u-alice" })
	return len(s.allowances) < before, nil
}

func (s *playedStore) SecurityEvents(_ context.Context, _ gatehouse.TenantID, subject string, since time.Time, limit int) ([]gatehouse.Event, error) {
	var events []gatehouse.Event
	for _, event := range s.told {
		if event.Subject == subject && event.At.After(since) && len(events) < limit {
			events = append(events, event)
		}
	}
	return events, s.failed()
}

func (s *playedStore) ChangePassword(_ context.Context, _ gatehouse.TenantID, change gatehouse.PasswordChange) (bool, error) {
	if err := s.failed(); err != nil || s.overtaken {
		return false, err
	}
	user := s.users[change.Subject]
	if user.PasswordHash != change.OldPHC {
		return false, nil
	}
	user.PasswordHash = change.NewPHC
	s.users[change.Subject] = user
	s.endWhere(func(session gatehouse.Session) bool { return session.Subject == change.Subject })
	session := change.Session
	session.Subject = change.Subject
	s.sessions[change.Hash] = session
	return true, nil
}

// playedPasswords keeps passwords as "plain:password" and counts the work.
type playedPasswords struct {
	verified, dummies int
	busy, outdated    bool
	hashBusy          bool
	broken            error
}

func (p *playedPasswords) Verify(_ context.Context, phc, password string) (bool, bool, error) {
	p.verified++
	if p.busy {
		return false, false, secret.ErrBusy
	}
	return phc == "plain:"+password, p.outdated, p.broken
}

func (p *playedPasswords) VerifyDummy(context.Context, string) error {
	p.dummies++
	if p.busy {
		return secret.ErrBusy
	}
	return p.broken
}

func (p *playedPasswords) Hash(_ context.Context, password string) (string, error) {
	if p.hashBusy {
		return "", secret.ErrBusy
	}
	return "plain:" + password, p.broken
}

// playedFlow answers as the authorization server would, and keeps what it was
// told.
type playedFlow struct{ allowed, denied []interaction.Interaction }

func (f *playedFlow) Allow(w http.ResponseWriter, _ *endpoint.Request, in interaction.Interaction) error {
	f.allowed = append(f.allowed, in)
	w.Header().Set("Location", in.RedirectURI+"?code=c")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (f *playedFlow) Expects(_ *endpoint.Request, in interaction.Interaction, subject string) (bool, error) {
	return in.HintSubject == "" || in.HintSubject == subject, nil
}

func (f *playedFlow) Deny(w http.ResponseWriter, _ *endpoint.Request, in interaction.Interaction) error {
	f.denied = append(f.denied, in)
	w.Header().Set("Location", in.RedirectURI+"?error=access_denied")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// browser keeps cookies and sends what browsers send.
type browser struct {
	h       *house
	cookies map[string]string
	address string
	header  http.Header
}

func (h *house) browser() *browser {
	return &browser{h: h, cookies: map[string]string{}, address: "192.0.2.1:4711", header: http.Header{}}
}

func (b *browser) send(r *http.Request) *http.Response {
	r.Host, r.RemoteAddr = "id.example", b.address
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	recorder := httptest.NewRecorder()
	sent := &bytes.Buffer{}
	if r.Body != nil {
		r.Body = io.NopCloser(io.TeeReader(r.Body, sent))
	}
	b.h.mux.ServeHTTP(recorder, r)
	response := recorder.Result()
	b.h.secrets.Exchange(r, sent.Bytes(), response, recorder.Body.Bytes())
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		} else {
			b.cookies[cookie.Name] = cookie.Value
		}
	}
	return response
}

func (b *browser) get(target string) *http.Response {
	return b.send(httptest.NewRequest(http.MethodGet, target, nil))
}

// post sends a form as a page of ours does.
func (b *browser) post(path string, form url.Values) *http.Response {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", issuer)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(r)
}

const bindingName = "__Host-gh-browser-default"

// begin seals an interaction of this browser, as the authorization endpoint
// does.
func (b *browser) begin(in interaction.Interaction, stage interaction.Stage) string {
	b.h.t.Helper()
	if in.Start.IsZero() {
		in.Start = b.h.now
	}
	in.ID = interaction.New(in.Start).ID
	if in.ClientID == "" {
		in.ClientID = "web"
	}
	if in.RedirectURI == "" {
		in.RedirectURI = "https://photos.example/cb"
	}
	in.Stage = stage
	r := httptest.NewRequest(http.MethodGet, "/authorize", nil)
	if b.cookies[bindingName] != "" {
		r.AddCookie(&http.Cookie{Name: bindingName, Value: b.cookies[bindingName]})
	}
	recorder := httptest.NewRecorder()
	request := &endpoint.Request{Request: r, Tenant: b.h.tenant}
	b.h.box.Bind(recorder, request, &in)
	for _, cookie := range recorder.Result().Cookies() {
		b.cookies[cookie.Name] = cookie.Value
	}
	i, err := b.h.box.Seal(request, in)
	if err != nil {
		b.h.t.Fatal(err)
	}
	return i
}

// opened is what a Location of ours carries.
func (b *browser) opened(location string, stage interaction.Stage) interaction.Interaction {
	b.h.t.Helper()
	target, err := url.Parse(location)
	if err != nil {
		b.h.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: bindingName, Value: b.cookies[bindingName]})
	in, err := b.h.box.Open(&endpoint.Request{Request: r, Tenant: b.h.tenant}, target.Query().Get("i"), stage)
	if err != nil {
		b.h.t.Fatalf("%s: %v", location, err)
	}
	return in
}

// signIn opens the sign-in page of a new interaction and sends the form.
func (b *browser) signIn(username, password string) *http.Response {
	b.h.t.Helper()
	return b.submit(b.begin(interaction.Interaction{}, interaction.StageLogin), username, password)
}

func (b *browser) submit(i, username, password string) *http.Response {
	b.h.t.Helper()
	form := hidden(bodyOf(b.get("/login?i="+i)), "login-form")
	form.Set("username", username)
	form.Set("password", password)
	return b.post("/login", form)
}

func bodyOf(response *http.Response) string {
	var b bytes.Buffer
	_, _ = b.ReadFrom(response.Body)
	response.Body = http.NoBody
	return b.String()
}

var (
	formPattern   = regexp.MustCompile(`(?s)<form id="([^"]+)".*?</form>`)
	hiddenPattern = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// hidden returns the hidden fields of the form of that id.
func hidden(page, id string) url.Values {
	form := url.Values{}
	for _, match := range formPattern.FindAllStringSubmatch(page, -1) {
		if match[1] != id {
			continue
		}
		for _, field := range hiddenPattern.FindAllStringSubmatch(match[0], -1) {
			form.Set(field[1], field[2])
		}
	}
	return form
}

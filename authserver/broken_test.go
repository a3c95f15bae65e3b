package authserver_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/authserver"
	"gatehouse/gatehousetest"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/internal/keyring"
	"gatehouse/internal/login"
	"gatehouse/internal/seal"
	"gatehouse/internal/secret"
	"gatehouse/internal/spec"
	"gatehouse/internal/store"
	"gatehouse/kv"
)

// broken is a second server on the data of a stage, whose storage fails, or
// changes, at one call.
type broken struct {
	*stage
	http.Handler
	db       *failing
	log      *fullLog
	protocol *authserver.Server
}

// fullLog is a log that may have no room.
type fullLog struct {
	slog.Handler
	full  bool
	lines []string
}

func (*fullLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *fullLog) Handle(_ context.Context, line slog.Record) error {
	if l.full {
		return errors.New("no space left on device")
	}
	l.lines = append(l.lines, line.Message)
	return nil
}

// failing is a store that fails at a call of the named method, after doing
// what the test wants done just before that call.
type failing struct {
	*store.Store
	fails  string
	before map[string]func()
}

var errBroken = errors.New("disk I/O error at /var/lib/gatehouse/gatehouse.db")

func (f *failing) meet(name string) error {
	if act := f.before[name]; act != nil {
		delete(f.before, name)
		act()
	}
	if f.fails == name {
		return errBroken
	}
	return nil
}

// storeCalls are all that the endpoints ask of storage.
var storeCalls = []string{
	"Client", "Resources", "User", "Session", "Consent", "IssueCode", "TenantRecord", "AppendEvent", "Grant", "GrantTerms", "RedeemCode", "CountWrongVerifier", "RotateRefresh", "TokenEnded",
	"EndGrant", "RevokeToken", "EndSession", "OnIssuerHost",
}

type (
	ctx      = context.Context
	tenantID = gatehouse.TenantID
)

func (f *failing) Client(c ctx, tenant tenantID, id string) (client gatehouse.Client, found bool, err error) {
	if err = f.meet("Client"); err == nil {
		client, found, err = f.Store.Client(c, tenant, id)
		_ = f.meet("after Client")
	}
	return client, found, err
}

func (f *failing) Resources(c ctx, tenant tenantID) (all []gatehouse.Resource, err error) {
	if err = f.meet("Resources"); err == nil {
		all, err = f.Store.Resources(c, tenant)
	}
	return all, err
}

func (f *failing) User(c ctx, tenant tenantID, subject string) (user gatehouse.User, found bool, err error) {
	if err = f.meet("User"); err == nil {
		user, found, err = f.Store.User(c, tenant, subject)
	}
	return user, found, err
}

func (f *failing) Session(c ctx, tenant tenantID, hash [32]byte, idle time.Duration) (session gatehouse.Session, found bool, err error) {
	if err = f.meet("Session"); err == nil {
		session, found, err = f.Store.Session(c, tenant, hash, idle)
	}
	return session, found, err
}

func (f *failing) Consent(c ctx, tenant tenantID, subject, clientID string) (all []gatehouse.Consent, err error) {
	if err = f.meet("Consent"); err == nil {
		all, err = f.Store.Consent(c, tenant, subject, clientID)
	}
	return all, err
}

func (f *failing) TenantRecord(c ctx, tenant tenantID) (record gatehouse.TenantRecord, found bool, err error) {
	if err = f.meet("TenantRecord"); err == nil {
		record, found, err = f.Store.TenantRecord(c, tenant)
	}
	return record, found, err
}

func (f *failing) IssueCode(c ctx, tenant tenantID, issue gatehouse.CodeIssue) (issued gatehouse.CodeIssued, err error) {
	if err = f.meet("IssueCode"); err == nil {
		issued, err = f.Store.IssueCode(c, tenant, issue)
	}
	return issued, err
}

func (f *failing) AppendEvent(c ctx, tenant tenantID, event gatehouse.Event) error {
	if err := f.meet("AppendEvent"); err != nil {
		return err
	}
	return f.Store.AppendEvent(c, tenant, event)
}

func (f *failing) Grant(c ctx, tenant tenantID, id gatehouse.GrantID) (grant gatehouse.Grant, found bool, err error) {
	if err = f.meet("Grant"); err == nil {
		grant, found, err = f.Store.Grant(c, tenant, id)
	}
	return grant, found, err
}

func (f *failing) GrantTerms(c ctx, tenant tenantID, id gatehouse.GrantID) (terms gatehouse.Grant, found bool, err error) {
	if err = f.meet("GrantTerms"); err == nil {
		terms, found, err = f.Store.GrantTerms(c, tenant, id)
	}
	return terms, found, err
}

func (f *failing) RedeemCode(c ctx, tenant tenantID, redemption gatehouse.Redemption) (redeemed gatehouse.Redeemed, err error) {
	if err = f.meet("RedeemCode"); err == nil {
		redeemed, err = f.Store.RedeemCode(c, tenant, redemption)
	}
	return redeemed, err
}

func (f *failing) CountWrongVerifier(c ctx, tenant tenantID, id gatehouse.GrantID, by gatehouse.Circumstance) (killed bool, err error) {
	if err = f.meet("CountWrongVerifier"); err == nil {
		killed, err = f.Store.CountWrongVerifier(c, tenant, id, by)
	}
	return killed, err
}

func (f *failing) RotateRefresh(c ctx, tenant tenantID, rotation gatehouse.Rotation) (rotated gatehouse.Rotated, err error) {
	if err = f.meet("RotateRefresh"); err == nil {
		rotated, err = f.Store.RotateRefresh(c, tenant, rotation)
	}
	return rotated, err
}

func (f *failing) TokenEnded(c ctx, tenant tenantID, facts gatehouse.TokenFacts) (ended bool, err error) {
	if err = f.meet("TokenEnded"); err == nil {
		ended, err = f.Store.TokenEnded(c, tenant, facts)
	}
	return ended, err
}

func (f *failing) EndGrant(c ctx, tenant tenantID, id gatehouse.GrantID, reason gatehouse.EndReason, by gatehouse.Circumstance) (ended bool, err error) {
	if err = f.meet("EndGrant"); err == nil {
		ended, err = f.Store.EndGrant(c, tenant, id, reason, by)
	}
	return ended, err
}

func (f *failing) RevokeToken(c ctx, tenant tenantID, jti string, until time.Time, clientID string, by gatehouse.Circumstance) error {
	if err := f.meet("RevokeToken"); err != nil {
		return err
	}
	return f.Store.RevokeToken(c, tenant, jti, until, clientID, by)
}

func (f *failing) EndSession(c ctx, tenant tenantID, id string, reason gatehouse.EndReason, by gatehouse.Circumstance) (ended bool, err error) {
	if err = f.meet("EndSession"); err == nil {
		ended, err = f.Store.EndSession(c, tenant, id, reason, by)
	}
	return ended, err
}

func (f *failing) OnIssuerHost(ctx, string) (bool, error) { return false, f.meet("OnIssuerHost") }

// oneIssuer is the tenancy of the stage.
type oneIssuer string

func (i oneIssuer) Resolve(_ context.Context, _, path string) (endpoint.Place, bool, error) {
	tenant := gatehouse.Tenant{ID: gatehouse.DefaultTenant, Issuer: string(i), Settings: gatehouse.Settings{}.WithDefaults()}
	return endpoint.Place{Tenant: tenant, Path: path}, true, nil
}

func (oneIssuer) KnownOrigin(context.Context, gatehouse.TenantID, string) (bool, error) {
	return false, nil
}

// breakable opens a second server on the stage's data.
func (s *stage) breakable() *broken {
	s.Helper()
	lines := &fullLog{Handler: slog.DiscardHandler}
	log := slog.New(lines)
	db, err := store.Open(s.Context(), s.Database(log))
	s.did(err)
	s.Cleanup(func() { _ = db.Close() })
	kek, err := seal.ReadKeyFile(filepath.Join(s.Data, "gatehouse.key"))
	s.did(err)
	keys, err := keyring.Open(s.Context(), db, kek)
	s.did(err)
	s.did(keys.Load(s.Context(), gatehouse.DefaultTenant))
	box := &interaction.Box{Keys: keys, Now: db.Now, Cookies: interaction.Cookies{Suffix: "-8080"}}
	pages, hasher := login.NewPages(box), secret.NewHasher(secret.Params{MemoryKiB: 19 << 10, Passes: 1, Slots: 1})
	f := &failing{Store: db, before: map[string]func(){}}
	protocol := authserver.New(authserver.Config{Store: f, Keys: keys, Box: box, Pages: pages, Hosts: f, Hasher: hasher, Log: log})
	people := login.New(login.Config{Pages: pages, Store: db, Flow: protocol, Passwords: hasher, Counters: kv.NewMemory(kv.MemoryConfig{})})
	mux, err := endpoint.NewMux(endpoint.Config{Rows: append(protocol.Rows(), people.Rows()...), Log: log, Tenancy: oneIssuer(s.URL), Origins: oneIssuer(s.URL)})
	s.did(err)
	return &broken{s, mux, f, lines, protocol}
}

// ask sends a request to the broken server with the browser's cookies.
func (b *broken) ask(method, target, authorization string, form url.Values) gatehousetest.Answer {
	b.Helper()
	r := httptest.NewRequest(method, b.URL+target, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", formType)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	} else {
		for _, cookie := range b.Cookies() {
			r.AddCookie(cookie)
		}
	}
	return b.answer(r)
}

func (b *broken) answer(r *http.Request) gatehousetest.Answer {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return gatehousetest.Answer{Response: w.Result(), Text: w.Body.String()}
}

// TestWhenStorageFails: for every request and every call that it makes, the
// failure is ours, is told to nobody, and has used nothing up.
func TestWhenStorageFails(t *testing.T) {
	spec.Covers(t, "IN-05", "LG-03", "RFC6749-4.1.2.1-5")
	s := open(t)
	b := s.breakable()
	issued := s.tokens("scope", "openid photos:read")
	code := s.code()
	web := basic("web", secrets["web"])
	codeForm := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {webCallback}, "code_verifier": {verifier}}
	consent := s.Get(request("prompt", "consent", "state", "consent"))
	post := func(path string, form url.Values) func() gatehousetest.Answer {
		return func() gatehousetest.Answer { return b.ask(http.MethodPost, path, web, form) }
	}
	get := func(target string) func() gatehousetest.Answer {
		return func() gatehousetest.Answer { return b.ask(http.MethodGet, target, "", nil) }
	}
	requests := []struct {
		name  string
		calls string // that it makes of the store
		send  func() gatehousetest.Answer
		want  int
	}{
		{"metadata", "Resources", get("/.well-known/openid-configuration"), 200},
		{"authorize", "Client OnIssuerHost Resources Session Consent IssueCode", get(request("state", "s")), 303},
		{"authorize, silently, as is known", "Client OnIssuerHost Resources IssueCode", get(request("prompt", "none")), 303},
		{"authorize by POST", "Client OnIssuerHost Resources", func() gatehousetest.Answer { return b.ask(http.MethodPost, "/authorize", "", s.values(request())) }, 303},
		{"deny", "Client OnIssuerHost Session AppendEvent", func() gatehousetest.Answer {
			return b.ask(http.MethodPost, "/consent", "", consent.With("decision", "deny"))
		}, 303},
		{"allow", "Client OnIssuerHost Session Resources IssueCode", func() gatehousetest.Answer {
			return b.ask(http.MethodPost, "/consent", "", consent.With("decision", "allow"))
		}, 303},
		{"wrong verifier", "Client GrantTerms CountWrongVerifier", post("/token", with(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {webCallback}}, []string{"code_verifier", wrongVerifier})), 400},
		{"code", "Client GrantTerms Resources TenantRecord RedeemCode", post("/token", codeForm), 200},
		{"introspection of a refresh token", "Client Grant User", post("/introspect", url.Values{"token": {issued.refresh}}), 200},
		{"refresh", "Client GrantTerms Resources TenantRecord RotateRefresh", post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {issued.refresh}}), 200},
		{"client credentials", "Client Resources TenantRecord", func() gatehousetest.Answer {
			return b.ask(http.MethodPost, "/token", basic("svc", secrets["svc"]), photos())
		}, 200},
		{"userinfo", "TokenEnded User", func() gatehousetest.Answer {
			return b.ask(http.MethodGet, "/userinfo", "Bearer "+issued.access, nil)
		}, 200},
		{"introspection", "Client TokenEnded User", post("/introspect", url.Values{"token": {issued.access}}), 200},
		{"revocation", "Client RevokeToken", post("/revoke", url.Values{"token": {issued.access}}), 200},
		{"revocation of a refresh token", "Client Grant EndGrant", post("/revoke", url.Values{"token": {issued.refresh}}), 200},
		{"logout without a hint", "Session User", get("/logout"), 200},
		{"logout", "Session Client OnIssuerHost EndSession", get("/logout?post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye&id_token_hint=" + issued.id), 303},
	}
	reached := map[string]bool{}
	for _, request := range requests {
		for call := range strings.FieldsSeq(request.calls) {
			b.db.fails, reached[call] = call, true
			b.wantFault(request.name+" without "+call, request.send())
			b.db.fails = ""
		}
		if answer := request.send(); answer.StatusCode != request.want || strings.Contains(answer.Header.Get("Location"), "server_error") {
			t.Errorf("%s: %d, want %d\n%s %s", request.name, answer.StatusCode, request.want, answer.Header.Get("Location"), answer.Text)
		}
	}
	for _, call := range storeCalls {
		if !reached[call] {
			t.Errorf("no request makes the call %s", call)
		}
	}
}

// wantFault fails unless the answer is a failure of ours that says nothing
// about us and gives nothing away.
func (b *broken) wantFault(what string, answer gatehousetest.Answer) {
	b.Helper()
	location := answer.Header.Get("Location")
	redirected := strings.HasPrefix(location, webCallback+"?error=server_error&") && strings.Contains(location, "&iss=")
	if answer.StatusCode != 500 && answer.StatusCode != 503 && !redirected {
		b.Errorf("%s: %d %s", what, answer.StatusCode, answer.Text)
	}
	if strings.HasPrefix(what, "revocation") && answer.StatusCode != 503 { // RFC 7009 §2.2.1
		b.Errorf("%s: %d", what, answer.StatusCode)
	}
	for _, word := range []string{"disk", "gatehouse.db", "/var/lib", "goroutine", ".go:", "ghc_", "ghr_", "access_token", "code="} {
		if strings.Contains(answer.Text+location, word) {
			b.Errorf("%s: the answer has %q: %s %s", what, word, location, answer.Text)
		}
	}
}

// TestWhenTheLogIsFull: of a token without a row nothing would tell, so there is
// none. What a row tells of is committed, and answered.
func TestWhenTheLogIsFull(t *testing.T) {
	spec.Covers(t, "FT-20", "LG-03")
	s := open(t)
	b := s.breakable()
	issued := s.tokens("scope", "openid photos:read")
	service := func() gatehousetest.Answer {
		return b.ask(http.MethodPost, "/token", basic("svc", secrets["svc"]), photos())
	}
	b.log.full = true
	answer := service()
	b.wantFault("a token without a row", answer)
	if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || !strings.Contains(answer.Text, "issued-untold.") {
		t.Errorf("%d, Retry-After %q %s", answer.StatusCode, answer.Header.Get("Retry-After"), answer.Text)
	}
	refreshed := b.ask(http.MethodPost, "/token", basic("web", secrets["web"]), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {issued.refresh}})
	s.wants(refreshed, http.StatusOK, "")
	b.log.full = false
	s.wants(service(), http.StatusOK, "")
	if !slices.Contains(b.log.lines, "issued") {
		t.Errorf("the log has %q", b.log.lines)
	}
	s.wants(s.refresh(tokensOf(refreshed).refresh), http.StatusOK, "")
}

// TestBetweenTheCheckAndTheAct: what ends in that moment wins.
func TestBetweenTheCheckAndTheAct(t *testing.T) {
	tenant, event := gatehouse.DefaultTenant, gatehouse.Event{Kind: gatehouse.EventUserChanged}
	s := open(t)
	b := s.breakable()
	issued := s.tokens()
	done := func(_ bool, err error) { s.did(err) }

	b.db.before["IssueCode"] = func() { done(b.db.DisableUser(t.Context(), tenant, "sub-of-alice", true, event)) }
	if location := b.ask(http.MethodGet, request(), "", nil).Header.Get("Location"); !strings.HasPrefix(location, webCallback+"?error=access_denied&") {
		t.Errorf("a code for a disabled user: %s", location)
	}
	b.wantPageOf(b.ask(http.MethodGet, "/userinfo", "Bearer "+issued.access, nil), 401, "bearer-token-invalid")
	done(b.db.DisableUser(t.Context(), tenant, "sub-of-alice", false, event))

	withdraw := func() {
		done(b.db.Store.WithdrawConsent(t.Context(), tenant, "sub-of-alice", "web", gatehouse.Circumstance{}))
	}
	issued = s.tokens()
	b.db.before["IssueCode"] = withdraw
	if location := b.ask(http.MethodGet, request(), "", nil).Header.Get("Location"); !strings.HasPrefix(location, "/consent?i=") {
		t.Errorf("a code without the consent that it relies on: %s", location)
	}
	b.wantPageOf(b.ask(http.MethodGet, "/userinfo", "Bearer "+issued.access, nil), 401, "bearer-token-invalid")
	issued = s.tokens()
	b.db.before["IssueCode"] = withdraw
	if location := b.ask(http.MethodGet, request("prompt", "none"), "", nil).Header.Get("Location"); !strings.HasPrefix(location, webCallback+"?error=consent_required&") {
		t.Errorf("a code without the consent that it relies on, silently: %s", location)
	}

	issued = s.tokens()
	sessionID := s.claims(issued.id)["sid"].(string)
	consent := s.Get(request("prompt", "consent"))
	b.db.before["Session"] = func() {
		done(b.db.Store.EndSession(t.Context(), tenant, sessionID, gatehouse.EndedByLogout, gatehouse.Circumstance{}))
	}
	b.wantPageOf(b.ask(http.MethodPost, "/consent", "", consent.With("decision", "allow")), 400, "consent-other-session")

	code := s.code()
	b.db.before["RedeemCode"] = func() { done(b.db.DisableUser(t.Context(), tenant, "sub-of-alice", true, event)) }
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {webCallback}, "code_verifier": {verifier}}
	b.wantPageOf(b.ask(http.MethodPost, "/token", basic("web", secrets["web"]), form), 400, "code-invalid")
	done(b.db.DisableUser(t.Context(), tenant, "sub-of-alice", false, event))

	issued = s.tokens()
	b.db.before["RotateRefresh"] = func() { done(b.db.DisableUser(t.Context(), tenant, "sub-of-alice", true, event)) }
	form = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {issued.refresh}}
	b.wantPageOf(b.ask(http.MethodPost, "/token", basic("web", secrets["web"]), form), 400, "refresh-invalid")
	done(b.db.DisableUser(t.Context(), tenant, "sub-of-alice", false, event))
}

func TestAUserWhoIsRemovedWhileTheyAreAskedFor(t *testing.T) {
	s := open(t)
	b := s.breakable()
	issued := s.tokens()
	b.db.before["User"] = func() {
		_, err := b.db.DeleteUser(t.Context(), gatehouse.DefaultTenant, "sub-of-alice", gatehouse.Event{Kind: gatehouse.EventUserChanged})
		s.did(err)
	}
	b.wantPageOf(b.ask(http.MethodGet, "/userinfo", "Bearer "+issued.access, nil), 401, "bearer-token-invalid")
	if b.db.before["User"] != nil {
		t.Error("the user was not asked for")
	}
}

func (b *broken) wantPageOf(answer gatehousetest.Answer, status int, rule string) {
	b.Helper()
	if answer.StatusCode != status || !strings.Contains(answer.Text, rule+".") {
		b.Errorf("%d %s %s, want %d by %s", answer.StatusCode, answer.Header.Get("Location"), answer.Text, status, rule)
	}
}

// TestShortSecrets are slow to check, once, and never wait for ever.
func TestShortSecrets(t *testing.T) {
	s := open(t)
	b := s.breakable()
	hasher := secret.NewHasher(secret.Params{MemoryKiB: 19 << 10, Passes: 1, Slots: 1})
	phc, err := hasher.Hash(t.Context(), "short")
	s.did(err)
	s.change("svc", func(client *gatehouse.Client) {
		client.Secrets = []gatehouse.ClientSecret{{ID: "short", Kind: gatehouse.SecretArgon2id, Hash: []byte(phc)}}
	})
	time.Sleep(300 * time.Millisecond) // the second server follows within that
	leaving, leave := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodPost, s.URL+"/token", strings.NewReader(photos().Encode())).WithContext(leaving)
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Authorization", basic("svc", "short"))
	b.db.before["after Client"] = leave
	b.wantPageOf(b.answer(r), 503, "client-secret-busy")
	for _, text := range []string{"short", "wrong", "short", "", "short"} {
		status, code := http.StatusOK, ""
		if text != "short" {
			status, code = http.StatusUnauthorized, "invalid_client"
		}
		s.wants(s.Issuer.Post(t, "/token", "svc", text, photos()), status, code)
		s.wants(b.ask(http.MethodPost, "/token", basic("svc", text), photos()), status, code)
	}
}

// TestAClientThatIsGoneMeanwhile is trusted no more.
func TestAClientThatIsGoneMeanwhile(t *testing.T) {
	s := open(t)
	page := s.Get(request())
	answer := s.Once(http.MethodPost, "/login", page.With("username", "alice", "password", "wonderland-alice"))
	s.change("web", func(client *gatehouse.Client) { client.RedirectURIs = []string{"https://app.example/new"} })
	s.wantPage(s.Get(answer.Header.Get("Location")), "authorize-client-unknown")
	s.change("web", func(client *gatehouse.Client) { client.RedirectURIs = []string{webCallback} })
	s.wantAnswer(s.SignIn(answer.Header.Get("Location"), "alice", "wonderland-alice"), webCallback, "")
}

package authserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/authserver"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/token"
)

// receiver is a client's back channel. It answers with the status.
type receiver struct {
	*httptest.Server
	status atomic.Int32
	// hold, if not nil, is waited for before a request is answered.
	hold atomic.Pointer[chan struct{}]

	mu    sync.Mutex
	heard []heard
}

type heard struct {
	method, contentType, body string
	token                     string
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.status.Store(http.StatusOK)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		form, _ := url.ParseQuery(string(body))
		r.mu.Lock()
		r.heard = append(r.heard, heard{request.Method, request.Header.Get("Content-Type"), string(body), form.Get("logout_token")})
		r.mu.Unlock()
		if hold := r.hold.Load(); hold != nil {
			select {
			case <-*hold:
			case <-request.Context().Done():
			}
		}
		if status := int(r.status.Load()); status >= 300 && status < 400 {
			http.Redirect(w, request, r.URL+"/elsewhere", status)
		} else {
			w.WriteHeader(status)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// all is what came since the last time.
func (r *receiver) all() []heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.heard
	r.heard = nil
	return all
}

// backStage is a server whose clients are told of logouts, with a clock that
// the test moves.
type backStage struct {
	*stage
	web, desk *receiver
	clock     *testClock
	file      string
}

type testClock struct{ ahead atomic.Int64 }

func (c *testClock) now() time.Time        { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *testClock) move(by time.Duration) { c.ahead.Add(int64(by)) }
func loopback() []string                   { return []string{"127.0.0.0/8"} }
func within(file, from, line string) string {
	return strings.Replace(file, from, from+"\n    "+line, 1)
}

func openBack(t *testing.T, options gatehousetest.Options) *backStage {
	t.Helper()
	b := &backStage{web: receive(t), desk: receive(t), clock: &testClock{}}
	b.file = within(tenantWith(exchangers), "client_id: web", "backchannel_logout_uri: "+b.web.URL+"/logout?kept=1")
	b.file = within(b.file, "client_id: desk", "backchannel_logout_uri: "+b.desk.URL+"/logout")
	options.Tenant, options.Clock = b.file, b.clock.now
	issuer := gatehousetest.Start(t, options)
	b.stage = &stage{t, issuer, issuer.NewBrowser(t)}
	return b
}

func (b *backStage) deliver() {
	b.Helper()
	b.did(b.Server().Logouts().Deliver(b.Context()))
}

// kinds are the events about deliveries so far.
func (b *backStage) kinds() string {
	b.Helper()
	events, err := b.store().Events(b.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{Kinds: []gatehouse.EventKind{
		gatehouse.EventLogoutDelivered, gatehouse.EventLogoutFailed, gatehouse.EventLogoutGivenUp,
	}, Limit: 1000})
	b.did(err)
	var kinds []string
	for _, event := range events {
		kinds = append(kinds, fmt.Sprintf("%s %s %d", event.Kind, event.ClientID, event.Count))
	}
	return strings.Join(kinds, ", ")
}

// wantLogout fails unless exactly one logout token came, and returns its claims.
func (b *backStage) wantLogout(r *receiver) token.Claims {
	b.Helper()
	all := r.all()
	if len(all) != 1 {
		b.Fatalf("%d requests came, want 1: %+v", len(all), all)
	}
	got := all[0]
	if got.method != http.MethodPost || got.contentType != formType || got.body != "logout_token="+got.token {
		b.Errorf("the request is %+v", got)
	}
	client := map[*receiver]string{b.web: "web", b.desk: "desk"}[r]
	claims, err := token.Check(b.Context(), got.token, token.Rules{
		Keys: b.Server().Keys().Verifiers(gatehouse.DefaultTenant), Algorithms: []jose.Algorithm{jose.RS256, jose.ES256},
		Types: []string{"logout+jwt"}, Issuers: []string{b.URL}, Audience: client, AuthorizedParty: client,
		Required: []string{"iat", "jti", "events", "sid", "sub"}, Forbidden: []string{"nonce"}, MaxAge: 2 * time.Minute, Now: b.clock.now,
	})
	b.did(err)
	return claims
}

func TestBackchannelLogoutTellsTheClientsOfTheSession(t *testing.T) {
	spec.Covers(t, "OIDCBCL-2-1", "OIDCBCL-2.2-1", "OIDCBCL-2.3-1", "OIDCBCL-2.4-1", "OIDCBCL-2.4-2", "OIDCBCL-2.5-1", "OIDCBCL-2.8-1", "OIDF-40")
	b := openBack(t, gatehousetest.Options{Allow: loopback()})
	b.change("desk", func(c *gatehouse.Client) {
		c.IDTokenSignedResponseAlg, c.SubjectType = "ES256", gatehouse.SubjectPairwise
	})
	web, desk := b.tokens(), b.tokensFor("desk", "openid offline_access")
	b.deliver()
	if len(b.web.all())+len(b.desk.all()) > 0 {
		t.Error("clients were told while the session lives")
	}
	b.signOut()
	b.deliver()
	for r, id := range map[*receiver]string{b.web: web.id, b.desk: desk.id} {
		claims, known := b.wantLogout(r), b.claims(id)
		if claims.Subject != known["sub"] || claims.SessionID != known["sid"] || claims.Expiry.Sub(claims.IssuedAt) > 2*time.Minute {
			t.Errorf("the logout token says %+v, the ID token %v", claims, known)
		}
		var events map[string]json.RawMessage
		if err := json.Unmarshal(claims.Raw["events"], &events); err != nil || len(events) != 1 || string(events["http://schemas.openid.net/event/backchannel-logout"]) != "{}" {
			t.Errorf("events are %s", claims.Raw["events"])
		}
		if len(claims.Raw) != 8 {
			t.Errorf("there are %d claims", len(claims.Raw))
		}
	}
	b.deliver()
	if len(b.web.all())+len(b.desk.all()) > 0 {
		t.Error("they were told twice")
	}
	if kinds := b.kinds(); strings.Count(kinds, "logout.delivered") != 2 || strings.Contains(kinds, "failed") {
		t.Errorf("events are %s", kinds)
	}
	if document := b.metadata(); document["backchannel_logout_supported"] != true || document["backchannel_logout_session_supported"] != true {
		t.Error("discovery does not tell")
	}
}

func TestBackchannelLogoutIsForThoseWithTokensInThatSession(t *testing.T) {
	spec.Covers(t, "OIDCBCL-2.3-1")
	b := openBack(t, gatehousetest.Options{Allow: loopback()})
	elsewhere := &stage{t, b.Issuer, b.NewBrowser(t)}
	elsewhere.tokensFor("desk", "openid") // the same user in another browser
	b.tokens()
	b.code("client_id", "desk", "redirect_uri", "https://desk.example/cb") // a code that nobody redeemed
	b.signOut()
	b.deliver()
	b.wantLogout(b.web)
	if all := b.desk.all(); len(all) > 0 {
		t.Errorf("a client without tokens in the session was told: %v", all)
	}
	elsewhere.signOut()
	b.deliver()
	b.wantLogout(b.desk)
}

// TestBackchannelLogoutOfATenant comes from the tenant's own issuer, and of no
// other's sessions.
func TestBackchannelLogoutOfATenant(t *testing.T) {
	b := openBack(t, gatehousetest.Options{Allow: loopback()})
	other := b.AddTenant(t, "other", "", b.file)
	s := &stage{t, other, other.NewBrowser(t)}
	issued := s.tokens()
	b.tokens()
	s.signOut()
	b.deliver()
	all := b.web.all()
	if len(all) != 1 {
		t.Fatalf("%d requests came", len(all))
	}
	if claims := s.claims(all[0].token); claims["iss"] != other.URL || claims["sid"] != s.claims(issued.id)["sid"] {
		t.Errorf("the logout token says %v", claims)
	}
	// A tenant that was switched off tells nobody anything.
	s.tokens()
	s.signOut()
	b.done(b.store().DisableTenant(t.Context(), "other", true, gatehouse.Event{Actor: "test"}))
	b.deliver()
	if all := b.web.all(); len(all) > 0 {
		t.Errorf("a tenant that is off told %v", all)
	}
	b.signOut()
	b.deliver()
	b.wantLogout(b.web)
}

func TestTheIDTokenNobodyTakesALogoutTokenFor(t *testing.T) {
	b := openBack(t, gatehousetest.Options{Allow: loopback()})
	b.tokens()
	b.signOut()
	b.deliver()
	raw := b.web.all()[0].token
	if _, err := token.Check(t.Context(), raw, token.IDTokenRules(b.Server().Keys().Verifiers(gatehouse.DefaultTenant), b.URL, "web")); err == nil {
		t.Error("a logout token passes for an ID token")
	}
	b.wants(b.userinfo(raw), http.StatusUnauthorized, "invalid_token")
	b.wants(b.exchange("desk", raw, "subject_token_type", tokenType+"id_token"), http.StatusBadRequest, "invalid_request")
}

func TestAClientThatCannotBeToldIsTriedAgainAndGivenUp(t *testing.T) {
	spec.Covers(t, "OIDCBCL-2.8-2")
	b := openBack(t, gatehousetest.Options{Allow: loopback()})
	b.tokens()
	b.signOut()
	seen := map[string]bool{}
	attempt := func(status int, want string) {
		t.Helper()
		b.web.status.Store(int32(status))
		b.deliver()
		all := b.web.all()
		if len(all) != 1 || seen[all[0].token] {
			t.Fatalf("%d requests came, each with a token of its own", len(all))
		}
		seen[all[0].token] = true
		if kinds := b.kinds(); !strings.Contains(kinds, want) {
			t.Errorf("after %d the events are %s", status, kinds)
		}
		b.deliver()
		if len(b.web.all()) > 0 {
			t.Error("it was tried again at once")
		}
		b.clock.move(31 * time.Minute)
	}
	attempt(http.StatusInternalServerError, "logout.failed web 1")
	attempt(http.StatusBadRequest, "logout.failed web 1, logout.failed web 1")
	attempt(http.StatusFound, "logout.failed web 1") // not followed
	attempt(http.StatusNoContent, "logout.delivered web 1")

	b.tokens()
	b.signOut()
	for range 9 {
		attempt(http.StatusServiceUnavailable, "logout.failed")
	}
	if strings.Contains(b.kinds(), "given_up") {
		t.Error("given up too early")
	}
	attempt(http.StatusServiceUnavailable, "logout.given_up web 1")
	b.deliver()
	if all := b.web.all(); len(all) > 0 {
		t.Errorf("after it was given up %d requests came", len(all))
	}
}

func TestADeadClientHoldsUpNobody(t *testing.T) {
	spec.Covers(t, "OIDCBCL-2.5-2")
	b := openBack(t, gatehousetest.Options{Allow: loopback()})
	hold := make(chan struct{})
	b.web.hold.Store(&hold)
	b.tokens()
	b.tokensFor("desk", "openid")
	b.signOut() // is answered although nobody was told
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Server().Logouts().Run(ctx) })
	for len(b.desk.peek()) == 0 || len(b.web.peek()) == 0 { // web's is never answered
		time.Sleep(time.Millisecond)
	}
	b.tokensFor("desk", "openid")
	b.signOut()
	for len(b.desk.peek()) < 2 {
		time.Sleep(time.Millisecond)
	}
	stop()
	running.Wait()
	close(hold)
}

func (r *receiver) peek() []heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.heard)
}

func TestLogoutsGoNowhereThatIsNotAllowed(t *testing.T) {
	spec.Covers(t, "OIDCBCL-2.2-2")
	b := openBack(t, gatehousetest.Options{}) // loopback is for special use
	b.tokens()
	b.signOut()
	b.deliver()
	if all := b.web.all(); len(all) > 0 {
		t.Errorf("%d requests came", len(all))
	}
	events := b.wantEvents(gatehouse.EventLogoutFailed, 1)
	if reason := events[0].Detail["reason"]; !strings.Contains(reason, "http") && !strings.Contains(reason, "special use") || strings.Contains(reason, "kept=1") {
		t.Errorf("the reason is %q", reason)
	}
}

func TestAClientThatIsOffIsNotTold(t *testing.T) {
	b := openBack(t, gatehousetest.Options{Allow: loopback()})
	b.tokens()
	b.tokensFor("desk", "openid")
	b.signOut()
	b.change("web", func(c *gatehouse.Client) { c.BackchannelLogoutURI = "" })
	b.done(b.store().DisableClient(t.Context(), gatehouse.DefaultTenant, "desk", true, gatehouse.Event{Kind: gatehouse.EventClientChanged}))
	b.deliver()
	if len(b.web.all())+len(b.desk.all()) > 0 || strings.Count(b.kinds(), "logout.given_up") != 2 {
		t.Errorf("events are %s", b.kinds())
	}
}

// TestNoLogoutIsLostInARestart kills the one who delivers between the claim and
// the answer: the next server on the data tells the client once more.
func TestNoLogoutIsLostInARestart(t *testing.T) {
	web, clock := receive(t), &testClock{}
	options := gatehousetest.Options{Tenant: within(tenant, "client_id: web", "backchannel_logout_uri: "+web.URL), Clock: clock.now, Allow: loopback(), Data: t.TempDir()}
	issuer, stop := gatehousetest.Run(t, options)
	s := &stage{t, issuer, issuer.NewBrowser(t)}
	s.tokens()
	s.signOut()
	hold := make(chan struct{})
	web.hold.Store(&hold)
	ctx, kill := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- issuer.Server().Logouts().Deliver(ctx) }()
	for len(web.peek()) == 0 {
		time.Sleep(time.Millisecond)
	}
	kill()
	<-done
	stop()
	close(hold)
	web.all()

	issuer, stop = gatehousetest.Run(t, options)
	defer stop()
	s.did(issuer.Server().Logouts().Deliver(t.Context()))
	if all := web.all(); len(all) > 0 {
		t.Errorf("while the claim stands %d requests came", len(all))
	}
	clock.move(3 * time.Minute)
	s.did(issuer.Server().Logouts().Deliver(t.Context()))
	s.did(issuer.Server().Logouts().Deliver(t.Context()))
	if all := web.all(); len(all) != 1 {
		t.Errorf("after the restart %d requests came", len(all))
	}
}

// TestSeveralServersTellOnce lets several servers on one database deliver at
// the same time.
func TestSeveralServersTellOnce(t *testing.T) {
	spec.Covers(t, "OIDCBCL-2.5-3")
	b := openBack(t, gatehousetest.Options{Allow: loopback()})
	const sessions, servers = 30, 4
	for range sessions {
		s := &stage{t, b.Issuer, b.NewBrowser(t)}
		s.tokens()
		s.signOut()
	}
	barrier := make(chan struct{})
	var done sync.WaitGroup
	for range servers {
		logouts := b.another()
		done.Go(func() {
			<-barrier
			for range sessions {
				if err := logouts.Deliver(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	close(barrier)
	done.Wait()
	sids := map[string]int{}
	for _, got := range b.web.all() {
		sids[b.claims(got.token)["sid"].(string)]++
	}
	if len(sids) != sessions {
		t.Errorf("%d sessions were told of", len(sids))
	}
	for sid, count := range sids {
		if count != 1 {
			t.Errorf("%s was told %d times", sid, count)
		}
	}
}

// another is one more server's delivery from the same database.
func (b *backStage) another() *authserver.Logouts {
	b.Helper()
	beside := b.breakable()
	return &authserver.Logouts{
		Server: beside.protocol, HTTP: b.Server().Outbound().HTTP(),
		Tenant: func(context.Context, gatehouse.TenantID) (gatehouse.Tenant, bool, error) {
			return gatehouse.Tenant{ID: gatehouse.DefaultTenant, Issuer: b.URL, Settings: gatehouse.Settings{}.WithDefaults()}, true, nil
		},
	}
}

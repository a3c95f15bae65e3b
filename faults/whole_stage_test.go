package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/redistest"
	"gatehouse/internal/store/postgrestest"
)

const (
	appSecret     = "a-secret-of-the-app-0123456789abcdefghij"
	gatewaySecret = "a-secret-of-the-gateway-0123456789abcdef"
	// tokenLife is short, so that tokens are renewed in the middle of everything.
	tokenLife = "6s"
	// patience is when something that must come about has not.
	patience = 90 * time.Second
)

// whole is two servers, two backends for frontend and two gateways over one PostgreSQL
// and one Redis, with what stands between them in a real place: balancers, which send a
// request to the other one where nobody listens. The API behind is the test's.
type whole struct {
	*house
	app            string // the origin of the application
	bffs, gateways []*server
	// silenced has the issuer's balancer answer revocations by 503.
	silenced atomic.Bool
	redis    *redistest.Server
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	redis := redistest.Start(t)
	w := &whole{house: bareHouse(t, postgrestest.Schema(t), 2), app: "http://" + freeAddress(t), redis: redis}
	old := w.issuer
	w.issuer = w.balancer(w.servers, func(writer http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/revoke" && w.silenced.Load() {
			writer.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	for _, s := range w.servers {
		text, err := os.ReadFile(s.configFile())
		if err != nil {
			t.Fatal(err)
		}
		w.write(s.name+".yaml", strings.Replace(string(text), "public_url: "+old+"\n", "public_url: "+w.issuer+"\n", 1)+"redis: {addresses: ['"+redis.Addr()+"']}\n")
	}
	w.write("tenant.yaml", w.tenant())
	w.write("key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n")
	upstream := httptest.NewServer(http.HandlerFunc(w.serveAPI))
	t.Cleanup(upstream.Close)
	for i := range 2 {
		w.gateways = append(w.gateways, w.process("gateway", i, `
authentications:
  - {name: api, audience: `+api+`, issuers: [{issuer: '`+w.issuer+`', client_id: gateway, client_secret: `+gatewaySecret+`, revocation_feed: true}]}
upstreams: [{name: api, url: '`+upstream.URL+`'}]
routes:
  - {name: read, path: /read, methods: [GET], authentication: api, scopes: ['api:read'], upstream: api, forward: {insecure_original_token: true}}
  - {name: scarce, path: /scarce, methods: [GET], authentication: api, upstream: api, forward: {insecure_original_token: true}, limits: [{per: subject, per_second: 1}]}
`))
	}
	gateways := w.balancer(w.gateways, nil)
	for i := range 2 {
		w.bffs = append(w.bffs, w.process("bff", i, `
url: `+w.app+`
issuers: [{issuer: '`+w.issuer+`', client_id: app, client_secret: `+appSecret+`, scope: 'openid profile api:read', resources: [`+api+`]}]
upstreams: [{path: /api, url: '`+gateways+`', routes: [{path: /read, methods: [GET]}]}]
sessions: {store: redis, key_file: key}
`))
	}
	w.beyond = append(append([]*server{}, w.bffs...), w.gateways...)
	w.furnish()
	w.start()
	for _, s := range w.beyond {
		w.open(s)
	}
	return w
}

func (w *whole) tenant() string {
	text := strings.Replace(tenant(), "name: API,", "name: API, token_lifetime: "+tokenLife+",", 1)
	return strings.Replace(text, "users:\n", `  - client_id: app
    client_secret: `+appSecret+`
    redirect_uris: ["`+w.app+`/bff/callback"]
    post_logout_redirect_uris: ["`+w.app+`/bff/logged-out"]
    grant_types: [authorization_code, refresh_token]
    scope: openid profile api:read
  - {client_id: gateway, client_secret: `+gatewaySecret+`, grant_types: [client_credentials], introspects: [`+api+`], revocation_feed: true}
users:
`, 1)
}

// process is one that does not run yet.
func (w *whole) process(program string, number int, text string) *server {
	s := &server{house: w.house, binary: built, program: program, name: fmt.Sprint(program, number), address: freeAddress(w.T)}
	w.write(s.name+".yaml", "listen: "+s.address+"\nredis: {addresses: ['"+w.redis.Addr()+"']}\n"+text)
	return s
}

// open starts a backend or a gateway and waits until it is ready.
func (w *whole) open(s *server) {
	w.Helper()
	s.begin()
	w.opened(s)
}

func (w *whole) opened(s *server) {
	w.Helper()
	if s.program == "bff" {
		w.eventually(s.name+" is not ready", func() bool {
			said, err := w.ask(w.callers, s, http.MethodGet, "/bff/readyz")
			return err == nil && said.status == http.StatusOK
		})
		return
	}
	s.awaits("/.gatehouse/readyz", http.StatusOK, readyWithin)
}

// eventually waits for what is about to be so.
func (w *whole) eventually(about string, is func() bool) {
	w.Helper()
	for begin := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > patience {
			w.Fatal(about)
		}
	}
}

// ask asks a backend as the application's page does.
func (w *whole) ask(by *http.Client, at *server, method, path string) (answer, error) {
	r, err := http.NewRequest(method, "http://"+at.address+path, nil)
	if err != nil {
		return answer{}, err
	}
	r.Host = strings.TrimPrefix(w.app, "http://")
	r.Header.Set("X-CSRF", "1")
	r.Header.Set("Origin", w.app)
	response, err := by.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// direct asks a gateway with a token.
func (w *whole) direct(at *server, path, token string) (answer, error) {
	return at.once(w.callers, http.MethodGet, path, nil, "Authorization", "Bearer "+token)
}

// serveAPI tells the caller which grant and which token it saw.
func (w *whole) serveAPI(writer http.ResponseWriter, r *http.Request) {
	raw := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	writer.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(writer).Encode(map[string]string{"gid": claimsOf(w.T, raw).Handle, "token": raw})
}

// balancer is an address in front of processes, each of which gets every other request.
// before answers in their place where it says so.
func (w *whole) balancer(of []*server, before func(http.ResponseWriter, *http.Request) bool) string {
	turns := &turns{of: of, base: &http.Transport{MaxIdleConnsPerHost: 64}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "somewhere", r.In.Host
		},
		Transport: turns, FlushInterval: -1, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	server := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, r *http.Request) {
		if before == nil || !before(writer, r) {
			proxy.ServeHTTP(writer, r)
		}
	}))
	w.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		turns.base.CloseIdleConnections()
	})
	return server.URL
}

// turns sends each request to the next one, or where nobody listens to the other.
type turns struct {
	of   []*server
	base *http.Transport
	next atomic.Int64
}

func (t *turns) RoundTrip(r *http.Request) (response *http.Response, err error) {
	var body []byte
	if r.Body != nil {
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	first := t.next.Add(1)
	for i := range t.of {
		try := r.Clone(r.Context())
		try.URL.Host = t.of[(int(first)+i)%len(t.of)].address
		if r.Body != nil {
			try.Body = io.NopCloser(bytes.NewReader(body))
		}
		if response, err = t.base.RoundTrip(try); err == nil {
			return response, nil
		}
		if operation, is := errors.AsType[*net.OpError](err); !is || operation.Op != "dial" {
			return nil, err // it may have been heard
		}
	}
	return nil, err
}

// guest is somebody at a browser who signs in at the application.
type guest struct {
	*person
	w *whole
}

func (w *whole) guest(name string) *guest {
	return &guest{newPerson(name), w}
}

// copied is another browser with the same cookies.
func (v *guest) copied() *guest {
	other, all := v.w.guest(v.name), &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/"}
	other.http.Jar.SetCookies(all, v.http.Jar.Cookies(all))
	return other
}

// landing begins a sign-in at one backend and returns the way back to the application.
func (v *guest) landing(at, issuer *server) (callback string, err error) {
	begun, err := v.w.ask(v.http, at, http.MethodGet, "/bff/login?return_to=/")
	if err != nil {
		return "", err
	}
	location := begun.header.Get("Location")
	if begun.status != http.StatusSeeOther || !strings.HasPrefix(location, v.w.issuer) {
		return "", notYet(begun, "login")
	}
	page, err := v.open(issuer, http.MethodGet, strings.TrimPrefix(location, v.w.issuer), nil)
	if form, asked := page.form("/login", "username", v.name, "password", password); asked && err == nil {
		page, err = v.open(issuer, http.MethodPost, "/login", form)
	}
	if form, asked := page.form("/consent", "decision", "allow"); asked && err == nil {
		page, err = v.open(issuer, http.MethodPost, "/consent", form)
	}
	if err != nil {
		return "", err
	}
	back, err := url.Parse(page.header.Get("Location"))
	if err != nil || !strings.HasPrefix(back.String(), v.w.app+"/bff/callback") {
		return "", notYet(page, "authorization")
	}
	return back.RequestURI(), nil
}

// signsIn begins at one backend and comes back to another.
func (v *guest) signsIn(at, back, issuer *server) error {
	callback, err := v.landing(at, issuer)
	if err != nil {
		return err
	}
	done, err := v.w.ask(v.http, back, http.MethodGet, callback)
	if err == nil && done.status >= 400 {
		err = notYet(done, "callback")
	}
	return err
}

// notYet is the error of an answer that bad times may give. Others are unexpected.
func notYet(a answer, what string) error {
	if a.status >= 500 || strings.Contains(a.header.Get("Location"), "temporarily_unavailable") || strings.Contains(a.header.Get("Location"), "server_error") {
		return errNotNow
	}
	return &unexpected{fmt.Sprintf("%s: %d to %q: %.300s", what, a.status, a.header.Get("Location"), a.text)}
}

// signedIn is the status of /bff/user: 200 or 401, or an error while nobody can tell.
func (v *guest) signedIn(at *server) (bool, error) {
	said, err := v.w.ask(v.http, at, http.MethodGet, "/bff/user")
	switch {
	case err != nil:
		return false, err
	case said.status == http.StatusOK, said.status == http.StatusUnauthorized:
		return said.status == http.StatusOK, nil
	}
	return false, notYet(said, "user")
}

func (v *guest) signsOut(at *server) error {
	said, err := v.w.ask(v.http, at, http.MethodPost, "/bff/logout")
	if err == nil && said.status != http.StatusOK {
		err = notYet(said, "logout")
	}
	return err
}

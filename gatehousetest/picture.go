package gatehousetest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/gateway"
	"gatehouse/internal/authority"
	"gatehouse/resource"
	"gatehouse/token"
)

// Names in the Picture.
const (
	// PictureUser and PicturePassword are who can sign in.
	PictureUser     = "alice"
	PicturePassword = "wonderland-alice"
	// PictureScope is what both APIs want of a token.
	PictureScope = "photos:read"

	picturePhotos     = "https://photos.example"
	pictureThumbnails = "https://thumbnails.example"
	pictureApp        = "app"
	pictureGateway    = "gateway"
	pictureFirst      = "photos"
	pictureSecond     = "thumbnails"
)

// PictureOptions are what a test may choose of a Picture.
type PictureOptions struct {
	// Photos makes what the first API answers below /photos, once the token was found
	// right; nil makes one that calls the second API for the caller and passes its
	// answer on.
	Photos func(p *Picture) http.Handler
	// Thumbnails is what the second API answers; nil tells sub and act of the token.
	Thumbnails http.Handler
	// Issuer are options of the server. Tenant, and what the Picture needs of Allow,
	// are set by StartPicture.
	Issuer Options
}

// Picture is everything together: a browser's application behind a backend for
// frontend, a gateway, an API, a second API that the first one calls with exchanged tokens over
// mutual TLS, and the server. All but the server listen on loopback addresses, so that
// it is not for bubbles of testing/synctest.
type Picture struct {
	Issuer *Issuer
	// App is the origin of the application; PhotoAPI is below /api there.
	App string
	BFF *bff.BFF
	// Gateway stands in front of the first API, at GatewayURL. It exchanges each token
	// for one that says that the gateway acts.
	Gateway    *gateway.Gateway
	GatewayURL string
	// Photos is the first API, Thumbnails the second.
	Photos, Thumbnails *API

	exchanger *client.Client
}

// StartPicture runs a Picture until the test ends.
func StartPicture(t testing.TB, o PictureOptions) *Picture {
	t.Helper()
	mutual, err := authority.NewMutual(pictureSecond, pictureFirst, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := &Picture{Photos: newAPI(picturePhotos, nil), Thumbnails: newAPI(pictureThumbnails, mutual.Server)}
	app, front := newDoor(nil), newDoor(nil)
	p.App, p.GatewayURL = app.url, front.url
	o.Issuer.Tenant = pictureTenant(p.App)
	o.Issuer.Allow = append(o.Issuer.Allow, strings.TrimPrefix(p.App, "http://"))
	issuer, stop := Run(t, o.Issuer)
	p.Issuer = issuer
	log := slog.New(slog.NewJSONHandler(issuer.log, nil)) // which is searched for secrets
	p.exchanger, err = client.New(context.Background(), issuer.URL, client.Config{ClientID: pictureFirst, ClientSecret: client.NewSecret(secretOfPicture(pictureFirst)), HTTPClient: issuer.HTTP(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if p.BFF, err = bff.New(context.Background(), pictureBFF(p, log)); err != nil {
		t.Fatal(err)
	}
	if p.Gateway, err = gateway.New(context.Background(), pictureRoutes(p, log)); err != nil {
		t.Fatal(err)
	}
	if o.Photos == nil {
		o.Photos = passOn
	}
	if o.Thumbnails == nil {
		o.Thumbnails = http.HandlerFunc(tellActor)
	}
	p.Photos.open(t, issuer, pictureFirst, nil, o.Photos(p), log)
	p.Thumbnails.open(t, issuer, pictureSecond, mutual.Client, o.Thumbnails, log)
	front.open(p.Gateway)
	app.open(p.BFF)
	ctx, cancel := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	beside.Go(func() { issuer.server.Logouts().Run(ctx) })
	t.Cleanup(func() {
		cancel()
		beside.Wait()
		p.BFF.EndStreams()
		p.Gateway.EndStreams()
		for _, close := range []func(){app.close, front.close, p.Photos.close, p.Thumbnails.close} {
			close()
		}
		if err := errors.Join(p.BFF.Close(), p.Gateway.Close(), p.exchanger.Close()); err != nil {
			t.Error(err)
		}
		stop()
	})
	return p
}

// secretOfPicture is long enough to be kept as what is random.
func secretOfPicture(id string) string { return id + "-secret-that-is-long-enough-to-be-random" }

func pictureTenant(app string) string {
	return fmt.Sprintf(`
resources:
  - identifier: %[2]s
    scopes: {"photos:read": See your photos}
  - identifier: %[3]s
clients:
  - client_id: app
    client_secret: %[4]s
    redirect_uris: [%[1]s/bff/callback]
    post_logout_redirect_uris: [%[1]s/bff/logged-out]
    backchannel_logout_uri: %[1]s/bff/backchannel-logout
    grant_types: [authorization_code, refresh_token]
    scope: openid profile photos:read
  - client_id: gateway
    client_secret: %[9]s
    grant_types: ["urn:ietf:params:oauth:grant-type:token-exchange"]
    scope: photos:read
    token_exchange: {accepts: [%[2]s], audiences: [%[2]s]}
    introspects: [%[2]s]
    revocation_feed: true
  - client_id: photos
    client_secret: %[5]s
    grant_types: ["urn:ietf:params:oauth:grant-type:token-exchange"]
    scope: photos:read
    token_exchange: {accepts: [%[2]s], audiences: [%[3]s]}
    introspects: [%[2]s]
    revocation_feed: true
  - client_id: thumbnails
    client_secret: %[6]s
    grant_types: [client_credentials]
    introspects: [%[3]s]
    revocation_feed: true
users:
  - username: %[7]s
    password: %[8]s
    sub: user-alice
    name: Alice Example
`, app, picturePhotos, pictureThumbnails, secretOfPicture(pictureApp), secretOfPicture(pictureFirst), secretOfPicture(pictureSecond), PictureUser, PicturePassword, secretOfPicture(pictureGateway))
}

func pictureBFF(p *Picture, log *slog.Logger) bff.Config {
	return bff.Config{
		URL: p.App, Logger: log,
		Issuers: []bff.Issuer{{Issuer: p.Issuer.URL, Client: client.Config{
			ClientID: pictureApp, ClientSecret: client.NewSecret(secretOfPicture(pictureApp)), HTTPClient: p.Issuer.HTTP(),
			Scope: "openid profile " + PictureScope, Resources: []string{picturePhotos},
		}}},
		Upstreams: []bff.Upstream{{Path: "/api", URL: p.GatewayURL, Routes: []bff.Route{{Path: "/photos", Methods: []string{http.MethodGet}}, {Path: "/photos/{rest...}", Methods: []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}}}}},
		Files:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the application") }),
	}
}

func pictureRoutes(p *Picture, log *slog.Logger) gateway.Config {
	route := gateway.Route{
		Name: "photos", Match: gateway.Match{Path: "/photos/{rest...}"}, Authentication: pictureFirst, Needs: resource.Needs{Scopes: []string{PictureScope}},
		Upstream: pictureFirst, Forward: gateway.Forward{Exchange: &gateway.Exchange{Resource: picturePhotos}},
	}
	album := route
	album.Name, album.Match.Path = "album", "/photos"
	return gateway.Config{
		Authentications: []gateway.Authentication{{Name: pictureFirst, Resource: resource.Config{
			Issuer: p.Issuer.URL, Audience: picturePhotos, ClientID: pictureGateway, ClientSecret: secretOfPicture(pictureGateway), Feed: true, HTTPClient: p.Issuer.HTTP(), Logger: log,
		}}},
		Exchangers: []gateway.Exchanger{{Issuer: p.Issuer.URL, Client: client.Config{
			ClientID: pictureGateway, ClientSecret: client.NewSecret(secretOfPicture(pictureGateway)), HTTPClient: p.Issuer.HTTP(),
		}}},
		Upstreams: []gateway.Upstream{{Name: pictureFirst, URL: p.Photos.URL}},
		Routes:    []gateway.Route{album, route},
		Logger:    log,
	}
}

// NewBrowser opens a browser without cookies that visits the issuer and the
// application.
func (p *Picture) NewBrowser(t testing.TB) *Browser {
	t.Helper()
	b := p.Issuer.NewBrowser(t)
	b.Visits(p.App, p.BFF)
	return b
}

// SignIn signs the Picture's user in at the application.
func (p *Picture) SignIn(t testing.TB, b *Browser) {
	t.Helper()
	if end := b.SignIn(p.App+"/bff/login?return_to=/", PictureUser, PicturePassword); end.StatusCode != http.StatusOK || end.Text != "the application" {
		t.Fatalf("the sign-in ends at %s with %d: %.300s", end.Path, end.StatusCode, end.Text)
	}
}

// SignOut signs out at the application, as a script of its page does.
func (p *Picture) SignOut(t testing.TB, b *Browser) {
	t.Helper()
	if answer := b.Fetch(http.MethodPost, p.App+"/bff/logout", "", "X-CSRF", "1"); answer.StatusCode != http.StatusOK {
		t.Fatalf("the sign-out: %d %s", answer.StatusCode, answer.Text)
	}
}

// Call asks the first API by way of the application and the gateway, as a script of its page does.
func (p *Picture) Call(b *Browser, path string) Answer {
	return b.Fetch(http.MethodGet, p.App+"/api"+path, "", "X-CSRF", "1")
}

// Exchange returns a client for requests to the second API on behalf of who called the
// first one: they have a token that was exchanged for the caller's, and come with the
// first API's certificate.
func (p *Picture) Exchange(r *http.Request) (*http.Client, error) {
	raw, err := resource.BearerToken(r.Header.Values("Authorization"))
	if err != nil {
		return nil, err
	}
	tokens, err := p.exchanger.Exchange(r.Context(), client.Exchange{SubjectToken: client.NewSecret(raw), Resources: []string{pictureThumbnails}, Scope: PictureScope})
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &client.Transport{Source: tokens, Resources: []string{p.Thumbnails.URL}, Base: p.Thumbnails.http.Transport}}, nil
}

// passOn is the first API of a test that brings none.
func passOn(p *Picture) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		second, err := p.Exchange(r)
		if err != nil {
			http.Error(w, "no token for the second API", http.StatusServiceUnavailable)
			return
		}
		request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, p.Thumbnails.URL+"/", nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		response, err := second.Do(request)
		if err != nil {
			http.Error(w, "the second API does not answer", http.StatusBadGateway)
			return
		}
		defer func() { _ = response.Body.Close() }()
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	})
}

// tellActor is the second API of a test that brings none.
func tellActor(w http.ResponseWriter, r *http.Request) {
	access, _ := resource.AccessFrom(r.Context())
	actor, err := access.Claims.Actor()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Subject string       `json:"sub"`
		Act     *token.Actor `json:"act"`
	}{access.Claims.Subject, actor})
}

// Seen is a request that an API let in.
type Seen struct {
	Access resource.Access
	// Certificate is the name in the client certificate, "" for none.
	Certificate string
	// Token is the access token itself, for asking again.
	Token string
}

// API is one of the two APIs of a Picture.
type API struct {
	// URL is where it listens, Audience its name in tokens.
	URL, Audience string

	door   *door
	http   *http.Client // with the certificate that it wants
	server *resource.Server

	mu   sync.Mutex
	seen []Seen
}

func newAPI(audience string, secure *tls.Config) *API {
	door := newDoor(secure)
	return &API{URL: door.url, Audience: audience, door: door}
}

func (a *API) open(t testing.TB, issuer *Issuer, id string, caller *tls.Config, answer http.Handler, log *slog.Logger) {
	t.Helper()
	var err error
	a.http = &http.Client{Transport: &http.Transport{TLSClientConfig: caller}, Timeout: patience}
	a.server, err = resource.New(context.Background(), resource.Config{
		Issuer: issuer.URL, Audience: a.Audience, ClientID: id, ClientSecret: secretOfPicture(id), Feed: true, HTTPClient: issuer.HTTP(), Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	a.door.open(a.server.Require(PictureScope)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, _ := resource.AccessFrom(r.Context())
		raw, _ := resource.BearerToken(r.Header.Values("Authorization")) // the guard has read it
		a.mu.Lock()
		a.seen = append(a.seen, Seen{access, authority.Name(r.TLS), raw})
		a.mu.Unlock()
		answer.ServeHTTP(w, r)
	})))
}

func (a *API) close() {
	if a.http != nil {
		a.http.CloseIdleConnections()
	}
	if a.server != nil {
		a.server.Close()
	}
	a.door.close()
}

// Seen returns the requests that were let in, in their order.
func (a *API) Seen() []Seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Seen(nil), a.seen...)
}

// Ask asks the API itself with a token, with the certificate that it wants, and
// returns the status.
func (a *API) Ask(t testing.TB, raw string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, a.URL+"/photos", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+raw)
	response, err := a.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// door is a loopback address whose server comes later.
type door struct {
	url    string
	server *httptest.Server
	opened bool
}

func newDoor(secure *tls.Config) *door {
	server := httptest.NewUnstartedServer(nil)
	server.TLS = secure
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	scheme := "http://"
	if secure != nil {
		scheme = "https://"
	}
	return &door{url: scheme + server.Listener.Addr().String(), server: server}
}

func (d *door) open(handler http.Handler) {
	d.server.Config.Handler = handler
	if d.opened = true; d.server.TLS != nil {
		d.server.StartTLS()
		return
	}
	d.server.Start()
}

func (d *door) close() {
	if !d.opened {
		_ = d.server.Listener.Close()
		return
	}
	d.server.Close()
}

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"

	"gatehouse/client"
)

// A web application: people sign in, its pages know who they are, and it calls an
// API for them.
func Example_webApplication() {
	issuer, end := exampleIssuer()
	defer end()
	ctx := context.Background()
	mux := http.NewServeMux()
	app := exampleServer(mux)
	defer app.Close()

	c, err := client.New(ctx, issuer.URL, client.Config{
		ClientID:     "web",
		ClientSecret: client.NewSecret("web-secret-that-is-long-enough"),
		RedirectURI:  app.URL + "/callback",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	mux.Handle("GET /login", c.LoginHandler())
	mux.Handle("GET /callback", c.CallbackHandler(func(_ *http.Request, login *client.Login) error {
		fmt.Println("signed in:", login.Subject) // look the person up by Issuer and Subject
		return nil
	}))
	mux.Handle("POST /logout", c.LogoutHandler())
	mux.Handle("GET /", c.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := client.SessionFrom(r.Context())
		api := &http.Client{Transport: &client.Transport{Source: session, Resources: []string{issuer.URL + "/api"}}}
		response, err := api.Get(issuer.URL + "/api/photos")
		if err != nil {
			w.WriteHeader(client.StatusOf(err))
			return
		}
		defer response.Body.Close()
		fmt.Fprintf(w, "Hello %s, ", session.Subject())
		_, _ = io.Copy(w, response.Body)
	})))

	person := exampleBrowser()
	fmt.Println(person.open(app.URL + "/"))
	// Output:
	// signed in: alice
	// Hello alice, here are your photos.
}

// The back end of an application that runs in the browser: its script has a cookie
// and no token. Requests without a session are answered with 401 and JSON, which
// the script answers by going to /login.
func Example_backEndOfABrowserApplication() {
	issuer, end := exampleIssuer()
	defer end()
	mux := http.NewServeMux()
	app := exampleServer(mux)
	defer app.Close()

	c, err := client.New(context.Background(), issuer.URL, client.Config{
		ClientID: "web", ClientSecret: client.NewSecret("web-secret-that-is-long-enough"), RedirectURI: app.URL + "/callback",
		Scope:          "openid offline_access",
		SameSiteStrict: true, // no request that another site causes has the session
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	mux.Handle("GET /login", c.LoginHandler())
	mux.Handle("GET /callback", c.CallbackHandler(nil))
	mux.Handle("POST /logout", c.LogoutHandler())
	mux.Handle("POST /backchannel-logout", c.BackChannelLogoutHandler())
	mine := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := client.SessionFrom(r.Context())
		if _, err := session.Token(r.Context()); err != nil { // renewed if need be
			client.RefuseJSON(w, err)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"sub": session.Subject()})
	})
	// The script's requests come from our own pages, or not at all.
	mux.Handle("/api/", http.NewCrossOriginProtection().Handler(c.RequireLogin(mine)))

	script := exampleBrowser()
	fmt.Println(script.fetch(app.URL + "/api/me"))
	script.open(app.URL + "/login?return_to=/api/me")
	fmt.Println(script.fetch(app.URL + "/api/me"))
	// Output:
	// 401 {"error":"login_required"}
	// 200 {"sub":"alice"}
}

// An application on somebody's own machine opens their browser and listens for the
// answer (RFC 8252). It keeps the tokens in the key ring.
func Example_nativeApplication() {
	issuer, end := exampleIssuer()
	defer end()
	ctx := context.Background()
	keyRing := map[string][]byte{}

	c, err := client.New(ctx, issuer.URL, client.Config{ClientID: "native", Scope: "openid offline_access"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	login, err := c.LoginByLoopback(ctx, client.LoopbackConfig{
		Open: func(url string) error { // xdg-open, open, rundll32 url.dll,FileProtocolHandler
			go exampleBrowser().open(url)
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	tokens := c.Source(login.Tokens, client.SourceConfig{
		Identity: login.Identity,
		Persist: func(_ context.Context, tokens client.Tokens) (err error) {
			keyRing["tokens"], err = tokens.Export()
			return err
		},
	})
	api := &http.Client{Transport: &client.Transport{Source: tokens, Resources: []string{issuer.URL + "/api"}}}
	response, err := api.Get(issuer.URL + "/api/photos")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	fmt.Println(login.Subject, response.StatusCode)
	// Output: alice 200
}

// A command line, or anything without a browser, signs people in by a code that
// they enter elsewhere (RFC 8628).
func Example_commandLine() {
	issuer, end := exampleIssuer()
	defer end()
	ctx := context.Background()

	c, err := client.New(ctx, issuer.URL, client.Config{ClientID: "cli"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	device, err := c.Device(ctx, client.DeviceRequest{Scope: "openid offline_access"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Open %s and enter %s\n", strings.TrimPrefix(device.VerificationURI, issuer.URL), device.UserCode)
	login, err := device.Wait(ctx)
	if refused, ok := errors.AsType[*client.LoginError](err); ok {
		log.Fatal("not signed in: ", refused.Reason)
	} else if err != nil {
		log.Fatal(err)
	}
	fmt.Println("signed in:", login.Subject)
	// Output:
	// Open /device and enter WDJB-MJHT
	// signed in: alice
}

// A service calls another service in its own name.
func Example_service() {
	issuer, end := exampleIssuer()
	defer end()
	api := issuer.URL + "/api"

	c, err := client.New(context.Background(), issuer.URL, client.Config{ClientID: "orders", ClientSecret: client.NewSecret("orders-secret-that-is-long-enough")})
	if err != nil {
		log.Fatal(err)
	}
	photos, err := c.Credentials(client.CredentialsConfig{Scope: "photos:read", Resource: api})
	if err != nil {
		log.Fatal(err)
	}
	response, err := (&http.Client{Transport: photos.Transport(nil)}).Get(api + "/photos")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	stats := c.Stats()
	fmt.Println(response.StatusCode, stats.Misses, stats.Renewals, stats.Breaker)
	// Output: 200 1 1 closed
}

// An API that was called with somebody's token calls another API on their behalf:
// it exchanges the token for one that the other API takes (RFC 8693).
func Example_apiThatCallsAnotherAPI() {
	issuer, end := exampleIssuer()
	defer end()
	ctx := context.Background()
	other := issuer.URL + "/api"

	c, err := client.New(ctx, issuer.URL, client.Config{ClientID: "album", ClientSecret: client.NewSecret("album-secret-that-is-long-enough")})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	// theirs is the token of the request that is being served; package resource has
	// checked it.
	theirs := client.NewSecret("the-caller-s-access-token")
	tokens, err := c.Exchange(ctx, client.Exchange{SubjectToken: theirs, Resources: []string{other}, Scope: "photos:read"})
	if err != nil {
		log.Fatal(err)
	}
	call := &http.Client{Transport: &client.Transport{Source: tokens, Resources: []string{other}}}
	response, err := call.Get(other + "/photos")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode, tokens.Scope)
	// Output: 200 photos:read
}

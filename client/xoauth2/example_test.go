package xoauth2_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"golang.org/x/oauth2"

	"gatehouse/client"
	"gatehouse/client/xoauth2"
)

// A library that wants an oauth2.TokenSource gets tokens that package client keeps
// fresh.
func ExampleTokenSource() {
	issuer := exampleIssuer()
	defer issuer.Close()
	ctx := context.Background()
	c, err := client.New(ctx, issuer.URL, client.Config{ClientID: "orders", ClientSecret: client.NewSecret("orders-secret-that-is-long-enough")})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	photos, err := c.Credentials(client.CredentialsConfig{Scope: "photos:read"})
	if err != nil {
		log.Fatal(err)
	}
	library := oauth2.NewClient(ctx, xoauth2.TokenSource(ctx, photos)) // whatever takes a TokenSource
	response, err := library.Get(issuer.URL + "/photos")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	fmt.Println(string(text))
	// Output: photos, by Bearer orders-token
}

// Tokens that come from an oauth2.TokenSource are attached by a Transport of ours,
// which sends them to their API alone.
func ExampleSource() {
	issuer := exampleIssuer()
	defer issuer.Close()
	theirs := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "orders-token"})
	api := &http.Client{Transport: &client.Transport{Source: xoauth2.Source(theirs), Resources: []string{issuer.URL}}}
	response, err := api.Get(issuer.URL + "/photos")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	fmt.Println(string(text))
	// Output: photos, by Bearer orders-token
}

// exampleIssuer is an issuer with one token, and an API that takes it.
func exampleIssuer() *httptest.Server {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":"%[1]s/token"}`, server.URL)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"orders-token","token_type":"Bearer","expires_in":600}`)
	})
	mux.HandleFunc("GET /photos", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "photos, by ", r.Header.Get("Authorization"))
	})
	return server
}

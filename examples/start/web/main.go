// Command web is a web application of one page, which knows who opens it and calls an
// API for them. It never touches a password, and its pages hold no token.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"gatehouse/client"
)

func main() {
	issuer := flag.String("issuer", "http://127.0.0.1:8080", "whom people sign in at")
	api := flag.String("api", "http://127.0.0.1:8082", "the API that is called for them")
	listen := flag.String("listen", "127.0.0.1:3000", "where this application is")
	flag.Parse()

	c, err := client.New(context.Background(), *issuer, client.Config{
		ClientID: "web", ClientSecret: client.NewSecret(os.Getenv("CLIENT_SECRET")),
		RedirectURI: "http://" + *listen + "/callback",
		Scope:       "openid profile photos:read",
		UserInfo:    true,
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /login", c.LoginHandler())
	mux.Handle("GET /callback", c.CallbackHandler(nil))
	mux.Handle("POST /logout", c.LogoutHandler())
	mux.Handle("GET /", c.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := client.SessionFrom(r.Context())
		photos := &http.Client{Transport: &client.Transport{Source: session, Resources: []string{*api}}}
		response, err := photos.Get(*api + "/photos")
		if err != nil {
			http.Error(w, "The photos cannot be had now.", client.StatusOf(err))
			return
		}
		defer response.Body.Close()
		fmt.Fprintf(w, "Hello %s.\n", session.UserInfo().Text("name"))
		_, _ = io.Copy(w, response.Body)
	})))
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// Command native is a program on somebody's own machine: it signs them in with their
// browser, and calls an API for them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"gatehouse/client"
)

func main() {
	issuer := flag.String("issuer", "http://127.0.0.1:8080", "whom people sign in at")
	api := flag.String("api", "http://127.0.0.1:8082", "the API that is called for them")
	flag.Parse()

	ctx := context.Background()
	c, err := client.New(ctx, *issuer, client.Config{ClientID: "spa", Scope: "openid photos:read"}) // public: no secret
	if err != nil {
		log.Fatal(err)
	}
	login, err := c.LoginByLoopback(ctx, client.LoopbackConfig{
		Open: func(url string) error { // or start xdg-open, open, rundll32 url.dll,FileProtocolHandler
			_, err := fmt.Println("Open this in your browser:", url)
			return err
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("You are", login.Subject)
	// To stay signed in, keep login.Tokens.Export() in the key ring.
	photos := &http.Client{Transport: &client.Transport{Source: c.Source(login.Tokens, client.SourceConfig{}), Resources: []string{*api}}}
	response, err := photos.Get(*api + "/photos")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		log.Fatal(err)
	}
}

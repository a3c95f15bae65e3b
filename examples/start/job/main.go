// Command job is a program without a person: it calls an API in its own name.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net/http"
	"os"

	"gatehouse/client"
)

func main() {
	issuer := flag.String("issuer", "http://127.0.0.1:8080", "who issues tokens")
	api := flag.String("api", "http://127.0.0.1:8082", "the API that is called")
	flag.Parse()

	c, err := client.New(context.Background(), *issuer, client.Config{ClientID: "machine", ClientSecret: client.NewSecret(os.Getenv("CLIENT_SECRET"))})
	if err != nil {
		log.Fatal(err)
	}
	own, err := c.Credentials(client.CredentialsConfig{Scope: "photos:read"})
	if err != nil {
		log.Fatal(err)
	}
	// Tokens are got, kept and renewed by the transport.
	photos := &http.Client{Transport: &client.Transport{Source: own, Resources: []string{*api}}}
	response, err := photos.Get(*api + "/photos")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		log.Fatal(err)
	}
}

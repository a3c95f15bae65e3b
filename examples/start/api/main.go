// Command api is a protected API: it checks tokens by itself, and refuses within a
// second what was revoked.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"gatehouse/resource"
)

func main() {
	issuer := flag.String("issuer", "http://127.0.0.1:8080", "whose tokens are taken")
	listen := flag.String("listen", "127.0.0.1:3001", "where this API is")
	flag.Parse()

	rs, err := resource.New(context.Background(), resource.Config{
		Issuer: *issuer, Audience: "https://notes.example", // as tokens name this API
		ClientID: "notes-api", ClientSecret: os.Getenv("CLIENT_SECRET"), Feed: true, // to hear what was revoked
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /notes", rs.Require("notes:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, _ := resource.AccessFrom(r.Context())
		if user, is := access.User(); is {
			fmt.Fprintln(w, "the notes of", user) // issuer and subject together
			return
		}
		fmt.Fprintln(w, "the notes of the client", access.ClientID)
	})))
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// Command gateway stands in front of an API that knows nothing of tokens, or little:
// what is let through, and for whom, is written here.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"gatehouse/gateway"
	"gatehouse/resource"
)

func main() {
	issuer := flag.String("issuer", "http://127.0.0.1:8080", "whose tokens are taken")
	api := flag.String("api", "http://127.0.0.1:8082", "the API behind")
	listen := flag.String("listen", "127.0.0.1:3002", "where the gateway is")
	flag.Parse()

	g, err := gateway.New(context.Background(), gateway.Config{
		Authentications: []gateway.Authentication{{Name: "photos", Resource: resource.Config{Issuer: *issuer, Audience: *api}}},
		Upstreams:       []gateway.Upstream{{Name: "photos", URL: *api}},
		Routes: []gateway.Route{
			{
				Name: "read", Match: gateway.Match{Path: "/photos", Methods: []string{"GET"}},
				Authentication: "photos", Needs: resource.Needs{Scopes: []string{"photos:read"}},
				Limits:   []gateway.Limit{{Per: gateway.PerClient, Rate: 20}},
				Upstream: "photos",
				// The sample API wants a token of its own. One that does not is told who
				// asks by Headers or a JWT, and services are given an exchanged token.
				Forward: gateway.Forward{InsecureOriginalToken: true},
			},
			{Name: "about", Match: gateway.Match{Path: "/", Methods: []string{"GET"}}, Public: true, Upstream: "photos"},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: *listen, Handler: g, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

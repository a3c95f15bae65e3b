package dev

import (
	"log/slog"
	"net/http"

	"gatehouse/client"
	"gatehouse/gateway"
	"gatehouse/resource"
)

// gatewayRate is how many requests of a client come through in a second: more than a
// person makes, and few enough to see a 429 by a loop in a shell.
const gatewayRate = 50

// gatewayConfig is the gateway in front of PhotoAPI. It passes no token on that it was
// shown: PhotoAPI gets one that says that the gateway acts.
func gatewayConfig(at urls, secret string, hc *http.Client, log *slog.Logger) gateway.Config {
	forward := gateway.Forward{Exchange: &gateway.Exchange{Resource: at.apiIdentifier}}
	route := func(name, method, path, scope string) gateway.Route {
		return gateway.Route{
			Name: name, Match: gateway.Match{Path: path, Methods: []string{method}},
			Authentication: clientPhotoAPI, Needs: resource.Needs{Scopes: []string{scope}},
			Limits:   []gateway.Limit{{Per: gateway.PerClient, Rate: gatewayRate}},
			Upstream: clientPhotoAPI, Forward: forward,
		}
	}
	watch := route("watch", http.MethodGet, "/watch", scopeRead)
	watch.Stream = true
	routes := []gateway.Route{
		route("list", http.MethodGet, "/photos", scopeRead),
		route("add", http.MethodPost, "/photos", scopeWrite),
		route("remove", http.MethodDelete, "/photos/{id}", scopeWrite),
		route("thumbnail", http.MethodGet, "/photos/{id}/thumbnail", scopeRead),
		route("chain", http.MethodGet, "/chain", scopeRead),
		watch,
		{Name: "about", Match: gateway.Match{Path: "/", Methods: []string{http.MethodGet}}, Public: true, Upstream: clientPhotoAPI},
	}
	// What browsers ask before pages of other origins may call (Fetch, CORS-preflight).
	for of, path := range map[string]string{"list": "/photos", "remove": "/photos/{id}", "thumbnail": "/photos/{id}/thumbnail", "chain": "/chain", "watch": "/watch"} {
		routes = append(routes, gateway.Route{
			Name: "preflight-" + of, Match: gateway.Match{Path: path, Methods: []string{http.MethodOptions}}, Public: true, Upstream: clientPhotoAPI,
		})
	}
	log = log.With("service", "gateway")
	return gateway.Config{
		Authentications: []gateway.Authentication{{Name: clientPhotoAPI, Resource: feedConfig(at, at.apiIdentifier, secret, clientGateway, hc, slog.New(slog.DiscardHandler))}},
		Exchangers: []gateway.Exchanger{{Issuer: at.issuer, Client: client.Config{
			ClientID: clientGateway, ClientSecret: client.NewSecret(secret), HTTPClient: hc,
		}}},
		Upstreams: []gateway.Upstream{{Name: clientPhotoAPI, URL: at.api, CORS: true}},
		Routes:    routes,
		Logger:    log,
	}
}

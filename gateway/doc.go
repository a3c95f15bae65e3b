// Package gateway is an enforcing reverse proxy: it stands in front of APIs, lets a
// request through if a route says so and its access token is right, and passes on
// what the route says and nothing else of whom it found.
//
//	g, err := gateway.New(ctx, gateway.Config{
//		Authentications: []gateway.Authentication{{Name: "photos", Resource: resource.Config{Issuer: "https://id.example.com", Audience: "https://photos.example.com"}}},
//		Upstreams:       []gateway.Upstream{{Name: "photos", URL: "https://photos.internal"}},
//		Routes: []gateway.Route{
//			{Name: "read", Match: gateway.Match{Path: "/photos/{id}", Methods: []string{"GET"}},
//				Authentication: "photos", Needs: resource.Needs{Scopes: []string{"photos:read"}},
//				Upstream: "photos", Forward: gateway.Forward{Headers: true}},
//			{Name: "health", Match: gateway.Match{Path: "/healthz"}, Public: true, Upstream: "photos"},
//		},
//	})
//	http.ListenAndServeTLS(":443", "cert.pem", "key.pem", g)
//
// # What every request is held to
//
// In this order: a target with one meaning; a route for host, path and method, without
// which there is nothing; the client's network and country; the limit of its address;
// the token, checked by package resource, and what the route needs of it; the limits of
// its client and subject; whether it may change protocols; what the upstream is to get.
// The first that fails answers, by a named rule, and nothing is let through for want of
// an answer. One line of log tells each decision.
//
// # What it never does
//
// It reads no claim of a token that was not verified, believes no proxy that is not
// configured, decides by nothing but the request's own host, path and method, sends a
// request nowhere but to a configured upstream, and passes on no header by which
// upstreams are told who asks unless it set that header itself. It knows no browser
// session and signs nobody in: package bff does. Paths and headers are
// internal/proxy's, tokens resource's, exchanges client's.
package gateway

// Package extauthz answers Envoy's external authorization filter (ext_authz, gRPC, v3):
// Envoy asks about each request before it passes it on.
//
//	g, err := gateway.New(ctx, config)
//	checks, err := extauthz.New(g, extauthz.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
//	server := grpc.NewServer()
//	authv3.RegisterAuthorizationServer(server, checks)
//
// A request that a route lets through is answered OK, with the headers that the upstream
// is to get, and the names of those that it is not: all others by which servers are told
// who asks, Authorization included. Any other is denied with the status, the headers and
// the body that the gateway itself would answer.
//
// # What it never does
//
// It answers no question with an error of gRPC, which Envoy might be told to take for a
// yes: what goes wrong is a denial. It hears nobody but the configured proxies, opens no
// body, and keeps no state. Decisions are package gateway's. No other package imports this
// one or Envoy's types but the command gatehouse-extauthz.
package extauthz

// Package forwardauth answers proxies that ask about each request before they pass it
// on: nginx's auth_request, Traefik's ForwardAuth, Caddy's forward_auth.
//
//	g, err := gateway.New(ctx, config)
//	decisions, err := forwardauth.New(g, forwardauth.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
//	http.ListenAndServe("127.0.0.1:8061", decisions)
//
// A request that a route lets through is answered 200 with the headers that the upstream
// is to get: all identity headers and Authorization, empty where the upstream is told
// nothing by them. Any other is answered as the gateway itself would: 401 or 403 with the
// challenge, 429 and 503 with Retry-After, 400 and 404.
//
// # What it relies on
//
// The proxy tells of the request in headers of its own, and sends them itself whatever
// the client has sent. It passes the path on as it has told it. It takes the identity
// headers and Authorization from the answer, also where they are empty. What each proxy
// needs for that is in docs/gateway-command.md.
//
// # What it never does
//
// It hears nobody but the configured proxies, takes no header for what is told twice,
// and decides about no request that brings an identity header: only the proxy could take
// it away. It passes nothing on, opens no body, and keeps no state. Decisions are package
// gateway's.
package forwardauth

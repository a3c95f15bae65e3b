package gateway

import (
	"context"
	"errors"
	"net/http"
)

// Gateway is an enforcing reverse proxy. It is an [http.Handler] for all hosts of its
// routes, and safe for concurrent use.
//
// A changed configuration is a new Gateway: put it in the place of the old one and Close
// that. Its streams end, and their clients come back under the new rules.
type Gateway struct {
	config Config
}

// New makes a gateway. What is wrong with the configuration is said by the error; it
// waits for no issuer and no upstream. What goes on beside requests ends with Close.
func New(ctx context.Context, config Config) (*Gateway, error) {
	return nil, errors.New("gateway: not yet")
}

// ServeHTTP answers a request, by its upstream if the decision is to let it through.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// Decide decides about a request and passes nothing on. A decision is told in the log
// and counted, as that of ServeHTTP is.
func (g *Gateway) Decide(ctx context.Context, r Request) Decision { return Decision{} }

// Managed says whether a header, in any spelling, reaches upstreams only if the gateway
// set it.
func (g *Gateway) Managed(header string) bool { return true }

// JWKS serves the keys of identity JWTs (RFC 7517).
func (g *Gateway) JWKS() http.Handler { return nil }

// Close ends all streams and what goes on beside requests.
func (g *Gateway) Close() error { return nil }

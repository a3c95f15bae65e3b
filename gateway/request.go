package gateway

import (
	"net/http"
	"net/netip"
	"time"

	"gatehouse/oauth"
	"gatehouse/resource"
)

// Request is what is decided about, however it came: by the proxy, by a server that asks
// for decisions, or from a command line.
type Request struct {
	// Scheme is http or https, as the client used it.
	Scheme string
	// Host as the client asked for it, with a port or without.
	Host string
	// ServerName is that of the TLS handshake, "" if there was none or is not known. One
	// that is not Host's is refused (RFC 9110 §7.4).
	ServerName string
	Method     string
	// Target is the escaped path and query, as it was sent (RFC 9112 §3.2.1).
	Target string
	// Header of the request. It is not changed.
	Header http.Header
	// Peer is the other end of the connection on which the request came. If it is one of
	// Config.TrustedProxies, the client's address is that of X-Forwarded-For.
	Peer netip.Addr

	// Explain asks for the Steps of the decision. Nothing then counts against limits, no
	// token is exchanged, and no line of log is written.
	Explain bool
}

// Decision is what becomes of a request.
type Decision struct {
	Allowed bool
	// Status is 200 if allowed, and else that of the refusal.
	Status int
	// Reason is "allowed", or the name of the rule that refused: see [oauth.LookupRule].
	Reason string
	// Refusal is what the client is answered, nil if allowed.
	Refusal *oauth.Error
	// Header of the answer that refuses: WWW-Authenticate, Retry-After, Allow.
	Header http.Header
	// Route is the name of the route, "" if there is none.
	Route string
	// Address is the client's; the zero Addr if it is not known.
	Address netip.Addr
	// Access is what the token allows: nil for a public route, and for a refusal that
	// came before the token was found right. It is shared, and must not be changed.
	Access *resource.Access
	// Until is when the decision ends with the token, zero if nothing is known of that.
	Until time.Time

	// Set are the headers that the upstream gets from the gateway. All headers for which
	// [Gateway.Managed] is true are to be taken away from the request before; Removed are
	// those of them that it had.
	Set     http.Header
	Removed []string

	// Steps are the rules in the order in which they were looked at, if Request.Explain
	// asked for them.
	Steps []Step
}

// Step is one rule of a decision.
type Step struct {
	// Name is one of target, route, address, network, country, limit, token, needs,
	// upgrade, forward.
	Name    string
	Outcome Outcome
	// Explanation is a sentence. It has nothing of the token but what its claims say, and
	// nothing of an exchanged one.
	Explanation string
}

// Outcome is what a rule said.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Refused Outcome = "refused"
	// Skipped is a rule that the route does not have.
	Skipped Outcome = "skipped"
)

// Allowed is the Reason of a decision that lets a request through.
const Allowed = "allowed"

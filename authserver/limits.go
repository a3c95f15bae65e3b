package authserver

import (
	"net/http"
	"time"

	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
)

// limits are the rate limits of the protocol's endpoints. Clients are
// limited by their id, public ones by the network they come from as well, and
// failures by the network alone.
type limits struct {
	token         *endpoint.Limiter
	introspection *endpoint.Limiter
	revocation    *endpoint.Limiter
	feed          *endpoint.Limiter
	// logins are clients that failed to authenticate, guesses codes and
	// tokens that nobody issued. They are counted apart, so that neither uses
	// up the other.
	logins  *endpoint.Limiter
	guesses *endpoint.Limiter
}

// newLimits makes the limits, which servers keep together by leases, if there are
// any.
func newLimits(now func() time.Time, leases *endpoint.Leases) limits {
	return limits{
		token: leases.Limiter("token", now), introspection: leases.Limiter("introspection", now), revocation: leases.Limiter("revocation", now),
		feed: leases.Limiter("feed", now), logins: leases.Limiter("client login", now), guesses: leases.Limiter("guess", now),
	}
}

// clientKey is what a client is limited by. Anybody can name a public client: it
// is limited at each network apart, so that nobody uses up another's share.
func clientKey(c *call) string {
	if c.Client.Public() {
		return networkKey(c.Request) + " " + c.Client.ID
	}
	return string(c.tenant()) + " " + c.Client.ID
}

func networkKey(r *endpoint.Request) string {
	return string(r.Tenant.ID) + " " + endpoint.Network(r.Request)
}

// loginFailed counts a client that failed to authenticate, and returns the
// refusal if there were too many. Right credentials pass in any case: a random
// secret is not found by trying, and whoever shares a stranger's network, or
// the proxy before us, is not locked out along with them.
func (s *Server) loginFailed(r *endpoint.Request) error {
	return addressLimited(s.limits.logins.Take(networkKey(r), r.Tenant.Settings.RateLimits.FailuresPerAddress))
}

// mayTryShortSecret returns the refusal if a network failed at a client's
// short secret too often: that one can be found by trying, so it is not even
// looked at then.
func (s *Server) mayTryShortSecret(r *endpoint.Request, client string) error {
	return addressLimited(s.limits.logins.Wait(networkKey(r)+" "+client, r.Tenant.Settings.RateLimits.FailuresPerAddress))
}

// shortSecretFailed counts a wrong guess at a client's short secret.
func (s *Server) shortSecretFailed(r *endpoint.Request, client string) {
	s.limits.logins.Take(networkKey(r)+" "+client, r.Tenant.Settings.RateLimits.FailuresPerAddress)
}

// guessFailed counts a code or token that nobody issued, and returns the
// refusal if there were too many (RFC 6819 §4.4.1.3). What is right passes
// in any case: 256 random bits are not found by trying, and a web application
// or a resource server that carries strangers' guesses to us is not locked
// out along with them.
func (s *Server) guessFailed(r *endpoint.Request) error {
	return addressLimited(s.limits.guesses.Take(networkKey(r), r.Tenant.Settings.RateLimits.FailuresPerAddress))
}

// mayRequestToken counts a token request and returns the refusal if the
// client sends too many.
func (s *Server) mayRequestToken(c *call) error {
	wait := s.limits.token.Take(clientKey(c), c.Tenant.Settings.RateLimits.TokenPerClient)
	return clientLimited(wait, "The client sends more token requests than its limit allows. Slow down.")
}

// mayRevoke counts a revocation and returns the refusal if the client sends too
// many. The rate is that of token requests, which a client sends more of.
func (s *Server) mayRevoke(c *call) error {
	wait := s.limits.revocation.Take(clientKey(c), c.Tenant.Settings.RateLimits.TokenPerClient)
	return clientLimited(wait, "The client revokes more often than its limit allows. Slow down.")
}

// mayIntrospect counts an introspection and returns the refusal if the client
// sends too many.
func (s *Server) mayIntrospect(c *call) error {
	wait := s.limits.introspection.Take(clientKey(c), c.Tenant.Settings.RateLimits.IntrospectionPerClient)
	return clientLimited(wait, "The client introspects more often than its limit allows. Slow down.")
}

func addressLimited(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return oauth.Refuse("address-limited", oauth.TemporarilyUnavailable, "Too many failed attempts came from this address. Slow down.").WithStatus(http.StatusTooManyRequests).After(wait)
}

func clientLimited(wait time.Duration, description string) error {
	if wait <= 0 {
		return nil
	}
	return oauth.Refuse("client-limited", oauth.TemporarilyUnavailable, description).WithStatus(http.StatusTooManyRequests).After(wait)
}

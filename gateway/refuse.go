package gateway

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/client"
	"gatehouse/internal/proxy"
	"gatehouse/oauth"
)

// What a client is told to wait when nothing better is known.
const minRetryAfter = time.Second

func badTarget(err error) *oauth.Error {
	status := http.StatusBadRequest
	if target, is := errors.AsType[*proxy.TargetError](err); is && target.TooLong {
		status = http.StatusRequestURITooLong
	}
	return oauth.Refuse("gateway-target", oauth.InvalidRequest, "The address can be read in more than one way, or is too long.").WithStatus(status).Because(err)
}

func badHost() *oauth.Error {
	return oauth.Refuse("gateway-host", oauth.InvalidRequest, "The request does not say clearly which host it is for.").WithStatus(http.StatusBadRequest)
}

func misdirected() *oauth.Error { // RFC 9110 §7.4
	return oauth.Refuse("gateway-misdirected", oauth.InvalidRequest, "The connection was made for another host than the request is for.").WithStatus(http.StatusMisdirectedRequest)
}

func noRoute() *oauth.Error {
	return oauth.Refuse("gateway-no-route", oauth.InvalidRequest, "There is nothing at this address.").WithStatus(http.StatusNotFound)
}

func wrongMethod() *oauth.Error {
	return oauth.Refuse("gateway-method", oauth.InvalidRequest, "This method is not served here.").WithStatus(http.StatusMethodNotAllowed)
}

func ambiguousPath() *oauth.Error {
	return oauth.Refuse("gateway-path-ambiguous", oauth.InvalidRequest, "The address differs from another one by letters' case or a slash at the end alone.").WithStatus(http.StatusBadRequest)
}

func unknownAddress() *oauth.Error {
	return oauth.Refuse("gateway-address-unknown", oauth.InvalidRequest, "It cannot be told where the request comes from.").WithStatus(http.StatusBadRequest)
}

func wrongNetwork() *oauth.Error {
	return oauth.Refuse("gateway-network", oauth.AccessDenied, "This address is not served to the network that the request comes from.").WithStatus(http.StatusForbidden)
}

func wrongCountry() *oauth.Error {
	return oauth.Refuse("gateway-country", oauth.AccessDenied, "This address is not served to where the request comes from.").WithStatus(http.StatusForbidden)
}

func noCountries(err error) *oauth.Error {
	return oauth.Refuse("gateway-country-unavailable", oauth.TemporarilyUnavailable, "It cannot be told now where the request comes from. Try again later.").After(minRetryAfter).Because(err)
}

func limited(per LimitKey, wait time.Duration) *oauth.Error {
	return oauth.Refuse("gateway-limit", oauth.TemporarilyUnavailable, "Too many requests came from this "+string(per)+". Slow down.").WithStatus(http.StatusTooManyRequests).After(max(wait, minRetryAfter))
}

func notUpgraded() *oauth.Error {
	return oauth.Refuse("gateway-upgrade", oauth.InvalidRequest, "This address takes no WebSockets.").WithStatus(http.StatusBadRequest)
}

func wrongOrigin() *oauth.Error {
	return oauth.Refuse("gateway-origin", oauth.AccessDenied, "Pages of this origin may not open a WebSocket here.").WithStatus(http.StatusForbidden)
}

// notExchanged is the answer to a failed exchange.
func notExchanged(err error) *oauth.Error {
	refused, is := errors.AsType[*client.RefusedError](err)
	if is && refused.Code != oauth.InvalidClient && refused.Code != oauth.UnauthorizedClient && refused.Status < http.StatusInternalServerError {
		return oauth.Refuse("gateway-exchange-refused", oauth.AccessDenied, "The issuer gives no token for what is behind this address.").WithStatus(http.StatusForbidden).Because(err)
	}
	if client.StatusOf(err) == http.StatusServiceUnavailable || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		wait := minRetryAfter
		if away, is := errors.AsType[*client.UnavailableError](err); is {
			wait = max(wait, away.RetryAfter)
		}
		return oauth.Refuse("gateway-exchange-unavailable", oauth.TemporarilyUnavailable, "The issuer cannot be asked now for what this address needs. Try again later.").After(wait).Because(err)
	}
	return oauth.Refuse("gateway-exchange-failed", oauth.ServerError, "Something is not set up correctly behind this address.").WithStatus(http.StatusBadGateway).Because(err)
}

func tooManyStreams() *oauth.Error {
	return oauth.Refuse("gateway-streams", oauth.TemporarilyUnavailable, "Too many streams are open; close some.").WithStatus(http.StatusTooManyRequests).After(minRetryAfter)
}

func stopping() *oauth.Error {
	return oauth.Refuse("gateway-stopping", oauth.TemporarilyUnavailable, "The gateway is about to stop. Try again.").After(minRetryAfter)
}

func ended() *oauth.Error {
	return oauth.Refuse("gateway-token-ended", oauth.InvalidToken, "The access token ended before the answer began.")
}

func tooLarge(err error) *oauth.Error {
	return oauth.Refuse("gateway-body-too-large", oauth.InvalidRequest, "The request's body is larger than this address takes.").WithStatus(http.StatusRequestEntityTooLarge).Because(err)
}

func givenUp(err error) *oauth.Error { // nobody reads it
	return oauth.Refuse("gateway-given-up", oauth.InvalidRequest, "The request was given up.").WithStatus(http.StatusBadRequest).Because(err)
}

func resting() *oauth.Error {
	return oauth.Refuse("gateway-upstream-resting", oauth.TemporarilyUnavailable, "What is behind this address did not answer several times; it is asked again in a little while.").After(breakerOpen)
}

func upstreamLate(err error) *oauth.Error {
	return oauth.Refuse("gateway-upstream-timeout", oauth.ServerError, "What is behind this address did not answer in time.").WithStatus(http.StatusGatewayTimeout).Because(err)
}

func upstreamFailed(err error) *oauth.Error {
	return oauth.Refuse("gateway-upstream-failed", oauth.ServerError, "What is behind this address could not be reached, or broke off.").WithStatus(http.StatusBadGateway).Because(err)
}

// refuse makes the decision one that refuses.
func (d *Decision) refuse(refusal *oauth.Error) {
	d.Allowed, d.Status, d.Reason, d.Refusal = false, refusal.Status, refusal.Rule, refusal
	d.Set, d.Until = nil, time.Time{}
	if d.Header == nil {
		d.Header = http.Header{}
	}
	if refusal.RetryAfter > 0 {
		d.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(refusal.RetryAfter.Seconds()))))
	}
}

// WriteRefusal answers a request that was refused: Header and Status, and a body in JSON
// that says why. To whom sent no token it says nothing but that (RFC 6750 §3.1).
func (d *Decision) WriteRefusal(w http.ResponseWriter) {
	for name, values := range d.Header {
		w.Header()[name] = values
	}
	if d.Refusal.Code == "" {
		oauth.NoStore(w.Header())
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(d.Status)
		return
	}
	oauth.WriteJSON(w, d.Status, oauth.ErrorBody{Error: d.Refusal.Code, Description: d.Refusal.Public()})
}

func allowHeader(methods []string) string { return strings.Join(methods, ", ") }

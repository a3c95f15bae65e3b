package bff

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"gatehouse/client"
	"gatehouse/internal/proxy"
	"gatehouse/oauth"
)

// Codes of refusals, in the member error of their JSON.
const (
	CodeLoginRequired = "login_required"
	CodeCrossSite     = "cross_site_request"
	CodeBadTarget     = "bad_target"
	CodeNotFound      = "not_found"
	CodeWrongMethod   = "method_not_allowed"
	CodeNoStream      = "no_stream"
	CodeTooLarge      = "too_large"
	CodeTooMany       = "too_many_streams"
	CodeUnavailable   = "temporarily_unavailable"
	CodeBadUpstream   = "bad_upstream"
	CodeBadRequest    = "bad_request"
	CodeServerError   = "server_error"
)

// refusal is how a request is refused.
type refusal struct {
	status      int
	code        string
	description string
	allow       []string
	retryAfter  int // seconds
	cause       error
}

var (
	nothingHere = refusal{status: http.StatusNotFound, code: CodeNotFound, description: "There is nothing at this address."}
	tooMany     = refusal{status: http.StatusTooManyRequests, code: CodeTooMany, description: "Too many streams are open; close some.", retryAfter: 1}
	noStream    = refusal{status: http.StatusBadRequest, code: CodeNoStream, description: "This address is no stream, and is not upgraded to another protocol."}
)

func badTarget(err error) refusal {
	status := http.StatusBadRequest
	if target, ok := errors.AsType[*proxy.TargetError](err); ok && target.TooLong {
		status = http.StatusRequestURITooLong
	}
	return refusal{status: status, code: CodeBadTarget, description: "The address can be read in more than one way, or is too long.", cause: err}
}

func wrongMethod(allowed []string) refusal {
	return refusal{status: http.StatusMethodNotAllowed, code: CodeWrongMethod, description: "This method is not served here.", allow: allowed}
}

func crossSite(description string) refusal {
	return refusal{status: http.StatusForbidden, code: CodeCrossSite, description: description}
}

// refusalOf is what the error of a session, of its tokens, or of an upstream means.
func refusalOf(err error) refusal {
	switch client.StatusOf(err) {
	case http.StatusUnauthorized:
		return refusal{status: http.StatusUnauthorized, code: CodeLoginRequired, description: "Nobody is signed in; open the login_url.", cause: err}
	case http.StatusServiceUnavailable:
		wait := 1
		if away, ok := errors.AsType[*client.UnavailableError](err); ok {
			wait = max(wait, int(math.Ceil(away.RetryAfter.Seconds())))
		}
		return refusal{status: http.StatusServiceUnavailable, code: CodeUnavailable, description: "Something that is needed is away; nothing is lost, try again.", retryAfter: wait, cause: err}
	case http.StatusBadGateway:
		return refusal{status: http.StatusBadGateway, code: CodeServerError, description: "The issuer gave an answer that cannot be used.", cause: err}
	}
	return refusal{status: http.StatusInternalServerError, code: CodeServerError, description: "Something is not set up correctly here.", cause: err}
}

// refusalBody is the JSON of a refusal.
type refusalBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	// LoginURL is where a page goes to have somebody signed in; LoginURLs are those of
	// each issuer, where there are several.
	LoginURL  string            `json:"login_url,omitempty"`
	LoginURLs map[string]string `json:"login_urls,omitempty"`
}

func (b *BFF) refuse(w http.ResponseWriter, r *http.Request, why refusal) {
	if why.status >= 500 {
		b.config.Logger.ErrorContext(r.Context(), "a request could not be served", "path", r.URL.Path, "status", why.status, "error", why.cause)
	} else {
		b.config.Logger.DebugContext(r.Context(), "a request was refused", "path", r.URL.Path, "status", why.status, "code", why.code, "error", why.cause)
	}
	body := refusalBody{Error: why.code, Description: why.description}
	header := w.Header()
	header.Set("Vary", "Cookie")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if why.allow != nil {
		header.Set("Allow", strings.Join(why.allow, ", "))
	}
	if why.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(why.retryAfter))
	}
	if why.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Cookie realm="application"`) // RFC 9110 §15.5.2
		body.LoginURL = b.config.Paths.Login
		if len(b.parties) > 1 {
			body.LoginURLs = map[string]string{}
			for _, p := range b.parties {
				body.LoginURLs[p.name] = b.config.Paths.Login + "?issuer=" + p.name
			}
		}
	}
	oauth.WriteJSON(w, why.status, body)
}

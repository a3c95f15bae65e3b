package oauth

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Challenge is what a protected resource tells in WWW-Authenticate beside the
// error (RFC 6750 §3).
type Challenge struct {
	// Scheme is Bearer when empty.
	Scheme string
	// Scope names all scopes that the operation needs.
	Scope Scope
	// ResourceMetadata is the URL of the resource's metadata (RFC 9728 §5.1).
	ResourceMetadata string
	// ACRValues and MaxAge are the sign-in that the operation needs (RFC 9470
	// §3); HasMaxAge tells 0 seconds from none.
	ACRValues []string
	MaxAge    time.Duration
	HasMaxAge bool
}

// realm of every challenge. Clients do not look at it.
const realm = "gatehouse"

// header is the field's value. An error without a code stands for a request that
// carried no token, which is told no error code (RFC 6750 §3.1).
func (c Challenge) header(e *Error) string {
	scheme := c.Scheme
	if scheme == "" {
		scheme = "Bearer"
	}
	text := scheme + ` realm="` + realm + `"`
	parameter := func(name, value string) { // RFC 9110 §5.6.4, of characters that need no escape
		text += `, ` + name + `="` + printable(value) + `"`
	}
	if e.Code != "" {
		parameter("error", string(e.Code))
		parameter("error_description", e.Public())
	}
	if len(c.Scope) > 0 {
		parameter("scope", c.Scope.String())
	}
	if len(c.ACRValues) > 0 {
		parameter("acr_values", strings.Join(c.ACRValues, " "))
	}
	if c.HasMaxAge {
		parameter("max_age", strconv.FormatInt(int64(c.MaxAge/time.Second), 10))
	}
	if c.ResourceMetadata != "" {
		parameter("resource_metadata", c.ResourceMetadata)
	}
	return text
}

// WriteChallenge answers a protected resource's refusal (RFC 6750 §3). A fault,
// and a resource that is busy, is no matter of credentials and gets no challenge.
func WriteChallenge(w http.ResponseWriter, e *Error, c Challenge) {
	if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || e.Status == http.StatusBadRequest {
		w.Header().Set("WWW-Authenticate", c.header(e))
	}
	setRetryAfter(w, e)
	if e.Code == "" {
		NoStore(w.Header())
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(e.Status)
		return
	}
	WriteJSON(w, e.Status, ErrorBody{e.Code, e.Public()})
}

// WriteBearer is WriteChallenge with the scopes that the operation needs.
func WriteBearer(w http.ResponseWriter, e *Error, scope Scope) {
	WriteChallenge(w, e, Challenge{Scope: scope})
}

package client

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/oauth"
)

type sessionKey struct{}

// SessionFrom returns the session of the request that ctx belongs to. It is there
// in handlers behind [Client.RequireLogin].
func SessionFrom(ctx context.Context) (*Session, bool) {
	s, ok := ctx.Value(sessionKey{}).(*Session)
	return s, ok
}

// RequireLogin lets requests through that belong to a session. A person's own
// navigation without one becomes a login that returns to the same address; any
// other request is answered with 401 and {"error":"login_required"}, and with 503
// while nobody can tell.
func (c *Client) RequireLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := c.Session(r)
		switch {
		case err == nil:
			// What a session shows is nobody else's.
			w.Header().Set("Cache-Control", "no-store")
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, s)))
		case errors.Is(err, ErrNoSession) && opensPage(r):
			c.StartLogin(w, r, r.URL.RequestURI(), AuthorizationRequest{})
		default:
			RefuseJSON(w, err)
		}
	})
}

// opensPage says that a browser is about to show the answer as a page.
func opensPage(r *http.Request) bool {
	if r.Method != http.MethodGet || navigation(r) != nil {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// RefuseJSON answers a script or another program with the status of [StatusOf] and
// a JSON error: login_required for 401, temporarily_unavailable for 503,
// server_error otherwise. It tells nothing of err beside that.
func RefuseJSON(w http.ResponseWriter, err error) {
	status, code := StatusOf(err), oauth.ServerError
	switch status {
	case http.StatusUnauthorized:
		code = oauth.LoginRequired
	case http.StatusServiceUnavailable:
		code = oauth.TemporarilyUnavailable
		w.Header().Set("Retry-After", retryText(err))
	}
	oauth.WriteJSON(w, status, oauth.ErrorBody{Error: code})
}

// retryText is the Retry-After of an error, at least a second.
func retryText(err error) string {
	wait := time.Second
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		wait = max(wait, unavailable.RetryAfter)
	}
	return strconv.Itoa(int(math.Ceil(wait.Seconds())))
}

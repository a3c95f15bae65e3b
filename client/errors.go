package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/oauth"
)

// ErrNoSession says that the request carries no live session: nobody is signed
// in, or no longer.
var ErrNoSession = errors.New("client: nobody is signed in; begin a login")

// ErrSessionEnded says that a session is over for good: its refresh token was
// refused, or it was signed out elsewhere. The person has to sign in again.
var ErrSessionEnded = errors.New("client: the session has ended; begin a new login")

// ErrTokenExpired says that an access token has expired and nothing is there to
// get another one with.
var ErrTokenExpired = errors.New("client: the access token has expired and there is no refresh token; ask for the scope offline_access, or sign in again")

// UnavailableError says that something could not be reached, or did not answer
// as it should, through no fault of the request. Nothing is lost by it: what was
// asked may be asked again.
type UnavailableError struct {
	// Op is what was being done, such as "refresh".
	Op string
	// RetryAfter is when it is worth trying again; 0 when nothing is known.
	RetryAfter time.Duration
	// Cause is the error beneath. It holds no secret.
	Cause error

	// uncertain: the request may have been acted upon, and the answer was lost.
	uncertain bool
}

func (e *UnavailableError) Error() string {
	text := "client: " + e.Op + ": not available now"
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(", try again in %v", e.RetryAfter.Round(time.Millisecond))
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *UnavailableError) Unwrap() error { return e.Cause }

// RefusedError is the refusal of the authorization server (RFC 6749 §5.2), or of
// another endpoint of its. Asking the same again will be refused again.
type RefusedError struct {
	// Op is what was being done, such as "code exchange".
	Op     string
	Status int
	// Code is "" when the answer had none.
	Code oauth.Code
	// Description and URI are the server's own words, cut to a bound, without
	// control characters and without anything secret that was sent.
	Description string
	URI         string
}

func (e *RefusedError) Error() string {
	text := "client: " + e.Op + ": "
	if e.Code == "" {
		text += fmt.Sprintf("the issuer answered with the status %d", e.Status)
	} else {
		text += "the issuer refused: " + string(e.Code)
	}
	if e.Description != "" {
		text += " (" + e.Description + ")"
	}
	if advice := e.advice(); advice != "" {
		text += "; " + advice
	}
	return text
}

// advice says what to do about the code.
func (e *RefusedError) advice() string {
	switch e.Code {
	case oauth.InvalidClient:
		return "check ClientID, the secret or key, and AuthMethod against the client's registration"
	case oauth.UnauthorizedClient:
		return "register the client for this grant type"
	case oauth.InvalidGrant:
		return "the code or token is spent, expired or not this client's: begin anew"
	case oauth.InvalidScope:
		return "ask for scopes that the client is registered for"
	case oauth.InvalidTarget:
		return "name a resource that the issuer knows"
	case oauth.UnsupportedGrantType:
		return "the issuer does not offer this grant"
	case "":
		if e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusGone {
			return "there is no such endpoint any more; look at the issuer's metadata"
		}
	}
	return ""
}

// InvalidError says that an answer breaks the protocol, such as an ID token that
// does not verify. Nothing of it was used.
type InvalidError struct {
	// Op is what was being done.
	Op string
	// Detail says what is wrong with the answer; it holds nothing of it.
	Detail string
	// Cause is the error beneath, or nil. It holds no secret.
	Cause error

	// redirected: the answer was a redirect, so that nobody acted upon the request.
	redirected bool
}

func (e *InvalidError) Error() string {
	text := "client: " + e.Op + ": " + e.Detail
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *InvalidError) Unwrap() error { return e.Cause }

// LoginReason is why a login was refused.
type LoginReason string

// The reasons.
const (
	// BadCallback: the redirect to the application is malformed or incomplete.
	BadCallback LoginReason = "callback"
	// UnknownState: state is missing, of another browser, or expired (RFC 9700 §4.7).
	UnknownState LoginReason = "state"
	// UsedState: this login was finished before.
	UsedState LoginReason = "used"
	// WrongIssuer: the redirect is not from the issuer that was asked (RFC 9207 §2.4).
	WrongIssuer LoginReason = "issuer"
	// Denied: the issuer answered with an error; Code says which.
	Denied LoginReason = "denied"
	// WrongAuthentication: the ID token does not say what the request demanded of
	// the sign-in: its time, its acr.
	WrongAuthentication LoginReason = "authentication"
	// Expired: the person took too long.
	Expired LoginReason = "expired"
	// OtherUser: somebody else is signed in at this browser meanwhile.
	OtherUser LoginReason = "user"
	// Rejected: the application did not want this person.
	Rejected LoginReason = "rejected"
)

// LoginError says why a login did not take place, for reasons other than those
// of [UnavailableError], [RefusedError] and [InvalidError].
type LoginError struct {
	Reason LoginReason
	// Detail says what was wrong and what to do.
	Detail string
	// Code and Description are those of the issuer's error response, cleaned as
	// in [RefusedError].
	Code        oauth.Code
	Description string
	// Cause is the error beneath, or nil.
	Cause error
}

func (e *LoginError) Error() string {
	text := "client: login: " + e.Detail
	if e.Code != "" {
		text += ": " + string(e.Code)
	}
	if e.Description != "" {
		text += " (" + e.Description + ")"
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *LoginError) Unwrap() error { return e.Cause }

// status is what a browser is answered with.
func (e *LoginError) status() int {
	switch e.Reason {
	case Denied, Rejected, WrongAuthentication, OtherUser:
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// StatusOf is the HTTP status that an application answers with when err kept it
// from serving a request: 401 without a session, 503 while something is away,
// 400 or 403 for a login that was refused, 502 and 500 for what the issuer or
// the configuration got wrong.
func StatusOf(err error) int {
	if login, ok := errors.AsType[*LoginError](err); ok {
		return login.status()
	}
	if _, ok := errors.AsType[*UnavailableError](err); ok || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errClosed) {
		return http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*InvalidError](err); ok {
		return http.StatusBadGateway
	}
	if errors.Is(err, ErrNoSession) || errors.Is(err, ErrSessionEnded) || errors.Is(err, ErrTokenExpired) {
		return http.StatusUnauthorized
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok && refused.Code == oauth.InvalidGrant {
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// maxForeignText bounds what of a server's words is kept.
const maxForeignText = 300

// foreign cleans a text of the server's for people and logs: printable ASCII,
// bounded, and none of the secrets, also as a form has them.
func foreign(text string, secrets ...string) string {
	for _, secret := range secrets {
		for _, sent := range []string{secret, url.QueryEscape(secret), url.QueryEscape(url.QueryEscape(secret))} {
			if sent != "" {
				text = strings.ReplaceAll(text, sent, "[redacted]")
			}
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '\''
		}
		return r
	}, text)
	if len(text) > maxForeignText {
		text = text[:maxForeignText] + "..."
	}
	return text
}

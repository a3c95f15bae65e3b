package oauth

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Code is an error code of the protocol, as it travels in the member or
// parameter "error".
type Code string

// Error codes of RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1, RFC 7009 §2.2.1,
// RFC 8707 §2 and OpenID Connect Core §3.1.2.6.
const (
	InvalidRequest           Code = "invalid_request"
	InvalidClient            Code = "invalid_client"
	InvalidGrant             Code = "invalid_grant"
	UnauthorizedClient       Code = "unauthorized_client"
	UnsupportedGrantType     Code = "unsupported_grant_type"
	UnsupportedResponseType  Code = "unsupported_response_type"
	UnsupportedTokenType     Code = "unsupported_token_type"
	InvalidScope             Code = "invalid_scope"
	InvalidTarget            Code = "invalid_target"
	AccessDenied             Code = "access_denied"
	ServerError              Code = "server_error"
	TemporarilyUnavailable   Code = "temporarily_unavailable"
	InvalidToken             Code = "invalid_token"
	InsufficientScope        Code = "insufficient_scope"
	LoginRequired            Code = "login_required"
	ConsentRequired          Code = "consent_required"
	InteractionRequired      Code = "interaction_required"
	AccountSelectionRequired Code = "account_selection_required"
	RequestNotSupported      Code = "request_not_supported"
	RequestURINotSupported   Code = "request_uri_not_supported"
	RegistrationNotSupported Code = "registration_not_supported"
	// InsufficientUserAuthentication of RFC 9470 §3.
	InsufficientUserAuthentication Code = "insufficient_user_authentication"
	// UnmetAuthenticationRequirements of OpenID Connect Core Error Code
	// unmet_authentication_requirements 1.0 §2.
	UnmetAuthenticationRequirements Code = "unmet_authentication_requirements"
)

// Error is the one error of the wire. A handler returns it to refuse a
// request; any other error means that we broke and becomes server_error.
type Error struct {
	// ID is the rule's name, a dot and a random part. It is shown to the
	// caller at the end of the description and found again in the log.
	ID          string
	Rule        string
	Code        Code
	Description string
	// Status is the HTTP status for the JSON, page and bearer writers.
	Status int
	// RetryAfter, when positive, becomes the Retry-After header.
	RetryAfter time.Duration
	// Cause is for the log alone; it is never described to the caller.
	Cause error
}

// Refuse makes the error that refuses a request by the named rule. The
// description says what was wrong and what to do; characters that
// RFC 6749 §5.2 forbids in error_description are replaced by an apostrophe.
func Refuse(rule string, code Code, description string) *Error {
	return &Error{
		ID:          rule + "." + randomPart(),
		Rule:        rule,
		Code:        code,
		Description: printable(description),
		Status:      statusOf(code),
	}
}

// Because returns e with a cause for the log.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// WithStatus returns e with another HTTP status than its code's usual one.
func (e *Error) WithStatus(status int) *Error {
	e.Status = status
	return e
}

// After returns e with a Retry-After hint.
func (e *Error) After(wait time.Duration) *Error {
	e.RetryAfter = wait
	return e
}

func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Description + " (" + e.ID + ")"
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Cause }

// Public returns the text for the caller: the description and the refusal's
// id, within the characters of RFC 6749 §5.2.
func (e *Error) Public() string {
	return e.Description + " (" + e.ID + ")"
}

// passing is a fault that passes by itself, such as a database that is gone.
type passing interface {
	error
	RetryAfter() time.Duration
}

// AsError returns the refusal inside err. When err is a fault of ours it
// returns a server_error with err as its cause, or temporarily_unavailable if
// the fault passes by itself.
func AsError(err error) *Error {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return refusal
	}
	if fault, ok := errors.AsType[passing](err); ok {
		return Refuse("unavailable", TemporarilyUnavailable, "The server cannot do this at the moment. Try again in a little while.").
			After(fault.RetryAfter()).Because(err)
	}
	return Fault(err)
}

// Fault makes the server_error that stands for a fault of ours. The caller
// learns its id and nothing else.
func Fault(cause error) *Error {
	return Refuse("server-error", ServerError, "The server could not complete the request. Try again later.").Because(cause)
}

func statusOf(code Code) int {
	switch code {
	case InvalidClient, InvalidToken, InsufficientUserAuthentication: // RFC 6749 §5.2, RFC 6750 §3.1, RFC 9470 §3
		return http.StatusUnauthorized
	case InsufficientScope: // RFC 6750 §3.1
		return http.StatusForbidden
	case ServerError:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}

const randomPartLength = 8

func randomPart() string {
	return strings.ToLower(rand.Text()[:randomPartLength])
}

// printable keeps a description within RFC 6749 §5.2:
// %x20-21 / %x23-5B / %x5D-7E.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '\''
		}
		return r
	}, text)
}

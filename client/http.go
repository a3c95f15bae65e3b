package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse/jose"
	"gatehouse/oauth"
)

// Bounds of every exchange with the issuer.
const (
	// DefaultTimeout bounds one exchange as a whole: connecting, asking, reading.
	DefaultTimeout = 10 * time.Second
	// MaxResponseBytes bounds a body, after decompression.
	MaxResponseBytes = 256 << 10

	maxHeaderBytes   = 64 << 10
	maxIdlePerIssuer = 16
	maxRetryAfter    = time.Hour
	maxAnswerMembers = 512
	formType         = "application/x-www-form-urlencoded"
	jsonType         = "application/json"
)

// wire speaks HTTP to the issuer, within the bounds.
type wire struct {
	http *http.Client
	// insecure admits plain http.
	insecure bool
}

// newHTTPClient returns a client of our own made from the caller's: it follows no
// redirect and keeps no cookie.
func newHTTPClient(given *http.Client, timeout time.Duration) *http.Client {
	own := http.Client{}
	if given != nil {
		own = *given
	}
	// A program that has replaced the default transport by one of its own has it used.
	if standard, is := http.DefaultTransport.(*http.Transport); is && own.Transport == nil {
		transport := standard.Clone()
		if transport.TLSClientConfig == nil {
			transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		transport.TLSClientConfig.MinVersion = max(transport.TLSClientConfig.MinVersion, tls.VersionTLS12)
		transport.MaxResponseHeaderBytes = maxHeaderBytes
		transport.MaxIdleConnsPerHost = maxIdlePerIssuer
		own.Transport = transport
	}
	// A redirect would take the client's secrets, or a whole answer, from wherever
	// it points: none is followed.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	if own.Timeout <= 0 || own.Timeout > timeout {
		own.Timeout = timeout
	}
	return &own
}

// answer is a response whose body was read.
type answer struct {
	status int
	header http.Header
	body   []byte
	// at is when it came.
	at time.Time
}

// do sends one request and reads the whole answer. Every error is an
// *UnavailableError or an *InvalidError.
func (w *wire) do(op string, request *http.Request) (answer, error) {
	response, err := w.http.Do(request)
	if err != nil {
		return answer{}, &UnavailableError{Op: op, Cause: bareError(err), uncertain: !neverSent(err)}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxResponseBytes+1))
	if err != nil {
		return answer{}, &UnavailableError{Op: op, Cause: fmt.Errorf("the answer broke off: %w", bareError(err)), uncertain: true}
	}
	if len(body) > MaxResponseBytes {
		return answer{}, &InvalidError{Op: op, Detail: fmt.Sprintf("the answer is larger than %d bytes", MaxResponseBytes)}
	}
	return answer{response.StatusCode, response.Header, body, time.Now()}, nil
}

// neverSent says that a request failed before anybody can have acted upon it.
func neverSent(err error) bool {
	if operation, ok := errors.AsType[*net.OpError](err); ok && operation.Op == "dial" {
		return true
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return untrusted
}

// bareError takes the URL away that net/http puts around an error: it may have a
// query.
func bareError(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// newRequest makes a request for JSON. Its URL comes from checked metadata.
func newRequest(ctx context.Context, op, method, address string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, &InvalidError{Op: op, Detail: "the endpoint's address cannot be used", Cause: bareError(err)}
	}
	request.Header.Set("Accept", jsonType)
	return request, nil
}

// failure says what an answer that is no success means: nil for 2xx.
func (a answer) failure(op string, secrets ...string) error {
	switch {
	case a.status >= 200 && a.status < 300:
		return nil
	case a.status >= 300 && a.status < 400:
		return &InvalidError{Op: op, Detail: fmt.Sprintf("the endpoint answered with the redirect %d, and redirects are not followed", a.status), redirected: true}
	case a.status >= 500 || a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout:
		return &UnavailableError{Op: op, RetryAfter: retryAfter(a.header, a.at), Cause: fmt.Errorf("status %d", a.status)}
	}
	refused := &RefusedError{Op: op, Status: a.status}
	var body struct {
		Error       lenient `json:"error"`
		Description lenient `json:"error_description"`
		URI         lenient `json:"error_uri"`
	}
	if err := a.decode(&body); err == nil {
		refused.Code = oauth.Code(foreign(string(body.Error), secrets...))
		refused.Description = foreign(string(body.Description), secrets...)
		refused.URI = foreign(string(body.URI), secrets...)
	}
	if refused.Code == oauth.TemporarilyUnavailable || refused.Code == oauth.ServerError {
		return &UnavailableError{Op: op, RetryAfter: retryAfter(a.header, a.at), Cause: errors.New(string(refused.Code))}
	}
	return refused
}

// lenient is a JSON string; another value counts as absent.
type lenient string

// UnmarshalJSON keeps a string.
func (l *lenient) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		return nil
	}
	return json.Unmarshal(data, (*string)(l))
}

// decode reads a strict JSON object.
func (a answer) decode(v any) error {
	return jose.Limits{Bytes: MaxResponseBytes, Members: maxAnswerMembers}.Decode(a.body, v)
}

// mediaType is that of the answer, in lower case and without parameters.
func (a answer) mediaType() string {
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mediaType
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3), at most maxRetryAfter.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if date, err := http.ParseTime(text); err == nil {
		return min(max(0, date.Sub(now)), maxRetryAfter)
	}
	return 0
}

package oauth

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Param is one parameter of an authorization response. Their order is kept.
type Param struct{ Name, Value string }

// NoStore marks a response that must not be cached (RFC 6749 §5.1).
func NoStore(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("Pragma", "no-cache")
}

// WriteJSON answers with a JSON document that must not be stored. A value
// that cannot be encoded is a defect of the caller and answers 500.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	WriteBody(w, status, body)
}

// WriteBody is WriteJSON for a document that is encoded already.
func WriteBody(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	// One piece of memory for all, where Header.Set takes one for each.
	values := [...]string{"no-store", "no-cache", "application/json", "nosniff", strconv.Itoa(len(body))}
	for i, name := range [...]string{"Cache-Control", "Pragma", "Content-Type", "X-Content-Type-Options", "Content-Length"} {
		header[name] = values[i : i+1 : i+1]
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// ErrorBody is the JSON error response of RFC 6749 §5.2.
type ErrorBody struct {
	Error       Code   `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// WriteError answers with the JSON error response of RFC 6749 §5.2. A client
// that authenticated by the Authorization header is challenged by it.
func WriteError(w http.ResponseWriter, r *http.Request, e *Error) {
	if e.Code == InvalidClient && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="gatehouse", charset="UTF-8"`) // RFC 6749 §5.2
	}
	setRetryAfter(w, e)
	WriteJSON(w, e.Status, ErrorBody{e.Code, e.Public()})
}

func setRetryAfter(w http.ResponseWriter, e *Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
}

// RedirectURL returns the redirect URI with the parameters added to its
// query, which is kept (RFC 6749 §3.1.2, §4.1.2).
func RedirectURL(redirectURI string, params []Param) string {
	var b strings.Builder
	b.WriteString(redirectURI)
	separator := byte('?')
	if _, query, found := strings.Cut(redirectURI, "?"); found {
		separator = '&'
		if query == "" || strings.HasSuffix(query, "&") {
			separator = 0
		}
	}
	for _, param := range params {
		if separator != 0 {
			b.WriteByte(separator)
		}
		separator = '&'
		b.WriteString(url.QueryEscape(param.Name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(param.Value))
	}
	return b.String()
}

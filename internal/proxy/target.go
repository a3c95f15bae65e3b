package proxy

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// MaxTargetBytes bounds a request's path and query together.
const MaxTargetBytes = 8 << 10

// A TargetError says why a request's target is refused.
type TargetError struct {
	// Detail is a phrase without anything of the target.
	Detail string
	// TooLong asks for 414 rather than 400.
	TooLong bool
}

func (e *TargetError) Error() string { return "proxy: the request's target " + e.Detail }

// CheckTarget refuses a target that two readers might read differently: one of
// another host than ours, and paths as in [CheckPath]. ours is host or host:port as
// browsers write it.
func CheckTarget(r *http.Request, ours string) error {
	switch {
	case len(r.URL.RawQuery)+len(r.URL.Path) > MaxTargetBytes || len(r.RequestURI) > MaxTargetBytes:
		return &TargetError{Detail: "is too long", TooLong: true}
	case r.Method == http.MethodConnect || r.URL.Opaque != "" || r.URL.User != nil || r.RequestURI == "*":
		return &TargetError{Detail: "is no path"}
	case r.URL.Host != "" && !strings.EqualFold(r.URL.Host, ours): // RFC 9112 §3.2.2
		return &TargetError{Detail: "names another host"}
	case r.URL.Scheme != "" && r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return &TargetError{Detail: "names another scheme"}
	case strings.Contains(r.RequestURI, "#"):
		return &TargetError{Detail: "has a fragment"}
	}
	for i := range len(r.URL.RawQuery) {
		if c := r.URL.RawQuery[i]; c <= ' ' || c >= 0x7f {
			return &TargetError{Detail: "has characters that a query cannot have"}
		}
	}
	escaped := r.URL.EscapedPath()
	if sent, _, _ := strings.Cut(r.RequestURI, "?"); sent != escaped && strings.HasPrefix(sent, "/") {
		return &TargetError{Detail: "has characters that a path cannot have, or that servers disagree about"}
	}
	return CheckPath(escaped)
}

// EndConnection has the connection of a request end with its answer if somebody before us
// may have found another end of the request. net/http does not tell whether a body in
// chunks had a Content-Length, too (RFC 9112 §6.3: "MUST close the connection after
// responding to such a request"), nor whether a request of HTTP/1.0 had a
// Transfer-Encoding, which it ignores (§6.1: "MUST treat the message as if the framing is
// faulty, [...] and close the connection after processing the message").
func EndConnection(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
		w.Header().Set("Connection", "close")
	}
}

// CheckPath refuses an escaped path that does not mean the same to every server,
// router and proxy: empty segments, segments of dots, backslashes, parameters
// (";"), characters that are no path's (RFC 3986 §3.3), text that is not UTF-8, and
// encodings that hide one of these, or that encode what needs none (RFC 3986 §2.3).
func CheckPath(escaped string) error {
	refuse := func(detail string) error { return &TargetError{Detail: detail} }
	if escaped == "" || escaped[0] != '/' {
		return refuse("does not begin with a slash")
	}
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c != '%' {
			if c != '/' && !unreserved(c) && !strings.ContainsRune("!$&'()*+,=:@", rune(c)) {
				return refuse("has characters that a path cannot have, or that servers disagree about")
			}
			continue
		}
		if i+2 >= len(escaped) {
			return refuse("has a broken encoding")
		}
		high, okHigh := hexDigit(escaped[i+1])
		low, okLow := hexDigit(escaped[i+2])
		if !okHigh || !okLow {
			return refuse("has a broken encoding")
		}
		if d := high<<4 | low; d < ' ' || d == 0x7f || unreserved(d) || strings.ContainsRune(`/\%;`, rune(d)) {
			return refuse("encodes what servers disagree about, or what needs no encoding")
		}
		i += 2
	}
	path, err := url.PathUnescape(escaped)
	if err != nil || !utf8.ValidString(path) {
		return refuse("is not UTF-8")
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		if segment == "" && i < len(segments)-1 {
			return refuse("has an empty segment")
		}
		if segment == "." || segment == ".." {
			return refuse("has a segment of dots")
		}
	}
	return nil
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

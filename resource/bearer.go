package resource

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/oauth"
)

// maxPeekedBody is how much of a form is looked through for a second token.
const maxPeekedBody = 64 << 10

// presented returns the token of the Authorization header. A token in the query is
// never read; next to one in the header it is a second transport.
func (s *Server) presented(r *http.Request) (presented, error) {
	scheme, raw, err := credentials(r.Header.Values("Authorization"), s.config.Confirm != nil)
	if err != nil {
		return presented{}, err
	}
	if namesToken(r.URL.RawQuery) {
		return presented{}, twoTransports()
	}
	return presented{raw, scheme, r}, nil
}

// BearerToken returns the token of Authorization headers, of which there must be
// one (RFC 6750 §2.1). The error is an *oauth.Error, as of [Server.Check].
func BearerToken(authorization []string) (string, error) {
	_, raw, err := credentials(authorization, false)
	return raw, err
}

// credentials takes the scheme Bearer, and DPoP (RFC 9449 §7.1) where proofs are
// checked.
func credentials(headers []string, proofs bool) (scheme, raw string, err error) {
	if len(headers) > 1 {
		return "", "", oauth.Refuse("resource-several-headers", oauth.InvalidRequest, "The request has more than one Authorization header.")
	}
	if len(headers) == 0 {
		return "", "", noToken()
	}
	scheme, raw, _ = strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") && !(proofs && strings.EqualFold(scheme, "DPoP")) { // RFC 9110 §11.1: without regard to case
		return "", "", noToken()
	}
	if raw = strings.Trim(raw, " "); raw == "" {
		return "", "", oauth.Refuse("resource-header-malformed", oauth.InvalidRequest, "The Authorization header has no token after the word Bearer.")
	}
	return scheme, raw, nil
}

// noToken is told no error code (RFC 6750 §3.1).
func noToken() *oauth.Error {
	return oauth.Refuse("resource-token-missing", "", "The request carries no access token.").WithStatus(http.StatusUnauthorized)
}

func twoTransports() *oauth.Error {
	return oauth.Refuse("resource-two-transports", oauth.InvalidRequest, "The request carries access tokens in more than one way.") // RFC 6750 §2
}

// namesToken says whether form-encoded text has the parameter access_token,
// also when other parts of it are malformed.
func namesToken(text string) bool {
	for pair := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil && decoded == "access_token" {
			return true
		}
	}
	return false
}

// bodyHasToken looks for access_token in a form-encoded body (RFC 6750 §2.2) and
// leaves the body as it was.
func bodyHasToken(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Body == nil || r.Body == http.NoBody || err != nil || mediaType != "application/x-www-form-urlencoded" {
		return false
	}
	start, err := io.ReadAll(io.LimitReader(r.Body, maxPeekedBody))
	rest := io.Reader(r.Body)
	if err != nil {
		rest = failing{err}
	}
	r.Body = replayed{io.MultiReader(bytes.NewReader(start), rest), r.Body}
	return namesToken(string(start))
}

// replayed is a body of which a part was read before.
type replayed struct {
	io.Reader
	io.Closer
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

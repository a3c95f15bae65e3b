package oauth

import (
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// CheckIssuerOrigin says what keeps a text from being an issuer identifier
// (RFC 8414 §2) without a path, in the one form in which every client writes
// it: a scheme, a host in lower case and a port if need be. The sentence of
// the error begins with "must".
func CheckIssuerOrigin(text string) error {
	issuer, err := url.Parse(text)
	switch {
	case err != nil || issuer.Host == "" || issuer.Scheme != "https" && issuer.Scheme != "http":
		return errors.New("must be an absolute https URL")
	case text != issuer.Scheme+"://"+issuer.Host || text != strings.ToLower(text):
		return errors.New("must be a scheme and a host in lower case, without a trailing slash, path, query, fragment or user")
	case strings.ContainsFunc(issuer.Host, func(r rune) bool { return r > unicode.MaxASCII }):
		return errors.New("must have its host in ASCII, an international name in its xn-- form, as browsers send it")
	case strings.HasSuffix(issuer.Host, ":") || issuer.Port() != "" && !PortNumber(issuer.Port()):
		return errors.New("must have a port from 1 to 65535, without leading zeros, or none")
	case !plainHost(issuer.Hostname()):
		return errors.New("must have a host of letters, digits and hyphens between dots, without a dot at the end, or an address")
	case issuer.Scheme == "https" && issuer.Port() == "443" || issuer.Scheme == "http" && issuer.Port() == "80":
		return errors.New("must leave out the port that its scheme implies, as browsers do")
	}
	return nil
}

var hostLabels = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

func plainHost(name string) bool {
	address, err := netip.ParseAddr(name)
	return err == nil && address.String() == name || err != nil && hostLabels.MatchString(name)
}

// PortNumber says whether the text is a port as URLs write it.
func PortNumber(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0 && text[0] != '0'
}

// MetadataURLs are where an issuer publishes its metadata: as an authorization
// server (RFC 8414 §3.1, the well-known part before the issuer's path) and as an
// OpenID Provider (OpenID Connect Discovery §4.1, behind it).
func MetadataURLs(issuer string) (server, provider string, err error) {
	uri, err := url.Parse(issuer)
	if err != nil || uri.Scheme == "" || uri.Host == "" {
		return "", "", errors.New("the issuer is not a URL")
	}
	origin := uri.Scheme + "://" + uri.Host
	path := strings.TrimSuffix(uri.EscapedPath(), "/") // both: "any terminating / MUST be removed"
	return origin + "/.well-known/oauth-authorization-server" + path, origin + path + "/.well-known/openid-configuration", nil
}

// NothingPublished says that what was answered at one of [MetadataURLs] is no
// metadata, but a refusal, a redirect or a page of whatever else serves the host:
// then the issuer may publish at the other place. That it is busy or broken says
// nothing.
func NothingPublished(status int, header http.Header) bool {
	switch {
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests:
		return false
	case status == http.StatusOK:
		mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
		return err == nil && mediaType == "text/html"
	}
	return status >= 300 && status < 500
}

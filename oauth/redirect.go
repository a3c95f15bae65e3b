package oauth

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// MaxURILength bounds every URI in a client's metadata.
const MaxURILength = 2048

// RedirectRules are the differences between profiles in what may be
// registered as a redirect URI. The zero value is the strictest.
type RedirectRules struct {
	// AllowLocalhost admits http://localhost beside the loopback addresses
	// (RFC 8252 §8.3 discourages it; MCP clients use it).
	AllowLocalhost bool
	// AllowUndottedScheme admits private-use schemes without a dot, such as
	// cursor://, which RFC 8252 §7.1 asks clients not to use.
	AllowUndottedScheme bool
}

// dangerousSchemes execute or read in the browser's own context; no profile
// admits them.
var dangerousSchemes = []string{
	"about", "blob", "chrome", "data", "file", "filesystem", "ftp", "intent", "jar", "javascript", "mailto", "mhtml",
	"resource", "sms", "tel", "urn", "vbscript", "view-source", "ws", "wss",
}

// CheckRedirectURI says why a redirect URI may not be registered, or nil.
// The errors are for the person who registers, in plain words.
func CheckRedirectURI(text string, rules RedirectRules) error {
	uri, err := absoluteURI(text)
	if err != nil {
		return err
	}
	if strings.Contains(text, "*") {
		return fmt.Errorf("%q has a wildcard; register every redirect URI in full, they are compared octet for octet", text) // RFC 9700 §2.1
	}
	switch uri.Scheme {
	case "https":
		return checkHierarchical(text, uri)
	case "http":
		if !isLoopback(uri.Hostname(), rules) {
			return fmt.Errorf("%q uses http on a host that is not loopback; use https, or http://127.0.0.1 or http://[::1] for a native application", text) // RFC 9700 §2.6, RFC 8252 §7.3
		}
		return checkHierarchical(text, uri)
	}
	return checkPrivateScheme(text, uri, rules)
}

// CheckWebURI says why a URI that a page will link to or load (logo, policy,
// terms, home page) may not be registered, or nil.
func CheckWebURI(text string) error {
	uri, err := absoluteURI(text)
	if err != nil {
		return err
	}
	if uri.Scheme != "https" && (uri.Scheme != "http" || !isLoopback(uri.Hostname(), RedirectRules{AllowLocalhost: true})) {
		return fmt.Errorf("%q must be an https URL", text)
	}
	return checkHierarchical(text, uri)
}

func absoluteURI(text string) (*url.URL, error) {
	if len(text) > MaxURILength {
		return nil, fmt.Errorf("a URI is longer than %d characters", MaxURILength)
	}
	for i := range len(text) {
		if c := text[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return nil, fmt.Errorf("%q has a character that a URI cannot have", text) // RFC 3986 §2
		}
	}
	uri, err := url.Parse(text)
	if err != nil || uri.Scheme == "" {
		return nil, fmt.Errorf("%q is not an absolute URI", text) // RFC 6749 §3.1.2
	}
	if !strings.HasPrefix(text, uri.Scheme+":") {
		return nil, fmt.Errorf("%q must have its scheme in lower case", text)
	}
	if strings.Contains(text, "#") {
		return nil, fmt.Errorf("%q must not have a fragment", text) // RFC 6749 §3.1.2
	}
	if slices.Contains(dangerousSchemes, uri.Scheme) {
		return nil, fmt.Errorf("%q has a scheme that a browser would run or read itself", text)
	}
	return uri, nil
}

func checkHierarchical(text string, uri *url.URL) error {
	switch {
	case uri.User != nil || strings.Contains(uri.Host, "@"):
		return fmt.Errorf("%q must not carry user information", text)
	case uri.Opaque != "" || uri.Hostname() == "" || strings.HasSuffix(uri.Host, ":"):
		return fmt.Errorf("%q has no host", text)
	case strings.ContainsRune(uri.Host, '%') || uri.Host != strings.ToLower(uri.Host):
		return fmt.Errorf("%q must have its host in lower case and without percent-encoding", text)
	case uri.Port() != "" && !isPort(uri.Port()):
		return fmt.Errorf("%q must have a port from 1 to 65535, without leading zeros, or none", text)
	case !isHost(uri):
		return fmt.Errorf("%q must have a host name (parts of letters, digits and hyphens, divided by single dots and without a dot at the end) or an IP address", text)
	case hasDotSegment(text):
		return fmt.Errorf("%q must not have dot segments", text)
	}
	return nil
}

// isPort holds for the decimal numbers from 1 to 65535 as everybody writes
// them: another spelling would be another redirect URI for the same place.
func isPort(text string) bool {
	number, err := strconv.ParseUint(text, 10, 16)
	return err == nil && number != 0 && text[0] != '0'
}

// Bounds of a host name (RFC 1035 §2.3.4, without the root's dot).
const (
	maxHostLength  = 253
	maxLabelLength = 63
)

// isHost holds for a URI's host if it is an IP address as everybody writes it
// or a host name (RFC 1123 §2.1); an underscore passes, since some have one.
// A name whose last label is a number is an address for browsers (WHATWG URL,
// "ends in a number"), such as 127.1, and no name.
func isHost(uri *url.URL) bool {
	host := uri.Hostname()
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Zone() == "" && address.Is6() == strings.HasPrefix(uri.Host, "[")
	}
	if len(host) > maxHostLength {
		return false
	}
	last := ""
	for last = range strings.SplitSeq(host, ".") {
		if last == "" || len(last) > maxLabelLength || last[0] == '-' || last[len(last)-1] == '-' || strings.Trim(last, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	hexadecimal, isHex := strings.CutPrefix(last, "0x")
	return strings.Trim(last, "0123456789") != "" && !(isHex && strings.Trim(hexadecimal, "0123456789abcdef") == "")
}

func checkPrivateScheme(text string, uri *url.URL, rules RedirectRules) error {
	if !strings.Contains(uri.Scheme, ".") {
		if !rules.AllowUndottedScheme {
			return fmt.Errorf("%q has the scheme %q; a private-use scheme is a domain name in reverse order, such as com.example.app", text, uri.Scheme) // RFC 8252 §7.1
		}
	} else if uri.Host != "" || strings.HasPrefix(uri.Opaque, "//") {
		return fmt.Errorf("%q must have one slash after its scheme and no host, such as com.example.app:/callback", text) // RFC 8252 §7.1
	}
	if uri.User != nil || hasDotSegment(text) {
		return fmt.Errorf("%q must not have user information or dot segments", text)
	}
	return nil
}

func hasDotSegment(text string) bool {
	path, _, _ := strings.Cut(text, "?")
	lower := strings.ToLower(path)
	lower = strings.NewReplacer("%2e", ".", "%2f", "/", "%5c", "/").Replace(lower)
	for segment := range strings.SplitSeq(lower, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func isLoopback(host string, rules RedirectRules) bool {
	return host == "127.0.0.1" || host == "::1" || host == "localhost" && rules.AllowLocalhost
}

// MatchRedirectURI says whether a presented redirect URI is one of the
// registered ones: the same octets (RFC 9700 §2.1), or, where the registered
// one is an http loopback address, the same octets but for the port
// (RFC 8252 §7.3). The exception is decided on the registered value.
func MatchRedirectURI(registered []string, presented string, rules RedirectRules) bool {
	if slices.Contains(registered, presented) {
		return true
	}
	for _, text := range registered {
		uri, err := url.Parse(text)
		if err == nil && uri.Scheme == "http" && isLoopback(uri.Hostname(), rules) && sameButPort(text, uri, presented) {
			return true
		}
	}
	return false
}

func sameButPort(registered string, uri *url.URL, presented string) bool {
	authority := strings.TrimSuffix(uri.Host, ":"+uri.Port())
	rest, found := strings.CutPrefix(presented, "http://"+authority)
	if !found {
		return false
	}
	if port, hasPort := strings.CutPrefix(rest, ":"); hasPort {
		digits := len(port) - len(strings.TrimLeft(port, "0123456789"))
		if !isPort(port[:digits]) {
			return false
		}
		rest = port[digits:]
	}
	return rest == strings.TrimPrefix(registered, "http://"+uri.Host)
}

// LoopbackHost says whether a host (without port) is this machine, as
// browsers and RFC 8252 §7.3 mean it: localhost or a loopback address.
func LoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

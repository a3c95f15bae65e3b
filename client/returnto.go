package client

import (
	"net/url"
	"strings"
)

// maxReturnTo bounds an address to return to after a login, in bytes.
const maxReturnTo = 1024

// LocalPath returns an address within this site from what a stranger gave, and
// "/" from everything else: addresses of other sites, and those that some browser,
// proxy or router might take for one (two slashes or backslashes anywhere in the
// path, dot segments, control characters, encoded or not).
func LocalPath(text string) string {
	const home = "/"
	if len(text) == 0 || len(text) > maxReturnTo || text[0] != '/' || !plainPath(text) {
		return home
	}
	uri, err := url.Parse(text)
	if err != nil || uri.Scheme != "" || uri.Host != "" || uri.User != nil || uri.Opaque != "" {
		return home
	}
	// Decoded once here and perhaps once more by whoever routes it.
	once := uri.Path
	twice, err := url.PathUnescape(once)
	if err != nil {
		twice = once
	}
	for _, path := range []string{uri.EscapedPath(), once, twice} {
		if !plainPath(path) || !cleanPath(path) {
			return home
		}
	}
	return (&url.URL{Path: uri.Path, RawPath: uri.RawPath, RawQuery: uri.RawQuery, Fragment: uri.Fragment, RawFragment: uri.RawFragment}).String()
}

// plainPath says that the text has neither control characters, nor spaces of any
// kind at its ends, nor backslashes.
func plainPath(text string) bool {
	return strings.TrimSpace(text) == text && !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '\\' || r == '\uFFFD' || r == '\u2028' || r == '\u2029' || r == '\u0085'
	})
}

// cleanPath says that the path has no empty segment but its last and no segment
// of dots.
func cleanPath(path string) bool {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if segment == "." || segment == ".." || segment == "" && i > 0 && i < len(segments)-1 {
			return false
		}
	}
	return len(segments) > 1 && segments[0] == ""
}

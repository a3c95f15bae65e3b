package login

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse"
)

// policy is what a page may do beyond drawing itself: the difference between
// the Content-Security-Policy of pages.
type policy struct {
	// images are origins of logos.
	images []string
	// forms are sources to which a form, or the redirect that follows it,
	// may lead.
	forms []string
	// script is the hash source of the page's one inline script.
	script string
}

// headers sets what every page carries.
func (p policy) headers(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.String())
	h.Set("X-Frame-Options", "DENY") // RFC 9700 §4.16
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	// A stricter one makes browsers send "Origin: null" with our own forms.
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Cookie")
}

// String returns the Content-Security-Policy.
func (p policy) String() string {
	var b strings.Builder
	b.WriteString("default-src 'none'; style-src 'self'; img-src 'self'")
	writeSources(&b, p.images)
	if p.script != "" {
		b.WriteString("; script-src " + p.script)
	}
	b.WriteString("; form-action 'self'")
	writeSources(&b, p.forms)
	b.WriteString("; frame-ancestors 'none'; base-uri 'none'")
	return b.String()
}

func writeSources(b *strings.Builder, sources []string) {
	for _, source := range sources {
		b.WriteByte(' ')
		b.WriteString(source)
	}
}

// load allows a picture.
func (p *policy) load(uri string) {
	if source := originSource(uri); strings.Contains(source, "//") && !slices.Contains(p.images, source) {
		p.images = append(p.images, source)
	}
}

// policyFor allows what the pages of a client's request need: its logo, and
// forms whose answer is a redirect to the redirect URI.
func policyFor(client gatehouse.Client, redirectURI string) policy {
	var p policy
	p.load(client.LogoURI)
	for _, uri := range append([]string{redirectURI}, client.FormActionOrigins...) {
		if source := originSource(uri); source != "" {
			p.forms = append(p.forms, source)
		}
	}
	return p
}

// originSource returns the source expression that allows a URI's origin, or
// "" when no expression can: scheme://host:port; only the scheme where
// CSP Level 3 §2.3.1 has no grammar for the host (an IPv6 literal) or there
// is none (a private-use scheme).
func originSource(text string) string {
	uri, err := url.Parse(text)
	if err != nil || !schemeGrammar(uri.Scheme) {
		return ""
	}
	if uri.Scheme != "https" && uri.Scheme != "http" || !hostGrammar(uri.Host) {
		return uri.Scheme + ":"
	}
	return uri.Scheme + "://" + uri.Host
}

// schemeGrammar: RFC 3986 §3.1, in the lower case that url.Parse returns.
func schemeGrammar(scheme string) bool {
	return scheme != "" && strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}

// hostGrammar holds for hosts whose every character may stand in a source
// expression, with an optional port.
func hostGrammar(host string) bool {
	name, port, _ := strings.Cut(host, ":")
	return name != "" && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" &&
		strings.Trim(port, "0123456789") == ""
}

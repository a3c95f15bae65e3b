package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// identity are the headers by which servers behind proxies are told who asks, from
// where, over what and for which address, or to go round a check, or (proxy, which a CGI
// program finds as HTTP_PROXY) whom to ask for all else. A star at the end stands for
// anything.
const identity = `
	authorization authorization-* proxy-authorization x-authorization dpop
	forwarded x-forwarded x-forwarded-* x-real-ip x-client-ip x-cluster-client-ip true-client-ip x-true-client-ip
	cf-connecting-ip cf-connecting-ipv6 cf-ipcountry cf-access-* fastly-client-ip x-azure-clientip x-azure-socketip x-appengine-* fly-client-ip do-connecting-ip
	x-original-* x-rewrite-* x-envoy-* x-host x-http-host-override x-proxy-user x-scheme x-url-scheme front-end-https
	x-http-method x-http-method-override x-method-override x-http-path-override x-middleware-* l5d-* proxy
	x-user x-user-* x-username x-email x-groups x-roles x-scopes x-auth x-auth-* x-authenticated-* x-authentik-* x-remote-* remote-* x-webauth-* x-login
	x-role x-group x-scope x-permissions x-admin x-oauth-* oidc-* x-oidc-* shib-* x-shib-* impersonate-* sudo x-kong-* x-grafana-* x-client-cn x-client-san x-serverless-authorization
	x-consumer-* x-credential-* x-anonymous-consumer x-userinfo x-subject x-sub x-principal x-principal-* x-account-*
	x-access-token x-id-token x-token x-token-* x-jwt x-jwt-* x-api-key-* x-gatehouse-* x-vouch-* x-pomerium-* tailscale-*
	x-amzn-oidc-* x-amzn-mtls-* x-goog-iap-* x-goog-authenticated-* x-ms-client-principal x-ms-client-principal-* x-ms-token-* x-arr-*
	client-cert client-cert-* x-client-cert x-client-cert-* x-client-verify x-client-dn x-client-certificate ssl-client-* x-ssl x-ssl-* ssl-* x-spiffe-* x-tls-* x-mtls-*`

// own are the answer's headers that speak for the whole origin, which is not the
// upstream's, or to proxies in front of us.
var own = []string{
	"access-control-*", "clear-site-data", "strict-transport-security", "public-key-pins", "alt-svc", "set-cookie2", "service-worker-allowed",
	"origin-agent-cluster", "accept-ch", "nel", "report-to", "reporting-endpoints", "x-accel-*", "x-sendfile", "x-lighttpd-send-file",
}

// Filter takes headers away that only we may set.
type Filter struct {
	request, response aliases
	// ours says which cookies are.
	ours func(name string) bool
}

// aliases are names in the form of Alias, and beginnings of such names, by their first
// octet.
type aliases struct {
	exact    map[string]bool
	prefixes map[byte][]string
}

func (a *aliases) add(names ...string) {
	if a.exact == nil {
		a.exact, a.prefixes = map[string]bool{}, map[byte][]string{}
	}
	for _, name := range names {
		if prefix, open := strings.CutSuffix(name, "*"); open {
			alias := Alias(prefix)
			a.prefixes[alias[0]] = append(a.prefixes[alias[0]], alias)
		} else {
			a.exact[Alias(name)] = true
		}
	}
}

func (a *aliases) has(name string) bool {
	var space [64]byte // for names of the usual length
	alias := appendAlias(space[:0], name)
	if len(alias) == 0 || a.exact[string(alias)] {
		return len(alias) > 0
	}
	for _, prefix := range a.prefixes[alias[0]] {
		if len(alias) >= len(prefix) && string(alias[:len(prefix)]) == prefix {
			return true
		}
	}
	return false
}

func (a *aliases) strip(h http.Header) {
	for name := range h {
		if a.has(name) {
			delete(h, name)
		}
	}
}

// NewFilter makes a filter of the well-known identity headers and further ones,
// which may end in a star. ours says which cookies never pass, in either direction.
func NewFilter(ours func(cookie string) bool, further ...string) (*Filter, error) {
	f := &Filter{ours: ours}
	for _, name := range further {
		bare := strings.TrimSuffix(name, "*")
		if bare == "" || strings.ContainsFunc(bare, func(r rune) bool { return r > '~' || !unreserved(byte(r)) }) {
			return nil, fmt.Errorf("%q is no header's name", name)
		}
		if a := Alias(bare); a == "host" || a == "cookie" || a == "content-type" || a == "content-length" || a == "transfer-encoding" {
			return nil, fmt.Errorf("the header %q cannot be kept from an upstream", name)
		}
	}
	f.request.add(strings.Fields(identity)...)
	f.request.add(further...)
	f.response.add(own...)
	return f, nil
}

// WithCORS is the same filter, less that it lets pass what an upstream tells browsers
// about pages of other origins.
func (f *Filter) WithCORS() *Filter {
	with := &Filter{request: f.request, ours: f.ours}
	for _, name := range own {
		if !strings.HasPrefix(name, "access-control-") {
			with.response.add(name)
		}
	}
	return with
}

// Alias is the same for all names of headers that some server takes for one: many
// do not tell "-" from "_" or ".", and none tells letters' case (RFC 3875 §4.1.18).
func Alias(name string) string { return string(appendAlias(nil, name)) }

func appendAlias(to []byte, name string) []byte {
	for _, r := range name {
		switch {
		case 'A' <= r && r <= 'Z':
			to = append(to, byte(r)+'a'-'A')
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			to = append(to, byte(r))
		default:
			to = append(to, '-')
		}
	}
	return to
}

// Identifies says whether only we may set a request's header.
func (f *Filter) Identifies(name string) bool { return f.request.has(name) }

// Request takes away what a stranger may not tell an upstream, and our cookies.
func (f *Filter) Request(h http.Header) {
	f.request.strip(h)
	for name := range h { // cookies under another spelling are none of a browser's
		if Alias(name) == "cookie" && name != "Cookie" {
			delete(h, name)
		}
	}
	kept := h["Cookie"][:0:0]
	for _, line := range h["Cookie"] {
		if line = f.cookies(line); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

// cookies is a Cookie line without ours, and without what has no name, which some
// servers take for a name and some for a value.
func (f *Filter) cookies(line string) string {
	var kept []string
	for part := range strings.SplitSeq(line, ";") {
		part = strings.TrimSpace(part)
		if name, _, found := strings.Cut(part, "="); found && !f.mine(name) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "; ")
}

func (f *Filter) mine(name string) bool {
	name = strings.Trim(name, " \t")
	return name == "" || f.ours(name)
}

// Response takes away what an upstream may not tell a browser in our name: cookies
// that are ours, and what is said for the whole origin.
func (f *Filter) Response(h http.Header) {
	f.response.strip(h)
	lines := h["Set-Cookie"]
	kept := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		pair, _, _ := strings.Cut(line, ";")
		name, _, found := strings.Cut(pair, "=")
		return !found || f.mine(name)
	})
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

// Trailer takes away what an upstream may tell nobody behind the body: what Response takes
// away, for there are readers that put trailers among the headers, and all cookies
// (RFC 9110 §6.5.1).
func (f *Filter) Trailer(h http.Header) {
	f.response.strip(h)
	delete(h, "Set-Cookie")
}

package oauth

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Hosts are the hosts of issuers, which redirect URIs must not point at: a page
// of ours must never receive another's code. The zero Hosts is empty. It is
// filled before it is shared.
type Hosts struct {
	named map[string]bool // host, or host:port
	// loopback has the ports of loopback hosts, "" for the one that the scheme
	// implies: all loopback names are one host.
	loopback map[string]bool
}

// NewHosts returns the set of the hosts.
func NewHosts(hosts ...string) Hosts {
	var h Hosts
	for _, host := range hosts {
		h.Add(host)
	}
	return h
}

// Add adds a host as it stands in a URL: a name or address, with a port unless
// that is the one that the scheme implies.
func (h *Hosts) Add(host string) {
	if h.named == nil {
		h.named, h.loopback = map[string]bool{}, map[string]bool{}
	}
	name, port := splitHost(host)
	h.named[joinHost(name, port)] = true
	if LoopbackHost(name) {
		h.loopback[port] = true
	}
}

// Has says whether a URI points at one of the hosts.
func (h Hosts) Has(uri string) bool {
	if len(h.named) == 0 {
		return false
	}
	parsed, err := url.Parse(uri)
	if err != nil || parsed.Host == "" {
		return false
	}
	name, port := splitHost(parsed.Host)
	implied := "443"
	if parsed.Scheme == "http" {
		implied = "80"
	}
	if port == "" {
		port = implied
	}
	has := func(port string) bool {
		return h.named[joinHost(name, port)] || h.loopback[port] && LoopbackHost(name)
	}
	return has(port) || port == implied && has("")
}

// splitHost divides the host of a URL and writes the name in one way, whichever
// of those it has that browsers take for the same (RFC 3986 §6.2.2.1, RFC 5952).
func splitHost(host string) (name, port string) {
	name = host
	if head, tail, err := net.SplitHostPort(host); err == nil {
		name, port = head, tail
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if address, err := netip.ParseAddr(name); err == nil {
		name = address.Unmap().String()
	}
	return name, port
}

func joinHost(name, port string) string {
	if port == "" {
		return name
	}
	return net.JoinHostPort(name, port)
}

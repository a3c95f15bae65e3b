package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxForwarded bounds the addresses of X-Forwarded-For that are looked at.
const maxForwarded = 64

// clientAddress is where a request came from: the peer, or who a trusted peer says. ok is
// false if what a trusted peer says cannot be read.
func (g *Gateway) clientAddress(peer netip.Addr, header http.Header) (address netip.Addr, ok bool) {
	address = peer.Unmap().WithZone("")
	if !g.trusted(address) {
		return address, address.IsValid()
	}
	told := strings.Split(strings.Join(header["X-Forwarded-For"], ","), ",")
	if len(told) > maxForwarded {
		return netip.Addr{}, false
	}
	for _, one := range slices.Backward(told) { // the last was added by the peer, and so on
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		if address, ok = forwardedAddress(one); !ok {
			return netip.Addr{}, false
		}
		if !g.trusted(address) {
			break
		}
	}
	return address, address.IsValid()
}

func (g *Gateway) trusted(address netip.Addr) bool {
	return contains(g.config.TrustedProxies, address)
}

// forwardedAddress reads an address with or without a port, IPv6 in brackets or not.
func forwardedAddress(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		with, failed := netip.ParseAddrPort(text)
		address, err = with.Addr(), failed
	}
	return address.Unmap().WithZone(""), err == nil
}

func contains(networks []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(networks, func(one netip.Prefix) bool { return one.Contains(address) })
}

// has says whether the networks' rule admits an address.
func (n Networks) has(address netip.Addr) bool {
	return !contains(n.Deny, address) && (len(n.Allow) == 0 || contains(n.Allow, address))
}

func (n Networks) empty() bool { return len(n.Allow)+len(n.Deny) == 0 }

// has says whether the countries' rule admits an address of a country.
func (c CountryRule) has(code string, known bool) bool {
	if !known {
		return len(c.Allow) == 0
	}
	return !slices.Contains(c.Deny, code) && (len(c.Allow) == 0 || slices.Contains(c.Allow, code))
}

func (c CountryRule) empty() bool { return len(c.Allow)+len(c.Deny) == 0 }

// network is what an address is counted by: itself, or the /64 that one subscriber has.
func network(address netip.Addr) string {
	if address.Is4() {
		return address.String()
	}
	prefix, err := address.Prefix(64)
	if err != nil {
		return address.String()
	}
	return prefix.String()
}

// scheme is how the client spoke, by the connection or by a trusted peer's word.
func (g *Gateway) scheme(r *http.Request, peer netip.Addr) string {
	if told := r.Header["X-Forwarded-Proto"]; len(told) == 1 && (told[0] == "https" || told[0] == "http") && g.trusted(peer.Unmap().WithZone("")) {
		return told[0]
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

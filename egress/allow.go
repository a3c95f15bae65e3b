package egress

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// allowList is what the operator exempted: names (with or without a port) and networks.
type allowList struct {
	hosts    map[string]bool // "name", or "name:port"
	prefixes []netip.Prefix
}

// newAllowList reads entries of the forms host, host:port, address and CIDR.
func newAllowList(entries []string) (allowList, error) {
	list := allowList{hosts: map[string]bool{}}
	for _, entry := range entries {
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			if prefix != prefix.Masked() {
				return list, fmt.Errorf("egress: the allowed network %q has bits set beyond its length; write %s", entry, prefix.Masked())
			}
			list.prefixes = append(list.prefixes, prefix)
			continue
		}
		if address, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
			list.prefixes = append(list.prefixes, netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()))
			continue
		}
		host, port, err := net.SplitHostPort(entry)
		if err != nil {
			host, port = entry, ""
		} else if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return list, fmt.Errorf("egress: the allowed host %q has no port of 1 to 65535", entry)
		}
		if host == "" || strings.ContainsAny(host, "/*@?#[] \t") || strings.Contains(host, ":") && port == "" {
			return list, fmt.Errorf("egress: %q is none of HOST, HOST:PORT, ADDRESS and NETWORK/BITS, as in jwks.internal, jwks.internal:8443, 10.1.2.3 and 10.1.0.0/16", entry)
		}
		host = normalHost(host)
		if port != "" {
			host = net.JoinHostPort(host, port)
		}
		list.hosts[host] = true
	}
	return list, nil
}

// host says whether the name is allowed whatever address it has.
func (l allowList) host(name, port string) bool {
	name = normalHost(name)
	return l.hosts[name] || l.hosts[net.JoinHostPort(name, port)]
}

// address says whether the address is allowed whatever name led to it.
func (l allowList) address(address netip.Addr) bool {
	address = address.WithZone("").Unmap()
	return slices.ContainsFunc(l.prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// normalHost is the name in lower case without the root's dot.
func normalHost(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

package gatehouse

import "net/netip"

// ipv6Network is how many bits of an IPv6 address one subscriber cannot
// choose.
const ipv6Network = 64

// Network returns what stands for a caller's address where callers are counted:
// an IPv4 address, or the /64 of an IPv6 address.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, ipv6Network).Masked().String()
}

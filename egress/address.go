package egress

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrAddress says that a name led to an address that strangers may not make us call.
var ErrAddress = errors.New("the address is for special use")

// specialUse are the ranges of the IANA special-purpose registries (RFC 6890 and what updates it)
// that are not public hosts, and what they are called there.
var specialUse = []struct{ prefix, name string }{
	{"0.0.0.0/8", "this network"},             // RFC 791
	{"10.0.0.0/8", "private"},                 // RFC 1918
	{"100.64.0.0/10", "shared address space"}, // RFC 6598
	{"127.0.0.0/8", "loopback"},               // RFC 1122
	{"169.254.0.0/16", "link-local"},          // RFC 3927; clouds keep credentials there
	{"172.16.0.0/12", "private"},              // RFC 1918
	{"192.0.0.0/24", "protocol assignments"},  // RFC 6890
	{"192.0.2.0/24", "documentation"},         // RFC 5737
	{"192.31.196.0/24", "AS112"},              // RFC 7535
	{"192.52.193.0/24", "AMT"},                // RFC 7450
	{"192.88.99.0/24", "6to4 relay"},          // RFC 7526
	{"192.168.0.0/16", "private"},             // RFC 1918
	{"192.175.48.0/24", "AS112"},              // RFC 7534
	{"198.18.0.0/15", "benchmarking"},         // RFC 2544
	{"198.51.100.0/24", "documentation"},      // RFC 5737
	{"203.0.113.0/24", "documentation"},       // RFC 5737
	{"224.0.0.0/4", "multicast"},              // RFC 5771
	{"240.0.0.0/4", "reserved or broadcast"},  // RFC 1112, RFC 8190

	{"::/96", "loopback, unspecified or IPv4-compatible"}, // RFC 4291 §2.5
	{"::ffff:0:0/96", "IPv4-mapped"},                      // RFC 4291 §2.5.5.2
	{"::ffff:0:0:0/96", "IPv4-translated"},                // RFC 2765
	{"64:ff9b::/96", "NAT64"},                             // RFC 6052
	{"64:ff9b:1::/48", "local NAT64"},                     // RFC 8215
	{"100::/64", "discard"},                               // RFC 6666
	{"100:0:0:1::/64", "dummy"},                           // RFC 9780
	{"2001::/23", "protocol assignments and Teredo"},      // RFC 2928, RFC 4380
	{"2001:db8::/32", "documentation"},                    // RFC 3849
	{"2002::/16", "6to4"},                                 // RFC 3056
	{"2620:4f:8000::/48", "AS112"},                        // RFC 7534
	{"3fff::/20", "documentation"},                        // RFC 9637
	{"5f00::/16", "segment routing"},                      // RFC 9602
	{"fc00::/7", "unique local"},                          // RFC 4193
	{"fe80::/10", "link-local"},                           // RFC 4291
	{"fec0::/10", "site-local"},                           // RFC 3879
	{"ff00::/8", "multicast"},                             // RFC 4291
}

// globalUnicast is all of IPv6 that is given out to hosts (RFC 4291 §2.4, IANA's allocation); what
// lies outside is refused even without a line above.
const globalUnicast = "2000::/3"

// ranges is specialUse, parsed.
type ranges struct {
	prefixes []netip.Prefix
	names    []string
	global   netip.Prefix
}

func newRanges() ranges {
	r := ranges{global: netip.MustParsePrefix(globalUnicast)}
	for _, s := range specialUse {
		r.prefixes = append(r.prefixes, netip.MustParsePrefix(s.prefix))
		r.names = append(r.names, s.name)
	}
	return r
}

// check refuses an address that is not a public host's. IPv6 addresses that carry an IPv4 one inside
// are refused whatever that is: they are other ways to write what has a plain form.
func (r ranges) check(address netip.Addr) error {
	bare := address.WithZone("")
	for i, prefix := range r.prefixes {
		if prefix.Contains(bare) {
			return fmt.Errorf("%w: %s is %s (%s)", ErrAddress, address, r.names[i], prefix)
		}
	}
	if !bare.IsValid() || bare.Is6() && !r.global.Contains(bare) {
		return fmt.Errorf("%w: %s is not a public unicast address", ErrAddress, address)
	}
	return nil
}

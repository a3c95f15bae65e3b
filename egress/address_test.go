package egress

import (
	"errors"
	"net/netip"
	"testing"
)

func TestSpecialUseAddressesAreRefused(t *testing.T) {
	r := newRanges()
	for _, text := range []string{
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
		"169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.8", "192.0.0.255",
		"192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.0", "192.168.255.255", "192.175.48.1",
		"198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "100:0:0:1::1", "2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:20::1",
		"2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "2620:4f:8000::1", "3fff::1", "3fff:fff::1", "5f00::1",
		"fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "feff::1", "ff02::1", "ffff::1",
		"1::1", "4000::1", "8000::1", "e000::1",
	} {
		if err := r.check(netip.MustParseAddr(text)); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := r.check(netip.Addr{}); !errors.Is(err, ErrAddress) {
		t.Errorf("no address: %v", err)
	}
}

func TestPublicAddressesAreNot(t *testing.T) {
	r := newRanges()
	for _, text := range []string{
		"1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"2001:200::1", "2001:4860:4860::8888", "2001:db7::1", "2001:db9::1", "2003::1", "2606:4700:4700::1111", "2620:4f:7fff::1", "2a00:1450::1", "3ffe::1",
	} {
		if err := r.check(netip.MustParseAddr(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAllowList(t *testing.T) {
	list, err := newAllowList([]string{"JWKS.internal.", "keys.internal:8443", "10.1.0.0/16", "192.168.7.9", "fd00::/8", "[::1]:9443", "::ffff:172.16.0.9"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		host, port string
		want       bool
	}{
		{"jwks.internal", "443", true}, {"jwks.INTERNAL", "80", true}, {"jwks.internal.", "443", true}, {"a.jwks.internal", "443", false},
		{"jwks.internal.evil.example", "443", false}, {"xjwks.internal", "443", false},
		{"keys.internal", "8443", true}, {"keys.internal", "443", false}, {"::1", "9443", true}, {"::1", "443", false}, {"", "443", false},
	} {
		if got := list.host(test.host, test.port); got != test.want {
			t.Errorf("%s:%s is %v", test.host, test.port, got)
		}
	}
	for text, want := range map[string]bool{
		"10.1.255.255": true, "10.2.0.0": false, "192.168.7.9": true, "192.168.7.8": false, "::ffff:10.1.0.1": true, "fd12::1": true,
		"fc00::1": false, "::1": false, "172.16.0.9": true, "127.0.0.1": false,
	} {
		if got := list.address(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is %v", text, got)
		}
	}
	for _, entry := range []string{"", " ", "https://a", "a/b", "*.internal", "a:0", "a:65536", "a:b", "a:", ":443", "10.0.0.1/8", "user@host", "a:b:c"} {
		if _, err := newAllowList([]string{entry}); err == nil {
			t.Errorf("%q was taken", entry)
		}
	}
}

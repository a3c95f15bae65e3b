package gateway

import (
	"net/textproto"
	"slices"
)

// Headers are the names of all headers by which upstreams can be told who asks, sorted:
// for proxies that pass on what the gateway has decided about.
func (i Identity) Headers() []string {
	i = Config{Identity: i}.withDefaults().Identity
	names := []string{textproto.CanonicalMIMEHeaderKey(i.JWTHeader)}
	for _, name := range standardHeaders {
		names = append(names, textproto.CanonicalMIMEHeaderKey(i.HeaderPrefix+name))
	}
	for name := range i.Claims {
		names = append(names, textproto.CanonicalMIMEHeaderKey(i.HeaderPrefix+name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

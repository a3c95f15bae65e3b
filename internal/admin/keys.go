package admin

import (
	"strings"

	"gatehouse/jose"
)

// checkKeys judges a key set that the client gave by value: public keys that
// we can use, strong enough, each named once.
func (r *registration) checkKeys() {
	if len(r.JWKS) == 0 {
		return
	}
	if len(r.JWKS) > MaxJWKSLength {
		r.wrong.add("jwks", "keep only the keys in use", "more than %d octets", MaxJWKSLength)
		return
	}
	set, err := jose.ParseKeySet(r.JWKS)
	switch {
	case err != nil:
		r.wrong.add("jwks", "give public keys: RSA of 2048 bits or more, P-256 or Ed25519", "%s", strings.TrimPrefix(err.Error(), "key set: "))
	case len(set.Keys) == 0:
		r.wrong.add("jwks", "give public keys for signatures: RSA, P-256 or Ed25519", "none of the keys can be used")
	}
}

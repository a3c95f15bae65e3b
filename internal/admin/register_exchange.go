package admin

import (
	"fmt"
	"slices"

	"gatehouse"
	"gatehouse/internal/config"
)

// checkExchange judges what a client may exchange (RFC 8693). A policy that
// nobody could use is a mistake, and so is the grant type without a policy.
func (r *registration) checkExchange() {
	if name := r.MayAct; name != "" {
		if wrong := checkIdentifier(name); wrong != "" {
			r.wrong.add("may_act", "write the client_id of the one client that may act", "%s", wrong)
		}
	}
	policy := r.TokenExchange
	switch {
	case policy == nil && !r.has(gatehouse.GrantTokenExchange):
		return
	case policy == nil:
		r.wrong.add("token_exchange", "describe the client in a tenant file with its audiences, as in: token_exchange: {audiences: [https://api.example]}", "a client with the grant type %s has to say what it may exchange tokens for; else it may for nothing", gatehouse.GrantTokenExchange)
		return
	case !r.has(gatehouse.GrantTokenExchange):
		r.wrong.add("token_exchange", "add "+gatehouse.GrantTokenExchange+" to grant_types, or leave token_exchange out", "only a client with the grant type for it exchanges tokens")
	case len(policy.Audiences) == 0:
		r.wrong.add("token_exchange.audiences", "name the resources for which the client may be given tokens", "is missing, so that the client could exchange nothing")
	}
	if r.public() { // RFC 8693 §5: whoever finds a token could exchange it
		r.wrong.add("token_exchange", "give the client a secret, or leave token_exchange out", "token exchange needs client authentication")
	}
	r.checkResourceNames("token_exchange.accepts", policy.Accepts)
	r.checkResourceNames("token_exchange.audiences", policy.Audiences)
}

func (r *registration) checkResourceNames(key string, names []string) {
	if len(names) > MaxIntrospects {
		r.wrong.add(key, "", "more than %d resources", MaxIntrospects)
		return
	}
	identifiers := make([]string, len(r.in.Resources))
	for i, resource := range r.in.Resources {
		identifiers[i] = resource.Identifier
	}
	for i, name := range names {
		path := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case !slices.Contains(identifiers, name):
			r.wrong.add(path, orElse(config.DidYouMean(name, identifiers), "declare it under resources"), "there is no resource %q", name)
		case slices.Index(names, name) < i:
			r.wrong.add(path, "write it once", "%q is there twice", name)
		}
	}
}

package admin

import (
	"gatehouse"
	"gatehouse/oauth"
)

// checkLogout judges where a client is told of logouts (OpenID Connect
// Back-Channel Logout §2.2).
func (r *registration) checkLogout() {
	uri := r.BackchannelLogoutURI
	if uri == "" {
		if r.BackchannelLogoutSessionRequired {
			r.wrong.add("backchannel_logout_session_required", "give a backchannel_logout_uri, or leave it out", "a client without backchannel_logout_uri is told of no logout")
		}
		return
	}
	err := oauth.CheckWebURI(uri)
	switch {
	case err != nil:
		r.wrong.add("backchannel_logout_uri", "", "%s", err)
	case r.in.ours(uri):
		r.wrong.add("backchannel_logout_uri", "point it at the application", "%q is on a host of this server itself", uri)
	case !r.has(gatehouse.GrantAuthorizationCode):
		r.wrong.add("backchannel_logout_uri", "leave it out, or add authorization_code to grant_types", "nobody signs in to a client without the grant type authorization_code, so that there is no logout to tell it of")
	}
}

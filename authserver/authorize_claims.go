package authserver

import (
	"encoding/json"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/jose"
	"gatehouse/oauth"
)

// displayValues of OpenID Connect Core §3.1.2.1. Each gets the same pages,
// which fit any window; another value is ignored, since nothing comes of it:
// §15.1 asks that using display is no error.
var displayValues = []string{"page", "popup", "touch", "wap"}

// claimsLimits bound the claims parameter. A longer one would not fit into
// the URLs of the sign-in either.
var claimsLimits = jose.Limits{Bytes: 4 << 10, Depth: 5, Members: 128}

const (
	// maxACRValues is how many values of acr_values are looked at.
	maxACRValues = 16
	// maxSubjectLength is as long as a sub may be, OpenID Connect Core §2.
	maxSubjectLength = 255
)

// claimsParameter is the parameter claims (OpenID Connect Core §5.5). Members
// that are not known are ignored.
type claimsParameter struct {
	UserInfo map[string]*claimRequest `json:"userinfo"`
	IDToken  map[string]*claimRequest `json:"id_token"`
}

// claimRequest is what is said of one claim (§5.5.1); nil is JSON's null.
type claimRequest struct {
	Essential bool              `json:"essential"`
	Value     json.RawMessage   `json:"value"`
	Values    []json.RawMessage `json:"values"`
}

// texts returns the wanted values that are texts.
func (c *claimRequest) texts() []string {
	if c == nil {
		return nil
	}
	wanted := c.Values
	if len(c.Value) > 0 {
		wanted = append(slices.Clone(wanted), c.Value)
	}
	var texts []string
	for _, value := range wanted {
		var text string
		if json.Unmarshal(value, &text) == nil && text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// checkACR reads acr_values, or what the client registered in their place.
// They are a wish (OpenID Connect Core §3.1.2.1: "requested as a Voluntary
// Claim"), so that values which do not exist here are ignored.
func (s *Server) checkACR(a *authorization) error {
	wanted := a.client.DefaultACRValues
	if text := a.form.Get("acr_values"); text != "" {
		wanted = strings.Fields(text)
	}
	a.in.ACRValues = existing(wanted)
	return nil
}

func existing(acrValues []string) []string {
	known := gatehouse.AuthenticationContexts()
	var found []string
	for _, value := range acrValues[:min(len(acrValues), maxACRValues)] {
		if slices.Contains(known, value) && !slices.Contains(found, value) {
			found = append(found, value)
		}
	}
	return found
}

// checkClaims reads the parameter claims of an authentication request. What
// the client could not have by a scope, it cannot have one by one either.
func (s *Server) checkClaims(a *authorization) error {
	text := a.form.Get("claims")
	if text == "" || !a.in.Scope.Has("openid") {
		return nil
	}
	var asked claimsParameter
	if err := claimsLimits.Decode([]byte(text), &asked); err != nil {
		return oauth.Refuse("claims-malformed", oauth.InvalidRequest, "The claims parameter is not a JSON object of the form that OpenID Connect Core section 5.5 gives, or is too large.").Because(err)
	}
	if acr := asked.IDToken["acr"]; acr != nil {
		wanted := acr.texts()
		if len(wanted) > 0 {
			a.in.ACRValues, a.in.ACREssential = existing(wanted), acr.Essential
		}
		if a.in.ACREssential && len(a.in.ACRValues) == 0 { // OpenID Connect Core §5.5.1.1
			return acrUnmet()
		}
	}
	for _, sub := range []*claimRequest{asked.IDToken["sub"], asked.UserInfo["sub"]} {
		if err := a.expectSubject(sub.texts()); err != nil {
			return err
		}
	}
	a.in.Claims = gatehouse.ClaimsRequest{
		UserInfo: a.openTo(asked.UserInfo, gatehouse.ClaimInUserInfo), IDToken: a.openTo(asked.IDToken, gatehouse.ClaimInIDToken),
	}
	return nil
}

// expectSubject holds the request to a sub that claims asks for: it is
// answered for that user only (OpenID Connect Core §3.1.2.2).
func (a *authorization) expectSubject(wanted []string) error {
	if len(wanted) == 0 {
		return nil
	}
	if len(wanted) > 1 || len(wanted[0]) > maxSubjectLength || a.in.HintSubject != "" && a.in.HintSubject != wanted[0] {
		return oauth.Refuse("claims-sub", oauth.InvalidRequest, "The claims parameter must ask for one sub, and id_token_hint must not name another.")
	}
	a.in.HintSubject = wanted[0]
	return nil
}

// openTo returns the claims among those asked for that can stand in the place
// and that a scope of the client's registration would open, in our own order.
func (a *authorization) openTo(asked map[string]*claimRequest, place gatehouse.ClaimPlace) []string {
	names := gatehouse.StandardClaimNames()
	for _, mapping := range a.Tenant.Settings.Claims {
		if mapping.StandsIn(place) {
			names = append(names, mapping.Claim)
		}
	}
	registered := a.client.Scopes()
	var open []string
	for _, name := range names {
		scope, known := a.Tenant.Settings.ScopeOfClaim(name)
		if _, wanted := asked[name]; wanted && known && registered.Has(scope) {
			open = append(open, name)
		}
	}
	return open
}

func acrUnmet() error {
	return oauth.Refuse("acr-unmet", oauth.UnmetAuthenticationRequirements, "No sign-in here reaches an authentication context that the claims parameter demands as essential.")
}

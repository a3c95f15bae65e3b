package authserver

import (
	"encoding/json"
	"slices"

	"gatehouse"
	"gatehouse/oauth"
)

// claim is a claim with its value.
type claim struct {
	name  string
	value any
}

// claims are the members of a JSON object in the order in which they are
// written.
type claims []claim

// MarshalJSON writes the object.
func (c claims) MarshalJSON() ([]byte, error) {
	object := append(make([]byte, 0, claimsRoom), '{')
	for i, member := range c {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(appendText(object, member.name), ':')
		if text, is := member.value.(string); is {
			object = appendText(object, text)
			continue
		}
		value, err := json.Marshal(member.value)
		if err != nil {
			return nil, err
		}
		object = append(object, value...)
	}
	return append(object, '}'), nil
}

// with writes the claims behind the members of an object.
func (c claims) with(object []byte) ([]byte, error) {
	if len(c) == 0 {
		return object, nil
	}
	more, err := c.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return append(append(object[:len(object)-1], ','), more[1:]...), nil
}

// names of the claims, for the log.
func (c claims) names() []string {
	var names []string
	for _, member := range c {
		names = append(names, member.name)
	}
	return names
}

// claimsSupported lists every claim that ID tokens and UserInfo can carry.
func claimsSupported(settings gatehouse.Settings) []string {
	names := append([]string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid"}, gatehouse.StandardClaimNames()...)
	for _, mapping := range settings.Claims {
		if mapping.StandsIn(gatehouse.ClaimInIDToken) || mapping.StandsIn(gatehouse.ClaimInUserInfo) {
			names = append(names, mapping.Claim)
		}
	}
	return names
}

// release is what decides which claims of a user are told.
type release struct {
	settings gatehouse.Settings
	client   gatehouse.Client
	scope    oauth.Scope
	// asked are the names that were asked for one by one, in this place.
	asked []string
}

// wants says whether a claim that the scope opens is told by name: asked for,
// and not beyond what the client is still registered for.
func (r release) wants(name, scope string) bool {
	return slices.Contains(r.asked, name) && r.client.Scopes().Has(scope)
}

// userInfo returns the claims of a UserInfo response but for sub (OpenID
// Connect Core §5.4, §5.5).
func (r release) userInfo(user gatehouse.User) claims {
	var told claims
	for _, name := range gatehouse.StandardClaimNames() {
		scope, _ := r.settings.ScopeOfClaim(name)
		if value := standardClaim(user, name); value != nil && (r.scope.Has(scope) || r.wants(name, scope)) {
			told = append(told, claim{name, value})
		}
	}
	return append(told, r.custom(user, gatehouse.ClaimInUserInfo)...)
}

// idToken returns what an ID token tells of the user: of the standard claims
// those that were asked for one by one, since UserInfo answers the scopes
// (OpenID Connect Core §5.4).
func (r release) idToken(user gatehouse.User) claims {
	var told claims
	for _, name := range gatehouse.StandardClaimNames() {
		scope, _ := r.settings.ScopeOfClaim(name)
		if value := standardClaim(user, name); value != nil && r.wants(name, scope) {
			told = append(told, claim{name, value})
		}
	}
	return append(told, r.custom(user, gatehouse.ClaimInIDToken)...)
}

// accessToken returns the tenant's own claims of an access token for the
// resource.
func (r release) accessToken(user gatehouse.User, resource gatehouse.Resource) claims {
	narrowed := r
	narrowed.settings.Claims = slices.DeleteFunc(slices.Clone(r.settings.Claims), func(m gatehouse.ClaimMapping) bool {
		return m.Resource != "" && !resource.Identified(m.Resource)
	})
	return narrowed.custom(user, gatehouse.ClaimInAccessToken)
}

func (r release) custom(user gatehouse.User, place gatehouse.ClaimPlace) claims {
	var told claims
	for _, mapping := range r.settings.Claims {
		open := mapping.OpenedBy(r.scope) || gatehouse.IdentityScopes.Has(mapping.Scope) && r.wants(mapping.Claim, mapping.Scope)
		nowhere := mapping.Scope == "" && place != gatehouse.ClaimInAccessToken // a resource reads access tokens alone
		if !mapping.StandsIn(place) || !open || nowhere || gatehouse.ReservedClaim(mapping.Claim) {
			continue
		}
		if value := mapping.Of(user); value != nil {
			told = append(told, claim{mapping.Claim, value})
		}
	}
	return told
}

// standardClaim returns the value of a claim of OpenID Connect Core §5.1, nil
// when the user has none (§5.3.2: "it SHOULD be omitted").
func standardClaim(user gatehouse.User, name string) any {
	c := user.Claims
	text := func(value string) any {
		if value == "" {
			return nil
		}
		return value
	}
	switch name {
	case "name":
		return text(c.Name)
	case "given_name":
		return text(c.GivenName)
	case "family_name":
		return text(c.FamilyName)
	case "middle_name":
		return text(c.MiddleName)
	case "nickname":
		return text(c.Nickname)
	case "preferred_username":
		if c.PreferredUsername == "" {
			return text(user.Username)
		}
		return c.PreferredUsername
	case "profile":
		return text(c.Profile)
	case "picture":
		return text(c.Picture)
	case "website":
		return text(c.Website)
	case "gender":
		return text(c.Gender)
	case "birthdate":
		return text(c.Birthdate)
	case "zoneinfo":
		return text(c.Zoneinfo)
	case "locale":
		return text(c.Locale)
	case "updated_at":
		return user.UpdatedAt.Unix()
	case "email":
		return text(c.Email)
	case "email_verified":
		if c.Email != "" {
			return c.EmailVerified
		}
	case "phone_number":
		return text(c.PhoneNumber)
	case "phone_number_verified":
		if c.PhoneNumber != "" {
			return c.PhoneNumberVerified
		}
	case "address":
		if c.Address != nil {
			return c.Address
		}
	}
	return nil
}

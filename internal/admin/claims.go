package admin

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"gatehouse"
	"gatehouse/oauth"
)

// Bounds of claims that a tenant declares and of what users have for them.
const (
	MaxClaimMappings    = 64
	MaxAttributes       = 64
	MaxAttributesLength = 8 << 10 // of all of a user's, as JSON, in bytes
	MaxAttributeValues  = 64      // of one list
	// MaxClaimName is as long as a claim's, and an attribute's, name gets.
	MaxClaimName = 128
)

// claimName is what a claim or an attribute may be called: a word, or a URI
// that no other's claim can be (RFC 7519 §4.2, §4.3).
var claimName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:/~-]*$`)

var claimPlaces = []string{string(gatehouse.ClaimInIDToken), string(gatehouse.ClaimInUserInfo), string(gatehouse.ClaimInAccessToken)}

// checkClaimMappings says what is wrong with a tenant's own claims; resources
// are all that the tenant will have.
func checkClaimMappings(wrong *problems, mappings []gatehouse.ClaimMapping, resources []gatehouse.Resource) {
	if len(mappings) > MaxClaimMappings {
		wrong.add("claims", "", "more than %d claims", MaxClaimMappings)
		return
	}
	for i, mapping := range mappings {
		path := fmt.Sprintf("claims[%d]", i)
		checkClaimName(wrong, path, mapping)
		if slices.ContainsFunc(mappings[:i], func(m gatehouse.ClaimMapping) bool {
			return m.Claim == mapping.Claim && slices.ContainsFunc(mapping.In, m.StandsIn)
		}) {
			wrong.add(path+".claim", "write it once", "claim %q stands in the same place twice", mapping.Claim)
		}
		checkClaimPlaces(wrong, path, mapping)
		checkClaimOpener(wrong, path, mapping, resources)
	}
}

func checkClaimName(wrong *problems, path string, mapping gatehouse.ClaimMapping) {
	switch {
	case len(mapping.Claim) > MaxClaimName || !claimName.MatchString(mapping.Claim):
		wrong.add(path+".claim", "write a word such as department, or a URI", "%q is not the name of a claim", mapping.Claim)
	case gatehouse.ReservedClaim(mapping.Claim):
		wrong.add(path+".claim", "choose another name: what checks a token relies on what this one means", "claim %q is reserved", mapping.Claim)
	}
	if mapping.Attribute != "" && (len(mapping.Attribute) > MaxClaimName || !claimName.MatchString(mapping.Attribute)) {
		wrong.add(path+".attribute", "", "%q is not the name of an attribute", mapping.Attribute)
	}
}

func checkClaimPlaces(wrong *problems, path string, mapping gatehouse.ClaimMapping) {
	if len(mapping.In) == 0 {
		wrong.add(path+".in", "write in: [userinfo], or id_token, or access_token", "the claim stands nowhere")
	}
	for i, place := range mapping.In {
		if !slices.Contains(claimPlaces, string(place)) {
			wrong.add(fmt.Sprintf("%s.in[%d]", path, i), choice(string(place), claimPlaces), "claims cannot stand in %q", place)
		}
	}
}

func checkClaimOpener(wrong *problems, path string, mapping gatehouse.ClaimMapping, resources []gatehouse.Resource) {
	known := gatehouse.IdentityScopes.Without(oauth.Scope{"offline_access"})
	at := -1
	for i, resource := range resources {
		known = known.Union(resource.Scope())
		if resource.Identifier == mapping.Resource {
			at = i
		}
	}
	switch {
	case mapping.Scope == "" && mapping.Resource == "":
		wrong.add(path+".scope", "write the scope, or the resource, that opens the claim", "nothing opens the claim, or everything")
	case oauth.ScopeHasParameters(mapping.Scope):
		wrong.add(path+".scope", "write a scope without parameters", "%q is a form of many scopes", mapping.Scope)
	case mapping.Scope != "" && !known.Has(mapping.Scope):
		wrong.add(path+".scope", "write openid, profile, email, address, phone, or declare it under the resource that it belongs to", "no resource has the scope %q", mapping.Scope)
	}
	if mapping.Resource == "" {
		return
	}
	if at < 0 {
		wrong.add(path+".resource", "declare it under resources", "there is no resource %q", mapping.Resource)
	}
	if slices.ContainsFunc(mapping.In, func(place gatehouse.ClaimPlace) bool { return place != gatehouse.ClaimInAccessToken }) {
		wrong.add(path+".in", "write in: [access_token], or leave resource out", "a resource reads access tokens alone")
	}
}

// checkAttributes says what is wrong with what is known of a user: texts,
// numbers, true or false, and lists of texts.
func checkAttributes(wrong *problems, attributes gatehouse.Attributes) {
	if len(attributes) > MaxAttributes {
		wrong.add("attributes", "", "more than %d attributes", MaxAttributes)
		return
	}
	for name, value := range attributes {
		if len(name) > MaxClaimName || !claimName.MatchString(name) {
			wrong.add("attributes", "write a word such as department, or a URI", "%q is not the name of an attribute", name)
			continue
		}
		if text := checkAttribute(value); text != "" {
			wrong.add("attributes", "", "attribute %s %s", name, text)
		}
	}
	if text, err := json.Marshal(attributes); err != nil || len(text) > MaxAttributesLength {
		wrong.add("attributes", "they travel in tokens: keep what is large where it is and let the API look it up", "longer than %d bytes together", MaxAttributesLength)
	}
}

func checkAttribute(value any) string {
	switch value := value.(type) {
	case bool, float64, int, int64, uint64:
		return ""
	case string:
		return checkName(value, MaxClaimLength)
	case []any:
		if len(value) > MaxAttributeValues {
			return fmt.Sprintf("has more than %d values", MaxAttributeValues)
		}
		for _, element := range value {
			text, isText := element.(string)
			if !isText || checkName(text, MaxClaimLength) != "" {
				return "has an element that is no text that can be shown"
			}
		}
		return ""
	}
	return "is neither a text, a number, true or false, nor a list of texts"
}

// normalAttributes returns attributes as they are read from the store, so that
// the same ones compare as equal.
func normalAttributes(attributes gatehouse.Attributes) gatehouse.Attributes {
	if len(attributes) == 0 {
		return nil
	}
	text, err := json.Marshal(attributes)
	if err != nil {
		return attributes // which checkAttributes has told
	}
	var normal gatehouse.Attributes
	if json.Unmarshal(text, &normal) != nil {
		return attributes
	}
	return normal
}

package admin

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/oauth"
)

// MaxAccessTokenLifetime bounds how long an access token may live: nothing
// but an entry in the revocation feed takes one back.
const MaxAccessTokenLifetime = 24 * time.Hour

var (
	tokenFormats = []string{string(gatehouse.FormatJWT), string(gatehouse.FormatOpaque)}
	tokenAlgs    = []string{"ES256", "RS256", "EdDSA", "PS256"}
)

// resource is the entry as a resource with the defaults of the house.
func (e ResourceEntry) resource() gatehouse.Resource {
	resource := gatehouse.Resource{
		Identifier:      e.Identifier,
		Name:            e.Name,
		Scopes:          e.Scopes,
		TokenFormat:     e.TokenFormat,
		TokenLifetime:   e.TokenLifetime,
		TokenSigningAlg: e.TokenSigningAlg,
	}
	if resource.TokenFormat == "" {
		resource.TokenFormat = gatehouse.FormatJWT
	}
	if resource.TokenSigningAlg == "" && resource.TokenFormat == gatehouse.FormatJWT {
		resource.TokenSigningAlg = "ES256"
	}
	return resource
}

// checkResource says what is wrong with a resource by itself. Scope names are
// held against the other resources by checkScopesApart.
func checkResource(resource gatehouse.Resource) []*Problem {
	var wrong problems
	if text := checkAudience(resource.Identifier); text != "" {
		wrong.add("identifier", "write the URI by which its tokens name it, such as https://api.example", "%s", text)
	}
	if text := checkName(resource.Name, MaxNameLength); text != "" {
		wrong.add("name", "", "%s", text)
	}
	if format := string(resource.TokenFormat); !slices.Contains(tokenFormats, format) {
		wrong.add("token_format", choice(format, tokenFormats), "unknown token format %q", format)
	}
	if alg := resource.TokenSigningAlg; alg != "" && !slices.Contains(tokenAlgs, alg) {
		wrong.add("token_signing_alg", choice(alg, tokenAlgs), "access tokens cannot be signed with %q", alg)
	}
	if lifetime := resource.TokenLifetime.Std(); lifetime != 0 && (lifetime < time.Second || lifetime > MaxAccessTokenLifetime) {
		wrong.add("token_lifetime", "", "must be 1s to %s", MaxAccessTokenLifetime)
	}
	if len(resource.Scopes) > MaxScopesPerResource {
		wrong.add("scopes", "", "more than %d scopes", MaxScopesPerResource)
	}
	for i, scope := range resource.Scopes {
		checkResourceScope(&wrong, fmt.Sprintf("scopes[%d] (%s)", i, scope.Name), scope)
		if slices.IndexFunc(resource.Scopes, func(s gatehouse.ResourceScope) bool { return s.Name == scope.Name }) < i {
			wrong.add(fmt.Sprintf("scopes[%d]", i), "write it once", "scope %q is there twice", scope.Name)
		}
	}
	return wrong.list
}

func checkResourceScope(wrong *problems, path string, scope gatehouse.ResourceScope) {
	set, err := oauth.ParseScope(scope.Name)
	resource, operation, found := strings.Cut(scope.Name, ":")
	switch {
	case err != nil || len(set) != 1 || set[0] != scope.Name || len(scope.Name) > MaxIdentifierLength:
		wrong.add(path, "write one word of printable ASCII such as photos:read", "%q is not the name of a scope", scope.Name) // RFC 6749 §3.3
	case gatehouse.IdentityScopes.Has(scope.Name):
		wrong.add(path, "leave it out", "%s belongs to OpenID Connect and to no resource", scope.Name)
	case !found || resource == "" || operation == "":
		wrong.add(path, "write resource:operation, such as photos:read", "%q does not say to what it gives access", scope.Name)
	default:
		checkScopeForm(wrong, path, scope)
	}
	if text := checkName(scope.Description, MaxSentenceLength); text != "" {
		wrong.add(path, "", "its sentence is %s", text)
	} else if scope.Description == "" {
		wrong.add(path, "say what it allows, as in: See your photos", "it has no sentence for the consent page")
	}
}

// checkScopeForm: people must see in the sentence what a parameter stands for.
func checkScopeForm(wrong *problems, path string, scope gatehouse.ResourceScope) {
	if err := oauth.CheckScopeForm(scope.Name); err != nil {
		wrong.add(path, "", "%s", err)
		return
	}
	oauth.FillScope(scope.Name, func(parameter string) string {
		if !strings.Contains(scope.Description, "{"+parameter+"}") {
			wrong.add(path, "as in: See the document {"+parameter+"}", "its sentence does not show the parameter {%s}", parameter)
		}
		return parameter
	})
}

// checkAudience says why a text cannot name a resource, or "": an absolute
// URI without fragment (RFC 8707 §2) that travels in tokens and parameters.
func checkAudience(text string) string {
	if text == "" {
		return "is missing"
	}
	if len(text) > oauth.MaxURILength {
		return fmt.Sprintf("longer than %d characters", oauth.MaxURILength)
	}
	for i := range len(text) {
		if c := text[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return fmt.Sprintf("%q has a character that a URI cannot have", text)
		}
	}
	uri, err := url.Parse(text)
	switch {
	case err != nil || uri.Scheme == "" || uri.Opaque == "" && uri.Host == "" && uri.Path == "":
		return fmt.Sprintf("%q is not an absolute URI", text)
	case strings.Contains(text, "#"):
		return fmt.Sprintf("%q must not have a fragment", text)
	case uri.User != nil:
		return fmt.Sprintf("%q must not carry user information", text)
	case (uri.Scheme == "https" || uri.Scheme == "http") && uri.Host == "":
		return fmt.Sprintf("%q has no host", text)
	}
	return ""
}

// checkFormsApart: a scope that is of two declared ones would belong to two
// resources, or be opened by a form that was not meant to.
func checkFormsApart(wrong *problems, all []gatehouse.Resource) {
	var forms, names oauth.Scope
	for _, resource := range all {
		for _, name := range resource.Scope() {
			if oauth.ScopeHasParameters(name) {
				forms = append(forms, name)
			}
			names = append(names, name)
		}
	}
	for i, form := range forms {
		for _, name := range names {
			if form != name && oauth.ScopesOverlap(form, name) && (!forms.Has(name) || slices.Index(forms, name) > i) {
				wrong.add("resources", "give each another operation", "a scope could be of both %q and %q", form, name)
			}
		}
	}
}

// checkScopesApart holds every scope name to one resource. A request that
// names a scope and no resource means the resource of that scope, and a client
// that registered a scope may use it wherever it exists: a second resource
// with the same name would open to it unnoticed.
func checkScopesApart(wrong *problems, all []gatehouse.Resource) {
	checkFormsApart(wrong, all)
	owner := map[string]string{}
	for _, resource := range all {
		for _, scope := range resource.Scopes {
			if other, taken := owner[scope.Name]; taken && other != resource.Identifier {
				wrong.add("resources", "give each resource scopes of its own: else a client that may do it at one may do it at both", "scope %q belongs to %s and to %s", scope.Name, other, resource.Identifier)
				continue
			}
			owner[scope.Name] = resource.Identifier
		}
	}
}

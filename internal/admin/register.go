package admin

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/oauth"
)

// What this version has, as the errors name it.
var (
	grantTypes     = []string{gatehouse.GrantAuthorizationCode, gatehouse.GrantRefreshToken, gatehouse.GrantClientCredentials, gatehouse.GrantTokenExchange}
	authMethods    = []string{gatehouse.AuthClientSecretBasic, gatehouse.AuthClientSecretPost, gatehouse.AuthNone}
	profiles       = []string{string(gatehouse.ProfileOAuth21), string(gatehouse.ProfileOIDC)}
	idTokenAlgs    = []string{"RS256", "ES256", "EdDSA", "PS256"}
	plannedProfile = []string{"mcp", "fapi2"}
)

// MaxDefaultMaxAge bounds default_max_age, in seconds: a year.
const MaxDefaultMaxAge = 365 * 24 * 60 * 60

// Surroundings are what a client's metadata is judged by beside itself.
type Surroundings struct {
	// Hosts says whether a URI is at a host of this server's issuers, where no
	// redirect URI may point; nil when none is known.
	Hosts issuerHosts
	// Resources are all that the tenant will have.
	Resources []gatehouse.Resource
}

// issuerHosts knows the hosts of the issuers of a server.
type issuerHosts interface{ Has(uri string) bool }

func (in Surroundings) ours(uri string) bool { return in.Hosts != nil && in.Hosts.Has(uri) }

// Register checks what a client wants to register and returns it with the
// defaults of RFC 7591 §2 filled in: authorization_code, client_secret_basic,
// the response type code for clients with that grant type, and application
// type web. The scope defaults to "openid profile email", with offline_access
// if refresh_token is registered, for clients with authorization_code, and to
// nothing for others. Problems carry paths from the metadata's own top.
func Register(wanted gatehouse.ClientMetadata, in Surroundings) (gatehouse.ClientMetadata, []*Problem) {
	r := registration{ClientMetadata: withDefaults(wanted), in: in}
	r.checkProfile()
	r.checkGrants()
	r.checkRedirects()
	r.checkScope()
	r.checkPages()
	r.checkKeys()
	r.checkSwitches()
	r.checkOpenID()
	r.checkExchange()
	r.checkLogout()
	return r.ClientMetadata, r.wrong.list
}

func withDefaults(m gatehouse.ClientMetadata) gatehouse.ClientMetadata {
	if m.Profile == "" {
		m.Profile = gatehouse.ProfileOAuth21
	}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{gatehouse.GrantAuthorizationCode} // RFC 7591 §2
	}
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = gatehouse.AuthClientSecretBasic // RFC 7591 §2
	}
	if m.ApplicationType == "" {
		m.ApplicationType = "web" // OpenID Connect Registration §2
	}
	people := slices.Contains(m.GrantTypes, gatehouse.GrantAuthorizationCode)
	if len(m.ResponseTypes) == 0 && people {
		m.ResponseTypes = []string{"code"} // RFC 7591 §2
	}
	if m.Scope == "" && people {
		m.Scope = "openid profile email"
		if slices.Contains(m.GrantTypes, gatehouse.GrantRefreshToken) {
			m.Scope += " offline_access"
		}
	}
	return m
}

// registration is one client's metadata while it is judged.
type registration struct {
	gatehouse.ClientMetadata
	in    Surroundings
	wrong problems
}

func (r *registration) has(grantType string) bool { return slices.Contains(r.GrantTypes, grantType) }

func (r *registration) public() bool { return r.TokenEndpointAuthMethod == gatehouse.AuthNone }

func (r *registration) checkProfile() {
	profile := string(r.Profile)
	switch {
	case r.Profile == gatehouse.ProfileOIDC && r.public():
		r.wrong.add("profile", "use profile oauth2.1", "profile oidc lets a confidential client leave PKCE out, and a public client always needs it") // RFC 9700 §2.1.1
	case slices.Contains(profiles, profile):
	case slices.Contains(plannedProfile, profile):
		r.wrong.add("profile", "use oauth2.1 or oidc", "profile %s is not built in this version", profile)
	default:
		r.wrong.add("profile", choice(profile, profiles), "unknown profile %q", profile)
	}
}

func (r *registration) checkGrants() {
	for i, grantType := range r.GrantTypes {
		path := fmt.Sprintf("grant_types[%d]", i)
		switch {
		case slices.Index(r.GrantTypes, grantType) < i:
			r.wrong.add(path, "write it once", "%q is there twice", grantType)
		case slices.Contains(grantTypes, grantType):
		case grantType == "implicit":
			r.wrong.add(path, "use authorization_code with PKCE, which browser applications can run too; see docs/refused.md#implicit",
				"the implicit grant is refused: it puts tokens into URLs") // RFC 9700 §2.1.2
		case grantType == "password":
			r.wrong.add(path, "use authorization_code where a person signs in, client_credentials where none is there; see docs/refused.md#password",
				"the password grant is refused: it hands people's passwords to applications") // RFC 9700 §2.4
		default:
			r.wrong.add(path, choice(grantType, grantTypes), "unknown grant type %q", grantType)
		}
	}
	for i, responseType := range r.ResponseTypes {
		r.checkResponseType(fmt.Sprintf("response_types[%d]", i), responseType)
	}
	if len(r.ResponseTypes) > 0 && !r.has(gatehouse.GrantAuthorizationCode) { // RFC 7591 §2.1
		r.wrong.add("response_types", "leave response_types out, or add authorization_code to grant_types", "a client without the grant type authorization_code has no response type")
	}
	if r.has(gatehouse.GrantRefreshToken) && !r.has(gatehouse.GrantAuthorizationCode) {
		r.wrong.add("grant_types", "add authorization_code, or leave refresh_token out", "refresh_token needs a grant type that issues refresh tokens")
	}
	r.checkAuthMethod()
}

func (r *registration) checkResponseType(path, responseType string) {
	switch {
	case responseType == "code":
	case mentionsToken(responseType):
		r.wrong.add(path, "use code, with PKCE; see docs/refused.md#implicit", "response type %q is refused: it puts tokens into URLs", responseType) // RFC 9700 §2.1.2
	default:
		r.wrong.add(path, "this version has: code", "unknown response type %q", responseType)
	}
}

func mentionsToken(responseType string) bool {
	words := strings.Fields(responseType)
	return slices.Contains(words, "token") || slices.Contains(words, "id_token")
}

func (r *registration) checkAuthMethod() {
	method := r.TokenEndpointAuthMethod
	switch {
	case method == "client_secret_jwt":
		r.wrong.add("token_endpoint_auth_method", "this version has: "+strings.Join(authMethods, ", ")+"; see docs/refused.md#client-secret-jwt",
			"client_secret_jwt is refused: it needs the secret in clear at the server")
	case !slices.Contains(authMethods, method):
		r.wrong.add("token_endpoint_auth_method", choice(method, authMethods), "unknown client authentication method %q", method)
	case r.public() && r.has(gatehouse.GrantClientCredentials): // RFC 6749 §4.4
		r.wrong.add("grant_types", "give the client a secret with token_endpoint_auth_method client_secret_basic, or leave client_credentials out",
			"client_credentials needs credentials, and a client with token_endpoint_auth_method none has none")
	}
	if !slices.Contains([]string{"web", "native"}, r.ApplicationType) {
		r.wrong.add("application_type", choice(r.ApplicationType, []string{"web", "native"}), "unknown application type %q", r.ApplicationType)
	}
}

func (r *registration) checkRedirects() {
	if r.has(gatehouse.GrantAuthorizationCode) && len(r.RedirectURIs) == 0 { // RFC 9700 §4.1.3
		r.wrong.add("redirect_uris", "name the application's callback, such as https://app.example/callback", "the grant type authorization_code needs at least one redirect URI")
	}
	r.checkURIs("redirect_uris", r.RedirectURIs)
	r.checkURIs("post_logout_redirect_uris", r.PostLogoutRedirectURIs)
	if len(r.FormActionOrigins) > MaxOrigins {
		r.wrong.add("form_action_origins", "", "more than %d origins", MaxOrigins)
	}
	for i, origin := range r.FormActionOrigins {
		uri, err := url.Parse(origin)
		if err == nil {
			err = oauth.CheckWebURI(origin)
		}
		if err != nil || origin != uri.Scheme+"://"+uri.Host {
			r.wrong.add(fmt.Sprintf("form_action_origins[%d]", i), "write https://host or https://host:port", "%q is not the origin of a web site", origin)
		}
	}
}

func (r *registration) checkURIs(key string, uris []string) {
	if len(uris) > MaxRedirectURIs {
		r.wrong.add(key, "split the client", "more than %d URIs", MaxRedirectURIs)
		return
	}
	client := gatehouse.Client{ClientMetadata: r.ClientMetadata}
	for i, text := range uris {
		path := fmt.Sprintf("%s[%d]", key, i)
		switch err := oauth.CheckRedirectURI(text, client.RedirectRules()); {
		case err != nil:
			r.wrong.add(path, refusedPage(text), "%s", err)
		case r.in.ours(text): // whose host it is would be told to another tenant
			r.wrong.add(path, "point it at the application", "%q is on a host of this server itself, where no code may be sent", text)
		case slices.Index(uris, text) < i:
			r.wrong.add(path, "write it once", "%q is there twice", text)
		}
	}
}

// refusedPage names the page about what a redirect URI was refused for.
func refusedPage(text string) string {
	scheme, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(text)), ":")
	switch {
	case strings.Contains(text, "*"):
		return "see docs/refused.md#wildcards"
	case scheme == "http":
		return "see docs/refused.md#http"
	case scheme != "https":
		return "see docs/refused.md#schemes"
	}
	return ""
}

func (r *registration) checkScope() {
	scope, err := oauth.ParseScope(r.Scope)
	if err != nil {
		r.wrong.add("scope", "write scopes as one text, divided by spaces", "%s", oauth.AsError(err).Description)
		return
	}
	known := slices.Clone(gatehouse.IdentityScopes)
	for _, resource := range r.in.Resources {
		known = append(known, resource.Scope()...)
	}
	for _, name := range scope {
		if !known.Has(name) && !known.Admits(name) {
			r.wrong.add("scope", orElse(config.DidYouMean(name, known), "declare it under the resource that it belongs to"), "no resource has the scope %q", name)
		}
	}
	r.Scope = scope.String()
	r.checkAudiences()
}

func (r *registration) checkAudiences() {
	identifiers := make([]string, len(r.in.Resources))
	for i, resource := range r.in.Resources {
		identifiers[i] = resource.Identifier
	}
	if name := r.DefaultResource; name != "" && !slices.Contains(identifiers, name) {
		r.wrong.add("default_resource", orElse(config.DidYouMean(name, identifiers), "declare it under resources"), "there is no resource %q", name)
	}
	if len(r.Introspects) > MaxIntrospects {
		r.wrong.add("introspects", "", "more than %d resources", MaxIntrospects)
	}
	for i, name := range r.Introspects {
		if !slices.Contains(identifiers, name) {
			r.wrong.add(fmt.Sprintf("introspects[%d]", i), orElse(config.DidYouMean(name, identifiers), "declare it under resources"), "there is no resource %q", name)
		}
	}
	if len(r.Introspects) > 0 && r.public() { // RFC 7662 §2.1
		r.wrong.add("introspects", "give the client a secret", "introspection needs client authentication")
	}
}

func (r *registration) checkPages() {
	if wrong := checkName(r.ClientName, MaxNameLength); wrong != "" {
		r.wrong.add("client_name", "", "%s", wrong)
	}
	for _, page := range []struct{ key, uri string }{
		{"client_uri", r.ClientURI}, {"logo_uri", r.LogoURI}, {"policy_uri", r.PolicyURI}, {"tos_uri", r.TosURI},
	} {
		if page.uri == "" {
			continue
		}
		if err := oauth.CheckWebURI(page.uri); err != nil {
			r.wrong.add(page.key, "", "%s", err)
		}
	}
	if len(r.Contacts) > MaxContacts {
		r.wrong.add("contacts", "", "more than %d contacts", MaxContacts)
	}
	for i, contact := range r.Contacts {
		if wrong := checkName(contact, MaxSentenceLength); wrong != "" || contact == "" {
			r.wrong.add(fmt.Sprintf("contacts[%d]", i), "write an e-mail address", "%s", orElse(wrong, "empty"))
		}
	}
}

func (r *registration) checkSwitches() {
	if alg := r.IDTokenSignedResponseAlg; alg != "" && !slices.Contains(idTokenAlgs, alg) {
		r.wrong.add("id_token_signed_response_alg", choice(alg, idTokenAlgs), "ID tokens cannot be signed with %q", alg)
	}
	if age := r.DefaultMaxAge; age != nil && (*age < 0 || *age > MaxDefaultMaxAge) {
		r.wrong.add("default_max_age", "", "must be 0 to %d seconds", MaxDefaultMaxAge)
	}
	if r.SkipConsent && r.public() { // RFC 6749 §10.2, RFC 8252 §8.6
		r.wrong.add("skip_consent", "leave it out, or give the client a secret", "anyone can pose as a public client, so that people must be asked")
	}
	if r.RevocationFeed && r.public() {
		r.wrong.add("revocation_feed", "give the client a secret", "the feed tells what has ended in the whole tenant, so its readers authenticate")
	}
	if r.InsecureShortSecret && r.public() {
		r.wrong.add("insecure_short_secret", "leave it out", "a public client has no secret")
	}
}

// choice is the hint for a word that is none of the known ones.
func choice(word string, known []string) string {
	have := "this version has: " + strings.Join(known, ", ")
	if hint := config.DidYouMean(word, known); hint != "" {
		return hint + " " + have
	}
	return have
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

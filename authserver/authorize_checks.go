package authserver

import (
	"slices"
	"strconv"
	"strings"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/oauth"
)

// authorization is an authorization request while it is checked.
type authorization struct {
	*endpoint.Request
	form   oauth.Form
	client gatehouse.Client
	in     interaction.Interaction
}

// authorizationChecks is the table of checks in their order: one line per
// check. Until redirect_uri has passed, a refusal is a page of ours; from then
// on it travels to the redirect URI (RFC 6749 §4.1.2.1, RFC 9700 §4.11.2).
var authorizationChecks = []struct {
	name  string
	check func(*Server, *authorization) error
}{
	{"client", (*Server).checkClient},
	{"redirect_uri", (*Server).checkRedirectURI},
	{"response_mode", (*Server).checkResponseMode},
	{"trust", (*Server).trustRedirectURI},
	{"request objects", (*Server).checkRequestObject},
	{"response_type", (*Server).checkResponseType},
	{"grant type", (*Server).checkCodeGrant},
	{"scope and resource", (*Server).checkScope},
	{"code_challenge", (*Server).checkChallenge},
	{"prompt", (*Server).checkPrompt},
	{"max_age", (*Server).checkMaxAge},
	{"id_token_hint", (*Server).checkHint},
	{"acr_values", (*Server).checkACR},
	{"claims", (*Server).checkClaims},
}

// checkAuthorization judges a new authorization request.
func (s *Server) checkAuthorization(r *endpoint.Request, form oauth.Form) (interaction.Interaction, error) {
	a := &authorization{Request: r, form: form, in: interaction.New(s.Store.Now())}
	a.in.State = form.Get("state")
	a.in.Nonce = form.Get("nonce")
	a.in.LoginHint = form.Get("login_hint")
	a.in.UILocales = uiLocales(form.Get("ui_locales"))
	for _, line := range authorizationChecks {
		if err := line.check(s, a); err != nil {
			return interaction.Interaction{}, err
		}
	}
	return a.in, nil
}

const (
	// maxUILocales is how many languages of ui_locales are looked at.
	maxUILocales = 8
	// maxLocaleLength is as long as a language tag gets, RFC 5646 §4.4.1.
	maxLocaleLength = 35
)

// uiLocales reads ui_locales. What is no language tag is left out: no error
// comes of it (OpenID Connect Core §3.1.2.1).
func uiLocales(text string) []string {
	var locales []string
	for locale := range strings.FieldsSeq(text) {
		if len(locales) == maxUILocales {
			break
		}
		if len(locale) <= maxLocaleLength && strings.Trim(strings.ToLower(locale), "abcdefghijklmnopqrstuvwxyz0123456789-") == "" {
			locales = append(locales, locale)
		}
	}
	return locales
}

func (s *Server) checkClient(a *authorization) error {
	id := a.form.Get("client_id")
	if id == "" {
		return oauth.Refuse("authorize-client-missing", oauth.InvalidRequest, "The client_id parameter is missing.")
	}
	a.Note("client_id", id)
	client, found, err := s.Store.Client(a.Context(), a.Tenant.ID, id)
	if err != nil {
		return err
	}
	if !found || client.Disabled() {
		return clientUnknown()
	}
	a.client, a.in.ClientID, a.Restart = client, id, client.StartAgain(a.Tenant.Issuer)
	return nil
}

func clientUnknown() error {
	return oauth.Refuse("authorize-client-unknown", oauth.InvalidRequest, "The application is not registered here, or was switched off.")
}

// checkRedirectURI: exact comparison with the registered ones (RFC 9700
// §2.1). It may be left out only where there is nothing to choose, and never
// with OpenID Connect (Core §3.1.2.1).
func (s *Server) checkRedirectURI(a *authorization) error {
	uri := a.form.Get("redirect_uri")
	if uri == "" {
		scope, _ := oauth.ParseScope(a.form.Get("scope"))
		if len(a.client.RedirectURIs) != 1 || scope.Has("openid") {
			return oauth.Refuse("redirect-uri-missing", oauth.InvalidRequest, "The redirect_uri parameter is missing.")
		}
		uri = a.client.RedirectURIs[0]
	}
	may, err := s.registered(a.Context(), a.client.RedirectURIs, uri, a.client)
	if err != nil {
		return err
	}
	if !may {
		return oauth.Refuse("redirect-uri-unregistered", oauth.InvalidRequest, "The redirect_uri is not one that the application registered. They are compared character by character.")
	}
	a.in.RedirectURI, a.in.RedirectURISent = uri, a.form.Has("redirect_uri")
	return nil
}

// responseModes that a response can travel by.
var responseModes = []string{"query", "form_post"}

// checkResponseMode notes how the answer travels. An unknown mode is refused
// by the default one, so it is judged after the redirect URI is trusted.
func (s *Server) checkResponseMode(a *authorization) error {
	if mode := a.form.Get("response_mode"); slices.Contains(responseModes, mode) {
		a.in.ResponseMode = mode
	}
	return nil
}

func (s *Server) trustRedirectURI(a *authorization) error {
	s.answerRefusals(a.Request, a.client, a.in)
	if a.form.Has("response_mode") && a.in.ResponseMode == "" {
		return oauth.Refuse("response-mode-unknown", oauth.InvalidRequest, "The response_mode must be query or form_post.")
	}
	return nil
}

// checkRequestObject: neither form is supported, and ignoring one would
// change what was asked (OpenID Connect Core §3.1.2.6, §6).
func (s *Server) checkRequestObject(a *authorization) error {
	switch {
	case a.form.Has("request"):
		return oauth.Refuse("request-object-unsupported", oauth.RequestNotSupported, "Request objects are not supported. Send the parameters themselves.")
	case a.form.Has("request_uri"):
		return oauth.Refuse("request-uri-unsupported", oauth.RequestURINotSupported, "Request objects by reference are refused. Send the parameters themselves.")
	case a.form.Has("registration"):
		return oauth.Refuse("registration-unsupported", oauth.RegistrationNotSupported, "The registration parameter is not supported. Register the client first.")
	}
	return nil
}

func (s *Server) checkResponseType(a *authorization) error {
	switch responseType := a.form.Get("response_type"); {
	case responseType == "":
		return oauth.Refuse("response-type-missing", oauth.InvalidRequest, "The response_type parameter is missing. Use response_type=code.")
	case responseType == "code":
		return nil
	case strings.Contains(responseType, "token"): // RFC 9700 §2.1.2
		return oauth.Refuse("response-type-implicit", oauth.UnsupportedResponseType, "Implicit and hybrid response types are refused: they put tokens into URLs. Use response_type=code with PKCE.")
	}
	return oauth.Refuse("response-type-unknown", oauth.UnsupportedResponseType, "The server does not know this response_type. Use response_type=code.")
}

func (s *Server) checkCodeGrant(a *authorization) error {
	if !a.client.MayUse(gatehouse.GrantAuthorizationCode) {
		return oauth.Refuse("authorize-not-registered", oauth.UnauthorizedClient, "The client is not registered for the authorization_code grant.")
	}
	return nil
}

// checkScope settles the scope and the audiences (RFC 6749 §3.3, RFC 8707).
func (s *Server) checkScope(a *authorization) error {
	audiences, err := s.audiences(a.Context(), a.Tenant, a.client)
	if err != nil {
		return err
	}
	requested, err := oauth.ParseScope(a.form.Get("scope"))
	if err != nil {
		return err
	}
	registered := a.client.Scopes()
	scope := audiences.understood(requested)
	if !a.client.MayUse(gatehouse.GrantRefreshToken) || !registered.Has("offline_access") {
		scope = scope.Without(oauth.Scope{"offline_access"}) // ignored: real clients ask for it in any case
	}
	switch {
	case len(requested) == 0: // RFC 6749 §3.3: a default
		scope = audiences.understood(registered.Without(gatehouse.IdentityScopes)) // but no form of a scope
	case len(scope) == 0:
		return oauth.Refuse("scope-unknown", oauth.InvalidScope, "The server knows none of the requested scopes.")
	case !registered.AdmitsAll(scope):
		return oauth.Refuse("scope-not-registered", oauth.InvalidScope, "The client is not registered for every scope that it asks for.")
	}
	if a.in.Resources, err = audiences.requested(a.form.Resources()); err != nil {
		return err
	}
	if len(a.in.Resources) == 0 {
		a.in.Resources = audiences.implied(scope)
	}
	a.in.Scope = audiences.within(scope, a.in.Resources)
	return nil
}

// checkChallenge demands PKCE with S256 (RFC 9700 §2.1.1, RFC 7636 §4.3).
func (s *Server) checkChallenge(a *authorization) error {
	challenge, method := a.form.Get("code_challenge"), a.form.Get("code_challenge_method")
	switch {
	case challenge == "" && method == "" && !a.client.RequiresPKCE():
		return nil
	case challenge == "":
		return oauth.Refuse("pkce-missing", oauth.InvalidRequest, "The code_challenge parameter is missing. Use PKCE with code_challenge_method=S256.")
	case method != oauth.ChallengeMethodS256: // an absent method means plain, RFC 7636 §4.3
		return oauth.Refuse("pkce-method", oauth.InvalidRequest, "The code_challenge_method must be S256. The method plain shows the verifier to whoever sees the request.")
	case !oauth.ValidChallenge(challenge):
		return oauth.Refuse("pkce-challenge-malformed", oauth.InvalidRequest, "The code_challenge must be the unpadded base64url of a SHA-256 digest, 43 characters.")
	}
	a.in.CodeChallenge = challenge
	return nil
}

// promptValues of OpenID Connect Core §3.1.2.1.
var promptValues = []string{"none", "login", "consent", "select_account"}

func (s *Server) checkPrompt(a *authorization) error {
	prompts := strings.Fields(a.form.Get("prompt"))
	for _, prompt := range prompts {
		if !slices.Contains(promptValues, prompt) {
			return oauth.Refuse("prompt-unknown", oauth.InvalidRequest, "The prompt parameter may have none, login, consent and select_account.")
		}
	}
	if len(prompts) > 1 && slices.Contains(prompts, "none") { // OpenID Connect Core §3.1.2.1
		return oauth.Refuse("prompt-none-alone", oauth.InvalidRequest, "prompt=none cannot be combined with other values.")
	}
	a.in.Prompt = prompts
	return nil
}

func (s *Server) checkMaxAge(a *authorization) error {
	text := a.form.Get("max_age")
	if text == "" {
		a.in.MaxAge = a.client.DefaultMaxAge
		return nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return oauth.Refuse("max-age-malformed", oauth.InvalidRequest, "The max_age parameter must be a number of seconds.")
	}
	age := int(seconds)
	a.in.MaxAge = &age
	return nil
}

// checkHint reads id_token_hint: it never signs anyone in, it only says whose
// session the client expects (OpenID Connect Core §3.1.2.1).
func (s *Server) checkHint(a *authorization) error {
	text := a.form.Get("id_token_hint")
	if text == "" {
		return nil
	}
	hint, valid := s.openHint(a.Context(), a.Tenant, text)
	if !valid || !slices.Contains(hint.Audience, a.client.ID) {
		return oauth.Refuse("id-token-hint-invalid", oauth.InvalidRequest, "The id_token_hint is not an ID token that this server issued to this client.")
	}
	a.in.HintSubject = hint.Subject
	return nil
}

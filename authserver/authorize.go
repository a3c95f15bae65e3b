package authserver

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/url"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/oauth"
)

type authorizeStore interface {
	Session(ctx context.Context, tenant gatehouse.TenantID, hash [32]byte, idle time.Duration) (gatehouse.Session, bool, error)
	Consent(ctx context.Context, tenant gatehouse.TenantID, subject, clientID string) ([]gatehouse.Consent, error)
	KnownSession(tenant gatehouse.TenantID, hash [32]byte, idle time.Duration) (gatehouse.Session, bool)
	KnownConsent(tenant gatehouse.TenantID, subject, clientID string) ([]gatehouse.Consent, bool)
	IssueCode(ctx context.Context, tenant gatehouse.TenantID, issue gatehouse.CodeIssue) (gatehouse.CodeIssued, error)
	AppendEvent(ctx context.Context, tenant gatehouse.TenantID, event gatehouse.Event) error
}

// serveAuthorize is the authorization endpoint (RFC 6749 §3.1). A request is
// checked once, becomes an interaction, and is decided on as often as the
// browser comes back with it: from a POST, from the login page.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *endpoint.Request) error {
	if r.Method == http.MethodPost {
		return s.postAuthorize(w, r)
	}
	form, err := oauth.ParseForm(r.URL.RawQuery)
	if err != nil {
		return err
	}
	var in interaction.Interaction
	switch {
	case form.Has("client_id"): // whatever else it has, "i" and "posted" are unknown parameters of it
		in, err = s.checkAuthorization(r, form)
	case form.Has("i"):
		in, err = s.Box.Open(r, form.Get("i"), interaction.StageResume)
	case form.Has("posted"):
		in, err = s.Box.Open(r, form.Get("posted"), interaction.StagePosted)
	default:
		in, err = s.checkAuthorization(r, form)
	}
	if err != nil {
		return s.orStartAgain(r, in, err)
	}
	if in.Stage != interaction.StageResume {
		s.Box.Bind(w, r, &in)
	}
	return s.decide(w, r, in)
}

// orStartAgain has the page of a refusal say where to begin anew, if the
// refused interaction tells its client.
func (s *Server) orStartAgain(r *endpoint.Request, in interaction.Interaction, refusal error) error {
	if in.ClientID == "" {
		return refusal
	}
	client, found, err := s.Store.Client(r.Context(), r.Tenant.ID, in.ClientID)
	if err == nil && found && !client.Disabled() {
		r.Restart = client.StartAgain(r.Tenant.Issuer)
	}
	return refusal
}

// postAuthorize checks and seals a request that came by POST and sends the
// browser back with a GET: a POST from another site carries no Lax cookie, so
// the session could not be seen here.
func (s *Server) postAuthorize(w http.ResponseWriter, r *endpoint.Request) error {
	form, err := oauth.ReadForm(r.Request)
	if err != nil {
		return err
	}
	in, err := s.checkAuthorization(r, form)
	if err != nil {
		return err
	}
	in.Stage = interaction.StagePosted
	sealed, err := s.Box.Seal(r, in)
	if err != nil {
		return err
	}
	seeOther(w, r.Path("/authorize")+"?posted="+sealed)
	return nil
}

// decide takes an interaction to its next step: sign in, consent, or the
// answer.
func (s *Server) decide(w http.ResponseWriter, r *endpoint.Request, in interaction.Interaction) error {
	client, err := s.clientOf(r, in)
	if err != nil {
		return err
	}
	s.answerRefusals(r, client, in)
	if issued, err := s.issueAtOnce(w, r, client, in); issued || err != nil {
		return err
	}
	session, alive, err := s.session(r)
	if err != nil {
		return err
	}
	holds := false
	if alive {
		if holds, err = s.loginHolds(r, in, session); err != nil {
			return err
		}
	}
	if !holds {
		newlySignedIn := alive && !session.AuthTime.Before(in.Start)
		if in.Prompts("none") || newlySignedIn && in.HintSubject != "" { // OpenID Connect Core §3.1.2.6
			return oauth.Refuse("login-required", oauth.LoginRequired, "The user is not signed in as the request asks: prompt=none forbids asking, or another user signed in than the id_token_hint names.")
		}
		return s.step(w, r, in, interaction.StageLogin, "/login")
	}
	if in.ACREssential && !slices.Contains(in.ACRValues, session.ACR) { // OpenID Connect Core §5.5.1.1
		return acrUnmet()
	}
	in.Session, in.Subject = session.ID, session.Subject
	ask, relied, err := s.mustAsk(r, client, in, s.consents)
	if err != nil {
		return err
	}
	if ask {
		return s.askConsent(w, r, in)
	}
	return s.issueCode(w, r, client, in, session, gatehouse.CodeIssue{ReliesOn: relied})
}

// issueAtOnce answers with a code if nothing has to be asked by what is known of
// the session and the consents. They may be out of date, but the act that issues
// the code looks at them; whatever else comes of it is decided by decide anew.
func (s *Server) issueAtOnce(w http.ResponseWriter, r *endpoint.Request, client gatehouse.Client, in interaction.Interaction) (issued bool, err error) {
	hash, given := s.sessionHash(r)
	if !given {
		return false, nil
	}
	session, known := s.Store.KnownSession(r.Tenant.ID, hash, r.Tenant.Settings.SessionIdleLifetime.Std())
	if !known || in.ACREssential && !slices.Contains(in.ACRValues, session.ACR) {
		return false, nil
	}
	if holds, err := s.loginHolds(r, in, session); !holds || err != nil {
		return false, err
	}
	in.Session, in.Subject = session.ID, session.Subject
	ask, relied, err := s.mustAsk(r, client, in, s.knownConsents)
	if ask || err != nil {
		return false, err
	}
	issue, secret := s.birth(r, in, session)
	issue.ReliesOn = relied
	outcome, err := s.Store.IssueCode(r.Context(), r.Tenant.ID, issue)
	if err != nil || outcome.Outcome != gatehouse.CodeAccepted {
		return false, err
	}
	s.respondCode(w, r, client, in, issue.Grant, secret)
	return true, nil
}

// consents and knownConsents are where mustAsk has what the user allows the client from. What is not known is
// as if it were not allowed.
func (s *Server) consents(r *endpoint.Request, subject, clientID string) ([]gatehouse.Consent, error) {
	return s.Store.Consent(r.Context(), r.Tenant.ID, subject, clientID)
}

func (s *Server) knownConsents(r *endpoint.Request, subject, clientID string) ([]gatehouse.Consent, error) {
	consents, _ := s.Store.KnownConsent(r.Tenant.ID, subject, clientID)
	return consents, nil
}

func (s *Server) askConsent(w http.ResponseWriter, r *endpoint.Request, in interaction.Interaction) error {
	if in.Prompts("none") {
		return oauth.Refuse("consent-required", oauth.ConsentRequired, "The user has to be asked for consent, and prompt=none forbids asking.")
	}
	return s.step(w, r, in, interaction.StageConsent, "/consent")
}

// clientOf reads the client of an interaction anew: it may have been disabled
// since the request was checked.
func (s *Server) clientOf(r *endpoint.Request, in interaction.Interaction) (gatehouse.Client, error) {
	r.Note("client_id", in.ClientID)
	client, found, err := s.Store.Client(r.Context(), r.Tenant.ID, in.ClientID)
	if err != nil {
		return gatehouse.Client{}, err
	}
	may := false
	if found && !client.Disabled() {
		may, err = s.registered(r.Context(), client.RedirectURIs, in.RedirectURI, client)
	}
	if err != nil || !may {
		return gatehouse.Client{}, orRefuse(err, clientUnknown())
	}
	r.Restart = client.StartAgain(r.Tenant.Issuer)
	return client, nil
}

// registered says whether a URI is one of the client's registered ones and
// not on a host of an issuer, which the free port of a loopback address could
// reach, or a tenant may have been given since: a page of ours must never
// receive another's code.
func (s *Server) registered(ctx context.Context, uris []string, uri string, client gatehouse.Client) (bool, error) {
	if !oauth.MatchRedirectURI(uris, uri, client.RedirectRules()) {
		return false, nil
	}
	ours, err := s.Hosts.OnIssuerHost(ctx, uri)
	return !ours && err == nil, err
}

// session returns the live session of the request's browser.
func (s *Server) session(r *endpoint.Request) (gatehouse.Session, bool, error) {
	hash, given := s.sessionHash(r)
	if !given {
		return gatehouse.Session{}, false, nil
	}
	return s.Store.Session(r.Context(), r.Tenant.ID, hash, r.Tenant.Settings.SessionIdleLifetime.Std())
}

// sessionHash returns the hash under which the session of the request's cookie
// is kept, if it has one.
func (s *Server) sessionHash(r *endpoint.Request) (hash [32]byte, given bool) {
	value := s.Box.Session(r)
	return sha256.Sum256([]byte(value)), value != ""
}

// loginHolds says whether the session satisfies what the request asks of the
// sign-in (OpenID Connect Core §3.1.2.1).
func (s *Server) loginHolds(r *endpoint.Request, in interaction.Interaction, session gatehouse.Session) (bool, error) {
	if in.Prompts("select_account") && in.Session != session.ID && session.AuthTime.Before(in.Start) || !in.Accepts(session) {
		return false, nil
	}
	return s.Expects(r, in, session.Subject)
}

// mustAsk says whether the consent page has to be shown, or on which remembered
// consents it is that it has not.
func (s *Server) mustAsk(r *endpoint.Request, client gatehouse.Client, in interaction.Interaction,
	consents func(r *endpoint.Request, subject, clientID string) ([]gatehouse.Consent, error)) (ask bool, relied []gatehouse.Consent, err error) {
	switch {
	case in.Prompts("consent") || client.AlwaysAsks(in.RedirectURI):
		return true, nil, nil
	case client.SkipConsent:
		return false, nil, nil
	}
	remembered, err := consents(r, in.Subject, client.ID)
	if err != nil {
		return false, nil, err
	}
	parts, err := s.consentParts(r, client, in)
	if err != nil {
		return false, nil, err
	}
	for _, part := range parts {
		if !consented(remembered, part) {
			return true, nil, nil
		}
	}
	return false, parts, nil
}

func consented(remembered []gatehouse.Consent, part gatehouse.Consent) bool {
	for _, consent := range remembered {
		if consent.Resource == part.Resource {
			return oauth.Scope(consent.Scope).Covers(part.Scope)
		}
	}
	return false
}

// consentParts divides what is asked by the resource it is asked for; "" has
// the scopes of OpenID Connect and stands for the sign-in itself.
func (s *Server) consentParts(r *endpoint.Request, client gatehouse.Client, in interaction.Interaction) ([]gatehouse.Consent, error) {
	audiences, err := s.audiences(r.Context(), r.Tenant, client)
	if err != nil {
		return nil, err
	}
	parts := []gatehouse.Consent{{Subject: in.Subject, ClientID: client.ID, Scope: in.Scope.Union(in.Claims.Scope(r.Tenant.Settings)).Intersect(gatehouse.IdentityScopes)}}
	for _, identifier := range in.Resources {
		resource, _ := audiences.resource(identifier)
		if scope := in.Scope.Keep(resource.Admits); len(scope) > 0 {
			parts = append(parts, gatehouse.Consent{Subject: in.Subject, ClientID: client.ID, Resource: resource.Identifier, Scope: scope})
		}
	}
	return parts, nil
}

// step seals the interaction for the next page and sends the browser there.
func (s *Server) step(w http.ResponseWriter, r *endpoint.Request, in interaction.Interaction, stage interaction.Stage, path string) error {
	in.Stage = stage
	sealed, err := s.Box.Seal(r, in)
	if err != nil {
		return err
	}
	seeOther(w, r.Path(path)+"?i="+url.QueryEscape(sealed))
	return nil
}

// seeOther redirects with 303, which never repeats a POST's body at the
// target (RFC 9700 §4.12).
func seeOther(w http.ResponseWriter, location string) {
	oauth.NoStore(w.Header())
	w.Header().Set("Location", location)
	w.Header().Set("Vary", "Cookie")
	w.Header().Set("Referrer-Policy", "strict-origin-when-cross-origin")
	w.WriteHeader(http.StatusSeeOther)
}

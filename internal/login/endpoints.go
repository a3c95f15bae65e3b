package login

import (
	"context"
	"crypto/sha256"
	"net/http"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/oauth"
)

// store is all that the rows ask of storage. Each part is declared above the
// functions that use it.
type store interface {
	clientStore
	resourceStore
	accountStore
	sessionStore
	ownerStore
}

// Config is what Endpoints stand on.
type Config struct {
	Pages *Pages
	Store store
	// Flow carries out what the consent page decides.
	Flow flow
	// Passwords checks passwords in slots of their own.
	Passwords passwords
	// Counters keep failed attempts; losing them forgives them.
	Counters counters
	// Leases have servers limit the failures of an address together; nil has this
	// one do so for itself.
	Leases *endpoint.Leases
	// Places names where addresses are; the account page shows the addresses
	// themselves when nil.
	Places places
}

// Endpoints are the rows behind the pages. They are safe for concurrent use.
type Endpoints struct {
	Config
	box      *interaction.Box
	throttle throttle
	// failures are wrong names and passwords by the network they come from.
	failures *endpoint.Limiter
	// shares are of what there is to check passwords, by network.
	shares *shares
}

// New makes Endpoints.
func New(config Config) *Endpoints {
	box := config.Pages.box
	return &Endpoints{Config: config, box: box, throttle: newThrottle(config.Counters, box.Now), failures: config.Leases.Limiter("login", box.Now), shares: newShares()}
}

// Rows returns the endpoint table.
func (e *Endpoints) Rows() []endpoint.Row {
	get, post := []string{http.MethodGet}, []string{http.MethodPost}
	page := e.Pages.Error
	return []endpoint.Row{
		{Name: "login", Path: "/login", Methods: get, Caller: endpoint.Browser, Serve: e.showSignIn, Errors: page},
		{Name: "login", Path: "/login", Methods: post, Caller: endpoint.Browser, Serve: e.signIn, Errors: e.signInErrors},
		{Name: "consent", Path: "/consent", Methods: get, Caller: endpoint.Browser, Serve: e.showConsent, Errors: page},
		{Name: "consent", Path: "/consent", Methods: post, Caller: endpoint.Browser, Serve: e.decide, Errors: page},
		{Name: "logout-confirm", Path: "/logout/confirm", Methods: get, Caller: endpoint.Browser, Serve: e.showSignOut, Errors: page},
		{Name: "logout-confirm", Path: "/logout/confirm", Methods: post, Caller: endpoint.Browser, Serve: e.signOut, Errors: page},
		{Name: "account", Path: "/account", Methods: get, Caller: endpoint.Browser, Serve: e.showAccount, Errors: page},
		{Name: "account-sessions", Path: "/account/sessions", Methods: post, Caller: endpoint.Browser, Serve: e.endSessions, Errors: page},
		{Name: "account-permissions", Path: "/account/permissions", Methods: post, Caller: endpoint.Browser, Serve: e.withdraw, Errors: page},
		{Name: "account-password", Path: "/account/password", Methods: post, Caller: endpoint.Browser, Serve: e.changePassword, Errors: e.passwordErrors},
		lookRow(),
		e.Pages.style.row(),
		e.Pages.mark.row(),
	}
}

type clientStore interface {
	Client(ctx context.Context, tenant gatehouse.TenantID, id string) (gatehouse.Client, bool, error)
}

// open returns the interaction of a page of this browser, and its client.
func (e *Endpoints) open(r *endpoint.Request, form oauth.Form, stage interaction.Stage) (interaction.Interaction, gatehouse.Client, error) {
	in, err := e.box.Open(r, form.Get("i"), stage)
	if err != nil && in.ClientID == "" {
		return interaction.Interaction{}, gatehouse.Client{}, err
	}
	r.Note("client_id", in.ClientID)
	client, found, fault := e.Store.Client(r.Context(), r.Tenant.ID, in.ClientID)
	if fault != nil {
		return interaction.Interaction{}, gatehouse.Client{}, fault
	}
	if found && !client.Disabled() {
		r.Restart = client.StartAgain(r.Tenant.Issuer)
	}
	if err != nil {
		return interaction.Interaction{}, gatehouse.Client{}, err
	}
	if !found || client.Disabled() {
		return interaction.Interaction{}, gatehouse.Client{}, oauth.Refuse("login-client-gone", oauth.UnauthorizedClient,
			"The application that started this sign-in is no longer registered here.")
	}
	return in, client, nil
}

// sameOrigin refuses a form that another site's page has sent.
func sameOrigin(r *endpoint.Request) error {
	if interaction.SameOrigin(r) {
		return nil
	}
	return oauth.Refuse("login-cross-site", oauth.AccessDenied,
		"This form was sent by another site than this one. Go back to the application and start again.").WithStatus(http.StatusForbidden)
}

// genuine refuses a form whose token was not made for this browser, this kind
// of form and this interaction.
func (e *Endpoints) genuine(r *endpoint.Request, form oauth.Form, purpose string, in interaction.Interaction) error {
	if e.box.CheckFormToken(r, form.Get("csrf"), purpose, in) {
		return nil
	}
	return oauth.Refuse("login-form-token", oauth.AccessDenied,
		"This form does not belong to this browser, or its cookies are gone. Reload the page and try again.").WithStatus(http.StatusForbidden)
}

// sessionHash is how a session cookie's value is known to the store.
func sessionHash(value string) [32]byte { return sha256.Sum256([]byte(value)) }

// signedIn is a live session of the browser and its user.
type signedIn struct {
	gatehouse.Session
	User gatehouse.User
}

// current returns who is signed in. A cookie of a session that has ended is
// taken away.
func (e *Endpoints) current(w http.ResponseWriter, r *endpoint.Request) (signedIn, bool, error) {
	value := e.box.Session(r)
	if value == "" {
		return signedIn{}, false, nil
	}
	ctx, tenant := r.Context(), r.Tenant
	session, found, err := e.Store.Session(ctx, tenant.ID, sessionHash(value), tenant.Settings.SessionIdleLifetime.Std())
	if err != nil {
		return signedIn{}, false, err
	}
	if found {
		var user gatehouse.User
		if user, found, err = e.Store.User(ctx, tenant.ID, session.Subject); err != nil {
			return signedIn{}, false, err
		}
		if found {
			return signedIn{session, user}, true, nil
		}
	}
	e.box.ClearSession(w, r)
	return signedIn{}, false, nil
}

// person is how pages name a user to that user.
func person(user gatehouse.User) string {
	name := displayed(user.DisplayName())
	if name == displayed(user.Username) {
		return name
	}
	return name + " (" + displayed(user.Username) + ")"
}

// onward is where a sign-in leads: back to the authorization endpoint, which
// decides again what is missing, or to the account page. It names nothing
// that came from outside.
func (e *Endpoints) onward(r *endpoint.Request, in interaction.Interaction) (location string, err error) {
	if in.Stage == interaction.StageAccount {
		return r.Path("/account"), nil
	}
	in.Stage = interaction.StageResume
	i, err := e.box.Seal(r, in)
	return r.Path("/authorize") + "?i=" + i, err
}

// seeOther sends the browser on to a page of ours.
func seeOther(w http.ResponseWriter, location string) {
	h := w.Header()
	h.Set("Location", location)
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Cookie")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	w.WriteHeader(http.StatusSeeOther) // RFC 9700 §4.12: never 307 after a form with a password
}

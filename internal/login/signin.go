package login

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/internal/secret"
	"gatehouse/oauth"
)

// signInForm is the purpose of the form token of the sign-in page.
const signInForm = "login"

// maxNameLength bounds what the name field of the form takes, in characters.
const maxNameLength = 256

type accountStore interface {
	// UserByLogin finds a user by the username's or e-mail address's
	// gatehouse.LoginKey.
	UserByLogin(ctx context.Context, tenant gatehouse.TenantID, loginKey string) (gatehouse.User, bool, error)
	User(ctx context.Context, tenant gatehouse.TenantID, subject string) (gatehouse.User, bool, error)
	Rehash(ctx context.Context, tenant gatehouse.TenantID, subject, oldPHC, newPHC string) error
	CountFailedLogin(ctx context.Context, tenant gatehouse.TenantID, subject, accountKey string, by gatehouse.Circumstance) error
}

type sessionStore interface {
	// Session returns the live session whose cookie has the hash.
	Session(ctx context.Context, tenant gatehouse.TenantID, hash [32]byte, idle time.Duration) (gatehouse.Session, bool, error)
	// CreateSession says false when the user was disabled, or the password
	// changed after the session's AuthTime.
	CreateSession(ctx context.Context, tenant gatehouse.TenantID, hash [32]byte, session gatehouse.Session, replaces *[32]byte, by gatehouse.Circumstance) (bool, error)
	EndSession(ctx context.Context, tenant gatehouse.TenantID, sessionID string, reason gatehouse.EndReason, by gatehouse.Circumstance) (bool, error)
}

// passwords checks passwords, in a bounded number of slots. Its errors are
// secret.ErrBusy or faults.
type passwords interface {
	Verify(ctx context.Context, phc, password string) (ok, rehash bool, err error)
	VerifyDummy(ctx context.Context, password string) error
	Hash(ctx context.Context, password string) (phc string, err error)
}

type signInView struct {
	frame
	Client                 clientView
	Action, Token, Name    string
	Parameter, Interaction string // the sealed interaction and what it is called
	MaxName                int
	// Why is a sentence about {client} that says why to sign in.
	Why        string
	ContinueAs *continueView
	// Message says why the form is shown again; Invalid, that the fields are
	// to blame.
	Message string
	Invalid bool
}

type continueView struct{ Name, Session string }

// formAgain is the cause of a refusal that shows the form again.
type formAgain struct {
	view signInView
	may  policy
}

func (*formAgain) Error() string { return "the sign-in form was shown again" }

func (e *Endpoints) signInErrors(w http.ResponseWriter, r *endpoint.Request, refusal *oauth.Error) {
	again, ok := errors.AsType[*formAgain](refusal.Cause)
	if !ok {
		e.Pages.Error(w, r, refusal)
		return
	}
	retryAfter(w, refusal.RetryAfter)
	e.Pages.show(w, r, refusal.Status, "signin", again.view, again.may)
}

func (e *Endpoints) showSignIn(w http.ResponseWriter, r *endpoint.Request) error {
	query, err := oauth.ParseForm(r.URL.RawQuery)
	if err != nil {
		return err
	}
	purpose, err := e.openSignIn(r, query)
	if err != nil {
		return e.againForAccount(w, r, query, err)
	}
	page, err := e.signInPage(w, r, purpose)
	if err != nil {
		return err
	}
	e.Pages.show(w, r, http.StatusOK, "signin", page.view, page.may)
	return nil
}

// signInPurpose is what a sign-in is for: a client's request, or the person's
// own account page.
type signInPurpose struct {
	in     interaction.Interaction
	client gatehouse.Client // none for the account page
	// parameter has the interaction in its sealed form.
	parameter, sealed string
}

func (p signInPurpose) ownAccount() bool { return p.in.Stage == interaction.StageAccount }

func (e *Endpoints) openSignIn(r *endpoint.Request, form oauth.Form) (p signInPurpose, err error) {
	if form.Has(accountParameter) {
		p.parameter, p.sealed = accountParameter, form.Get(accountParameter)
		p.in, err = e.box.Open(r, p.sealed, interaction.StageAccount)
		return p, err
	}
	p.parameter, p.sealed = "i", form.Get("i")
	p.in, p.client, err = e.open(r, form, interaction.StageLogin)
	return p, err
}

// signInPage prepares the sign-in page.
func (e *Endpoints) signInPage(w http.ResponseWriter, r *endpoint.Request, p signInPurpose) (*formAgain, error) {
	in := p.in
	view := signInView{
		frame: e.Pages.frameIn(r, "", in.UILocales), Action: r.Path("/login"), Parameter: p.parameter, Interaction: p.sealed,
		Token: e.box.FormToken(r, e.box.Binding(r), signInForm, in), MaxName: maxNameLength,
	}
	if p.ownAccount() {
		view.Why = view.T.SignInAccount
	} else {
		view.Client, view.Why = viewOf(p.client), view.T.SignInFor
	}
	if len(in.LoginHint) <= maxNameLength {
		view.Name = displayed(in.LoginHint)
	}
	someone, found, err := e.current(w, r)
	if err != nil {
		return nil, err
	}
	expected := false
	if found {
		if expected, err = e.Flow.Expects(r, in, someone.Subject); err != nil {
			return nil, err
		}
	}
	switch {
	case found && expected && in.Accepts(someone.Session):
		view.ContinueAs = &continueView{person(someone.User), someone.ID}
	case found && !expected:
		view.Why = view.T.SignInOther
	case found:
		view.Why = view.T.SignInAgain
		if view.Name == "" {
			view.Name = someone.User.Username
		}
	}
	return &formAgain{view, policyFor(p.client, in.RedirectURI)}, nil
}

func (e *Endpoints) signIn(w http.ResponseWriter, r *endpoint.Request) error {
	began := e.box.Now()
	if err := sameOrigin(r); err != nil {
		return err
	}
	form, err := oauth.ReadForm(r.Request)
	if err != nil {
		return err
	}
	purpose, err := e.openSignIn(r, form)
	if err != nil {
		return e.againForAccount(w, r, form, err)
	}
	if err := e.genuine(r, form, signInForm, purpose.in); err != nil {
		return err
	}
	again := func() (*formAgain, error) { return e.signInPage(w, r, purpose) }
	if form.Get("action") == "continue" {
		return e.continueAs(w, r, purpose.in, form.Get("session"), again)
	}
	attempt := attempt{name: form.Get("username"), password: form.Get("password"), in: purpose.in, began: began, again: again}
	return e.checkPassword(w, r, attempt)
}

// continueAs goes on with the session that the page showed.
func (e *Endpoints) continueAs(w http.ResponseWriter, r *endpoint.Request, in interaction.Interaction, sid string, again func() (*formAgain, error)) error {
	someone, found, err := e.current(w, r)
	if err != nil {
		return err
	}
	expected := false
	if found {
		if expected, err = e.Flow.Expects(r, in, someone.Subject); err != nil {
			return err
		}
	}
	if !expected || someone.ID != sid || !in.Accepts(someone.Session) {
		page, err := again()
		if err != nil {
			return err
		}
		page.view.Message = page.view.T.SessionChanged
		return oauth.Refuse("login-session-changed", oauth.LoginRequired,
			"The session that the page offered is not the browser's session any more.").WithStatus(http.StatusUnprocessableEntity).Because(page)
	}
	in.Session = sid
	location, err := e.onward(r, in)
	if err != nil {
		return err
	}
	seeOther(w, location)
	return nil
}

// attempt is one sign-in with a password.
type attempt struct {
	name, password string
	in             interaction.Interaction
	// began is when the request arrived: a password that was changed after
	// it does not count any more.
	began time.Time
	again func() (*formAgain, error)
}

// refuse shows the form again. All that was wrong with name or password has
// one answer, whoever has the name.
func (a attempt) refuse(refusal *oauth.Error, message func(*texts) string, invalid bool) error {
	page, err := a.again()
	if err != nil {
		return err
	}
	page.view.Name, page.view.Message, page.view.Invalid = a.name, message(page.view.T), invalid
	return refusal.Because(page)
}

// busyWait is what a caller is told when all slots for passwords are taken.
const busyWait = 2 * time.Second

func (e *Endpoints) checkPassword(w http.ResponseWriter, r *endpoint.Request, a attempt) error {
	if gatehouse.LoginKey(a.name) == "" || a.password == "" {
		return a.refuse(oauth.Refuse("login-field-missing", oauth.InvalidRequest,
			"Name and password are both needed.").WithStatus(http.StatusUnprocessableEntity), func(t *texts) string { return t.MissingField }, true)
	}
	ctx, tenant := r.Context(), r.Tenant
	user, found, err := e.Store.UserByLogin(ctx, tenant.ID, gatehouse.LoginKey(a.name))
	if err != nil {
		return err
	}
	ring := e.box.Keys.MACRing(tenant.ID, "login account")
	who := accountOf(ring, user, found, a.name)
	gates, known, tooMany, err := e.attempted(r, ring, who)
	if err != nil {
		return err
	}
	if tooMany != nil {
		return a.refuse(tooMany, func(t *texts) string { return waiting(t, t.TooManyAttempts, tooMany.RetryAfter) }, false)
	}
	right, outdated, err := e.verifyInShare(r, known, user, found, a.password)
	usedUp := errors.Is(err, errShareUsedUp)
	if usedUp || errors.Is(err, secret.ErrBusy) {
		if err := e.throttle.giveBack(ctx, gates, tenant.Settings.Throttle); err != nil {
			return err
		}
		if usedUp {
			return a.refuse(addressLimited(busyWait), func(t *texts) string { return waiting(t, t.TooManyAttempts, busyWait) }, false)
		}
		return a.refuse(oauth.Refuse("login-busy", oauth.TemporarilyUnavailable,
			"Too many passwords are being checked at once.").After(busyWait), func(t *texts) string { return waiting(t, t.Busy, busyWait) }, false)
	}
	if err != nil {
		return err
	}
	if right {
		if right, err = e.establish(w, r, a, user, gates, outdated); err != nil || right {
			return err
		}
	}
	if err := e.failed(r, who); err != nil {
		return err
	}
	return a.refuse(oauth.Refuse("login-wrong", oauth.AccessDenied,
		"Name and password do not belong together.").WithStatus(http.StatusUnprocessableEntity), func(t *texts) string { return t.WrongPassword }, true)
}

// errShareUsedUp says that the network has as many passwords checked already as
// it may at once.
var errShareUsedUp = errors.New("the network's share of password checks is used up")

// verifyInShare is verify within the share of the network. A device that the
// account knows needs none.
func (e *Endpoints) verifyInShare(r *endpoint.Request, known bool, user gatehouse.User, found bool, password string) (right, outdated bool, err error) {
	if !known {
		network := endpoint.Network(r.Request)
		if !e.shares.enter(network) {
			return false, false, errShareUsedUp
		}
		defer e.shares.leave(network)
	}
	return e.verify(r.Context(), user, found, password)
}

// verify takes the same time for a name that nobody has, for a user without a
// password and for a disabled one as for a wrong password.
func (e *Endpoints) verify(ctx context.Context, user gatehouse.User, found bool, password string) (right, outdated bool, err error) {
	if !found || user.PasswordHash == "" || user.Disabled() {
		return false, false, e.Passwords.VerifyDummy(ctx, password)
	}
	return e.Passwords.Verify(ctx, user.PasswordHash, password)
}

// establish signs the user in: a session of a new id, and on with the
// interaction. It says false when the store refuses the session because the
// user is no longer the one whose password was right.
func (e *Endpoints) establish(w http.ResponseWriter, r *endpoint.Request, a attempt, user gatehouse.User, gates []gate, outdated bool) (bool, error) {
	ctx, tenant := r.Context(), r.Tenant
	if outdated {
		if err := e.rehash(ctx, tenant.ID, user, a.password); err != nil {
			return false, err
		}
	}
	if err := e.throttle.forgive(ctx, gates); err != nil {
		return false, err
	}
	by := r.Circumstance()
	_, known := e.knownDevice(r, user.Subject)
	by.NewDevice = !known
	session := e.newSession(r, user.Subject, a.began)
	in := a.in
	in.Session = session.ID
	location, err := e.onward(r, in)
	if err != nil {
		return false, err
	}
	var replaces *[32]byte
	if old := e.box.Session(r); old != "" {
		hash := sessionHash(old)
		replaces = &hash
	}
	value := interaction.NewCookieValue()
	created, err := e.Store.CreateSession(ctx, tenant.ID, sessionHash(value), session, replaces, by)
	if err != nil || !created {
		return false, err
	}
	e.box.SetSession(w, r, value)
	e.rememberDevice(w, r, user.Subject)
	seeOther(w, location)
	return true, nil
}

// newSession is a session of this browser, of a new id, after a password was
// verified.
func (e *Endpoints) newSession(r *endpoint.Request, subject string, authTime time.Time) gatehouse.Session {
	by, now := r.Circumstance(), e.box.Now()
	return gatehouse.Session{
		ID: rand.Text(), Subject: subject, AuthTime: authTime, AMR: []string{"pwd"}, ACR: gatehouse.ACRPassword, // RFC 8176 §2
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(r.Tenant.Settings.SessionAbsoluteLifetime.Std()),
		Address: by.Address, UserAgent: by.UserAgent,
	}
}

// rehash keeps the password under the costs of new hashes. When all slots are
// taken, the next sign-in will do it.
func (e *Endpoints) rehash(ctx context.Context, tenant gatehouse.TenantID, user gatehouse.User, password string) error {
	phc, err := e.Passwords.Hash(ctx, password)
	if errors.Is(err, secret.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.Store.Rehash(ctx, tenant, user.Subject, user.PasswordHash, phc)
}

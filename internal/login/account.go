package login

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/oauth"
)

// accountParameter carries the sealed interaction of a sign-in for the account
// page, as "i" does for a client's.
const accountParameter = "account"

// ownerStore is what a person sees and changes of what is their own. Each
// method names the subject: an id in a form reaches nobody else's.
type ownerStore interface {
	UserSessions(ctx context.Context, tenant gatehouse.TenantID, subject string, idle time.Duration) ([]gatehouse.Session, error)
	EndUserSession(ctx context.Context, tenant gatehouse.TenantID, subject, sessionID string, by gatehouse.Circumstance) (bool, error)
	EndOtherSessions(ctx context.Context, tenant gatehouse.TenantID, subject, keep string, by gatehouse.Circumstance) (int, error)
	Allowances(ctx context.Context, tenant gatehouse.TenantID, subject string) ([]gatehouse.Allowance, error)
	WithdrawConsent(ctx context.Context, tenant gatehouse.TenantID, subject, clientID string, by gatehouse.Circumstance) (bool, error)
	SecurityEvents(ctx context.Context, tenant gatehouse.TenantID, subject string, since time.Time, limit int) ([]gatehouse.Event, error)
	ChangePassword(ctx context.Context, tenant gatehouse.TenantID, change gatehouse.PasswordChange) (bool, error)
}

// The forms of the account page, as purposes of their tokens. A token is good
// for one user: a page that was drawn for another does nothing.
const (
	sessionsForm    = "account sessions "
	permissionsForm = "account permissions "
	passwordForm    = "account password "
	noticeForm      = "account notice "
)

// startAccount sends a browser without a session to the sign-in page, which
// brings it back here and nowhere else.
func (e *Endpoints) startAccount(w http.ResponseWriter, r *endpoint.Request) error {
	in := interaction.New(e.box.Now())
	in.Stage = interaction.StageAccount
	e.box.Bind(w, r, &in)
	sealed, err := e.box.Seal(r, in)
	if err != nil {
		return err
	}
	seeOther(w, r.Path("/login")+"?"+accountParameter+"="+sealed)
	return nil
}

// againForAccount has a sign-in for the account page that is too old, or was
// never ours, begin anew: there is no application to which to go back. A
// browser that keeps no cookies is told so.
func (e *Endpoints) againForAccount(w http.ResponseWriter, r *endpoint.Request, form oauth.Form, err error) error {
	refusal := oauth.AsError(err)
	if form.Has(accountParameter) && (refusal.Rule == "interaction-expired" || refusal.Rule == "interaction-invalid") {
		seeOther(w, r.Path("/account"))
		return nil
	}
	return err
}

func (e *Endpoints) showAccount(w http.ResponseWriter, r *endpoint.Request) error {
	query, err := oauth.ParseForm(r.URL.RawQuery)
	if err != nil {
		return err
	}
	someone, found, err := e.current(w, r)
	if err != nil {
		return err
	}
	if !found {
		return e.startAccount(w, r)
	}
	binding := e.box.EnsureBinding(w, r)
	view, err := e.accountPage(r, someone)
	if err != nil {
		return err
	}
	token := func(form string) string {
		return e.box.FormToken(r, binding, form+someone.Subject, interaction.Interaction{})
	}
	view.SessionsToken, view.PermissionsToken, view.PasswordToken = token(sessionsForm), token(permissionsForm), token(passwordForm)
	e.readNotice(r, query, someone.Subject, &view)
	e.Pages.show(w, r, http.StatusOK, "account", view, view.may)
	return nil
}

// owner returns who sent a form of the account page, or false after it sent
// a browser without a session to sign in.
func (e *Endpoints) owner(w http.ResponseWriter, r *endpoint.Request, purpose string) (form oauth.Form, someone signedIn, found bool, err error) {
	if err := sameOrigin(r); err != nil {
		return form, someone, false, err
	}
	if form, err = oauth.ReadForm(r.Request); err != nil {
		return form, someone, false, err
	}
	if someone, found, err = e.current(w, r); err != nil {
		return form, someone, false, err
	}
	if !found {
		seeOther(w, r.Path("/account"))
		return form, someone, false, nil
	}
	return form, someone, true, e.genuine(r, form, purpose+someone.Subject, interaction.Interaction{})
}

// endSessions ends one session of the user, or all but this one.
func (e *Endpoints) endSessions(w http.ResponseWriter, r *endpoint.Request) error {
	form, someone, found, err := e.owner(w, r, sessionsForm)
	if err != nil || !found {
		return err
	}
	ctx, tenant := r.Context(), r.Tenant.ID
	if form.Get("action") == "end-others" {
		count, err := e.Store.EndOtherSessions(ctx, tenant, someone.Subject, someone.ID, r.Circumstance())
		if err != nil {
			return err
		}
		e.backToAccount(w, r, someone.Subject, choose(count > 0, noticeOthersEnded, noticeNoOthers))
		return nil
	}
	ended, err := e.Store.EndUserSession(ctx, tenant, someone.Subject, form.Get("session"), r.Circumstance())
	if err != nil {
		return err
	}
	e.backToAccount(w, r, someone.Subject, choose(ended, noticeSessionEnded, noticeSessionGone))
	return nil
}

// withdraw takes back what the user allowed a client, and ends its grants.
func (e *Endpoints) withdraw(w http.ResponseWriter, r *endpoint.Request) error {
	form, someone, found, err := e.owner(w, r, permissionsForm)
	if err != nil || !found {
		return err
	}
	withdrawn, err := e.Store.WithdrawConsent(r.Context(), r.Tenant.ID, someone.Subject, form.Get("client_id"), r.Circumstance())
	if err != nil {
		return err
	}
	e.backToAccount(w, r, someone.Subject, choose(withdrawn, noticeWithdrawn, noticeNothingWithdrawn))
	return nil
}

func choose(condition bool, yes, no notice) notice {
	if condition {
		return yes
	}
	return no
}

// notice names what the account page says after a form was sent.
type notice string

const (
	noticeSessionEnded     notice = "session-ended"
	noticeSessionGone      notice = "session-gone"
	noticeOthersEnded      notice = "others-ended"
	noticeNoOthers         notice = "no-others"
	noticeWithdrawn        notice = "withdrawn"
	noticeNothingWithdrawn notice = "nothing-withdrawn"
	noticePasswordChanged  notice = "password-changed"
	noticeMissing          notice = "password-missing"
	noticeWrong            notice = "password-wrong"
	noticeDiffers          notice = "password-differs"
	noticeShort            notice = "password-short"
	noticeLong             notice = "password-long"
	noticeCommon           notice = "password-common"
	noticePersonal         notice = "password-personal"
	noticeSame             notice = "password-same"
	noticeOvertaken        notice = "password-overtaken"
	noticeThrottled        notice = "throttled"
	noticeBusy             notice = "busy"
)

// notices are the sentences; trouble is whether one belongs to the form of
// the password and says what is wrong.
func notices(t *texts) map[notice]struct {
	text    string
	trouble bool
} {
	type said = struct {
		text    string
		trouble bool
	}
	return map[notice]said{
		noticeSessionEnded: {t.NoteSessionEnded, false}, noticeSessionGone: {t.NoteSessionGone, false},
		noticeOthersEnded: {t.NoteOthersEnded, false}, noticeNoOthers: {t.NoteNoOthers, false},
		noticeWithdrawn: {t.NoteWithdrawn, false}, noticeNothingWithdrawn: {t.NoteNothingWithdrawn, false},
		noticePasswordChanged: {t.NotePasswordChanged, false},
		noticeMissing:         {t.PasswordMissing, true}, noticeWrong: {t.PasswordWrong, true}, noticeDiffers: {t.PasswordDiffers, true},
		noticeShort: {t.PasswordShort, true}, noticeLong: {t.PasswordLong, true}, noticeCommon: {t.PasswordCommon, true},
		noticePersonal: {t.PasswordPersonal, true}, noticeSame: {t.PasswordSame, true}, noticeOvertaken: {t.PasswordOvertaken, true},
		noticeThrottled: {t.TooManyAttempts, true}, noticeBusy: {t.Busy, true},
	}
}

// backToAccount answers a form: the account page says what was done. The
// notice is signed for this browser and user, so that no link can put it
// there.
func (e *Endpoints) backToAccount(w http.ResponseWriter, r *endpoint.Request, subject string, n notice) {
	e.backWithWait(w, r, subject, n, 0)
}

func (e *Endpoints) backWithWait(w http.ResponseWriter, r *endpoint.Request, subject string, n notice, wait time.Duration) {
	query := url.Values{"done": {string(n)}}
	if wait > 0 {
		query.Set("wait", wait.Round(time.Second).String())
	}
	query.Set("sign", e.box.FormToken(r, e.box.Binding(r), noticeForm+query.Get("wait")+" "+string(n)+" "+subject, interaction.Interaction{}))
	seeOther(w, r.Path("/account")+"?"+query.Encode())
}

// readNotice puts the notice of the query into the page.
func (e *Endpoints) readNotice(r *endpoint.Request, query oauth.Form, subject string, view *accountView) {
	n, wait := notice(query.Get("done")), query.Get("wait")
	said, known := notices(view.T)[n]
	if !known || !e.box.CheckFormToken(r, query.Get("sign"), noticeForm+wait+" "+string(n)+" "+subject, interaction.Interaction{}) {
		return
	}
	duration, _ := time.ParseDuration(wait) // ours, as the signature says
	text := said.text
	if wait != "" {
		text = waiting(view.T, text, duration)
	}
	text = plain(text, "least", minimum())
	if said.trouble {
		view.Trouble, view.TroubleAt = text, troubleAt(n)
	} else {
		view.Notice = text
	}
}

// troubleAt names the field that a trouble is about, "" for none.
func troubleAt(n notice) string {
	switch n {
	case noticeWrong:
		return "current"
	case noticeDiffers:
		return "again"
	case noticeShort, noticeLong, noticeCommon, noticePersonal, noticeSame:
		return "new"
	}
	return ""
}

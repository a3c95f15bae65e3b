package login

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/internal/secret"
	"gatehouse/oauth"
)

// accountAgain is the cause of a refusal that the account page tells.
type accountAgain struct {
	subject string
	notice  notice
}

func (*accountAgain) Error() string { return "the account page was shown again" }

// passwordErrors tells what was wrong on the account page itself.
func (e *Endpoints) passwordErrors(w http.ResponseWriter, r *endpoint.Request, refusal *oauth.Error) {
	if again, ok := errors.AsType[*accountAgain](refusal.Cause); ok {
		e.backWithWait(w, r, again.subject, again.notice, refusal.RetryAfter)
		return
	}
	e.Pages.Error(w, r, refusal)
}

// changePassword asks for the current password, as the sign-in does, so that a
// browser that was left open is not enough. All sessions and grants of the
// user end; this browser goes on with a session of a new id.
func (e *Endpoints) changePassword(w http.ResponseWriter, r *endpoint.Request) error {
	form, someone, found, err := e.owner(w, r, passwordForm)
	if err != nil || !found {
		return err
	}
	user := someone.User
	current, chosen := form.Get("current"), form.Get("new")
	if refusal := judged(current, chosen, form.Get("again"), user, r.Tenant.Settings.Name); refusal != nil {
		return refusal
	}
	if err := e.verifyOwner(r, user, current); err != nil {
		return err
	}
	phc, err := e.Passwords.Hash(r.Context(), chosen)
	if errors.Is(err, secret.ErrBusy) {
		return busyForOwner(user)
	}
	if err != nil {
		return err
	}
	value := interaction.NewCookieValue()
	changed, err := e.Store.ChangePassword(r.Context(), r.Tenant.ID, gatehouse.PasswordChange{
		Subject: user.Subject, OldPHC: user.PasswordHash, NewPHC: phc, SessionID: someone.ID,
		Session: e.newSession(r, user.Subject, e.box.Now()), Hash: sessionHash(value), By: r.Circumstance(),
	})
	if err != nil {
		return err
	}
	if !changed {
		return oauth.Refuse("account-password-overtaken", oauth.AccessDenied,
			"The password or the session has changed meanwhile.").WithStatus(http.StatusConflict).Because(&accountAgain{user.Subject, noticeOvertaken})
	}
	e.box.SetSession(w, r, value)
	e.rememberDevice(w, r, user.Subject)
	e.backToAccount(w, r, user.Subject, noticePasswordChanged)
	return nil
}

func busyForOwner(user gatehouse.User) error {
	return oauth.Refuse("account-busy", oauth.TemporarilyUnavailable,
		"Too many passwords are being checked at once.").After(busyWait).Because(&accountAgain{user.Subject, noticeBusy})
}

// judged says what is wrong with the form before any password is verified.
func judged(current, chosen, again string, user gatehouse.User, house string) error {
	refuse := func(rule *oauth.Error, n notice) error {
		return rule.WithStatus(http.StatusUnprocessableEntity).Because(&accountAgain{user.Subject, n})
	}
	if current == "" || chosen == "" || again == "" {
		return refuse(oauth.Refuse("account-password-missing", oauth.InvalidRequest, "All three fields are needed."), noticeMissing)
	}
	if chosen != again {
		return refuse(oauth.Refuse("account-password-differs", oauth.InvalidRequest, "The new password was not the same both times."), noticeDiffers)
	}
	weak := map[weakness]notice{tooShort: noticeShort, tooLong: noticeLong, tooCommon: noticeCommon, tooPersonal: noticePersonal}
	if n, found := weak[weaknessOf(chosen, user, house)]; found {
		return refuse(oauth.Refuse("account-password-weak", oauth.InvalidRequest, "The new password is too short, too long, or among the first that are tried."), n)
	}
	if chosen == current {
		return refuse(oauth.Refuse("account-password-same", oauth.InvalidRequest, "The new password is the current one."), noticeSame)
	}
	return nil
}

// verifyOwner verifies the current password behind the gates of the sign-in:
// a session that was taken over is no way round the delays.
func (e *Endpoints) verifyOwner(r *endpoint.Request, user gatehouse.User, current string) error {
	ctx, tenant := r.Context(), r.Tenant
	ring := e.box.Keys.MACRing(tenant.ID, "login account")
	who := accountOf(ring, user, true, user.Username)
	gates, _, tooMany, err := e.attempted(r, ring, who)
	if err != nil {
		return err
	}
	if tooMany != nil {
		return oauth.Refuse("account-throttled", oauth.TemporarilyUnavailable,
			"There were too many failed attempts for this account.").WithStatus(http.StatusTooManyRequests).After(tooMany.RetryAfter).
			Because(&accountAgain{user.Subject, noticeThrottled})
	}
	right, _, err := e.verify(ctx, user, true, current)
	if errors.Is(err, secret.ErrBusy) {
		if err := e.throttle.giveBack(ctx, gates, tenant.Settings.Throttle); err != nil {
			return err
		}
		return busyForOwner(user)
	}
	if err != nil {
		return err
	}
	if right {
		return e.throttle.forgive(ctx, gates)
	}
	if err := e.failed(r, who); err != nil {
		return err
	}
	return oauth.Refuse("account-password-wrong", oauth.AccessDenied,
		"The current password is not right.").WithStatus(http.StatusUnprocessableEntity).Because(&accountAgain{user.Subject, noticeWrong})
}

// minimum is minPasswordLength for people.
func minimum() string { return strconv.Itoa(minPasswordLength) }

// eventsShownFor and eventsShown bound the events on the account page.
const (
	eventsShownFor = 30 * 24 * time.Hour
	eventsShown    = 20
)

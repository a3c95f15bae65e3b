package login

import (
	"html/template"
	"math"
	"net/http"
	"strconv"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/oauth"
)

type errorView struct {
	frame
	Heading, Description, Advice, ID, SupportURI, Restart string
}

// Error tells a person that a request was refused: what was wrong, what to
// do, and the refusal's id.
func (p *Pages) Error(w http.ResponseWriter, r *endpoint.Request, e *oauth.Error) {
	view := errorView{
		frame: p.frame(r, "error-page"), Description: e.Description, ID: e.ID,
		SupportURI: linked(r.Tenant.Settings.SupportURI),
	}
	t := view.T
	switch {
	case e.Status == http.StatusTooManyRequests:
		view.Heading, view.Advice = t.ErrorTooMany, waiting(t, t.ErrorDoWait, e.RetryAfter)
	case e.Status == http.StatusServiceUnavailable:
		view.Heading, view.Advice = t.ErrorBusy, waiting(t, t.ErrorDoWait, e.RetryAfter)
	case e.Status >= http.StatusInternalServerError:
		view.Heading, view.Advice = t.ErrorOurs, t.ErrorDoOurs
	default:
		view.Heading, view.Advice, view.Restart = t.ErrorStopped, t.ErrorDoStart, linked(r.Restart)
	}
	retryAfter(w, e.RetryAfter)
	p.show(w, r, e.Status, "error", view, policy{})
}

// waiting returns a sentence with the wait filled in; a wait that nobody knows
// is a minute.
func waiting(t *texts, sentence string, wait time.Duration) string {
	if wait <= 0 {
		wait = time.Minute
	}
	return plain(sentence, "wait", t.Span(wait))
}

func retryAfter(w http.ResponseWriter, wait time.Duration) {
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
}

type noticeView struct {
	frame
	Heading, Text, Restart string
}

// Finished tells that the request of this page was answered before.
func (p *Pages) Finished(w http.ResponseWriter, r *endpoint.Request) {
	f := p.frame(r, "finished-page")
	p.show(w, r, http.StatusOK, "notice", noticeView{f, f.T.FinishedTitle, f.T.Finished, linked(r.Restart)}, policy{})
}

// LoggedOut tells that the browser is signed out.
func (p *Pages) LoggedOut(w http.ResponseWriter, r *endpoint.Request) {
	f := p.frame(r, "logout-done")
	p.show(w, r, http.StatusOK, "notice", noticeView{f, f.T.SignedOutTitle, f.T.SignedOut, ""}, policy{})
}

type signOutView struct {
	frame
	User, Action, Token string
}

// signOutForm is the purpose of the form token of the sign-out page.
const signOutForm = "logout"

// LogoutConfirm asks whether to sign out; username is "" when nobody knows.
// Its form goes to /logout/confirm.
func (p *Pages) LogoutConfirm(w http.ResponseWriter, r *endpoint.Request, username string) {
	binding := p.box.EnsureBinding(w, r)
	p.show(w, r, http.StatusOK, "signout", signOutView{
		frame: p.frame(r, "logout-confirm-page"), User: displayed(username), Action: r.Path("/logout/confirm"),
		Token: p.box.FormToken(r, binding, signOutForm, interaction.Interaction{}),
	}, policy{})
}

type formPostView struct {
	frame
	RedirectURI any // html/template takes a string's scheme out unless the web knows it
	Params      []oauth.Param
	Script      template.JS
}

// FormPost answers an authorization request with response_mode=form_post: a
// page whose form carries the parameters to the redirect URI, which the
// caller has found to be the client's.
// OAuth 2.0 Form Post Response Mode §2.
func (p *Pages) FormPost(w http.ResponseWriter, r *endpoint.Request, client gatehouse.Client, redirectURI string, params []oauth.Param) {
	may := policy{script: submitScriptSource(), forms: policyFor(client, redirectURI).forms}
	view := formPostView{frame: p.frame(r, ""), RedirectURI: redirectURI, Params: params, Script: submitScript}
	if oauth.CheckRedirectURI(redirectURI, oauth.RedirectRules{AllowLocalhost: true, AllowUndottedScheme: true}) == nil {
		view.RedirectURI = template.URL(redirectURI) // may have a scheme of its own, never one that a browser would run
	}
	p.show(w, r, http.StatusOK, "formpost", view, may)
}

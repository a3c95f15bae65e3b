package client

import (
	"fmt"
	"html"
	"net/http"
	"slices"
	"strconv"

	"gatehouse/oauth"
)

// CallbackHandler finishes logins: it serves the RedirectURI. When everything
// about a login was checked, onLogin is asked; it may look the person up, set
// login.Values and login.ReturnTo, or refuse by an error. Then the browser gets a
// new session and is sent to where it wanted to go. A nil onLogin takes everybody
// whom the issuer takes.
//
// A callback is good once, for the browser that began the login, for [LoginLife].
func (c *Client) CallbackHandler(onLogin func(r *http.Request, login *Login) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login, err := c.finishAt(w, r)
		if err == nil && onLogin != nil {
			if refusal := onLogin(r, login); refusal != nil {
				err = &LoginError{Reason: Rejected, Detail: "the application did not accept the sign-in", Cause: refusal}
			}
		}
		var value string
		if err == nil {
			value, err = c.create(r.Context(), login)
		}
		if err != nil {
			c.fail(w, r, err)
			return
		}
		// The id of before is dead, whoever may know it.
		if cookie, err := r.Cookie(c.cookies.session); err == nil {
			c.replace(r.Context(), sessionID(cookie.Value))
		}
		c.cookies.set(w, c.cookies.session, value, c.config.SessionLife, c.cookies.sessionSite())
		c.depart(w, r, LocalPath(login.ReturnTo))
	})
}

// finishAt finishes the login that the request is the callback of.
func (c *Client) finishAt(w http.ResponseWriter, r *http.Request) (*Login, error) {
	bad := func(detail string, cause error) (*Login, error) {
		return nil, &LoginError{Reason: BadCallback, Detail: detail, Cause: cause}
	}
	method := http.MethodGet
	if c.config.ResponseMode == "form_post" {
		method = http.MethodPost
	}
	if r.Method != method {
		return bad("the issuer's answer comes by "+method, nil)
	}
	form, err := requestForm(w, r)
	if err != nil {
		return bad("the issuer's answer is malformed", err)
	}
	state := form.Get("state")
	transaction, ours := c.openTransaction(r, state)
	if !ours {
		return nil, &LoginError{Reason: UnknownState, Detail: "the answer belongs to no login that this browser began in the last minutes; begin a new one"}
	}
	// What belongs to the transaction but is of another issuer uses nothing up.
	k, err := c.known(r.Context())
	if err != nil {
		return nil, err
	}
	if _, err := c.readResponse(k, transaction, form); err != nil && !answered(err) {
		return nil, err
	}
	if err := c.useUp(r, state); err != nil {
		return nil, err
	}
	c.cookies.set(w, c.cookies.transaction+transactionTag(state), "", 0, c.cookies.transactionSite())
	login, err := c.Finish(r.Context(), transaction, form)
	if err != nil {
		return nil, err
	}
	if login.Subject == "" {
		return nil, &InvalidError{Op: "login", Detail: "without the scope openid there is no ID token that says who signed in"}
	}
	return login, c.sameUser(r, transaction, login)
}

// answered says that a login is over by the issuer's own answer.
func answered(err error) bool {
	login, ok := err.(*LoginError)
	return ok && login.Reason == Denied
}

// useUp marks the state as used: of any number of callbacks one goes on, and if
// nobody knows which, none.
func (c *Client) useUp(r *http.Request, state string) error {
	first, err := c.store.Add(r.Context(), "client login "+digestOf(c.provider.issuer, c.config.ClientID, state), nil, LoginLife)
	if err != nil {
		return &UnavailableError{Op: "login", Cause: err}
	}
	if !first {
		return &LoginError{Reason: UsedState, Detail: "this login was finished before; begin a new one"}
	}
	return nil
}

// sameUser refuses a login that would replace somebody who signed in at this
// browser after it began: it may not be this person's.
func (c *Client) sameUser(r *http.Request, t Transaction, login *Login) error {
	current, err := c.Session(r)
	if err != nil {
		if _, away := err.(*UnavailableError); away {
			return err
		}
		return nil
	}
	if !slices.Contains([]string{t.Subject, login.Subject}, current.Subject()) {
		return &LoginError{Reason: OtherUser, Detail: "somebody else has signed in at this browser meanwhile; sign out first"}
	}
	return nil
}

// depart sends the browser to an address of the application.
func (c *Client) depart(w http.ResponseWriter, r *http.Request, path string) {
	protect(w.Header())
	if !c.cookies.strict {
		http.Redirect(w, r, path, http.StatusSeeOther)
		return
	}
	// A redirect would belong to the navigation that the issuer's site began, and go
	// without a strict cookie. A page of our own begins a new one.
	escaped := html.EscapeString(path)
	writePage(w, http.StatusOK, "text/html; charset=utf-8", `<!DOCTYPE html><html lang="en"><head><meta name="color-scheme" content="light dark"><title>Signed in</title><meta http-equiv="refresh" content="0;url=`+
		escaped+`"></head><body><p><a href="`+escaped+`">Go on</a></p></body></html>`)
}

// protect keeps an answer out of caches, and the address that it answers out of
// other sites' logs.
func protect(header http.Header) {
	oauth.NoStore(header)
	header.Set("Referrer-Policy", "no-referrer") // RFC 9700 §4.2.4
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
}

func writePage(w http.ResponseWriter, status int, mediaType, text string) {
	protect(w.Header())
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

// fail answers a browser whose login or logout failed.
func (c *Client) fail(w http.ResponseWriter, r *http.Request, err error) {
	c.config.Logger.WarnContext(r.Context(), "a request of a browser failed", "error", err)
	status := StatusOf(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryText(err))
	}
	if c.config.OnError != nil {
		protect(w.Header())
		c.config.OnError(w, r, err)
		return
	}
	writePage(w, status, "text/plain; charset=utf-8", fmt.Sprintln(SentenceOf(err)))
}

// SentenceOf is what the person at a browser may be told of an error that Config.OnError
// gets: nothing of the issuer's words, and what to do.
func SentenceOf(err error) string {
	switch StatusOf(err) {
	case http.StatusBadRequest:
		return "This sign-in cannot be completed. Please begin a new one."
	case http.StatusForbidden:
		return "The sign-in was not completed, or you may not use this application with it."
	case http.StatusUnauthorized:
		return "You are signed out. Please sign in again."
	case http.StatusServiceUnavailable:
		return "Signing in is not possible at the moment. Please try again in a little while."
	case http.StatusBadGateway:
		return "The sign-in service gave an answer that cannot be trusted. Please try again."
	}
	return "Something is not set up correctly. Please tell the people who run this application."
}

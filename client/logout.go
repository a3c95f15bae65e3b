package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Revocations that failed are repeated beside requests, where no store keeps them.
const (
	revocationAttempts = 6
	revocationPause    = 2 * time.Second // doubled after each attempt
	revocationWait     = 2 * time.Second // of a person, for the first attempt
)

// EndReason is why a session ended.
type EndReason string

// The reasons.
const (
	EndedByLogout      EndReason = "logout"
	EndedByBackChannel EndReason = "back-channel logout"
	EndedByRefusal     EndReason = "refresh token refused"
	EndedByLogin       EndReason = "new login" // at the same browser
	EndedByLimit       EndReason = "too many sessions"
)

// Ended is told to Config.OnSessionEnd.
type Ended struct {
	Issuer    string
	Subject   string
	SessionID string // the issuer's, "" if it gave none
	// Session is the [Session.ID].
	Session string
	Reason  EndReason
}

// LogoutHandler signs the person out: of the application first, then of the
// issuer, by way of its end_session_endpoint if it has one (OpenID Connect
// RP-Initiated Logout §2). The refresh token is revoked (RFC 7009).
//
// It belongs on a POST route, and takes only requests that a page of the
// application made.
func (c *Client) LogoutHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			writePage(w, http.StatusMethodNotAllowed, "text/plain; charset=utf-8", "Signing out takes a POST from a page of this application.\n")
			return
		}
		if !c.sameOrigin(r) {
			writePage(w, http.StatusForbidden, "text/plain; charset=utf-8", "Signing out takes a POST from a page of this application.\n")
			return
		}
		target, err := c.SignOut(w, r)
		if err != nil {
			c.fail(w, r, err)
			return
		}
		protect(w.Header())
		http.Redirect(w, r, target, http.StatusSeeOther)
	})
}

// SignOut ends the session of the request's browser, if it has one, takes its cookie
// away, revokes the refresh token, and says where the browser goes next: to the
// issuer's end_session_endpoint, or where there is none, to the
// PostLogoutRedirectURI or "/". It is [Client.LogoutHandler] for applications that
// answer by themselves; they have looked who asks. After an error the session lives.
func (c *Client) SignOut(w http.ResponseWriter, r *http.Request) (next string, err error) {
	s, err := c.Session(r)
	if err != nil && !errors.Is(err, ErrNoSession) {
		return "", err // the cookie stays: the session is not over
	}
	next, state := "/", ""
	if s != nil {
		if next, state, err = c.logOut(r.Context(), s); err != nil {
			return "", err
		}
	}
	if state != "" {
		c.cookies.set(w, c.cookies.session+logoutInfix, state, LoginLife, http.SameSiteLaxMode)
	}
	c.dropCookie(w, r)
	return next, nil
}

// Forget ends the session of the request's browser, if it has one, here alone: the
// person stays signed in at the issuer. After an error the session lives.
func (c *Client) Forget(w http.ResponseWriter, r *http.Request) error {
	s, err := c.Session(r)
	if err != nil && !errors.Is(err, ErrNoSession) {
		return err
	}
	if s != nil {
		if err := c.end(r.Context(), s); err != nil {
			return err
		}
	}
	c.dropCookie(w, r)
	return nil
}

// dropCookie takes the session's cookie away from a browser that sent one.
func (c *Client) dropCookie(w http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie(c.cookies.session); err == nil {
		c.cookies.set(w, c.cookies.session, "", 0, c.cookies.sessionSite())
	}
}

// sameOrigin says that a page of the application itself made the request, as far
// as the browser tells (RFC 10017): SameSite alone lets sibling domains through.
func (c *Client) sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	origin := r.Header.Get("Origin")
	return origin == "" || origin == c.origin()
}

// end ends the session here, and then revokes what it held.
func (c *Client) end(ctx context.Context, s *Session) error {
	if err := c.endFor(ctx, s, EndedByLogout); err != nil {
		return &UnavailableError{Op: "logout", Cause: err}
	}
	return nil
}

// endFor ends the session for a reason and revokes what it held, which is noted
// before: whoever dies in between leaves no token behind that nobody knows of.
func (c *Client) endFor(ctx context.Context, s *Session, reason EndReason) error {
	r, _ := s.now()
	o := c.owe(ctx, s.id, r.Tokens.tokens())
	if err := c.sessions.Delete(ctx, s.id); err != nil {
		return err
	}
	c.tellEnded(s, reason)
	c.settle(ctx, o)
	return nil
}

// logOut ends the session here and says where the browser goes to end it at the
// issuer.
func (c *Client) logOut(ctx context.Context, s *Session) (target, state string, err error) {
	r, _ := s.now()
	if err := c.end(ctx, s); err != nil {
		return "", "", err
	}
	home := c.config.PostLogoutRedirectURI
	if home == "" {
		home = "/"
	}
	k, err := c.known(ctx)
	if err != nil || k.EndSessionEndpoint == "" { // signed out here, which is what can be done
		return home, "", nil
	}
	endpoint, err := url.Parse(k.EndSessionEndpoint)
	if err != nil {
		return home, "", nil
	}
	query := endpoint.Query() // what is the endpoint's own stays
	query.Set("client_id", c.config.ClientID)
	query.Set("id_token_hint", r.Tokens.ID)
	if c.config.PostLogoutRedirectURI != "" {
		state = randomText()
		query.Set("post_logout_redirect_uri", c.config.PostLogoutRedirectURI)
		query.Set("state", state)
	}
	endpoint.RawQuery = query.Encode()
	return endpoint.String(), state, nil
}

// logoutInfix ends the name of the cookie that a logout leaves until the issuer
// has sent the browser back.
const logoutInfix = "-out"

// LoggedOutHandler serves the PostLogoutRedirectURI: it shows next to a browser
// that comes back from a logout which began here, and refuses others (OpenID
// Connect RP-Initiated Logout §3). An application whose page says nothing about who
// signed out needs none.
func (c *Client) LoggedOutHandler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := c.cookies.session + logoutInfix
		cookie, err := r.Cookie(name)
		form, malformed := requestForm(w, r)
		if err != nil || malformed != nil || cookie.Value == "" || !sameText(form.Get("state"), cookie.Value) {
			c.fail(w, r, &LoginError{Reason: UnknownState, Detail: "this browser did not sign out here just now"})
			return
		}
		c.cookies.set(w, name, "", 0, http.SameSiteLaxMode)
		protect(w.Header())
		next.ServeHTTP(w, r)
	})
}

func (c *Client) tellEnded(s *Session, reason EndReason) {
	if c.config.OnSessionEnd != nil {
		w := s.who()
		c.config.OnSessionEnd(Ended{Issuer: w.Issuer, Subject: w.Subject, SessionID: w.SessionID, Session: s.id, Reason: reason})
	}
}

// revokeBeside revokes what is left of the tokens of a session that is gone.
func (c *Client) revokeBeside(ctx context.Context, session string, tokens Tokens) {
	c.settle(ctx, c.owe(ctx, session, tokens))
}

// settle revokes a token: once while the person waits, and if that does not work,
// some more times beside. What is kept in the store is left to whichever process
// finds it there.
func (c *Client) settle(ctx context.Context, o owed) {
	token, hint := NewSecret(o.Token), o.Hint
	first, cancel := context.WithTimeout(context.WithoutCancel(ctx), revocationWait)
	err := c.Revoke(first, token, hint)
	cancel()
	if !mayPass(err) {
		c.settled(ctx, o)
		return
	}
	if o.kept {
		return
	}
	select {
	case c.repeating <- struct{}{}:
	default:
		c.config.Logger.WarnContext(ctx, "a token could not be revoked, and too many wait to be", "error", err)
		return
	}
	begun := c.beside.run(func() {
		defer func() { <-c.repeating }()
		pause := revocationPause
		for range revocationAttempts - 1 {
			select {
			case <-time.After(pause):
			case <-c.beside.lives.Done():
				// Nobody repeats it after this.
				last, cancel := context.WithTimeout(context.Background(), revocationWait)
				if err = c.Revoke(last, token, hint); err != nil {
					c.config.Logger.Warn("a token could not be revoked before the end", "error", err)
				}
				cancel()
				return
			}
			if err = c.Revoke(c.beside.lives, token, hint); !mayPass(err) {
				return
			}
			pause *= 2
		}
		c.config.Logger.Warn("a token could not be revoked", "error", err)
	})
	if !begun {
		<-c.repeating
	}
}

// mayPass says that trying again may help.
func mayPass(err error) bool {
	_, unavailable := errors.AsType[*UnavailableError](err)
	return unavailable
}

// Revoke tells the issuer that a token is no longer needed (RFC 7009). hint is
// refresh_token, access_token or "". A token that the issuer does not know is no
// error.
func (c *Client) Revoke(ctx context.Context, token Secret, hint string) error {
	if token.IsZero() {
		return nil
	}
	form := url.Values{"token": {token.Reveal()}}
	if hint != "" {
		form.Set("token_type_hint", hint)
	}
	_, err := c.post(ctx, "revocation", revocationEndpoint, form)
	return err
}

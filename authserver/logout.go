package authserver

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/oauth"
	"gatehouse/token"
)

type logoutStore interface {
	EndSession(ctx context.Context, tenant gatehouse.TenantID, sessionID string, reason gatehouse.EndReason, by gatehouse.Circumstance) (bool, error)
}

// serveLogout is the end-session endpoint (OpenID Connect RP-Initiated Logout
// §2). Only a valid hint of the session's own user signs out without asking,
// and only then may the browser be sent to a registered URI (§3).
func (s *Server) serveLogout(w http.ResponseWriter, r *endpoint.Request) error {
	form, err := logoutForm(r)
	if err != nil {
		return err
	}
	// A browser keeps its Lax cookies from a form that another site posts, but
	// sends them with the GET that it is sent on with.
	if r.Method == http.MethodPost && s.Box.Session(r) == "" && !interaction.SameOrigin(r) {
		seeOther(w, r.Path("/logout")+"?"+logoutQuery(form))
		return nil
	}
	session, alive, err := s.session(r)
	if err != nil {
		return err
	}
	hint, hinted := token.Claims{}, false
	if form.Has("id_token_hint") {
		hint, hinted = s.openHint(r.Context(), r.Tenant, form.Get("id_token_hint"))
	}
	if hinted && form.Has("client_id") && !slices.Contains(hint.Audience, form.Get("client_id")) { // §2
		hinted = false
	}
	if alive {
		same, err := s.sameSession(r, hint, session)
		if err != nil {
			return err
		}
		if !hinted || !same {
			return s.confirmLogout(w, r, session)
		}
	}
	target, err := s.logoutTarget(r, form, hint, hinted)
	if err != nil {
		return err
	}
	if alive {
		if _, err := s.Store.EndSession(r.Context(), r.Tenant.ID, session.ID, gatehouse.EndedByLogout, r.Circumstance()); err != nil {
			return err
		}
	}
	s.Box.ClearSession(w, r)
	if target == "" {
		s.Pages.LoggedOut(w, r)
		return nil
	}
	seeOther(w, target)
	return nil
}

// logoutForm reads the request of either method (§2: both are required).
func logoutForm(r *endpoint.Request) (oauth.Form, error) {
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "" {
		return oauth.ReadForm(r.Request)
	}
	return oauth.ParseForm(r.URL.RawQuery)
}

// logoutQuery writes the request as a query: a POST from another site carries
// no Lax cookie, and without it the session could not be seen, so the browser
// is sent on with a GET, which §2 requires as well.
func logoutQuery(form oauth.Form) string {
	query := url.Values{}
	for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"} {
		if form.Has(name) {
			query.Set(name, form.Get(name))
		}
	}
	return query.Encode()
}

// openHint reads an ID token of ours, which may have expired (§2: "the OP
// SHOULD accept ID Tokens when the RP identified by the ID Token's aud claim
// and/or sid claim has a current session").
func (s *Server) openHint(ctx context.Context, tenant gatehouse.Tenant, text string) (token.Claims, bool) {
	rules := token.IDTokenRules(s.Keys.Verifiers(tenant.ID), tenant.Issuer, "")
	rules.InsecureAnyAudience, rules.InsecureAllowExpired = true, true // a hint proves nothing but who is meant
	rules.Now = s.Store.Now
	claims, err := token.Check(ctx, text, rules)
	return claims, err == nil
}

// sameSession says whether the hint was issued in this session, to a client
// that knows its user by the hint's sub.
func (s *Server) sameSession(r *endpoint.Request, hint token.Claims, session gatehouse.Session) (bool, error) {
	if hint.SessionID != session.ID {
		return false, nil
	}
	known := session.Subject
	for _, audience := range hint.Audience {
		client, found, err := s.Store.Client(r.Context(), r.Tenant.ID, audience)
		if err != nil {
			return false, err
		}
		if !found {
			continue
		}
		if known, err = s.subjectFor(r.Context(), r.Tenant.ID, client, session.Subject); err != nil {
			return false, err
		}
	}
	return hint.Subject == known, nil
}

// confirmLogout asks the person at the browser.
func (s *Server) confirmLogout(w http.ResponseWriter, r *endpoint.Request, session gatehouse.Session) error {
	user, _, err := s.Store.User(r.Context(), r.Tenant.ID, session.Subject)
	if err != nil {
		return err
	}
	s.Pages.LogoutConfirm(w, r, user.DisplayName())
	return nil
}

// logoutTarget returns where the browser goes afterwards: the exactly
// registered post_logout_redirect_uri of the hint's client with the state, or
// "" for our own page (§3).
func (s *Server) logoutTarget(r *endpoint.Request, form oauth.Form, hint token.Claims, hinted bool) (string, error) {
	uri := form.Get("post_logout_redirect_uri")
	if uri == "" || !hinted {
		return "", nil
	}
	for _, audience := range hint.Audience {
		client, found, err := s.Store.Client(r.Context(), r.Tenant.ID, audience)
		if err != nil {
			return "", err
		}
		if !found || client.Disabled() {
			continue
		}
		may, err := s.registered(r.Context(), client.PostLogoutRedirectURIs, uri, client)
		if err != nil {
			return "", err
		}
		if !may {
			continue
		}
		if form.Has("state") {
			uri = oauth.RedirectURL(uri, []oauth.Param{{Name: "state", Value: form.Get("state")}})
		}
		return uri, nil
	}
	return "", nil
}

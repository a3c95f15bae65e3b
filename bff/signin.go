package bff

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/client"
	"gatehouse/oauth"
)

// session returns the session of the request's browser and whose it is: the newest,
// if several issuers' cookies are there.
func (b *BFF) session(r *http.Request) (*party, *client.Session, error) {
	var owner *party
	var newest *client.Session
	for _, p := range b.parties {
		s, err := p.client.Session(r)
		switch {
		case errors.Is(err, client.ErrNoSession):
		case err != nil:
			return nil, nil, err
		case newest == nil || s.Began().After(newest.Began()):
			owner, newest = p, s
		}
	}
	if newest == nil {
		return nil, nil, client.ErrNoSession
	}
	return owner, newest, nil
}

// party returns the issuer of a name, the first for none.
func (b *BFF) party(name string) (*party, bool) {
	for _, p := range b.parties {
		if name == "" || p.name == name {
			return p, true
		}
	}
	return nil, false
}

const maxLoginAge = 365 * 24 * time.Hour

// serveLogin begins a login. It reads return_to, issuer, and what a page may demand
// of the sign-in when an API asked for more of it (RFC 9470): max_age and acr_values.
func (b *BFF) serveLogin(w http.ResponseWriter, r *http.Request) {
	form, err := oauth.ParseForm(r.URL.RawQuery)
	if err != nil {
		b.refuse(w, r, refusal{status: http.StatusBadRequest, code: CodeBadRequest, description: "The parameters are malformed, or one is there twice.", cause: err})
		return
	}
	p, known := b.party(form.Get("issuer"))
	if !known {
		b.refuse(w, r, refusal{status: http.StatusBadRequest, code: CodeBadRequest, description: "There is no such issuer."})
		return
	}
	asked := client.AuthorizationRequest{Prompt: p.prompt, ACRValues: strings.Fields(form.Get("acr_values"))}
	asked.RequireACR = len(asked.ACRValues) > 0
	if text := form.Get("max_age"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			b.refuse(w, r, refusal{status: http.StatusBadRequest, code: CodeBadRequest, description: "max_age is no number of seconds."})
			return
		}
		if asked.MaxAge = min(time.Duration(seconds)*time.Second, maxLoginAge); seconds == 0 {
			asked.Prompt = "login"
		}
	}
	returnTo := client.LocalPath(form.Get("return_to"))
	if path, _, _ := strings.Cut(returnTo, "?"); b.isEndpoint(path) {
		returnTo = "/" // a login that leads to a login would never end
	}
	p.client.StartLogin(w, r, returnTo, asked)
}

func (b *BFF) isEndpoint(path string) bool {
	_, known := b.endpoints[path]
	return known
}

// serveCallback finishes a login. A browser has one session: those of other issuers
// end, here alone.
func (b *BFF) serveCallback(w http.ResponseWriter, r *http.Request, p *party) {
	p.client.CallbackHandler(func(r *http.Request, _ *client.Login) error {
		for _, other := range b.parties {
			if other == p {
				continue
			}
			// The newer session counts in any case.
			if err := other.client.Forget(w, r); err != nil {
				b.config.Logger.WarnContext(r.Context(), "the session of another issuer could not be ended", "issuer", other.name, "error", err)
			}
		}
		return nil
	}).ServeHTTP(w, r)
}

// userBody is what /bff/user tells.
type userBody struct {
	Claims map[string]json.RawMessage `json:"claims"`
	// Issuer is the name of the issuer, "" for the one without.
	Issuer string `json:"issuer,omitempty"`
	// Began and Ends are when the person signed in and when the session is over at the
	// latest, in seconds since 1970.
	Began     int64  `json:"began"`
	Ends      int64  `json:"ends"`
	LogoutURL string `json:"logout_url"`
}

// serveUser tells a page who is signed in.
func (b *BFF) serveUser(w http.ResponseWriter, r *http.Request) {
	if why, ours := b.fromOurPage(r); !ours {
		b.refuse(w, r, why)
		return
	}
	p, s, err := b.session(r)
	if err != nil {
		b.refuse(w, r, refusalOf(err))
		return
	}
	body := userBody{Claims: map[string]json.RawMessage{}, Issuer: p.name, Began: s.Began().Unix(), Ends: s.Ends().Unix(), LogoutURL: b.config.Paths.Logout}
	ofToken, ofUserInfo := s.Identity().Claims.Raw, s.UserInfo()
	for _, name := range b.config.UserClaims {
		if value, there := ofToken[name]; there {
			body.Claims[name] = value
		} else if value, there := ofUserInfo[name]; there {
			body.Claims[name] = value
		}
	}
	oauth.WriteJSON(w, http.StatusOK, body)
}

// serveLogout ends the session. A script is told where to send the browser; a form
// is sent there.
func (b *BFF) serveLogout(w http.ResponseWriter, r *http.Request) {
	if why, ours := b.postedByOurPage(r); !ours {
		b.refuse(w, r, why)
		return
	}
	owner, _, err := b.session(r)
	if err != nil && !errors.Is(err, client.ErrNoSession) {
		b.refuse(w, r, refusalOf(err)) // the cookie stays: nobody knows whether the session is over
		return
	}
	next := "/"
	for _, p := range b.parties {
		if p == owner {
			continue
		}
		if err := p.client.Forget(w, r); err != nil {
			b.refuse(w, r, refusalOf(err))
			return
		}
	}
	if owner != nil {
		if next, err = owner.client.SignOut(w, r); err != nil {
			b.refuse(w, r, refusalOf(err))
			return
		}
	}
	if b.hasHeader(r) {
		oauth.WriteJSON(w, http.StatusOK, map[string]string{"logout_url": next})
		return
	}
	oauth.NoStore(w.Header())
	w.Header().Set("Location", next)
	w.WriteHeader(http.StatusSeeOther)
}

// serveModule serves the browser module.
func (b *BFF) serveModule(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/javascript; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("ETag", moduleTag)
	header.Del("Vary")
	if r.Header.Get("If-None-Match") == moduleTag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(module)))
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, module)
	}
}

package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"gatehouse/jose"
	"gatehouse/oauth"
	"gatehouse/token"
)

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout" // Back-Channel Logout §2.4

	// maxLogoutTokenLife bounds how far ahead a logout token may expire, and with
	// that how long its mark is kept. The specification recommends two minutes.
	maxLogoutTokenLife = time.Hour

	// loggedOutLife is for how long a logout also meets sessions that are being made.
	loggedOutLife = 2 * LoginLife

	loggedOutPrefix = "client logged out "
)

// BackChannelLogoutHandler receives the issuer's word that somebody has signed out
// (OpenID Connect Back-Channel Logout §2.5): it is what backchannel_logout_uri
// registers. It answers 200 when the sessions meant are over, also if there was
// none; 400 when the token is refused, and nothing has changed; 503 when nobody
// can tell now.
func (c *Client) BackChannelLogoutHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			oauth.WriteJSON(w, http.StatusMethodNotAllowed, oauth.ErrorBody{Error: oauth.InvalidRequest})
			return
		}
		err := c.backChannelLogout(w, r)
		switch {
		case err == nil:
			oauth.NoStore(w.Header())
			w.WriteHeader(http.StatusOK)
		case mayPass(err):
			c.config.Logger.WarnContext(r.Context(), "a back-channel logout has to wait", "error", err)
			w.Header().Set("Retry-After", retryText(err))
			oauth.WriteJSON(w, http.StatusServiceUnavailable, oauth.ErrorBody{Error: oauth.TemporarilyUnavailable})
		default:
			c.config.Logger.WarnContext(r.Context(), "a back-channel logout was refused", "error", err)
			oauth.WriteJSON(w, http.StatusBadRequest, oauth.ErrorBody{Error: oauth.InvalidRequest, Description: "The logout token was refused."}) // §2.8
		}
	})
}

func (c *Client) backChannelLogout(w http.ResponseWriter, r *http.Request) error {
	form, err := requestForm(w, r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	claims, err := c.checkLogoutToken(ctx, form.Get("logout_token"))
	if err != nil {
		return err
	}
	// Once only, and if nobody knows whether it is the first time, not now.
	mark := "client logout token " + digestOf(claims.Issuer, c.config.ClientID, claims.ID)
	first, err := c.store.Add(ctx, mark, nil, time.Until(claims.Expiry)+2*token.MaxSkew)
	if err != nil {
		return &UnavailableError{Op: "back-channel logout", Cause: err}
	}
	if !first {
		return errors.New("the logout token was used before")
	}
	if err := c.endGroup(ctx, c.logoutGroup(claims), claims); err != nil {
		// The issuer will try again with the same token.
		return errors.Join(&UnavailableError{Op: "back-channel logout", Cause: err}, c.store.Delete(ctx, mark))
	}
	return nil
}

// logoutGroup is that of the issuer's session, or where it names none, that of the
// person.
func (c *Client) logoutGroup(claims token.Claims) string {
	if claims.SessionID != "" {
		return c.groupOf("sid", claims.Issuer, claims.SessionID)
	}
	return c.groupOf("sub", claims.Issuer, claims.Subject)
}

// checkLogoutToken is OpenID Connect Back-Channel Logout §2.6.
func (c *Client) checkLogoutToken(ctx context.Context, raw string) (token.Claims, error) {
	const op = "back-channel logout"
	k, err := c.known(ctx)
	if err != nil {
		return token.Claims{}, err
	}
	if k.strangersKeys == nil {
		return token.Claims{}, &InvalidError{Op: op, Detail: "the issuer's metadata has no jwks_uri"}
	}
	rules := token.LogoutTokenRules(k.strangersKeys, c.provider.issuer, c.config.ClientID)
	rules.Skew, rules.MaxAge = c.config.Skew, maxLogoutTokenLife
	if c.config.Algorithms != nil {
		rules.Algorithms = c.config.Algorithms
	}
	claims, err := token.Check(ctx, raw, rules)
	if err != nil {
		return token.Claims{}, tokenFault(op, "the logout token was refused", err)
	}
	refuse := func(detail string) (token.Claims, error) {
		return token.Claims{}, &InvalidError{Op: op, Detail: "the logout token was refused: " + detail}
	}
	var body struct {
		Events map[string]json.RawMessage `json:"events"`
	}
	if claims.Decode(&body) != nil {
		return refuse("its events are no object")
	}
	event, there := body.Events[logoutEvent]
	if !there || jose.StrictObject(event, jose.Limits{}) != nil {
		return refuse("it is not about a logout")
	}
	if claims.Subject == "" && claims.SessionID == "" {
		return refuse("it names neither a person nor a session")
	}
	if time.Until(claims.Expiry) > maxLogoutTokenLife+c.skew() {
		return refuse("it expires too far ahead")
	}
	return claims, nil
}

// endGroup ends the sessions of a group, those of the subject only if the token
// names one, and leaves a mark for those that are being made.
func (c *Client) endGroup(ctx context.Context, group string, claims token.Claims) error {
	issued := strconv.AppendInt(nil, claims.IssuedAt.Unix(), 10)
	if err := c.store.Set(ctx, loggedOutPrefix+group, issued, loggedOutLife); err != nil {
		return err
	}
	ids, err := c.sessions.Members(ctx, group)
	if err != nil {
		return err
	}
	for _, id := range ids {
		s, err := c.loadSession(ctx, id)
		if errors.Is(err, ErrNoSession) {
			continue
		}
		if err != nil {
			return err
		}
		if claims.Subject != "" && s.Subject() != claims.Subject {
			continue
		}
		if err := c.sessions.Delete(ctx, id); err != nil {
			return err
		}
		c.tellEnded(s, EndedByBackChannel)
	}
	return nil
}

// loggedOutSince says whether the issuer ended, after it made the ID token, what
// the token's session belongs to. Within one second nobody can tell, and the
// person signs in once more.
func (c *Client) loggedOutSince(ctx context.Context, group string, identity Identity) (bool, error) {
	value, found, err := c.store.Get(ctx, loggedOutPrefix+group)
	if err != nil || !found {
		return false, err
	}
	at, err := strconv.ParseInt(string(value), 10, 64)
	return err != nil || identity.Claims.IssuedAt.Unix() <= at, nil
}

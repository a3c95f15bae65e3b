package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse/oauth"
)

// LoginHandler begins a login: it sends the browser to the issuer. Of the request
// it reads only the parameter return_to, an address within the application, see
// [LocalPath]. For logins that ask for more there is [Client.StartLogin].
//
// It belongs on a GET route. Whatever is not a person's own navigation (a frame,
// an image, a prefetch, a HEAD) is refused.
func (c *Client) LoginHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.StartLogin(w, r, r.URL.Query().Get("return_to"), AuthorizationRequest{})
	})
}

// StartLogin begins a login that returns to an address within the application. It
// answers the request, also when the login cannot begin.
func (c *Client) StartLogin(w http.ResponseWriter, r *http.Request, returnTo string, asked AuthorizationRequest) {
	if err := navigation(r); err != nil {
		c.fail(w, r, err)
		return
	}
	address, transaction, err := c.Begin(r.Context(), asked)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	transaction.ReturnTo = LocalPath(returnTo)
	current, err := c.Session(r)
	switch {
	case err == nil:
		transaction.Subject = current.Subject()
	case errors.Is(err, ErrNoSession):
		c.dropCookie(w, r) // of a session that is over
	}
	name, value, err := c.sealTransaction(transaction)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	c.cookies.keepNewest(w, r, MaxLogins-1, maxLoginBytes-len(name)-len(value))
	c.cookies.set(w, name, value, LoginLife, c.cookies.transactionSite())
	protect(w.Header())
	// RFC 9700 §4.12: 303, so that nothing that was posted here is posted there.
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// InitiateHandler begins a login on behalf of somebody else, such as the issuer's
// own list of applications (OpenID Connect Core §4): it reads iss, login_hint and
// target_link_uri, by GET or POST. It is what initiate_login_uri registers.
func (c *Client) InitiateHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		form, err := requestForm(w, r)
		if err != nil {
			c.fail(w, r, &LoginError{Reason: BadCallback, Detail: "the request is malformed", Cause: err})
			return
		}
		if form.Get("iss") != c.provider.issuer {
			c.fail(w, r, &LoginError{Reason: WrongIssuer, Detail: "a login with another issuer was asked for"})
			return
		}
		c.StartLogin(w, r, c.ownPath(form.Get("target_link_uri")), AuthorizationRequest{LoginHint: form.Get("login_hint")})
	})
}

// ownPath is the path of an address on the application's own origin, "" of any
// other. "RPs MUST verify the value of the target_link_uri to prevent being used
// as an open redirector to external sites" (OpenID Connect Core §4).
func (c *Client) ownPath(address string) string {
	target, err := url.Parse(address)
	if err != nil || target.User != nil || target.Host == "" || originOf(target) != c.origin() {
		return ""
	}
	return target.RequestURI()
}

// origin is the application's own, "" without a RedirectURI.
func (c *Client) origin() string {
	own, err := url.Parse(c.config.RedirectURI)
	if err != nil || own.Host == "" {
		return ""
	}
	return originOf(own)
}

// originOf is the origin of an address as browsers write it (RFC 6454 §6.2).
func originOf(address *url.URL) string {
	host := strings.ToLower(address.Host)
	if port, usual := map[string]string{"https": ":443", "http": ":80"}[address.Scheme]; usual {
		host = strings.TrimSuffix(host, port)
	}
	return address.Scheme + "://" + host
}

// navigation refuses what is no person's own navigation. Browsers that do not say
// are believed.
func navigation(r *http.Request) error {
	destination, purpose := r.Header.Get("Sec-Fetch-Dest"), r.Header.Get("Sec-Purpose")+r.Header.Get("Purpose")
	if r.Method == http.MethodHead || destination != "" && destination != "document" || strings.Contains(purpose, "prefetch") {
		return &LoginError{Reason: BadCallback, Detail: "a login begins with a page that a person opens, not with a part of a page or a prefetch"}
	}
	return nil
}

// maxFormBytes bounds a form that is posted to the application.
const maxFormBytes = 64 << 10

// requestForm reads the parameters of a query, or of a posted form.
func requestForm(w http.ResponseWriter, r *http.Request) (oauth.Form, error) {
	if r.Method != http.MethodPost {
		return oauth.ParseForm(r.URL.RawQuery)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	return oauth.ReadForm(r)
}

// transactionTag tells the transaction of a state, in a cookie's name. It does not
// tell the state.
func transactionTag(state string) string {
	const tagLength = 16
	return digestOf("transaction", state)[:tagLength]
}

// beganLength is enough characters of base 36 for milliseconds until the year 5000.
const beganLength = 9

// sealTransaction makes the cookie that keeps a transaction at its browser. It
// opens only with the state that the issuer's answer brings back.
func (c *Client) sealTransaction(t Transaction) (name, value string, err error) {
	plain, err := json.Marshal(t)
	if err != nil {
		return "", "", fmt.Errorf("client: encoding a transaction: %w", err)
	}
	sealed := c.sealer.Seal(plain, transactionBinding(t.State))
	value = beganAt(t) + "." + base64.RawURLEncoding.EncodeToString(sealed)
	name = c.cookies.transaction + transactionTag(t.State)
	if len(name)+len(value) > maxCookieBytes {
		return "", "", &LoginError{Reason: BadCallback, Detail: "the login asks for too much to be kept in a cookie: shorten the address to return to, the scope or the resources"}
	}
	return name, value, nil
}

func beganAt(t Transaction) string {
	return fmt.Sprintf("%0*s", beganLength, strconv.FormatInt(t.Began.UnixMilli(), 36))
}

func transactionBinding(state string) []byte { return []byte("transaction " + state) }

// openTransaction returns the transaction of a state if this browser began it.
func (c *Client) openTransaction(r *http.Request, state string) (Transaction, bool) {
	var t Transaction
	cookie, err := r.Cookie(c.cookies.transaction + transactionTag(state))
	if state == "" || err != nil {
		return t, false
	}
	began, text, _ := strings.Cut(cookie.Value, ".")
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return t, false
	}
	plain, opened := c.sealer.Open(sealed, transactionBinding(state))
	if !opened || json.Unmarshal(plain, &t) != nil || began != beganAt(t) || time.Since(t.Began) > LoginLife {
		return t, false
	}
	return t, true
}

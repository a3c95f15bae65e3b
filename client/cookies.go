package client

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// MaxLogins is how many logins a browser may have open at once; one more drops
	// the oldest.
	MaxLogins = 8

	// maxLoginBytes is how much the cookies of open logins may be together, in bytes:
	// many proxies take headers of 8 KiB and refuse all that a browser with more asks.
	maxLoginBytes = 7 << 10

	maxCookieName  = 32
	maxCookieBytes = 4000

	// hostPrefix binds a cookie to the host, to https and to HTTP: no sibling domain
	// and no script can set one (RFC 6265bis §4.1.3). Browsers that do not know the
	// whole prefix apply the rules of __Host-.
	hostPrefix = "__Host-Http-"

	// transactionInfix stands between the name and what tells the transaction.
	transactionInfix = "-tx-"
)

// cookies are the names and attributes of an application's cookies.
type cookies struct {
	session     string
	transaction string // a prefix
	secure      bool
	strict      bool
	formPost    bool
}

// newCookies has no prefix and not Secure for an application on plain http, where
// browsers refuse both; there the port keeps applications apart, since cookies do
// not.
func newCookies(config *Config) cookies {
	name := hostPrefix + config.CookieName
	secure := true
	if uri, err := url.Parse(config.RedirectURI); err == nil && uri.Scheme == "http" {
		secure = false
		name = config.CookieName
		if port := uri.Port(); port != "" {
			name += "-" + port
		}
	}
	return cookies{session: name, transaction: name + transactionInfix, secure: secure, strict: config.SameSiteStrict, formPost: config.ResponseMode == "form_post"}
}

func (k cookies) set(w http.ResponseWriter, name, value string, life time.Duration, site http.SameSite) {
	cookie := &http.Cookie{Name: name, Value: value, Path: "/", Secure: k.secure, HttpOnly: true, SameSite: site, MaxAge: int(life / time.Second)}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

func (k cookies) sessionSite() http.SameSite {
	if k.strict {
		return http.SameSiteStrictMode
	}
	return http.SameSiteLaxMode
}

// transactionSite: the redirect from the issuer is of another site, and its form
// a POST of another site, with which browsers send only cookies that say None.
func (k cookies) transactionSite() http.SameSite {
	if k.formPost && k.secure {
		return http.SameSiteNoneMode
	}
	return http.SameSiteLaxMode
}

// openTransaction is a login that the browser has open.
type openTransaction struct {
	name, value string
	began       string // base 36, of fixed length: it sorts
}

// transactions are those that the browser sent, the newest first.
func (k cookies) transactions(r *http.Request) []openTransaction {
	var open []openTransaction
	for _, cookie := range r.Cookies() {
		if strings.HasPrefix(cookie.Name, k.transaction) {
			began, _, _ := strings.Cut(cookie.Value, ".")
			open = append(open, openTransaction{cookie.Name, cookie.Value, began})
		}
	}
	slices.SortStableFunc(open, func(a, b openTransaction) int { return strings.Compare(b.began, a.began) })
	return open
}

// keepNewest removes all but the newest transactions from the browser: at most so
// many, and of at most so many bytes together.
func (k cookies) keepNewest(w http.ResponseWriter, r *http.Request, count, room int) {
	for _, one := range k.transactions(r) {
		count--
		if room -= len(one.name) + len(one.value); count < 0 || room < 0 {
			k.set(w, one.name, "", 0, k.transactionSite())
		}
	}
}

package interaction

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/internal/endpoint"
)

// Cookies names and writes the cookies of one server. Over https they are
// __Host- cookies; on an http loopback issuer the prefix and Secure are
// dropped and the name carries the port, which cookies ignore.
type Cookies struct {
	Secure bool
	// Suffix keeps issuers on one http loopback host apart, for example
	// "-8080"; "" over https.
	Suffix string
}

const (
	bindingCookie = "gh-browser-"
	sessionCookie = "gh-session-"
	// cookieValueBytes of randomness stand in each cookie.
	cookieValueBytes = 32
)

// cookieValueLength is that of an unpadded base64url value.
var cookieValueLength = base64.RawURLEncoding.EncodedLen(cookieValueBytes)

// NewCookieValue returns 256 random bits as a cookie carries them.
func NewCookieValue() string {
	var value [cookieValueBytes]byte
	_, _ = rand.Read(value[:])
	return base64.RawURLEncoding.EncodeToString(value[:])
}

// maxTenants is of how many tenants a browser keeps cookies: all that share a
// host come with every request to it.
const maxTenants = 10

// Name returns the full name of a cookie of the request's tenant.
func (c Cookies) Name(r *endpoint.Request, base string) string {
	return c.start(base) + string(r.Tenant.ID) + c.Suffix
}

// start is how the names of all tenants' cookies of one kind begin.
func (c Cookies) start(base string) string {
	if c.Secure {
		return "__Host-" + base
	}
	return base
}

// Read returns the value of the request's cookie, "" when there is none or
// when it cannot be one of ours.
func (c Cookies) Read(r *endpoint.Request, base string) string {
	cookie, err := r.Cookie(c.Name(r, base))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// Write sets a cookie for the browser's session; maxAge in seconds when it
// shall outlive it, negative to delete.
func (c Cookies) Write(w http.ResponseWriter, r *endpoint.Request, base, value string, maxAge int) {
	own := c.Name(r, base)
	if maxAge >= 0 {
		for _, other := range c.surplus(r, base, own) {
			c.set(w, other, "", -1)
		}
	}
	c.set(w, own, value, maxAge)
}

func (c Cookies) set(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: c.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// surplus names the cookies of other tenants that have to go to make room for
// one more. Browsers send the oldest first (RFC 6265 §5.4).
func (c Cookies) surplus(r *endpoint.Request, base, own string) []string {
	var others []string
	for _, cookie := range r.Cookies() {
		if cookie.Name != own && strings.HasPrefix(cookie.Name, c.start(base)) && strings.HasSuffix(cookie.Name, c.Suffix) {
			others = append(others, cookie.Name)
		}
	}
	return others[:max(len(others)-maxTenants+1, 0)]
}

// Binding returns the browser's binding, "" when it has none.
func (c Cookies) Binding(r *endpoint.Request) string { return c.readRandom(r, bindingCookie) }

// EnsureBinding returns the browser's binding and gives it one if need be.
func (c Cookies) EnsureBinding(w http.ResponseWriter, r *endpoint.Request) string {
	if binding := c.Binding(r); binding != "" {
		return binding
	}
	binding := NewCookieValue()
	c.Write(w, r, bindingCookie, binding, 0)
	return binding
}

// Session returns the value of the session cookie, "" when there is none.
func (c Cookies) Session(r *endpoint.Request) string { return c.readRandom(r, sessionCookie) }

// SetSession gives the browser a session cookie.
func (c Cookies) SetSession(w http.ResponseWriter, r *endpoint.Request, value string) {
	c.Write(w, r, sessionCookie, value, 0)
}

// ClearSession takes the session cookie away.
func (c Cookies) ClearSession(w http.ResponseWriter, r *endpoint.Request) {
	c.Write(w, r, sessionCookie, "", -1)
}

func (c Cookies) readRandom(r *endpoint.Request, base string) string {
	value := c.Read(r, base)
	if len(value) != cookieValueLength {
		return ""
	}
	return value
}

// SameOrigin says whether nothing speaks against a form having been sent by a
// page of ours. Browsers name the origin of every POST; a caller that names
// none is no browser whose user could be tricked, and the form token stands
// beside this check.
func SameOrigin(r *endpoint.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	issuer, err := url.Parse(r.Tenant.Issuer)
	return err == nil && origin == issuer.Scheme+"://"+issuer.Host
}

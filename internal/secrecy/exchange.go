package secrecy

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// parameters that carry secrets in a request.
var parameters = map[string]Kind{
	"client_secret": ClientSecret, "password": Password, "current": Password, "new": Password, "again": Password,
	"code": Code, "code_verifier": Verifier, "refresh_token": RefreshToken, "access_token": AccessToken, "token": AccessToken,
	"id_token_hint": IDToken,
}

// members of an answer in JSON that are secrets.
var members = map[string]Kind{"access_token": AccessToken, "refresh_token": RefreshToken, "id_token": IDToken, "client_secret": ClientSecret}

// fields of forms that are secrets.
var fields = map[string]Kind{"csrf": FormToken, "i": Interaction, "account": Interaction, "code": Code}

// minSent is how long a value must be that a caller sends in a secret's place:
// tests send words there.
const minSent = 16

// Exchange takes note of the secrets in a request and its answer, and looks for
// secrets where neither has a place for them.
func (l *Ledger) Exchange(r *http.Request, sent []byte, answer *http.Response, received []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteRequest(r, sent)
	l.noteAnswer(answer, received)

	at := r.Method + " " + r.URL.Path
	l.search("the answer to "+at, received, l.mayAnswer(r, answer)...)
	for name, values := range answer.Header {
		place := "the header " + name + " of the answer to " + at
		for _, value := range values {
			switch name {
			case "Location":
				l.search(place, []byte(value), mayLocate(r)...)
			case "Set-Cookie":
				l.search(place, []byte(value), Cookie)
			default:
				l.search(place, []byte(value))
			}
		}
	}
}

// mayAnswer says what stands in an answer's body by right.
func (l *Ledger) mayAnswer(r *http.Request, answer *http.Response) []Kind {
	switch {
	case strings.HasSuffix(r.URL.Path, "/token") && answer.StatusCode == http.StatusOK:
		return []Kind{AccessToken, RefreshToken, IDToken}
	case answer.StatusCode == http.StatusOK: // a form, be it one that posts the answer to the client
		return []Kind{FormToken, Interaction, Code}
	}
	return []Kind{FormToken, Interaction} // the form again
}

// mayLocate says what stands in the address of a redirect by right.
func mayLocate(r *http.Request) []Kind {
	if strings.HasSuffix(r.URL.Path, "/logout") { // the hint that a form brought from another site
		return []Kind{IDToken}
	}
	return []Kind{Code, Interaction}
}

func (l *Ledger) noteRequest(r *http.Request, sent []byte) {
	form, _ := url.ParseQuery(string(sent))
	query := r.URL.Query()
	public := append(append(append(form["client_id"], query["client_id"]...), form["username"]...), form["state"]...)
	note := func(kind Kind, value string) {
		for _, known := range public { // the test sends the same in a place where it is none
			if known == value {
				return
			}
		}
		if len(value) >= minSent {
			l.add(kind, value)
		}
	}
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if decoded, err := base64.StdEncoding.DecodeString(credentials); err == nil && strings.EqualFold(scheme, "Basic") {
		id, secret, _ := strings.Cut(string(decoded), ":")
		public = append(public, id)
		note(ClientSecret, secret)
		if plain, err := url.QueryUnescape(secret); err == nil {
			note(ClientSecret, plain)
		}
	} else if strings.EqualFold(scheme, "Bearer") {
		note(AccessToken, credentials)
	}
	for name, kind := range parameters {
		for _, value := range append(form[name], query[name]...) {
			note(kind, value)
		}
	}
	for _, cookie := range r.Cookies() {
		note(Cookie, cookie.Value)
	}
}

var (
	hiddenField = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`)
	attribute   = regexp.MustCompile(`(name|value)="([^"]*)"`)
)

func (l *Ledger) noteAnswer(answer *http.Response, received []byte) {
	for _, cookie := range answer.Cookies() {
		l.add(Cookie, cookie.Value)
	}
	if location, err := answer.Location(); err == nil {
		for name, kind := range map[string]Kind{"code": Code, "i": Interaction, "posted": Interaction, "account": Interaction} {
			l.add(kind, location.Query().Get(name))
		}
	}
	var object map[string]any
	if json.Unmarshal(received, &object) == nil {
		for name, kind := range members {
			if text, isText := object[name].(string); isText {
				l.add(kind, text)
			}
		}
		return
	}
	for _, tag := range hiddenField.FindAll(received, -1) {
		var name, value string
		for _, found := range attribute.FindAllSubmatch(tag, -1) {
			if string(found[1]) == "name" {
				name = string(found[2])
			} else {
				value = html.UnescapeString(string(found[2]))
			}
		}
		if kind, isSecret := fields[name]; isSecret {
			l.add(kind, value)
		}
	}
}

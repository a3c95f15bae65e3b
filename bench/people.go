package main

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// PKCE of every flow: RFC 7636 appendix B.
const (
	codeVerifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	codeChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// Scopes of the flows: the one that signs in, and the one that does not.
const (
	scopeOpenID  = "openid profile email es:read"
	scopeAPI     = "es:read"
	scopeConsent = "openid profile email offline_access es:read"
)

func authorization(scope, resource string) string {
	form := url.Values{
		"response_type": {"code"}, "client_id": {webID}, "redirect_uri": {redirectURI}, "scope": {scope}, "state": {"af0ifjsldkj"},
		"code_challenge": {codeChallenge}, "code_challenge_method": {"S256"},
	}
	if strings.HasPrefix(scope, "openid") {
		form.Set("nonce", "n-0S6_WzA2Mj")
	}
	if resource != "" {
		form.Set("resource", resource)
	}
	return "/authorize?" + form.Encode()
}

// browser is a person's, as far as the measurement needs one.
type browser struct {
	http   *http.Client
	origin string
}

func newBrowser(address string, transport http.RoundTripper) *browser {
	jar, _ := cookiejar.New(nil) // without options it cannot fail
	return &browser{&http.Client{Transport: transport, Jar: jar, Timeout: answerPatience,
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if r.URL.Host != address {
				return http.ErrUseLastResponse
			}
			return nil
		}}, "http://" + address}
}

// page is what a browser has come to: a page, or a redirect off the server.
type page struct {
	status         int
	text, location string
}

func (b *browser) open(method, path string, form url.Values) (page, error) {
	r, err := http.NewRequest(method, b.origin+path, strings.NewReader(form.Encode()))
	if err != nil {
		return page{}, err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.origin)
	}
	answered, err := b.http.Do(r)
	if err != nil {
		return page{}, err
	}
	defer answered.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answered.Body, maxDocument))
	return page{answered.StatusCode, string(text), answered.Header.Get("Location")}, err
}

var (
	hiddenField = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`)
	attribute   = regexp.MustCompile(`(name|value)="([^"]*)"`)
)

// fields returns the hidden fields of a page's form, and more, given as names
// and values in turn.
func (p page) fields(more ...string) url.Values {
	form := url.Values{}
	for _, tag := range hiddenField.FindAllString(p.text, -1) {
		named := map[string]string{}
		for _, found := range attribute.FindAllStringSubmatch(tag, -1) {
			named[found[1]] = html.UnescapeString(found[2])
		}
		form.Set(named["name"], named["value"])
	}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// signIn signs a user in and allows what the client asks for.
func (b *browser) signIn(user, scope string) (page, error) {
	at, err := b.open(http.MethodGet, authorization(scope, ""), nil)
	if err == nil && strings.Contains(at.text, `id="login-form"`) {
		at, err = b.open(http.MethodPost, "/login", at.fields("username", user, "password", password))
	}
	if err == nil && strings.Contains(at.text, `id="consent-allow"`) {
		at, err = b.open(http.MethodPost, "/consent", at.fields("decision", "allow"))
	}
	if err == nil && !strings.HasPrefix(at.location, redirectURI+"?code=") {
		err = fmt.Errorf("the sign-in ends at %d %s %.300s", at.status, at.location, at.text)
	}
	return at, err
}

// cookies returns the Cookie header that the browser sends.
func (b *browser) cookies() string {
	at, err := url.Parse(b.origin)
	if err != nil {
		return ""
	}
	var pairs []string
	for _, cookie := range b.http.Jar.Cookies(at) {
		pairs = append(pairs, cookie.Name+"="+cookie.Value)
	}
	return strings.Join(pairs, "; ")
}

// sessions returns the Cookie headers of all users, who are signed in when
// they are first needed.
func (s *stage) sessions() ([]string, error) {
	for i := len(s.signedIn); i < stageUsers; i++ {
		b := newBrowser(s.address, nil)
		if _, err := b.signIn(fmt.Sprintf("user%d", i), scopeConsent); err != nil {
			return nil, err
		}
		s.signedIn = append(s.signedIn, b.cookies())
	}
	return s.signedIn, nil
}

// flow goes from an authorization request with session and consent to tokens.
type flow struct {
	side      *side
	authorize []byte
	last      tokenAnswer // kept for whoever needs one
	keep      bool
}

func (s *side) flow(cookies, scope string) *flow {
	return &flow{side: s, authorize: request("GET", authorization(scope, s.stage.resource), s.address, "", "Cookie", cookies)}
}

func (f *flow) visit(w *wire) error {
	answered, err := w.do(f.authorize)
	if err != nil {
		return err
	}
	location := headerOf(answered.head, "Location")
	_, after, found := bytes.Cut(location, []byte("?code="))
	code, _, _ := bytes.Cut(after, []byte("&"))
	if answered.status != http.StatusSeeOther || !found || !bytes.HasPrefix(location, []byte(redirectURI)) {
		return fmt.Errorf("the authorization ends at %d %s %.300s", answered.status, location, answered.body)
	}
	form := "grant_type=authorization_code&code=" + string(code) + "&redirect_uri=" + url.QueryEscape(redirectURI) + "&code_verifier=" + codeVerifier
	answered, err = w.do(request("POST", "/token", f.side.address, form, "Authorization", basic(webID, webSecret)))
	if err != nil {
		return err
	}
	return f.take(answered)
}

func (f *flow) take(answered answer) error {
	access, err := member(answered.body, "access_token")
	if answered.status != http.StatusOK || err != nil {
		return fmt.Errorf("the code yields %d %.300s", answered.status, answered.body)
	}
	refresh, err := member(answered.body, "refresh_token")
	if err != nil {
		return err
	}
	f.side.seen.keep(access)
	id, err := member(answered.body, "id_token")
	if err == nil {
		f.side.seen.keep(id)
	}
	if f.keep {
		f.last = tokenAnswer{string(access), string(refresh), string(id)}
		return nil
	}
	return err
}

// flows returns visitors who let users that are signed in authorize the
// client.
func flows(s *side, n int) ([]visitor, error) {
	sessions, err := s.stage.sessions()
	if err != nil {
		return nil, err
	}
	var visitors []visitor
	for i := range n {
		visitors = append(visitors, s.flow(sessions[i%len(sessions)], scopeOpenID))
	}
	return visitors, nil
}

// grants returns what n flows of the server yielded.
func (s *stage) grants(n int, scope string) ([]tokenAnswer, error) {
	sessions, err := s.sessions()
	if err != nil {
		return nil, err
	}
	server := &side{address: s.address, stage: s, keys: s.keys}
	w, err := dial(s.address)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var answers []tokenAnswer
	for i := range n {
		f := server.flow(sessions[i%len(sessions)], scope)
		f.keep = true
		if err := f.visit(w); err != nil {
			return nil, err
		}
		answers = append(answers, f.last)
	}
	return answers, nil
}

// refreshing uses a refresh token for the next one, again and again.
type refreshing struct {
	side  *side
	token string
}

func (r *refreshing) visit(w *wire) error {
	answered, err := w.do(request("POST", "/token", r.side.address, "grant_type=refresh_token&refresh_token="+r.token, "Authorization", basic(webID, webSecret)))
	if err != nil {
		return err
	}
	access, err := member(answered.body, "access_token")
	if answered.status != http.StatusOK || err != nil {
		return fmt.Errorf("the refresh token yields %d %.300s", answered.status, answered.body)
	}
	next, err := member(answered.body, "refresh_token")
	if err != nil {
		return err
	}
	r.side.seen.keep(access)
	if r.side.limit == nil && string(next) == r.token {
		return errors.New("the refresh token was not replaced")
	}
	r.token = string(next)
	return nil
}

func refreshes(s *side, n int) ([]visitor, error) {
	var tokens []string
	if s.limit != nil {
		tokens = s.limit.Tokens
	} else {
		grants, err := s.stage.grants(n, scopeAPI)
		if err != nil {
			return nil, err
		}
		for _, grant := range grants {
			tokens = append(tokens, grant.RefreshToken)
		}
	}
	var visitors []visitor
	for _, token := range tokens[:n] {
		visitors = append(visitors, &refreshing{s, token})
	}
	return visitors, nil
}

// userinfos ask who the users are whose tokens they have.
func userinfos(s *side, n int) ([]visitor, error) {
	grants, err := s.stage.grants(presentedTokens, scopeOpenID)
	if err != nil {
		return nil, err
	}
	var requests [][]byte
	for _, grant := range grants {
		requests = append(requests, request("GET", "/userinfo", s.address, "", "Authorization", "Bearer "+grant.AccessToken))
	}
	return askers(n, requests, func(a answer) error {
		if !bytes.HasPrefix(a.body, []byte(`{"sub":"`)) || !bytes.Contains(a.body, []byte(`"email":"user`)) {
			return fmt.Errorf("unexpected userinfo %.300s", a.body)
		}
		return nil
	}), nil
}

// signingIn signs in with a new browser each time, as far as the session.
type signingIn struct {
	side      *side
	transport *http.Transport
}

func (v signingIn) visit(*wire) error {
	if v.side.limit != nil {
		at, err := newBrowser(v.side.address, v.transport).open(http.MethodPost, "/login", url.Values{"password": {password}})
		if err == nil && at.status != http.StatusSeeOther {
			err = fmt.Errorf("the bare limit answers %d %s", at.status, at.text)
		}
		return err
	}
	_, err := newBrowser(v.side.address, v.transport).signIn("user0", scopeOpenID)
	return err
}

func signIns(s *side, n int) ([]visitor, error) {
	if _, err := s.stage.sessions(); err != nil { // with the consents
		return nil, err
	}
	var visitors []visitor
	for range n {
		visitors = append(visitors, signingIn{s, &http.Transport{}})
	}
	return visitors, nil
}

package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	apacheProgram = "/usr/sbin/apache2" // not on everybody's PATH
	openidcModule = "/usr/lib/apache2/modules/mod_auth_openidc.so"
)

// apache is Debian's Apache with mod_auth_openidc, between a person or a
// machine and its pages.
type apache struct {
	*testing.T
	server   *stage
	trusting http.RoundTripper
	visitor  *walker // greta, once she has signed in
	names    []string
}

func testApache(t *testing.T, server *stage) {
	for _, file := range []string{apacheProgram, openidcModule} {
		if _, err := os.Stat(file); err != nil {
			missing(t, file+" is missing: apt-get install apache2 libapache2-mod-auth-openidc")
		}
	}
	a := &apache{T: t, server: server, trusting: server.trusting(t)}
	a.start()
	a.check("redirect-to-sign-in", a.redirectToSignIn)
	a.check("protected-page-shows-claims", a.protectedPage)
	a.check("session-of-apache", a.sessionOfApache)
	a.check("page-of-somebody-else-refused", a.pageOfSomebodyElse)
	a.check("refresh", a.refresh)
	a.check("token-for-another-audience-refused", a.tokenForAnotherAudience)
	a.check("logout", a.logout)
	a.check("no-token-refused", a.noToken)
	for _, format := range []string{"opaque", "jwt"} {
		a.check(format+"-token-accepted", func(t *testing.T) { a.tokenAccepted(t, format) })
		a.check(format+"-token-revoked-refused", func(t *testing.T) { a.revokedTokenRefused(t, format) })
	}
	a.check("scope-that-the-page-requires", a.requiredScope)
	if wanted := apacheChecks(); !slices.Equal(a.names, wanted) {
		t.Errorf("the checks were\n%s\nwant\n%s", strings.Join(a.names, "\n"), strings.Join(wanted, "\n"))
	}
}

func (a *apache) check(name string, body func(t *testing.T)) {
	a.names = append(a.names, name)
	a.Run(name, body)
}

// trusting returns a transport that knows the server's certificate.
func (s *stage) trusting(t *testing.T) http.RoundTripper {
	t.Helper()
	chain, err := os.ReadFile(s.authority)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// start runs an Apache of its own on a configuration of its own until the
// test ends. Its children run as www-data, which cannot look into t.TempDir.
func (a *apache) start() {
	a.Helper()
	dir, err := os.MkdirTemp("/tmp", "gatehouse-apache-")
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		a.Fatal(err)
	}
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			a.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			a.Fatal(err)
		}
	}
	write("pages/out.html", "signed out")
	for _, name := range []string{"secure/claims.html", "secure/otto.html", "api/any.html", "api/notes.html"} {
		var page strings.Builder
		for _, claim := range []string{"sub", "name", "email", "client_id", "scope"} {
			fmt.Fprintf(&page, "%s=<!--#echo var=\"OIDC_CLAIM_%s\" -->\n", claim, claim)
		}
		write("pages/"+name, page.String())
	}
	authority, err := os.ReadFile(a.server.authority)
	if err != nil {
		a.Fatal(err)
	}
	write("authority.pem", string(authority))
	configuration := filepath.Join(dir, "apache.conf")
	a.server.fill(a.T, "apache.conf", configuration, "ADDRESS", strings.TrimPrefix(a.server.Apache, "https://"), "DIR", dir,
		"ISSUER", a.server.Dev.Issuer, "CERTIFICATE", a.server.authority,
		"KEY", filepath.Join(filepath.Dir(a.server.authority), "key.pem"))

	var said bytes.Buffer
	command := exec.Command(apacheProgram, "-d", dir, "-f", configuration, "-DFOREGROUND")
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		a.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	a.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(stopsWithin, func() { _ = command.Process.Kill() })
		defer timer.Stop()
		<-ended
		if log, err := os.ReadFile(filepath.Join(dir, "error.log")); a.Failed() && err == nil {
			a.Logf("Apache's log:\n%s", log)
		}
	})
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(50 * time.Millisecond) {
		response, err := a.newVisitor(a.T).client.Get(a.server.Apache + "/out.html")
		if err == nil {
			_ = response.Body.Close()
			return
		}
		select {
		case <-ended:
			a.Fatalf("Apache ended: %s", said.String())
		default:
		}
		if time.Now().After(deadline) {
			a.Fatalf("Apache was not ready after %v: %v", readyWithin, err)
		}
	}
}

func (a *apache) newVisitor(t *testing.T) *walker {
	w := newWalker(t)
	w.client.Transport = a.trusting
	return w
}

var apacheGreta = person{"greta", "a swim across the lake"}

const gretasClaims = "sub=user-greta\nname=Greta Go\nemail=greta@example.com\n"

func (a *apache) redirectToSignIn(t *testing.T) {
	end := a.newVisitor(t).walk(t, a.server.Apache+"/secure/claims.html", a.server.Dev.Issuer+"/", apacheGreta)
	query := end.address.Query()
	if query.Get("client_id") != "interop-apache" || query.Get("code_challenge_method") != "S256" || query.Get("response_type") != "code" {
		t.Errorf("redirected to %s", end.address)
	}
}

func (a *apache) protectedPage(t *testing.T) {
	visitor := a.newVisitor(t)
	end := visitor.walk(t, a.server.Apache+"/secure/claims.html", "", apacheGreta)
	if end.status != http.StatusOK || !strings.HasPrefix(end.body, gretasClaims) {
		t.Fatalf("%s answered %d: %s", end.address, end.status, end.body)
	}
	a.visitor = visitor
}

// signedIn returns the visitor, or ends the test if the sign-in failed.
func (a *apache) signedIn(t *testing.T) *walker {
	t.Helper()
	if a.visitor == nil {
		t.Fatal("nobody has signed in")
	}
	return a.visitor
}

func (a *apache) sessionOfApache(t *testing.T) {
	end := a.signedIn(t).walk(t, a.server.Apache+"/secure/claims.html", a.server.Dev.Issuer, person{})
	if end.status != http.StatusOK || !strings.HasPrefix(end.body, gretasClaims) {
		t.Errorf("%s answered %d: %s", end.address, end.status, end.body)
	}
}

func (a *apache) pageOfSomebodyElse(t *testing.T) {
	end := a.signedIn(t).walk(t, a.server.Apache+"/secure/otto.html", a.server.Dev.Issuer, person{})
	if end.status != http.StatusUnauthorized && end.status != http.StatusForbidden {
		t.Errorf("%s answered %d", end.address, end.status)
	}
}

// session is what the module tells of greta's session.
type session struct {
	AccessToken  string                `json:"access_token"`
	RefreshToken string                `json:"refresh_token"`
	IDToken      struct{ Sub string }  `json:"id_token"`
	UserInfo     struct{ Name string } `json:"userinfo"`
}

func (a *apache) session(t *testing.T) (told session) {
	t.Helper()
	end := a.signedIn(t).walk(t, a.server.Apache+"/secure/redirect_uri?info=json", a.server.Dev.Issuer, person{})
	if err := json.Unmarshal([]byte(end.body), &told); err != nil || told.AccessToken == "" || told.IDToken.Sub != "user-greta" || told.UserInfo.Name != "Greta Go" {
		t.Fatalf("the session is %d %s, %v", end.status, end.body, err)
	}
	return told
}

// The module repeats the scopes of its first request when it refreshes.
func (a *apache) refresh(t *testing.T) {
	before := a.session(t)
	query := url.Values{"refresh": {a.server.Apache + "/secure/claims.html"}, "access_token": {before.AccessToken}}
	end := a.visitor.walk(t, a.server.Apache+"/secure/redirect_uri?"+query.Encode(), a.server.Dev.Issuer, person{})
	if end.status != http.StatusOK || !strings.HasPrefix(end.body, gretasClaims) || end.address.RawQuery != "" {
		t.Errorf("%s answered %d: %s", end.address, end.status, end.body)
	}
	if after := a.session(t); after.AccessToken == before.AccessToken || after.RefreshToken == before.RefreshToken {
		t.Error("the refresh brought nothing new")
	}
}

func (a *apache) tokenForAnotherAudience(t *testing.T) {
	a.api(t, "/api/any.html", a.session(t).AccessToken, http.StatusUnauthorized)
}

func (a *apache) logout(t *testing.T) {
	out := a.server.Apache + "/out.html"
	visitor := a.signedIn(t)
	end := visitor.walk(t, a.server.Apache+"/secure/redirect_uri?"+url.Values{"logout": {out}}.Encode(), "", person{})
	if end.status != http.StatusOK || end.body != "signed out" {
		t.Fatalf("%s answered %d: %.600s", end.address, end.status, end.body)
	}
	// Signed out of both: Apache asks the server, which knows nobody.
	end = visitor.walk(t, a.server.Apache+"/secure/claims.html", a.server.Dev.Issuer+"/", person{})
	end = visitor.walk(t, end.address.String()+"&prompt=none", a.server.Apache+"/secure/redirect_uri?", person{})
	if got := end.address.Query().Get("error"); got != "login_required" {
		t.Errorf("%s answered with the error %q, want login_required", end.address.Path, got)
	}
	end = visitor.walk(t, a.server.Apache+"/secure/claims.html", "", apacheGreta)
	if !strings.HasPrefix(end.body, gretasClaims) {
		t.Errorf("signing in again ended at %s with %d", end.address, end.status)
	}
}

// api asks Apache for a page with a bearer token and returns the page.
func (a *apache) api(t *testing.T, path, bearer string, status int) string {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, a.server.Apache+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := a.newVisitor(t).client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != status {
		t.Errorf("GET %s answered %s, want %d: %s", path, response.Status, status, body.String())
	}
	return body.String()
}

func (a *apache) noToken(t *testing.T) {
	a.api(t, "/api/any.html", "", http.StatusUnauthorized)
	a.api(t, "/api/any.html", "no-such-token", http.StatusUnauthorized)
}

// token gets a machine's token of one format.
func (a *apache) token(t *testing.T, format string) string {
	t.Helper()
	resource, scope := "https://notes.example", "notes:read"
	if format == "jwt" {
		resource, scope = "https://photos.example", "photos:read"
	}
	config := clientcredentials.Config{
		ClientID: "interop-machine", ClientSecret: "interop-machine-0123456789abcdefghijklmnop",
		TokenURL: a.server.Dev.Issuer + "/token", AuthStyle: oauth2.AuthStyleInHeader,
		Scopes: []string{scope}, EndpointParams: url.Values{"resource": {resource}},
	}
	tokens, err := config.Token(context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: a.trusting}))
	if err != nil {
		t.Fatal(err)
	}
	if isJWT := strings.Count(tokens.AccessToken, ".") == 2; isJWT != (format == "jwt") {
		t.Fatalf("the token is not of the format %s", format)
	}
	return tokens.AccessToken
}

func (a *apache) tokenAccepted(t *testing.T, format string) {
	body := a.api(t, "/api/any.html", a.token(t, format), http.StatusOK)
	if !strings.Contains(body, "\nclient_id=interop-machine\n") || !strings.Contains(body, ":read\n") {
		t.Errorf("Apache's page saw %s", body)
	}
}

func (a *apache) revokedTokenRefused(t *testing.T, format string) {
	token, other := a.token(t, format), a.token(t, format)
	a.api(t, "/api/any.html", token, http.StatusOK)
	form := strings.NewReader(url.Values{"token": {token}}.Encode())
	request, err := http.NewRequest(http.MethodPost, a.server.Dev.Issuer+"/revoke", form)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("interop-machine", "interop-machine-0123456789abcdefghijklmnop")
	response, err := a.newVisitor(t).client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("revocation answered %s", response.Status)
	}
	a.api(t, "/api/any.html", token, http.StatusUnauthorized)
	a.api(t, "/api/any.html", other, http.StatusOK)
}

func (a *apache) requiredScope(t *testing.T) {
	a.api(t, "/api/notes.html", a.token(t, "jwt"), http.StatusUnauthorized)
	a.api(t, "/api/notes.html", a.token(t, "opaque"), http.StatusOK)
}

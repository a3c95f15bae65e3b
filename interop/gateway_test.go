package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"gatehouse/internal/spec"
)

const nginxProgram = "/usr/sbin/nginx"

// TestGateway puts Debian's nginx and Caddy in front of an API, with the configurations of
// deploy/ and the gateway deciding about each request.
func TestGateway(t *testing.T) {
	server := serve(t)
	g := &decided{stage: server, address: freeAddress(t), trusting: server.trusting(t)}
	configuration := filepath.Join(t.TempDir(), "gateway.yaml")
	server.fill(t, "gateway.yaml", configuration, "ISSUER", server.Dev.Issuer, "CERTIFICATE", server.authority, "DECISIONS", g.address)
	g.gateway = &stage{}
	g.gateway.run(t, "gateway", "--config", configuration)
	g.waitFor(t, "http://"+g.address+"/readyz", g.gateway)
	g.api = httptest.NewServer(http.HandlerFunc(g.serveAPI))
	t.Cleanup(g.api.Close)
	for name, start := range map[string]func(*testing.T){"nginx": g.startNginx, "caddy": g.startCaddy} {
		t.Run(name, func(t *testing.T) {
			start(t)
			g.checks(t, name)
		})
	}
	t.Run("log", func(t *testing.T) {
		if !strings.Contains(g.gateway.log.String(), `"msg":"decision"`) {
			t.Error("the gateway logged no decision")
		}
		assertQuietLog(t, &stage{log: g.gateway.log})
	})
	t.Run("stop", func(t *testing.T) { g.gateway.stop(t); server.stop(t) })
}

// decided is an API behind a proxy that asks the gateway.
type decided struct {
	*stage          // the server
	gateway  *stage // the process that decides
	address  string // where it does
	trusting http.RoundTripper
	api      *httptest.Server
	proxy    string // the address of the proxy under test

	mu   sync.Mutex
	seen []apiSaw
}

type apiSaw struct {
	target string
	header http.Header
}

func (d *decided) serveAPI(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.seen = append(d.seen, apiSaw{r.RequestURI, r.Header.Clone()})
	d.mu.Unlock()
	if status := r.Header.Get("X-Answer"); status != "" {
		w.Header().Set("WWW-Authenticate", "The API's own")
		w.WriteHeader(map[string]int{"401": 401, "403": 403, "500": 500, "503": 503}[status])
	}
	_, _ = io.WriteString(w, "the API")
}

// saw returns what the API has seen since it was asked last.
func (d *decided) saw() []apiSaw {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := d.seen
	d.seen = nil
	return seen
}

func (d *decided) waitFor(t *testing.T, address string, process *stage) {
	t.Helper()
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(50 * time.Millisecond) {
		response, err := http.Get(address)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode != http.StatusServiceUnavailable {
				return
			}
		}
		select {
		case <-process.ended:
			t.Fatalf("it ended: %v\n%s", process.outcome, process.log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not ready after %v: %v\n%s", address, readyWithin, err, process.log)
		}
	}
}

// deployed is a file of deploy/ with the test's addresses.
func (d *decided) deployed(t *testing.T, name string, more ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	pairs := append([]string{"127.0.0.1:8061", d.address, "127.0.0.1:9000", strings.TrimPrefix(d.api.URL, "http://"), "127.0.0.1:8080", d.proxy}, more...)
	return strings.NewReplacer(pairs...).Replace(string(text))
}

// start runs a proxy until the test ends.
func (d *decided) start(t *testing.T, program, dir string, arguments ...string) {
	t.Helper()
	process := &stage{log: &lockedBuffer{}, ended: make(chan struct{})}
	command := exec.Command(program, arguments...)
	command.Dir, command.Stdout, command.Stderr = dir, process.log, process.log
	command.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		process.outcome = command.Wait()
		close(process.ended)
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(stopsWithin, func() { _ = command.Process.Kill() })
		defer timer.Stop()
		<-process.ended
		if t.Failed() {
			t.Logf("the proxy's log:\n%s", process.log)
		}
	})
	d.waitFor(t, "http://"+d.proxy+"/public/ready", process)
}

func (d *decided) startNginx(t *testing.T) {
	if _, err := os.Stat(nginxProgram); err != nil {
		missing(t, nginxProgram+" is missing: apt-get install nginx")
	}
	dir := t.TempDir()
	d.proxy = freeAddress(t)
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr warn;
events { worker_connections 128; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
%[2]s
}
`, dir, d.deployed(t, "nginx/gateway.conf"))
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(t, nginxProgram, dir, "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
}

func (d *decided) startCaddy(t *testing.T) {
	program, err := exec.LookPath("caddy")
	if err != nil {
		missing(t, "caddy is missing: apt-get install caddy")
	}
	dir := t.TempDir()
	d.proxy = freeAddress(t)
	text := "{\n\tadmin off\n\tauto_https off\n}\n" + d.deployed(t, "caddy/Caddyfile", "api.example.com {", "http://"+d.proxy+" {\n\tbind 127.0.0.1")
	if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(t, program, dir, "run", "--config", filepath.Join(dir, "Caddyfile"), "--adapter", "caddyfile")
}

// checks are the same for each proxy.
func (d *decided) checks(t *testing.T, proxy string) {
	var names []string
	check := func(name string, body func(*testing.T)) {
		names = append(names, name)
		d.saw()
		t.Run(name, body)
	}
	for _, format := range []string{"jwt", "opaque"} {
		path := map[string]string{"jwt": "/photos/1", "opaque": "/notes/1"}[format]
		check(format+"-token-let-in", func(t *testing.T) { d.letIn(t, format, path) })
		check(format+"-token-revoked-refused", func(t *testing.T) { d.revoked(t, format, path) })
	}
	check("challenges", func(t *testing.T) { d.challenges(t, proxy) })
	check("limits", d.limits)
	check("answers-of-the-api", d.answers)
	check("words-of-the-client", func(t *testing.T) { d.words(t) })
	check("paths", d.paths)
	if wanted := decidedChecks(); !slices.Equal(names, wanted) {
		t.Errorf("the checks were\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(wanted, "\n"))
	}
}

// send sends a request as it is written, and returns the answer.
func (d *decided) send(t *testing.T, method, target string, headers ...string) (*http.Response, string) {
	t.Helper()
	connection, err := net.DialTimeout("tcp", d.proxy, stopsWithin)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(stopsWithin))
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, d.proxy)
	for i := 0; i < len(headers); i += 2 {
		fmt.Fprintf(&text, "%s: %s\r\n", headers[i], headers[i+1])
	}
	text.WriteString("\r\n")
	if _, err := connection.Write(text.Bytes()); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// accessToken gets a machine's token of one format.
func (d *decided) accessToken(t *testing.T, format string) string {
	t.Helper()
	resource, scope := "https://notes.example", "notes:read"
	if format == "jwt" {
		resource, scope = "https://photos.example", "photos:read"
	}
	config := clientcredentials.Config{
		ClientID: "interop-machine", ClientSecret: "interop-machine-0123456789abcdefghijklmnop",
		TokenURL: d.Dev.Issuer + "/token", AuthStyle: oauth2.AuthStyleInHeader, Scopes: []string{scope}, EndpointParams: url.Values{"resource": {resource}},
	}
	tokens, err := config.Token(context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: d.trusting}))
	if err != nil {
		t.Fatal(err)
	}
	return tokens.AccessToken
}

func (d *decided) letIn(t *testing.T, format, path string) {
	token := d.accessToken(t, format)
	response, body := d.send(t, "GET", path+"?size=%2F&x=/admin", "Authorization", "Bearer "+token)
	if response.StatusCode != http.StatusOK || body != "the API" {
		t.Fatalf("%d %v %s", response.StatusCode, response.Header, body)
	}
	saw := d.saw()
	if len(saw) != 1 || saw[0].target != path+"?size=%2F&x=/admin" {
		t.Fatalf("the API saw %v", saw)
	}
	text, _ := json.Marshal(saw[0].header)
	if h := saw[0].header; h.Get("X-Gatehouse-Client-Id") != "interop-machine" || h.Get("X-Gatehouse-Issuer") != d.Dev.Issuer || h.Get("X-Gatehouse-Scope") == "" || h.Get("X-Gatehouse-Identity")+h.Get("Authorization") != "" || strings.Contains(string(text), token) {
		t.Errorf("the API saw %s", text)
	}
}

// revoked waits for the end of a token to be felt.
func (d *decided) revoked(t *testing.T, format, path string) {
	token, other := d.accessToken(t, format), d.accessToken(t, format)
	if response, body := d.send(t, "GET", path, "Authorization", "Bearer "+token); response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", response.StatusCode, body)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.Dev.Issuer+"/revoke", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("interop-machine", "interop-machine-0123456789abcdefghijklmnop")
	response, err := d.trusting.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	began := time.Now()
	for {
		response, _ := d.send(t, "GET", path, "Authorization", "Bearer "+token)
		if response.StatusCode == http.StatusUnauthorized && strings.Contains(response.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			break
		}
		if time.Since(began) > stopsWithin {
			t.Fatalf("a revoked token is still answered with %d", response.StatusCode)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("felt after %v", time.Since(began).Round(time.Millisecond))
	if response, body := d.send(t, "GET", path, "Authorization", "Bearer "+other); response.StatusCode != http.StatusOK {
		t.Errorf("another token: %d %s", response.StatusCode, body)
	}
}

func (d *decided) challenges(t *testing.T, proxy string) {
	token := d.accessToken(t, "jwt")
	for about, test := range map[string]struct {
		method, target string
		headers        []string
		status         int
		challenge      string
	}{
		"no token":       {"GET", "/photos/1", nil, 401, `Bearer realm="gatehouse", scope="photos:read"`},
		"a bad token":    {"GET", "/photos/1", []string{"Authorization", "Bearer nonsense"}, 401, `error="invalid_token"`},
		"another scope":  {"PUT", "/photos/1", []string{"Authorization", "Bearer " + token, "Content-Length", "0"}, 403, `error="insufficient_scope"`},
		"two tokens":     {"GET", "/photos/1?access_token=x", []string{"Authorization", "Bearer " + token}, 400, `error="invalid_request"`},
		"no route":       {"GET", "/nothing", []string{"Authorization", "Bearer " + token}, 404, ""},
		"a network":      {"GET", "/abroad", nil, 403, ""},
		"another method": {"DELETE", "/photos/1/2", []string{"Authorization", "Basic eDp5"}, 401, "Bearer"},
	} {
		response, _ := d.send(t, test.method, test.target, test.headers...)
		if response.StatusCode != test.status || !strings.Contains(response.Header.Get("WWW-Authenticate"), test.challenge) || len(response.Header["Www-Authenticate"]) > 1 {
			t.Errorf("%s: %d %v", about, response.StatusCode, response.Header)
		}
	}
	if saw := d.saw(); len(saw) > 0 {
		t.Errorf("the API saw %v", saw)
	}
}

func (d *decided) limits(t *testing.T) {
	var last *http.Response
	for range 3 {
		last, _ = d.send(t, "GET", "/scarce")
	}
	if last.StatusCode != http.StatusTooManyRequests || last.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", last.StatusCode, last.Header)
	}
}

// answers of the API pass as they are, also those that the gateway could have given.
func (d *decided) answers(t *testing.T) {
	for _, status := range []string{"401", "403", "500", "503"} {
		response, body := d.send(t, "GET", "/public/x", "X-Answer", status)
		if fmt.Sprint(response.StatusCode) != status || body != "the API" || response.Header.Get("WWW-Authenticate") != "The API's own" {
			t.Errorf("%s: %d %v %s", status, response.StatusCode, response.Header, body)
		}
	}
}

// words of the client in the place of the proxy's or the gateway's change nothing and
// reach nobody.
func (d *decided) words(t *testing.T) {
	spec.Covers(t, "PX-01", "PX-02", "PX-04", "PX-06")
	token := d.accessToken(t, "jwt")
	for _, headers := range [][]string{
		{"X-Forwarded-Uri", "/public/x"}, {"X-Forwarded-Method", "OPTIONS"}, {"X-Forwarded-Host", "else.example"}, {"X-Forwarded-Proto", "http"}, {"X_Forwarded_Uri", "/public/x"},
		{"X-Original-URI", "/public/x"}, {"X-Original-URL", "http://x/public/x"}, {"X-Rewrite-URL", "/public/x"}, {"Connection", "X-Forwarded-Uri"}, {"X-Forwarded-Uri", "/public/x", "X-Forwarded-Uri", "/public/y"},
	} {
		if response, _ := d.send(t, "GET", "/admin", headers...); response.StatusCode == http.StatusOK {
			t.Errorf("%v opened /admin", headers)
		}
	}
	// From the network that the route is for, by the client's word.
	if response, _ := d.send(t, "GET", "/abroad", "X-Forwarded-For", "192.0.2.7", "X-Real-IP", "192.0.2.7", "Forwarded", "for=192.0.2.7"); response.StatusCode != http.StatusForbidden {
		t.Errorf("an address that the client invents: %d", response.StatusCode)
	}
	if saw := d.saw(); len(saw) > 0 {
		t.Fatalf("the API saw %v", saw)
	}
	for _, name := range []string{"X-Gatehouse-Subject", "x-gatehouse-client-id", "X_Gatehouse_Subject", "X-Gatehouse_Subject", "X-Gatehouse-Identity", "X-Gatehouse-Else"} {
		for _, path := range []string{"/public/x", "/photos/1"} {
			for _, more := range [][]string{nil, {"Connection", "close, X-Gatehouse-Client-Id, X-Gatehouse-Subject"}} {
				response, _ := d.send(t, "GET", path, append([]string{"Authorization", "Bearer " + token, name, "root"}, more...)...)
				for _, one := range d.saw() {
					text, _ := json.Marshal(one.header)
					if strings.Contains(string(text), "root") || strings.Contains(string(text), token) {
						t.Errorf("%s at %s: answered %d, and the API saw %s", name, path, response.StatusCode, text)
					}
					if path == "/public/x" && strings.Contains(string(text), "http.reverse_proxy") {
						t.Errorf("the API saw %s", text)
					}
					if path == "/photos/1" && one.header.Get("X-Gatehouse-Client-Id") != "interop-machine" {
						t.Errorf("%s %v: the API is not told who asks: %s", name, more, text)
					}
				}
			}
		}
	}
}

// paths that a proxy, the gateway and an API could read in different ways: whatever the API
// gets without a token is below /public, in each reading.
func (d *decided) paths(t *testing.T) {
	spec.Covers(t, "PN-01", "PN-03")
	for _, target := range []string{
		"/admin", "/admin?x=/public/", "/admin?/public/x", "/public/../admin", "/public/..%2fadmin", "/public/..%2Fadmin", "/public/%2e%2e/admin", "/public/%2e%2e%2fadmin", "/public/.%2e/admin",
		"//admin", "///admin", "/public//../admin", "/public//x", "/./admin", "/public/./x", "/admin/", "/ADMIN", "/Admin", "/admin;x", "/admin;/public/x", "/public/;/../admin", "/public/..;/admin",
		"/%61dmin", "/%2561dmin", "/public/%252e%252e/admin", "/public..", `/public\..\admin`, `/public/..\admin`, "/public/..%5cadmin", "/public/%00/../admin", "/public%2fx", "/admin%2fx", "/admin%20", "/admin%09", "/admin%0a",
		"/admin#/public/x", "/public/x#", "/admin%23/public", "/admin%3f/public/x", "/public/x/..", "/public/x/../../admin", "/public/%c0%ae%c0%ae/admin", "/public/caf%C3%A9", "/public/caf%E9", "/public/x?y=%2e%2e/admin", "/public/x??#",
		"http://" + d.proxy + "/admin", "http://" + d.proxy + "/public/../admin", "http://else.example/admin", "*", "admin",
	} {
		response, _ := d.send(t, "GET", target)
		for _, one := range d.saw() {
			path, _, _ := strings.Cut(one.target, "?")
			rest, below := strings.CutPrefix(path, "/public/")
			if !below || strings.Contains(rest, "..") || strings.Contains(strings.ToLower(rest), "%2e") || strings.ContainsAny(rest, `\;`) || strings.Contains(rest, "//") || one.target != target && one.target != strings.ReplaceAll(target, "#", "%23") {
				t.Errorf("%s: answered %d, and the API saw %s", target, response.StatusCode, one.target)
			}
		}
	}
	for _, target := range []string{"/public/x", "/public/caf%C3%A9", "/public/a/b?c=/../admin"} {
		response, _ := d.send(t, "GET", target)
		if saw := d.saw(); response.StatusCode != http.StatusOK || len(saw) != 1 || saw[0].target != target {
			t.Errorf("%s: %d, and the API saw %v", target, response.StatusCode, saw)
		}
	}
}

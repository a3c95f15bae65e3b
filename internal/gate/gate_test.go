package gate_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/gateway"
	"gatehouse/internal/gate"
	"gatehouse/internal/redistest"
	"gatehouse/internal/spec"
	"gatehouse/jose"
)

// The process serves clients: what routes and descriptions let in, and its own endpoints.
func TestClients(t *testing.T) {
	spec.Covers(t, "FT-32")
	i := newIssuer(t)
	key, err := jose.GenerateKey(jose.ES256, "gw")
	if err != nil {
		t.Fatal(err)
	}
	der, err := key.MarshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, place(t, with(files(yaml(i.URL, echo(t), "log: {access: true}\nidentity: {issuer: 'https://gateway.example', keys: [{id: gw, alg: ES256, file: gw.pem}]}\nredis: {addresses: ['"+redistest.Start(t).Addr()+"']}\n")),
		map[string]string{"gw.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})))
	read, albums := i.token(t, "photos:read", "one"), i.token(t, "albums:read", "two")
	for _, test := range []struct {
		path   string
		token  string
		status int
		says   string
	}{
		{"/photos/1?x=1", read, 200, `"target":"/photos/1?x=1"`},
		{"/photos/1", "", 401, ""}, {"/photos/1", albums, 403, "insufficient_scope"}, {"/photos/1", "x" + read, 401, "invalid_token"},
		{"/albums/7", albums, 200, "/albums/7"}, {"/albums/7", read, 403, "albums"},
		{"/admin", read, 403, ""}, {"/public/x", "", 200, "/public/x"}, {"/nothing", read, 404, ""}, {"/office", read, 200, ""},
		{"/.gatehouse/livez", "", 200, "live"}, {"/.gatehouse/readyz", "", 200, "ready"}, {"/.gatehouse/jwks.json", "", 200, `"kid":"gw"`}, {"/.gatehouse/else", "", 404, ""}, {"/decide", "", 404, ""},
	} {
		var headers []string
		if test.token != "" {
			headers = bearer(test.token)
		}
		status, header, text := get(t, g.public+test.path, headers...)
		if status != test.status || test.says != "" && !strings.Contains(text+header.Get("Www-Authenticate"), test.says) {
			t.Errorf("%s: %d %v %s", test.path, status, header, text)
		}
	}
	if _, _, text := get(t, g.public+"/photos/1", append(bearer(read), "X-Gatehouse-Subject", "root")...); !strings.Contains(text, `"X-Gatehouse-Subject":["alice"]`) || strings.Contains(text, "root") || strings.Contains(text, read) {
		t.Errorf("the upstream saw %s", text)
	}
	if status, _, _ := get(t, g.public+"/public/x", "X-Long", strings.Repeat("x", 64<<10)); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a long header: %d", status)
	}
	g.stopped()
	for _, line := range []string{`"msg":"decision","decision":"allowed","reason":"allowed","route":"albums.showAlbum"`, `"path":"/admin","status":403`} {
		if !strings.Contains(g.log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, g.log)
		}
	}
	if strings.Contains(g.log.String(), "a-secret") || strings.Contains(g.log.String(), read) {
		t.Errorf("the log holds a secret:\n%s", g.log)
	}
}

// At the gateway's own endpoints, too, a request ends its connection if somebody before
// may have found another end of it (RFC 9112 §6.1, §6.3).
func TestOwnEndpointsEndConnections(t *testing.T) {
	spec.Covers(t, "PX-13")
	i := newIssuer(t)
	g := start(t, place(t, files(yaml(i.URL, echo(t), "decisions: {listen: '127.0.0.1:8061', proxies: [127.0.0.1]}\nlisten: '127.0.0.1:8060'\n"))))
	for _, address := range []string{g.public + "/.gatehouse/livez", g.public + "/.gatehouse/readyz", g.public + "/.gatehouse/jwks.json", g.public + "/public/x", g.decisions + "/livez", g.decisions + "/readyz", g.decisions + "/decide", g.decisions + "/else"} {
		at, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			head  string
			count int
		}{
			{" HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n", 1},
			{" HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", 1},
			{" HTTP/1.1\r\nContent-Length: 5\r\n", 2}, // of which everybody finds the same end
		} {
			connection, err := net.Dial("tcp", at.Host)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.WriteString(connection, "POST "+at.Path+test.head+"Host: a.example\r\n\r\n0\r\n\r\n"+"GET /public/hidden HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
			answers, failed := io.ReadAll(connection)
			if count := strings.Count(string(answers), "HTTP/1."); err != nil || failed != nil && count == 0 || count != test.count {
				t.Errorf("%s, %q: %v, %v; %d answers, want %d: %s", at, test.head, err, failed, count, test.count, answers)
			}
			_ = connection.Close()
		}
	}
}

// A process may only decide; a revoked token is refused at once.
func TestProxiesAsk(t *testing.T) {
	i := newIssuer(t)
	g := start(t, place(t, files(yaml(i.URL, echo(t), "decisions: {listen: '127.0.0.1:8061', proxies: [127.0.0.1]}\n"))))
	if g.public != "" {
		t.Error("clients are served, and nobody asked for that")
	}
	read := i.token(t, "photos:read", "one")
	status, header, _ := get(t, g.decisions+"/decide", asked("GET", "/photos/1", bearer(read)...)...)
	if status != 200 || header.Get("X-Gatehouse-Subject") != "alice" || header.Get("X-Gatehouse-Client-Id") != "web" || header.Get("Authorization") != "" || header["Authorization"] == nil {
		t.Errorf("%d %v", status, header)
	}
	for about, test := range map[string]struct {
		headers []string
		status  int
		says    string
	}{
		"no token":          {asked("GET", "/photos/1"), 401, `Bearer realm="gatehouse", scope="photos:read"`},
		"another scope":     {asked("GET", "/admin", bearer(read)...), 403, `error="insufficient_scope"`},
		"another method":    {asked("DELETE", "/photos/1", bearer(read)...), 405, "gateway-method"},
		"no route":          {asked("GET", "/nothing", bearer(read)...), 404, "gateway-no-route"},
		"public":            {asked("GET", "/public/x"), 200, ""},
		"from elsewhere":    {asked("GET", "/office", append(bearer(read), "X-Forwarded-For", "192.0.2.7")...), 403, "gateway-network"},
		"from here":         {asked("GET", "/office", append(bearer(read), "X-Forwarded-For", "198.51.100.7")...), 200, ""},
		"nothing told":      {bearer(read), 400, "forward-auth-headers"},
		"a token in a path": {asked("GET", "/photos/1?access_token="+read), 401, ""},
	} {
		status, header, text := get(t, g.decisions+"/decide", test.headers...)
		if status != test.status || !strings.Contains(text+header.Get("Www-Authenticate"), test.says) {
			t.Errorf("%s: %d %v %s", about, status, header, text)
		}
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/": 404, "/decide/": 404, "/.gatehouse/jwks.json": 404} {
		if status, _, _ := get(t, g.decisions+path, asked("GET", "/public/x")...); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
	other := i.token(t, "photos:read", "other")
	i.revoke("one")
	eventually(t, "a revoked token is still let in", func() bool {
		status, _, _ := get(t, g.decisions+"/decide", asked("GET", "/photos/1", bearer(read)...)...)
		return status == 401
	})
	if status, _, text := get(t, g.decisions+"/decide", asked("GET", "/photos/1", bearer(other)...)...); status != 200 {
		t.Errorf("another token: %d %s", status, text)
	}
}

// A proxy gets the exchanged token to pass on, and the client's own nowhere.
func TestProxiesGetExchangedTokens(t *testing.T) {
	i := newIssuer(t)
	text := strings.Replace(yaml(i.URL, echo(t), "decisions: {listen: '127.0.0.1:8061', proxies: [127.0.0.1]}\nexchangers: [{issuer: '"+i.URL+"', client_id: gateway, client_secret_file: secret}]\n"),
		"forward: {headers: true}", "forward: {headers: true, exchange: {resource: 'https://inner.example'}}", 1)
	g := start(t, place(t, files(text)))
	read := i.token(t, "photos:read", "one")
	status, header, answer := get(t, g.decisions+"/decide", asked("GET", "/photos/1", bearer(read)...)...)
	if status != 200 || header.Get("Authorization") != "Bearer exchanged-token" || header.Get("X-Gatehouse-Subject") != "alice" {
		t.Errorf("%d %v %s", status, header, answer)
	}
	if strings.Contains(g.log.String(), read) || strings.Contains(g.log.String(), "exchanged-token") {
		t.Errorf("the log holds a token:\n%s", g.log)
	}
	d := g.Gateway().Decide(t.Context(), gateway.Request{Scheme: "https", Host: "api.example", Method: "GET", Target: "/photos/2", Header: http.Header{"Authorization": {"Bearer " + read}}, Explain: true})
	if !d.Allowed || d.Set.Get("Authorization") != "" {
		t.Errorf("an explanation exchanges: %+v", d)
	}
}

// What the proxy will pass on is what is decided about: a query decides nothing, and paths
// of more than one meaning are refused, on the way to a public route, too.
func TestPathsThatProxiesTell(t *testing.T) {
	spec.Covers(t, "PN-01", "PN-03", "PX-06", "PX-10")
	i := newIssuer(t)
	g := start(t, place(t, files(yaml(i.URL, echo(t), "decisions: {listen: '127.0.0.1:8061', proxies: [127.0.0.1]}\n"))))
	for uri, want := range map[string]int{
		"/admin?x=/public": 401, "/admin?/public/": 401, "/admin#/public/": 400, "/public/../admin": 400, "/public/..%2fadmin": 400, "/public/%2e%2e/admin": 400, "//admin": 400, "/./admin": 400,
		"/admin/": 404, "/ADMIN": 404, "/admin;x": 400, "/%61dmin": 400, "/public..": 404, `/public\..\admin`: 400, "/public/%00": 400, "/public/a//b": 400,
		"/public/;/../admin": 400, "https://api.example/public/x": 400, "*": 400, "/public/%2": 400, "/public/ x": 400,
		"/public/x": 200, "/public/x?y=/admin": 200, "/public/caf%C3%A9": 200,
	} {
		if status, _, text := get(t, g.decisions+"/decide", asked("GET", uri)...); status != want {
			t.Errorf("%s: %d %s, want %d", uri, status, text, want)
		}
	}
	// Words of the client in the other proxies' headers decide nothing.
	for _, name := range []string{"X-Original-Uri", "X-Original-Url", "X-Rewrite-Url", "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Original-Method", "X-Http-Method-Override", "Forwarded"} {
		if status, _, text := get(t, g.decisions+"/decide", asked("GET", "/admin", name, "/public/x")...); status != 401 {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

func TestMetrics(t *testing.T) {
	i := newIssuer(t)
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.Addr().String()
	_ = probe.Close()
	g := start(t, place(t, files(yaml(i.URL, echo(t), "metrics: {listen: '"+address+"'}\n"))))
	get(t, g.public+"/public/x")
	get(t, g.public+"/admin")
	status, _, text := get(t, "http://"+address+"/metrics")
	for _, line := range []string{
		`gatehouse_gateway_decisions_total{reason="allowed",route="public"} 1`, `gatehouse_gateway_decisions_total{reason="resource-token-missing",route="admin"} 1`,
		`gatehouse_gateway_upstream_asked{upstream="echo"} 1`, `gatehouse_gateway_feed_age_seconds{authentication="photos",issuer="` + i.URL + `"} `, `gatehouse_gateway_answers_total{route="public",status="2xx"} 1`, "gatehouse_gateway_streams 0",
	} {
		if status != 200 || !strings.Contains(text, line) {
			t.Errorf("%d, without %s", status, line)
		}
	}
	if status, _, _ := get(t, "http://"+address+"/.gatehouse/livez"); status != 404 {
		t.Errorf("the metrics' listener answers %d elsewhere", status)
	}
}

// A stop lets what is under way finish.
func TestStopDrains(t *testing.T) {
	arrived, goOn := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-goOn
		_, _ = w.Write([]byte("finished"))
	}))
	defer slow.Close()
	g := start(t, place(t, files(yaml(newIssuer(t).URL, slow.URL, "listen: 127.0.0.1:8060\ndecisions: {listen: '127.0.0.1:8061', proxies: [127.0.0.1]}\n"))))
	answer := make(chan string, 1)
	go func() {
		_, _, text := get(t, g.public+"/public/x")
		answer <- text
	}()
	<-arrived
	g.stop()
	eventually(t, "somebody new is let in after a stop", func() bool {
		for _, address := range []string{g.public, g.decisions} {
			connection, err := net.DialTimeout("tcp", strings.TrimPrefix(address, "http://"), time.Second)
			if err == nil {
				_ = connection.Close()
				return false
			}
		}
		return true
	})
	close(goOn)
	if text := <-answer; text != "finished" {
		t.Errorf("the request under way got %q", text)
	}
	g.stopped()
}

// Each listener has a certificate of its own.
func TestTLS(t *testing.T) {
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	key, err := x509.MarshalPKCS8PrivateKey(other.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	path := place(t, with(files(yaml(newIssuer(t).URL, echo(t), "listen: 127.0.0.1:1\ntls: {certificate: cert.pem, key: key.pem}\ndecisions: {listen: '127.0.0.1:2', proxies: [127.0.0.1], tls: {certificate: cert.pem, key: key.pem}}\n")), map[string]string{
		"cert.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})),
		"key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}))
	g := start(t, path)
	for _, address := range []string{g.public + "/public/x", g.decisions + "/livez"} {
		response, err := other.Client().Get("https" + strings.TrimPrefix(address, "http"))
		if err != nil || response.StatusCode != 200 {
			t.Errorf("%s: %v %v", address, response, err)
			continue
		}
		_ = response.Body.Close()
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "key.pem"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := gate.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := gate.Open(t.Context(), config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Serve(t.Context(), listener, nil); err == nil || !strings.Contains(err.Error(), "tls.key") {
		t.Errorf("a key that is none: %v", err)
	}
	if _, err := listener.Accept(); err == nil {
		t.Error("the listener was not closed")
	}
}

func TestConfigurationsSayWhatIsWrong(t *testing.T) {
	for about, test := range map[string][2]string{
		"an unknown key":         {"rotes: []", "did you mean routes?"},
		"a placeholder":          {"exchangers: [{issuer: 'https://id.example', client_id: a, client_secret: rather in the file}]", "placeholder"},
		"no proof":               {"exchangers: [{issuer: 'https://id.example', client_id: a}]", "only a client that authenticates"},
		"half of TLS":            {"tls: {key: secret}", "tls needs both certificate and key"},
		"half of TLS at a proxy": {"decisions: {listen: '127.0.0.1:1', proxies: [127.0.0.1], tls: {key: secret}}", "decisions.tls needs both"},
		"a proxy":                {"trusted_proxies: [everybody]", "neither an address nor a network"},
		"listen":                 {"listen: localhost", "listen must be host:port"},
		"decisions":              {"decisions: {listen: localhost, proxies: [127.0.0.1]}", "decisions.listen must be host:port"},
		"nobody asks":            {"decisions: {listen: '127.0.0.1:1'}", "1 to 256 addresses or networks"},
		"everybody asks":         {"decisions: {listen: '127.0.0.1:1', proxies: [0.0.0.0/0]}", "everybody"},
		"an asking nobody":       {"decisions: {listen: '127.0.0.1:1', proxies: [x]}", "decisions.proxies"},
		"half of the headers":    {"decisions: {listen: '127.0.0.1:1', proxies: [127.0.0.1], headers: {uri: X-Uri}}", "Headers needs"},
		"nowhere to ask":         {"decisions: {proxies: [127.0.0.1]}", "decisions.listen is missing"},
		"the same address":       {"listen: '127.0.0.1:1'\ndecisions: {listen: '127.0.0.1:1', proxies: [127.0.0.1]}", "must differ from listen"},
		"public metrics":         {"listen: '127.0.0.1:1'\nmetrics: {listen: '127.0.0.1:1'}", "metrics.listen must differ"},
		"the log":                {"log: {level: loud}", "log.level"},
		"a base":                 {"base: /x/", "base must be a path"},
		"a route at the base":    {"base: /public", "gateway's own endpoints are"},
		"no authorities":         {"ca_file: secret", "no certificate in PEM"},
		"half of a key":          {"identity: {issuer: 'https://g.example', keys: [{id: a, file: secret}]}", "a key needs id, alg and file"},
		"no key":                 {"identity: {issuer: 'https://g.example', keys: [{id: a, alg: ES256, file: secret}]}", "no PKCS #8 key"},
	} {
		config, err := gate.Load(place(t, files(yaml("https://id.example", "http://127.0.0.1:1", test[0]+"\n"))), nil)
		if err == nil {
			err = config.Check()
		}
		if err == nil || !strings.Contains(err.Error(), test[1]) || strings.Contains(err.Error(), "rather in") {
			t.Errorf("%s: %v", about, err)
		}
	}
	good := yaml("https://id.example", "http://127.0.0.1:1", "")
	for about, test := range map[string][3]string{
		"no file":               {"client_secret_file: secret", "client_secret_file: nowhere", "nowhere"},
		"two secrets":           {"client_secret_file: secret", "client_secret: x-y-z, client_secret_file: secret", "both client_secret"},
		"an issuer's http":      {"https://id.example", "http://id.example", "does not use https"},
		"an upstream's http":    {"http://127.0.0.1:1", "http://192.0.2.1", "plain http on another machine"},
		"no authentication":     {"authentication: photos, scopes: [admin]", "scopes: [admin]", `the route "admin"`},
		"claims without checks": {"public: true", "public: true, claims: [{name: x}]", "no token fulfils its Needs"},
		"a network":             {"192.0.2.0/24", "everybody", "networks.deny"},
		"no description":        {"file: albums.yaml, ", "", "has no file"},
		"a description away":    {"albums.yaml", "nowhere.yaml", "nowhere.yaml"},
		"a description's route": {"upstream: echo}\n\n", "upstream: nothing}\n\n", `no upstream "nothing"`},
		"an overlap":            {"name: admin, path: /admin", "name: admin, path: '/photos/{other}', methods: [GET]", "read"},
		"countries":             {"public: true", "public: true, countries: {allow: [DE]}", "Config.Countries is missing"},
		"nobody to ask as":      {"client_id: gateway, client_secret_file: secret, revocation_feed: true", "introspect_jwts: true", "ClientID or ClientSecret is missing"},
		"issuers":               {"    issuers:\n      - {issuer: 'https://id.example', client_id: gateway, client_secret_file: secret, revocation_feed: true}\n", "", "it needs issuers"},
	} {
		text := strings.Replace(good+"\n", test[0], test[1], 1)
		if text == good+"\n" {
			t.Errorf("%s: nothing was replaced", about)
		}
		config, err := gate.Load(place(t, files(text)), nil)
		if err == nil {
			err = config.Check()
		}
		if err == nil || !strings.Contains(err.Error(), test[2]) || strings.Contains(err.Error(), "x-y-z") {
			t.Errorf("%s: %v", about, err)
		}
	}
	// The whole is right, and variables win.
	config, err := gate.Load(place(t, files(good)), []string{"GATEHOUSE_GATEWAY_LISTEN=127.0.0.1:9", "GATEHOUSE_GATEWAY_DECISIONS_PROXIES=10.0.0.0/8,192.0.2.1", "GATEHOUSE_GATEWAY_DECISIONS_LISTEN=127.0.0.1:8"})
	if err == nil {
		err = config.Check()
	}
	if public, decisions := config.Addresses(); err != nil || public != "127.0.0.1:9" || decisions != "127.0.0.1:8" || len(config.Decisions.Proxies) != 2 {
		t.Errorf("%+v %v", config, err)
	}
	if config, err = gate.Load(place(t, files(good)), nil); err != nil {
		t.Fatal(err)
	}
	if public, decisions := config.Addresses(); public != gate.DefaultListen || decisions != "" {
		t.Error(public, decisions)
	}
}

func TestCountriesFileIsRead(t *testing.T) {
	config, err := gate.Load(place(t, files(strings.Replace(yaml(newIssuer(t).URL, echo(t), "countries_file: secret\n"), "public: true", "public: true, countries: {allow: [DE]}", 1))), nil)
	if err == nil {
		err = config.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gate.Open(t.Context(), config, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "countries_file: ") {
		t.Errorf("a file of another kind: %v", err)
	}
}

func TestExamine(t *testing.T) {
	i := newIssuer(t)
	path := place(t, files(yaml(i.URL, echo(t), "")))
	config, err := gate.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var said []string
	for _, found := range gate.Examine(ctx, config) {
		if found.Err != nil {
			t.Errorf("%s: %v", found.About, found.Err)
		}
		said = append(said, found.About+": "+found.OK+found.Weak)
	}
	for _, want := range []string{"routes: 5 routes", "issuer: " + i.URL + " answers", "feed of photos: " + i.URL, "upstream echo: ", "route public: everybody is let in"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("nothing is said of %q:\n%s", want, strings.Join(said, "\n"))
		}
	}
	// What is away or wrong.
	config.Upstreams[0].URL = "http://127.0.0.1:1"
	config.Redis.Addresses = []string{"127.0.0.1:1"}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "secret"), []byte("a-wrong-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	config.Authentications[0].Issuers = append(config.Authentications[0].Issuers, gate.Issuer{Issuer: "http://127.0.0.1:1"})
	said = nil
	for _, found := range gate.Examine(ctx, config) {
		if found.Err != nil {
			said = append(said, found.About)
		} else if found.Weak != "" {
			said = append(said, "weak "+found.About)
		}
	}
	for _, want := range []string{"Redis", "issuer", "feed of photos", "upstream echo", "weak authentication photos"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("nothing is wrong with %s: %v", want, said)
		}
	}
}

// An explanation uses nothing up and tells no token.
func TestExplain(t *testing.T) {
	i := newIssuer(t)
	g := start(t, place(t, files(yaml(i.URL, echo(t), ""))))
	read := i.token(t, "photos:read", "one")
	d := g.Gateway().Decide(t.Context(), gateway.Request{Scheme: "https", Host: "api.example", Method: "GET", Target: "/photos/1", Header: http.Header{"Authorization": {"Bearer " + read}}, Explain: true})
	text, err := json.Marshal(d.Steps)
	if err != nil || !d.Allowed || d.Route != "read" || strings.Contains(string(text), read) || !strings.Contains(string(text), "alice") {
		t.Errorf("%+v %v", d, err)
	}
	if len(g.Routes()) != 5 || strings.Contains(g.log.String(), "decision") {
		t.Errorf("%d routes; the log is %s", len(g.Routes()), g.log)
	}
}

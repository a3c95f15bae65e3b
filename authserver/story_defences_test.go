package authserver_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
	"gatehouse/internal/store"
	"gatehouse/jose"
	"gatehouse/token"
)

// wholeLife lives through everything that has secrets, and returns them by
// what they are.
func wholeLife(s *stage) map[string]string {
	s.Helper()
	code := s.code("scope", "openid profile offline_access photos:read")
	first := s.wants(s.redeem(code), http.StatusOK, "")
	second := s.wants(s.refresh(first.Member("refresh_token")), http.StatusOK, "")
	opaque := s.wants(s.redeem(s.code("scope", "openid ledger:read")), http.StatusOK, "")
	all := map[string]string{
		"code": code, "refresh token": first.Member("refresh_token"), "successor": second.Member("refresh_token"),
		"access token": first.Member("access_token"), "ID token": first.Member("id_token"), "opaque access token": opaque.Member("access_token"),
		"password": "wonderland-alice", "client secret": secrets["web"], "verifier": verifier,
	}
	for _, cookie := range s.Cookies() {
		all["cookie "+cookie.Name] = cookie.Value
	}
	// What is refused is logged, too.
	s.wants(s.redeem(code+"x"), http.StatusBadRequest, "invalid_grant")
	s.wants(s.refresh(first.Member("refresh_token")[:40]), http.StatusBadRequest, "invalid_grant")
	s.Issuer.Post(s.T, "/introspect", "web", secrets["web"], url.Values{"token": {opaque.Member("access_token")}})
	s.Issuer.Post(s.T, "/revoke", "web", secrets["web"], url.Values{"token": {second.Member("refresh_token")}})
	login := s.Get(request("prompt", "login"))
	s.Browser.Post("/login", login.With("username", "alice", "password", "wrong-password-of-alice"))
	all["wrong password"] = "wrong-password-of-alice"
	all["interaction"] = login.Hidden().Get("i")
	return all
}

func TestSecretsReachNoLog(t *testing.T) {
	spec.Covers(t, "LG-01", "RT-13")
	s := open(t)
	all := wholeLife(s)
	log := s.Issuer.Log()
	if !strings.Contains(log, `"grant_type":"refresh_token"`) || !strings.Contains(log, "/token") {
		t.Fatalf("the log does not tell of the requests:\n%s", log)
	}
	for name, value := range all {
		if value == "" || strings.Contains(log, value) {
			t.Errorf("the log has the %s", name)
		}
	}
}

func TestTheDatabaseHoldsNoSecrets(t *testing.T) {
	spec.Covers(t, "RFC6819-5.1.4.1-1", "RFC6819-5.1.4.1-2", "RT-14", "LG-04", "RFC6749-10.4-1")
	issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Data: furnished(t)})
	s := &stage{t, issuer, issuer.NewBrowser(t)}
	all := wholeLife(s)
	stop()
	kept := map[string][]byte{}
	for name, content := range filesOf(t, issuer.Data) {
		info, err := os.Stat(filepath.Join(issuer.Data, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v, %v", name, info.Mode(), err)
		}
		if name != "gatehouse.key" && name != "tenant.yaml" {
			kept[name] = content
		}
	}
	key, err := os.ReadFile(filepath.Join(issuer.Data, "gatehouse.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Fields(string(key)) {
		if len(line) >= 32 {
			all["key that seals the keys"] = line
		}
	}
	for name, value := range all {
		for file, content := range kept {
			for _, form := range forms(value) {
				if strings.Contains(string(content), form) {
					t.Errorf("%s has the %s", file, name)
				}
			}
		}
	}
	database := string(kept["gatehouse.db"])
	if !strings.Contains(database, "sub-of-alice") || !strings.Contains(database, "$argon2id$") {
		t.Error("the database does not hold what it should: users, and passwords as argon2id")
	}
	for _, private := range []string{`"d":`, "PRIVATE KEY"} {
		if strings.Contains(database, private) {
			t.Errorf("the database has a private key: %s", private)
		}
	}
}

// forms are the ways in which a secret could have been written: as it is, and
// the random bytes inside it.
func forms(value string) []string {
	all := []string{value}
	encoded := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(value, "ghc_"), "ghr_"), "gha_")
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err == nil && len(raw) >= 32 {
		// The tail of a code or refresh token is its secret and tag; its head
		// is the grant's id, which is a column.
		all = append(all, string(raw[len(raw)-32:]))
	}
	return all
}

func TestForgedLogLines(t *testing.T) {
	spec.Covers(t, "LG-02")
	s := open(t)
	forged := "web\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\r\x1b[2J\x00"
	r := must(http.NewRequest(http.MethodPost, s.URL+"/token", strings.NewReader(encoded("grant_type", "x\nforged", "client_id", strings.TrimRight(forged, "\x00")))))
	r.Header.Set("Content-Type", formType)
	r.Header.Set("User-Agent", "agent\tforged")
	s.wants(s.Do(t, r), http.StatusUnauthorized, "invalid_client")
	s.Once(http.MethodGet, request("client_id", "web\nforged", "state", forged), nil)
	lines := 0
	for line := range strings.Lines(s.Issuer.Log()) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "forged" {
			t.Errorf("a line of the log is %q: %v", line, err)
		}
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(c rune) bool { return c < ' ' || c == 0x7f }) {
			t.Errorf("a line of the log has control characters: %q", line)
		}
		lines++
	}
	if !strings.Contains(s.Issuer.Log(), "forged") || lines == 0 {
		t.Error("the attempts were not logged")
	}
}

func TestAlteredRefreshTokens(t *testing.T) {
	spec.Covers(t, "RFC6749-10.4-2")
	s := open(t)
	good := s.wants(s.redeem(s.code()), http.StatusOK, "").Member("refresh_token")
	for i := 0; i < len(good); i += 2 {
		other := byte('A')
		if good[i] == other {
			other = 'B'
		}
		s.wants(s.refresh(good[:i]+string(other)+good[i+1:]), http.StatusBadRequest, "invalid_grant")
	}
	s.wants(s.refresh(good), http.StatusOK, "")
}

func TestUnfinishedRequestsStoreNothing(t *testing.T) {
	spec.Covers(t, "DS-04")
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		before := filesOf(t, s.Data)
		for range 20 {
			browser := s.NewBrowser(t)
			if page := browser.Get(request()); page.Path != "/login" {
				t.Fatalf("ended at %s", page.Path)
			}
		}
		for name, content := range filesOf(t, s.Data) {
			if string(before[name]) != string(content) && !strings.HasSuffix(name, "-shm") {
				t.Errorf("%s has changed", name)
			}
		}
		s.code()
		if same := filesOf(t, s.Data); string(same["gatehouse.db-wal"]) == string(before["gatehouse.db-wal"]) {
			t.Error("a finished request has not changed the database either")
		}
	})
}

func TestExcessIsRefusedCheaply(t *testing.T) {
	spec.Covers(t, "DS-01", "FT-30")
	s := open(t)
	many := strings.Repeat("a=1&", 16000)
	different := ""
	for i := range 9000 {
		different += "p" + string(rune('a'+i%26)) + strings.Repeat("x", i%7) + "=&"
	}
	rows := []struct {
		name, body, code string
		status           int
	}{
		{"one parameter very often", many, "invalid_request", http.StatusBadRequest},
		{"very many parameters", "grant_type=client_credentials&" + different[:60<<10], "invalid_request", http.StatusBadRequest},
		{"a body beyond the limit", "scope=" + strings.Repeat("x", 1<<20), "invalid_request", http.StatusRequestEntityTooLarge},
		{"a long scope", "grant_type=client_credentials&scope=" + strings.Repeat("x", 5000), "invalid_scope", http.StatusBadRequest},
		{"a scope of many tokens", "grant_type=client_credentials&scope=" + strings.Repeat("x+", 2000), "invalid_scope", http.StatusBadRequest},
		{"a repetitive scope that is too long", "grant_type=client_credentials&scope=" + strings.Repeat("photos%3Aread+", 1000), "invalid_scope", http.StatusBadRequest},
	}
	for _, row := range rows {
		r := must(http.NewRequest(http.MethodPost, s.URL+"/token", strings.NewReader(row.body)))
		r.Header.Set("Content-Type", formType)
		r.Header.Set("Authorization", basic("svc", secrets["svc"]))
		start := time.Now()
		if answer := s.Do(t, r); answer.StatusCode != row.status || answer.Member("error") != row.code {
			t.Errorf("%s: %d %s", row.name, answer.StatusCode, answer.Text)
		}
		if took := time.Since(start); took > 10*time.Second { // far beyond it: machines that test are busy
			t.Errorf("%s took %v", row.name, took)
		}
	}
	s.wants(s.token("svc", url.Values{"grant_type": {"client_credentials"}, "scope": {"photos:read photos:read"}}), http.StatusOK, "")
}

func TestALoginStormLeavesTheTokenEndpointAlone(t *testing.T) {
	spec.Covers(t, "DS-07", "FT-37")
	s := open(t)
	stop := make(chan struct{})
	done := make(chan int)
	for range 8 {
		browser := s.NewBrowser(t)
		login := browser.Get(request())
		go func() {
			tried := 0
			for {
				select {
				case <-stop:
					done <- tried
					return
				default:
					browser.Once(http.MethodPost, "/login", login.With("username", "nobody", "password", "some-password-or-other"))
					tried++
				}
			}
		}()
	}
	start := time.Now()
	for range 50 {
		s.wants(s.token("svc", url.Values{"grant_type": {"client_credentials"}, "scope": {"photos:read"}}), http.StatusOK, "")
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("50 tokens took %v", took)
	}
	close(stop)
	storm := 0
	for range 8 {
		storm += <-done
	}
	if storm == 0 {
		t.Error("there was no storm")
	}
}

func TestLogosAreNotFetched(t *testing.T) {
	spec.Covers(t, "SS-04", "SS-01")
	var fetched atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer trap.Close()
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: tenantWith(`
  - client_id: pretty
    client_secret: pretty-secret-that-is-long-enough-to-be-random
    logo_uri: ` + trap.URL + `/logo.png
    redirect_uris: [https://pretty.example/cb]
    scope: openid
`)})
	s := &stage{t, issuer, issuer.NewBrowser(t)}
	pretty := []string{"client_id", "pretty", "redirect_uri", "https://pretty.example/cb", "scope", "openid"}
	if page := s.Get(request(pretty...)); !strings.Contains(page.Text, trap.URL+"/logo.png") {
		t.Error("the page does not show the logo")
	}
	s.code(pretty...)
	s.Get(request(append(pretty, "request_uri", trap.URL+"/request.jwt")...))
	if fetched.Load() != 0 {
		t.Errorf("the server made %d requests", fetched.Load())
	}
}

func TestNoDiagnosticsInPublic(t *testing.T) {
	spec.Covers(t, "AD-10")
	s := open(t)
	for _, path := range []string{
		"/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/metrics", "/debug", "/admin", "/admin/", "/api", "/status", "/.env", "/actuator", "/server-status",
	} {
		if answer := s.Once(http.MethodGet, path, nil); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s is %d", path, answer.StatusCode)
		}
	}
	if answer := s.Once(http.MethodGet, "/jwks", nil); answer.StatusCode != http.StatusOK {
		t.Error("nothing is served at all")
	}
}

func TestPagesTakeNoReturnAddress(t *testing.T) {
	spec.Covers(t, "RFC9700-4.11.1-1", "OR-01")
	s := open(t)
	const evil = "https://evil.example/"
	for _, path := range []string{"/login", "/consent", "/logout", "/logout/confirm", "/authorize"} {
		for _, name := range []string{"next", "return_to", "returnTo", "redirect", "redirect_uri", "redirect_url", "continue", "url", "target", "post_logout_redirect_uri", "i", "posted"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				answer := s.Once(method, path+"?"+encoded(name, evil), url.Values{name: {evil}})
				if strings.Contains(answer.Header.Get("Location")+answer.Text, "evil.example/") && answer.Header.Get("Location") != "/logout?post_logout_redirect_uri=https%3A%2F%2Fevil.example%2F" {
					t.Errorf("%s %s?%s=… leads to %q\n%s", method, path, name, answer.Header.Get("Location"), answer.Text)
				}
			}
		}
	}
	login := s.Get(request())
	back := s.Browser.Post("/login", login.With("username", "alice", "password", "wonderland-alice", "next", evil, "redirect_uri", evil))
	if back.Path != "/consent" {
		t.Errorf("signing in led to %s, %v", back.Path, back.Location)
	}
}

func TestSubjectsAreNeverGivenAgain(t *testing.T) {
	spec.Covers(t, "OIDCC-2-1")
	s := open(t)
	_, payload := decoded(s.wants(s.redeem(s.code()), http.StatusOK, "").Member("id_token"))
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat"} {
		if claims[name] == nil {
			t.Errorf("the ID token has no %s", name)
		}
	}
	kept, ctx := s.Issuer.Server().Store(), context.Background()
	alice, _, err := kept.User(ctx, gatehouse.DefaultTenant, "sub-of-alice")
	if err != nil {
		t.Fatal(err)
	}
	if found, err := kept.DeleteUser(ctx, gatehouse.DefaultTenant, "sub-of-alice", gatehouse.Event{}); err != nil || !found {
		t.Fatal(found, err)
	}
	alice.Username, alice.Claims.Email = "another", "another@example.com"
	if outcome, err := kept.PutUser(ctx, gatehouse.DefaultTenant, alice, gatehouse.Event{}); err != nil || outcome != store.SubjectTaken {
		t.Errorf("the sub of a user who was removed is given again: %v, %v", outcome, err)
	}
}

type oneKey struct{ jose.PublicKey }

func (k oneKey) Keys(context.Context, string, jose.Algorithm) ([]jose.PublicKey, error) {
	return []jose.PublicKey{k.PublicKey}, nil
}

func TestUnknownClaimsAreIgnored(t *testing.T) {
	spec.Covers(t, "RFC7519-4-2", "RFC8725-3.8-1")
	key := must(jose.GenerateKey(jose.ES256, "k1"))
	other := must(jose.GenerateKey(jose.ES256, "k1"))
	sign := func(key *jose.PrivateKey, issuer string) string {
		now := time.Now().Unix()
		return must(key.Sign("at+jwt", must(json.Marshal(map[string]any{
			"iss": issuer, "sub": "alice", "aud": "https://photos.example", "client_id": "web", "jti": "1", "iat": now, "exp": now + 60,
			"https://example.com/unknown": map[string]any{"deep": []int{1}}, "frobnicate": true,
		}))))
	}
	rules := token.AccessTokenRules(oneKey{key.Public()}, "https://id.example", "https://photos.example")
	if _, err := token.Check(t.Context(), sign(key, "https://id.example"), rules); err != nil {
		t.Errorf("unknown claims: %v", err)
	}
	if _, err := token.Check(t.Context(), sign(key, "https://other.example"), rules); err == nil {
		t.Error("our issuer's key vouches for another issuer")
	}
	if _, err := token.Check(t.Context(), sign(other, "https://id.example"), rules); err == nil {
		t.Error("another issuer's key vouches for ours")
	}
}

// Secrets, and what is derived from them, are compared by crypto/subtle or
// crypto/hmac wherever a caller could measure the time.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	spec.Covers(t, "OIDCC-16.6-1")
	secretive := regexp.MustCompile(`(?i)(secret|hash|digest|tag|mac|csrf|password|verifier|challenge)(\(\))?$`)
	constantTime := 0
	for _, room := range []string{".", "../oauth", "../internal/interaction", "../internal/login", "../internal/seal", "../internal/secret"} {
		for _, file := range must(filepath.Glob(filepath.Join(room, "*.go"))) {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			files := gotoken.NewFileSet()
			source := must(parser.ParseFile(files, file, nil, 0))
			ast.Inspect(source, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.CallExpr:
					switch types.ExprString(node.Fun) {
					case "bytes.Equal", "bytes.Compare", "strings.Compare", "strings.EqualFold", "slices.Equal":
						for _, argument := range node.Args {
							if secretive.MatchString(types.ExprString(argument)) {
								t.Errorf("%s: %s", files.Position(node.Pos()), types.ExprString(node))
							}
						}
					case "subtle.ConstantTimeCompare", "hmac.Equal", "secret.Equal":
						constantTime++
					}
				case *ast.BinaryExpr:
					if node.Op != gotoken.EQL && node.Op != gotoken.NEQ {
						return true
					}
					left, right := types.ExprString(node.X), types.ExprString(node.Y)
					if !constantSide.MatchString(left) && !constantSide.MatchString(right) && (secretive.MatchString(left) || secretive.MatchString(right)) {
						t.Errorf("%s: %s", files.Position(node.Pos()), types.ExprString(node))
					}
				}
				return true
			})
		}
	}
	if constantTime < 5 {
		t.Errorf("only %d comparisons were found", constantTime)
	}
}

// constantSide is an operand that nobody keeps secret: a literal, nil, or a
// constant of the specifications.
var constantSide = regexp.MustCompile(`^(nil|""|"[^"]*"|-?\d+|true|false|oauth\.[A-Z]\w+|gatehouse\.[A-Z]\w+)$`)

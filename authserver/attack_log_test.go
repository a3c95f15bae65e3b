package authserver_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// confession is every secret that came up in a walk through all that the
// server does.
type confession map[string]string

func (c confession) add(kind, text string) {
	if len(text) >= 8 {
		c[text] = kind
	}
}

func (c confession) addAnswer(answer gatehousetest.Answer) {
	for _, member := range []string{"access_token", "refresh_token", "id_token"} {
		c.add(member, answer.Member(member))
		if _, opaque, found := strings.Cut(answer.Member(member), "_"); found {
			c.add(member+" without its prefix", opaque)
		}
	}
	for _, cookie := range answer.Cookies() {
		c.add("cookie", cookie.Value)
	}
}

// everything does all that there is to do, rightly and wrongly, and returns
// the secrets of it.
func (s *stage) everything() confession {
	s.Helper()
	secret := confession{}
	for _, text := range secrets {
		secret.add("client secret", text)
		secret.add("client secret in Basic", base64.StdEncoding.EncodeToString([]byte(text)))
	}
	for _, password := range []string{"wonderland-alice", "builder-bob-builds", "a-password-that-is-wrong"} {
		secret.add("password", password)
	}
	secret.add("verifier", verifier)
	secret.add("wrong verifier", wrongVerifier)

	for _, answer := range s.walk() {
		secret.addAnswer(answer)
		page := gatehousetest.Page{Answer: answer}
		secret.add("form token", page.Hidden().Get("csrf"))
		secret.add("interaction", page.Hidden().Get("i"))
		if location, err := answer.Location(); err == nil {
			secret.add("code", location.Query().Get("code"))
			secret.add("interaction", location.Query().Get("i"))
		}
	}
	login := s.Get(request("prompt", "login"))
	secret.addAnswer(s.Once(http.MethodPost, "/login", login.With("username", "alice", "password", "a-password-that-is-wrong")))
	code := s.code(offlineScope...)
	secret.add("code", code)
	first := s.redeem(code)
	secret.addAnswer(first)
	secret.addAnswer(s.refresh(first.Member("refresh_token")))
	secret.addAnswer(s.refresh(first.Member("refresh_token")))
	secret.addAnswer(s.token("svc", photos()))
	opaque := s.token("svc", photos("scope", "ledger:read"))
	secret.addAnswer(opaque)
	s.userinfo(first.Member("access_token"))
	s.introspect(first.Member("access_token"))
	s.introspect(first.Member("refresh_token"))
	s.plain(http.MethodGet, "/userinfo?access_token="+first.Member("access_token"))
	s.plain(http.MethodGet, "/token?code="+code+"&client_secret="+secrets["web"])
	s.plain(http.MethodGet, "/authorize?code="+code+"&client_id=unknown&password=wonderland-alice")
	s.redeem(code, "redirect_uri", "https://evil.test/")
	s.redeem(code, "code_verifier", wrongVerifier)
	s.redeem(code + "x")
	s.redeem(code)
	s.userinfo(first.Member("id_token"))
	s.token("svc", url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland-alice"}})
	s.Issuer.Post(s.T, "/token", "svc", secrets["svc"]+"x", photos())
	s.send("/token", "Bearer "+first.Member("access_token"), photos())
	s.send("/token", "Basic "+base64.StdEncoding.EncodeToString([]byte("svc:"+secrets["svc"]+"%")), photos())
	s.revoke("svc", opaque.Member("access_token"))
	s.Get("/logout?id_token_hint=" + first.Member("id_token"))
	for _, cookie := range s.Cookies() {
		secret.add("cookie", cookie.Value)
	}
	if len(secret) < 40 {
		s.Fatalf("only %d secrets", len(secret))
	}
	return secret
}

var offlineScope = []string{"scope", offline}

func TestLG01NoSecretReachesTheLogTheEventsOrTheDatabase(t *testing.T) {
	spec.Covers(t, "LG-01", "RT-13", "RT-14", "SE-13", "RFC6750-5.2-3", "LG-04")
	s := openWith(t, gatehousetest.Options{Traces: true}) // what passes is searched for there, and in metrics and answers, too
	secret := s.everything()
	if seen := s.SecretsSeen(); seen < len(secret)/2 {
		t.Errorf("%d secrets passed, and %d were noted", len(secret), seen)
	}
	s.did(s.Server().Close()) // at debug level, to the last line
	log := s.Log()
	if !strings.Contains(log, `"msg":"issued"`) || !strings.Contains(log, `"msg":"refused"`) || !strings.Contains(log, `"msg":"request"`) {
		t.Fatalf("the log has not all that it should have:\n%s", log)
	}
	files := map[string][]byte{"the log": []byte(log)}
	for name, content := range filesOf(t, s.Data) {
		if name != "tenant.yaml" {
			files[name] = content
		}
		info, err := os.Stat(filepath.Join(s.Data, name))
		s.did(err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
	}
	for text, kind := range secret {
		for name, content := range files {
			if bytes.Contains(content, []byte(text)) {
				t.Errorf("%s has a %s: %.12s…", name, kind, text)
			}
		}
	}
}

func TestLG02NoInputForgesALogLine(t *testing.T) {
	spec.Covers(t, "LG-02")
	s := open(t)
	const forgery = "x\r\n{\"level\":\"INFO\",\"msg\":\"forged\"}\x1b[2J\u2028\u202e\"}"
	s.Public(forgery) // which comes as a name, too
	for _, target := range []string{"/authorize?client_id=" + url.QueryEscape(forgery), request("state", forgery), request("redirect_uri", forgery), request("scope", forgery), "/" + url.PathEscape(forgery)} {
		s.plain(http.MethodGet, target, "User-Agent", "x\x1b[2J\u2028", "X-Request-Id", "forged", "Referer", "forged")
	}
	s.send("/token", basic(forgery, forgery), photos())
	s.send("/token", basic("\xff\xfe", "x"), photos())
	s.token("svc", photos("grant_type", forgery))
	s.token("svc", photos("scope", forgery))
	page := s.Get(request())
	s.Browser.Post("/login", page.With("username", forgery, "password", forgery))
	s.Browser.Post("/login", page.With("username", "alice", "password", "wonderland-alice"))
	lines := strings.Split(strings.TrimSpace(s.Log()), "\n")
	for _, line := range lines {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["msg"] == "forged" || entry["time"] == nil {
			t.Errorf("%q: %v", line, err)
		}
		if strings.ContainsAny(line, "\r\x1b\u2028") || entry["request"] == "forged" {
			t.Errorf("%q", line)
		}
	}
	if len(lines) < 10 {
		t.Errorf("only %d lines", len(lines))
	}
	events, err := s.store().Events(t.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{Kinds: []gatehouse.EventKind{gatehouse.EventLoginFailed}})
	if err != nil || len(events) != 1 || strings.Contains(events[0].Subject, "forged") {
		t.Errorf("%+v, %v", events, err)
	}
}

// TestEveryRefusalIsFoundInTheLogByItsID: what a caller is shown leads to the
// line.
func TestEveryRefusalIsFoundInTheLogByItsID(t *testing.T) {
	s := open(t)
	answer := s.redeem("ghc_x")
	_, id, _ := strings.Cut(answer.Member("error_description"), "(")
	id = strings.TrimSuffix(id, ")")
	if !strings.HasPrefix(id, "code-invalid.") || strings.Count(s.Log(), `"id":"`+id+`"`) != 1 || !strings.Contains(s.Log(), `"client_id":"web"`) {
		t.Errorf("%s is not in the log", id)
	}
}

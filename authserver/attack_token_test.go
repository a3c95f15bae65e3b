package authserver_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

// bearer asks for userinfo in whatever way the request is changed to.
func (s *stage) bearer(method, target, body string, header http.Header) gatehousetest.Answer {
	s.Helper()
	r, err := http.NewRequest(method, s.URL+target, strings.NewReader(body))
	s.did(err)
	for name, values := range header {
		r.Header[name] = values
	}
	return s.Do(s.T, r)
}

func TestJW24HowUserinfoTakesATokenAndHowNot(t *testing.T) {
	spec.Covers(t, "JW-24", "RFC6750-2-1", "RFC6750-2.1-1", "RFC6750-2.2-1", "RFC6750-2.3-2", "RFC6750-3-1", "RFC6750-3.1-1", "RFC6750-3.1-2", "OIDCC-5.3.1-1")
	s := open(t)
	token := s.tokens().access
	inBody := "access_token=" + token
	type header = http.Header
	none := `Bearer realm="gatehouse"`
	for _, test := range []struct {
		name, method, target, body string
		header                     header
		status                     int
		code                       string
	}{
		{"nothing", "GET", "/userinfo", "", nil, 401, ""},
		{"in the query", "GET", "/userinfo?access_token=" + token, "", nil, 401, ""},
		{"in the query of a POST", "POST", "/userinfo?access_token=" + token, "", header{"Content-Type": {formType}}, 401, ""},
		{"in the body of a GET", "GET", "/userinfo", inBody, header{"Content-Type": {formType}}, 401, ""},
		{"in a body of another type", "POST", "/userinfo", inBody, header{"Content-Type": {"text/plain"}}, 401, ""},
		{"in JSON", "POST", "/userinfo", `{"access_token":"` + token + `"}`, header{"Content-Type": {"application/json"}}, 401, ""},
		{"by Basic", "GET", "/userinfo", "", header{"Authorization": {"Basic " + token}}, 401, ""},
		{"by DPoP", "GET", "/userinfo", "", header{"Authorization": {"DPoP " + token}}, 401, ""},
		{"header and body", "POST", "/userinfo", inBody, header{"Content-Type": {formType}, "Authorization": {"Bearer " + token}}, 400, "invalid_request"},
		{"two headers", "GET", "/userinfo", "", header{"Authorization": {"Bearer " + token, "Bearer " + token}}, 400, "invalid_request"},
		{"twice in the body", "POST", "/userinfo", inBody + "&" + inBody, header{"Content-Type": {formType}}, 400, "invalid_request"},
		{"no token after the scheme", "GET", "/userinfo", "", header{"Authorization": {"Bearer "}}, 400, "invalid_request"},
		{"two tokens", "GET", "/userinfo", "", header{"Authorization": {"Bearer " + token + " " + token}}, 401, "invalid_token"},
		{"a comma", "GET", "/userinfo", "", header{"Authorization": {"Bearer " + token + ",x"}}, 401, "invalid_token"},
		{"a million dots", "GET", "/userinfo", "", header{"Authorization": {"Bearer " + strings.Repeat(".", 1_000_000)}}, 401, "invalid_token"},
		{"the header", "GET", "/userinfo", "", header{"Authorization": {"Bearer " + token}}, 200, ""},
		{"another case", "GET", "/userinfo", "", header{"Authorization": {"bEARER " + token}}, 200, ""},
		{"the body", "POST", "/userinfo", inBody, header{"Content-Type": {formType + "; charset=utf-8"}}, 200, ""},
		{"the header of a POST", "POST", "/userinfo", "", header{"Authorization": {"Bearer " + token}}, 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &stage{t, s.Issuer, s.Browser}
			answer := s.wants(s.bearer(test.method, test.target, test.body, test.header), test.status, test.code)
			challenge := answer.Header.Get("WWW-Authenticate")
			switch {
			case test.status == 200:
				if challenge != "" || answer.Member("sub") != "sub-of-alice" {
					t.Errorf("challenge %q, %s", challenge, answer.Text)
				}
			case test.code == "": // RFC 6750 §3.1: no error code
				if challenge != none || answer.Text != "" {
					t.Errorf("challenge %q, body %s", challenge, answer.Text)
				}
			case !strings.HasPrefix(challenge, none+`, error="`+test.code+`", error_description="`):
				t.Errorf("challenge %q", challenge)
			}
		})
	}
}

// forged returns a JWT with parts of it replaced and the signature kept, or
// removed.
func forged(t *testing.T, raw string, header, claims map[string]any, unsigned bool) string {
	t.Helper()
	parts := strings.Split(raw, ".")
	for i, changes := range []map[string]any{header, claims} {
		decoded, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(decoded, &members); err != nil {
			t.Fatal(err)
		}
		for name, value := range changes {
			members[name] = value
		}
		if decoded, err = json.Marshal(members); err != nil {
			t.Fatal(err)
		}
		if len(changes) > 0 {
			parts[i] = base64.RawURLEncoding.EncodeToString(decoded)
		}
	}
	if unsigned {
		parts[2] = ""
	}
	return strings.Join(parts, ".")
}

func TestJW12NothingElsePassesForAnAccessToken(t *testing.T) {
	spec.Covers(t, "JW-12", "RFC8725-3.11-1")
	s := open(t)
	code := s.code()
	issued := tokensOf(s.wants(s.redeem(code), http.StatusOK, ""))
	members := map[string]any{"sub": "sub-of-bob"}
	for name, text := range map[string]string{
		"an ID token":           issued.id,
		"a refresh token":       issued.refresh,
		"a code":                code,
		"a session":             s.Cookies()[0].Value,
		"another subject":       forged(t, issued.access, nil, members, false),
		"alg none":              forged(t, issued.access, map[string]any{"alg": "none"}, nil, true),
		"alg None, signed":      forged(t, issued.access, map[string]any{"alg": "None"}, members, false),
		"alg HS256":             forged(t, issued.access, map[string]any{"alg": "HS256"}, members, false),
		"another key":           forged(t, issued.access, map[string]any{"kid": "other"}, nil, false),
		"an embedded key":       forged(t, issued.access, map[string]any{"jwk": map[string]any{"kty": "EC"}}, nil, false),
		"typ JWT":               forged(t, issued.access, map[string]any{"typ": "JWT"}, nil, false),
		"an ID token as at+jwt": forged(t, issued.id, map[string]any{"typ": "at+jwt"}, nil, false),
		"no signature":          forged(t, issued.access, nil, nil, true),
	} {
		t.Run(name, func(t *testing.T) {
			s := &stage{t, s.Issuer, s.Browser}
			s.wants(s.userinfo(text), http.StatusUnauthorized, "invalid_token")
			if name != "a refresh token" {
				if said := s.introspect(text).Text; said != inactive {
					t.Errorf("introspection says %s", said)
				}
			}
		})
	}
	s.wantLive(issued)
}

func TestIN01WhoIsToldOfAToken(t *testing.T) {
	spec.Covers(t, "IN-01", "RFC7662-2.2-2", "RFC7662-4-1")
	s := open(t)
	issued := s.tokens()
	service := s.wants(s.token("svc", photos("scope", "ledger:read")), http.StatusOK, "").Member("access_token")
	for _, test := range []struct {
		caller, token string
		told          bool
	}{
		{"web", issued.access, true}, {"web", issued.refresh, true}, {"photos-api", issued.access, true}, {"svc", service, true},
		{"photos-api", issued.refresh, false}, {"photos-api", service, false}, {"photos-api", issued.id, false},
		{"evil", issued.access, false}, {"evil", issued.refresh, false}, {"evil", service, false}, {"svc", issued.access, false},
		{"web", service, false}, {"web", issued.id, false}, {"web", "x", false}, {"web", strings.Repeat(".", 16_000), false},
		{"web", "gha_" + strings.Repeat("A", 4000), false}, {"web", "gha_!", false}, {"web", "gha_AAAA", false}, {"web", service + "A", false},
	} {
		answer := s.wants(s.post("/introspect", test.caller, url.Values{"token": {test.token}, "token_type_hint": {"refresh_token"}}), http.StatusOK, "")
		if test.told != (answer.Member("active") == "true") || !test.told && answer.Text != inactive {
			t.Errorf("%s is told of %.12s…: %s", test.caller, test.token, answer.Text)
		}
	}
	told := s.introspect(issued.access)
	for member, want := range map[string]string{"iss": s.URL, "sub": "sub-of-alice", "aud": "https://photos.example", "client_id": "web", "username": "alice", "scope": "openid photos:read", "token_type": "Bearer"} {
		if told.Member(member) != want {
			t.Errorf("%s is %q, want %q", member, told.Member(member), want)
		}
	}
}

func TestIN04RevokingWhatIsNotOnesOwn(t *testing.T) {
	spec.Covers(t, "IN-04", "RFC7009-2.1-3", "RFC7009-2.2-1")
	s := open(t)
	issued := s.tokens()
	service := s.wants(s.token("svc", photos("scope", "ledger:read")), http.StatusOK, "").Member("access_token")
	for _, client := range []string{"evil", "spa", "svc", "photos-api", "native"} {
		for _, token := range []string{issued.access, issued.refresh, issued.id, "x"} {
			if answer := s.revoke(client, token); answer.Text != "{}" {
				t.Errorf("the answer is %s", answer.Text)
			}
		}
	}
	s.wantLive(issued)
	s.revoke("web", service)
	if s.post("/introspect", "svc", url.Values{"token": {service}}).Member("active") != "true" {
		t.Error("web revoked a token of svc")
	}
	s.revoke("svc", service)
	s.revoke("svc", service)
	if s.post("/introspect", "svc", url.Values{"token": {service}}).Text != inactive {
		t.Error("svc could not revoke its own opaque token")
	}

	// A public client's own is really revoked, and by its client_id alone.
	page := s.SignIn(request("client_id", "spa", "redirect_uri", callbacks["spa"], "scope", "openid"), "alice", "wonderland-alice")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {page.Location.Query().Get("code")}, "redirect_uri": {callbacks["spa"]}, "code_verifier": {verifier}}
	public := tokensOf(s.wants(s.token("spa", form), http.StatusOK, ""))
	s.revoke("spa", public.access)
	s.wants(s.userinfo(public.access), http.StatusUnauthorized, "invalid_token")
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {public.refresh}}
	public = tokensOf(s.wants(s.token("spa", refresh), http.StatusOK, ""))
	s.revoke("spa", public.refresh)
	s.wants(s.userinfo(public.access), http.StatusUnauthorized, "invalid_token")
	refresh.Set("refresh_token", public.refresh)
	s.wants(s.token("spa", refresh), http.StatusBadRequest, "invalid_grant")
}

func TestIN07UserinfoTellsWhatTheScopesAskFor(t *testing.T) {
	spec.Covers(t, "IN-07", "OIDCC-5.4-1", "OIDF-31", "RFC6750-3.1-3")
	s := open(t)
	for scope, want := range map[string]string{
		"openid":         `{"sub":"sub-of-alice"}`,
		"openid email":   `{"sub":"sub-of-alice","email":"alice@example.com","email_verified":true}`,
		"openid phone":   `{"sub":"sub-of-alice","phone_number":"+1 555 0100","phone_number_verified":false}`,
		"openid address": `{"sub":"sub-of-alice","address":{"formatted":"1 Rabbit Hole","country":"WL"}}`,
	} {
		issued := s.tokens("scope", scope)
		if answer := s.wants(s.userinfo(issued.access), http.StatusOK, ""); answer.Text != want {
			t.Errorf("%s: %s, want %s", scope, answer.Text, want)
		}
		for _, claim := range []string{"email", "phone_number", "address", "name", "preferred_username"} {
			if value, has := s.claims(issued.id)[claim]; has {
				t.Errorf("%s: the ID token has %s=%v", scope, claim, value)
			}
		}
	}
	profile := s.wants(s.userinfo(s.tokens("scope", "openid profile").access), http.StatusOK, "")
	if profile.Member("name") != "Alice Example" || profile.Member("preferred_username") != "alice" || profile.Member("email") != "" {
		t.Errorf("profile: %s", profile.Text)
	}
	answer := s.wants(s.userinfo(s.tokens("scope", "photos:read").access), http.StatusForbidden, "insufficient_scope")
	if challenge := answer.Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `error="insufficient_scope"`) || !strings.HasSuffix(challenge, `scope="openid"`) {
		t.Errorf("the challenge is %q", challenge)
	}
}

// TestAUserWhoIsGone has no userinfo, whatever their tokens still say.
func TestAUserWhoIsGone(t *testing.T) {
	s := open(t)
	issued := s.tokens()
	s.done(s.store().DeleteUser(t.Context(), gatehouse.DefaultTenant, "sub-of-alice", gatehouse.Event{Kind: gatehouse.EventUserChanged}))
	s.wantDead(issued)
}

func TestBC21AServiceIsNoUser(t *testing.T) {
	spec.Covers(t, "RFC9700-4.15.1-1")
	s := open(t)
	token := s.wants(s.token("svc", photos()), http.StatusOK, "").Member("access_token")
	s.wants(s.userinfo(token), http.StatusForbidden, "insufficient_scope") // valid, and never with openid
	s.wants(s.userinfo(s.tokens().access), http.StatusOK, "")
}

// TestV107TokenAnswersAreNeverKept by a cache, errors included.
func TestV107TokenAnswersAreNeverKept(t *testing.T) {
	spec.Covers(t, "RFC6749-5.1-1", "RFC6749-5.1-2", "OIDF-29")
	s := open(t)
	issued := s.tokens()
	for _, answer := range []gatehousetest.Answer{
		s.refresh(issued.refresh), s.refresh("x"), s.token("svc", photos()), s.token("svc", url.Values{}), s.Issuer.Post(t, "/token", "svc", "x", photos()),
		s.introspect(issued.access), s.revoke("web", "x"), s.userinfo(issued.access), s.userinfo("x"), s.bearer("GET", "/userinfo", "", nil),
	} {
		if kind := answer.Header.Get("Content-Type"); answer.Text != "" && kind != "application/json" {
			t.Errorf("the answer is %s", kind)
		}
		if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", answer.Text, answer.Header)
		}
	}
}

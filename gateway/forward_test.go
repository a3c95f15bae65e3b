package gateway_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/gateway"
	"gatehouse/internal/spec"
	"gatehouse/jose"
	"gatehouse/revocation"
	"gatehouse/token"
)

// forwarding makes all routes with a token forward something.
func forwarding(f gateway.Forward) func(*stage, *gateway.Config) {
	return func(s *stage, c *gateway.Config) {
		c.Identity.Issuer, c.Identity.Keys = "https://gw.example", []*jose.PrivateKey{identityKey()}
		c.Identity.Claims = map[string]string{"Groups": "groups", "Level": "level", "Odd": "odd"}
		c.Exchangers = []gateway.Exchanger{{Issuer: s.issuer.URL, Client: client.Config{ClientID: "gateway", ClientSecret: client.NewSecret(clientSecret)}}}
		for i := range c.Routes {
			if !c.Routes[i].Public {
				c.Routes[i].Forward = f
			}
		}
	}
}

func TestIdentityHeaders(t *testing.T) {
	spec.Covers(t, "PX-01", "PX-02", "PX-17")
	s := newStage(t, forwarding(gateway.Forward{Headers: true}))
	raw := s.issuer.token(t, claims{"groups": []string{"dev", "ops"}, "level": 3, "odd": []string{"a b"}})
	spoof := http.Header{
		"X-Gatehouse-Subject": {"mallory"}, "X_gatehouse_subject": {"mallory"}, "X-Gatehouse-Level": {"99"}, "X-Gatehouse-Anything": {"mallory"}, "X_Gatehouse_Identity": {"mallory"},
		"X.gatehouse.Groups": {"mallory"}, "X-Forwarded-User": {"mallory"}, "Remote_user": {"mallory"}, "Connection": {"close, X-Gatehouse-Subject"},
	}
	get := func(path string, header http.Header) saw {
		t.Helper()
		header = header.Clone()
		maps.Copy(header, spoof)
		wants(t, path, s.do("GET", path, header, nil), http.StatusOK, "")
		return s.echo.last(t)
	}
	got := get("/photos/1", bearer(raw))
	for name, want := range map[string]string{
		"X-Gatehouse-Issuer": s.issuer.URL, "X-Gatehouse-Subject": "alice", "X-Gatehouse-Client-Id": "web", "X-Gatehouse-Scope": "photos:read openid", "X-Gatehouse-Jti": "jti-1",
		"X-Gatehouse-Groups": "dev ops", "X-Gatehouse-Level": "3", "X-Gatehouse-Odd": "", "Authorization": "", "X-Gatehouse-Anything": "",
	} {
		if got.Header.Get(name) != want || len(got.Header[name]) > 1 {
			t.Errorf("%s: %q, want %q", name, got.Header[name], want)
		}
	}
	for name, values := range got.Header {
		if slices.Contains(values, "mallory") {
			t.Errorf("the upstream saw %s: %q", name, values)
		}
	}
	for name, values := range get("/public/x", http.Header{}).Header {
		if strings.HasPrefix(name, "X-Gatehouse") || slices.Contains(values, "mallory") {
			t.Errorf("on a public route the upstream saw %s: %q", name, values)
		}
	}
	for subject, want := range map[string]string{
		"plain name": "plain name", " edge ": "%20edge%20", "50%": "50%25", "a\r\nX-Admin: 1": "a%0D%0AX-Admin: 1", "é": "%C3%A9",
	} {
		if got := get("/photos/1", bearer(s.issuer.token(t, claims{"sub": subject}))).Header; got.Get("X-Gatehouse-Subject") != want || got.Get("X-Admin") != "" {
			t.Errorf("the subject %q is told as %q, want %q", subject, got.Get("X-Gatehouse-Subject"), want)
		}
	}
}

func TestIdentityTokens(t *testing.T) {
	s := newStage(t, forwarding(gateway.Forward{JWT: true}))
	expiry := time.Now().Add(20 * time.Second)
	get := func(changes claims) token.Claims {
		t.Helper()
		wants(t, "a request", s.do("GET", "/photos/1", with(bearer(s.issuer.token(t, changes)), "X-Gatehouse-Identity", "theirs"), nil), http.StatusOK, "")
		header := s.echo.last(t).Header
		unverified, err := jose.Parse(header.Get("X-Gatehouse-Identity"), jose.Limits{})
		if err != nil || len(header["X-Gatehouse-Identity"]) != 1 || header.Get("Authorization") != "" {
			t.Fatalf("%v, %v", header, err)
		}
		if unverified.Header.Type != gateway.TypeIdentity {
			t.Errorf("typ %q", unverified.Header.Type)
		}
		claims, err := token.Check(t.Context(), header.Get("X-Gatehouse-Identity"), token.Rules{
			Keys: keyOf{identityKey().Public()}, Algorithms: []jose.Algorithm{jose.ES256}, Types: []string{gateway.TypeIdentity}, Issuers: []string{"https://gw.example"}, Audience: s.echo.URL,
		})
		if err != nil {
			t.Fatal(err)
		}
		return claims
	}
	got := get(claims{"acr": "urn:strong", "auth_time": 1000})
	if got.Subject != "alice" || got.ClientID != "web" || got.Scope != "photos:read openid" || got.ACR != "urn:strong" || got.AuthTime.Unix() != 1000 || got.ID == "" ||
		string(got.Raw["token_jti"]) != `"jti-1"` || string(got.Raw["token_iss"]) != `"`+s.issuer.URL+`"` || time.Until(got.Expiry) > gateway.DefaultJWTLife {
		t.Errorf("%+v", got)
	}
	if got := get(claims{"exp": expiry.Unix(), "jti": "short"}); got.Expiry.After(expiry) {
		t.Errorf("it outlives the token: %v", got.Expiry)
	}
	// It is no access token here or elsewhere, and serves again for the same token alone.
	wants(t, "as an access token", s.do("GET", "/photos/1", bearer(s.echo.last(t).Header.Get("X-Gatehouse-Identity")), nil), http.StatusUnauthorized, "")
	one := s.issuer.token(t, claims{"jti": "one"})
	var ids []string
	for _, raw := range []string{one, one, s.issuer.token(t, claims{"jti": "two"})} {
		s.do("GET", "/photos/1", bearer(raw), nil)
		ids = append(ids, s.echo.last(t).Header.Get("X-Gatehouse-Identity"))
	}
	if ids[0] != ids[1] || ids[1] == ids[2] {
		t.Errorf("%q", ids)
	}
}

// keyOf is one key.
type keyOf struct{ key jose.PublicKey }

func TestTheOriginalToken(t *testing.T) {
	s := newStage(t, forwarding(gateway.Forward{InsecureOriginalToken: true}))
	raw := s.issuer.token(t, nil)
	s.do("GET", "/photos/1", bearer(raw), nil)
	if got := s.echo.last(t).Header["Authorization"]; !slices.Equal(got, []string{"Bearer " + raw}) {
		t.Errorf("%q", got)
	}
}

var toAPI = gateway.Forward{Exchange: &gateway.Exchange{Resource: "https://api.example", Scope: "api:read"}}

func TestExchangedTokens(t *testing.T) {
	s := newStage(t, forwarding(toAPI))
	raw := s.issuer.token(t, nil)
	for range 3 {
		wants(t, "a request", s.do("GET", "/photos/1", bearer(raw), nil), http.StatusOK, "")
		if got := s.echo.last(t).Header["Authorization"]; !slices.Equal(got, []string{"Bearer exchanged-1"}) {
			t.Errorf("the upstream saw %q", got)
		}
	}
	asked := s.issuer.exchanged()
	if want := (url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {raw}, "subject_token_type": {client.TypeAccessToken},
		"requested_token_type": {client.TypeAccessToken}, "resource": {"https://api.example"}, "scope": {"api:read"},
	}); len(asked) != 1 || !maps.EqualFunc(asked[0], want, slices.Equal) {
		t.Errorf("asked %v, want one of %v", asked, want)
	}
	// Another token gets another one, and one that the upstream refuses is not used again.
	s.do("GET", "/photos/1", bearer(s.issuer.token(t, claims{"jti": "jti-2"})), nil)
	if got := s.echo.last(t).Header.Get("Authorization"); got != "Bearer exchanged-2" {
		t.Errorf("the upstream saw %q", got)
	}
	if got := s.gateway.Stats().Exchanged; got != 2 {
		t.Errorf("%d are remembered", got)
	}
	if strings.Contains(s.log.String(), "exchanged-") {
		t.Error("an exchanged token is in the log")
	}
}

func TestExchangesOneAtATime(t *testing.T) {
	s := newStage(t, forwarding(toAPI))
	raw := s.issuer.token(t, nil)
	var barrier, group sync.WaitGroup
	barrier.Add(1)
	for range 20 {
		group.Go(func() {
			barrier.Wait()
			s.gateway.Decide(t.Context(), gateway.Request{Scheme: "http", Host: "x", Method: "GET", Target: "/photos/1", Header: bearer(raw), Peer: loopback})
		})
	}
	barrier.Done()
	group.Wait()
	if n := len(s.issuer.exchanged()); n != 1 {
		t.Errorf("exchanged %d times", n)
	}
}

func TestExchangesThatFail(t *testing.T) {
	s := newStage(t, forwarding(toAPI))
	for status, want := range map[int32]struct {
		status int
		rule   string
	}{400: {403, "gateway-exchange-refused"}, 503: {503, "gateway-exchange-unavailable"}} {
		s.issuer.exchangesDown.Store(status)
		raw := s.issuer.token(t, claims{"jti": want.rule})
		before := len(s.issuer.exchanged())
		for range 3 {
			wants(t, want.rule, s.do("GET", "/photos/1", bearer(raw), nil), want.status, want.rule)
		}
		if asked := len(s.issuer.exchanged()) - before; status == 400 && asked != 1 {
			t.Errorf("a refused exchange is tried %d times", asked)
		}
	}
	if len(s.echo.requests()) != 0 {
		t.Error("the upstream saw something")
	}
	s.issuer.exchangesDown.Store(0)
	wants(t, "afterwards", s.do("GET", "/photos/1", bearer(s.issuer.token(t, claims{"jti": "after"})), nil), http.StatusOK, "")
	wants(t, "public", s.do("GET", "/public/x", nil, nil), http.StatusOK, "")
}

// TestExchangedTokensEndWithTheirs: the end of a token, told by the feed, refuses it and forgets
// what was made of it.
func TestExchangedTokensEndWithTheirs(t *testing.T) {
	s := newStage(t, func(s *stage, c *gateway.Config) {
		forwarding(toAPI)(s, c)
		c.Authentications[0].Resource.Feed = true
	})
	first, second := s.issuer.token(t, nil), s.issuer.token(t, claims{"jti": "jti-2", "gid": "gid-2", "lineage": []any{map[string]any{"jti": "root", "client_id": "x"}}})
	eventually(t, "the feed is heard", func() bool { return s.do("GET", "/photos/1", bearer(first), nil).StatusCode == 200 })
	wants(t, "another", s.do("GET", "/photos/1", bearer(second), nil), http.StatusOK, "")
	s.issuer.revoke(revocation.GrantHandle, "gid-1")
	eventually(t, "the end is told", func() bool { return s.do("GET", "/photos/1", bearer(first), nil).StatusCode == 401 })
	eventually(t, "what was made of it is forgotten", func() bool { return s.gateway.Stats().Exchanged == 1 })
	wants(t, "another", s.do("GET", "/photos/1", bearer(second), nil), http.StatusOK, "")
	s.issuer.revoke(revocation.TokenID, "root")
	eventually(t, "what was made of its ancestor is forgotten", func() bool { return s.gateway.Stats().Exchanged == 0 })
	wants(t, "the end of its ancestor", s.do("GET", "/photos/1", bearer(second), nil), http.StatusUnauthorized, "resource-token-revoked")
}

// eventually waits for what is true soon.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatal("not within 20 seconds: " + what)
}

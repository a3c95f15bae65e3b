package authserver_test

import (
	"net/http"
	"net/url"
	"testing"
)

func TestCodeFlowEndToEnd(t *testing.T) {
	s := open(t)
	page := s.SignIn(request(), "alice", "wonderland-alice")
	if page.Location == nil {
		t.Fatalf("not sent back to the client: %d at %s\n%s", page.StatusCode, page.Path, page.Text)
	}
	query := page.Location.Query()
	if query.Get("state") != "the state" || query.Get("iss") != s.URL {
		t.Errorf("answer has state %q and iss %q", query.Get("state"), query.Get("iss"))
	}
	tokens := s.wants(s.redeem(query.Get("code")), http.StatusOK, "")
	for _, member := range []string{"access_token", "id_token", "refresh_token"} {
		if tokens.Member(member) == "" {
			t.Errorf("the answer has no %s: %s", member, tokens.Text)
		}
	}
	r, _ := http.NewRequest(http.MethodGet, s.URL+"/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+tokens.Member("access_token"))
	info := s.wants(s.Do(t, r), http.StatusOK, "")
	if info.Member("sub") != "sub-of-alice" {
		t.Errorf("userinfo is %s", info.Text)
	}
	next := s.wants(s.refresh(tokens.Member("refresh_token")), http.StatusOK, "")
	if next.Member("refresh_token") == tokens.Member("refresh_token") {
		t.Error("the refresh token was not rotated")
	}
	again := s.wants(s.refresh(tokens.Member("refresh_token")), http.StatusOK, "")
	if again.Member("refresh_token") != next.Member("refresh_token") {
		t.Error("within the grace the predecessor did not receive the same successor")
	}
	s.wants(s.Issuer.Post(t, "/revoke", "web", secrets["web"], url.Values{"token": {next.Member("refresh_token")}}), http.StatusOK, "")
	s.wants(s.refresh(next.Member("refresh_token")), http.StatusBadRequest, "invalid_grant")
}

func TestClientCredentials(t *testing.T) {
	s := open(t)
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"photos:read"}}
	issued := s.wants(s.token("svc", form), http.StatusOK, "")
	asked := s.Issuer.Post(t, "/introspect", "photos-api", secrets["photos-api"], url.Values{"token": {issued.Member("access_token")}})
	if asked.Member("active") != "true" || asked.Member("aud") != "https://photos.example" {
		t.Errorf("introspection says %s", asked.Text)
	}
}

func TestUnknownParametersAreIgnored(t *testing.T) {
	s := open(t)
	page := s.SignIn(request("i", "1", "posted", "1", "gh", "1"), "alice", "wonderland-alice")
	if page.Location == nil || page.Location.Query().Get("code") == "" {
		t.Errorf("no code: %d at %s", page.StatusCode, page.Path)
	}
}

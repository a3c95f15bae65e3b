package authserver_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

func TestStoriesOfStartingAgain(t *testing.T) {
	tellIn(t, "oidc-core/initiate-login", `A client may register where a sign-in begins. Pages that cannot go on link to it, with iss, so that nobody has to find the way
		back. OpenID Connect Core §4.`, gatehousetest.Options{Tenant: tenantWith(`
  - {client_id: starter, token_endpoint_auth_method: none, redirect_uris: [https://starter.example/cb], scope: openid, initiate_login_uri: "https://starter.example/login?from=id"}
`)}, func(s *story) {
		spec.Covers(s.T, "OIDCC-4-2")
		const link = `id="start-again" href="https://starter.example/login?from=id&amp;iss=http%3A%2F%2F127.0.0.1%3A8080"`
		starter := []string{"client_id", "starter", "redirect_uri", "https://starter.example/cb", "scope", "openid"}
		links := func(page gatehousetest.Page, want bool) {
			s.Helper()
			if page.Location != nil || strings.Contains(page.Text, link) != want || !want && strings.Contains(page.Text, "start-again") {
				s.Errorf("%d at %s, to %v: the link should be there: %v\n%s", page.StatusCode, page.Path, page.Location, want, page.Text)
			}
		}
		s.note("A redirect URI that is not registered, with the client that registered a beginning, and with one that did not.")
		links(s.visit(request(append(starter, "redirect_uri", "https://starter.example/other")...)), true)
		links(s.visit(request("redirect_uri", "https://app.example/other")), false)
		links(s.visit(request("client_id", "nobody")), false)
		s.note("The same sign-in is answered twice.")
		login := s.Get(request(starter...))
		consent := s.Browser.Post("/login", login.With("username", "alice", "password", "wonderland-alice"))
		first := s.Once(http.MethodPost, "/consent", consent.With("decision", "allow"))
		location := must(first.Location())
		s.wants(s.post("/token", "", "client_id", "starter", "grant_type", "authorization_code", "code", location.Query().Get("code"), "redirect_uri", "https://starter.example/cb", "code_verifier", verifier), http.StatusOK, "")
		links(s.submit(consent, "/consent", "decision", "allow"), true)
		s.note("A sign-in that took too long, at each page.")
		s.later(time.Minute)
		login = s.Get(request(append(starter, "prompt", "login")...))
		s.later(2 * time.Hour)
		links(s.visit("/login?i="+login.Hidden().Get("i")), true)
		links(s.visit("/authorize?i=nonsense"), false)
		s.note("A refusal that the client can be told is told to the client.")
		if page := s.ask(append(starter, "scope", "photos:read")...); page.Location == nil {
			s.Errorf("answered %d", page.StatusCode)
		}
	})
}

package authserver_test

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/gatehousetest"
)

func TestStoriesOfScopesWithParameters(t *testing.T) {
	documents := strings.Replace(tenantWith(`
  - client_id: editor
    client_name: Example Editor
    client_secret: editor-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://editor.example/cb]
    grant_types: [authorization_code, refresh_token, client_credentials]
    scope: openid document:read:{id} document:write:7
`), "\nclients:", `
  - identifier: https://documents.example
    name: Documents
    scopes: {"document:read:{id}": "Read the document {id}", "document:write:{id}": "Change the document {id}"}
clients:`, 1)
	const secret = "editor-secret-that-is-long-enough-to-be-random"

	tellIn(t, "rfc6749/scope-parameters", `A resource declares document:read:{id} once; a client that is registered for the form asks for the documents it needs, and the
		user reads which. What is granted is never wider than what was asked. RFC 6749 §3.3.`, gatehousetest.Options{Tenant: documents}, func(s *story) {
		client := []string{"client_id", "editor", "redirect_uri", "https://editor.example/cb"}
		ask := func(scope string, more ...string) gatehousetest.Page {
			s.Helper()
			return s.visit(request(append(append(client, "scope", scope), more...)...))
		}
		token := func(pairs ...string) gatehousetest.Answer {
			s.Helper()
			return s.send(http.MethodPost, "/token", encoded(pairs...), "Content-Type", formType, "Authorization", basic("editor", secret))
		}
		s.signIn()
		s.note("Two documents: the consent page names them.")
		page := ask("openid document:read:42 document:read:43")
		for _, sentence := range []string{"Read the document <strong><bdi>42</bdi></strong>", "Read the document <strong><bdi>43</bdi></strong>"} {
			if !strings.Contains(page.Text, sentence) {
				s.Errorf("the consent page does not say %s", sentence)
			}
		}
		answer := s.submit(page, "/consent", "decision", "allow")
		tokens := s.wants(token("grant_type", "authorization_code", "code", answer.Location.Query().Get("code"), "redirect_uri", "https://editor.example/cb", "code_verifier", verifier), http.StatusOK, "")
		if tokens.Member("scope") != "openid document:read:42 document:read:43" {
			s.Errorf("granted %q", tokens.Member("scope"))
		}
		if aud := s.claimsOf(tokens.Member("access_token"))["aud"]; aud != "https://documents.example" {
			s.Errorf("the token is for %v", aud)
		}
		s.note("A refresh narrows and does not widen, not by the form either.")
		narrow := s.wants(token("grant_type", "refresh_token", "refresh_token", tokens.Member("refresh_token"), "scope", "document:read:42"), http.StatusOK, "")
		for _, scope := range []string{"document:read:44", "document:read:{id}", "document:write:42"} {
			s.wants(token("grant_type", "refresh_token", "refresh_token", narrow.Member("refresh_token"), "scope", scope), http.StatusBadRequest, "invalid_scope")
		}
		s.note("One document allowed is not the next one.")
		for scope, want := range map[string]string{"openid document:read:43": "", "openid document:read:44": "consent_required"} {
			location, err := s.Once(http.MethodGet, request(append(client, "scope", scope, "prompt", "none")...), nil).Location()
			if err != nil || location.Query().Get("error") != want {
				s.Errorf("%s: sent to %v", scope, location)
			}
		}
		s.note("Registered for one document, it cannot ask for another; the form itself is no scope, and neither is what does not match it.")
		for _, scope := range []string{"document:write:8", "document:read:{id}", "document:read:*", "document:read:4:2", "document:read:", "document:read:a/b"} {
			page := ask(scope)
			if page.Location == nil || page.Location.Query().Get("error") != "invalid_scope" {
				s.Errorf("%s: answered %d, to %v", scope, page.StatusCode, page.Location)
			}
		}
		s.note("A machine names what it needs, too; without a name it gets what needs none.")
		s.wants(token("grant_type", "client_credentials", "scope", "document:read:9"), http.StatusOK, "")
		s.wants(token("grant_type", "client_credentials", "scope", "document:read:{id}"), http.StatusBadRequest, "invalid_scope")
		if all := s.wants(token("grant_type", "client_credentials"), http.StatusOK, ""); all.Member("scope") != "document:write:7" {
			s.Errorf("granted %q", all.Member("scope"))
		}
	})
}

package authserver_test

import (
	"net/http"
	"slices"
	"testing"

	"gatehouse/gatehousetest"
)

// swap exchanges an access token for one for the ledger, as the client does.
func (s *story) swap(client, token string, pairs ...string) gatehousetest.Answer {
	s.Helper()
	return s.post("/token", client, slices.Concat([]string{
		"grant_type", exchangeGrant, "subject_token", token, "subject_token_type", tokenType + "access_token",
	}, pairs)...)
}

func TestStoriesOfTokenExchange(t *testing.T) {
	with := gatehousetest.Options{Tenant: tenantWith(exchangers)}
	tellIn(t, "rfc8693/delegation", `An API exchanges the token that it was sent for one to the next API. The token is about the same user and tells who
		acts: each exchange puts the client that acts around those who acted before. RFC 8693 §2 and §4.1.`, with, func(s *story) {
		access := s.tokens().Member("access_token")
		first := s.wants(s.swap("gateway", access, "resource", ledgerAPI), http.StatusOK, "").Member("access_token")
		s.note("Introspection tells the actor, and of which token it was made.")
		s.wants(s.post("/introspect", "gateway", "token", first), http.StatusOK, "")
		s.note("The next one names its target by audience and asks for a JWT.")
		last := s.wants(s.swap("deep", first, "audience", photosAPI, "requested_token_type", tokenType+"jwt"), http.StatusOK, "").Member("access_token")
		s.wants(s.post("/introspect", "photos-api", "token", last), http.StatusOK, "")
		s.note("The first token is revoked: everything that was made of it ends.")
		s.wants(s.post("/revoke", "web", "token", access), http.StatusOK, "")
		s.wants(s.post("/introspect", "photos-api", "token", last), http.StatusOK, "")
	})

	tellIn(t, "rfc8693/actor-token", `An actor token says who acts, if it is not the client itself. RFC 8693 §2.1.`, with, func(s *story) {
		access := s.tokens().Member("access_token")
		machine := s.wants(s.token("svc", photos()), http.StatusOK, "").Member("access_token")
		answer := s.wants(s.swap("gateway", access, "actor_token", machine, "actor_token_type", tokenType+"access_token", "resource", ledgerAPI), http.StatusOK, "")
		s.wants(s.post("/introspect", "gateway", "token", answer.Member("access_token")), http.StatusOK, "")
		s.note("A type without its token.")
		s.wants(s.swap("gateway", access, "actor_token_type", tokenType+"access_token", "resource", ledgerAPI), http.StatusBadRequest, "invalid_request")
	})

	tellIn(t, "rfc8693/impersonation", `A client whose policy has impersonation gets a token that does not tell that it acts. RFC 8693 §1.1.`, with, func(s *story) {
		answer := s.wants(s.swap("twin", s.tokens().Member("access_token"), "resource", photosAPI), http.StatusOK, "")
		s.wants(s.post("/introspect", "photos-api", "token", answer.Member("access_token")), http.StatusOK, "")
	})

	tellIn(t, "rfc8693/id-token", `A client exchanges its own ID token, while the session lives. RFC 8693 §3.`, with, func(s *story) {
		issued := s.tokensFor("desk", "openid photos:read ledger:read")
		swap := []string{"grant_type", exchangeGrant, "subject_token", issued.id, "subject_token_type", tokenType + "id_token"}
		answer := s.wants(s.post("/token", "desk", swap...), http.StatusOK, "")
		s.wants(s.post("/introspect", "desk", "token", answer.Member("access_token")), http.StatusOK, "")
		s.note("The user has signed out.")
		s.signOut()
		s.wants(s.post("/introspect", "desk", "token", answer.Member("access_token")), http.StatusOK, "")
		s.wants(s.post("/token", "desk", swap...), http.StatusBadRequest, "invalid_request")
	})

	tellIn(t, "rfc8693/may-act", `The subject token says who alone may act for its subject. RFC 8693 §4.4.`, with, func(s *story) {
		issued := s.tokensFor("careful", "openid photos:read").access
		s.wants(s.swap("gateway", issued, "resource", ledgerAPI), http.StatusBadRequest, "invalid_request")
		s.wants(s.swap("twin", issued, "resource", photosAPI), http.StatusOK, "")
	})

	tellIn(t, "rfc8693/refusals", `What is not exchanged, with the error codes of RFC 8693 §2.2.2.`, with, func(s *story) {
		tokens := s.tokens()
		access := tokens.Member("access_token")
		s.note("No token, no type, and a type that is never exchanged.")
		s.wants(s.post("/token", "gateway", "grant_type", exchangeGrant, "resource", ledgerAPI), http.StatusBadRequest, "invalid_request")
		s.wants(s.swap("gateway", tokens.Member("refresh_token"), "resource", ledgerAPI), http.StatusBadRequest, "invalid_request")
		s.note("A token that nobody issued, and one that is not this client's to present, are told alike.")
		s.wants(s.swap("gateway", "nonsense", "resource", ledgerAPI), http.StatusBadRequest, "invalid_request")
		s.wants(s.swap("desk", access, "resource", ledgerAPI), http.StatusBadRequest, "invalid_request")
		s.note("More than the token allows, and more than the client may have.")
		s.wants(s.swap("gateway", access, "resource", ledgerAPI, "scope", "ledger:read"), http.StatusBadRequest, "invalid_scope")
		s.note("Targets: none of several, an unknown one, one that the policy does not have, and two.")
		s.wants(s.swap("gateway", access), http.StatusBadRequest, "invalid_target")
		s.wants(s.swap("gateway", access, "resource", "https://nowhere.example"), http.StatusBadRequest, "invalid_target")
		s.wants(s.swap("twin", access, "resource", ledgerAPI), http.StatusBadRequest, "invalid_target")
		s.wants(s.swap("gateway", access, "resource", ledgerAPI, "audience", photosAPI), http.StatusBadRequest, "invalid_target")
		s.note("A type that is not issued.")
		s.wants(s.swap("gateway", access, "resource", ledgerAPI, "requested_token_type", tokenType+"refresh_token"), http.StatusBadRequest, "invalid_request")
		s.note("A client that is not registered for it.")
		s.wants(s.swap("web", access, "resource", ledgerAPI), http.StatusBadRequest, "unauthorized_client")
	})
}

package authserver_test

import (
	"net/http"
	"testing"
)

func TestStoriesOfTheFeed(t *testing.T) {
	tell(t, "revocation-feed/refusals", `The revocation feed is for clients that authenticate and are registered for it. What it tells is in
		docs/revocation.md.`, func(s *story) {
		s.note("Not by GET.")
		s.wants(s.send(http.MethodGet, "/revocations", "", "Authorization", basic("photos-api", secrets["photos-api"])), http.StatusMethodNotAllowed, "")
		s.note("Not without credentials, nor with wrong ones.")
		s.wants(s.send(http.MethodPost, "/revocations", "", "Content-Type", formType), http.StatusUnauthorized, "invalid_client")
		s.wants(s.send(http.MethodPost, "/revocations", "", "Content-Type", formType, "Authorization", basic("photos-api", "wrong")), http.StatusUnauthorized, "invalid_client")
		s.note("Not for a public client, nor for one that is not registered for it.")
		s.wants(s.send(http.MethodPost, "/revocations", encoded("client_id", "spa"), "Content-Type", formType), http.StatusForbidden, "unauthorized_client")
		s.wants(s.post("/revocations", "svc"), http.StatusForbidden, "unauthorized_client")
		s.note("Parameters are sent once, in the body.")
		s.wants(s.post("/revocations", "photos-api", "cursor", "a", "cursor", "b"), http.StatusBadRequest, "invalid_request")
	})
}

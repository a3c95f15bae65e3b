package authserver_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/secret"
	"gatehouse/internal/spec"
)

func TestStoriesOfOurFaults(t *testing.T) {
	tell(t, "rfc6749/server-error", `When the server itself fails, the client learns that, an id and nothing else: at the redirect URI once it is
		trusted, else as JSON. RFC 6749 §4.1.2.1 and §5.2.`, func(s *story) {
		spec.Covers(s.T, "LG-03", "RFC6749-4.1.2.1-5")
		s.signIn()
		tokens := s.tokens()
		s.breakTable("grants")
		s.note("The database has lost a table. The redirect URI is known to be right.")
		s.refused("server_error")
		s.note("A refresh: no invalid_grant, which would sign the user out.")
		s.wants(s.renew(tokens.Member("refresh_token")), http.StatusInternalServerError, "server_error")
		s.note("UserInfo, which looks for endings.")
		s.breakTable("endings")
		s.wants(s.bearer(tokens.Member("access_token")), http.StatusInternalServerError, "server_error")
	})

	tell(t, "rfc6749/temporarily-unavailable", `While the database does not answer, requests are told to come again.
		RFC 6749 §4.1.2.1.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-4.1.2.1-5")
		tokens := s.tokens()
		if err := s.Issuer.Server().Store().Close(); err != nil {
			s.Fatal(err)
		}
		s.refused("temporarily_unavailable", "prompt", "none")
		s.wants(s.renew(tokens.Member("refresh_token")), http.StatusServiceUnavailable, "temporarily_unavailable")
		s.later(time.Second)
		s.wantsStatus(s.ask().Answer, http.StatusServiceUnavailable)
	})

	tell(t, "rfc6749/slow-down", `Whoever fails again and again is told to wait. The right secret passes all the same.
		RFC 6749 §4.1.2.1 and §5.2, RFC 6585 §4.`, func(s *story) {
		spec.Covers(s.T, "RFC6749-4.1.2.1-5", "RFC6749-2.3.1-4")
		guess := func() gatehousetest.Answer {
			return s.Issuer.Post(s.T, "/token", "svc", "wrong", url.Values{"grant_type": {"client_credentials"}})
		}
		failures := 0
		for guess().StatusCode == http.StatusUnauthorized {
			if failures++; failures > 10000 {
				s.Fatal("nobody stops it")
			}
		}
		wrong := []string{"Content-Type", formType, "Authorization", basic("svc", "wrong")}
		s.wants(s.send(http.MethodPost, "/token", "grant_type=client_credentials", wrong...), http.StatusTooManyRequests, "temporarily_unavailable")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", "photos:read"), http.StatusOK, "")
		s.later(time.Minute)
		s.wants(s.send(http.MethodPost, "/token", "grant_type=client_credentials", wrong...), http.StatusUnauthorized, "invalid_client")
		s.wants(s.post("/token", "svc", "grant_type", "client_credentials", "scope", "photos:read"), http.StatusOK, "")
	})

	tell(t, "rfc6749/secret-rotation", `A new secret takes the old one's place; the old one stays good for the overlap that was chosen, and no
		longer. RFC 6819 §5.2.3.5.`, func(s *story) {
		spec.Covers(s.T, "RFC6819-5.2.3.5-1")
		kept, ctx := s.Issuer.Server().Store(), context.Background()
		const fresh = "another-secret-that-is-long-enough-to-be-random"
		found, err := kept.AddClientSecret(ctx, gatehouse.DefaultTenant, "svc", sha256Secret(fresh), time.Now().Add(time.Hour), gatehouse.Event{})
		if err != nil || !found {
			s.Fatal(found, err)
		}
		ask := func(text string, status int, code string) {
			s.Helper()
			s.wants(s.send(http.MethodPost, "/token", encoded("grant_type", "client_credentials", "scope", "photos:read"), "Content-Type", formType,
				"Authorization", basic("svc", text)), status, code)
		}
		ask(secrets["svc"], http.StatusOK, "")
		ask(fresh, http.StatusOK, "")
		s.later(time.Hour)
		ask(secrets["svc"], http.StatusUnauthorized, "invalid_client")
		ask(fresh, http.StatusOK, "")
	})
}

// breakTable takes a table away under the server's feet.
func (s *story) breakTable(name string) {
	s.Helper()
	database, err := sql.Open("sqlite", filepath.Join(s.Data, "gatehouse.db"))
	if err != nil {
		s.Fatal(err)
	}
	defer database.Close()
	if _, err := database.Exec("ALTER TABLE " + name + " RENAME TO " + name + "_elsewhere"); err != nil {
		s.Fatal(err)
	}
}

func sha256Secret(text string) gatehouse.ClientSecret {
	return gatehouse.ClientSecret{ID: "next", Kind: gatehouse.SecretSHA256, Hash: secret.Hash(text), CreatedAt: time.Now()}
}

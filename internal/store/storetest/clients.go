package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/store"
)

func clients(t *testing.T, open Open) {
	t.Run("a client is read as it was put", func(t *testing.T) { clientRoundTrip(t, open) })
	t.Run("secrets", func(t *testing.T) { secrets(t, open) })
	t.Run("disabling and deleting", func(t *testing.T) { clientEnds(t, open) })
	t.Run("settings and resources", func(t *testing.T) { settings(t, open) })
	t.Run("another process is followed", func(t *testing.T) { following(t, open) })
	t.Run("more clients than the snapshot holds", func(t *testing.T) { manyClients(t, open) })
}

func clientRoundTrip(t *testing.T, open Open) {
	s := setUp(t, open)
	maxAge := 0
	want := gatehouse.Client{
		ID: "api",
		ClientMetadata: gatehouse.ClientMetadata{
			ClientName: "The API", RedirectURIs: []string{"https://a.example/cb", "https://b.example/cb"}, GrantTypes: []string{"authorization_code"},
			TokenEndpointAuthMethod: gatehouse.AuthClientSecretBasic, Scope: "openid photos:read", DefaultMaxAge: &maxAge,
			JWKS: json.RawMessage(`{"keys":[]}`), Profile: gatehouse.ProfileOIDC, Introspects: []string{"https://api.example.com/"}, SkipConsent: true,
		},
		Secrets: []gatehouse.ClientSecret{
			{ID: "s1", Kind: gatehouse.SecretSHA256, Hash: []byte{1, 2, 3}, CreatedAt: s.Now(), ExpiresAt: s.Now().Add(time.Hour)},
			{ID: "s2", Kind: gatehouse.SecretArgon2id, Hash: []byte("$argon2id$"), CreatedAt: s.Now()},
		},
	}
	s.ok(s.PutClient(t.Context(), tenant, want, byCLI))
	want.CreatedAt, want.UpdatedAt = s.Now(), s.Now()
	check := func() {
		t.Helper()
		got, found, err := s.Client(t.Context(), tenant, "api")
		is(t, true)(found, err)
		same(t, want, got)
		listed, err := s.Clients(t.Context(), tenant, "a", 1)
		s.ok(err)
		same(t, []gatehouse.Client{want}, listed)
	}
	check()
	s.clock.Move(time.Hour)
	want.RedirectURIs, want.Secrets, want.JWKS = want.RedirectURIs[:1], want.Secrets[1:], nil
	s.ok(s.PutClient(t.Context(), tenant, want, byCLI))
	want.UpdatedAt = s.Now()
	check()
	if _, found, err := s.Client(t.Context(), tenant, "nobody"); found || err != nil {
		t.Fatalf("nobody: %v %v", found, err)
	}
	broken := want
	broken.JWKS = json.RawMessage(`{`)
	if err := s.PutClient(t.Context(), tenant, broken, byCLI); err == nil {
		t.Fatal("metadata that is no JSON was stored")
	}
	check()
}

func secrets(t *testing.T, open Open) {
	s := setUp(t, open)
	list := func() (text string) {
		client, _, err := s.Client(t.Context(), tenant, clientID)
		s.ok(err)
		for _, secret := range client.Secrets {
			left := "for ever"
			if !secret.ExpiresAt.IsZero() {
				left = secret.ExpiresAt.Sub(s.Now()).String()
			}
			text += secret.ID + " " + left + ", "
		}
		return text
	}
	add := func(id string, retireOthersAt time.Time) {
		t.Helper()
		s.clock.Move(time.Minute)
		is(t, true)(s.AddClientSecret(t.Context(), tenant, clientID, gatehouse.ClientSecret{ID: id, Kind: gatehouse.SecretSHA256, Hash: []byte{1}}, retireOthersAt, byCLI))
	}
	add("one", time.Time{})
	add("two", time.Time{})
	is(t, "one for ever, two for ever, ")(list(), nil)
	add("three", s.Now().Add(time.Hour))
	is(t, "one 59m0s, two 59m0s, three for ever, ")(list(), nil)
	add("four", s.Now().Add(24*time.Hour)) // a retirement is not put off
	is(t, "one 58m0s, two 58m0s, three 23h59m0s, four for ever, ")(list(), nil)
	s.clock.Move(time.Hour)
	add("five", s.Now()) // at once
	is(t, "five for ever, ")(list(), nil)
	is(t, false)(s.AddClientSecret(t.Context(), tenant, "nobody", gatehouse.ClientSecret{ID: "x"}, time.Time{}, byCLI))
}

func clientEnds(t *testing.T, open Open) {
	s := setUp(t, open)
	machine := gatehouse.TokenFacts{ID: "jti-1", ClientID: clientID, IssuedAt: s.Now().Truncate(time.Second)}
	ended := func(token gatehouse.TokenFacts) (bool, error) { return s.TokenEnded(t.Context(), tenant, token) }
	g := s.redeemed("openid", "offline_access")

	is(t, false)(ended(machine))
	is(t, true)(s.DisableClient(t.Context(), tenant, clientID, true, byCLI))
	is(t, true)(ended(machine))
	client, _, err := s.Client(t.Context(), tenant, clientID)
	is(t, true)(client.Disabled(), err)
	is(t, gatehouse.RotateEnded)(s.rotate(g, 1))

	s.clock.Move(3 * time.Second)
	is(t, true)(s.DisableClient(t.Context(), tenant, clientID, false, byCLI))
	is(t, true)(ended(machine)) // what ended stays ended
	machine.IssuedAt = s.Now().Truncate(time.Second)
	is(t, false)(ended(machine))
	is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))

	// A client that is put as disabled is disabled.
	client, _, err = s.Client(t.Context(), tenant, clientID)
	s.ok(err)
	client.DisabledAt = s.Now()
	s.ok(s.PutClient(t.Context(), tenant, client, byCLI))
	is(t, true)(ended(machine))

	is(t, true)(s.DeleteClient(t.Context(), tenant, clientID, byCLI))
	is(t, false)(s.DeleteClient(t.Context(), tenant, clientID, byCLI))
	is(t, false)(s.DisableClient(t.Context(), tenant, clientID, true, byCLI))
	is(t, gatehouse.EndedByClientRemoved)(s.row(g.ID).EndReason, nil)
	// Nor does a new client of the same name inherit anything.
	s.ok(s.PutClient(t.Context(), tenant, gatehouse.Client{ID: clientID}, byCLI))
	is(t, gatehouse.RotateEnded)(s.rotate(g, 2))
	events := s.events(gatehouse.EventClientChanged)
	deleted := events[len(events)-2]
	if deleted.Actor != "cli" || deleted.ClientID != clientID || deleted.Detail["deleted"] != "true" || deleted.Detail["grants_ended"] != "1" {
		t.Fatalf("the deletion was told as %+v", deleted)
	}
}

func settings(t *testing.T, open Open) {
	s := setUp(t, open)
	if _, found, err := s.Tenant(t.Context(), tenant); found || err != nil {
		t.Fatalf("settings that nobody put: %v %v", found, err)
	}
	none := config.DurationOrZero(0)
	want := gatehouse.Settings{Name: "Photos", RefreshGrace: &none, CodeLifetime: config.Duration(2 * time.Minute), Throttle: gatehouse.Throttle{FreeAttempts: 3}}
	s.ok(s.PutSettings(t.Context(), tenant, want, byCLI))
	got, found, err := s.Tenant(t.Context(), tenant)
	is(t, true)(found, err)
	same(t, want, got)

	for _, identifier := range []string{"https://b.example/", "https://a.example/"} {
		s.ok(s.PutResource(t.Context(), tenant, gatehouse.Resource{Identifier: identifier, TokenLifetime: config.Duration(time.Hour)}, byCLI))
	}
	b := gatehouse.Resource{Identifier: "https://b.example/", Name: "B", Scopes: []gatehouse.ResourceScope{{Name: "b:read", Description: "Read B"}}, TokenFormat: gatehouse.FormatOpaque}
	s.ok(s.PutResource(t.Context(), tenant, b, byCLI))
	resources, err := s.Resources(t.Context(), tenant)
	s.ok(err)
	same(t, []gatehouse.Resource{{Identifier: "https://a.example/", TokenLifetime: config.Duration(time.Hour)}, b}, resources)
	is(t, true)(s.DeleteResource(t.Context(), tenant, "https://a.example/", byCLI))
	is(t, false)(s.DeleteResource(t.Context(), tenant, "https://a.example/", byCLI))
	resources, err = s.Resources(t.Context(), tenant)
	s.ok(err)
	same(t, []gatehouse.Resource{b}, resources)
}

// following has a command change what a running server has in its snapshot.
func following(t *testing.T, open Open) {
	server := setUp(t, open)
	command := open(t, server.clock)
	look := func(s *store.Store) (string, error) {
		client, found, err := s.Client(t.Context(), tenant, clientID)
		if err != nil {
			return "", err
		}
		settings, _, err := s.Tenant(t.Context(), tenant)
		if err != nil {
			return "", err
		}
		resources, err := s.Resources(t.Context(), tenant)
		return fmt.Sprintf("%v %v %q %d", found, client.Disabled(), settings.Name, len(resources)), err
	}
	is(t, `true false "" 0`)(look(server.Store))
	server.ok(command.PutSettings(t.Context(), tenant, gatehouse.Settings{Name: "Photos"}, byCLI))
	server.ok(command.PutResource(t.Context(), tenant, gatehouse.Resource{Identifier: "https://a.example/"}, byCLI))
	is(t, true)(command.DisableClient(t.Context(), tenant, clientID, true, byCLI))
	is(t, `true true "Photos" 1`)(look(command)) // whoever changes something sees it at once
	time.Sleep(250 * time.Millisecond)
	is(t, `true true "Photos" 1`)(look(server.Store))

	// Acts follow at once: they do not ask the snapshot.
	is(t, true)(command.DisableClient(t.Context(), tenant, clientID, false, byCLI))
	is(t, gatehouse.CodeAccepted)(server.issued(tenant, server.newIssue("openid")))
	is(t, true)(command.DeleteClient(t.Context(), tenant, clientID, byCLI))
	is(t, gatehouse.CodeWithdrawn)(server.issued(tenant, server.newIssue("openid")))
	time.Sleep(250 * time.Millisecond)
	is(t, `false false "Photos" 1`)(look(server.Store))

	// Both write to one database in turn, and the numbers of events stay in order.
	for i := range 20 {
		s := server.Store
		if i%2 == 1 {
			s = command
		}
		server.ok(s.AppendEvent(t.Context(), tenant, gatehouse.Event{Kind: "turn", Detail: map[string]string{"turn": fmt.Sprint(i)}}))
	}
	for i, e := range server.events("turn") {
		is(t, fmt.Sprint(i))(e.Detail["turn"], nil)
	}
}

func manyClients(t *testing.T, open Open) {
	s := setUp(t, open)
	race(t, func(racer int) (struct{}, error) {
		for i := range 40 {
			id := fmt.Sprintf("c-%02d-%02d", racer, i)
			if err := s.PutClient(t.Context(), tenant, gatehouse.Client{ID: id}, byCLI); err != nil {
				return struct{}{}, err
			}
			if _, found, err := s.Client(t.Context(), tenant, id); err != nil || !found {
				return struct{}{}, fmt.Errorf("client %s was put and is not seen: %w", id, err)
			}
		}
		return struct{}{}, nil
	})
	total, after := 0, ""
	for {
		clients, err := s.Clients(t.Context(), tenant, after, 500)
		s.ok(err)
		if len(clients) == 0 {
			break
		}
		total += len(clients)
		after = clients[len(clients)-1].ID
	}
	is(t, racers*40+1)(total, nil)
	everything, err := s.Clients(t.Context(), tenant, "", 1_000_000)
	is(t, 1000)(len(everything), err)
}

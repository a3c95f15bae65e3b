package authserver_test

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"testing"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/store"
)

// tokens are what a token endpoint answered with.
type tokens struct{ access, refresh, id string }

func tokensOf(answer gatehousetest.Answer) tokens {
	return tokens{answer.Member("access_token"), answer.Member("refresh_token"), answer.Member("id_token")}
}

// tokens signs alice in to web and redeems the code.
func (s *stage) tokens(pairs ...string) tokens {
	s.Helper()
	return tokensOf(s.wants(s.redeem(s.code(pairs...)), http.StatusOK, ""))
}

// post sends a form by the method that the client registered.
func (s *stage) post(path, client string, form url.Values) gatehousetest.Answer {
	s.Helper()
	if client != "evil" {
		return s.Issuer.Post(s.T, path, client, secrets[client], form)
	}
	sent := maps.Clone(form)
	sent.Set("client_id", client)
	sent.Set("client_secret", secrets[client])
	return s.Issuer.Post(s.T, path, "", "", sent)
}

// introspect asks about a token in the name of web.
func (s *stage) introspect(token string) gatehousetest.Answer {
	s.Helper()
	return s.wants(s.post("/introspect", "web", url.Values{"token": {token}}), http.StatusOK, "")
}

func (s *stage) userinfo(token string) gatehousetest.Answer {
	s.Helper()
	r, _ := http.NewRequest(http.MethodGet, s.URL+"/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return s.Do(s.T, r)
}

func (s *stage) revoke(client, token string) gatehousetest.Answer {
	s.Helper()
	return s.wants(s.post("/revoke", client, url.Values{"token": {token}}), http.StatusOK, "")
}

// wantLive fails unless the tokens can be used. It uses up nothing.
func (s *stage) wantLive(t tokens) {
	s.Helper()
	if s.introspect(t.access).Member("active") != "true" {
		s.Error("the access token is not active at introspection")
	}
	if answer := s.userinfo(t.access); answer.StatusCode != http.StatusOK {
		s.Errorf("the access token is not accepted at userinfo: %d %s", answer.StatusCode, answer.Text)
	}
	if t.refresh != "" && s.introspect(t.refresh).Member("active") != "true" {
		s.Error("the refresh token is not active at introspection")
	}
}

// wantDead fails if anything can still be done with the tokens.
func (s *stage) wantDead(t tokens) {
	s.Helper()
	s.wantAccessDead(t.access)
	if t.refresh == "" {
		return
	}
	if text := s.introspect(t.refresh).Text; text != inactive {
		s.Errorf("introspection says of the refresh token: %s", text)
	}
	s.wants(s.refresh(t.refresh), http.StatusBadRequest, "invalid_grant")
}

// inactive is all that an answer says of a token that is not active
// (RFC 7662 §2.2).
const inactive = `{"active":false}`

func (s *stage) wantAccessDead(token string) {
	s.Helper()
	if text := s.introspect(token).Text; text != inactive {
		s.Errorf("introspection says of the access token: %s", text)
	}
	s.wants(s.userinfo(token), http.StatusUnauthorized, "invalid_token")
}

// wantEvents fails unless the tenant has so many events of the kind.
func (s *stage) wantEvents(kind gatehouse.EventKind, count int) []gatehouse.Event {
	s.Helper()
	events, err := s.store().Events(s.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{Kinds: []gatehouse.EventKind{kind}})
	if err != nil {
		s.Fatal(err)
	}
	if len(events) != count {
		s.Errorf("%d events %s, want %d: %+v", len(events), kind, count, events)
	}
	return events
}

// wantEnded fails unless exactly one grant has ended, for the reason.
func (s *stage) wantEnded(reason gatehouse.EndReason) {
	s.Helper()
	for _, event := range s.wantEvents(gatehouse.EventGrantEnded, 1) {
		if event.Detail["reason"] != string(reason) {
			s.Errorf("the grant ended because of %s, want %s", event.Detail["reason"], reason)
		}
	}
}

func (s *stage) store() *store.Store { return s.Server().Store() }

// set changes the tenant's settings.
func (s *stage) set(changes ...func(*gatehouse.Settings)) {
	s.Helper()
	settings, _, err := s.store().Tenant(s.Context(), gatehouse.DefaultTenant)
	if err != nil {
		s.Fatal(err)
	}
	for _, change := range changes {
		change(&settings)
	}
	s.did(s.store().PutSettings(s.Context(), gatehouse.DefaultTenant, settings, gatehouse.Event{Kind: gatehouse.EventSettingsChanged}))
}

// change changes the registration of a client.
func (s *stage) change(id string, change func(*gatehouse.Client)) {
	s.Helper()
	client, found, err := s.store().Client(s.Context(), gatehouse.DefaultTenant, id)
	if err != nil || !found {
		s.Fatalf("client %s: found is %v, %v", id, found, err)
	}
	change(&client)
	s.did(s.store().PutClient(s.Context(), gatehouse.DefaultTenant, client, gatehouse.Event{Kind: gatehouse.EventClientChanged, ClientID: id}))
}

// did fails the test if an act failed.
func (s *stage) did(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// done fails the test unless an act was done.
func (s *stage) done(done bool, err error) {
	s.Helper()
	if err != nil || !done {
		s.Fatalf("done is %v, error %v", done, err)
	}
}

// anew is the stage with another test and a new browser.
func (s *stage) anew(t *testing.T) *stage {
	t.Helper()
	return &stage{t, s.Issuer, s.NewBrowser(t)}
}

// hashed is a random secret as it is kept.
func hashed(text string) gatehouse.ClientSecret {
	digest := sha256.Sum256([]byte(text))
	return gatehouse.ClientSecret{ID: "hashed", Kind: gatehouse.SecretSHA256, Hash: digest[:]}
}

// metadata returns the server's metadata.
func (s *stage) metadata() map[string]any {
	s.Helper()
	r, _ := http.NewRequest(http.MethodGet, s.URL+"/.well-known/oauth-authorization-server", nil)
	var metadata map[string]any
	s.did(json.Unmarshal([]byte(s.wants(s.Do(s.T, r), http.StatusOK, "").Text), &metadata))
	return metadata
}

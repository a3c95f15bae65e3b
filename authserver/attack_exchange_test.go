package authserver_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
)

func TestExchangedTokenTellsWhoActsForWhom(t *testing.T) {
	spec.Covers(t, "RFC8693-2.1-1", "RFC8693-2.2.1-1", "RFC8693-4.1-1", "RFC8693-4.1-2")
	s := exchangeStage(t)
	access := s.tokens().access
	answer := s.wants(s.exchange("gateway", access), http.StatusOK, "")
	if answer.Member("issued_token_type") != tokenType+"access_token" || answer.Member("token_type") != "Bearer" ||
		answer.Member("scope") != "photos:read" || answer.Member("refresh_token") != "" || answer.Member("id_token") != "" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer is %s", answer.Text)
	}
	first := answer.Member("access_token") // opaque: the ledger's are
	says := s.told("gateway", first)
	if says.Member("sub") != "sub-of-alice" || says.Member("client_id") != "gateway" || says.Member("aud") != ledgerAPI ||
		says.Member("act") != `{"sub":"gateway"}` || says.Member("gid") != s.claims(access)["gid"] || says.Member("auth_time") == "" {
		t.Errorf("introspection says %s", says.Text)
	}
	second := s.exchanged("deep", first, "resource", "", "audience", photosAPI, "requested_token_type", tokenType+"jwt")
	claims := s.claims(second)
	act, _ := json.Marshal(claims["act"])
	if string(act) != `{"act":{"sub":"gateway"},"sub":"deep"}` || claims["sub"] != "sub-of-alice" || claims["gid"] != s.claims(access)["gid"] || claims["client_id"] != "deep" || claims["scope"] != "photos:read" {
		t.Errorf("the second token is %v", claims)
	}
	if says := s.told("deep", second); says.Member("act") != `{"act":{"sub":"gateway"},"sub":"deep"}` {
		t.Errorf("introspection of the second says %s", says.Text)
	}
	s.wants(s.userinfo(second), http.StatusForbidden, "insufficient_scope") // never openid
	log := s.Log()
	for _, part := range []string{`"act":"deep < gateway"`, `"subject":"sub-of-alice"`, `"audience":"https://photos.example"`, `"jti":"` + s.claims(access)["jti"].(string) + `"`} {
		if !strings.Contains(log, part) {
			t.Errorf("the log does not tell %s", part)
		}
	}
}

func TestWhoActsIsTheActorTokensSubject(t *testing.T) {
	spec.Covers(t, "RFC8693-1.1-1", "RFC8693-2.1-3", "RFC8693-2.1-4")
	s := exchangeStage(t)
	access := s.tokens().access
	machine := s.wants(s.token("svc", photos()), http.StatusOK, "").Member("access_token") // for photos, which gateway is
	token := s.exchanged("gateway", access, "actor_token", machine, "actor_token_type", tokenType+"access_token")
	if says := s.told("gateway", token); says.Member("act") != `{"sub":"svc"}` {
		t.Errorf("svc acts: %s", says.Text)
	}
	person := s.exchanged("gateway", machine, "actor_token", access, "actor_token_type", tokenType+"jwt")
	if says := s.told("gateway", person); says.Member("act") != `{"client_id":"web","sub":"sub-of-alice"}` || says.Member("sub") != "svc" || says.Member("username") != "" || says.Member("gid") != "" {
		t.Errorf("alice acts for svc: %s", says.Text)
	}
	delegated := s.exchanged("gateway", access, "resource", photosAPI)
	s.wants(s.exchange("gateway", access, "actor_token", delegated, "actor_token_type", tokenType+"access_token"), http.StatusBadRequest, "invalid_request")
	s.wants(s.exchange("gateway", access, "actor_token_type", tokenType+"access_token"), http.StatusBadRequest, "invalid_request")
	s.wants(s.exchange("gateway", access, "actor_token", machine), http.StatusBadRequest, "invalid_request")
	s.wants(s.exchange("gateway", access, "actor_token", "x", "actor_token_type", tokenType+"access_token"), http.StatusBadRequest, "invalid_request")

	// Whatever ends the actor ends what it does.
	s.revoke("svc", machine)
	s.wantExchanged(false, map[string]string{"gateway": token})
	s.wantExchanged(false, map[string]string{"gateway": person})
	s.wantExchanged(true, map[string]string{"gateway": s.exchanged("gateway", access)})
}

func TestImpersonationIsForWhoMay(t *testing.T) {
	s := exchangeStage(t)
	access := s.tokens().access
	claims := s.claims(s.exchanged("twin", access, "resource", photosAPI))
	if _, has := claims["act"]; has || claims["sub"] != "sub-of-alice" || claims["client_id"] != "twin" {
		t.Errorf("twin impersonates with %v", claims)
	}
	// Who acted before stays told, and an actor token makes a delegation of it.
	claims = s.claims(s.exchanged("twin", s.exchanged("gateway", access), "resource", photosAPI))
	if act, _ := json.Marshal(claims["act"]); string(act) != `{"sub":"gateway"}` {
		t.Errorf("after gateway: %v", claims)
	}
	machine := s.wants(s.token("svc", photos()), http.StatusOK, "").Member("access_token")
	claims = s.claims(s.exchanged("twin", access, "resource", photosAPI, "actor_token", machine, "actor_token_type", tokenType+"access_token"))
	if act, _ := json.Marshal(claims["act"]); string(act) != `{"sub":"svc"}` {
		t.Errorf("with an actor: %v", claims)
	}
}

func TestMayActIsHonoured(t *testing.T) {
	spec.Covers(t, "RFC8693-4.4-1")
	s := exchangeStage(t)
	issued := s.tokensFor("careful", "openid photos:read")
	for _, raw := range []string{issued.access, issued.id} {
		if may, _ := json.Marshal(s.claims(raw)["may_act"]); string(may) != `{"sub":"twin"}` {
			t.Errorf("may_act is %s", may)
		}
	}
	s.wants(s.exchange("gateway", issued.access), http.StatusBadRequest, "invalid_request")
	s.exchanged("twin", issued.access, "resource", photosAPI) // impersonates, being the one
	machine := s.wants(s.token("svc", photos()), http.StatusOK, "").Member("access_token")
	s.wants(s.exchange("twin", issued.access, "resource", photosAPI, "actor_token", machine, "actor_token_type", tokenType+"access_token"), http.StatusBadRequest, "invalid_request")
	service := s.wants(s.token("careful", photos()), http.StatusOK, "").Member("access_token")
	s.wants(s.exchange("gateway", service), http.StatusBadRequest, "invalid_request")
	s.exchanged("gateway", s.tokens().access) // others' tokens say nothing of it
	s.change("desk", func(c *gatehouse.Client) { c.MayAct = "gateway" })
	s.wants(s.exchange("desk", s.tokensFor("desk", "openid photos:read").id, "subject_token_type", tokenType+"id_token"), http.StatusBadRequest, "invalid_request")
	s.change("desk", func(c *gatehouse.Client) { c.MayAct = "desk" })
	s.exchanged("desk", s.tokensFor("desk", "openid photos:read").id, "subject_token_type", tokenType+"id_token")
}

func TestTX01WhoseTokensAreExchanged(t *testing.T) {
	spec.Covers(t, "TX-01", "RFC8693-2.2.2-1", "RFC8693-2.1-2")
	s := exchangeStage(t)
	issued := s.tokens("scope", "openid photos:read ledger:read", "resource", photosAPI)
	ledger := s.wants(s.token("svc", photos("scope", "ledger:read")), http.StatusOK, "").Member("access_token")
	other := s.AddTenant(t, "other", "", tenantWith(exchangers))
	foreign := other.Post(t, "/token", "svc", secrets["svc"], photos()).Member("access_token")
	if foreign == "" {
		t.Fatal("the other tenant issued nothing")
	}
	for name, attempt := range map[string]gatehousetest.Answer{
		"for a resource that it is not":   s.exchange("gateway", ledger),
		"of another client":               s.exchange("desk", issued.access),
		"of another tenant":               s.exchange("gateway", foreign),
		"in another tenant":               other.Post(t, "/token", "gateway", secrets["gateway"], url.Values{"grant_type": {exchangeGrant}, "subject_token": {issued.access}, "subject_token_type": {tokenType + "access_token"}, "resource": {ledgerAPI}}),
		"a refresh token":                 s.exchange("gateway", issued.refresh),
		"a refresh token as such":         s.exchange("gateway", issued.refresh, "subject_token_type", tokenType+"refresh_token"),
		"an ID token as an access token":  s.exchange("desk", s.tokensFor("desk", "openid photos:read").id),
		"an access token as an ID token":  s.exchange("desk", s.tokensFor("desk", "openid photos:read").access, "subject_token_type", tokenType+"id_token"),
		"another client's ID token":       s.exchange("desk", issued.id, "subject_token_type", tokenType+"id_token"),
		"an ID token where none may be":   s.exchange("gateway", issued.id, "subject_token_type", tokenType+"id_token"),
		"an opaque token as a JWT":        s.exchange("deep", ledger, "subject_token_type", tokenType+"jwt", "resource", photosAPI),
		"a SAML assertion":                s.exchange("gateway", issued.access, "subject_token_type", tokenType+"saml2"),
		"no type":                         s.exchange("gateway", issued.access, "subject_token_type", ""),
		"no token":                        s.exchange("gateway", ""),
		"a forged one":                    s.exchange("gateway", forged(t, issued.access, nil, map[string]any{"sub": "sub-of-bob"}, false)),
		"an unsigned one":                 s.exchange("gateway", forged(t, issued.access, map[string]any{"alg": "none"}, nil, true)),
		"nonsense":                        s.exchange("gateway", "x"),
		"nonsense that looks opaque":      s.exchange("gateway", "gha_AAAA"),
		"a million dots' like":            s.exchange("gateway", strings.Repeat(".", 16_000)),
		"a requested refresh token":       s.exchange("gateway", issued.access, "requested_token_type", tokenType+"refresh_token"),
		"a requested ID token":            s.exchange("gateway", issued.access, "requested_token_type", tokenType+"id_token"),
		"a JWT where tokens are opaque":   s.exchange("gateway", issued.access, "requested_token_type", tokenType+"jwt"),
		"an actor that is not of its own": s.exchange("gateway", issued.access, "actor_token", ledger, "actor_token_type", tokenType+"access_token"),
	} {
		if s.wants(attempt, http.StatusBadRequest, "invalid_request"); attempt.Member("access_token") != "" {
			t.Errorf("%s: %s", name, attempt.Text)
		}
	}
	for name, attempt := range map[string]gatehousetest.Answer{
		"a client without the grant type": s.exchange("web", issued.access),
		"a machine without it":            s.exchange("svc", ledger),
	} {
		if s.wants(attempt, http.StatusBadRequest, "unauthorized_client"); attempt.Member("access_token") != "" {
			t.Errorf("%s: %s", name, attempt.Text)
		}
	}
	s.wants(s.Issuer.Post(t, "/token", "gateway", "wrong", url.Values{"grant_type": {exchangeGrant}}), http.StatusUnauthorized, "invalid_client")
	// What is live and what is not is told alike to a client that may not ask.
	live, dead := s.exchange("desk", issued.access).Member("error_description"), s.exchange("desk", "x").Member("error_description")
	if plain := func(text string) string { before, _, _ := strings.Cut(text, " (exchange-"); return before }; plain(live) != plain(dead) {
		t.Errorf("%q and %q", live, dead)
	}
	s.exchanged("gateway", issued.access)
	s.exchanged("deep", ledger, "resource", photosAPI, "scope", "ledger:read")
	s.wantLive(issued)

	// A public client that slipped in, and one whose policy is gone.
	s.change("gateway", func(c *gatehouse.Client) { c.TokenExchange = nil })
	s.wants(s.exchange("gateway", issued.access), http.StatusBadRequest, "invalid_request")
	s.change("spa", func(c *gatehouse.Client) { c.GrantTypes = append(c.GrantTypes, exchangeGrant) })
	s.wants(s.exchange("spa", issued.access), http.StatusBadRequest, "unauthorized_client")
}

func TestTX02AnExchangeOnlyNarrows(t *testing.T) {
	spec.Covers(t, "TX-02", "RFC8693-2.2.2-2")
	s := exchangeStage(t)
	wide := s.tokens("scope", "openid profile photos:read photos:write ledger:read", "resource", photosAPI)
	for name, pairs := range map[string][]string{
		"more than the token has":         {"scope", "photos:read ledger:read"},
		"what the client has not":         {"scope", "photos:write"},
		"an identity":                     {"scope", "openid"},
		"an identity beside":              {"scope", "photos:read profile"},
		"a refresh token by side door":    {"scope", "photos:read offline_access"},
		"a scope that nobody has":         {"scope", "photos:delete"},
		"a scope with a quote":            {"scope", `pho"tos`},
		"the other case":                  {"scope", "Photos:read"},
		"more than an own token may have": {"scope", "photos:read photos:write"},
	} {
		if answer := s.wants(s.exchange("gateway", wide.access, pairs...), http.StatusBadRequest, "invalid_scope"); answer.Member("access_token") != "" {
			t.Errorf("%s: %s", name, answer.Text)
		}
	}
	for name, pairs := range map[string][]string{
		"an unknown resource":            {"resource", "https://nowhere.example"},
		"an unknown audience":            {"resource", "", "audience", "https://nowhere.example"},
		"the issuer":                     {"resource", s.URL},
		"none of two":                    {"resource", ""},
		"two":                            {"resource", ledgerAPI, "audience", photosAPI},
		"another case":                   {"resource", "https://LEDGER.example"},
		"a path below":                   {"resource", ledgerAPI + "/x"},
		"a client in place of an API":    {"resource", "", "audience", "web"},
		"one of the resource's prefixes": {"resource", "https://ledger"},
	} {
		if answer := s.wants(s.exchange("gateway", wide.access, pairs...), http.StatusBadRequest, "invalid_target"); answer.Member("access_token") != "" {
			t.Errorf("%s: %s", name, answer.Text)
		}
	}
	s.wants(s.exchange("deep", s.exchanged("gateway", wide.access)), http.StatusBadRequest, "invalid_target") // ledger is not in its policy
	if scope := s.wants(s.exchange("gateway", wide.access), http.StatusOK, "").Member("scope"); scope != "photos:read" {
		t.Errorf("the scope is %q", scope)
	}
	// What was lost on the way does not come back, although the next client and the grant have it.
	narrow := s.exchanged("gateway", wide.access)
	s.wants(s.exchange("deep", narrow, "resource", photosAPI, "scope", "photos:write"), http.StatusBadRequest, "invalid_scope")
	s.wants(s.exchange("deep", narrow, "resource", photosAPI, "scope", "ledger:read"), http.StatusBadRequest, "invalid_scope")
	s.exchanged("deep", narrow, "resource", photosAPI)
	// A token of which nothing is left is not issued.
	s.wants(s.exchange("gateway", s.wants(s.token("svc", photos("scope", "photos:write")), http.StatusOK, "").Member("access_token")), http.StatusBadRequest, "invalid_scope")
	empty := s.tokens("scope", "openid", "resource", photosAPI)
	s.wants(s.exchange("gateway", empty.access), http.StatusBadRequest, "invalid_scope")
	// Of an own token the ledger's scopes come first; the only audience need not be named.
	own := s.tokensFor("desk", "openid photos:read ledger:read")
	answer := s.wants(s.exchange("desk", own.id, "subject_token_type", tokenType+"id_token", "resource", ""), http.StatusOK, "")
	if answer.Member("scope") != "ledger:read" || s.told("desk", answer.Member("access_token")).Member("aud") != ledgerAPI {
		t.Errorf("the answer is %s", answer.Text)
	}
	s.wantLive(wide)
}

func TestTX12NothingIsWidenedOverTheWholeChain(t *testing.T) {
	spec.Covers(t, "RFC8693-4.1-3")
	s := exchangeStage(t)
	token := s.exchanged("gateway", s.tokens().access, "resource", photosAPI)
	for range gatehouse.MaxDelegation - 1 {
		token = s.exchanged("gateway", token, "resource", photosAPI)
	}
	s.wants(s.exchange("gateway", token, "resource", photosAPI), http.StatusBadRequest, "invalid_request")
	// An impersonator adds no actor, but its tokens are counted too.
	token = s.tokens().access
	for range gatehouse.MaxAncestors {
		token = s.exchanged("twin", token, "resource", photosAPI)
	}
	s.wants(s.exchange("twin", token, "resource", photosAPI), http.StatusBadRequest, "invalid_request")
	s.wantExchanged(true, map[string]string{"twin": token})
}

func TestTX04TheEndOfTheRootEndsTheWholeChain(t *testing.T) {
	spec.Covers(t, "TX-04", "TX-05")
	store := func(do func(*stage) (bool, error)) func(*stage, tokens, string) {
		return func(s *stage, _ tokens, _ string) { s.Helper(); s.done(do(s)) }
	}
	by := gatehouse.Event{Actor: "test"}
	user, client := gatehouse.EventUserChanged, gatehouse.EventClientChanged
	by.Kind = user
	byClient := gatehouse.Event{Actor: "test", Kind: client}
	const id = gatehouse.DefaultTenant
	for name, end := range map[string]func(*stage, tokens, string){
		"the subject token is revoked": func(s *stage, t tokens, _ string) { s.revoke("web", t.access) },
		"the grant is revoked":         func(s *stage, t tokens, _ string) { s.revoke("web", t.refresh) },
		"the token between is revoked": func(s *stage, _ tokens, between string) { s.revoke("gateway", between) },
		"the session ends":             func(s *stage, _ tokens, _ string) { s.signOut() },
		"the first client is disabled": store(func(s *stage) (bool, error) { return s.store().DisableClient(s.Context(), id, "web", true, byClient) }),
		"the first client is removed":  store(func(s *stage) (bool, error) { return s.store().DeleteClient(s.Context(), id, "web", byClient) }),
		"the client between is disabled": store(func(s *stage) (bool, error) {
			return s.store().DisableClient(s.Context(), id, "gateway", true, byClient)
		}),
		"the user is disabled":    store(func(s *stage) (bool, error) { return s.store().DisableUser(s.Context(), id, "sub-of-alice", true, by) }),
		"the user is removed":     store(func(s *stage) (bool, error) { return s.store().DeleteUser(s.Context(), id, "sub-of-alice", by) }),
		"the password is changed": store(func(s *stage) (bool, error) { return s.store().SetPassword(s.Context(), id, "sub-of-alice", "x", by) }),
	} {
		t.Run(name, func(t *testing.T) {
			s := exchangeStage(t)
			issued := s.tokens()
			between := s.exchanged("gateway", issued.access)
			last := s.exchanged("deep", between, "resource", photosAPI)
			s.wantExchanged(true, map[string]string{"gateway": between, "deep": last})
			end(s, issued, between)
			s.wantExchanged(false, map[string]string{"deep": last})
			s.wants(s.exchange("twin", last, "resource", photosAPI), http.StatusBadRequest, "invalid_request")
			if !strings.Contains(name, "between") && !strings.Contains(name, "client") {
				s.wantExchanged(false, map[string]string{"gateway": between})
				s.wants(s.exchange("gateway", issued.access), http.StatusBadRequest, "invalid_request")
				s.wants(s.exchange("deep", between, "resource", photosAPI), http.StatusBadRequest, "invalid_request")
			}
			// Tokens of a machine had nothing to do with it.
			if name != "the client between is disabled" {
				s.exchanged("gateway", s.wants(s.token("svc", photos("scope", "photos:read")), http.StatusOK, "").Member("access_token"))
			}
		})
	}
}

func TestTX04ReplaysEndTheChain(t *testing.T) {
	spec.Covers(t, "TX-04")
	s := exchangeStage(t)
	code := s.code()
	issued := tokensOf(s.wants(s.redeem(code), http.StatusOK, ""))
	token := s.exchanged("gateway", issued.access)
	s.wantExchanged(true, map[string]string{"gateway": token})
	s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
	s.wantExchanged(false, map[string]string{"gateway": token})
}

// TestTX04AMachinesTokenEndsWithItsRoot: a token without a grant has no handle
// that all of them carry; its lineage tells.
func TestTX04AMachinesTokenEndsWithItsRoot(t *testing.T) {
	spec.Covers(t, "TX-04", "TX-09")
	for name, end := range map[string]func(*stage, string){
		"revoked": func(s *stage, root string) { s.revoke("svc", root) },
		"disabled": func(s *stage, _ string) {
			s.done(s.store().DisableClient(s.Context(), gatehouse.DefaultTenant, "svc", true, gatehouse.Event{Kind: gatehouse.EventClientChanged}))
		},
		"disabled for a moment": func(s *stage, _ string) {
			for _, disabled := range []bool{true, false} {
				s.done(s.store().DisableClient(s.Context(), gatehouse.DefaultTenant, "svc", disabled, gatehouse.Event{Kind: gatehouse.EventClientChanged}))
			}
		},
		"removed": func(s *stage, _ string) {
			s.done(s.store().DeleteClient(s.Context(), gatehouse.DefaultTenant, "svc", gatehouse.Event{Kind: gatehouse.EventClientChanged}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := exchangeStage(t)
			root := s.wants(s.token("svc", photos()), http.StatusOK, "").Member("access_token")
			first := s.exchanged("gateway", root)
			last := s.exchanged("deep", first, "resource", photosAPI)
			if says := s.told("deep", last); says.Member("sub") != "svc" || says.Member("gid") != "" {
				t.Errorf("the last is %s", says.Text)
			}
			end(s, root)
			s.wantExchanged(false, map[string]string{"gateway": first, "deep": last})
			s.wants(s.exchange("gateway", root), http.StatusBadRequest, "invalid_request")
			s.exchanged("gateway", s.tokens().access)
		})
	}
}

// TestTX04AStolenKeyEndsWhatWasMadeOfIt: a token that was forged with a key is
// as bad after it was exchanged for one under another.
func TestTX04AStolenKeyEndsWhatWasMadeOfIt(t *testing.T) {
	spec.Covers(t, "TX-04")
	s := exchangeStage(t)
	access := s.tokens().access
	opaque := s.exchanged("gateway", access)
	kid := s.kid("ES256")
	s.wantExchanged(true, map[string]string{"gateway": opaque})
	_, found, err := s.Server().Keys().Revoke(t.Context(), gatehouse.DefaultTenant, kid, "cli")
	s.done(found, err)
	s.wantExchanged(false, map[string]string{"gateway": opaque})
	s.wants(s.exchange("gateway", access), http.StatusBadRequest, "invalid_request")
	s.exchanged("gateway", s.tokens().access)
}

func TestTX04AnIDTokenIsGoodWhileItsSessionIs(t *testing.T) {
	spec.Covers(t, "TX-04")
	s := exchangeStage(t)
	// With offline_access the grant outlives the session, and what was made of the ID token does not.
	issued := s.tokensFor("desk", "openid offline_access photos:read")
	id := []string{"subject_token_type", tokenType + "id_token"}
	token := s.exchanged("desk", issued.id, id...)
	byAccess := s.exchanged("desk", issued.access)
	s.wantExchanged(true, map[string]string{"desk": token})
	if events := s.wantEvents(gatehouse.EventTokenExchanged, 1); events[0].Subject != "sub-of-alice" || events[0].ClientID != "desk" {
		t.Errorf("the event is %+v", events[0])
	}
	s.signOut()
	s.wantExchanged(false, map[string]string{"desk": token})
	s.wants(s.exchange("desk", issued.id, id...), http.StatusBadRequest, "invalid_request")
	s.wantExchanged(true, map[string]string{"desk": byAccess}) // offline: it was granted to outlive the session
	// A grant that was revoked has nothing left to give, in a session that lives.
	issued = s.tokensFor("desk", "openid photos:read")
	token = s.exchanged("desk", issued.id, id...)
	s.revoke("desk", issued.refresh)
	s.wantExchanged(false, map[string]string{"desk": token})
	s.wants(s.exchange("desk", issued.id, id...), http.StatusBadRequest, "invalid_request")
	s.exchanged("desk", s.tokensFor("desk", "openid photos:read").id, id...)
}

func TestTX04NoExchangedTokenOutlivesWhatItIsMadeOf(t *testing.T) {
	spec.Covers(t, "TX-04", "RFC8693-2.2.1-2")
	synctest.Test(t, func(t *testing.T) {
		s := exchangeStage(t)
		access := s.tokens().access // 10 minutes
		time.Sleep(7 * time.Minute)
		answer := s.wants(s.exchange("gateway", access), http.StatusOK, "") // the ledger's live for 5 minutes
		if answer.Member("expires_in") != "180" || s.told("gateway", answer.Member("access_token")).Member("exp") != s.told("web", access).Member("exp") {
			t.Errorf("the answer is %s", answer.Text)
		}
		young := s.tokens().access
		if fresh := s.wants(s.exchange("gateway", young), http.StatusOK, ""); fresh.Member("expires_in") != "300" {
			t.Errorf("the answer is %s", fresh.Text)
		}
		machine := s.wants(s.token("svc", photos()), http.StatusOK, "").Member("access_token")
		time.Sleep(8 * time.Minute)
		s.wants(s.exchange("gateway", access), http.StatusBadRequest, "invalid_request")
		late := s.wants(s.exchange("gateway", s.tokens().access, "actor_token", machine, "actor_token_type", tokenType+"access_token"), http.StatusOK, "")
		if late.Member("expires_in") != "120" { // the actor's
			t.Errorf("the answer is %s", late.Text)
		}
		issued := s.tokensFor("desk", "openid photos:read")
		time.Sleep(11 * time.Minute)
		s.wants(s.exchange("desk", issued.id, "subject_token_type", tokenType+"id_token"), http.StatusBadRequest, "invalid_request")
	})
}

// TestPairwiseExchange: who exchanges sees the user by the sub that it knows.
func TestPairwiseExchange(t *testing.T) {
	s := exchangeStage(t)
	s.change("web", func(c *gatehouse.Client) { c.SubjectType = gatehouse.SubjectPairwise })
	s.change("deep", func(c *gatehouse.Client) {
		c.SubjectType, c.SectorIdentifierURI = gatehouse.SubjectPairwise, "https://deep.example/sector"
	})
	issued := s.tokens()
	first := s.exchanged("gateway", issued.access)
	last := s.exchanged("deep", first, "resource", photosAPI)
	subs := []any{s.claims(issued.access)["sub"], s.told("gateway", first).Member("sub"), s.claims(last)["sub"]}
	if subs[0] == subs[1] || subs[1] != "sub-of-alice" || subs[2] == subs[0] || subs[2] == subs[1] {
		t.Errorf("alice is %v", subs)
	}
	s.wantExchanged(true, map[string]string{"deep": last})
	s.done(s.store().DisableUser(t.Context(), gatehouse.DefaultTenant, "sub-of-alice", true, gatehouse.Event{Kind: gatehouse.EventUserChanged}))
	s.wantExchanged(false, map[string]string{"gateway": first, "deep": last})
}

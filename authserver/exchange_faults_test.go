package authserver_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

func (f *failing) GrantTermsOfHandle(c ctx, tenant tenantID, handle string) (grant gatehouse.Grant, found bool, err error) {
	if err = f.meet("GrantTermsOfHandle"); err == nil {
		grant, found, err = f.Store.GrantTermsOfHandle(c, tenant, handle)
	}
	return grant, found, err
}

func (f *failing) GrantOfSession(c ctx, tenant tenantID, sessionID, clientID string) (grant gatehouse.Grant, found bool, err error) {
	if err = f.meet("GrantOfSession"); err == nil {
		grant, found, err = f.Store.GrantOfSession(c, tenant, sessionID, clientID)
	}
	return grant, found, err
}

func (f *failing) ExchangeInSession(c ctx, tenant tenantID, exchange gatehouse.SessionExchange, idle time.Duration) (committed bool, err error) {
	if err = f.meet("ExchangeInSession"); err == nil {
		committed, err = f.Store.ExchangeInSession(c, tenant, exchange, idle)
	}
	return committed, err
}

// TestWhenStorageFailsAtAnExchange: the fault is ours, and what was presented is
// good for the next attempt.
func TestWhenStorageFailsAtAnExchange(t *testing.T) {
	s := exchangeStage(t)
	b := s.breakable()
	access, id := s.tokens().access, s.tokensFor("desk", "openid photos:read").id
	for _, request := range []struct {
		name, calls, client string
		form                url.Values
	}{
		{"an access token", "Client TokenEnded GrantTermsOfHandle User Resources TenantRecord", "gateway", url.Values{
			"grant_type": {exchangeGrant}, "subject_token": {access}, "subject_token_type": {tokenType + "access_token"}, "resource": {ledgerAPI},
		}},
		{"an ID token", "Client GrantOfSession TokenEnded User Resources TenantRecord ExchangeInSession", "desk", url.Values{
			"grant_type": {exchangeGrant}, "subject_token": {id}, "subject_token_type": {tokenType + "id_token"},
		}},
	} {
		send := func() int {
			answer := b.ask(http.MethodPost, "/token", basic(request.client, secrets[request.client]), request.form)
			if answer.StatusCode != http.StatusOK && answer.Member("access_token") != "" {
				t.Errorf("%s: a refusal with a token: %s", request.name, answer.Text)
			}
			return answer.StatusCode
		}
		for call := range strings.FieldsSeq(request.calls) {
			b.db.fails = call
			b.wantFault(request.name+" without "+call, b.ask(http.MethodPost, "/token", basic(request.client, secrets[request.client]), request.form))
			b.db.fails = ""
		}
		if status := send(); status != http.StatusOK {
			t.Errorf("%s: %d when all is well again", request.name, status)
		}
	}
	// No row tells of it, so nothing leaves that the log cannot tell.
	b.log.full = true
	answer := b.ask(http.MethodPost, "/token", basic("gateway", secrets["gateway"]), url.Values{
		"grant_type": {exchangeGrant}, "subject_token": {access}, "subject_token_type": {tokenType + "access_token"}, "resource": {ledgerAPI},
	})
	s.wants(answer, http.StatusServiceUnavailable, "temporarily_unavailable")
	// A session that ends between the look and the act leaves nothing behind.
	b.log.full = false
	b.db.before["ExchangeInSession"] = func() { s.signOut() }
	s.wants(b.ask(http.MethodPost, "/token", basic("desk", secrets["desk"]), url.Values{
		"grant_type": {exchangeGrant}, "subject_token": {id}, "subject_token_type": {tokenType + "id_token"},
	}), http.StatusBadRequest, "invalid_request")
}

package authserver

import (
	"context"

	"gatehouse"
	"gatehouse/internal/secret"
	"gatehouse/oauth"
)

type codeStore interface {
	Grant(ctx context.Context, tenant gatehouse.TenantID, id gatehouse.GrantID) (gatehouse.Grant, bool, error)
	GrantTerms(ctx context.Context, tenant gatehouse.TenantID, id gatehouse.GrantID) (gatehouse.Grant, bool, error)
	RedeemCode(ctx context.Context, tenant gatehouse.TenantID, redemption gatehouse.Redemption) (gatehouse.Redeemed, error)
	CountWrongVerifier(ctx context.Context, tenant gatehouse.TenantID, id gatehouse.GrantID, by gatehouse.Circumstance) (killed bool, err error)
}

// redeemCode is the grant of RFC 6749 §4.1.3 with RFC 7636. Whether the code
// was used before (RFC 6749 §4.1.2), or its grant or user has ended, is decided
// by the act that redeems it.
func (s *Server) redeemCode(c *call) (minted, error) {
	grant, code, err := s.grantOfCode(c)
	if err != nil {
		return minted{}, err
	}
	m, err := s.mintForCode(c, grant)
	if err != nil {
		return minted{}, s.unlessReplayed(c, code, err)
	}
	redemption := gatehouse.Redemption{ID: grant.ID, Handle: grant.Handle, ClientID: grant.ClientID, Subject: grant.Subject, SessionID: grant.SessionID,
		CodeHash: code.hash, AccessUntil: m.until, TellLogout: c.Client.BackchannelLogoutURI != ""}
	if c.Client.MayUse(gatehouse.GrantRefreshToken) {
		keys := s.grantKeys(c.tenant())
		first, state := keys.firstRefresh(grant.ID)
		m.response.RefreshToken, _ = keys.writeRefresh(first)
		redemption.Refresh = state
	}

	return m, s.commitRedemption(c, redemption)
}

func (s *Server) mintForCode(c *call, grant gatehouse.Grant) (minted, error) {
	if !s.standing(c.Client, grant) {
		return minted{}, codeInvalid()
	}
	audiences, err := s.audiences(c.Context(), c.Tenant, c.Client)
	if err != nil {
		return minted{}, err
	}
	resource, err := audiences.one(grant.Resources, c.Form.Resources())
	if err != nil {
		return minted{}, err
	}
	return s.mint(c, ticket{
		resource: resource, scope: audiences.within(current(grant, c.Client), []string{resource.Identifier}),
		grant: &grant, nonce: grant.Nonce,
	})
}

// unlessReplayed returns the refusal of a request that came as far as its code
// being its client's own. If that code was used before, somebody has a copy of
// it, whatever else is wrong (RFC 6749 §4.1.2).
func (s *Server) unlessReplayed(c *call, code parsedCode, refusal error) error {
	grant, found, err := s.Store.Grant(c.Context(), c.tenant(), code.grant)
	if err != nil || !found || grant.Code.RedeemedAt.IsZero() {
		return orRefuse(err, refusal)
	}
	return s.commitRedemption(c, gatehouse.Redemption{ID: grant.ID, CodeHash: code.hash})
}

// grantOfCode finds the grant that the request's code names and checks all
// that must be right before the code counts as used by its owner.
func (s *Server) grantOfCode(c *call) (gatehouse.Grant, parsedCode, error) {
	none := parsedCode{}
	if !c.Form.Has("code") {
		return gatehouse.Grant{}, none, oauth.Refuse("code-missing", oauth.InvalidRequest, "The code parameter is missing.")
	}
	code, genuine := s.grantKeys(c.tenant()).parseCode(c.Form.Get("code"))
	if !genuine {
		return gatehouse.Grant{}, none, orRefuse(s.guessFailed(c.Request), codeInvalid())
	}
	grant, found, err := s.Store.GrantTerms(c.Context(), c.tenant(), code.grant)
	if err != nil {
		return gatehouse.Grant{}, none, err
	}
	if !found || !secret.Equal(grant.Code.Hash, code.hash) || grant.ClientID != c.Client.ID {
		return gatehouse.Grant{}, none, codeInvalid() // RFC 6749 §4.1.3: bound to the client
	}
	if !redirectRepeated(grant, c.Form) {
		return gatehouse.Grant{}, none, oauth.Refuse("code-redirect-uri", oauth.InvalidGrant, "The redirect_uri is not the one of the authorization request.") // RFC 6749 §4.1.3
	}
	return grant, code, s.checkVerifier(c, grant)
}

// redirectRepeated: a redirect_uri that is sent must be the one of the
// authorization request; it may be left out where PKCE binds the code
// (OAuth 2.1 §4.1.3, §10.2).
func redirectRepeated(grant gatehouse.Grant, form oauth.Form) bool {
	if !form.Has("redirect_uri") {
		return grant.CodeChallenge != "" || !grant.RedirectURISent
	}
	return form.Get("redirect_uri") == grant.RedirectURI
}

// checkVerifier holds the request to the challenge (RFC 7636 §4.6). Wrong
// guesses are counted on the row, so that a stolen code cannot be tried on.
func (s *Server) checkVerifier(c *call, grant gatehouse.Grant) error {
	verifier := c.Form.Get("code_verifier")
	switch {
	case grant.CodeChallenge == "" && verifier == "":
		return nil
	case grant.CodeChallenge == "": // RFC 9700 §2.1.1: PKCE downgrade
		return oauth.Refuse("pkce-not-begun", oauth.InvalidGrant, "The request has a code_verifier, but the authorization request had no code_challenge.")
	case verifier == "":
		return oauth.Refuse("pkce-verifier-missing", oauth.InvalidGrant, "The code_verifier parameter is missing.")
	case oauth.VerifyS256(verifier, grant.CodeChallenge):
		return nil
	}
	if _, err := s.Store.CountWrongVerifier(c.Context(), c.tenant(), grant.ID, c.Circumstance()); err != nil {
		return err
	}
	return oauth.Refuse("pkce-verifier-wrong", oauth.InvalidGrant, "The code_verifier does not belong to the code_challenge of the authorization request.")
}

func (s *Server) commitRedemption(c *call, redemption gatehouse.Redemption) error {
	redemption.By = c.Circumstance()
	outcome, err := s.Store.RedeemCode(c.Context(), c.tenant(), redemption)
	switch {
	case err != nil:
		return err
	case outcome == gatehouse.RedeemAccepted:
		return nil
	case outcome == gatehouse.RedeemMoved:
		return errMoved
	case outcome == gatehouse.RedeemReplayed:
		return oauth.Refuse("code-replayed", oauth.InvalidGrant, "The code was used before. Everything that came of it has been revoked.")
	case outcome == gatehouse.RedeemExpired:
		return oauth.Refuse("code-expired", oauth.InvalidGrant, "The code has expired. Codes live for a minute unless the operator chose otherwise.")
	}
	return codeInvalid()
}

func codeInvalid() error {
	return oauth.Refuse("code-invalid", oauth.InvalidGrant, "The code is not one that this server issued to this client, or no longer valid.")
}

// orRefuse returns the fault, or the other refusal, if there is one, else the refusal.
func orRefuse(fault, refusal error) error {
	if fault != nil {
		return fault
	}
	return refusal
}

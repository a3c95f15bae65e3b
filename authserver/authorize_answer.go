package authserver

import (
	"crypto/sha256"
	"net/http"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/internal/secret"
	"gatehouse/oauth"
)

// answerRefusals sends the refusals of a request whose redirect URI is
// trusted to that URI (RFC 6749 §4.1.2.1). That we cannot go on at the moment is
// no refusal to a person who has come further than the request: they are told so
// on a page, and sending the form again goes on where they were.
func (s *Server) answerRefusals(r *endpoint.Request, client gatehouse.Client, in interaction.Interaction) {
	underWay := in.Stage == interaction.StageResume || in.Stage == interaction.StageConsent
	r.AnswerRefusals(func(w http.ResponseWriter, e *oauth.Error) {
		if underWay && e.Status == http.StatusServiceUnavailable {
			s.Pages.Error(w, r, e)
			return
		}
		s.respond(w, r, client, in, []oauth.Param{{Name: "error", Value: string(e.Code)}, {Name: "error_description", Value: e.Public()}})
	})
}

// respond answers an authorization request by its response mode. State comes
// back untouched, and every response names its issuer (RFC 9207 §2).
func (s *Server) respond(w http.ResponseWriter, r *endpoint.Request, client gatehouse.Client, in interaction.Interaction, params []oauth.Param) {
	if in.State != "" {
		params = append(params, oauth.Param{Name: "state", Value: in.State})
	}
	params = append(params, oauth.Param{Name: "iss", Value: r.Tenant.Issuer})
	if in.ResponseMode == "form_post" {
		s.Pages.FormPost(w, r, client, in.RedirectURI, params)
		return
	}
	seeOther(w, oauth.RedirectURL(in.RedirectURI, params))
}

// Allow carries out the consent that the user gave on the consent page: it is
// remembered, the code issued and the browser sent back to the client.
func (s *Server) Allow(w http.ResponseWriter, r *endpoint.Request, in interaction.Interaction) error {
	client, session, err := s.shownTo(r, in)
	if err != nil {
		return err
	}
	consents, err := s.consentParts(r, client, in)
	if err != nil {
		return err
	}
	return s.issueCode(w, r, client, in, session, gatehouse.CodeIssue{Consents: consents})
}

// Deny tells the client that the user refused (RFC 6749 §4.1.2.1).
func (s *Server) Deny(w http.ResponseWriter, r *endpoint.Request, in interaction.Interaction) error {
	if _, _, err := s.shownTo(r, in); err != nil {
		return err
	}
	err := s.Store.AppendEvent(r.Context(), r.Tenant.ID, gatehouse.Event{
		Kind: gatehouse.EventConsentDenied, Subject: in.Subject, ClientID: in.ClientID, SessionID: in.Session, By: r.Circumstance(),
	})
	if err != nil {
		return err
	}
	return oauth.Refuse("consent-denied", oauth.AccessDenied, "The user did not allow the request.")
}

// shownTo checks that the consent page was shown to the user who now answers
// it, and trusts the redirect URI again.
func (s *Server) shownTo(r *endpoint.Request, in interaction.Interaction) (gatehouse.Client, gatehouse.Session, error) {
	client, err := s.clientOf(r, in)
	if err != nil {
		return gatehouse.Client{}, gatehouse.Session{}, err
	}
	session, alive, err := s.session(r)
	if err != nil {
		return gatehouse.Client{}, gatehouse.Session{}, err
	}
	if !alive || session.Subject != in.Subject || !in.Accepts(session) {
		return gatehouse.Client{}, gatehouse.Session{}, oauth.Refuse("consent-other-session", oauth.InvalidRequest,
			"The sign-in that this page was shown for has ended. Go back to the application and start again.")
	}
	s.answerRefusals(r, client, in)
	return client, session, nil
}

// issueCode gives birth to the grant and answers with its code. The same
// interaction always gets the same answer while its code can be redeemed.
func (s *Server) issueCode(w http.ResponseWriter, r *endpoint.Request, client gatehouse.Client, in interaction.Interaction, session gatehouse.Session, issue gatehouse.CodeIssue) error {
	born, codeSecret := s.birth(r, in, session)
	grant := born.Grant
	issue.Grant, issue.By = grant, born.By
	issued, err := s.Store.IssueCode(r.Context(), r.Tenant.ID, issue)
	if err != nil {
		return err
	}
	switch issued.Outcome {
	case gatehouse.CodeWithdrawn:
		return oauth.Refuse("authorize-withdrawn", oauth.AccessDenied, "The sign-in or the application was switched off meanwhile.")
	case gatehouse.CodeUnconsented:
		return s.askConsent(w, r, in)
	case gatehouse.CodeExists:
		var again bool
		if grant, codeSecret, again = s.sameCode(in, session, s.grantKeys(r.Tenant.ID), issued.Existing); !again {
			s.Pages.Finished(w, r)
			return nil
		}
	}
	s.respondCode(w, r, client, in, grant, codeSecret)
	return nil
}

// respondCode answers with the code of a grant.
func (s *Server) respondCode(w http.ResponseWriter, r *endpoint.Request, client gatehouse.Client, in interaction.Interaction, grant gatehouse.Grant, codeSecret []byte) {
	code, _ := s.grantKeys(r.Tenant.ID).code(grant.Code.KeyID, grant.ID, codeSecret)
	s.respond(w, r, client, in, []oauth.Param{{Name: "code", Value: code}})
}

// birth prepares the birth of the interaction's grant, and returns the secret of
// its code.
func (s *Server) birth(r *endpoint.Request, in interaction.Interaction, session gatehouse.Session) (gatehouse.CodeIssue, []byte) {
	grant := s.newGrant(r, in, session)
	codeSecret, _ := s.grantKeys(r.Tenant.ID).codeSecret(grant.Code.KeyID, grant.ID, in.ID)
	hash := sha256.Sum256(codeSecret)
	grant.Code.Hash = hash[:]
	return gatehouse.CodeIssue{Grant: grant, By: r.Circumstance()}, codeSecret
}

func (s *Server) newGrant(r *endpoint.Request, in interaction.Interaction, session gatehouse.Session) gatehouse.Grant {
	keys := s.grantKeys(r.Tenant.ID)
	now, settings := s.Store.Now(), r.Tenant.Settings
	grant := gatehouse.Grant{
		ID:       in.GrantID(),
		ClientID: in.ClientID, Subject: session.Subject, SessionID: session.ID,
		Scope: in.Scope, Resources: in.Resources, Claims: in.Claims,
		RedirectURI: in.RedirectURI, RedirectURISent: in.RedirectURISent,
		CodeChallenge: in.CodeChallenge, Nonce: in.Nonce,
		AuthTime: session.AuthTime, AMR: session.AMR, ACR: session.ACR,
		Code:      gatehouse.CodeState{KeyID: keys.ring.Current().ID, ExpiresAt: now.Add(settings.CodeLifetime.Std())},
		CreatedAt: now, ExpiresAt: now.Add(settings.RefreshAbsoluteLifetime.Std()), LastUsedAt: now,
	}
	grant.Handle = keys.handle(grant.ID)
	return grant
}

// sameCode derives the code that the interaction was answered with before, if
// it can still be redeemed and the same session asks again.
func (s *Server) sameCode(in interaction.Interaction, session gatehouse.Session, keys grantKeys, existing gatehouse.Grant) (gatehouse.Grant, []byte, bool) {
	redeemable := existing.Code.RedeemedAt.IsZero() && !existing.Ended() && s.Store.Now().Before(existing.Code.ExpiresAt)
	if !redeemable || existing.Subject != session.Subject || existing.ClientID != in.ClientID {
		return gatehouse.Grant{}, nil, false
	}
	codeSecret, found := keys.codeSecret(existing.Code.KeyID, existing.ID, in.ID)
	hash := sha256.Sum256(codeSecret)
	return existing, codeSecret, found && secret.Equal(hash[:], existing.Code.Hash)
}

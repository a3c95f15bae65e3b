package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/oauth"
)

// unredeemedKept is how long a grant that nobody redeemed stays: longer than any authorization in
// progress, so that a form that is sent again finds it.
const unredeemedKept = 24 * time.Hour

var errNoHash = errors.New("the hash is missing")

func parseGrantID(b []byte) (id gatehouse.GrantID, err error) {
	if len(b) != len(id) {
		return id, fmt.Errorf("a stored grant id has %d bytes", len(b))
	}
	return gatehouse.GrantID(b), nil
}

func parseScope(text string) (oauth.Scope, error) { return oauth.ParseScope(text) }

func grantDest(g *gatehouse.Grant) []any {
	return []any{column[gatehouse.GrantID, []byte]{&g.ID, parseGrantID}, &g.Handle, &g.ClientID, &g.Subject, &g.SessionID,
		column[oauth.Scope, string]{&g.Scope, parseScope}, record(&g.Resources), &g.RedirectURI, &g.RedirectURISent,
		&g.CodeChallenge, &g.Nonce, moment(&g.AuthTime), record(&g.AMR), &g.ACR, number(&g.Code.KeyID), octets(&g.Code.Hash),
		moment(&g.Code.ExpiresAt), moment(&g.Code.RedeemedAt), number(&g.Code.WrongVerifiers), number(&g.Refresh.Generation),
		number(&g.Refresh.KeyID), octets(&g.Refresh.Hash), octets(&g.Refresh.Salt), moment(&g.Refresh.RotatedAt), moment(&g.CreatedAt),
		moment(&g.ExpiresAt), moment(&g.LastUsedAt), moment(&g.AccessUntil), moment(&g.EndedAt), &g.EndReason,
		record(&g.Claims)}
}

func (c *connection) grant(tenant gatehouse.TenantID, id gatehouse.GrantID) (grant gatehouse.Grant, found bool, err error) {
	found, err = c.one(sqlGrant, grantDest(&grant), tenant, id[:])
	return grant, found, err
}

func (a *act) grant(tenant gatehouse.TenantID, id gatehouse.GrantID) (grant gatehouse.Grant, found bool, err error) {
	grant, found, err = a.connection.grant(tenant, id)
	a.late = a.late || found && grant.Ended()
	return grant, found, err
}

// Grant returns a grant, ended ones too while their rows stay.
func (s *Store) Grant(ctx context.Context, tenant gatehouse.TenantID, id gatehouse.GrantID) (gatehouse.Grant, bool, error) {
	found := false
	grant, err := read(ctx, s, "reading a grant", func(c *connection) (grant gatehouse.Grant, err error) {
		grant, found, err = c.grant(tenant, id)
		return grant, err
	})
	return grant, found, err
}

// IssueCode gives birth to a grant, unless it was born already (CodeExists) or its client, user
// or session has ended (CodeWithdrawn), or a consent that it relies on is gone (CodeUnconsented).
// Consents are remembered with it. That its session was seen, Session told.
// CreatedAt and LastUsedAt are the store's.
func (s *Store) IssueCode(ctx context.Context, tenant gatehouse.TenantID, issue gatehouse.CodeIssue) (gatehouse.CodeIssued, error) {
	g := issue.Grant
	claims := "{}"
	if len(g.Claims.UserInfo)+len(g.Claims.IDToken) > 0 {
		text, err := recordText(g.Claims)
		if err != nil {
			return gatehouse.CodeIssued{}, err
		}
		claims = text
	}
	issued, err := write(ctx, s, "issuing a code", tenant, func(a *act) (gatehouse.CodeIssued, error) {
		none := gatehouse.CodeIssued{}
		if len(g.Code.Hash) == 0 {
			return none, errNoHash
		}
		if err := errors.Join(a.hold(lockClient, g.ClientID), a.hold(lockUser, g.Subject)); err != nil {
			return none, err
		}
		if err := a.engine.seizeSession(a, g.SessionID); err != nil {
			return none, err
		}
		g.CreatedAt = a.now
		now := millis(a.now)
		may, consented, err := a.mayIssue(g, issue.ReliesOn)
		if err != nil {
			return none, err
		}
		if !may || !consented {
			outcome := gatehouse.CodeUnconsented
			if !may {
				outcome = gatehouse.CodeWithdrawn
			}
			return a.existingOr(g.ID, outcome)
		}
		leavesAt := max(millis(g.Code.ExpiresAt.Add(skew)), millis(a.now.Add(unredeemedKept)))
		born, err := a.exec(sqlIssueCode, a.tenant, g.ID[:], g.Handle, g.ClientID, g.Subject, g.SessionID, g.Scope.String(),
			listText(g.Resources), g.RedirectURI, bit(g.RedirectURISent), g.CodeChallenge, g.Nonce, millis(g.AuthTime), listText(g.AMR),
			g.ACR, int64(g.Code.KeyID), g.Code.Hash, millis(g.Code.ExpiresAt), bit(g.Offline()), now,
			millis(g.ExpiresAt), leavesAt, []byte{}, claims)
		if err != nil {
			return none, err
		}
		if born == 0 {
			return a.existingOr(g.ID, gatehouse.CodeWithdrawn)
		}
		event := gatehouse.Event{Subject: g.Subject, ClientID: g.ClientID, Grant: g.Handle, SessionID: g.SessionID, By: issue.By}
		if err := a.consent(issue.Consents, event); err != nil {
			return none, err
		}
		return gatehouse.CodeIssued{Outcome: gatehouse.CodeAccepted}, a.tell(event, gatehouse.EventCodeIssued, "scope", g.Scope.String())
	})
	if issued.Outcome == gatehouse.CodeAccepted {
		s.keepTerms(tenant, termsOf(g)) // the redemption follows at once
	}
	return issued, err
}

// mayIssue says whether a grant may be born of its session, for its client and user, and whether the
// user still allows the client what is relied on. Who ends either or withdraws a consent seizes the client or the
// user, whom the act must hold.
func (a *act) mayIssue(g gatehouse.Grant, reliesOn []gatehouse.Consent) (may, consented bool, err error) {
	covered := 0
	err = a.each(sqlMayIssue, func(scan func(...any) error) error {
		may = true
		var resource, scope sql.NullString
		if err := scan(&resource, &scope); err != nil || !resource.Valid {
			return err
		}
		for _, part := range reliesOn {
			if part.Resource == resource.String && oauth.Scope(strings.Fields(scope.String)).Covers(part.Scope) {
				covered++
			}
		}
		return nil
	}, a.tenant, g.SessionID, g.Subject, g.ClientID, millis(a.now))
	return may, covered == len(reliesOn), err
}

// existingOr is the outcome for a grant that is there, or else another.
func (a *act) existingOr(id gatehouse.GrantID, otherwise gatehouse.CodeOutcome) (gatehouse.CodeIssued, error) {
	existing, found, err := a.connection.grant(a.tenant, id)
	if err != nil || !found {
		return gatehouse.CodeIssued{Outcome: otherwise}, err
	}
	return gatehouse.CodeIssued{Outcome: gatehouse.CodeExists, Existing: existing}, nil
}

// CountWrongVerifier counts a wrong code_verifier that came with everything else right, on a code
// that is unredeemed and lives. The third ends the grant.
func (s *Store) CountWrongVerifier(ctx context.Context, tenant gatehouse.TenantID, id gatehouse.GrantID, by gatehouse.Circumstance) (killed bool, err error) {
	return write(ctx, s, "counting a wrong verifier", tenant, func(a *act) (bool, error) {
		var g gatehouse.Grant
		if counted, err := a.one(sqlWrongVerifier, grantDest(&g), a.tenant, id[:], millis(a.now)); err != nil || !counted {
			return false, err
		}
		if err := a.tell(eventOf(g, by), gatehouse.EventWrongVerifier); err != nil {
			return false, err
		}
		if g.Code.WrongVerifiers < gatehouse.MaxWrongVerifiers {
			return false, nil
		}
		return true, a.endGrant(id, gatehouse.EndedByWrongVerifier, by)
	})
}

func eventOf(g gatehouse.Grant, by gatehouse.Circumstance) gatehouse.Event {
	return gatehouse.Event{Subject: g.Subject, ClientID: g.ClientID, Grant: g.Handle, SessionID: g.SessionID, By: by}
}

// RedeemCode redeems a code, once. A second redemption, also after the code's expiry, ends the
// grant and all it issued (RFC 6749 §4.1.2) and is reported as a replay.
func (s *Store) RedeemCode(ctx context.Context, tenant gatehouse.TenantID, redemption gatehouse.Redemption) (gatehouse.Redeemed, error) {
	redeemed, err := write(ctx, s, "redeeming a code", tenant, func(a *act) (gatehouse.Redeemed, error) {
		if len(redemption.CodeHash) == 0 {
			return 0, errNoHash
		}
		if err := a.engine.holdGrant(a, redemption.ID); err != nil {
			return 0, err
		}
		if redemption.TellLogout { // the session cannot end unseen meanwhile
			if err := a.engine.seizeSession(a, redemption.SessionID); err != nil {
				return 0, err
			}
		}
		refresh := redemption.Refresh
		accepted, err := a.execOr(sqlRedeemInPlace, sqlRedeemCode, []any{a.tenant, redemption.ID[:], redemption.CodeHash, millis(a.now),
			int64(refresh.Generation), int64(refresh.KeyID), blob(refresh.Hash), blob(refresh.Salt), millis(redemption.AccessUntil),
			millis(redemption.AccessUntil.Add(skew)), gatehouse.MaxWrongVerifiers, redemption.SessionID})
		if err != nil {
			return 0, err
		}
		if accepted && redemption.TellLogout {
			if _, err := a.exec(sqlAddLogoutNotice, a.tenant, redemption.SessionID, redemption.ClientID, redemption.Subject, millis(a.now)); err != nil {
				return 0, err
			}
		}
		if accepted {
			event := gatehouse.Event{Subject: redemption.Subject, ClientID: redemption.ClientID, Grant: redemption.Handle, SessionID: redemption.SessionID, By: redemption.By}
			return gatehouse.RedeemAccepted, a.tell(event, gatehouse.EventCodeRedeemed)
		}
		return a.classifyRedemption(redemption)
	})
	if redeemed == gatehouse.RedeemMoved {
		s.terms.Drop(termsKey{tenant, redemption.ID})
	}
	return redeemed, err
}

func (a *act) classifyRedemption(redemption gatehouse.Redemption) (gatehouse.Redeemed, error) {
	if err := a.engine.seizeGrant(a, redemption.ID); err != nil {
		return 0, err
	}
	g, found, err := a.grant(a.tenant, redemption.ID)
	switch {
	case err != nil:
		return 0, err
	case !found || !bytes.Equal(g.Code.Hash, redemption.CodeHash):
		return gatehouse.RedeemUnknown, nil
	case !g.Code.RedeemedAt.IsZero() && g.Ended():
		return gatehouse.RedeemReplayed, nil // the first replay, or whoever ended it, told
	case !g.Code.RedeemedAt.IsZero():
		if err := a.tell(eventOf(g, redemption.By), gatehouse.EventCodeReplayed); err != nil {
			return 0, err
		}
		return gatehouse.RedeemReplayed, a.endGrant(g.ID, gatehouse.EndedByCodeReplay, redemption.By)
	case !g.Ended() && !g.Code.ExpiresAt.After(a.now):
		return gatehouse.RedeemExpired, nil
	case !g.Ended() && moved(g, redemption.SessionID):
		return gatehouse.RedeemMoved, nil
	}
	return gatehouse.RedeemUnknown, nil // ended, or its client or user is disabled
}

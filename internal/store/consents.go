package store

import (
	"context"
	"strings"

	"gatehouse"
	"gatehouse/oauth"
)

// consent remembers consents; each joins what the same user, client and resource have.
func (a *act) consent(consents []gatehouse.Consent, event gatehouse.Event) error {
	if len(consents) > 0 {
		if err := a.seize(lockConsent, event.Subject+" "+event.ClientID); err != nil {
			return err
		}
	}
	for _, consent := range consents {
		before, _, err := a.consentScope(a.tenant, event.Subject, event.ClientID, consent.Resource)
		if err != nil {
			return err
		}
		scope := before.Union(consent.Scope)
		if _, err := a.exec(sqlPutConsent, a.tenant, event.Subject, event.ClientID, consent.Resource, scope.String(), millis(a.now)); err != nil {
			return err
		}
		if err := a.tell(event, gatehouse.EventConsent, "resource", consent.Resource, "scope", oauth.Scope(consent.Scope).String()); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) consentScope(tenant gatehouse.TenantID, subject, clientID, resource string) (scope oauth.Scope, found bool, err error) {
	var text string
	found, err = c.one(sqlConsentScope, []any{&text}, tenant, subject, clientID, resource)
	return strings.Fields(text), found, err
}

// Consent returns what a user allowed a client, one for each resource.
func (s *Store) Consent(ctx context.Context, tenant gatehouse.TenantID, subject, clientID string) ([]gatehouse.Consent, error) {
	consents, err := read(ctx, s, "reading consents", func(c *connection) (consents []gatehouse.Consent, err error) {
		err = c.each(sqlConsents, func(scan func(...any) error) error {
			var consent gatehouse.Consent
			var scope string
			if err := scan(&consent.Subject, &consent.ClientID, &consent.Resource, &scope, moment(&consent.GrantedAt)); err != nil {
				return err
			}
			consent.Scope = strings.Fields(scope)
			consents = append(consents, consent)
			return nil
		}, tenant, subject, clientID)
		return consents, err
	})
	if err == nil {
		s.consents.Put(consentKey{tenant, subject, clientID}, consents)
	}
	return consents, err
}

// WithdrawConsent forgets what a user allowed a client, ends their grants, and says whether there
// was anything.
func (s *Store) WithdrawConsent(ctx context.Context, tenant gatehouse.TenantID, subject, clientID string, by gatehouse.Circumstance) (bool, error) {
	return write(ctx, s, "withdrawing consent", tenant, func(a *act) (bool, error) {
		if err := a.seize(lockUser, subject); err != nil {
			return false, err
		}
		dropped, err := a.exec(sqlDropConsents, a.tenant, subject, clientID)
		if err != nil {
			return false, err
		}
		cause := gatehouse.Event{Subject: subject, ClientID: clientID, By: by}
		ended, err := a.endGrants(sqlEndGrantsOfConsent, gatehouse.EndedByRevocation, cause, subject, clientID)
		if err != nil || dropped == 0 && ended == 0 {
			return false, err
		}
		return true, a.tell(cause, gatehouse.EventConsentWithdrawn)
	})
}

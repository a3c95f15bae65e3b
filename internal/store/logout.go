package store

import (
	"context"
	"fmt"
	"time"

	"gatehouse"
)

// failedLogoutSpan is the time whose failed attempts to tell one client share an event.
const failedLogoutSpan = 10 * time.Minute

// notifyLogout has the clients told that had tokens in sessions that end in this act.
func (a *act) notifyLogout(ended []endedSession) error {
	for _, session := range ended {
		if _, err := a.exec(sqlNotifyLogout, a.tenant, session.id, millis(a.now)); err != nil {
			return err
		}
	}
	return nil
}

// DueLogouts returns the clients that are to be told something by now, of all tenants, those first
// who have waited longest.
func (s *Store) DueLogouts(ctx context.Context, limit int) ([]gatehouse.LogoutClient, error) {
	now := s.Now()
	return read(ctx, s, "looking for logouts to deliver", func(c *connection) (due []gatehouse.LogoutClient, err error) {
		err = c.each(sqlDueLogouts, func(scan func(...any) error) error {
			var client gatehouse.LogoutClient
			var since int64
			if err := scan(&client.Tenant, &client.ClientID, &since); err != nil {
				return err
			}
			due = append(due, client)
			return nil
		}, millis(now), limit)
		return due, err
	})
}

// ClaimLogouts takes what a client is to be told by now: nobody else is given it until lease has
// passed, or its outcome says so.
func (s *Store) ClaimLogouts(ctx context.Context, tenant gatehouse.TenantID, clientID string, lease time.Duration, limit int) ([]gatehouse.LogoutNotice, error) {
	return write(ctx, s, "claiming logouts", tenant, func(a *act) (claimed []gatehouse.LogoutNotice, err error) {
		err = a.each(sqlClaimLogouts, func(scan func(...any) error) error {
			n := gatehouse.LogoutNotice{Tenant: tenant, ClientID: clientID}
			if err := scan(&n.SessionID, &n.ToldSID, &n.Subject, moment(&n.EndedAt), number(&n.Attempts)); err != nil {
				return err
			}
			claimed = append(claimed, n)
			return nil
		}, a.tenant, clientID, millis(a.now), millis(a.now.Add(lease)), limit)
		return claimed, err
	})
}

// FinishLogout tells what became of a claimed notice; one that failed is due again after wait. An
// outcome that comes so late that the notice was claimed again changes nothing, and false says so.
func (s *Store) FinishLogout(ctx context.Context, n gatehouse.LogoutNotice, outcome gatehouse.LogoutOutcome, wait time.Duration, reason string) (bool, error) {
	return write(ctx, s, "finishing a logout", n.Tenant, func(a *act) (bool, error) {
		key := []any{a.tenant, n.SessionID, n.ClientID, n.ToldSID, n.Attempts}
		event := gatehouse.Event{Subject: n.Subject, ClientID: n.ClientID, SessionID: n.ToldSID}
		if reason != "" {
			event.Detail = map[string]string{"reason": reason}
		}
		if outcome == gatehouse.LogoutFailed {
			found, err := a.exec(sqlPostponeLogout, append(key, millis(a.now.Add(wait)))...)
			if err != nil || found == 0 {
				return false, err
			}
			event.Subject, event.SessionID = "", "" // it is the client that cannot be told, of whomever
			span := a.now.UnixMilli() / failedLogoutSpan.Milliseconds()
			return true, a.tellJoined(event, gatehouse.EventLogoutFailed, fmt.Sprintf("logout %d %q", span, n.ClientID))
		}
		found, err := a.exec(sqlDropLogout, key...)
		if err != nil || found == 0 {
			return false, err
		}
		kind := gatehouse.EventLogoutDelivered
		if outcome == gatehouse.LogoutGivenUp {
			kind = gatehouse.EventLogoutGivenUp
		}
		return true, a.tell(event, kind)
	})
}

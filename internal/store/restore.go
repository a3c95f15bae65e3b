package store

import (
	"context"

	"gatehouse"
)

// restoreGap is by how much sequence numbers are moved on after a backup was put back: by more than
// the database can have given since the backup was made. Readers of events and of endings keep
// their place and miss nothing.
const restoreGap = 1_000_000_000

// EachTenant lists the tenants that have keys, in the order of their ids.
func (s *Store) EachTenant(ctx context.Context) ([]gatehouse.TenantID, error) {
	return read(ctx, s, "listing tenants", func(c *connection) (tenants []gatehouse.TenantID, err error) {
		for after := ""; ; {
			found, err := c.one(sqlNextTenant, []any{&after}, after)
			if err != nil || !found {
				return tenants, err
			}
			tenants = append(tenants, gatehouse.TenantID(after))
		}
	})
}

// AdvanceAfterRestore moves the sequence numbers past those that were given after the backup was
// made, and writes the clock down.
func (s *Store) AdvanceAfterRestore(ctx context.Context) error {
	_, err := write(ctx, s, "advancing the sequence", "", func(a *act) (struct{}, error) {
		var seq int64
		if _, err := a.one(sqlTakeSeqs, []any{&seq}, int64(restoreGap)); err != nil {
			return struct{}{}, err
		}
		if _, err := a.exec(sqlStoreClock, millis(a.now)); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, a.changed()
	})
	return err
}

// EndEverything ends all grants and sessions of a tenant and every token that it has issued so
// far, those of grants that a restored backup does not know, too.
func (s *Store) EndEverything(ctx context.Context, tenant gatehouse.TenantID, event gatehouse.Event) (gatehouse.Restored, error) {
	return writeAt(ctx, s, thorough, "ending everything", tenant, func(a *act) (done gatehouse.Restored, err error) {
		reason := string(gatehouse.EndedByRestore)
		grants, err := a.exec(sqlEndAllGrants, a.tenant, millis(a.now), reason, millis(a.now.Add(endedKept)))
		if err != nil {
			return done, err
		}
		sessions, err := a.exec(sqlEndAllSessions, a.tenant, millis(a.now), reason)
		if err != nil {
			return done, err
		}
		if _, err := a.exec(sqlNotifyAllLogouts, a.tenant, millis(a.now)); err != nil {
			return done, err
		}
		if err := a.endTokensOf(endingTenant, string(a.tenant)); err != nil {
			return done, err
		}
		done = gatehouse.Restored{Grants: int(grants), Sessions: int(sessions)}
		return done, a.tell(event, gatehouse.EventRestored)
	})
}

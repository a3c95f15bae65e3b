package store

import (
	"context"
	"time"

	"gatehouse"
)

// sweepBatch is how many rows leave in one act, so that others get their turn.
const sweepBatch = 500

// sweeping is one table that is swept: how its tenants are walked, what stays although it was due, if
// anything, and what leaves before when.
type sweeping struct {
	next, keep, remove string
	before             func(now time.Time, retention time.Duration) time.Time
}

func sweepings() []sweeping {
	over := func(now time.Time, _ time.Duration) time.Time { return now }
	retained := func(now time.Time, retention time.Duration) time.Time { return now.Add(-retention) }
	return []sweeping{
		{sqlSweepNextInGrants, sqlKeepGrants, sqlSweepGrants, over},
		{sqlSweepNextInEndings, "", sqlSweepEndings, over},
		{sqlSweepNextInSessions, "", sqlSweepSessions, retained},
		{sqlSweepNextInEvents, "", sqlSweepEvents, retained},
		{sqlSweepNextInLogouts, "", sqlSweepLogouts, over},
	}
}

// Sweep removes, in small acts, keys that have expired, grants and endings that concern no living token, notices of logouts
// that never came, and sessions and events older than the tenant's retention. It returns how many rows it removed, also with an
// error.
func (s *Store) Sweep(ctx context.Context) (removed int, err error) {
	s.endings.kept.Load().tidy(s.Now())
	if removed, err = s.sweepKV(ctx); err != nil {
		return removed, err
	}
	for _, table := range sweepings() {
		after := ""
		for {
			var tenant string
			found, err := read(ctx, s, "sweeping", func(c *connection) (bool, error) {
				return c.one(table.next, []any{&tenant}, after)
			})
			if err != nil {
				return removed, err
			}
			if !found {
				break
			}
			count, err := s.sweepTenant(ctx, table, gatehouse.TenantID(tenant))
			removed += count
			if err != nil {
				return removed, err
			}
			after = tenant
		}
	}
	return removed, nil
}

func (s *Store) sweepTenant(ctx context.Context, table sweeping, tenant gatehouse.TenantID) (removed int, err error) {
	settings, _, err := s.Tenant(ctx, tenant)
	if err != nil {
		return 0, err
	}
	retention := time.Duration(settings.WithDefaults().EventRetention)
	for {
		kept := int64(0)
		count, err := writeAt(ctx, s, thorough, "sweeping", tenant, func(a *act) (count int64, err error) {
			if err := a.seize(lockSweep, ""); err != nil { // one replica at a time
				return 0, err
			}
			args := []any{a.tenant, millis(table.before(a.now, retention)), sweepBatch}
			if table.keep != "" {
				if kept, err = a.exec(table.keep, args...); err != nil {
					return 0, err
				}
			}
			return a.exec(table.remove, args...)
		})
		removed += int(count)
		if err != nil || kept+count < sweepBatch {
			return removed, err
		}
	}
}

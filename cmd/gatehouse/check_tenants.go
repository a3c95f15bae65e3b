package main

import (
	"context"

	"gatehouse"
)

// tenantsAtOnce is how many tenants are read at once.
const tenantsAtOnce = 500

// checkOtherTenants looks at the tenants beside the default one, and tells of
// each what is not in order.
func (e *examination) checkOtherTenants(ctx context.Context, db database) {
	count, disabled := 0, 0
	for after := gatehouse.TenantID(""); ; {
		records, err := db.Tenants(ctx, after, tenantsAtOnce)
		if err != nil {
			e.fail("tenants", "the database", "%s", err)
			return
		}
		for _, record := range records {
			switch {
			case record.ID == gatehouse.DefaultTenant:
			case record.Disabled():
				disabled++
			default:
				count++
				e.checkTenant(ctx, database{db.Store, record.ID})
			}
		}
		if len(records) < tenantsAtOnce {
			break
		}
		after = records[len(records)-1].ID
	}
	if count+disabled > 0 {
		e.ok("tenants", "%s beside the default one, and %d disabled", plural(count, "tenant"), disabled)
	}
}

func (e *examination) checkTenant(ctx context.Context, db database) {
	its := &examination{process: e.process, now: e.now}
	its.checkAges(ctx, db)
	its.checkClients(ctx, db)
	for _, f := range its.findings {
		if f.Verdict != fine {
			f.Found = "tenant " + string(db.tenant) + ": " + f.Found
			e.findings = append(e.findings, f)
		}
	}
}

package main

import (
	"context"

	"gatehouse"
	"gatehouse/internal/admin"
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
				e.checkTenant(ctx, database{db.Store, record.ID}, record)
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

// checkTenant looks at one of them. How old its keys are says nothing: they are
// planned for when somebody asks for the tenant.
func (e *examination) checkTenant(ctx context.Context, db database, record gatehouse.TenantRecord) {
	its := &examination{process: e.process, now: e.now}
	if err := admin.CheckTenant(record, e.process.PublicURL); err != nil {
		its.fail("tenants", "another public_url, or a tenant in its place", "nothing of it is served: %s", err)
	}
	its.checkClients(ctx, db)
	for _, f := range its.findings {
		if f.Verdict != fine {
			f.Found = "tenant " + string(db.tenant) + ": " + f.Found
			e.findings = append(e.findings, f)
		}
	}
}

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
	err := eachTenant(ctx, db, func(record gatehouse.TenantRecord) error {
		switch {
		case record.ID == gatehouse.DefaultTenant:
		case record.Disabled():
			disabled++
		default:
			count++
			e.checkTenant(ctx, database{db.Store, record.ID}, record)
		}
		return nil
	})
	if err != nil {
		e.fail("tenants", "the database", "%s", err)
		return
	}
	if count+disabled > 0 {
		e.ok("tenants", "%s beside the default one, and %d disabled", plural(count, "tenant"), disabled)
	}
}

// eachTenant calls do with every tenant, the default one if it has settings.
func eachTenant(ctx context.Context, db database, do func(gatehouse.TenantRecord) error) error {
	for after := gatehouse.TenantID(""); ; {
		records, err := db.Tenants(ctx, after, tenantsAtOnce)
		if err != nil {
			return err
		}
		for _, record := range records {
			if err := do(record); err != nil {
				return err
			}
		}
		if len(records) < tenantsAtOnce {
			return nil
		}
		after = records[len(records)-1].ID
	}
}

// eachClient calls do with every client of a tenant.
func eachClient(ctx context.Context, db database, do func(gatehouse.Client)) error {
	for after := ""; ; {
		clients, err := db.Clients(ctx, db.tenant, after, clientsAtOnce)
		if err != nil {
			return err
		}
		for _, client := range clients {
			do(client)
		}
		if len(clients) < clientsAtOnce {
			return nil
		}
		after = clients[len(clients)-1].ID
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

package store

import (
	"context"
	"strconv"

	"gatehouse"
)

// TenantRecord returns how a tenant is reached and whether it is disabled. found is false where
// nobody made the tenant; the default tenant is there without having been made. It comes from the
// snapshot.
func (s *Store) TenantRecord(ctx context.Context, tenant gatehouse.TenantID) (record gatehouse.TenantRecord, found bool, err error) {
	if !isStorable(string(tenant)) {
		return gatehouse.TenantRecord{}, false, nil
	}
	stored, err := s.storedTenant(ctx, tenant)
	return stored.record, stored.found, err
}

// TenantAt returns the tenant whose own issuer is at the host (with its port, if the issuer's URL
// has one).
func (s *Store) TenantAt(ctx context.Context, host string) (tenant gatehouse.TenantID, found bool, err error) {
	v, err := s.view(ctx)
	if err != nil {
		return "", false, err
	}
	hosts := v.hosts.Load()
	if hosts == nil { // strangers choose the hosts that they ask for, so all are read at once
		read, err := s.tenantHosts(ctx)
		if err != nil {
			return "", false, err
		}
		hosts = &read
		v.hosts.Store(hosts)
	}
	tenant, found = (*hosts)[host]
	return tenant, found, nil
}

func (s *Store) tenantHosts(ctx context.Context) (map[string]gatehouse.TenantID, error) {
	return read(ctx, s, "reading the hosts of tenants", func(c *connection) (map[string]gatehouse.TenantID, error) {
		hosts := map[string]gatehouse.TenantID{}
		err := c.each(sqlTenantHosts, func(scan func(...any) error) error {
			var host string
			var tenant gatehouse.TenantID
			err := scan(&host, &tenant)
			hosts[host] = tenant
			return err
		})
		return hosts, err
	})
}

// Tenants returns the tenants whose ids follow after, in their order: 100 if limit is 0, never
// more than 1000. The default tenant is among them if it has settings.
func (s *Store) Tenants(ctx context.Context, after gatehouse.TenantID, limit int) ([]gatehouse.TenantRecord, error) {
	return read(ctx, s, "listing tenants", func(c *connection) (tenants []gatehouse.TenantRecord, err error) {
		err = c.each(sqlTenants, func(scan func(...any) error) error {
			var tenant gatehouse.TenantRecord
			var settings gatehouse.Settings
			if err := scan(append([]any{&tenant.ID}, tenantDest(&settings, &tenant)...)...); err != nil {
				return err
			}
			tenant.Name = settings.Name
			tenants = append(tenants, tenant)
			return nil
		}, string(after), page(limit))
		return tenants, err
	})
}

func tenantDest(settings *gatehouse.Settings, tenant *gatehouse.TenantRecord) []any {
	return []any{record(settings), &tenant.Issuer, moment(&tenant.DisabledAt), moment(&tenant.CreatedAt)}
}

// CreateTenant makes a tenant with its first keys. Of several who make it one does.
func (s *Store) CreateTenant(ctx context.Context, tenant gatehouse.TenantRecord, settings gatehouse.Settings, keys []gatehouse.StoredKey, event gatehouse.Event) (gatehouse.CreateTenantOutcome, error) {
	text, err := recordText(settings)
	if err != nil {
		return "", err
	}
	return write(ctx, s, "making a tenant", tenant.ID, func(a *act) (gatehouse.CreateTenantOutcome, error) {
		if err := a.seize(lockKeys, ""); err != nil {
			return "", err
		}
		added, err := a.exec(sqlCreateTenant, a.tenant, text, tenant.Issuer, tenant.Host(), millis(a.now))
		if err != nil {
			return "", err
		}
		if added == 0 {
			if stored, err := a.settings(a.tenant); err != nil || stored.found {
				return gatehouse.TenantExists, err
			}
			return gatehouse.TenantHostTaken, nil
		}
		for _, key := range keys {
			if _, err := a.addKey(sqlAddKey, key, event); err != nil {
				return "", err
			}
		}
		if err := a.changed(); err != nil {
			return "", err
		}
		details := []string{"created", "true"}
		if tenant.Issuer != "" {
			details = append(details, "issuer", tenant.Issuer)
		}
		return gatehouse.TenantCreated, a.tell(event, gatehouse.EventTenantChanged, details...)
	})
}

// DisableTenant disables a tenant or enables it again, and says whether there is one. Disabling
// ends the access tokens that it has issued so far; its grants and sessions rest and serve again
// when it is enabled.
func (s *Store) DisableTenant(ctx context.Context, tenant gatehouse.TenantID, disabled bool, event gatehouse.Event) (bool, error) {
	return write(ctx, s, "disabling a tenant", tenant, func(a *act) (bool, error) {
		text := sqlEnableTenant
		if disabled {
			text = sqlDisableTenant
		}
		if found, err := a.exec(text, a.tenant, millis(a.now)); err != nil || found == 0 {
			return false, err
		}
		if disabled {
			if err := a.endTokensOf(endingTenant, string(a.tenant)); err != nil {
				return false, err
			}
		}
		if err := a.changed(); err != nil {
			return false, err
		}
		return true, a.tell(event, gatehouse.EventTenantChanged, "disabled", strconv.FormatBool(disabled))
	})
}

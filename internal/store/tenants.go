package store

import (
	"context"
	"net/url"
	"strconv"

	"gatehouse"
	"gatehouse/oauth"
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

// Hosts are the hosts that tenants have to themselves.
type Hosts struct {
	owners map[string]gatehouse.TenantID
	names  map[string]bool // without ports
	all    oauth.Hosts
}

// Owner returns the tenant whose issuer is at the host, in lower case and with its port unless the
// scheme implies that.
func (h *Hosts) Owner(host string) (gatehouse.TenantID, bool) {
	owner, owned := h.owners[host]
	return owner, owned
}

// Has says whether a URI points at one of the hosts, whoever's it is.
func (h *Hosts) Has(uri string) bool { return h.all.Has(uri) }

// Near says whether a tenant's issuer is at that host on whichever port.
func (h *Hosts) Near(host string) bool { return h.names[hostname(host)] }

func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }

// TenantHosts returns the hosts that tenants have to themselves. They come from the snapshot.
func (s *Store) TenantHosts(ctx context.Context) (*Hosts, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	if hosts := v.hosts.Load(); hosts != nil {
		return hosts, nil
	}
	hosts, err := read(ctx, s, "reading the hosts of tenants", func(c *connection) (*Hosts, error) {
		hosts := &Hosts{owners: map[string]gatehouse.TenantID{}, names: map[string]bool{}}
		err := c.each(sqlTenantHosts, func(scan func(...any) error) error {
			var host string
			var tenant gatehouse.TenantID
			err := scan(&host, &tenant)
			hosts.owners[host], hosts.names[hostname(host)] = tenant, true
			hosts.all.Add(host)
			return err
		})
		return hosts, err
	})
	if err == nil {
		v.hosts.Store(hosts)
	}
	return hosts, err
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

package store

import (
	"context"
	"time"

	"gatehouse"
)

// storedTenant is the row of a tenant.
type storedTenant struct {
	gatehouse.Settings
	record gatehouse.TenantRecord
	found  bool
}

// Tenant returns a tenant's settings as they were put, unset ones unset, and whether any were.
// They come from the snapshot and are shared: they must not be changed.
func (s *Store) Tenant(ctx context.Context, tenant gatehouse.TenantID) (gatehouse.Settings, bool, error) {
	stored, err := s.storedTenant(ctx, tenant)
	return stored.Settings, stored.found, err
}

func (s *Store) storedTenant(ctx context.Context, tenant gatehouse.TenantID) (storedTenant, error) {
	v, err := s.view(ctx)
	if err != nil {
		return storedTenant{}, err
	}
	if stored, ok := v.tenants.Get(tenant); ok {
		return stored, nil
	}
	stored, err := read(ctx, s, "reading a tenant", func(c *connection) (storedTenant, error) {
		return c.settings(tenant)
	})
	if err != nil {
		return storedTenant{}, err
	}
	if stored.found || tenant == gatehouse.DefaultTenant { // strangers choose the names of others
		v.tenants.Put(tenant, stored)
	}
	return stored, nil
}

func (c *connection) settings(tenant gatehouse.TenantID) (stored storedTenant, err error) {
	stored.found, err = c.one(sqlTenant, tenantDest(&stored.Settings, &stored.record), tenant)
	stored.record.ID, stored.record.Name = tenant, stored.Name
	return stored, err
}

// PutSettings replaces a tenant's settings.
func (s *Store) PutSettings(ctx context.Context, tenant gatehouse.TenantID, settings gatehouse.Settings, event gatehouse.Event) error {
	text, err := recordText(settings)
	if err != nil {
		return err
	}
	_, err = write(ctx, s, "putting settings", tenant, func(a *act) (struct{}, error) {
		if _, err := a.exec(sqlPutSettings, a.tenant, text, millis(a.now)); err != nil {
			return struct{}{}, err
		}
		if err := a.changed(); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, a.tell(event, gatehouse.EventSettingsChanged)
	})
	return err
}

// Resources returns the tenant's resources, sorted by identifier. They come from the snapshot and
// are shared: they must not be changed.
func (s *Store) Resources(ctx context.Context, tenant gatehouse.TenantID) ([]gatehouse.Resource, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	if resources, ok := v.resources.Get(tenant); ok {
		return resources, nil
	}
	resources, err := read(ctx, s, "reading resources", func(c *connection) ([]gatehouse.Resource, error) {
		return c.resources(tenant)
	})
	if err != nil {
		return nil, err
	}
	v.resources.Put(tenant, resources)
	return resources, nil
}

func (c *connection) resources(tenant gatehouse.TenantID) (resources []gatehouse.Resource, err error) {
	err = c.each(sqlResources, func(scan func(...any) error) error {
		var resource gatehouse.Resource
		if err := scan(record(&resource)); err != nil {
			return err
		}
		resources = append(resources, resource)
		return nil
	}, tenant)
	return resources, err
}

// PutResource adds a resource, or replaces the one of the same identifier.
func (s *Store) PutResource(ctx context.Context, tenant gatehouse.TenantID, resource gatehouse.Resource, event gatehouse.Event) error {
	text, err := recordText(resource)
	if err != nil {
		return err
	}
	_, err = write(ctx, s, "putting a resource", tenant, func(a *act) (struct{}, error) {
		if _, err := a.exec(sqlPutResource, a.tenant, resource.Identifier, text, millis(a.now)); err != nil {
			return struct{}{}, err
		}
		if err := a.changed(); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, a.tell(event, gatehouse.EventResourceChanged, "resource", resource.Identifier)
	})
	return err
}

// DeleteResource says whether there was one. Tokens for it live to their expiry.
func (s *Store) DeleteResource(ctx context.Context, tenant gatehouse.TenantID, identifier string, event gatehouse.Event) (bool, error) {
	return write(ctx, s, "deleting a resource", tenant, func(a *act) (bool, error) {
		deleted, err := a.exec(sqlDeleteResource, a.tenant, identifier)
		if err != nil || deleted == 0 {
			return false, err
		}
		if err := a.changed(); err != nil {
			return false, err
		}
		return true, a.tell(event, gatehouse.EventResourceChanged, "resource", identifier, "deleted", "true")
	})
}

// endingFloor is how long an ending by client or subject lasts at least: the lifetimes in force
// when the tokens were issued may have been longer than today's.
const endingFloor = 7 * 24 * time.Hour

// longestToken is how long an access token of the tenant may live, and at least endingFloor.
func (a *act) longestToken() (time.Duration, error) {
	settings, err := a.settings(a.tenant)
	if err != nil {
		return 0, err
	}
	resources, err := a.resources(a.tenant)
	if err != nil {
		return 0, err
	}
	longest := max(endingFloor, time.Duration(settings.WithDefaults().AccessTokenLifetime))
	for _, resource := range resources {
		longest = max(longest, time.Duration(resource.TokenLifetime))
	}
	return longest, nil
}

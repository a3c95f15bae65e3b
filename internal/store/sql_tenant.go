package store

// Statements about what a tenant is made of: settings, resources, clients.

const (
	columnsOfTenant = `settings, issuer, disabled_at, created_at`

	sqlTenant       = `SELECT ` + columnsOfTenant + ` FROM tenants WHERE tenant = $1`
	sqlTenants      = `SELECT tenant, ` + columnsOfTenant + ` FROM tenants WHERE tenant > $1 ORDER BY tenant LIMIT $2`
	sqlTenantHosts  = `SELECT host, tenant FROM tenants WHERE host <> ''`
	sqlCreateTenant = `INSERT INTO tenants (tenant, settings, issuer, host, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)
		ON CONFLICT DO NOTHING`
	sqlDisableTenant = `UPDATE tenants SET disabled_at = CASE WHEN disabled_at = 0 THEN $2 ELSE disabled_at END, updated_at = $2
		WHERE tenant = $1`
	sqlEnableTenant = `UPDATE tenants SET disabled_at = 0, updated_at = $2 WHERE tenant = $1`

	sqlPutSettings = `INSERT INTO tenants (tenant, settings, created_at, updated_at) VALUES ($1, $2, $3, $3)
		ON CONFLICT (tenant) DO UPDATE SET settings = excluded.settings, updated_at = excluded.updated_at`

	sqlResources   = `SELECT resource FROM resources WHERE tenant = $1 ORDER BY identifier`
	sqlPutResource = `INSERT INTO resources (tenant, identifier, resource, updated_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant, identifier) DO UPDATE SET resource = excluded.resource, updated_at = excluded.updated_at`
	sqlDeleteResource = `DELETE FROM resources WHERE tenant = $1 AND identifier = $2`

	columnsOfClient = `id, metadata, disabled_at, created_at, updated_at`

	sqlClient    = `SELECT ` + columnsOfClient + ` FROM clients WHERE tenant = $1 AND id = $2`
	sqlClients   = `SELECT ` + columnsOfClient + ` FROM clients WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3`
	sqlPutClient = `INSERT INTO clients (tenant, ` + columnsOfClient + `) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (tenant, id) DO UPDATE SET metadata = excluded.metadata, disabled_at = excluded.disabled_at, updated_at = excluded.updated_at`
	sqlDisableClient = `UPDATE clients SET disabled_at = CASE WHEN disabled_at = 0 THEN $3 ELSE disabled_at END, updated_at = $3
		WHERE tenant = $1 AND id = $2`
	sqlEnableClient = `UPDATE clients SET disabled_at = 0, updated_at = $3 WHERE tenant = $1 AND id = $2`
	sqlTouchClient  = `UPDATE clients SET updated_at = $3 WHERE tenant = $1 AND id = $2`
	sqlDeleteClient = `DELETE FROM clients WHERE tenant = $1 AND id = $2`

	sqlClientSecrets   = `SELECT id, kind, hash, created_at, expires_at FROM client_secrets WHERE tenant = $1 AND client_id = $2 ORDER BY created_at, id`
	sqlAddClientSecret = `INSERT INTO client_secrets (tenant, client_id, id, kind, hash, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	sqlRetireClientSecrets = `UPDATE client_secrets SET expires_at = $3
		WHERE tenant = $1 AND client_id = $2 AND (expires_at = 0 OR expires_at > $3)`
	sqlDropExpiredSecrets  = `DELETE FROM client_secrets WHERE tenant = $1 AND client_id = $2 AND expires_at > 0 AND expires_at <= $3`
	sqlDeleteClientSecrets = `DELETE FROM client_secrets WHERE tenant = $1 AND client_id = $2`
)

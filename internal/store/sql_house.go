package store

// Statements about the database itself. They are the only ones that no tenant binds.

const (
	sqlCreateMigrations = `CREATE TABLE IF NOT EXISTS migrations (
		number     BIGINT NOT NULL PRIMARY KEY,
		name       TEXT   NOT NULL,
		applied_at BIGINT NOT NULL
	)`
	sqlMigrationVersion = `SELECT COALESCE(MAX(number), 0) FROM migrations`
	sqlRecordMigration  = `INSERT INTO migrations (number, name, applied_at) VALUES ($1, $2, $3)`

	sqlCountChange = `UPDATE counters SET value = value + 1 WHERE name = 'change'`
	sqlChangeCount = `SELECT value FROM counters WHERE name = 'change'`
	sqlTakeSeqs    = `UPDATE counters SET value = value + $1 WHERE name = 'event' RETURNING value` // the last of them
	sqlSeq         = `SELECT value FROM counters WHERE name = 'event'`
	sqlMoveSeq     = `UPDATE counters SET value = value + $1 WHERE name = 'event' AND value < $1`
	sqlStoreSeq    = `UPDATE counters SET value = $1 WHERE name = 'event' AND value < $1`
	sqlClock       = `SELECT value FROM counters WHERE name = 'clock'`
	sqlStoreClock  = `UPDATE counters SET value = $1 WHERE name = 'clock' AND value < $1`

	sqlKeyEncryptionKey    = `SELECT id, canary FROM key_encryption_key WHERE place = 1`
	sqlSetKeyEncryptionKey = `INSERT INTO key_encryption_key (place, id, canary) VALUES (1, $1, $2) ON CONFLICT (place) DO NOTHING`

	sqlCountKeyChange = `UPDATE counters SET value = value + 1 WHERE name = 'key'`
	sqlKeyChangeCount = `SELECT value FROM counters WHERE name = 'key'`
	sqlNextTenant     = `SELECT tenant FROM keys WHERE tenant > $1 ORDER BY tenant LIMIT 1`

	// What has ended, of all tenants.
	sqlEndingsAfter = `SELECT tenant, kind, value, seq, issued_before, until FROM endings WHERE seq > $1 ORDER BY seq LIMIT $2`
	sqlCountEndings = `SELECT COUNT(*) FROM endings`
	sqlMoveEndings  = `UPDATE endings SET seq = seq + $1`

	// The sweep walks the tenants by the first column of each table's key.
	sqlSweepNextInGrants   = `SELECT tenant FROM grants WHERE tenant > $1 ORDER BY tenant LIMIT 1`
	sqlSweepNextInSessions = `SELECT tenant FROM sessions WHERE tenant > $1 ORDER BY tenant LIMIT 1`
	sqlSweepNextInEndings  = `SELECT tenant FROM endings WHERE tenant > $1 ORDER BY tenant LIMIT 1`
	sqlSweepNextInEvents   = `SELECT tenant FROM events WHERE tenant > $1 ORDER BY tenant LIMIT 1`
	sqlSweepNextInLogouts  = `SELECT tenant FROM logout_notices WHERE tenant > $1 ORDER BY tenant LIMIT 1`
)

package store

// Statements about keys that expire. What has expired counts as absent, before and after it is swept.

const (
	// $1 key, $2 value, $3 when it expires, $4 now.
	sqlKVAdd = `INSERT INTO kv (key, value, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at WHERE kv.expires_at <= $4`
	sqlKVSet = `INSERT INTO kv (key, value, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`
	sqlKVSwap = `UPDATE kv SET value = $2, expires_at = $3 WHERE key = $1 AND expires_at > $4 AND value = $5`
	// Of a number that is there the expiry stays.
	sqlKVPut    = `UPDATE kv SET value = $2 WHERE key = $1`
	sqlKVGet    = `SELECT value FROM kv WHERE key = $1 AND expires_at > $2`
	sqlKVTake   = `DELETE FROM kv WHERE key = $1 AND expires_at > $2 RETURNING value`
	sqlKVDelete = `DELETE FROM kv WHERE key = $1`
	sqlKVCount  = `SELECT COUNT(*) FROM kv`
	// On PostgreSQL a sweep that waited for a row looks at the row again, not at what it had chosen by: so the condition stands
	// in both places. The plus has rows found by their key.
	sqlKVSweep = `DELETE FROM kv WHERE +expires_at <= $1 AND key IN (SELECT key FROM kv WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`
)

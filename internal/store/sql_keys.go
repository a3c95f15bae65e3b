package store

// Statements about keys and their lives.

const (
	columnsOfKey = `purpose, id, numeric_id, algorithm, sealed, created_at, publish_at, sign_from, sign_until, remove_at, revoked_at, generation`

	sqlKeys   = `SELECT ` + columnsOfKey + ` FROM keys WHERE tenant = $1 ORDER BY created_at, purpose, algorithm, numeric_id, id`
	sqlAnyKey = `SELECT purpose FROM keys WHERE tenant = $1 LIMIT 1`
	sqlAddKey = `INSERT INTO keys (tenant, ` + columnsOfKey + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	// Of several writers of one generation the first one stores its key.
	sqlAddNextKey = sqlAddKey + ` ON CONFLICT (tenant, purpose, algorithm, generation) DO NOTHING`

	// $5, $6, $7 are the new times of use, $8 to $11 those on which they were planned.
	sqlSetKeyTimes = `UPDATE keys SET sign_from = $5, sign_until = $6, remove_at = $7
		WHERE tenant = $1 AND purpose = $2 AND id = $3 AND numeric_id = $4
			AND sign_from = $8 AND sign_until = $9 AND remove_at = $10 AND revoked_at = $11`
	// $5 now, $6 when the row may leave.
	sqlRevokeKey = `UPDATE keys SET revoked_at = $5, remove_at = $6,
			sign_until = CASE WHEN sign_until = 0 OR sign_until > $5 THEN $5 ELSE sign_until END
		WHERE tenant = $1 AND purpose = $2 AND id = $3 AND numeric_id = $4 AND revoked_at = 0`
	sqlRemoveKey = `DELETE FROM keys WHERE tenant = $1 AND purpose = $2 AND id = $3 AND numeric_id = $4 AND remove_at > 0 AND remove_at <= $5`

	// After a backup was put back.
	sqlEndAllGrants = `UPDATE grants SET ended_at = $2, end_reason = $3, leaves_at = CASE WHEN access_until > $4 THEN access_until ELSE $4 END
		WHERE tenant = $1 AND ended_at = 0`
	sqlEndAllSessions = `UPDATE sessions SET ended_at = $2, end_reason = $3 WHERE tenant = $1 AND ended_at = 0`
)

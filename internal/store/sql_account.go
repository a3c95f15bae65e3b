package store

// Statements about what a user sees and ends on the account page. Each binds the subject: an id in
// a form reaches nobody else's rows.

const (
	// $3 now, $4 the oldest time of being seen that counts, 0 for any, $5 limit.
	sqlSessionsOfUser = `SELECT ` + columnsOfSession + ` FROM sessions WHERE tenant = $1 AND subject = $2 AND ended_at = 0 AND expires_at > $3
		AND (CAST($4 AS BIGINT) = 0 OR last_seen_at > $4) ORDER BY created_at DESC, id LIMIT $5`
	sqlEndSessionOfUser = `UPDATE sessions SET ended_at = $3, end_reason = $4 WHERE tenant = $1 AND id = $2 AND subject = $5 AND ended_at = 0
		RETURNING id, subject, exchanged_until`
	sqlEndOtherSessions = `UPDATE sessions SET ended_at = $3, end_reason = $4 WHERE tenant = $1 AND subject = $2 AND id <> $5 AND ended_at = 0
		RETURNING id, subject, exchanged_until`

	// Two sign-ins at once wait for each other here, so that both count right.
	sqlLockUser = `UPDATE users SET updated_at = updated_at WHERE tenant = $1 AND subject = $2`

	// $3 a session that does not count.
	sqlSignedInBefore = `SELECT id FROM sessions WHERE tenant = $1 AND subject = $2 AND id <> $3
		UNION ALL SELECT session_id FROM events WHERE tenant = $1 AND subject = $2 AND kind = 'login.succeeded' AND session_id <> $3
		LIMIT 1`

	sqlConsentsOfUser = `SELECT client_id, resource, scope, granted_at FROM consents WHERE tenant = $1 AND subject = $2
		ORDER BY client_id, resource`
	// Living grants, those that are alike as one.
	sqlGrantsOfUser = `SELECT client_id, scope, resources, offline, MIN(created_at), MAX(last_used_at) FROM grants
		WHERE tenant = $1 AND ended_at = 0 AND subject = $2` + andLive + `
		GROUP BY client_id, scope, resources, offline ORDER BY client_id, scope, resources, offline`

	// $3 the PHC string that was verified, $4 the new one, $5 now, $6 the session.
	sqlChangePassword = `UPDATE users SET password_hash = $4, password_changed_at = $5, updated_at = $5
		WHERE tenant = $1 AND subject = $2 AND password_hash = $3 AND disabled_at = 0
		AND EXISTS (SELECT 1 FROM sessions WHERE sessions.tenant = $1 AND sessions.id = $6 AND sessions.subject = users.subject
			AND sessions.ended_at = 0 AND sessions.expires_at > $5)`

	// Where a grant's code was redeemed: $3 its handle.
	sqlRedeemedAt = `SELECT address FROM events WHERE tenant = $1 AND subject = $2 AND kind = 'code.redeemed' AND handle = $3 LIMIT 1`
)

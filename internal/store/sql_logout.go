package store

// Statements about clients that are told of the ends of sessions.

const (
	// $2 session, $3 client, $4 subject, $5 now. Of a session that has ended meanwhile it is due at once.
	sqlAddLogoutNotice = `INSERT INTO logout_notices (tenant, session_id, client_id, sid, subject, created_at, ended_at, due_at, attempts, leaves_at)
		SELECT $1, $2, $3, $2, $4, CAST($5 AS BIGINT), ended_at, CASE WHEN ended_at = 0 THEN 0 ELSE CAST($5 AS BIGINT) END, 0, expires_at
		FROM sessions WHERE tenant = $1 AND id = $2
		ON CONFLICT (tenant, session_id, client_id, sid) DO NOTHING`
	// $3 now.
	sqlNotifyLogout     = `UPDATE logout_notices SET ended_at = $3, due_at = $3 WHERE tenant = $1 AND session_id = $2 AND due_at = 0`
	sqlNotifyAllLogouts = `UPDATE logout_notices SET ended_at = $2, due_at = $2 WHERE tenant = $1 AND due_at = 0`
	// The same person signed in again in the same browser: $3 the new session, $4 its expiry.
	sqlMoveLogoutNotices = `UPDATE logout_notices SET session_id = $3, leaves_at = $4 WHERE tenant = $1 AND session_id = $2 AND due_at = 0`

	sqlDueLogouts = `SELECT tenant, client_id, MIN(due_at) FROM logout_notices WHERE due_at > 0 AND due_at <= $1
		GROUP BY tenant, client_id ORDER BY MIN(due_at), tenant, client_id LIMIT $2`
	// $2 client, $3 now, $4 when the claim lapses, $5 limit.
	sqlClaimLogouts = `UPDATE logout_notices SET due_at = $4, attempts = attempts + 1
		WHERE tenant = $1 AND client_id = $2 AND due_at > 0 AND due_at <= $3 AND (session_id, sid) IN (SELECT session_id, sid FROM logout_notices
			WHERE tenant = $1 AND client_id = $2 AND due_at > 0 AND due_at <= $3 ORDER BY due_at, session_id, sid LIMIT $5)
		RETURNING session_id, sid, subject, ended_at, attempts`
	// $2 session, $3 client, $4 sid, $5 the attempt that it is the outcome of.
	whereAttempt      = ` WHERE tenant = $1 AND session_id = $2 AND client_id = $3 AND sid = $4 AND attempts = $5 AND due_at > 0`
	sqlDropLogout     = `DELETE FROM logout_notices` + whereAttempt
	sqlPostponeLogout = `UPDATE logout_notices SET due_at = $6` + whereAttempt
	sqlDropLogoutsOf  = `DELETE FROM logout_notices WHERE tenant = $1 AND client_id = $2`
	sqlSweepLogouts   = `DELETE FROM logout_notices WHERE tenant = $1 AND due_at = 0 AND (session_id, client_id, sid) IN (SELECT session_id, client_id, sid
		FROM logout_notices WHERE tenant = $1 AND due_at = 0 AND leaves_at < $2 ORDER BY leaves_at LIMIT $3)`
)

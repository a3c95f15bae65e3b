package store

// Statements about people: users, their sessions, what they consented to.

const (
	columnsOfUser = `subject, username, password_hash, password_changed_at, claims, disabled_at, created_at, updated_at, attributes`

	sqlUser        = `SELECT ` + columnsOfUser + ` FROM users WHERE tenant = $1 AND subject = $2`
	sqlUserByLogin = `SELECT ` + columnsOfUser + ` FROM users WHERE tenant = $1
		AND subject = (SELECT subject FROM login_names WHERE tenant = $1 AND login_key = $2)`
	sqlUsers   = `SELECT ` + columnsOfUser + ` FROM users WHERE tenant = $1 AND username_key > $2 ORDER BY username_key LIMIT $3`
	sqlAddUser = `INSERT INTO users (tenant, ` + columnsOfUser + `, username_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	sqlSetUser = `UPDATE users SET username = $3, password_hash = $4, password_changed_at = $5, claims = $6, disabled_at = $7,
		updated_at = $8, attributes = $9, username_key = $10 WHERE tenant = $1 AND subject = $2`
	sqlSetPassword = `UPDATE users SET password_hash = $3, password_changed_at = $4, updated_at = $4 WHERE tenant = $1 AND subject = $2`
	sqlRehash      = `UPDATE users SET password_hash = $4 WHERE tenant = $1 AND subject = $2 AND password_hash = $3`
	sqlDisableUser = `UPDATE users SET disabled_at = CASE WHEN disabled_at = 0 THEN $3 ELSE disabled_at END, updated_at = $3
		WHERE tenant = $1 AND subject = $2`
	sqlEnableUser = `UPDATE users SET disabled_at = 0, updated_at = $3 WHERE tenant = $1 AND subject = $2`
	sqlDeleteUser = `DELETE FROM users WHERE tenant = $1 AND subject = $2`

	sqlAddLoginName    = `INSERT INTO login_names (tenant, login_key, subject) VALUES ($1, $2, $3) ON CONFLICT (tenant, login_key) DO NOTHING`
	sqlLoginNameOwner  = `SELECT subject FROM login_names WHERE tenant = $1 AND login_key = $2`
	sqlDropLoginNames  = `DELETE FROM login_names WHERE tenant = $1 AND subject = $2`
	sqlRetireSubject   = `INSERT INTO retired_subjects (tenant, subject, retired_at) VALUES ($1, $2, $3)`
	sqlSubjectUnusable = `SELECT subject FROM retired_subjects WHERE tenant = $1 AND subject = $2
		UNION ALL SELECT id FROM clients WHERE tenant = $1 AND id = $2`
	sqlSubjectKnown = `SELECT subject FROM users WHERE tenant = $1 AND subject = $2
		UNION ALL SELECT subject FROM retired_subjects WHERE tenant = $1 AND subject = $2`

	columnsOfSession = `id, subject, auth_time, amr, acr, created_at, last_seen_at, expires_at, address, user_agent`

	// A session begins only for a user who is enabled and whose password has not changed since
	// the sign-in began.
	sqlCreateSession = `INSERT INTO sessions (tenant, hash, ` + columnsOfSession + `, ended_at, end_reason)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, ''
		WHERE EXISTS (SELECT 1 FROM users WHERE tenant = $1 AND subject = $4 AND disabled_at = 0 AND password_changed_at <= $5)`
	sqlSession = `SELECT ` + columnsOfSession + ` FROM sessions WHERE tenant = $1 AND hash = $2 AND ended_at = 0 AND expires_at > $3
		AND EXISTS (SELECT 1 FROM users WHERE users.tenant = $1 AND users.subject = sessions.subject AND users.disabled_at = 0)`
	sqlTouchSession = `UPDATE sessions SET last_seen_at = $3 WHERE tenant = $1 AND id = $2 AND ended_at = 0 AND last_seen_at < $3`
	sqlEndSession   = `UPDATE sessions SET ended_at = $3, end_reason = $4 WHERE tenant = $1 AND id = $2 AND ended_at = 0
		RETURNING id, subject, exchanged_until`
	sqlEndSessionByHash = `UPDATE sessions SET ended_at = $3, end_reason = $4 WHERE tenant = $1 AND hash = $2 AND ended_at = 0
		RETURNING id, subject, exchanged_until`
	sqlEndSessionsOfUser = `UPDATE sessions SET ended_at = $3, end_reason = $4 WHERE tenant = $1 AND subject = $2 AND ended_at = 0
		RETURNING id, subject, exchanged_until`
	sqlSweepSessions = `DELETE FROM sessions WHERE tenant = $1 AND hash IN (SELECT hash FROM sessions
		WHERE tenant = $1 AND expires_at < $2 ORDER BY expires_at LIMIT $3)`

	sqlConsents     = `SELECT subject, client_id, resource, scope, granted_at FROM consents WHERE tenant = $1 AND subject = $2 AND client_id = $3 ORDER BY resource`
	sqlConsentScope = `SELECT scope FROM consents WHERE tenant = $1 AND subject = $2 AND client_id = $3 AND resource = $4`
	sqlPutConsent   = `INSERT INTO consents (tenant, subject, client_id, resource, scope, granted_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (tenant, subject, client_id, resource) DO UPDATE SET scope = excluded.scope, granted_at = excluded.granted_at`
	sqlDropConsents         = `DELETE FROM consents WHERE tenant = $1 AND subject = $2 AND client_id = $3`
	sqlDropConsentsOfUser   = `DELETE FROM consents WHERE tenant = $1 AND subject = $2`
	sqlDropConsentsOfClient = `DELETE FROM consents WHERE tenant = $1 AND client_id = $2`
)

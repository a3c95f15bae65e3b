package store

// Statements about grants and endings. One of two numbers is chosen by CASE: the functions for it
// differ between engines.

const (
	columnsOfGrant = `id, handle, client_id, subject, session_id, scope, resources, redirect_uri, redirect_uri_sent, code_challenge,
		nonce, auth_time, amr, acr, code_key_id, code_hash, code_expires_at, redeemed_at, wrong_verifiers, generation,
		refresh_key_id, refresh_hash, refresh_salt, rotated_at, created_at, expires_at, last_used_at, access_until, ended_at, end_reason, claims`

	sqlGrant         = `SELECT ` + columnsOfGrant + ` FROM grants WHERE tenant = $1 AND id = $2`
	sqlGrantOfHandle = `SELECT ` + columnsOfGrant + ` FROM grants WHERE tenant = $1 AND handle = $2`

	// A session of a user for whom a client may be issued a code, with what they allowed it, one row at
	// least: $2 session, $3 subject, $4 client, $5 now.
	sqlMayIssue = `SELECT consents.resource, consents.scope FROM sessions
			LEFT JOIN consents ON consents.tenant = $1 AND consents.subject = $3 AND consents.client_id = $4
		WHERE sessions.tenant = $1 AND sessions.id = $2 AND sessions.subject = $3 AND sessions.ended_at = 0 AND sessions.expires_at > $5
			AND EXISTS (SELECT 1 FROM clients WHERE tenant = $1 AND id = $4 AND disabled_at = 0)
			AND EXISTS (SELECT 1 FROM users WHERE tenant = $1 AND subject = $3 AND disabled_at = 0)`
	// $20 now. The column origin is of the time when ids were random.
	sqlIssueCode = `INSERT INTO grants (tenant, id, handle, client_id, subject, session_id, scope, resources, redirect_uri,
			redirect_uri_sent, code_challenge, nonce, auth_time, amr, acr, code_key_id, code_hash, code_expires_at,
			offline, created_at, expires_at, leaves_at, refresh_hash, claims, origin, last_used_at,
			redeemed_at, wrong_verifiers, generation, refresh_key_id, refresh_salt, rotated_at, redeliveries,
			access_until, ended_at, end_reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $2, $20,
			0, 0, 0, 0, $23, 0, 0, 0, 0, '')
		ON CONFLICT DO NOTHING`

	// A client and user who may use a grant, as a condition on its row.
	whereEnabled = ` AND EXISTS (SELECT 1 FROM clients WHERE clients.tenant = $1 AND clients.id = grants.client_id AND clients.disabled_at = 0)
			AND EXISTS (SELECT 1 FROM users WHERE users.tenant = $1 AND users.subject = grants.subject AND users.disabled_at = 0)`

	// $4 now, $9 access_until, $10 when the row may leave for its sake.
	// $12 the session that the grant was read with, '' for any.
	setRedeemed = `UPDATE grants SET redeemed_at = $4, last_used_at = $4, generation = $5, refresh_key_id = $6, refresh_hash = $7,
			refresh_salt = $8, rotated_at = $4,
			access_until = CASE WHEN access_until > $9 THEN access_until ELSE $9 END`
	whereRedeemable = ` WHERE tenant = $1 AND id = $2 AND code_hash = $3 AND redeemed_at = 0 AND ended_at = 0 AND code_expires_at > $4
			AND wrong_verifiers < $11 AND ($12 = '' OR session_id = $12)` + whereEnabled
	// Nearly always the row stays long enough as it is, or is moved on by the sweep: then no index is touched.
	sqlRedeemInPlace = setRedeemed + whereRedeemable + ` AND leaves_at >= $10`
	sqlRedeemCode    = setRedeemed + `, leaves_at = CASE WHEN leaves_at > $10 THEN leaves_at ELSE $10 END` + whereRedeemable
	sqlWrongVerifier = `UPDATE grants SET wrong_verifiers = wrong_verifiers + 1
		WHERE tenant = $1 AND id = $2 AND redeemed_at = 0 AND ended_at = 0 AND code_expires_at > $3
		RETURNING ` + columnsOfGrant

	// $3 presented generation, $4 its hash, $5 now, $10 access_until, $11 when the row may leave
	// for its sake, $12 the idle time in milliseconds, 0 for none, $13 the session that the grant was
	// read with, '' for any.
	setRotated = `UPDATE grants SET generation = $6, refresh_key_id = $7, refresh_hash = $8, refresh_salt = $9,
			rotated_at = $5, last_used_at = $5, redeliveries = 0,
			access_until = CASE WHEN access_until > $10 THEN access_until ELSE $10 END`
	whereCurrent = ` WHERE tenant = $1 AND id = $2 AND generation = $3 AND refresh_hash = $4 AND ended_at = 0 AND expires_at > $5
			AND (CAST($12 AS BIGINT) = 0 OR last_used_at + $12 > $5)
			AND ($13 = '' OR session_id = $13)` + whereEnabled
	sqlRotateInPlace = setRotated + whereCurrent + ` AND leaves_at >= $11`
	sqlRotate        = setRotated + `, leaves_at = CASE WHEN expires_at > $11 THEN expires_at ELSE $11 END` + whereCurrent

	sqlRedeliver = `UPDATE grants SET redeliveries = redeliveries + 1, last_used_at = $3,
			access_until = CASE WHEN access_until > $4 THEN access_until ELSE $4 END,
			leaves_at = CASE WHEN leaves_at > $5 THEN leaves_at ELSE $5 END
		WHERE tenant = $1 AND id = $2` + whereEnabled + `
		RETURNING redeliveries`
	sqlGrantEnabled = `SELECT generation FROM grants WHERE tenant = $1 AND id = $2` + whereEnabled

	// $3 now, $4 reason, $5 until when an ended row stays at least.
	setEnded = `UPDATE grants SET ended_at = $3, end_reason = $4,
			leaves_at = CASE WHEN access_until > $5 THEN access_until ELSE $5 END
		WHERE tenant = $1 AND ended_at = 0`
	// Of many only those that could still be used: a code, a chain or an access token that lives.
	andLive = ` AND (access_until > $3 OR redeemed_at = 0 AND code_expires_at > $3 OR length(refresh_hash) > 0 AND expires_at > $3)`

	returningEnded = ` RETURNING handle, client_id, subject, session_id, access_until`

	sqlEndGrant           = setEnded + ` AND id = $2` + returningEnded
	sqlEndGrantsOfUser    = setEnded + ` AND subject = $2` + andLive + returningEnded
	sqlEndGrantsOfClient  = setEnded + ` AND client_id = $2` + andLive + returningEnded
	sqlEndGrantsOfSession = setEnded + ` AND subject = $6 AND session_id = $2 AND offline = 0` + andLive + returningEnded
	sqlEndGrantsOfConsent = setEnded + ` AND subject = $2 AND client_id = $6` + andLive + returningEnded
	// The same person signed in again in the same browser.
	sqlMoveGrants = `UPDATE grants SET session_id = $3 WHERE tenant = $1 AND subject = $4 AND session_id = $2 AND ended_at = 0`

	// A grant whose chain lives stays until the end of that, whatever was known at its birth.
	// The condition stands twice here and below as in sqlKVSweep.
	sqlKeepGrants = `UPDATE grants SET leaves_at = expires_at WHERE tenant = $1 AND +leaves_at < $2 AND id IN (SELECT id FROM grants
			WHERE tenant = $1 AND leaves_at < $2 ORDER BY leaves_at LIMIT $3)
		AND ended_at = 0 AND length(refresh_hash) > 0 AND expires_at >= $2`
	sqlSweepGrants = `DELETE FROM grants WHERE tenant = $1 AND +leaves_at < $2 AND id IN (SELECT id FROM grants
			WHERE tenant = $1 AND leaves_at < $2 ORDER BY leaves_at LIMIT $3)
		AND (ended_at > 0 OR length(refresh_hash) = 0 OR expires_at < $2)`

	sqlAddEnding = `INSERT INTO endings (tenant, kind, value, seq, issued_before, until) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (tenant, kind, value) DO UPDATE SET seq = excluded.seq,
			issued_before = CASE WHEN endings.issued_before > excluded.issued_before THEN endings.issued_before ELSE excluded.issued_before END,
			until = CASE WHEN endings.until > excluded.until THEN endings.until ELSE excluded.until END`
	sqlEndingKnown = `SELECT until FROM endings WHERE tenant = $1 AND kind = $2 AND value = $3`
	sqlTokenEnded  = `SELECT kind FROM endings WHERE tenant = $1
		AND (kind, value) IN (VALUES ('grant', $2), ('token', $3), ('client', $4), ('subject', $5), ('tenant', $1), ('key', $7), ('session', $8))
		AND (kind NOT IN ('client', 'subject', 'tenant') OR issued_before >= $6) LIMIT 1`
	sqlSweepEndings = `DELETE FROM endings WHERE tenant = $1 AND +until < $2 AND (kind, value) IN (SELECT kind, value FROM endings
		WHERE tenant = $1 AND until < $2 ORDER BY until LIMIT $3)`
	// $2 place, $3 how far, $4 now.
	sqlEndingsOfTenant = `SELECT kind, value, seq, issued_before, until FROM endings
		WHERE tenant = $1 AND seq > $2 AND seq <= $3 AND until > $4 ORDER BY seq LIMIT $5`
)

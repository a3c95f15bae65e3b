package store

// Statements about tokens that are made of ID tokens.

const (
	// The newest grant of a client in a session: $4 now.
	sqlGrantOfSession = `SELECT ` + columnsOfGrant + ` FROM grants WHERE tenant = $1 AND session_id = $2 AND client_id = $3
		AND subject = (SELECT subject FROM sessions WHERE tenant = $1 AND id = $2)
		AND redeemed_at > 0 AND ended_at = 0 AND expires_at > $4 ORDER BY created_at DESC, id LIMIT 1`

	// $3 subject, $4 until when the token lives, $5 now, $6 the oldest time of being seen that counts, 0 for any.
	sqlExchangeInSession = `UPDATE sessions SET exchanged_until = CASE WHEN exchanged_until > $4 THEN exchanged_until ELSE $4 END
		WHERE tenant = $1 AND id = $2 AND subject = $3 AND ended_at = 0 AND expires_at > $5
			AND (CAST($6 AS BIGINT) = 0 OR last_seen_at > $6)
		RETURNING id`
	// $3 session, $4 now, $5 access_until, $6 when the row may leave for its sake.
	sqlExchangeOfGrant = `UPDATE grants SET access_until = CASE WHEN access_until > $5 THEN access_until ELSE $5 END,
			leaves_at = CASE WHEN leaves_at > $6 THEN leaves_at ELSE $6 END
		WHERE tenant = $1 AND handle = $2 AND session_id = $3 AND ended_at = 0 AND expires_at > $4` + whereEnabled + `
		RETURNING handle`
)

package store

// Statements about events. The filters are parameters that select everything when 0 or empty:
// $2 after, $3 since, $4 until, $5 kinds between spaces, $6 client, $7 limit, $8 subject.

const (
	columnsOfEvent = `seq, at, kind, subject, client_id, handle, session_id, address, user_agent, request_id, actor, count, last_at, detail`

	sqlAddEvent = `INSERT INTO events (tenant, seq, at, kind, subject, client_id, handle, session_id, address, user_agent, request_id, actor, count, detail, last_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $3)`
	sqlJoinEvent = `INSERT INTO events (tenant, seq, at, kind, subject, client_id, handle, session_id, address, user_agent, request_id, actor, count, detail, last_at, joins)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $3, $15)
		ON CONFLICT (tenant, joins) WHERE joins IS NOT NULL DO UPDATE SET count = events.count + 1, last_at = excluded.last_at`

	selectEvents = `SELECT ` + columnsOfEvent + ` FROM events WHERE tenant = $1 AND seq > $2 AND (CAST($3 AS BIGINT) = 0 OR at >= $3) AND (CAST($4 AS BIGINT) = 0 OR at < $4)
		AND ($5 = '' OR $5 LIKE '% ' || kind || ' %') AND ($6 = '' OR client_id = $6)`

	sqlEvents             = selectEvents + ` ORDER BY seq LIMIT $7`
	sqlLatestEvents       = selectEvents + ` ORDER BY seq DESC LIMIT $7`
	sqlEventsOfUser       = selectEvents + ` AND subject = $8 ORDER BY seq LIMIT $7`
	sqlLatestEventsOfUser = selectEvents + ` AND subject = $8 ORDER BY seq DESC LIMIT $7`

	// Times grow with the numbers, so what leaves stands first.
	sqlSweepEvents = `DELETE FROM events WHERE tenant = $1 AND at < $2 AND seq IN (SELECT seq FROM events
		WHERE tenant = $1 ORDER BY seq LIMIT $3)`
)

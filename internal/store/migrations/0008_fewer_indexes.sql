-- What a flow of a code writes: a grant has its interaction's id, so that its key is what refuses a second one; the grants of a
-- session are found among its user's; events leave in the order of their numbers; and only an event that joins others is
-- looked for by what it joins.
DROP INDEX grants_by_origin;
DROP INDEX grants_by_session;
DROP INDEX events_by_time;
DROP INDEX events_by_joins;
CREATE UNIQUE INDEX events_by_joins ON events (tenant, joins) WHERE joins IS NOT NULL;

-- Until when tokens live that were made of the session's ID tokens: they end with the session.
ALTER TABLE sessions ADD COLUMN exchanged_until BIGINT NOT NULL DEFAULT 0;
-- The clients that are to be told by back channel when a session ends. sid is what the client was told; the session that
-- stands in its place may be another by now. due_at is 0 while the session lives, then when the next attempt is due: who
-- attempts moves it on first.
CREATE TABLE logout_notices (
	tenant     TEXT   NOT NULL,
	session_id TEXT   NOT NULL,
	client_id  TEXT   NOT NULL,
	sid        TEXT   NOT NULL,
	subject    TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	ended_at   BIGINT NOT NULL,
	due_at     BIGINT NOT NULL,
	attempts   BIGINT NOT NULL,
	leaves_at  BIGINT NOT NULL, -- when a row whose session never ended may be removed
	PRIMARY KEY (tenant, session_id, client_id, sid)
);
CREATE INDEX logout_notices_by_due ON logout_notices (due_at) WHERE due_at > 0;
CREATE INDEX logout_notices_by_client ON logout_notices (tenant, client_id);
CREATE INDEX logout_notices_by_leaving ON logout_notices (tenant, leaves_at);

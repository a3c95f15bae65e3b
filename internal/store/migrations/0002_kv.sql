-- Keys that expire. What is kept here may be lost; it belongs to no tenant, its keys name theirs.
CREATE TABLE kv (
	key        BLOB   NOT NULL PRIMARY KEY,
	value      BLOB   NOT NULL,
	expires_at BIGINT NOT NULL -- gone from then on
);
CREATE INDEX kv_by_expiry ON kv (expires_at);

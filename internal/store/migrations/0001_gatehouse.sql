-- Times are milliseconds since 1970, 0 is never or none. Lists and records are JSON in TEXT.
-- A tenant is the first column of every primary key.

CREATE TABLE counters (
	name  TEXT   NOT NULL PRIMARY KEY,
	value BIGINT NOT NULL
);
-- change: how often clients, resources or settings changed; event: the last sequence number
-- given; clock: the latest time this database has seen.
INSERT INTO counters (name, value) VALUES ('change', 0), ('event', 0), ('clock', 0);

CREATE TABLE key_encryption_key (
	place  BIGINT NOT NULL PRIMARY KEY, -- always 1
	id     BIGINT NOT NULL,
	canary BLOB   NOT NULL
);

CREATE TABLE tenants (
	tenant     TEXT   NOT NULL PRIMARY KEY,
	settings   TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL
);

CREATE TABLE resources (
	tenant     TEXT   NOT NULL,
	identifier TEXT   NOT NULL,
	resource   TEXT   NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, identifier)
);

CREATE TABLE clients (
	tenant      TEXT   NOT NULL,
	id          TEXT   NOT NULL,
	metadata    TEXT   NOT NULL,
	disabled_at BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	updated_at  BIGINT NOT NULL,
	PRIMARY KEY (tenant, id)
);

CREATE TABLE client_secrets (
	tenant     TEXT   NOT NULL,
	client_id  TEXT   NOT NULL,
	id         TEXT   NOT NULL,
	kind       TEXT   NOT NULL,
	hash       BLOB   NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, client_id, id),
	FOREIGN KEY (tenant, client_id) REFERENCES clients (tenant, id)
);

CREATE TABLE users (
	tenant              TEXT   NOT NULL,
	subject             TEXT   NOT NULL,
	username            TEXT   NOT NULL,
	username_key        TEXT   NOT NULL,
	password_hash       TEXT   NOT NULL,
	password_changed_at BIGINT NOT NULL,
	claims              TEXT   NOT NULL,
	disabled_at         BIGINT NOT NULL,
	created_at          BIGINT NOT NULL,
	updated_at          BIGINT NOT NULL,
	PRIMARY KEY (tenant, subject)
);
CREATE INDEX users_by_name ON users (tenant, username_key);

-- What a person may type to sign in: a username or an e-mail address.
CREATE TABLE login_names (
	tenant    TEXT NOT NULL,
	login_key TEXT NOT NULL,
	subject   TEXT NOT NULL,
	PRIMARY KEY (tenant, login_key),
	FOREIGN KEY (tenant, subject) REFERENCES users (tenant, subject)
);
CREATE INDEX login_names_by_subject ON login_names (tenant, subject);

-- Subjects of users that were deleted: they are never given again.
CREATE TABLE retired_subjects (
	tenant     TEXT   NOT NULL,
	subject    TEXT   NOT NULL,
	retired_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, subject)
);

CREATE TABLE sessions (
	tenant       TEXT   NOT NULL,
	hash         BLOB   NOT NULL, -- SHA-256 of the cookie's value
	id           TEXT   NOT NULL,
	subject      TEXT   NOT NULL,
	auth_time    BIGINT NOT NULL,
	amr          TEXT   NOT NULL,
	acr          TEXT   NOT NULL,
	created_at   BIGINT NOT NULL,
	last_seen_at BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL,
	address      TEXT   NOT NULL,
	user_agent   TEXT   NOT NULL,
	ended_at     BIGINT NOT NULL,
	end_reason   TEXT   NOT NULL,
	PRIMARY KEY (tenant, hash)
);
CREATE UNIQUE INDEX sessions_by_id ON sessions (tenant, id);
CREATE INDEX sessions_by_subject ON sessions (tenant, subject);
CREATE INDEX sessions_by_expiry ON sessions (tenant, expires_at);

CREATE TABLE grants (
	tenant            TEXT   NOT NULL,
	id                BLOB   NOT NULL,
	origin            BLOB   NOT NULL, -- SHA-256 of the interaction's id
	handle            TEXT   NOT NULL,
	client_id         TEXT   NOT NULL,
	subject           TEXT   NOT NULL,
	session_id        TEXT   NOT NULL,
	scope             TEXT   NOT NULL,
	offline           BIGINT NOT NULL,
	resources         TEXT   NOT NULL,
	redirect_uri      TEXT   NOT NULL,
	redirect_uri_sent BIGINT NOT NULL,
	code_challenge    TEXT   NOT NULL,
	nonce             TEXT   NOT NULL,
	auth_time         BIGINT NOT NULL,
	amr               TEXT   NOT NULL,
	acr               TEXT   NOT NULL,
	code_key_id       BIGINT NOT NULL,
	code_hash         BLOB   NOT NULL,
	code_expires_at   BIGINT NOT NULL,
	redeemed_at       BIGINT NOT NULL,
	wrong_verifiers   BIGINT NOT NULL,
	generation        BIGINT NOT NULL,
	refresh_key_id    BIGINT NOT NULL,
	refresh_hash      BLOB   NOT NULL,
	refresh_salt      BLOB   NOT NULL,
	rotated_at        BIGINT NOT NULL,
	redeliveries      BIGINT NOT NULL, -- of the current generation
	created_at        BIGINT NOT NULL,
	expires_at        BIGINT NOT NULL,
	last_used_at      BIGINT NOT NULL,
	access_until      BIGINT NOT NULL,
	ended_at          BIGINT NOT NULL,
	end_reason        TEXT   NOT NULL,
	leaves_at         BIGINT NOT NULL, -- when the row may be removed
	PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX grants_by_origin ON grants (tenant, origin);
CREATE INDEX grants_by_subject ON grants (tenant, subject, client_id);
CREATE INDEX grants_by_client ON grants (tenant, client_id);
CREATE INDEX grants_by_session ON grants (tenant, session_id);
CREATE INDEX grants_by_leaving ON grants (tenant, leaves_at);

CREATE TABLE consents (
	tenant     TEXT   NOT NULL,
	subject    TEXT   NOT NULL,
	client_id  TEXT   NOT NULL,
	resource   TEXT   NOT NULL,
	scope      TEXT   NOT NULL,
	granted_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, subject, client_id, resource)
);
CREATE INDEX consents_by_client ON consents (tenant, client_id);

-- What was ended before the access tokens that it concerns expire. kind is grant (value is the
-- handle), token (jti), client or subject; of the last two, tokens issued up to issued_before.
CREATE TABLE endings (
	tenant        TEXT   NOT NULL,
	kind          TEXT   NOT NULL,
	value         TEXT   NOT NULL,
	seq           BIGINT NOT NULL,
	issued_before BIGINT NOT NULL,
	until         BIGINT NOT NULL,
	PRIMARY KEY (tenant, kind, value)
);
CREATE INDEX endings_by_until ON endings (tenant, until);

CREATE TABLE events (
	tenant     TEXT   NOT NULL,
	seq        BIGINT NOT NULL,
	at         BIGINT NOT NULL,
	kind       TEXT   NOT NULL,
	subject    TEXT   NOT NULL,
	client_id  TEXT   NOT NULL,
	handle     TEXT   NOT NULL,
	session_id TEXT   NOT NULL,
	address    TEXT   NOT NULL,
	user_agent TEXT   NOT NULL,
	request_id TEXT   NOT NULL,
	actor      TEXT   NOT NULL,
	count      BIGINT NOT NULL,
	last_at    BIGINT NOT NULL,
	detail     TEXT   NOT NULL,
	joins      TEXT, -- later events with the same text are counted on this row
	PRIMARY KEY (tenant, seq)
);
CREATE UNIQUE INDEX events_by_joins ON events (tenant, joins);
CREATE INDEX events_by_subject ON events (tenant, subject, seq);
CREATE INDEX events_by_time ON events (tenant, at);

CREATE TABLE keys (
	tenant     TEXT   NOT NULL,
	purpose    TEXT   NOT NULL,
	id         TEXT   NOT NULL,
	numeric_id BIGINT NOT NULL,
	algorithm  TEXT   NOT NULL,
	sealed     BLOB   NOT NULL,
	created_at BIGINT NOT NULL,
	publish_at BIGINT NOT NULL,
	sign_from  BIGINT NOT NULL,
	sign_until BIGINT NOT NULL,
	remove_at  BIGINT NOT NULL,
	revoked_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, purpose, id, numeric_id)
);

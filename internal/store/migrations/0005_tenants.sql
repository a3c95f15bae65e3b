-- A tenant with an issuer of its own lives at that host; the others live under the public URL.
ALTER TABLE tenants ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN disabled_at BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX tenants_by_host ON tenants (host) WHERE host <> '';

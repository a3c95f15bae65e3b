-- Claims that a client asked for one by one, and what else is known of a user than the standard claims. An access
-- token names its grant by the handle.
ALTER TABLE grants ADD COLUMN claims TEXT NOT NULL DEFAULT '{}';
ALTER TABLE users ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
CREATE INDEX grants_by_handle ON grants (tenant, handle);

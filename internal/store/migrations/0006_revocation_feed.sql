-- Endings are followed by their numbers, those of one tenant and those of all.
CREATE INDEX endings_by_tenant_seq ON endings (tenant, seq);
CREATE INDEX endings_by_seq ON endings (seq);

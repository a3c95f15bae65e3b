-- Keys of one tenant, purpose and algorithm follow each other; of several who make the next one, one
-- is stored. key counts how often keys changed.
ALTER TABLE keys ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX keys_by_generation ON keys (tenant, purpose, algorithm, generation);
INSERT INTO counters (name, value) VALUES ('key', 0);

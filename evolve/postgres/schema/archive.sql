-- What was archived of which partition, in schema evolve. May run again.
-- No lock on any table of the application.
CREATE TABLE IF NOT EXISTS evolve.partition_archive (
    archive_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation oid NOT NULL,
    partition_schema text NOT NULL,
    partition_name text NOT NULL,
    place jsonb NOT NULL,
    manifest jsonb NOT NULL,
    made_by text NOT NULL DEFAULT session_user,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS partition_archive_relation ON evolve.partition_archive (relation);

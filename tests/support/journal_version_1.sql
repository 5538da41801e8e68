-- The journal: what is to be done, how far it got, who works on it, what happened. Every statement may run again.
-- No lock on any table of the application. The schema is there already.

CREATE TABLE IF NOT EXISTS evolve.backfill (
    name text PRIMARY KEY,
    spec jsonb NOT NULL,
    fingerprint text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS evolve.backfill_run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL REFERENCES evolve.backfill,
    spec jsonb NOT NULL,
    fingerprint text NOT NULL,
    table_oid oid NOT NULL,                 -- a table of the same name that took its place is another table
    key_columns text[] NOT NULL,
    key_types text[] NOT NULL,
    state text NOT NULL DEFAULT 'fencing' CHECK (state IN
        ('fencing', 'running', 'verifying', 'done', 'paused', 'failed', 'cancelled', 'undoing', 'undone')),
    want text NOT NULL DEFAULT 'run' CHECK (want IN ('run', 'pause', 'cancel')),
    journal boolean NOT NULL,               -- before-images are kept in evolve.backfill_undo_<run_id>
    rows_estimate bigint,
    fence xid8 NOT NULL,                    -- transactions older than this must end before the first batch
    verify jsonb,
    error jsonb,
    started_by text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
);
CREATE INDEX IF NOT EXISTS backfill_run_name ON evolve.backfill_run (name, run_id DESC);

-- Updated by every batch: one row, kept on one page by HOT.
CREATE TABLE IF NOT EXISTS evolve.backfill_range (
    run_id bigint NOT NULL REFERENCES evolve.backfill_run,
    range_no integer NOT NULL,
    low text[],                             -- first key when the run began, for progress only
    upto text[],                            -- greatest key of the range, fixed when the run began
    cursor text[],                          -- last key committed
    finished boolean NOT NULL DEFAULT false,
    batches bigint NOT NULL DEFAULT 0,
    scanned bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    lease_owner text,
    lease_backend integer,
    lease_epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (run_id, range_no)
) WITH (fillfactor = 20);

CREATE TABLE IF NOT EXISTS evolve.backfill_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES evolve.backfill_run,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    kind text NOT NULL,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS backfill_event_run ON evolve.backfill_event (run_id, event_id);

CREATE TABLE IF NOT EXISTS evolve.backfill_reject (
    run_id bigint NOT NULL REFERENCES evolve.backfill_run,
    key text[] NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, key)
);

COMMENT ON TABLE evolve.backfill IS 'evolve backfill journal, version 1';

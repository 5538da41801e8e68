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
-- Who leads the run: fences, cuts it into ranges, verifies, ends it.
ALTER TABLE evolve.backfill_run
    ADD COLUMN IF NOT EXISTS lease_owner text,
    ADD COLUMN IF NOT EXISTS lease_backend integer,
    ADD COLUMN IF NOT EXISTS lease_epoch bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS lease_until timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN IF NOT EXISTS low text[],    -- first key when the run began, for progress only
    ADD COLUMN IF NOT EXISTS cut boolean NOT NULL DEFAULT false,    -- its ranges are there
    ADD COLUMN IF NOT EXISTS key_collations bigint[],   -- null: begun before that was kept
    ADD COLUMN IF NOT EXISTS newest_first boolean NOT NULL DEFAULT false,   -- keys are walked from the greatest down
    ADD COLUMN IF NOT EXISTS sweeps integer NOT NULL DEFAULT 0,     -- walks after the first one, for want of a key
    ADD COLUMN IF NOT EXISTS ended_lsn pg_lsn,  -- all that it wrote lies before this in the WAL
    ADD COLUMN IF NOT EXISTS after text[] NOT NULL DEFAULT '{}',    -- names of backfills that must be done before
    ADD COLUMN IF NOT EXISTS verifiable boolean,    -- null: begun before that was kept
    ADD COLUMN IF NOT EXISTS pace jsonb NOT NULL DEFAULT '{}',      -- what the command lines said that led it
    ADD COLUMN IF NOT EXISTS settings jsonb NOT NULL DEFAULT '{}',  -- what was set since; stands above that
    ADD COLUMN IF NOT EXISTS brake jsonb,           -- who holds or slows its workers, and why
    ADD COLUMN IF NOT EXISTS brake_until timestamptz,   -- null: until somebody ends it
    ADD COLUMN IF NOT EXISTS adds_up boolean,       -- a row written twice may hold something else; null: as verifiable
    ADD COLUMN IF NOT EXISTS column_numbers smallint[], -- of the columns written; null: begun before that was kept
    ADD COLUMN IF NOT EXISTS approval jsonb;        -- why another person must approve it, and who has
CREATE INDEX IF NOT EXISTS backfill_run_name ON evolve.backfill_run (name, run_id DESC);

-- Stretches of keys, each worked on by one worker at a time. Updated by every batch: kept on its page by HOT.
CREATE TABLE IF NOT EXISTS evolve.backfill_range (
    run_id bigint NOT NULL REFERENCES evolve.backfill_run,
    range_no integer NOT NULL,
    low text[],                             -- keys up to this one belong to the range before
    upto text[],                            -- last key of the range, fixed when the run began
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
ALTER TABLE evolve.backfill_range
    ADD COLUMN IF NOT EXISTS window_upto text[],    -- last key of the window that is being written behind the cursor
    ADD COLUMN IF NOT EXISTS window_slices integer,
    ADD COLUMN IF NOT EXISTS window_done integer,
    ADD COLUMN IF NOT EXISTS window_rows bigint,
    ADD COLUMN IF NOT EXISTS beyond jsonb,          -- the windows that follow that one and are written in turns with it
    ADD COLUMN IF NOT EXISTS undone boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS first text[],          -- where no range comes before: its first key
    ADD COLUMN IF NOT EXISTS leaf oid,              -- the partition whose keys these are; null: of the whole table
    ADD COLUMN IF NOT EXISTS leaf_schema text,
    ADD COLUMN IF NOT EXISTS leaf_name text,        -- as it was called when the run began
    ADD COLUMN IF NOT EXISTS doing jsonb;           -- what its worker said last of its batches, and what it waits for

-- Runs of version 1 have one range, whose first key stood in it, and none before they were cut.
UPDATE evolve.backfill_run r SET low = g.low, cut = true
  FROM evolve.backfill_range g
 WHERE g.run_id = r.run_id AND NOT r.cut AND (g.upto IS NOT NULL OR g.finished)
   AND obj_description('evolve.backfill'::regclass, 'pg_class') LIKE '% version 1';
UPDATE evolve.backfill_range SET first = low, low = NULL
 WHERE obj_description('evolve.backfill'::regclass, 'pg_class') LIKE '% version 1';
DELETE FROM evolve.backfill_range
 WHERE upto IS NULL AND obj_description('evolve.backfill'::regclass, 'pg_class') LIKE '% version 1';

CREATE TABLE IF NOT EXISTS evolve.backfill_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES evolve.backfill_run,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    kind text NOT NULL,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS backfill_event_run ON evolve.backfill_event (run_id, event_id);

-- Rows that a run could not write (kind reject), and rows that its undo left alone (kind conflict).
CREATE TABLE IF NOT EXISTS evolve.backfill_reject (
    run_id bigint NOT NULL REFERENCES evolve.backfill_run,
    key text[] NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),  -- of the last try
    CONSTRAINT backfill_reject_pkey PRIMARY KEY (run_id, key)
);
ALTER TABLE evolve.backfill_reject
    ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'conflict' CHECK (kind IN ('reject', 'conflict')),
    ADD COLUMN IF NOT EXISTS range_no integer NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS sqlstate text,
    ADD COLUMN IF NOT EXISTS attempts integer NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS resolved_at timestamptz,   -- when a later try wrote it, or found nothing to write
    DROP CONSTRAINT IF EXISTS backfill_reject_pkey,
    ADD CONSTRAINT backfill_reject_pkey PRIMARY KEY (run_id, kind, range_no, key);
ALTER TABLE evolve.backfill_run
    ADD COLUMN IF NOT EXISTS rejects bigint NOT NULL DEFAULT 0,         -- not resolved
    ADD COLUMN IF NOT EXISTS max_rejects bigint NOT NULL DEFAULT 100,
    ADD COLUMN IF NOT EXISTS retry_at timestamptz;      -- rejects last tried before this are to be tried once more

-- Effects outside of the database, noted together with the cursor and carried out afterwards.
CREATE TABLE IF NOT EXISTS evolve.backfill_outbox (
    run_id bigint NOT NULL REFERENCES evolve.backfill_run ON DELETE CASCADE,
    range_no integer NOT NULL,
    key text[] NOT NULL,
    note_no bigint GENERATED ALWAYS AS IDENTITY,
    payload jsonb NOT NULL,                 -- what the function is given; with run and key it makes the idempotency key
    state text NOT NULL DEFAULT 'noted' CHECK (state IN ('noted', 'delivered', 'failed')),
    due timestamptz NOT NULL DEFAULT '-infinity',   -- a worker holds a note by putting this off
    tries integer NOT NULL DEFAULT 0,       -- that failed
    error text,                             -- of the last of them
    PRIMARY KEY (run_id, range_no, key)
);
CREATE INDEX IF NOT EXISTS backfill_outbox_note ON evolve.backfill_outbox (run_id, note_no) WHERE state = 'noted';

COMMENT ON TABLE evolve.backfill IS 'evolve backfill journal, version 4';

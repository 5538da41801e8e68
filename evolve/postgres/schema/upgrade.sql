-- What `evolve upgrade` and `downgrade` did: runs, the revisions of each, and what of a revision was made permanent before it
-- was through. Every statement may run again. No lock on anything of the application. The schema is there already.

CREATE TABLE IF NOT EXISTS evolve.upgrade_run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version_table text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('upgrade', 'downgrade')),
    target text NOT NULL,
    actor text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    error text                              -- null where it ended well, and where it never ended
);

CREATE TABLE IF NOT EXISTS evolve.upgrade_step (
    step_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES evolve.upgrade_run,
    revision text NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed', 'left')),
    attempts integer NOT NULL DEFAULT 0,
    blockers jsonb NOT NULL DEFAULT '[]',
    backends text[] NOT NULL DEFAULT '{}',  -- of env.py: pid and the moment it began
    stamped_by xid8,                        -- transaction that wrote the version behind the statements below, if it was committed
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
);
-- Since version 2: the row that Alembic had here when the revision was begun, by who wrote it. Another one shows that
-- Alembic itself has been at work since, and that what is recorded of the revision tells nothing any more.
ALTER TABLE evolve.upgrade_step ADD COLUMN IF NOT EXISTS stamp text NOT NULL DEFAULT '';
CREATE INDEX IF NOT EXISTS upgrade_step_revision ON evolve.upgrade_step (revision, step_id DESC);
CREATE INDEX IF NOT EXISTS upgrade_step_run ON evolve.upgrade_step (run_id);

-- Written before a statement that becomes permanent by itself is sent, and before a transaction is committed in the
-- middle of a revision.
CREATE TABLE IF NOT EXISTS evolve.upgrade_statement (
    step_id bigint NOT NULL REFERENCES evolve.upgrade_step,
    ordinal integer NOT NULL,
    summary text NOT NULL,
    place text NOT NULL,
    digest text NOT NULL,
    search_path text NOT NULL,
    transaction xid8,                       -- that did it; null where it was sent outside one
    returned_rows boolean NOT NULL DEFAULT false,
    state text NOT NULL CHECK (state IN ('sent', 'done', 'failed')),
    sent_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    PRIMARY KEY (step_id, ordinal)
);

COMMENT ON TABLE evolve.upgrade_run IS 'evolve upgrades, version 2';

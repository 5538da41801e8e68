-- Changes in this database: what happened to each, and what was observed before each phase. Every statement may run
-- again. No lock on any table of the application.
CREATE SCHEMA IF NOT EXISTS evolve;

CREATE TABLE IF NOT EXISTS evolve.change_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change text NOT NULL,
    phase text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL DEFAULT '',          -- of a word: what was confirmed, such as old-code-gone; or the gate overridden
    note text NOT NULL DEFAULT '',          -- of an override: why
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS change_event_change ON evolve.change_event (change, event_id);

CREATE TABLE IF NOT EXISTS evolve.evidence (
    evidence_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change text NOT NULL,
    phase text NOT NULL,                    -- the phase that the gate leads to
    gate text NOT NULL,
    observed text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS evidence_change ON evolve.evidence (change, evidence_id);

-- Since version 2.
ALTER TABLE evolve.change_event ADD COLUMN IF NOT EXISTS note text NOT NULL DEFAULT '';
ALTER TABLE evolve.change_event DROP CONSTRAINT IF EXISTS change_event_kind_check;
ALTER TABLE evolve.change_event ADD CONSTRAINT change_event_kind_check CHECK (kind IN ('begun', 'word', 'override'));

COMMENT ON TABLE evolve.change_event IS 'evolve changes, version 2';

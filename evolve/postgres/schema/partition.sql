-- The journal of conversions, in schema evolve: what was planned, and which step of it is done. May run again.
-- No lock on any table of the application.
CREATE TABLE IF NOT EXISTS evolve.partition_conversion (
    conversion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    method text NOT NULL,
    options jsonb NOT NULL,
    recipe text NOT NULL CHECK (recipe IN ('copy', 'attach', 'drain', 'split', 'merge', 'rehash')),
    state text NOT NULL DEFAULT 'running' CHECK (state IN
        ('running', 'swapped', 'swapped back', 'finished', 'abandoned')),
    track text NOT NULL DEFAULT 'forward' CHECK (track IN ('forward', 'abandon', 'back', 'finish')),
    plan jsonb NOT NULL,
    started_by text NOT NULL DEFAULT session_user,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
);
-- Earlier versions made it with fewer recipes.
ALTER TABLE evolve.partition_conversion DROP CONSTRAINT IF EXISTS partition_conversion_recipe_check,
    ADD CONSTRAINT partition_conversion_recipe_check
    CHECK (recipe IN ('copy', 'attach', 'drain', 'split', 'merge', 'rehash'));
CREATE UNIQUE INDEX IF NOT EXISTS partition_conversion_open ON evolve.partition_conversion (table_schema, table_name)
    WHERE state NOT IN ('finished', 'abandoned');

-- Updated by every batch: one row, kept on one page by HOT.
CREATE TABLE IF NOT EXISTS evolve.partition_step (
    conversion_id bigint NOT NULL REFERENCES evolve.partition_conversion,
    track text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    cursor jsonb,
    rows bigint NOT NULL DEFAULT 0,
    started_at timestamptz,
    done_at timestamptz,
    PRIMARY KEY (conversion_id, track, number)
) WITH (fillfactor = 20);

-- Where each worker of a copy is. A range is done when its cursor has come to its end.
CREATE TABLE IF NOT EXISTS evolve.partition_range (
    conversion_id bigint NOT NULL,
    track text NOT NULL,
    number integer NOT NULL,
    range_no integer NOT NULL,
    cursor jsonb,
    upto jsonb NOT NULL,
    PRIMARY KEY (conversion_id, track, number, range_no),
    FOREIGN KEY (conversion_id, track, number) REFERENCES evolve.partition_step
) WITH (fillfactor = 20);

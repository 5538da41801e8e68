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
ALTER TABLE evolve.change_event ADD CONSTRAINT change_event_kind_check CHECK (kind IN ('begun', 'word', 'override', 'undone', 'brown-out'));

-- What pg_stat_statements had counted when one began to watch that nobody uses what a change takes away.
CREATE TABLE IF NOT EXISTS evolve.statement_window (
    change text NOT NULL,
    server text NOT NULL,                   -- primary, or where a replica is
    since timestamptz NOT NULL,
    reset timestamptz,                      -- when its counts began
    evicted bigint NOT NULL,                -- how often it had dropped entries by then
    used text NOT NULL,                     -- the use that ended the window before; empty where none did
    PRIMARY KEY (change, server)
);
CREATE TABLE IF NOT EXISTS evolve.statement_count (
    change text NOT NULL,
    server text NOT NULL,
    role bigint NOT NULL,
    query_id bigint NOT NULL,
    top boolean NOT NULL,
    calls bigint NOT NULL,
    PRIMARY KEY (change, server, role, query_id, top)
);

-- Since version 3. What was seen last of the statements that use what a phase takes away: its revision, which cannot
-- parse them, asks this.
CREATE TABLE IF NOT EXISTS evolve.verdict (
    change text NOT NULL,
    phase text NOT NULL,                    -- the one that takes it away
    open boolean NOT NULL,
    observed text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    holds_until timestamptz NOT NULL,
    PRIMARY KEY (change, phase)
);

-- What a brown-out has taken away and not given back yet.
CREATE TABLE IF NOT EXISTS evolve.brown_out (
    change text PRIMARY KEY,
    places text NOT NULL,                   -- for messages: users.name
    taken jsonb NOT NULL,                   -- [{schema, table, privileges: [{role, name, column, grantable}]}]
    actor text NOT NULL,
    began timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends timestamptz NOT NULL               -- when it is to be given back
);

-- Tables on which a trigger tells who still writes what a change takes away, and who did.
CREATE TABLE IF NOT EXISTS evolve.tripwire (
    change text NOT NULL,
    relation text NOT NULL,                 -- "public"."users"
    trigger text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (change, relation)
);
CREATE TABLE IF NOT EXISTS evolve.tripwire_hit (
    hit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change text NOT NULL,
    application text NOT NULL,
    role text NOT NULL,
    statement text NOT NULL,                -- without its texts
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS tripwire_hit_change ON evolve.tripwire_hit (change, hit_id);

-- Runs in transactions of the application, with its owner's rights: it may slow no writer and fail none. A session tells
-- of itself once a minute, and anew where it is armed anew, which the second argument tells; nothing waits, since rows are
-- only added.
CREATE OR REPLACE FUNCTION evolve.tripped() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $evolve$
DECLARE
    told text := 'evolve.tripped_' || md5(TG_ARGV[0] || ' ' || coalesce(TG_ARGV[1], ''));
BEGIN
    IF coalesce(nullif(current_setting(told, true), ''), '0')::double precision
        > extract(epoch FROM clock_timestamp()) - 60 THEN
        RETURN NULL;
    END IF;
    BEGIN
        INSERT INTO evolve.tripwire_hit (change, application, role, statement) VALUES (
            TG_ARGV[0], coalesce(current_setting('application_name', true), ''), session_user,
            left(regexp_replace(coalesce(current_query(), ''), '''(?:[^'']|'''')*''', '''…''', 'g'), 500));
        PERFORM set_config(told, extract(epoch FROM clock_timestamp())::text, false);
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    RETURN NULL;
END
$evolve$;

COMMENT ON TABLE evolve.change_event IS 'evolve changes, version 3';

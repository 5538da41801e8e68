-- The registry of deployed versions: which versions of the application are alive in this database, and what they map.
-- Applications may call heartbeat() and farewell(), and nothing else here. Every statement may run again. No lock on
-- any table of the application.
CREATE SCHEMA IF NOT EXISTS evolve_client;

-- What a version maps, once for all its instances.
CREATE TABLE IF NOT EXISTS evolve_client.mapping (
    role name NOT NULL,
    digest text NOT NULL,                   -- sha256 of places as they were sent
    places jsonb NOT NULL,                  -- [[schema or null, relation, [column, …] or null for all of them], …]
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (role, digest)
);

-- One process of the application. No index on what each heartbeat writes, so that it stays on its page.
CREATE TABLE IF NOT EXISTS evolve_client.instance (
    role name NOT NULL,                     -- whom it logged in as: it may write no other role's rows
    instance uuid NOT NULL,                 -- chosen by it, and told to nobody else
    application text NOT NULL,
    version text NOT NULL,
    process text NOT NULL,                  -- host:pid
    digest text NOT NULL,                   -- of its mapping; where none has that one yet, nobody knows what it maps
    path text[] NOT NULL,                   -- the schemas in which it finds relations named without one
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    lives interval NOT NULL,                -- it counts as alive so long after it was seen
    gone timestamptz,                       -- when it said farewell
    PRIMARY KEY (role, instance)
) WITH (fillfactor = 50);

-- What the server refused to a version: privileges, columns or relations that it no longer has.
CREATE TABLE IF NOT EXISTS evolve_client.denial (
    denial_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    role name NOT NULL,
    application text NOT NULL,
    version text NOT NULL,
    sqlstate text NOT NULL,
    count bigint NOT NULL,
    message text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS denial_role ON evolve_client.denial (role, denial_id);

-- Say that an instance is alive. False where its mapping is not known: then it calls again and sends that.
-- Whoever may call it can fill no more than the limits below, per role that logs in.
CREATE OR REPLACE FUNCTION evolve_client.heartbeat(said text, mapped text, search name[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $evolve$
DECLARE
    told jsonb;
    sent jsonb;
    mine uuid;
    mapping text;
    schemas text[] := search[1:50];
    lifetime interval;
BEGIN
    IF octet_length(said) > 16384 OR octet_length(mapped) > 1048576 THEN
        RAISE EXCEPTION 'too long for the registry of deployed versions' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    -- A heartbeat that a crash of the server loses is followed by another one.
    PERFORM set_config('synchronous_commit', 'off', true);
    told := said::jsonb;
    mine := (told ->> 'instance')::uuid;
    mapping := left(coalesce(told ->> 'digest', ''), 64);
    lifetime := make_interval(secs => least(greatest((told ->> 'lives')::float8, 1), 2592000));

    UPDATE evolve_client.instance AS i
       SET seen = clock_timestamp(), digest = mapping, path = schemas, lives = lifetime
     WHERE i.role = session_user AND i.instance = mine;
    IF NOT FOUND THEN
        PERFORM pg_advisory_xact_lock(hashtext('evolve_client'), hashtext(session_user));
        DELETE FROM evolve_client.instance AS i
         WHERE i.role = session_user AND coalesce(i.gone, i.seen + i.lives) < clock_timestamp() - interval '30 days';
        DELETE FROM evolve_client.instance AS i
         WHERE i.role = session_user AND i.instance IN (
            SELECT o.instance FROM evolve_client.instance AS o
             WHERE o.role = session_user AND (o.gone IS NOT NULL OR o.seen + o.lives < clock_timestamp())
             ORDER BY o.seen DESC OFFSET 1000);
        IF (SELECT count(*) FROM evolve_client.instance AS i WHERE i.role = session_user) >= 5000 THEN
            RAISE EXCEPTION 'too many instances of role %', session_user USING ERRCODE = 'program_limit_exceeded';
        END IF;
        INSERT INTO evolve_client.instance (role, instance, application, version, process, digest, path, lives)
        -- No character that would act on the terminal of whoever reads it.
        VALUES (session_user, mine, regexp_replace(left(coalesce(told ->> 'application', ''), 64), '[[:cntrl:]]', ' ', 'g'),
                regexp_replace(left(coalesce(told ->> 'version', ''), 64), '[[:cntrl:]]', ' ', 'g'),
                regexp_replace(left(coalesce(told ->> 'process', ''), 128), '[[:cntrl:]]', ' ', 'g'),
                mapping, schemas, lifetime);
    END IF;

    IF jsonb_typeof(told -> 'denied') = 'array' THEN
        INSERT INTO evolve_client.denial (role, application, version, sqlstate, count, message)
        SELECT session_user, i.application, i.version, left(coalesce(each ->> 'sqlstate', ''), 5),
               least(greatest((each ->> 'count')::bigint, 1), 1000000000), regexp_replace(left(coalesce(each ->> 'message', ''), 200), '[[:cntrl:]]', ' ', 'g')
          FROM evolve_client.instance AS i, jsonb_array_elements(told -> 'denied') WITH ORDINALITY AS d (each, number)
         WHERE i.role = session_user AND i.instance = mine AND number <= 10;
        DELETE FROM evolve_client.denial AS d
         WHERE d.role = session_user AND d.denial_id <= (
            SELECT o.denial_id FROM evolve_client.denial AS o
             WHERE o.role = session_user ORDER BY o.denial_id DESC OFFSET 1000 LIMIT 1);
    END IF;

    IF mapped IS NOT NULL THEN
        sent := mapped::jsonb;
        -- Whatever is kept here can be searched without an error.
        IF jsonb_typeof(sent) IS DISTINCT FROM 'array' OR EXISTS (
            SELECT FROM jsonb_array_elements(sent) AS each
             WHERE jsonb_typeof(each) <> 'array'
                OR jsonb_typeof(each -> 0) NOT IN ('string', 'null')
                OR jsonb_typeof(each -> 1) IS DISTINCT FROM 'string'
                OR jsonb_typeof(each -> 2) NOT IN ('array', 'null')
        ) THEN
            RAISE EXCEPTION 'not a mapping' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('evolve_client'), hashtext(session_user));
        DELETE FROM evolve_client.mapping AS m
         WHERE m.role = session_user AND NOT EXISTS (
            SELECT FROM evolve_client.instance AS i WHERE i.role = m.role AND i.digest = m.digest);
        IF (SELECT count(*) FROM evolve_client.mapping AS m WHERE m.role = session_user) >= 50 THEN
            RAISE EXCEPTION 'too many mappings of role %', session_user USING ERRCODE = 'program_limit_exceeded';
        END IF;
        INSERT INTO evolve_client.mapping (role, digest, places)
        VALUES (session_user, encode(sha256(convert_to(mapped, 'UTF8')), 'hex'), sent)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN EXISTS (
        SELECT FROM evolve_client.mapping AS m WHERE m.role = session_user AND m.digest = mapping);
END $evolve$;

-- Say that an instance has ended.
CREATE OR REPLACE FUNCTION evolve_client.farewell(mine text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $evolve$
    UPDATE evolve_client.instance SET gone = clock_timestamp() WHERE role = session_user AND instance = mine::uuid
$evolve$;

-- The versions that are alive and map one of `places`: [[schema, relation, column or null], …]. One that has not told
-- yet what it maps is among them, with `maps` null.
CREATE OR REPLACE FUNCTION evolve_client.mapped_by(places text)
RETURNS TABLE (application text, version text, instances bigint, since timestamptz, seen timestamptz, maps text[])
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $evolve$
    WITH alive AS (
        SELECT i.role, i.digest, i.path, i.application, i.version,
               count(*) AS instances, min(i.since) AS since, max(i.seen) AS seen
          FROM evolve_client.instance AS i
         WHERE i.gone IS NULL AND i.seen + i.lives > clock_timestamp()
         GROUP BY 1, 2, 3, 4, 5
    ), asked AS (
        SELECT each ->> 0 AS nsp, each ->> 1 AS rel, each ->> 2 AS col FROM jsonb_array_elements(places::jsonb) AS each
    ), found AS (
        SELECT a.*, m.digest IS NOT NULL AS told, ARRAY(
            SELECT DISTINCT concat(nullif(p.nsp, 'public') || '.', p.rel, '.' || p.col)
              FROM jsonb_array_elements(m.places) AS each
              JOIN asked AS p ON p.rel = each ->> 1
             WHERE (p.col IS NULL OR jsonb_typeof(each -> 2) = 'null' OR each -> 2 ? p.col)
               -- A relation named without a schema is the first one of its name in the path; where none is found
               -- there, as with a path for each tenant, it may be any.
               AND p.nsp = coalesce(each ->> 0, (
                    SELECT n.nspname
                      FROM unnest(a.path) WITH ORDINALITY AS s (nsp, number)
                      JOIN pg_namespace AS n ON n.nspname = s.nsp
                      JOIN pg_class AS c ON c.relnamespace = n.oid
                     WHERE c.relname = each ->> 1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                     ORDER BY s.number LIMIT 1), p.nsp)
             ORDER BY 1) AS maps
          FROM alive AS a LEFT JOIN evolve_client.mapping AS m ON m.role = a.role AND m.digest = a.digest
    )
    SELECT f.application, f.version, sum(f.instances)::bigint, min(f.since), max(f.seen),
           CASE WHEN bool_and(f.told) THEN (
                SELECT array_agg(DISTINCT one.place ORDER BY one.place)
                  FROM found AS g, unnest(g.maps) AS one (place)
                 WHERE g.application = f.application AND g.version = f.version) END
      FROM found AS f
     WHERE f.maps <> '{}' OR NOT f.told
     GROUP BY 1, 2 ORDER BY 1, 2
$evolve$;

-- The same in words; null where there is none.
CREATE OR REPLACE FUNCTION evolve_client.in_use(places text) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $evolve$
    SELECT string_agg(
        format('%s %s (%s, last seen %s s ago) %s', application, version,
               CASE instances WHEN 1 THEN '1 instance' ELSE instances || ' instances' END,
               greatest(round(extract(epoch FROM clock_timestamp() - seen)), 0),
               coalesce('maps ' || array_to_string(maps[1:5], ', ') || CASE WHEN cardinality(maps) > 5 THEN ', ...' ELSE '' END,
                        'has not told yet what it maps')),
        '; ' ORDER BY application, version)
      FROM (SELECT * FROM evolve_client.mapped_by(places) LIMIT 5) AS few
$evolve$;

REVOKE ALL ON ALL TABLES IN SCHEMA evolve_client FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA evolve_client FROM PUBLIC;

COMMENT ON SCHEMA evolve_client IS 'evolve registry of deployed versions, version 1';

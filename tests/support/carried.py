"""A table with everything that goes along when it is converted, and a look at all of it in the server's catalogs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import psycopg

from evolve.app import convert_table
from evolve.app.convert_table import Environment, Patience
from evolve.partition.conversion import Conversion, Record
from evolve.partition.plan import Wish
from evolve.sql.names import QualifiedName
from support.command_line import python
from support.conversion import TESTS, Watcher
from support.orders import NOW

LEDGER = QualifiedName("ledger")
Facts = dict[str, str]

SCHEMA = """
DO $$ BEGIN CREATE ROLE carried_owner NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE carried_reader NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE carried_newcomer NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT CREATE ON SCHEMA public TO carried_owner;
CREATE DOMAIN cents AS bigint DEFAULT 0 CHECK (VALUE >= 0);
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE COLLATION backwards FROM "C";
CREATE TABLE owners (id int PRIMARY KEY);
INSERT INTO owners SELECT generate_series(1, 20);
CREATE FUNCTION quietly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;

CREATE TABLE ledger (
    gone      int,
    id        bigint GENERATED ALWAYS AS IDENTITY (START WITH 7 INCREMENT BY 3 CACHE 5),
    number    serial,
    region    text COLLATE backwards NOT NULL DEFAULT 'de',
    ref       uuid NOT NULL DEFAULT gen_random_uuid(),
    owner_id  int NOT NULL CONSTRAINT ledger_owner REFERENCES owners DEFERRABLE,
    amount    cents NOT NULL,
    mood      mood DEFAULT 'good',
    doubled   bigint GENERATED ALWAYS AS (amount::bigint * 2) STORED,
    tags      text[] DEFAULT '{a}',
    "Body 1%" text COMPRESSION pglz,
    touched   timestamptz DEFAULT now(),
    CONSTRAINT ledger_pkey PRIMARY KEY (id) WITH (fillfactor = 71) USING INDEX TABLESPACE carried_space,
    CONSTRAINT ledger_both UNIQUE (region, id) WITH (fillfactor = 72) USING INDEX TABLESPACE carried_space,
    CONSTRAINT ledger_ref UNIQUE (ref),
    CONSTRAINT ledger_tags CHECK (cardinality(tags) < 5)
) WITH (fillfactor = 77, autovacuum_vacuum_scale_factor = 0.03, toast.autovacuum_enabled = false)
  TABLESPACE carried_space;
ALTER TABLE ledger DROP COLUMN gone;
-- NEWER
INSERT INTO ledger (region, owner_id, amount, "Body 1%")
SELECT (ARRAY['de', 'fr', 'us'])[1 + g % 3], 1 + g % 20, g, repeat('x', g) FROM generate_series(1, 200) g;

CREATE INDEX ledger_some ON ledger (lower(region) DESC NULLS LAST, owner_id) INCLUDE (amount)
    WITH (fillfactor = 73) TABLESPACE carried_space WHERE mood = 'good';
CREATE INDEX ledger_tagged ON ledger USING gin (tags) WITH (fastupdate = off);
CREATE UNIQUE INDEX ledger_number ON ledger (number, id, region);

ALTER TABLE ledger ALTER COLUMN region SET STATISTICS 321, ALTER COLUMN region SET STORAGE MAIN,
    ALTER COLUMN owner_id SET (n_distinct = 20, n_distinct_inherited = 21), ALTER "Body 1%" SET STORAGE EXTERNAL;

CREATE TRIGGER ledger_before BEFORE INSERT OR UPDATE OF amount ON ledger
    FOR EACH ROW WHEN (NEW.amount > 5) EXECUTE FUNCTION quietly('one', 'two');
CREATE CONSTRAINT TRIGGER ledger_later AFTER INSERT ON ledger DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION quietly();
CREATE TRIGGER ledger_off AFTER DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION quietly();
CREATE TRIGGER ledger_replica AFTER DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION quietly();
CREATE TRIGGER ledger_always AFTER DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION quietly();
CREATE TRIGGER ledger_statement AFTER UPDATE ON ledger REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION quietly();
ALTER TABLE ledger DISABLE TRIGGER ledger_off, ENABLE REPLICA TRIGGER ledger_replica,
    ENABLE ALWAYS TRIGGER ledger_always;

CREATE POLICY ledger_read ON ledger AS RESTRICTIVE FOR SELECT TO carried_reader, carried_newcomer USING (amount > 0);
CREATE POLICY ledger_all ON ledger USING (true) WITH CHECK (amount >= 0);
ALTER TABLE ledger ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger REPLICA IDENTITY FULL;

CREATE VIEW shown WITH (security_barrier = true, check_option = local) AS
    SELECT id, region, amount FROM ledger WHERE amount < 1000;
CREATE VIEW shown_again AS SELECT *, 1 AS one FROM shown;
CREATE MATERIALIZED VIEW shown_kept AS SELECT count(*) FROM shown;
CREATE RULE shown_rule AS ON DELETE TO shown DO INSTEAD NOTHING;

CREATE TABLE lines (id bigint, region text,
    CONSTRAINT lines_of FOREIGN KEY (region, id) REFERENCES ledger (region, id) ON UPDATE CASCADE);
INSERT INTO lines SELECT id, region FROM ledger LIMIT 10;

COMMENT ON TABLE ledger IS 'all of it';
COMMENT ON COLUMN ledger.amount IS 'in cents';
COMMENT ON CONSTRAINT ledger_pkey ON ledger IS 'one';
COMMENT ON CONSTRAINT ledger_both ON ledger IS 'two';
COMMENT ON CONSTRAINT ledger_tags ON ledger IS 'few';
COMMENT ON CONSTRAINT ledger_owner ON ledger IS 'whose';
COMMENT ON CONSTRAINT lines_of ON lines IS 'of what';
COMMENT ON INDEX ledger_some IS 'some';
COMMENT ON TRIGGER ledger_off ON ledger IS 'not now';
COMMENT ON POLICY ledger_all ON ledger IS 'everyone';
COMMENT ON VIEW shown IS 'for show';
COMMENT ON COLUMN shown.amount IS 'less';
COMMENT ON SEQUENCE ledger_id_seq IS 'counts ids';
COMMENT ON SEQUENCE ledger_number_seq IS 'counts numbers';

GRANT SELECT, INSERT ON ledger TO carried_reader;
GRANT UPDATE (amount) ON ledger TO carried_reader WITH GRANT OPTION;
GRANT REFERENCES (id) ON ledger TO PUBLIC;
GRANT USAGE ON SEQUENCE ledger_id_seq TO carried_reader;
GRANT SELECT ON SEQUENCE ledger_number_seq TO carried_reader;
GRANT SELECT ON shown TO PUBLIC;
ALTER TABLE ledger OWNER TO carried_owner;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO carried_newcomer;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO carried_newcomer;
CREATE PUBLICATION ledger_pub FOR TABLE ledger PUBLISHED
    WITH (publish = 'insert', publish_via_partition_root = true);
"""


def make_ledger(url: str) -> int:
    """Make the table `ledger`; the server's major version."""
    with psycopg.connect(url, autocommit=True) as connection:
        server = connection.info.server_version // 10_000
        connection.execute("SET allow_in_place_tablespaces = on")
        there = connection.execute("SELECT FROM pg_tablespace WHERE spcname = 'carried_space'").fetchone()
        if there is None:
            connection.execute("CREATE TABLESPACE carried_space LOCATION ''")
        text = SCHEMA.replace(
            "PUBLISHED", "(id, owner_id, region) WHERE (owner_id > 1)" if server >= 15 else ""
        )
        if server < 15:  # which would refuse it
            text = text.replace(" ON UPDATE CASCADE", "")
        if server >= 18:
            text = text.replace(
                "-- NEWER",
                "ALTER TABLE ledger ADD COLUMN seen bigint GENERATED ALWAYS AS (owner_id + 1) VIRTUAL;"
                "ALTER TABLE ledger ADD CONSTRAINT ledger_named NOT NULL mood;"
                "COMMENT ON CONSTRAINT ledger_named ON ledger IS 'some mood';",
            )
        connection.execute(text.encode())
    return server


def planned(
    url: str, recipe: Literal["copy", "attach"], method: str, options: Mapping[str, object]
) -> Conversion:
    return convert_table.plan_conversion(
        url, Wish(LEDGER, method, options, recipe, {"ledger_ref": "per-partition"}), NOW
    )


def acted(url: str, action: Literal["resume", "roll_back"], watcher: Watcher | None = None) -> Record:
    act = convert_table.resume if action == "resume" else convert_table.roll_back
    return act(
        url,
        LEDGER,
        observer=watcher or Watcher(),
        patience=Patience(budget=20.0),
        environment=Environment(now=lambda: NOW),
    )


def killed(
    url: str,
    recipe: str,
    method: str,
    options: Mapping[str, object],
    *,
    step: int,
    moment: Literal["begins", "ends"],
) -> bool:
    """Convert in a process that kills itself (SIGKILL) at `moment` of `step`; False where there is no such step."""
    done = python(
        _SUICIDE, *(url, recipe, method, json.dumps(options), str(step), moment),
        cwd=Path.cwd(), env=os.environ, path=TESTS, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def catalogs(url: str) -> Facts:
    """What hangs on the table, by kind and name."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = ''")
        rows = connection.execute(_TABLE, {"table": "public.ledger"}).fetchall()
    return {str(name): str(detail) for name, detail in rows}


def leaves(url: str) -> dict[str, Facts]:
    """What each of its partitions has of its own; before the table has any, what it has itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = ''")
        names = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid = 'public.ledger'::regclass UNION ALL"
            " SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'public.ledger'::regclass"
        ).fetchall()
        return {
            str(name): {
                str(kind): str(detail)
                for kind, detail in connection.execute(_LEAF, {"table": name}).fetchall()
            }
            for (name,) in names
        }


_ACL = """(SELECT string_agg(concat_ws(' ', coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC'), a.privilege_type,
    a.is_grantable), ', ' ORDER BY a.grantee::regrole::text, a.privilege_type) FROM aclexplode({}) AS a)"""

_FROM = """
  FROM t JOIN pg_attribute AS c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
  LEFT JOIN pg_attrdef AS d ON d.adrelid = t.oid AND d.adnum = c.attnum
"""

_TABLE = f"""
WITH t AS (SELECT * FROM pg_class WHERE oid = %(table)s::regclass)
SELECT 'column ' || c.attname, concat_ws(' | ', format_type(c.atttypid, c.atttypmod), c.attnotnull,
    c.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid), c.attidentity, c.attgenerated,
    nullif(c.attstattarget, -1), c.attoptions, c.attstorage, c.attcompression, {_ACL.format("c.attacl")},
    col_description(t.oid, c.attnum))
{_FROM}
UNION ALL
SELECT 'constraint ' || k.conname, concat_ws(' | ', k.contype, pg_get_constraintdef(k.oid), k.convalidated,
    obj_description(k.oid, 'pg_constraint'))
  FROM t JOIN pg_constraint AS k ON k.conrelid = t.oid
UNION ALL
SELECT 'inbound ' || k.conname, concat_ws(' | ', k.conrelid::regclass, pg_get_constraintdef(k.oid), k.convalidated,
    obj_description(k.oid, 'pg_constraint'))
  FROM t JOIN pg_constraint AS k ON k.confrelid = t.oid AND k.conparentid = 0
UNION ALL
SELECT 'index ' || x.relname, concat_ws(' | ', replace(pg_get_indexdef(x.oid), ' ON ONLY ', ' ON '), x.reloptions,
    s.spcname, i.indisvalid, obj_description(x.oid, 'pg_class'))
  FROM t JOIN pg_index AS i ON i.indrelid = t.oid JOIN pg_class AS x ON x.oid = i.indexrelid
  LEFT JOIN pg_tablespace AS s ON s.oid = x.reltablespace
UNION ALL
SELECT 'trigger ' || g.tgname, concat_ws(' | ', pg_get_triggerdef(g.oid), g.tgenabled,
    obj_description(g.oid, 'pg_trigger'))
  FROM t JOIN pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL
SELECT 'policy ' || p.policyname, concat_ws(' | ', p.permissive, p.roles, p.cmd, p.qual, p.with_check,
    (SELECT obj_description(o.oid, 'pg_policy') FROM pg_policy AS o
      WHERE o.polrelid = t.oid AND o.polname = p.policyname))
  FROM t JOIN pg_policies AS p ON p.schemaname = 'public' AND p.tablename = t.relname
UNION ALL
SELECT 'table', concat_ws(' | ', t.relowner::regrole, t.relrowsecurity, t.relforcerowsecurity,
    {_ACL.format("t.relacl")}, obj_description(t.oid, 'pg_class'))
  FROM t
UNION ALL
SELECT 'sequence ' || s.relname, concat_ws(' | ', c.attname, d.deptype, s.relowner::regrole, q.seqtypid::regtype,
    q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle, {_ACL.format("s.relacl")},
    obj_description(s.oid, 'pg_class'))
  FROM t JOIN pg_depend AS d ON d.refobjid = t.oid AND d.refobjsubid > 0 AND d.classid = 'pg_class'::regclass
  JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_sequence AS q ON q.seqrelid = s.oid
  JOIN pg_attribute AS c ON c.attrelid = t.oid AND c.attnum = d.refobjsubid
UNION ALL
SELECT 'view ' || v.relname, concat_ws(' | ', v.relkind, pg_get_viewdef(v.oid), v.relowner::regrole, v.reloptions,
    {_ACL.format("v.relacl")}, obj_description(v.oid, 'pg_class'), col_description(v.oid, 3::smallint),
    (SELECT count(*) FROM pg_rewrite AS r WHERE r.ev_class = v.oid))
  FROM pg_class AS v WHERE v.relname LIKE 'shown%%'
UNION ALL
SELECT 'publication ' || p.pubname, concat_ws(' | ', to_jsonb(v) -> 'attnames', to_jsonb(v) ->> 'rowfilter')
  FROM t JOIN pg_publication_rel AS r ON r.prrelid = t.oid JOIN pg_publication AS p ON p.oid = r.prpubid
  JOIN pg_publication_tables AS v ON v.pubname = p.pubname AND v.tablename = t.relname
"""

_LEAF = f"""
WITH t AS (SELECT * FROM pg_class WHERE oid = %(table)s::regclass)
SELECT 'column ' || c.attname, concat_ws(' | ', format_type(c.atttypid, c.atttypmod), c.attnotnull,
    c.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid), c.attgenerated,
    nullif(c.attstattarget, -1), c.attoptions, c.attstorage, c.attcompression)
{_FROM}
UNION ALL
SELECT 'storage', concat_ws(' | ', t.relpersistence,
    (SELECT array_agg(o ORDER BY o) FROM unnest(t.reloptions) AS o), x.reloptions, s.spcname, t.relreplident)
  FROM t LEFT JOIN pg_class AS x ON x.oid = t.reltoastrelid LEFT JOIN pg_tablespace AS s ON s.oid = t.reltablespace
UNION ALL
SELECT 'owner', t.relowner::regrole::text FROM t
UNION ALL
SELECT 'newcomer reads', has_table_privilege('carried_newcomer', t.oid, 'SELECT')::text FROM t
UNION ALL
SELECT 'index ' || string_agg(c.attname, ',' ORDER BY c.attnum), concat_ws(' | ', i.indisunique, i.indisvalid,
    x.reloptions, s.spcname)
  FROM t JOIN pg_index AS i ON i.indrelid = t.oid JOIN pg_class AS x ON x.oid = i.indexrelid
  LEFT JOIN pg_tablespace AS s ON s.oid = x.reltablespace JOIN pg_attribute AS c ON c.attrelid = x.oid
 GROUP BY i.indexrelid, i.indisunique, i.indisvalid, x.reloptions, s.spcname
UNION ALL
SELECT 'trigger ' || g.tgname, g.tgenabled::text FROM t JOIN pg_trigger AS g ON g.tgrelid = t.oid
 WHERE g.tgname LIKE 'ledger%%' AND g.tgtype & 1 <> 0
"""

_SUICIDE = """
import json, os, signal, sys
from support.carried import planned
from support.conversion import Watcher, converted
url, recipe, method, options, step, moment = sys.argv[1:]

class Killer(Watcher):
    def begins(self, track, step_now, number, total):
        self._check("begins", number)
    def ends(self, track, step_now, number, total, seconds):
        self._check("ends", number)
    def _check(self, now, number):
        if (now, number) == (moment, int(step)):
            os.kill(os.getpid(), signal.SIGKILL)

converted(url, planned(url, recipe, method, json.loads(options)), Killer())
"""

"""Every type that a b-tree can have: a table is walked by it, each row once, or is refused before anything begins."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from support.backfill import Quiet, fill, spec

from evolve.app.backfill_work import Pace
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.keyset import NoKey, UnusableKey
from evolve.backfill.shapes import Shape
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.errors import EvolveError
from evolve.postgres.backfill_target import read_target
from evolve.postgres.connect import connect
from evolve.postgres.pieces import key_values, keys_between
from evolve.postgres.walking import places_of

pytestmark = pytest.mark.server

ROWS = 60

TYPES = """
    CREATE TYPE mood AS ENUM ('sad', 'calm', 'glad');
    CREATE TYPE pair AS (a integer, b text);
    CREATE TYPE textrange AS RANGE (subtype = text);
    CREATE TYPE floatrange AS RANGE (subtype = float8);
    CREATE TYPE paired AS RANGE (subtype = pair);
    CREATE DOMAIN code AS varchar(9);
    CREATE DOMAIN finer AS code CHECK (VALUE <> 'x');
    CREATE DOMAIN many AS integer[];
    CREATE DOMAIN both_of AS pair;
    CREATE DOMAIN bounded AS int4range;
"""

# type of the key, and its values over g = 1..60
WALKED = {
    "bit(8)": "g::bit(8)",
    "bit varying(16)": "substring(g::bit(8)::varbit, 1 + g % 3) || g::bit(8)",
    "boolean": "g > 1",
    "bytea": "decode(md5(g::text), 'hex')",
    "character(12)": "'é ' || g",
    "character varying": "'%''\"\\' || g",
    "cidr": "('10.' || g || '.0.0/16')::cidr",
    "date": "CASE g WHEN 1 THEN '-infinity' WHEN 2 THEN '4713-01-01 BC' WHEN 60 THEN 'infinity'"
    " ELSE '2026-01-01'::date + g END",
    "real": "CASE g WHEN 1 THEN '-infinity' WHEN 2 THEN '1e-44' WHEN 60 THEN 'NaN' ELSE g / 7.0 END",
    "double precision": "CASE g WHEN 1 THEN '-1.7976931348623157e308' WHEN 2 THEN '5e-324' WHEN 60 THEN 'NaN'"
    " ELSE 0.1::float8 + g / 1e16 END",
    "inet": "('10.0.' || g || '.7/' || 16 + g % 9)::inet",
    "smallint": "-32769 + g",
    "integer": "g - 30",
    "bigint": "9223372036854775747 + g",
    "interval": "CASE g WHEN 1 THEN '-1 mon +2 days -03:00:00.000001' ELSE g * interval '1 mon 1.1 s' END",
    "macaddr": "('08:00:2b:01:02:' || to_hex(16 + g))::macaddr",
    "macaddr8": "('08:00:2b:01:02:03:04:' || to_hex(16 + g))::macaddr8",
    "name": "('n' || g)::name",
    "numeric": "CASE g WHEN 1 THEN '-Infinity' WHEN 60 THEN 'NaN' ELSE g / 7.0 END",
    "oid": "4294967200 + g",
    "text": "'\n' || g || E'\\u00e9'",
    "time without time zone": "CASE g WHEN 60 THEN '24:00' ELSE '12:00'::time + g * interval '1.1 s' END",
    "time with time zone": "('12:00:00.' || 10 + g || '-03:30:15')::timetz",
    "timestamp without time zone": "CASE g WHEN 1 THEN '-infinity' WHEN 2 THEN '4713-01-01 01:02:03.000001 BC'"
    " WHEN 59 THEN '294276-12-31 23:59:59.999999' WHEN 60 THEN 'infinity' ELSE '2026-01-01'::timestamp + g * interval"
    " '1.1 s' END",
    "timestamp with time zone": "CASE g WHEN 1 THEN '-infinity' WHEN 2 THEN '4713-01-02 01:02:03+00 BC'"
    " WHEN 3 THEN '1800-01-01 00:00:00+00' WHEN 60 THEN 'infinity' ELSE '2026-03-29 00:59:30+00'::timestamptz + g *"
    " interval '1.1 s' END",
    "tid": "('(' || g / 9 || ',' || 1 + g % 9 || ')')::tid",
    "uuid": "md5(g::text)::uuid",
    "pg_lsn": "('0/' || to_hex(g))::pg_lsn",
    "mood": "('{sad,calm,glad}'::mood[])[g]",
    "tsvector": "to_tsvector('simple', 'it''s \\ ' || g)",
    "tsquery": "('''a\\\\ b'' & !c:*A <2> ' || g)::tsquery",
    "xid8": "(18446744073709551000 + g)::text::xid8",
    "int4range": "CASE g WHEN 1 THEN 'empty' WHEN 2 THEN '(,)' ELSE int4range(g, g + 2) END",
    "int4multirange": "int4multirange(int4range(g, g + 2), int4range(g + 9, NULL))",
    "daterange": "daterange('2026-01-01'::date + g, NULL)",
    "tsrange": "tsrange('2026-01-01'::timestamp + g * interval '1.1 s', 'infinity')",
    "tstzrange": "tstzrange('2026-01-01Z'::timestamptz + g * interval '1.1 s', NULL, '[]')",
    "numrange": "numrange(g / 7.0, NULL)",
    "textrange": "textrange('a,\"' || g, NULL)",
    "floatrange": "floatrange(g / 7.0, 'NaN')",
    "code": "'c' || g",
    "finer": "'c' || g",
    "bounded": "int4range(g, NULL)",
}

# type of the key, its values, and why not
REFUSED = {
    "integer[]": ("ARRAY[g]", "an array does not read back"),
    "text[]": ("ARRAY['a', g::text]", "an array does not read back"),
    "many": ("ARRAY[g]", "an array does not read back"),
    "oidvector": ("g::text::oidvector", "an array does not read back"),
    "pair": ("ROW(g, 'b')::pair", "a row of its own"),
    "both_of": ("ROW(g, 'b')::pair", "a row of its own"),
    "paired": ("paired(ROW(g, 'b')::pair, NULL)", "a range of a type that PostgreSQL does not bring along"),
    "jsonb": ("to_jsonb(g::text)", "it does not read back"),
    '"char"': ('chr(32 + g)::"char"', "PostgreSQL cannot plan for it"),
    "money": ("g::money", "lc_monetary"),
    "regclass": ("g::oid::regclass", "search_path"),
}

# as pg_opclass spells the classes of polymorphic types
POLYMORPHIC = {
    "anyarray": "integer[]",
    "anyenum": "mood",
    "anyrange": "int4range",
    "anymultirange": "int4multirange",
}


def test_each_type_of_a_b_tree_has_its_line_here(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT opcintype::regtype::text FROM pg_opclass JOIN pg_am a ON a.oid = opcmethod"
            " WHERE amname = 'btree' AND opcdefault AND opcintype <> 'record'::regtype"
        ).fetchall()
    known = {kind.partition("(")[0] for kind in (*WALKED, *REFUSED)}
    assert {POLYMORPHIC.get(kind, kind) for (kind,) in found} <= known


def table(connection: psycopg.Connection, kind: str, values: str) -> str:
    name = "t_" + "".join(letter if letter.isalnum() else "_" for letter in kind)
    rows = {"boolean": 2, "mood": 3}.get(kind, ROWS)
    connection.execute(
        f"CREATE TABLE {name} (k {kind} PRIMARY KEY, n integer NOT NULL DEFAULT 0, note text)".encode()
    )
    connection.execute(
        f"INSERT INTO {name} SELECT {values}, 0, md5(g::text) FROM generate_series(1, {rows}) g".encode()
    )
    connection.execute(f"CREATE INDEX ON {name} (note)".encode())
    connection.execute(f"ANALYZE {name}".encode())
    return name


def test_the_ranges_of_a_run_meet_each_row_once(database_url: str) -> None:
    found = {}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TYPES)
        for kind, values in WALKED.items():
            name = table(connection, kind, values)
            with connect(database_url) as reading:
                reading.autocommit = True
                try:
                    target = read_target(reading, spec(name, "n", "n + 1"))
                    met = 0
                    for stretch in places_of(reading, target, 7):
                        between = keys_between(target.key, opening=stretch.first is not None)
                        low = key_values("first", stretch.first) or key_values("after", stretch.low)
                        row = reading.execute(
                            sql.SQL("SELECT count(*) FROM {} WHERE {}").format(sql.Identifier(name), between),
                            {**low, **key_values("upto", stretch.upto)},
                        ).fetchone()
                        met += int(str(row and row[0]))
                    row = connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
                    found[kind] = met - int(row[0] if row else 0)
                except (psycopg.Error, EvolveError) as error:
                    found[kind] = str(error)
    assert {kind: wrong for kind, wrong in found.items() if wrong} == {}


@pytest.mark.long
def test_each_row_is_written_once_and_has_its_old_value_back(database_url: str) -> None:
    found = {}
    pace = Pace(largest=7, shapes=(Shape(5, touch=True),))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TYPES)
        for kind, values in WALKED.items():
            name = table(connection, kind, values)
            everywhere = f"SELECT min(n), max(n) FROM {name}".encode()
            try:
                done = fill(
                    database_url, spec(name, "n", "n + 1"), pace=pace, undo_journal_mode=JournalMode.ON
                )
                once = connection.execute(everywhere).fetchone()
                back = undo_backfill(database_url, f"{name}.n", pace=pace, stop=Quiet(), watch=Quiet())
                found[kind] = (done.state, once, back.state, connection.execute(everywhere).fetchone())
            except EvolveError as error:
                found[kind] = str(error)
    good = (State.DONE, (1, 1), State.UNDONE, (0, 0))
    assert {kind: wrong for kind, wrong in found.items() if wrong != good} == {}


def test_what_does_not_read_back_is_refused_with_its_name_and_a_way_out(database_url: str) -> None:
    found = {}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TYPES)
        for kind, (values, reason) in REFUSED.items():
            name = table(connection, kind, values)
            with pytest.raises(NoKey) as refused:
                fill(database_url, spec(name, "n", "n + 1"))
            found[kind] = reason in (refused.value.why or "") and '"k" is of type' in (
                refused.value.why or ""
            )
            assert "--key ctid" in (refused.value.fix or "")
        assert connection.execute("SELECT to_regnamespace('evolve')").fetchone() == (None,)
    assert found == dict.fromkeys(REFUSED, True)


INDEXES = {
    "mixed": ("CREATE UNIQUE INDEX u ON t (a, b DESC)", "its columns do not all rise"),
    "nulls first": ("CREATE UNIQUE INDEX u ON t (a NULLS FIRST)", "its columns do not all rise"),
    "an operator class": ("CREATE UNIQUE INDEX u ON t (c text_pattern_ops)", "its operator class"),
    "a collation": ('CREATE UNIQUE INDEX u ON t (c COLLATE "C")', "its collation"),
    "some rows": ("CREATE UNIQUE INDEX u ON t (a) WHERE n = 0", "its WHERE"),
    "an expression": ("CREATE UNIQUE INDEX u ON t ((a + b))", "over an expression"),
    "half built": (
        "CREATE UNIQUE INDEX u ON t (a); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'u'::regclass",
        "it is not valid",
    ),
    "not ready": (
        "CREATE UNIQUE INDEX u ON t (a);"
        " UPDATE pg_index SET indisvalid = false, indisready = false WHERE indexrelid = 'u'::regclass",
        "it is not valid",
    ),
}


@pytest.mark.parametrize("kind", sorted(INDEXES))
def test_an_index_that_will_not_do_is_named_with_the_reason(database_url: str, kind: str) -> None:
    text, reason = INDEXES[kind]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a int NOT NULL, b int NOT NULL, c text NOT NULL, n int)")
        connection.execute(text.encode())
    with pytest.raises(NoKey, match=f'not by "u".*{reason}'):
        fill(database_url, spec("t", "n", "0"))


def test_a_key_that_was_asked_for_says_why_not_and_which_will(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY, a int[] NOT NULL UNIQUE, n int)")
    with pytest.raises(UnusableKey, match=r'"a" is of type integer.*an array') as refused:
        fill(database_url, spec("t", "n", "0", key=("a",)))
    assert refused.value.fix == "use --key id"


def test_a_not_null_that_was_not_validated_is_none(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        if connection.info.server_version < 180_000:
            pytest.skip("before 18 a NOT NULL is always validated")
        connection.execute("CREATE TABLE t (a int UNIQUE, n int); INSERT INTO t VALUES (NULL, 0), (1, 0)")
        connection.execute("ALTER TABLE t ADD CONSTRAINT a_set NOT NULL a NOT VALID")
        with pytest.raises(NoKey, match="a column of it may be null"):
            fill(database_url, spec("t", "n", "1"))
        connection.execute("DELETE FROM t WHERE a IS NULL; ALTER TABLE t VALIDATE CONSTRAINT a_set")
    assert fill(database_url, spec("t", "n", "1")).rows == 1


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("float8", "extra_float_digits=0"),
        ("interval", "intervalstyle=sql_standard"),
        ("daterange", "datestyle=SQL"),
    ],
)
def test_a_key_whose_spelling_a_setting_changes_is_refused_under_that_setting(
    database_url: str, kind: str, setting: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE t (k {kind} PRIMARY KEY, n int)".encode())
    url = make_conninfo(database_url, options=f"-c {setting}")
    with pytest.raises(NoKey, match="set it"):
        fill(url, spec("t", "n", "1"))

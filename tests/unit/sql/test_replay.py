"""What replay makes of a schema, where no server is needed to know the answer."""

from __future__ import annotations

import time

import pytest

from evolve.sql import operations as op
from evolve.sql.bound_proof import excludes_bound, implies_bound
from evolve.sql.default_names import object_name
from evolve.sql.differences import differences
from evolve.sql.names import QualifiedName as N
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema, Table


def replay(*statements: str) -> Schema:
    schema = Schema()
    for sql in statements:
        for operation in parse(sql):
            apply(schema, operation)
    return schema


def table(schema: Schema, name: str = "t") -> Table:
    found = schema.table(N(name))
    assert found is not None
    return found


def test_a_table_that_nobody_made_is_implied_and_learns_from_what_names_it() -> None:
    found = table(
        replay("ALTER TABLE t ADD COLUMN a int", "ALTER TABLE t ALTER b TYPE text, ALTER c SET NOT NULL")
    )
    assert found.implied
    assert [(c.name, c.type, c.not_null) for c in found.columns] == [
        ("a", "integer", False),
        ("b", "text", False),
        ("c", "", True),
    ]


@pytest.mark.parametrize(
    "sql",
    ["INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "TRUNCATE t", "COPY t FROM STDIN"],
)
def test_a_change_of_rows_shows_that_a_table_exists(sql: str) -> None:
    assert table(replay(sql)).implied


def test_creating_an_implied_table_makes_it_known() -> None:
    assert not table(replay("UPDATE t SET a = 1", "CREATE TABLE t (a int)")).implied


def test_creating_a_table_twice_keeps_the_first() -> None:
    schema = replay("CREATE TABLE t (a int)", "CREATE TABLE IF NOT EXISTS t (b int)")
    assert [c.name for c in table(schema).columns] == ["a"]


def test_a_temporary_table_hides_one_of_public() -> None:
    schema = replay("CREATE TABLE t (a int)", "CREATE TEMP TABLE t (b int)", "ALTER TABLE t ADD c int")
    assert [c.name for c in table(schema).columns] == ["a"]
    hidden = schema.table(N("t", "pg_temp"))
    assert hidden is not None
    assert [c.name for c in hidden.columns] == ["b", "c"]


def test_a_dropped_table_takes_what_leans_on_it() -> None:
    schema = replay(
        "CREATE TABLE t (id serial PRIMARY KEY)",
        "CREATE TABLE u (t_id int REFERENCES t)",
        "CREATE VIEW v AS SELECT id FROM t",
        "CREATE VIEW w AS SELECT id FROM v",
        "DROP TABLE t CASCADE",
    )
    assert set(schema.tables) == {N("u")}
    assert (schema.indexes, schema.views, schema.sequences) == ({}, {}, {})
    assert table(schema, "u").constraints == ()


def test_a_rename_is_followed_everywhere() -> None:
    schema = replay(
        "CREATE TYPE mood AS ENUM ('a')",
        "CREATE TABLE t (id serial PRIMARY KEY, m mood DEFAULT 'a'::mood CHECK (m <> 'b'))",
        "CREATE TABLE u (t_id int REFERENCES t)",
        "CREATE INDEX ON t (lower(m::text))",
        "CREATE VIEW v AS SELECT m FROM t",
        "ALTER TABLE t RENAME TO t2",
        "ALTER TABLE t2 RENAME m TO feeling",
        "ALTER TYPE mood RENAME TO state",
    )
    found = table(schema, "t2")
    assert [(c.name, c.type, c.default.sql if c.default else None) for c in found.columns] == [
        ("id", "integer", "nextval('t_id_seq'::regclass)"),
        ("feeling", "state", "'a'::state"),
    ]
    check = found.constraint("t_m_check")
    assert isinstance(check, op.Check)
    assert check.expression.sql == "feeling <> 'b'"
    assert [key.target for key in table(schema, "u").foreign_keys] == [N("t2")]
    assert schema.indexes[N("t_lower_idx")].definition.keys[0].expression == op.Expression(
        "lower(feeling::text)", ("lower",), ("feeling",)
    )
    assert schema.views[N("v")].uses == {(N("t2"), "feeling")}
    assert schema.sequences[N("t_id_seq")].owned_by == (N("t2"), "id")


def test_a_renamed_value_is_followed_where_it_is_of_the_enum() -> None:
    schema = replay(
        "CREATE TYPE mood AS ENUM ('a', 'b')",
        "CREATE TABLE t (m mood DEFAULT 'a' CHECK (m IN ('a', 'b')), x text DEFAULT 'a', y text DEFAULT 'a'::mood)",
        "CREATE INDEX i ON t (m) WHERE m = 'a' AND x = 'a'",
        "ALTER TYPE mood RENAME VALUE 'a' TO 'z'",
    )
    found = table(schema)
    assert [c.default.sql if c.default else None for c in found.columns] == ["'z'", "'a'", "'z'::mood"]
    check = found.constraint("t_m_check")
    assert isinstance(check, op.Check)
    assert check.expression.sql == "m IN ('z', 'b')"
    where = schema.indexes[N("i")].definition.where
    assert where is not None
    assert where.sql == "m = 'z' AND x = 'a'"


def test_a_partition_key_with_an_odd_name_is_renamed() -> None:
    schema = replay(
        'CREATE TABLE t ("My Key" int, "select" int) PARTITION BY RANGE ("My Key", ("select" + 1))',
        'ALTER TABLE t RENAME "My Key" TO k',
        'ALTER TABLE t RENAME "select" TO s',
    )
    assert table(schema).partition_by == op.PartitionBy("range", ("k", "s + 1"))


def test_a_dropped_constraint_gives_no_proof() -> None:
    schema = replay("CREATE TABLE t (a int, CONSTRAINT c CHECK (a IS NOT NULL))")
    assert schema.proves_not_null(N("t"), "a")
    apply(schema, op.DropConstraint(N("t"), "c"))
    assert not schema.proves_not_null(N("t"), "a")


def test_a_check_proves_once_it_is_validated() -> None:
    schema = replay(
        "CREATE TABLE t (a int)", "ALTER TABLE t ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID"
    )
    assert not schema.proves_not_null(N("t"), "a")
    apply(schema, op.ValidateConstraint(N("t"), "c"))
    assert schema.proves_not_null(N("t"), "a")


def test_a_not_null_constraint_of_18_proves_once_it_is_validated() -> None:
    schema = replay("CREATE TABLE t (a int)", "ALTER TABLE t ADD CONSTRAINT c NOT NULL a NOT VALID")
    assert not schema.proves_not_null(N("t"), "a")
    apply(schema, op.ValidateConstraint(N("t"), "c"))
    assert schema.proves_not_null(N("t"), "a")
    apply(schema, op.DropConstraint(N("t"), "c"))
    assert not schema.proves_not_null(N("t"), "a")


def test_a_copy_is_not_changed_with_its_origin() -> None:
    schema = replay("CREATE TABLE t (a int)")
    copy = schema.copy()
    apply(schema, op.DropTable(N("t")))
    assert list(copy.tables) == [N("t")]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE nowhere RENAME TO somewhere",
        "ALTER INDEX nowhere RENAME TO somewhere",
        "ALTER INDEX nowhere ATTACH PARTITION elsewhere",
        "ALTER TABLE nowhere DETACH PARTITION elsewhere",
        "ALTER TABLE nowhere ATTACH PARTITION elsewhere DEFAULT",
        "ALTER TABLE nowhere ADD UNIQUE USING INDEX elsewhere",
        "ALTER TABLE nowhere ADD CHECK (a > 0), ADD PRIMARY KEY (a), ADD FOREIGN KEY (a) REFERENCES elsewhere",
        "ALTER TABLE nowhere VALIDATE CONSTRAINT c, DROP CONSTRAINT d, DROP COLUMN e",
        "ALTER TYPE nowhere ADD VALUE 'x'",
        "ALTER DOMAIN nowhere SET NOT NULL",
        "ALTER SEQUENCE nowhere AS int",
        "DROP TABLE nowhere; DROP INDEX nowhere; DROP VIEW nowhere; DROP TYPE nowhere; DROP SCHEMA nowhere",
        "CREATE TABLE t PARTITION OF nowhere DEFAULT",
        "CREATE TABLE t (LIKE nowhere INCLUDING ALL)",
        "CREATE TABLE t () INHERITS (nowhere)",
        "CREATE INDEX ON nowhere (a)",
        "CREATE VIEW v AS SELECT * FROM nowhere",
        "CREATE TRIGGER x AFTER INSERT ON nowhere FOR EACH ROW EXECUTE FUNCTION f()",
        "DROP TRIGGER x ON nowhere",
        "REINDEX TABLE nowhere",
        "SELEC 1",
    ],
)
def test_what_is_unknown_or_refused_never_raises(sql: str) -> None:
    replay(sql)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("t", "a", "key"), "t_a_key"),
        (("t", None, "pkey"), "t_pkey"),
        (("t" * 63, None, "pkey"), "t" * 58 + "_pkey"),
        (("t" * 63, "c" * 63, "key"), "t" * 29 + "_" + "c" * 29 + "_key"),
        (("t" * 10, "c" * 63, "key"), "t" * 10 + "_" + "c" * 48 + "_key"),
        (("ä" * 31, None, "pkey"), "ä" * 29 + "_pkey"),
    ],
)
def test_long_names_are_cut_from_the_longer_part(parts: tuple[str, str | None, str], name: str) -> None:
    assert object_name(*parts) == name


PARENT = "CREATE TABLE p (k date NOT NULL) PARTITION BY RANGE (k)"


@pytest.mark.parametrize(
    ("check", "implied"),
    [
        ("k >= '2024-01-01' AND k < '2025-01-01'", True),
        ("(k >= '2024-01-01'::date) AND (k < '2025-01-01'::date) AND k IS NOT NULL", True),
        ("k >= '2024-01-01'", False),
        ("k >= '2023-01-01' AND k < '2025-01-01'", False),
        ("k >= '2024-01-01' OR k < '2025-01-01'", False),
    ],
)
def test_a_check_that_says_the_bound_spares_the_scan(check: str, *, implied: bool) -> None:
    schema = replay(PARENT, f"CREATE TABLE t (k date NOT NULL, CHECK ({check}))")
    bound = "FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')"
    assert implies_bound(table(schema), table(schema, "p"), bound) is implied


def test_differences_name_what_differs() -> None:
    one = replay("CREATE TABLE t (a int, b text)", "CREATE INDEX i ON t (a)", "CREATE TABLE u ()")
    other = replay("CREATE TABLE t (a bigint, b text CHECK (b <> ''))", "CREATE TYPE m AS ENUM ('x')")
    assert list(differences(one, other)) == [
        "column t.a: type is bigint, expected integer",
        'constraint "t_b_check" of t is not expected',
        "table u is missing",
        "index i is missing",
        "enum m is not expected",
    ]


def test_differences_of_columns() -> None:
    one = replay("CREATE TABLE t (a int, b text, c text DEFAULT 'x' NOT NULL)")
    other = replay("CREATE TABLE t (d text, c text, b text)")
    assert list(differences(one, other)) == [
        "column t.a is missing",
        "column t.d is not expected",
        "table t has the columns c, b, expected b, c",
        "column t.c: not null is no, expected yes; default is none, expected 'x'",
    ]


def test_the_order_of_columns_need_not_count() -> None:
    one, other = replay("CREATE TABLE t (a int, b text)"), replay("CREATE TABLE t (b text, a int)")
    assert differences(one, other, ordered=False) == ()


def test_a_long_history_is_replayed_fast() -> None:
    start = time.perf_counter()
    schema = replay(
        *(
            sql
            for number in range(500)
            for sql in (
                f"CREATE TABLE t{number} (id SERIAL, name VARCHAR(9) NOT NULL, up int REFERENCES t{max(number - 1, 0)}"
                " (id), PRIMARY KEY (id), UNIQUE (name))",
                f"ALTER TABLE t{number} ADD COLUMN note TEXT DEFAULT 'x'",
                f"CREATE INDEX ix_{number} ON t{number} (name, lower(note))",
                f"ALTER TABLE t{number} ADD CHECK (length(name) > {number})",
            )
        )
    )
    assert len(schema.tables) == 500
    assert time.perf_counter() - start < 3.0


def test_a_publication_follows_its_tables_and_columns() -> None:
    schema = replay(
        "CREATE TABLE a (x int, y int)",
        "CREATE PUBLICATION p FOR TABLE a (x) WHERE (x > 0)",
        "ALTER TABLE a RENAME x TO z",
        "ALTER TABLE a RENAME TO t",
    )
    assert [
        (p.publication, p.columns, p.row_filter and p.row_filter.sql) for p in table(schema).published
    ] == [("p", ("z",), "z > 0")]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("CREATE PUBLICATION p FOR TABLE t",), ["p"]),
        (("CREATE PUBLICATION p FOR ALL TABLES",), ["p"]),
        (("CREATE PUBLICATION p FOR TABLES IN SCHEMA public",), ["p"]),
        (("CREATE PUBLICATION p FOR TABLES IN SCHEMA other",), []),
        (("CREATE PUBLICATION p", "ALTER PUBLICATION p ADD TABLE t"), ["p"]),
        (("CREATE PUBLICATION p FOR TABLE t", "ALTER PUBLICATION p SET TABLE u"), []),
        (("CREATE PUBLICATION p FOR TABLE t", "ALTER PUBLICATION p DROP TABLE t"), []),
        (("CREATE PUBLICATION p FOR TABLE t", "DROP PUBLICATION p"), []),
        (("CREATE PUBLICATION p FOR ALL TABLES", "DROP PUBLICATION p"), []),
    ],
)
def test_publications_of_a_table(statements: tuple[str, ...], expected: list[str]) -> None:
    schema = replay("CREATE TABLE t (a int)", "CREATE TABLE u (a int)", *statements)
    assert [published.publication for published in schema.publications_of(N("t"))] == expected


def test_a_partition_is_published_with_its_parent() -> None:
    schema = replay(
        "CREATE TABLE t (a int) PARTITION BY LIST (a)",
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1)",
        "CREATE PUBLICATION p FOR TABLE t",
    )
    assert [published.publication for published in schema.publications_of(N("t_1"))] == ["p"]


@pytest.mark.parametrize(
    ("call", "manager"),
    [
        ("SELECT partman.create_parent(p_parent_table := 'public.t', p_control := 'a')", "pg_partman"),
        ("SELECT create_hypertable('t', 'a')", "TimescaleDB"),
        ("SELECT create_hypertable('t', by_range('a'))", "TimescaleDB"),
        ("SELECT create_distributed_table('t', 'a')", "Citus"),
        ("SELECT count(*) FROM t WHERE b = 't'", None),
    ],
)
def test_a_table_is_handed_over_by_a_call(call: str, manager: str | None) -> None:
    assert table(replay("CREATE TABLE t (a int)", call)).managed_by == manager


@pytest.mark.parametrize(
    ("condition", "excluded"),
    [
        ("a < 5 OR a >= 9", True),
        ("a >= 9 OR a < 5 OR a IS NULL", True),
        ("NOT (a >= 5 AND a < 9)", True),
        ("b > 0 AND a < 5", True),
        ("a < 6 OR a >= 9", False),
        ("a < 5 OR b >= 9", False),
        ("a < 5 OR a >= 9 OR b > 0", False),
        ("a IS NULL OR b > 0", False),
        ("a IN (1, 4, 9)", True),
        ("a = 9", True),
        ("a IN (1, 5)", False),
        ("b IN (1, 4)", False),
        ("a IN (1, length('four'))", False),
    ],
)
def test_a_check_keeps_the_keys_of_a_bound_out_of_the_default(condition: str, excluded: bool) -> None:
    schema = replay(
        "CREATE TABLE p (a int, b int) PARTITION BY RANGE (a)",
        "CREATE TABLE t PARTITION OF p DEFAULT",
        f"ALTER TABLE t ADD CHECK ({condition})",
    )
    bound = "FOR VALUES FROM (5) TO (9)"
    assert excludes_bound(table(schema), table(schema, "p"), bound) is excluded

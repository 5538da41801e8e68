"""What looks like a hazard and is none, since the history tells."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.engine import check
from evolve.lint.rules import DEFAULT
from evolve.sql.steps import Mark

TABLE = "CREATE TABLE t (id bigserial PRIMARY KEY, a text)"


def found(*statements: str) -> list[str]:
    """The names of what is found in the last of `statements`; those before it make all that there is."""
    *before, last = statements
    history = [recording(f"r{number}", sql) for number, sql in enumerate(before)]
    result = check([*history, recording("r", last)], DEFAULT, judged={"r"})
    return names(list(result.findings))


# -- functions as defaults --------------------------------------------------------------------------------------------
def made(volatility: str, name: str = "f") -> str:
    return (
        f"CREATE FUNCTION {name}() RETURNS text LANGUAGE plpgsql {volatility} AS $$ BEGIN RETURN 'x'; END $$"
    )


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((made("IMMUTABLE"), "ALTER TABLE t ADD COLUMN c text DEFAULT f()"), []),
        ((made("STABLE", "s.f"), "ALTER TABLE t ADD COLUMN c text DEFAULT s.f()"), []),
        ((made(""), "ALTER FUNCTION f() STABLE", "ALTER TABLE t ADD COLUMN c text DEFAULT f()"), []),
        ((made("STABLE"), "ALTER TABLE t ADD COLUMN c text DEFAULT lower(f())"), []),
        ((made(""), "ALTER TABLE t ADD COLUMN c text DEFAULT f()"), ["add-column-volatile-default"]),
        ((made("VOLATILE"), "ALTER TABLE t ADD COLUMN c text DEFAULT f()"), ["add-column-volatile-default"]),
        (
            (made("STABLE"), "ALTER FUNCTION f() VOLATILE", "ALTER TABLE t ADD COLUMN c text DEFAULT f()"),
            ["add-column-volatile-default"],
        ),
        (
            (made("STABLE", "s.f"), "ALTER TABLE t ADD COLUMN c text DEFAULT f()"),
            ["add-column-volatile-default"],
        ),
    ],
)
def test_function_is_as_volatile_as_it_is_declared(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found("CREATE SCHEMA s", TABLE, *statements) == expected


# -- access methods ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((TABLE, "ALTER TABLE t SET ACCESS METHOD heap"), []),
        ((TABLE, "ALTER TABLE t SET ACCESS METHOD DEFAULT"), []),
        ((TABLE, "ALTER TABLE t SET ACCESS METHOD columnar"), ["set-access-method"]),
        (("CREATE TABLE t (a text) USING columnar", "ALTER TABLE t SET ACCESS METHOD columnar"), []),
        (
            ("CREATE TABLE t (a text) USING columnar", "ALTER TABLE t SET ACCESS METHOD heap"),
            ["set-access-method"],
        ),
        (
            (TABLE, "ALTER TABLE t SET ACCESS METHOD columnar", "ALTER TABLE t SET ACCESS METHOD heap"),
            ["set-access-method"],
        ),
        # Nobody knows how it was made.
        (("ALTER TABLE t SET ACCESS METHOD heap",), ["set-access-method"]),
    ],
)
def test_table_is_written_anew_for_another_access_method(
    statements: tuple[str, ...], expected: list[str]
) -> None:
    assert found(*statements) == expected


# -- names ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        ("CREATE INDEX x ON t (a)", []),
        ("CREATE VIEW x AS SELECT a FROM t", ["rename-object"]),
        ("CREATE MATERIALIZED VIEW x AS SELECT a FROM t", ["rename-object"]),
        ("CREATE SEQUENCE x", ["rename-object"]),
        ("CREATE TABLE x (a text)", ["rename-table"]),
    ],
)
def test_alter_table_renames_what_is_no_table(make: str, expected: list[str]) -> None:
    assert found(TABLE, make, "ALTER TABLE x RENAME TO y") == expected


# -- sequences --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO t (id, a) VALUES (0, 'nobody')", []),
        ("INSERT INTO t (id, a) VALUES (-1, 'a'), (0, 'b')", []),
        ("INSERT INTO t (id, a) SELECT 0, 'a' WHERE NOT EXISTS (SELECT FROM t WHERE id = 0)", []),
        ("INSERT INTO t (id, a) VALUES (0, 'a'), (1, 'b')", ["sequence-not-reset"]),
        ("INSERT INTO t (id, a) VALUES (0, 'a'), (length('b'), 'b')", ["sequence-not-reset"]),
        ("INSERT INTO t (a, id) VALUES ('0', 7)", ["sequence-not-reset"]),
        ("INSERT INTO t (id, a) SELECT 1, 'a'", ["sequence-not-reset"]),
        ("INSERT INTO t (id, a) SELECT 0, 'a' UNION SELECT 1, 'b'", ["sequence-not-reset"]),
    ],
)
def test_sequence_never_gives_numbers_below_one(sql: str, expected: list[str]) -> None:
    told = [name for name in found(TABLE, sql) if name == "sequence-not-reset"]

    assert told == expected


# -- defaults of enums ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("asks", "expected"), [(3, 0), (1, 1)])
def test_default_is_left_to_whoever_asks_the_catalog_for_it(asks: int, expected: int) -> None:
    findings = judge(
        recording(
            "r",
            "ALTER TYPE status RENAME TO status_old",
            "CREATE TYPE status AS ENUM ('new', 'paid', 'sent')",
            "ALTER TABLE orders ALTER status TYPE status USING status::text::status",
            "DROP TYPE status_old",
            remarks=((Mark.READ_CATALOG, asks),),
        )
    )

    assert names(findings).count("alter-type-default-stays") == expected


# -- IF EXISTS --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sql", ["DROP TABLE IF EXISTS x", "ALTER TABLE IF EXISTS x RENAME TO y"])
@pytest.mark.parametrize(
    ("before", "silent"),
    [
        ((TABLE,), True),
        ((TABLE, "CREATE TEMPORARY TABLE p AS SELECT * FROM t"), True),
        ((TABLE, "CREATE TABLE x (a text)"), False),
        ((TABLE, "CREATE SCHEMA s", "CREATE TABLE s.x (a text)"), False),
        # Nothing tells that the history starts from empty, or all that it made.
        ((), False),
        ((TABLE, "ALTER TABLE older ADD COLUMN a text"), False),
        ((TABLE, "SELECT make_tables()"), False),
        ((TABLE, "DO $$ BEGIN EXECUTE current_setting('my.sql'); END $$"), False),
        ((TABLE, "CREATE TABEL x (a text)"), False),
    ],
)
def test_table_that_nobody_made_is_not_there(sql: str, before: tuple[str, ...], silent: bool) -> None:
    alarms = {"drop-table", "rename-table"} & set(found(*before, sql))

    assert (not alarms) is silent


@pytest.mark.parametrize("mark", [Mark.RAISED, Mark.UNREACHED, Mark.UNKNOWN_OPERATION])
def test_revision_that_was_not_read_whole_may_have_made_the_table(mark: Mark) -> None:
    history = [recording("first", TABLE, remarks=((mark, 1),)), recording("r", "DROP TABLE IF EXISTS x")]

    findings = check(history, DEFAULT, judged={"r"}).findings

    assert names(list(findings)) == ["drop-table"]


def test_table_without_if_exists_is_told_of() -> None:
    assert found(TABLE, "DROP TABLE x") == ["drop-table"]


# -- what a module that could not be imported leaves in a statement ---------------------------------------------------
@pytest.mark.parametrize(
    ("default", "expected"), [("'stub'", []), ("'seven'", ["default-unfit"])], ids=["stands in", "known"]
)
def test_a_default_that_only_the_application_knows_is_not_called_unfit(
    default: str, expected: list[str]
) -> None:
    assert found(TABLE, f"ALTER TABLE t ADD COLUMN c integer DEFAULT {default}") == expected


# -- foreign keys of two widths ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("column", "key", "expected"),
    [
        ("bigint", "integer", []),
        ("integer", "smallint", []),
        ("integer", "bigint", ["fk-type-mismatch"]),
        ("numeric", "integer", ["fk-type-mismatch"]),
    ],
)
def test_a_column_wider_than_the_key_it_points_at(column: str, key: str, expected: list[str]) -> None:
    before = (
        f"CREATE TABLE p (id {key} PRIMARY KEY)",
        f"CREATE TABLE c (p {column})",
        "CREATE INDEX i ON c (p)",
    )

    assert found(*before, "ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p NOT VALID") == expected


# -- a text that lacks what only rows or the application have ---------------------------------------------------------
@pytest.mark.parametrize(
    ("sql", "blamed"),
    [("DELETE FROM t WHERE id IN ()", "rows"), ("DELETE FRM t", "the grammar of PostgreSQL")],
)
def test_what_an_unread_statement_is_blamed_on(sql: str, blamed: str) -> None:
    (found,) = (finding for finding in judge(recording("r", sql)) if finding.name == "unread-statement")

    assert blamed in found.why

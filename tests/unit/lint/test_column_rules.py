"""What the rules about columns find, and above all what they leave alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.recordings import judge, names, recording

from evolve.lint.model import Finding
from evolve.lint.rules import columns
from evolve.sql.steps import Recording

RULES = tuple(sorted(columns.RULES, key=lambda rule: rule.id))
DEFAULT = tuple(rule for rule in RULES if not rule.opt_in)


def judged(*recordings: Recording, version: int = 15, everything: bool = False) -> list[Finding]:
    """What the rules about columns find; those that are opt-in where `everything` is asked."""
    return judge(*recordings, rules=RULES if everything else DEFAULT, version=version)


def found(*statements: str, version: int = 15) -> list[str]:
    return names(judged(recording("r", *statements), version=version))


# -- words of newer servers -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sql", "since"),
    [
        ("ALTER TABLE orders ADD CONSTRAINT c NOT NULL email NOT VALID", 18),
        ("ALTER TABLE orders ADD COLUMN c integer GENERATED ALWAYS AS (1) VIRTUAL", 18),
        ("CREATE TABLE t (a integer, c integer GENERATED ALWAYS AS (a) VIRTUAL)", 18),
        ("CREATE TABLE t (a integer); ALTER TABLE t ALTER a SET EXPRESSION AS (2)", 17),
    ],
)
def test_words_that_an_older_server_does_not_know(sql: str, since: int) -> None:
    assert (found(sql, version=since - 1), found(sql, version=since)) == (["needs-newer-postgres"], [])


def test_not_null_as_a_constraint_reads_every_row_where_it_exists() -> None:
    assert found("ALTER TABLE orders ADD CONSTRAINT c NOT NULL email", version=18) == ["set-not-null-scan"]


# -- changes of type ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("ALTER TABLE orders ALTER total TYPE numeric(10,3)", "fails at the first value that is greater"),
        ("ALTER TABLE orders ALTER total TYPE numeric(8,2)", "fails at the first value that is greater"),
        ("ALTER TABLE orders ALTER total TYPE numeric(10,1)", "rounds values"),
        (
            "ALTER TABLE orders ALTER total TYPE numeric(8,1)",
            "rounds values, and fails at the first that is greater",
        ),
        (
            "ALTER TABLE orders ALTER total TYPE integer",
            "rounds values, and fails at the first that is greater",
        ),
        ("ALTER TABLE orders ALTER total TYPE real", "rounds values"),
        ("ALTER TABLE orders ALTER id TYPE integer", "fails at the first value that is greater"),
        ("ALTER TABLE users ALTER name TYPE varchar(20)", "fails at the first value that is longer"),
        ("ALTER TABLE orders ALTER note TYPE varchar(20)", "fails at the first value that is longer"),
        (
            "ALTER TABLE orders ALTER note TYPE varchar(20) USING note::varchar(20)",
            "cuts values that are longer",
        ),
        ("ALTER TABLE orders ALTER placed TYPE date", "cuts off a part of each value"),
    ],
)
def test_values_that_do_not_fit_are_told_of_beside_the_rewrite(sql: str, expected: str) -> None:
    rewrite, narrowing = judged(recording("r", sql))

    assert (rewrite.name, narrowing.name) == ("alter-type-rewrite", "alter-type-narrowing")
    assert narrowing.message.endswith(expected)


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE orders ALTER id TYPE numeric",
        "ALTER TABLE orders ALTER user_id TYPE text",
        "ALTER TABLE orders ALTER note TYPE varchar(20) USING left(note, 20)",
        "ALTER TABLE orders ALTER status TYPE text",
        "ALTER TABLE unknown ALTER c TYPE varchar(20)",
    ],
)
def test_what_fits_or_what_using_makes_fit_does_not_narrow(sql: str) -> None:
    assert found(sql) == ["alter-type-rewrite"]


@pytest.mark.parametrize("values", ["'new', 'paid', 'sent'", "'paid', 'sent'"])
def test_an_enum_that_lacks_a_value_is_left_to_enum_drop_value(values: str) -> None:
    names_found = found(
        f"CREATE TYPE state AS ENUM ({values})",
        "ALTER TABLE orders ALTER status DROP DEFAULT",
        "ALTER TABLE orders ALTER status TYPE state USING status::text::state",
        "ALTER TABLE orders ALTER status SET DEFAULT 'paid'",
    )

    assert names_found == ["alter-type-rewrite"]


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("ALTER TABLE orders ALTER note TYPE integer", "alter-type-needs-using"),
        ("ALTER TABLE orders ALTER user_id TYPE boolean", "alter-type-needs-using"),
        ("ALTER TABLE orders ALTER note TYPE status", "alter-type-needs-using"),
        ("ALTER TABLE orders ALTER note TYPE text[]", "alter-type-needs-using"),
        ("ALTER TABLE orders ALTER status TYPE integer USING 1", "alter-type-default-stays"),
        ("ALTER TABLE events ALTER year TYPE bigint", "alter-type-blocked-by-view"),
    ],
)
def test_what_fails_whatever_the_rows_hold_is_told_alone(sql: str, rule: str) -> None:
    assert found(sql) == [rule]


def test_a_statement_that_fails_is_told_of_on_a_new_table_too() -> None:
    assert found("CREATE TABLE t (c text)", "ALTER TABLE t ALTER c TYPE integer") == [
        "alter-type-needs-using"
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE t ALTER c DROP DEFAULT, ALTER c TYPE integer USING c::integer",
        "ALTER TABLE t ALTER c TYPE integer USING c::integer, ALTER c DROP DEFAULT",
    ],
)
def test_default_dropped_in_the_same_statement_is_in_nobodys_way(sql: str) -> None:
    assert found("CREATE TABLE t (c text DEFAULT '1')", sql) == []


def test_default_without_a_cast_that_a_function_gives_is_not_judged() -> None:
    names_found = found(
        "CREATE TABLE t (c text DEFAULT gen_random_uuid())", "ALTER TABLE t ALTER c TYPE uuid USING c::uuid"
    )

    assert names_found == []


def test_view_dropped_before_blocks_nothing() -> None:
    view = "CREATE VIEW v AS SELECT name FROM users"

    assert found(view, "DROP VIEW v", "ALTER TABLE users ALTER name TYPE text", view) == []


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("SET LOCAL timezone = 'UTC'",), []),
        (("SET TIME ZONE 'UTC'",), []),
        (("SET timezone TO 'Europe/Oslo'",), ["alter-type-timezone"]),
        (("SET LOCAL timezone = 'UTC'", "SET LOCAL timezone = 'Europe/Oslo'"), ["alter-type-timezone"]),
        (("autocommit: SET LOCAL timezone = 'UTC'",), ["alter-type-timezone"]),
    ],
)
def test_zone_of_the_session_decides(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements, "ALTER TABLE orders ALTER placed TYPE timestamptz") == expected


@pytest.mark.parametrize(
    ("sql", "breaks"),
    [
        ("ALTER TABLE orders ALTER id TYPE numeric", False),
        ("ALTER TABLE orders ALTER user_id TYPE text", True),
        ("ALTER TABLE unknown ALTER c TYPE bigint", True),
    ],
)
def test_code_that_binds_the_old_type_breaks_where_the_new_one_is_of_another_kind(
    sql: str, breaks: bool
) -> None:
    [finding] = judged(recording("r", sql))

    assert finding.breaks_old_code is breaks


# -- defaults, identities, generated columns ------------------------------------------------------------------------
NEW = "ALTER TABLE orders ADD COLUMN currency text NOT NULL DEFAULT 'EUR'"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TABLE orders ALTER status DROP DEFAULT",), ["drop-default"]),
        ((NEW, "ALTER TABLE orders ALTER currency DROP DEFAULT"), ["drop-default"]),
        (("ALTER TABLE unknown ALTER c DROP DEFAULT",), ["drop-default"]),
        (("ALTER TABLE orders ALTER note DROP DEFAULT",), ["alter-column-noop-server-default"]),
        (("ALTER TABLE orders ALTER note SET DEFAULT ''", "ALTER TABLE orders ALTER note DROP DEFAULT"), []),
        (
            (
                "ALTER TABLE orders ALTER status DROP DEFAULT",
                "ALTER TABLE orders ALTER status SET DEFAULT 'paid'",
            ),
            [],
        ),
        (("ALTER TABLE orders ALTER status DROP DEFAULT, ALTER status SET DEFAULT 'paid'",), []),
        (
            ("ALTER TABLE orders ALTER status DROP DEFAULT", "ALTER TABLE orders ALTER status DROP NOT NULL"),
            [],
        ),
        (
            (
                "autocommit: ALTER TABLE orders ALTER status DROP DEFAULT",
                "autocommit: ALTER TABLE orders ALTER status SET DEFAULT 'paid'",
            ),
            ["drop-default"],
        ),
        (("CREATE TABLE t (c integer NOT NULL DEFAULT 1)", "ALTER TABLE t ALTER c DROP DEFAULT"), []),
        (
            (
                "ALTER TABLE orders ALTER status DROP DEFAULT",
                "ALTER TABLE orders RENAME status TO state",
                "ALTER TABLE orders ALTER state SET DEFAULT 'paid'",
            ),
            ["rename-column"],
        ),
        (("ALTER TABLE unknown ALTER c DROP NOT NULL", "ALTER TABLE unknown ALTER c DROP DEFAULT"), []),
    ],
)
def test_default_that_goes(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements) == expected


IDENTITY = "CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY, c integer)"


def later(table: str, *statements: str, version: int = 15) -> list[str]:
    """What is found on a table that is in use."""
    made, changed = recording("made", table, transaction=1), recording("changed", *statements, transaction=2)
    return names(
        judge(made, changed, rules=DEFAULT, together=False, version=version),
    )


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TABLE t ALTER id DROP IDENTITY",), ["drop-identity"]),
        (("ALTER TABLE t ALTER c DROP IDENTITY IF EXISTS",), []),
        (("ALTER TABLE t ALTER id DROP IDENTITY", "ALTER TABLE t ALTER id SET DEFAULT 1"), []),
        (("ALTER TABLE t ALTER id DROP IDENTITY, ALTER id ADD GENERATED BY DEFAULT AS IDENTITY",), []),
        (("ALTER TABLE t ALTER id SET GENERATED ALWAYS",), ["alter-identity"]),
        (("ALTER TABLE t ALTER id SET GENERATED BY DEFAULT",), []),
        (("ALTER TABLE t ALTER id RESTART WITH 10",), []),
        (("ALTER TABLE t ADD COLUMN d bigint", "ALTER TABLE t ALTER d ADD GENERATED ALWAYS AS IDENTITY"), []),
    ],
)
def test_identity_that_changes(statements: tuple[str, ...], expected: list[str]) -> None:
    assert later(IDENTITY, *statements) == expected


def test_identity_that_is_always_already() -> None:
    table = "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY)"

    assert later(table, "ALTER TABLE t ALTER id SET GENERATED ALWAYS") == []


STORED = "CREATE TABLE t (c integer, d integer GENERATED ALWAYS AS (c * 2) STORED)"
VIRTUAL = "CREATE TABLE t (c integer, d integer GENERATED ALWAYS AS (c * 2) VIRTUAL)"


def test_virtual_column_computed_otherwise_is_not_written() -> None:
    made = recording("made", VIRTUAL)
    change = recording("changed", "ALTER TABLE t ALTER d SET EXPRESSION AS (c * 3)")

    [finding] = judge(made, change, rules=DEFAULT, together=False, version=18)

    assert (finding.rewrite, finding.scan, str(finding.severity)) == (False, False, "warning")


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TABLE t ALTER d DROP EXPRESSION",), ["drop-generated-expression"]),
        (("ALTER TABLE t ALTER c DROP EXPRESSION IF EXISTS",), []),
        (
            (
                "ALTER TABLE t ALTER d DROP EXPRESSION",
                "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
            ),
            [],
        ),
    ],
)
def test_column_that_is_no_longer_computed(statements: tuple[str, ...], expected: list[str]) -> None:
    assert later(STORED, *statements) == expected


# -- dropped columns ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        # An index and a constraint of the column alone are expected to go with it.
        (("ALTER TABLE people DROP COLUMN name",), ["drop-column"]),
        (("ALTER TABLE people DROP COLUMN email",), ["drop-column"]),
        (("ALTER TABLE orders DROP COLUMN status",), ["drop-column", "drop-column-with-dependents"]),
        (("CREATE INDEX i ON orders (user_id)", "ALTER TABLE orders DROP COLUMN status"), ["drop-column"]),
        (("DROP INDEX by_user_and_status", "ALTER TABLE orders DROP COLUMN status"), ["drop-column"]),
        (("ALTER TABLE orders DROP COLUMN IF EXISTS nothing",), []),
        (("ALTER TABLE unknown DROP COLUMN IF EXISTS c",), ["drop-column"]),
        (("ALTER TABLE users DROP COLUMN id",), ["drop-column-with-dependents"]),
        (("ALTER TABLE users DROP COLUMN id CASCADE",), ["drop-column", "drop-column-with-dependents"]),
        (("ALTER TABLE events DROP COLUMN year",), ["drop-column-with-dependents"]),
        (("ALTER TABLE orders ADD COLUMN c integer", "ALTER TABLE orders DROP COLUMN c"), []),
    ],
)
def test_column_that_is_dropped(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements) == expected


def test_what_goes_along_is_named() -> None:
    check = "ALTER TABLE orders ADD CONSTRAINT paid_total CHECK (status <> 'paid' OR total > 0) NOT VALID"

    _, finding = judged(recording("r", check, "ALTER TABLE orders DROP COLUMN status"))

    assert 'the check "paid_total"' in finding.message
    assert 'the index "by_user_and_status" over (user_id, status)' in finding.message


# -- added columns --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE orders ADD COLUMN c jsonb",
        "ALTER TABLE orders ADD COLUMN c json[]",
        "CREATE TABLE t (c json)",
    ],
)
def test_json_that_can_be_compared_or_is_new(sql: str) -> None:
    assert found(sql) == []


def test_opt_in_rules_are_silent_unless_asked() -> None:
    statements = (
        "ALTER TABLE orders ADD COLUMN c text",
        "ALTER TABLE orders ALTER total DROP NOT NULL",
        "ALTER TABLE orders ALTER total SET DEFAULT 0",
        "ALTER TABLE orders ALTER note SET STORAGE external",
    )

    assert found(*statements) == []
    assert names(judged(recording("r", *statements), everything=True)) == [
        "add-column",
        "drop-not-null",
        "set-default",
        "set-storage",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (("ALTER TABLE t ALTER c TYPE varchar(80)",), ["alter-column-noop-server-default"]),
        # Null takes the place of the default: both are meant.
        (("ALTER TABLE t ALTER c DROP NOT NULL",), []),
        # The default cannot become a number.
        (("ALTER TABLE t ALTER c TYPE integer USING c::integer",), ["alter-type-rewrite"]),
    ],
)
def test_default_dropped_by_the_same_call(changes: tuple[str, ...], expected: list[str]) -> None:
    made = recording("made", "CREATE TABLE t (c varchar(50) DEFAULT '')", transaction=1)
    call = recording("call", "ALTER TABLE t ALTER c DROP DEFAULT", *changes, transaction=2)
    place = call.statements[0].place
    one_line = replace(call, statements=tuple(replace(sent, place=place) for sent in call.statements))

    assert names(judge(made, one_line, rules=DEFAULT, together=False)) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TABLE events_2026 DROP COLUMN id",), True),
        (("ALTER TABLE events_2026 RENAME id TO number",), True),
        (("ALTER TABLE events DROP COLUMN id",), False),
        (
            ("CREATE TABLE below (own text) INHERITS (people)", "ALTER TABLE below ALTER name TYPE varchar"),
            True,
        ),
        (("CREATE TABLE below (own text) INHERITS (people)", "ALTER TABLE below DROP COLUMN own"), False),
        (
            ("ALTER TABLE events DETACH PARTITION events_2026", "ALTER TABLE events_2026 DROP COLUMN id"),
            False,
        ),
    ],
)
def test_inherited_columns_are_changed_on_the_parent(statements: tuple[str, ...], expected: bool) -> None:
    assert ("inherited-column" in found(*statements)) is expected


def test_default_null_is_no_default() -> None:
    statements = (
        "CREATE TABLE t (id bigint PRIMARY KEY, c text NOT NULL DEFAULT 'x')",
        "ALTER TABLE t ALTER c SET DEFAULT NULL",
    )
    before, revision = recording("before", statements[0]), recording("r", statements[1])

    assert "drop-default" in names(judge(before, revision, together=False))
    assert "add-column-required" in found("ALTER TABLE users ADD COLUMN c text NOT NULL DEFAULT NULL::text")


@pytest.mark.parametrize(
    ("using", "rewrites"),
    [("name::text", False), ("name::varchar(10)", True), ("name::varchar(10)::text", True)],
)
def test_a_cast_on_the_way_writes_every_row(using: str, rewrites: bool) -> None:
    sql = f"ALTER TABLE users ALTER name TYPE text USING {using}"

    assert ("alter-type-rewrite" in found(sql)) is rewrites

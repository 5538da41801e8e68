"""What the rules about tables and schemas find, and what only looks like a hazard."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.model import Finding, Severity
from evolve.lint.rules import tables


def found(*statements: str, version: int = 15) -> list[Finding]:
    return judge(recording("r", *statements), rules=tables.RULES, version=version)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        # PostgreSQL itself refuses to drop a schema that holds anything.
        (("DROP SCHEMA archive",), []),
        (("DROP SCHEMA archive CASCADE",), ["drop-schema"]),
        (("CREATE SCHEMA s", "CREATE TABLE s.t (id bigint PRIMARY KEY)", "DROP SCHEMA s CASCADE"), []),
        (("CREATE SCHEMA s", "ALTER SCHEMA s RENAME TO r", "DROP SCHEMA r CASCADE"), []),
        (("CREATE SCHEMA IF NOT EXISTS s", "DROP SCHEMA s CASCADE"), ["drop-schema"]),
        (("CREATE SCHEMA s", "ALTER SCHEMA s RENAME TO r"), []),
        (("ALTER SCHEMA archive RENAME TO attic",), ["rename-schema"]),
        (("autocommit: DROP DATABASE d",), ["drop-database"]),
    ],
)
def test_schemas_and_databases(statements: tuple[str, ...], expected: list[str]) -> None:
    assert names(found(*statements)) == expected


@pytest.mark.parametrize(
    ("sql", "fails"), [("DROP DATABASE d", True), ("autocommit: DROP DATABASE d", False)]
)
def test_database_is_not_dropped_inside_a_transaction(sql: str, fails: bool) -> None:
    [finding] = found(sql)

    assert finding.fails is fails


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("TRUNCATE orders",), ["truncate"]),
        (("TRUNCATE people, events",), ["truncate"]),
        (("TRUNCATE users CASCADE",), ["truncate-cascade"]),
        (("TRUNCATE unknown",), ["truncate"]),
        (("CREATE TABLE t (id bigint PRIMARY KEY)", "TRUNCATE t"), []),
        (("CREATE TABLE t (id bigint PRIMARY KEY)", "TRUNCATE t CASCADE"), []),
        (("CREATE TEMPORARY TABLE t (id bigint)", "TRUNCATE t"), []),
    ],
)
def test_tables_that_are_emptied(statements: tuple[str, ...], expected: list[str]) -> None:
    assert names(found(*statements)) == expected


def test_truncate_fails_where_another_table_refers_to_it() -> None:
    [finding] = found("TRUNCATE users")

    assert finding.fails
    assert '"orders" refers to it' in finding.message


def test_truncate_of_both_sides_of_a_foreign_key_runs() -> None:
    [finding] = found("TRUNCATE users, orders")

    assert not finding.fails


def test_truncate_cascade_names_what_is_emptied_too() -> None:
    [finding] = found("TRUNCATE users CASCADE")

    assert '"orders"' in finding.message


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            ("DROP TABLE orders", "CREATE TABLE orders (id bigint PRIMARY KEY)"),
            ["drop-table", "create-table-force"],
        ),
        (
            ("ALTER TABLE orders RENAME TO old", "CREATE TABLE orders (id bigint PRIMARY KEY)"),
            [],
        ),
        (("CREATE TABLE t (id bigint)", "DROP TABLE t", "CREATE TABLE t (id bigint PRIMARY KEY)"), []),
        (("DROP TABLE orders", "CREATE TEMPORARY TABLE orders (id bigint)"), ["drop-table"]),
    ],
)
def test_tables_that_are_made_anew(statements: tuple[str, ...], expected: list[str]) -> None:
    assert [name for name in names(found(*statements)) if name != "create-table-no-pk"] == expected


def test_table_dropped_by_one_revision_and_made_by_the_next_of_the_rollout() -> None:
    told = judge(
        recording("r", "DROP TABLE orders"),
        recording("s", "CREATE TABLE orders (id bigint PRIMARY KEY)", transaction=2),
        rules=tables.RULES,
    )

    assert names(told) == ["drop-table", "create-table-force"]


@pytest.mark.parametrize(
    ("statements", "severities"),
    [
        (("DROP TABLE users CASCADE",), [Severity.ERROR, Severity.ERROR]),
        (("DROP TABLE people CASCADE",), [Severity.ERROR, Severity.WARNING]),
        (("ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE",), [Severity.ERROR]),
        (("ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey CASCADE",), [Severity.WARNING]),
        (("DROP FUNCTION f() CASCADE",), [Severity.WARNING]),
        (("CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f() CASCADE"), []),
        (("CREATE SEQUENCE q", "DROP SEQUENCE q CASCADE"), []),
        (("CREATE TABLE t (id bigint PRIMARY KEY)", "DROP TABLE t CASCADE"), []),
        (("DROP OWNED BY app",), [Severity.ERROR]),
        # Columns and types have rules of their own.
        (("ALTER TABLE orders DROP COLUMN note CASCADE",), []),
    ],
)
def test_cascade_is_worse_where_it_is_known_to_reach_something(
    statements: tuple[str, ...], severities: list[Severity]
) -> None:
    assert sorted(finding.severity for finding in found(*statements)) == sorted(severities)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TYPE status RENAME TO state",), ["rename-object"]),
        (("ALTER DOMAIN percent RENAME TO share",), []),  # no column has it
        (("ALTER TYPE unknown RENAME TO state",), ["rename-object"]),
        (("ALTER TYPE status RENAME TO old", "CREATE TYPE status AS ENUM ('new', 'paid')"), []),
        (("CREATE TYPE t AS ENUM ('a')", "ALTER TYPE t RENAME TO u"), []),
        (("ALTER FUNCTION f() RENAME TO g",), ["rename-object"]),
        (
            (
                "ALTER FUNCTION f() RENAME TO g",
                "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT g()'",
            ),
            [],
        ),
        (("ALTER SEQUENCE q RENAME TO r",), ["rename-object"]),
        (("CREATE TABLE t (id bigserial PRIMARY KEY)", "ALTER SEQUENCE t_id_seq RENAME TO s"), []),
        (("ALTER INDEX by_name RENAME TO by_full_name",), []),
        (("CREATE VIEW v AS SELECT id FROM users", "ALTER VIEW v RENAME TO w"), []),
        (("ALTER TABLE orders SET SCHEMA shop",), ["set-schema"]),
        (("ALTER TABLE orders SET SCHEMA shop", "CREATE VIEW orders AS TABLE shop.orders"), []),
        (("ALTER TYPE status SET SCHEMA shop",), ["set-schema"]),
        (("CREATE TYPE t AS ENUM ('a')", "ALTER TYPE t SET SCHEMA shop"), []),
        (("CREATE TABLE t (id bigint PRIMARY KEY)", "ALTER TABLE t SET SCHEMA shop"), []),
    ],
)
def test_names_that_go(statements: tuple[str, ...], expected: list[str]) -> None:
    assert names(found(*statements)) == expected


def test_sequence_that_serves_a_default_is_renamed_with_a_warning() -> None:
    shop = recording("s", "CREATE TABLE t (id bigserial PRIMARY KEY)", transaction=0)
    told = judge(
        shop, recording("r", "ALTER SEQUENCE t_id_seq RENAME TO q"), rules=tables.RULES, together=False
    )

    assert [(finding.name, finding.severity) for finding in told] == [("rename-object", Severity.WARNING)]


# -- locks that are kept --------------------------------------------------------------------------------------------
NEW = "CREATE TABLE t (id bigint PRIMARY KEY, user_id bigint REFERENCES users)"
SLOW = "ALTER TABLE people ALTER name SET NOT NULL"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((NEW,), []),
        ((NEW, "CREATE INDEX i ON t (user_id)"), []),
        ((NEW, SLOW), ["create-table-fk-locks-parent"]),
        ((SLOW, NEW), []),
        ((f"autocommit: {NEW}", SLOW), []),
        ((NEW, f"autocommit: {SLOW}"), []),
        ((NEW, NEW.replace(" t ", " u "), SLOW), ["create-table-fk-locks-parent"]),
        ((NEW, "INSERT INTO t SELECT id, id FROM people"), ["create-table-fk-locks-parent"]),
        ((NEW, "INSERT INTO t VALUES (1, 1)"), []),
        # What changes rows under a lock is told of where it stands.
        ((NEW, "UPDATE people SET name = ''"), []),
        (("CREATE TABLE t (id bigint PRIMARY KEY)", SLOW), []),
        (("CREATE TABLE t (id bigint PRIMARY KEY, up bigint REFERENCES t)", SLOW), []),
    ],
)
def test_foreign_key_of_a_new_table_is_a_hazard_where_its_lock_is_kept(
    statements: tuple[str, ...], expected: list[str]
) -> None:
    assert names(found(*statements)) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("LOCK TABLE orders",), ["lock-table"]),
        (("LOCK TABLE orders IN SHARE MODE",), ["lock-table"]),
        (("LOCK TABLE orders IN ROW EXCLUSIVE MODE",), []),
        (("LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE",), []),
        (("LOCK TABLE orders", "ALTER TABLE orders ADD COLUMN c integer"), []),
        (("LOCK TABLE orders", "ALTER TABLE users ADD COLUMN c integer"), ["lock-table"]),
        (("CREATE TABLE t (id bigint PRIMARY KEY)", "LOCK TABLE t"), []),
    ],
)
def test_lock_by_hand(statements: tuple[str, ...], expected: list[str]) -> None:
    assert names(found(*statements)) == expected


# -- copies and settings of a whole table -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TABLE orders SET LOGGED",), []),  # it is
        (("ALTER TABLE unknown SET LOGGED",), ["set-unlogged"]),
        (("CREATE UNLOGGED TABLE t (id bigint PRIMARY KEY)", "ALTER TABLE t SET LOGGED"), []),
        (("ALTER TABLE orders SET TABLESPACE fast",), ["set-tablespace"]),
        (("ALTER TABLE orders SET TABLESPACE pg_default",), []),  # it is there
        (
            ("ALTER TABLE orders SET TABLESPACE fast", "ALTER TABLE orders SET TABLESPACE pg_default"),
            ["set-tablespace", "set-tablespace"],
        ),
        (("ALTER TABLE events SET TABLESPACE fast",), []),  # it has no rows of its own
        (("ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b",), ["set-tablespace"]),
        (("ALTER TABLE orders REPLICA IDENTITY DEFAULT",), []),
        (("ALTER TABLE orders REPLICA IDENTITY USING INDEX by_user_and_status",), []),
        (("ALTER TABLE events_2026 REPLICA IDENTITY DEFAULT",), ["replica-identity"]),
        (("ALTER TABLE orders REPLICA IDENTITY FULL",), ["replica-identity"]),
        (("ALTER TABLE orders SET (fillfactor = 70)",), []),
        (("ALTER TABLE orders SET (autovacuum_enabled = on)",), []),
        (("ALTER TABLE orders SET (toast.autovacuum_enabled = false)",), ["autovacuum-disabled"]),
        (
            (
                "ALTER TABLE orders SET (autovacuum_enabled = false)",
                "ALTER TABLE orders RESET (autovacuum_enabled)",
            ),
            [],
        ),
        (
            (
                "ALTER TABLE orders SET (autovacuum_enabled = false)",
                "ALTER TABLE orders SET (autovacuum_enabled = true)",
            ),
            [],
        ),
        (("ALTER TABLE orders INHERIT users",), ["change-inheritance"]),
        (
            (
                "CREATE TABLE p (id bigint PRIMARY KEY)",
                "ALTER TABLE orders INHERIT p",
            ),
            [],
        ),
    ],
)
def test_whole_tables(statements: tuple[str, ...], expected: list[str]) -> None:
    assert names(found(*statements)) == expected


@pytest.mark.parametrize(("identity", "breaks"), [("NOTHING", True), ("FULL", False)])
def test_writers_fail_without_a_replica_identity_and_pay_for_whole_rows(identity: str, breaks: bool) -> None:
    [finding] = found(f"ALTER TABLE orders REPLICA IDENTITY {identity}")

    assert finding.breaks_old_code is breaks


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("CREATE TABLE t (id bigint)",), ["create-table-no-pk"]),
        (("CREATE TABLE t (id bigint)", "ALTER TABLE t ADD PRIMARY KEY (id)"), []),
        (("CREATE TABLE t (id bigint)", "DROP TABLE t"), []),
        (("CREATE TEMPORARY TABLE t (id bigint)",), []),
        (("CREATE TABLE events_2027 PARTITION OF events FOR VALUES IN (2027)",), []),
        (("CREATE TABLE IF NOT EXISTS orders (id bigint)",), []),
        (("CREATE TABLE t AS SELECT id FROM users",), []),  # what comes of it is not known
    ],
)
def test_tables_without_a_primary_key(statements: tuple[str, ...], expected: list[str]) -> None:
    assert [name for name in names(found(*statements)) if name == "create-table-no-pk"] == expected


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE people ADD COLUMN name text",),
        ("ALTER TABLE people RENAME name TO email",),
        ("ALTER TABLE people ADD COLUMN a integer; ALTER TABLE people ADD COLUMN a integer",),
        ("CREATE INDEX by_name ON people (email)",),
        ("CREATE TABLE people (id bigint PRIMARY KEY)",),
        ("CREATE VIEW people AS SELECT 1",),
        ("ALTER TABLE people RENAME TO users",),
        ("ALTER TABLE people ADD PRIMARY KEY (name)",),
        ("ALTER TABLE people ADD CONSTRAINT by_name UNIQUE (name)",),
        ("ALTER TYPE status ADD VALUE 'new'",),
        ("ALTER TYPE status RENAME VALUE 'new' TO 'paid'",),
    ],
)
def test_what_is_there_is_not_made_again(statements: tuple[str, ...]) -> None:
    assert names(found(*statements)) == ["name-taken"]


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE people ADD COLUMN IF NOT EXISTS name text",),
        ("ALTER TABLE people DROP COLUMN nick, ADD COLUMN nick text",),
        ("ALTER TABLE people ADD COLUMN nick text, DROP COLUMN nick",),
        ("CREATE INDEX IF NOT EXISTS by_name ON people (email)",),
        ("CREATE TABLE other.people (id bigint PRIMARY KEY)",),
        ("SET search_path TO tenant", "CREATE TABLE people (id bigint PRIMARY KEY)"),
        ("SELECT set_config('search_path', 'tenant', true)", "CREATE TABLE people (id bigint PRIMARY KEY)"),
        ("CREATE TEMPORARY TABLE people (id bigint)",),
        ("ALTER TABLE elsewhere ALTER name SET NOT NULL", "ALTER TABLE elsewhere ADD COLUMN name text"),
        ("DO $$ BEGIN ALTER TABLE people ADD name text; EXCEPTION WHEN others THEN NULL; END $$",),
        (
            "CREATE TABLE n (id bigint PRIMARY KEY)",
            "ALTER TABLE people RENAME TO o",
            "ALTER TABLE n RENAME TO people",
        ),
    ],
)
def test_what_is_not_known_to_be_there_can_be_made(statements: tuple[str, ...]) -> None:
    assert "name-taken" not in names(found(*statements))


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE people DROP COLUMN surname",),
        ("ALTER TABLE people RENAME surname TO last",),
        ("ALTER TABLE people ALTER surname SET NOT NULL",),
        ("CREATE INDEX ON people (name, surname)",),
        ("ALTER TABLE people ADD CHECK (surname <> '')",),
        ("ALTER TABLE people ADD FOREIGN KEY (id) REFERENCES users (number)",),
        ("ALTER TABLE people DROP CONSTRAINT by_name",),
        ("ALTER TYPE status RENAME VALUE 'old' TO 'older'",),
        ("ALTER TYPE status ADD VALUE 'sent' AFTER 'packed'",),
        ("DROP TRIGGER t ON people",),
    ],
)
def test_what_is_not_there_is_not_changed(statements: tuple[str, ...]) -> None:
    assert "name-not-there" in names(found(*statements))


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE people DROP COLUMN IF EXISTS surname",),
        ("ALTER TABLE people ALTER surname SET NOT NULL, ADD COLUMN surname text",),
        ("ALTER TABLE elsewhere DROP COLUMN surname",),
        ("ALTER TABLE people DROP CONSTRAINT uq_people_by_a_convention",),
        ("ALTER TABLE people DROP CONSTRAINT people_id_not_null",),
        ("CREATE INDEX ON people (lower(name), xmin)",),
        ("DO $$ BEGIN ALTER TABLE people DROP COLUMN surname; END $$",),
        ("CREATE TABLE t AS SELECT * FROM people", "ALTER TABLE t DROP COLUMN surname"),
    ],
)
def test_what_may_be_there_can_be_changed(statements: tuple[str, ...]) -> None:
    assert "name-not-there" not in names(found(*statements))


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("DROP TABLE users",), True),  # orders refers to it
        (("DROP TABLE users CASCADE",), False),
        (("DROP TABLE orders, users",), False),
        (("ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey", "DROP TABLE users"), False),
        (("DROP TABLE events",), False),  # its partitions go with it
        (("CREATE TABLE below () INHERITS (people)", "DROP TABLE people"), True),
        (("CREATE VIEW v AS SELECT id FROM people", "DROP TABLE people"), True),
        (("CREATE VIEW v AS SELECT id FROM people", "CREATE VIEW w AS TABLE v", "DROP VIEW v"), True),
        (("CREATE VIEW v AS SELECT id FROM people", "CREATE VIEW w AS TABLE v", "DROP VIEW v, w"), False),
        (
            ("CREATE SEQUENCE s", "ALTER TABLE people ALTER id SET DEFAULT nextval('s')", "DROP SEQUENCE s"),
            True,
        ),
        (("CREATE SEQUENCE s", "DROP SEQUENCE s"), False),
        (("DROP TABLE elsewhere",), False),
        (("DO $$ BEGIN DROP TABLE users; EXCEPTION WHEN others THEN NULL; END $$",), False),
    ],
)
def test_what_is_needed_is_not_dropped(statements: tuple[str, ...], expected: bool) -> None:
    assert ("drop-without-cascade" in names(found(*statements))) is expected

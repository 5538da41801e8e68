"""What each rule finds, and the statements that look like a hazard and are none."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.model import Severity


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("ALTER TABLE orders ALTER email SET NOT NULL", "set-not-null-scan"),
        ("ALTER TABLE unknown ALTER email SET NOT NULL", "set-not-null-scan"),
        ("ALTER TABLE orders ADD CONSTRAINT c NOT NULL email", "needs-newer-postgres"),
        ("CREATE INDEX i ON orders (email)", "create-index-blocking"),
        ("CREATE INDEX IF NOT EXISTS i ON orders (email)", "create-index-blocking"),
        ("CREATE UNIQUE INDEX i ON orders (lower(email))", "create-index-blocking"),
        ("CREATE INDEX i ON events (id)", "create-index-blocking"),
        ("DROP INDEX by_user_and_status", "drop-index-blocking"),
        ("DROP INDEX nobody_knows_it", "drop-index-blocking"),
        ("ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES users", "add-fk-validated"),
        ("ALTER TABLE orders ADD CHECK (total > 0)", "add-check-validated"),
        ("ALTER TABLE orders ADD COLUMN c integer CHECK (c > 0)", "add-check-validated"),
        ("ALTER TABLE orders ADD UNIQUE (email)", "add-unique-building-index"),
        ("ALTER TABLE events_2026 ADD PRIMARY KEY (id)", "add-unique-building-index"),
        ("ALTER TABLE orders ADD COLUMN c integer UNIQUE", "add-unique-building-index"),
        ("ALTER TABLE orders ADD COLUMN c float DEFAULT random()", "add-column-volatile-default"),
        ("ALTER TABLE orders ADD COLUMN c uuid DEFAULT gen_random_uuid()", "add-column-volatile-default"),
        (
            "ALTER TABLE orders ADD COLUMN c timestamptz DEFAULT clock_timestamp()",
            "add-column-volatile-default",
        ),
        ("ALTER TABLE orders ADD COLUMN c integer DEFAULT nextval('s')", "add-column-volatile-default"),
        ("ALTER TABLE orders ADD COLUMN c serial", "add-column-serial"),
        (
            "ALTER TABLE orders ADD COLUMN c bigint GENERATED ALWAYS AS IDENTITY",
            "add-column-identity",
        ),
        (
            "ALTER TABLE orders ADD COLUMN c bigint GENERATED ALWAYS AS (id * 2) STORED",
            "add-column-generated-stored",
        ),
        ("ALTER TABLE orders ADD COLUMN c percent", "add-column-constrained-domain"),
        ("ALTER TABLE orders ALTER placed TYPE timestamptz", "alter-type-timezone"),
        ("ALTER TABLE orders ALTER status TYPE text", "alter-type-rewrite"),
        ("ALTER TABLE unknown ALTER c TYPE bigint", "alter-type-rewrite"),
        ('ALTER TABLE people ALTER name TYPE text COLLATE "C"', "alter-type-index-rebuild"),
        ("ALTER TABLE people ALTER email TYPE text", "alter-type-scan-only"),
        ("ALTER TABLE people ALTER nick TYPE varchar(80)", "alter-type-index-rebuild"),
        ("ALTER TABLE orders ADD COLUMN c integer NOT NULL", "add-column-required"),
        ("ALTER TABLE orders RENAME email TO mail", "rename-column"),
        ("ALTER TABLE orders RENAME COLUMN email TO mail", "rename-column"),
        ("ALTER TABLE orders RENAME TO purchases", "rename-table"),
        ("ALTER TABLE orders DROP COLUMN note", "drop-column"),
        ("ALTER TABLE orders DROP COLUMN IF EXISTS note", "drop-column"),
        ("DROP TABLE orders", "drop-table"),
        ("CREATE INDEX CONCURRENTLY i ON orders (email)", "concurrently-in-transaction"),
        ("DROP INDEX CONCURRENTLY by_user_and_status", "concurrently-in-transaction"),
        ("REINDEX INDEX CONCURRENTLY by_user_and_status", "concurrently-in-transaction"),
        ("ALTER TABLE events DETACH PARTITION events_2026 CONCURRENTLY", "concurrently-in-transaction"),
        ("autocommit: CREATE INDEX CONCURRENTLY i ON orders (user_id)", "index-redundant"),
        ("autocommit: CREATE INDEX CONCURRENTLY i ON orders (user_id, status)", "index-redundant"),
        ("autocommit: CREATE INDEX CONCURRENTLY i ON orders (user_id, status, id)", "index-redundant"),
        ("DO $$ BEGIN DROP TABLE orders; END $$", "drop-table"),
        ("DO LANGUAGE plperl $$ x $$", "do-block-opaque"),
        ("ALTER TABLE orders MODIFY note text", "unread-statement"),
    ],
)
def test_hazard_is_found_once(sql: str, rule: str) -> None:
    assert names(judge(recording("r", sql))) == [rule]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE orders ADD COLUMN c timestamptz DEFAULT now()",
        "ALTER TABLE orders ADD COLUMN c timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
        "ALTER TABLE orders ADD COLUMN c text DEFAULT 'a' || 'b'",
        "ALTER TABLE orders ADD COLUMN c integer",
        "ALTER TABLE orders ADD COLUMN c status DEFAULT 'new'",
        "ALTER TABLE orders ALTER email TYPE varchar",
        "ALTER TABLE users ALTER name TYPE varchar(100)",
        "ALTER TABLE users ALTER name TYPE text",
        "ALTER TABLE orders ALTER total TYPE numeric(12,2)",
        "ALTER TABLE orders ALTER total TYPE numeric",
        "ALTER TABLE users ALTER email SET NOT NULL",
        "ALTER TABLE users ALTER id SET NOT NULL",
        "ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0) NOT VALID",
        "ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES users NOT VALID",
        "ALTER TABLE orders ADD CONSTRAINT c UNIQUE USING INDEX i",
        "CREATE INDEX i ON ONLY events (id)",
        "autocommit: CREATE INDEX CONCURRENTLY i ON orders (email)",
        "autocommit: CREATE UNIQUE INDEX CONCURRENTLY i ON orders (user_id)",
        "autocommit: CREATE INDEX CONCURRENTLY i ON orders (user_id) WHERE total > 0",
        "autocommit: CREATE INDEX CONCURRENTLY i ON orders (status)",
        "autocommit: DROP INDEX CONCURRENTLY by_user_and_status",
        "CREATE INDEX IF NOT EXISTS by_user_and_status ON orders (user_id, status)",
        "CREATE TABLE t (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, c integer CHECK (c > 0))",
        "SET LOCAL lock_timeout = '1s'",
        "UPDATE orders SET note = '' WHERE id < 100",
        "INSERT INTO users VALUES (1, 'a', 'b')",
        "COMMENT ON TABLE orders IS 'orders'",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$",
    ],
)
def test_what_only_looks_like_a_hazard_is_not_found(sql: str) -> None:
    assert names(judge(recording("r", sql))) == []


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE t ALTER c SET NOT NULL",
        "CREATE INDEX i ON t (c)",
        "ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES users",
        "ALTER TABLE t ADD CHECK (c > 0)",
        "ALTER TABLE t ADD UNIQUE (c)",
        "ALTER TABLE t ADD COLUMN d float DEFAULT random()",
        "ALTER TABLE t ALTER c TYPE bigint",
        "ALTER TABLE t ADD COLUMN d integer NOT NULL",
        "ALTER TABLE t RENAME c TO d",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE t DROP COLUMN c",
        "DROP TABLE t",
        "UPDATE t SET c = 1",
    ],
)
class TestNewTables:
    """A table that was made by a revision which is not applied yet has no traffic to block and no code to break."""

    MAKE = "CREATE TABLE t (id bigint PRIMARY KEY, c integer)"

    def test_in_the_same_revision(self, sql: str) -> None:
        assert names(judge(recording("r", self.MAKE, sql))) == []

    def test_in_an_earlier_revision_of_the_same_rollout(self, sql: str) -> None:
        assert names(judge(recording("r", self.MAKE), recording("s", sql, transaction=2))) == []

    def test_not_in_an_old_history(self, sql: str) -> None:
        found = judge(recording("r", self.MAKE), recording("s", sql, transaction=2), together=False)

        assert len(found) == 1


@pytest.mark.parametrize(
    "statements",
    [
        (
            "CREATE TABLE t (c integer)",
            "ALTER TABLE t RENAME TO u",
            "ALTER TABLE u RENAME TO v",
            "DROP TABLE v",
        ),
        ("CREATE TABLE t (c integer)", "ALTER TABLE t SET SCHEMA archive", "DROP TABLE archive.t"),
        ("CREATE TABLE t (c integer)", "CREATE INDEX i ON t (c)", "DROP INDEX i"),
        (
            "ALTER TABLE orders ADD COLUMN c integer",
            "ALTER TABLE orders RENAME c TO d",
            "ALTER TABLE orders DROP d",
        ),
        ("CREATE TEMPORARY TABLE t (c integer)", "CREATE INDEX i ON t (c)"),
    ],
)
def test_what_is_new_stays_new_under_another_name(statements: tuple[str, ...]) -> None:
    assert names(judge(recording("r", *statements))) == []


def test_if_not_exists_does_not_make_a_table_new() -> None:
    found = judge(recording("r", "CREATE TABLE IF NOT EXISTS orders (id bigint)", "DROP TABLE orders"))

    assert names(found) == ["drop-table"]


def test_scan_of_a_column_that_is_new_is_still_a_scan() -> None:
    found = judge(
        recording("r", "ALTER TABLE orders ADD COLUMN c integer", "ALTER TABLE orders ALTER c SET NOT NULL")
    )

    assert names(found) == ["set-not-null-scan"]


# -- NOT NULL that is proven --------------------------------------------------------------------------------------
PROVE = ("ALTER TABLE orders ADD CONSTRAINT c CHECK (email IS NOT NULL) NOT VALID",)
VALIDATE = ("ALTER TABLE orders VALIDATE CONSTRAINT c",)


def proven(*statements: str) -> list[str]:
    return names(
        judge(
            recording("r", *PROVE, transaction=1),
            recording("s", *VALIDATE, transaction=2),
            recording("t", *statements, transaction=3),
        )
    )


def test_validated_check_of_an_earlier_revision_is_proof() -> None:
    assert proven("ALTER TABLE orders ALTER email SET NOT NULL", "ALTER TABLE orders DROP CONSTRAINT c") == []


def test_check_dropped_in_the_same_statement_is_no_proof() -> None:
    assert proven("ALTER TABLE orders ALTER email SET NOT NULL, DROP CONSTRAINT c") == [
        "set-not-null-and-drop-check-together"
    ]


def test_check_that_is_not_validated_is_no_proof() -> None:
    found = judge(
        recording("r", *PROVE), recording("t", "ALTER TABLE orders ALTER email SET NOT NULL", transaction=2)
    )

    assert names(found) == ["not-valid-never-validated", "set-not-null-scan"]


@pytest.mark.parametrize(
    "condition",
    ["email IS NOT NULL OR note IS NOT NULL", "user_email IS NOT NULL", "note IS NOT NULL", "email <> ''"],
)
def test_another_condition_is_no_proof(condition: str) -> None:
    check = f"ALTER TABLE orders ADD COLUMN user_email text, ADD CONSTRAINT c CHECK ({condition}) NOT VALID"

    found = judge(
        recording("r", check, transaction=1),
        recording("s", *VALIDATE, transaction=2),
        recording("t", "ALTER TABLE orders ALTER email SET NOT NULL", transaction=3),
    )

    assert names(found) == ["set-not-null-scan"]


# -- transactions -------------------------------------------------------------------------------------------------
def test_validate_in_the_transaction_that_added_it() -> None:
    found = judge(recording("r", *PROVE, *VALIDATE))

    assert (names(found), str(found[0].lock)) == (
        ["validate-same-transaction"],
        'ACCESS EXCLUSIVE on "orders"',
    )


def test_validate_in_the_transaction_that_added_a_foreign_key_keeps_its_weaker_lock() -> None:
    add = "ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES users NOT VALID"

    found = judge(recording("r", add, *VALIDATE))

    assert (names(found), str(found[0].lock)) == (
        ["validate-same-transaction"],
        'SHARE ROW EXCLUSIVE on "orders"',
    )


def test_two_revisions_that_share_a_transaction() -> None:
    found = judge(recording("r", *PROVE, transaction=1), recording("s", *VALIDATE, transaction=1))

    assert names(found) == ["validate-same-transaction", "alembic-transaction-per-migration-off"]


def test_two_revisions_that_share_a_transaction_are_told_to_part() -> None:
    found, _ = judge(recording("r", *PROVE, transaction=1), recording("s", *VALIDATE, transaction=1))

    assert 'in revision "r"' in found.message
    assert found.fix is not None
    assert "transaction_per_migration=True" in found.fix


def test_unnamed_constraint_is_known_by_the_name_it_gets() -> None:
    add = "ALTER TABLE orders ADD CHECK (total > 0) NOT VALID"

    found = judge(recording("r", add, "ALTER TABLE orders VALIDATE CONSTRAINT orders_total_check"))

    assert names(found) == ["validate-same-transaction"]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TABLE orders ADD COLUMN c integer", "UPDATE orders SET c = 1"), True),
        (("ALTER TABLE orders ADD COLUMN c integer", "DELETE FROM users"), True),
        (("ALTER TABLE orders ADD COLUMN c integer", "INSERT INTO users SELECT * FROM users"), True),
        (("ALTER TABLE orders ADD COLUMN c integer", "INSERT INTO users VALUES (1, 'a', 'b')"), False),
        (("UPDATE orders SET note = ''", "ALTER TABLE orders ADD COLUMN c integer"), False),
        (("COMMENT ON TABLE orders IS 'x'", "UPDATE orders SET note = ''"), False),
        (("autocommit: ALTER TABLE orders ADD COLUMN c integer", "UPDATE orders SET c = 1"), False),
        (
            (
                "CREATE TABLE t (c integer)",
                "ALTER TABLE t ADD COLUMN d integer",
                "UPDATE orders SET note = ''",
            ),
            False,
        ),
        (("ALTER TABLE orders ADD COLUMN c integer", "COMMIT", "UPDATE orders SET c = 1"), False),
    ],
)
def test_rows_changed_under_a_lock_that_ddl_keeps(statements: tuple[str, ...], expected: bool) -> None:
    found = names(judge(recording("r", *statements)))

    assert ("ddl-and-backfill-one-transaction" in found) is expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TYPE status ADD VALUE 'sent'", "UPDATE orders SET status = 'sent'"), True),
        (("ALTER TYPE status ADD VALUE 'sent'", "INSERT INTO orders (status) VALUES ('sent')"), True),
        (("ALTER TYPE status ADD VALUE 'sent'", "ALTER TABLE orders ALTER status SET DEFAULT 'sent'"), True),
        (("ALTER TYPE status ADD VALUE 'sent'", "CREATE TABLE t (c status DEFAULT 'sent')"), True),
        (("ALTER TYPE status ADD VALUE 'sent'", "UPDATE orders SET status = 'paid'"), False),
        (("autocommit: ALTER TYPE status ADD VALUE 'sent'", "UPDATE orders SET status = 'sent'"), False),
        (
            (
                "CREATE TYPE kind AS ENUM ('a')",
                "ALTER TYPE kind ADD VALUE 'b'",
                "CREATE TABLE t (c kind DEFAULT 'b')",
            ),
            False,
        ),
    ],
)
def test_enum_value_used_before_it_may_be(statements: tuple[str, ...], expected: bool) -> None:
    assert ("enum-value-used-same-transaction" in names(judge(recording("r", *statements)))) is expected


def test_enum_value_used_after_a_commit_of_the_revision_fails_with_one_driver_only() -> None:
    statements = ("COMMIT", "ALTER TYPE status ADD VALUE 'sent'", "UPDATE orders SET status = 'sent'")

    (found,) = (
        finding
        for finding in judge(recording("r", *statements))
        if finding.name == "enum-value-used-same-transaction"
    )

    assert found.severity is Severity.WARNING
    assert "after COMMIT" in found.message


# -- renames that no client notices ---------------------------------------------------------------------------------
def test_view_under_the_old_name_bridges_a_rename() -> None:
    found = judge(
        recording("r", "ALTER TABLE orders RENAME TO purchases", "CREATE VIEW orders AS TABLE purchases")
    )

    assert names(found) == []


def test_view_in_a_later_transaction_is_no_bridge() -> None:
    found = judge(
        recording("r", "ALTER TABLE orders RENAME TO purchases", transaction=1),
        recording("s", "CREATE VIEW orders AS TABLE purchases", transaction=2),
    )

    assert names(found) == ["rename-table"]


def test_swap_of_two_tables_is_no_rename() -> None:
    found = judge(
        recording("r", "CREATE TABLE orders_new (id bigint)", transaction=1),
        recording(
            "s",
            "ALTER TABLE orders RENAME TO orders_old",
            "ALTER TABLE orders_new RENAME TO orders",
            transaction=2,
        ),
    )

    assert names(found) == []


# -- indexes --------------------------------------------------------------------------------------------------------
def test_index_that_takes_the_place_of_another_is_not_spare() -> None:
    found = judge(
        recording(
            "r",
            "autocommit: CREATE INDEX CONCURRENTLY wider ON orders (user_id, status, id)",
            "autocommit: DROP INDEX CONCURRENTLY by_user_and_status",
        )
    )

    assert names(found) == []


def test_index_dropped_by_a_later_revision_of_the_rollout_is_not_spare() -> None:
    found = judge(
        recording("r", "autocommit: CREATE INDEX CONCURRENTLY wider ON orders (user_id, status, id)"),
        recording("s", "autocommit: DROP INDEX CONCURRENTLY by_user_and_status"),
    )

    assert names(found) == []


def test_index_of_a_constraint_is_never_the_spare_one() -> None:
    found = judge(
        recording("r", "CREATE TABLE t (a integer, b integer, UNIQUE (a))", "CREATE INDEX i ON t (a, b)")
    )

    assert names(found) == []


def test_plain_index_beside_a_unique_constraint_is_spare() -> None:
    found = judge(recording("r", "CREATE TABLE t (a integer UNIQUE, b integer)", "CREATE INDEX i ON t (a)"))

    assert [finding.message.split('"')[1] for finding in found] == ["i"]


def test_of_two_equal_indexes_only_the_later_is_spare() -> None:
    found = judge(
        recording("r", "autocommit: CREATE INDEX CONCURRENTLY i ON orders (email)"),
        recording("s", "autocommit: CREATE INDEX CONCURRENTLY j ON orders (email)"),
    )

    assert [finding.message.split('"')[1] for finding in found] == ["j"]


def test_commit_before_a_concurrent_build_is_told_of() -> None:
    statements = ("COMMIT", "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON orders (email)")
    by_name = {found.name: found for found in judge(recording("r", *statements))}
    found = by_name["concurrently-in-transaction"]

    assert "after COMMIT" in found.message
    assert "IF NOT EXISTS" not in found.safe[0]


# -- messages -------------------------------------------------------------------------------------------------------
def test_safe_form_and_fix_use_the_names_of_the_user() -> None:
    [found] = judge(recording("r", 'ALTER TABLE "Sales"."Order" ALTER "E-Mail" SET NOT NULL'))

    assert found.safe[0] == (
        'op.create_check_constraint(op.f("Order_E-Mail_not_null"), "Order", "\\"E-Mail\\" IS NOT NULL", '
        'schema="Sales", postgresql_not_valid=True)'
    )
    assert found.fix == """evolve plan set-not-null '"Sales"."Order"."E-Mail"'"""


def test_rename_breaks_old_and_new_code() -> None:
    [found] = judge(recording("r", "ALTER TABLE users RENAME name TO full_name"))

    assert (found.breaks_old_code, found.breaks_new_code) == (True, True)
    assert found.fix == "evolve plan rename-column users.name full_name"


def test_drop_breaks_old_code_only() -> None:
    [found] = judge(recording("r", "ALTER TABLE users DROP COLUMN name"))

    assert (found.breaks_old_code, found.breaks_new_code) == (True, False)


def test_dropped_table_names_the_tables_that_are_locked_with_it() -> None:
    [found] = judge(recording("r", "DROP TABLE orders"))

    assert found.message == '"orders" is dropped with its rows and locks "users" as well'

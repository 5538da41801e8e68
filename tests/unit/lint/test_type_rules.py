"""What the rules about enums, domains and types find, and what only looks like a hazard."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.model import Finding
from evolve.lint.rules import types
from evolve.sql.locks import LockMode

DEFAULT = tuple(rule for rule in types.RULES if not rule.opt_in)
DISCOUNTS = "CREATE TABLE discounts (id bigint PRIMARY KEY, rate percent)"


def found(*statements: str, version: int = 15) -> list[Finding]:
    return judge(recording("r", *statements), rules=DEFAULT, version=version)


def on_discounts(*statements: str, version: int = 15) -> list[Finding]:
    """With a table in use that has a column of the domain."""
    before = recording("s", DISCOUNTS, transaction=0)
    return judge(before, recording("r", *statements), rules=DEFAULT, together=False, version=version)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TYPE status ADD VALUE 'sent'",), ["enum-add-value"]),
        (("ALTER TYPE unknown ADD VALUE 'sent'",), ["enum-add-value"]),
        (("CREATE TYPE t AS ENUM ('a')", "ALTER TYPE t ADD VALUE 'b'"), []),
        (("ALTER TYPE status RENAME VALUE 'new' TO 'fresh'",), ["enum-rename-value"]),
        (("CREATE TYPE t AS ENUM ('a')", "ALTER TYPE t RENAME VALUE 'a' TO 'b'"), []),
        (("CREATE TYPE t AS ENUM ('a')", "ALTER TYPE t RENAME TO u", "ALTER TYPE u ADD VALUE 'b'"), []),
    ],
)
def test_values_of_enums(statements: tuple[str, ...], expected: list[str]) -> None:
    assert names(found(*statements)) == expected


def test_enum_that_no_column_has_meets_no_reader() -> None:
    before = recording("s", "CREATE TYPE t AS ENUM ('a')", transaction=0)

    assert judge(before, recording("r", "ALTER TYPE t ADD VALUE 'b'"), rules=DEFAULT, together=False) == []


@pytest.mark.parametrize(
    ("values", "using", "expected"),
    [
        ("'new', 'paid', 'sent'", "status::text::status", []),
        ("'new'", "status::text::status", ["enum-drop-value"]),
        # What the rows hold is taken care of; what running code writes is not.
        ("'new'", "'new'::status", ["enum-drop-value"]),
    ],
)
def test_type_juggling_is_judged_by_the_values_that_go(values: str, using: str, expected: list[str]) -> None:
    told = found(
        "ALTER TYPE status RENAME TO status_old",
        f"CREATE TYPE status AS ENUM ({values})",
        "ALTER TABLE orders ALTER status DROP DEFAULT",
        f"ALTER TABLE orders ALTER status TYPE status USING {using}",
        "DROP TYPE status_old",
    )

    assert names(told) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("DROP TYPE status",), [("drop-type", True)]),
        (("DROP TYPE status CASCADE",), [("drop-type", False)]),
        (("DROP TYPE nobody_has_it",), []),
        (("DROP TYPE nobody_has_it CASCADE",), [("drop-type", False)]),
        (("ALTER TABLE orders DROP COLUMN status", "DROP TYPE status"), []),
        (("DROP TABLE orders", "DROP TYPE status"), []),
        (("CREATE TYPE t AS ENUM ('a')", "DROP TYPE t CASCADE"), []),
    ],
)
def test_types_that_go(statements: tuple[str, ...], expected: list[tuple[str, bool]]) -> None:
    assert [(finding.name, finding.fails) for finding in found(*statements)] == expected


@pytest.mark.parametrize(
    ("sql", "version", "expected"),
    [
        ("ALTER DOMAIN percent ADD CHECK (VALUE > 1)", 15, [LockMode.SHARE]),
        ("ALTER DOMAIN percent ADD CHECK (VALUE > 1)", 18, [LockMode.SHARE]),
        ("ALTER DOMAIN percent SET NOT NULL", 15, [LockMode.SHARE]),
        ("ALTER DOMAIN percent ADD CHECK (VALUE > 1) NOT VALID", 15, []),
        ("ALTER DOMAIN percent VALIDATE CONSTRAINT c", 16, [LockMode.SHARE]),
        ("ALTER DOMAIN percent VALIDATE CONSTRAINT c", 18, [LockMode.SHARE]),
        ("ALTER DOMAIN percent DROP NOT NULL", 15, []),
        ("ALTER DOMAIN percent SET DEFAULT 1", 15, []),
        ("ALTER DOMAIN percent DROP CONSTRAINT percent_check", 15, []),
    ],
)
def test_constraints_of_domains(sql: str, version: int, expected: list[LockMode]) -> None:
    told = on_discounts(sql, version=version)

    assert [finding.lock.mode for finding in told if finding.lock is not None] == expected


def test_domain_of_which_nothing_is_known_is_told_of_without_a_table() -> None:
    [finding] = found("ALTER DOMAIN unknown SET NOT NULL")

    assert finding.lock is None


def test_domain_that_no_column_has_is_nothing_to_read() -> None:
    assert found("ALTER DOMAIN percent ADD CHECK (VALUE > 1)") == []


def test_validate_is_not_offered_for_it_takes_the_same_lock() -> None:
    [finding] = on_discounts("ALTER DOMAIN percent ADD CHECK (VALUE > 1)")

    assert finding.safe == (
        'op.execute("ALTER DOMAIN percent ADD CONSTRAINT percent_check CHECK (value > 1) NOT VALID")',
    )

"""NOT NULL without reading the table under a strong lock: a check that is not valid, its proof, then the constraint."""

from __future__ import annotations

from evolve.plan.carry import validate_constraint
from evolve.plan.constraint import drop_constraint
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.statements import Statement


def check_name(table: QualifiedName, column: str) -> str:
    """Of the check that stands in for NOT NULL until that is proven."""
    return shorten("evolve", table.name, column, "not_null")


def add_check(table: QualifiedName, column: str, why: str = "NOT VALID reads no row") -> Statement:
    """From here on no write can leave a null in `column`."""
    return Statement(
        f"ALTER TABLE {table}\n    ADD CONSTRAINT {quote(check_name(table, column))} "
        f"CHECK ({quote(column)} IS NOT NULL) NOT VALID",
        LockMode.ACCESS_EXCLUSIVE,
        why,
    )


def drop_check(table: QualifiedName, column: str) -> Statement:
    return drop_constraint(table, check_name(table, column))


def prove(table: QualifiedName, column: str) -> tuple[Statement, ...]:
    """Turn the check into NOT NULL; no row may hold a null."""
    return (
        validate_constraint(table, check_name(table, column)),
        Statement(
            f"ALTER TABLE {table}\n    ALTER COLUMN {quote(column)} SET NOT NULL",
            LockMode.ACCESS_EXCLUSIVE,
            "the validated check proves it, so no row is read",
        ),
        drop_constraint(
            table,
            check_name(table, column),
            "catalog only; a statement of its own, since together with SET NOT NULL the table would be scanned",
        ),
    )


def unprove(table: QualifiedName, column: str) -> tuple[Statement, ...]:
    """Turn NOT NULL into the check again."""
    return (add_check(table, column), drop(table, column))


def drop(table: QualifiedName, column: str, why: str = "catalog only") -> Statement:
    return Statement(
        f"ALTER TABLE {table}\n    ALTER COLUMN {quote(column)} DROP NOT NULL",
        LockMode.ACCESS_EXCLUSIVE,
        why,
    )


def restore(table: QualifiedName, column: str) -> tuple[Statement, ...]:
    """NOT NULL again in one revision; it fails where a row holds a null, and may be run again then."""
    check = quote(check_name(table, column))
    again = Statement(
        f"ALTER TABLE {table}\n    DROP CONSTRAINT IF EXISTS {check},\n"
        f"    ADD CONSTRAINT {check} CHECK ({quote(column)} IS NOT NULL) NOT VALID",
        LockMode.ACCESS_EXCLUSIVE,
        "NOT VALID reads no row; what an interrupted run left behind goes first",
        transactional=False,
    )
    return (again, *prove(table, column))

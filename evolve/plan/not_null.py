"""Prove that columns hold no null, so that NOT NULL, and a primary key, need not read the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evolve.plan.carry import validate_constraint
from evolve.plan.constraint import drop_constraint
from evolve.plan.model import NoRows
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.statements import Statement


def check_name(table: QualifiedName, column: str) -> str:
    """Of the check that stands in for NOT NULL while it is being proven."""
    return shorten("evolve", table.name, column, "not_null")


def no_nulls(table: QualifiedName, column: str) -> NoRows:
    return NoRows(
        table, f"{quote(column)} IS NULL", f"{column} is null", fix=f"give {column} a value in small batches"
    )


def refuse_nulls(
    table: QualifiedName,
    names: Sequence[str],
    why: str = "NOT VALID reads no row; no null is left, and no code writes one",
) -> Statement:
    """From here on no write puts a null into the columns."""
    added = ",\n".join(
        f"    ADD CONSTRAINT {quote(check_name(table, name))} CHECK ({quote(name)} IS NOT NULL) NOT VALID"
        for name in names
    )
    return Statement(
        f"ALTER TABLE {table}\n{added}",
        LockMode.ACCESS_EXCLUSIVE,
        why,
    )


def accept_nulls(table: QualifiedName, names: Sequence[str]) -> Iterator[Statement]:
    """Takes `refuse_nulls` back."""
    for name in reversed(names):
        yield drop_constraint(table, check_name(table, name))


def prove(table: QualifiedName, names: Sequence[str]) -> Iterator[Statement]:
    """Read the rows; each statement commits alone."""
    for name in names:
        yield validate_constraint(table, check_name(table, name))


def set_not_null(table: QualifiedName, names: Sequence[str]) -> Iterator[Statement]:
    """What is proven becomes NOT NULL, and the checks go."""
    for name in names:
        yield Statement(
            f"ALTER TABLE {table}\n    ALTER COLUMN {quote(name)} SET NOT NULL",
            LockMode.ACCESS_EXCLUSIVE,
            "the validated check proves it, so no row is read",
        )
    for name in names:
        yield drop_constraint(
            table,
            check_name(table, name),
            "catalog only; a statement of its own, since together with SET NOT NULL the table would be scanned",
        )


def drop_not_null(table: QualifiedName, names: Sequence[str]) -> Iterator[Statement]:
    """Takes `prove` and `set_not_null` back."""
    if names:
        yield refuse_nulls(table, names)
    for name in reversed(names):
        yield Statement(
            f"ALTER TABLE {table}\n    ALTER COLUMN {quote(name)} DROP NOT NULL",
            LockMode.ACCESS_EXCLUSIVE,
            "catalog only; the check stands for it again",
        )


def restore(table: QualifiedName, column: str) -> Iterator[Statement]:
    """NOT NULL again, in one revision; it fails where a row holds a null, and may be run again then."""
    check = quote(check_name(table, column))
    yield Statement(
        f"ALTER TABLE {table}\n    DROP CONSTRAINT IF EXISTS {check},\n"
        f"    ADD CONSTRAINT {check} CHECK ({quote(column)} IS NOT NULL) NOT VALID",
        LockMode.ACCESS_EXCLUSIVE,
        "NOT VALID reads no row; what an interrupted run left behind goes first",
        transactional=False,
    )
    yield from prove(table, (column,))
    yield from set_not_null(table, (column,))

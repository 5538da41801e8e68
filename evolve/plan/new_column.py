"""What recipes that add a column share: its type, how it comes and goes, its backfill, and what to tell of it."""

from __future__ import annotations

from evolve.backfill.spec import Spec
from evolve.plan.model import NoRows
from evolve.plan.target import Target
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.operations import ColumnDefinition
from evolve.sql.statements import Statement


def type_of(definition: ColumnDefinition) -> str:
    """With its collation."""
    if definition.collation is not None:
        return f"{definition.type} COLLATE {definition.collation}"
    return definition.type


def add_empty(table: QualifiedName, column: str, type_name: str) -> Statement:
    return Statement(
        f"ALTER TABLE {table}\n    ADD COLUMN {quote(column)} {type_name}",
        LockMode.ACCESS_EXCLUSIVE,
        "a nullable column without a default changes only the catalog; no row is read or written",
    )


def add_filled(
    table: QualifiedName, column: str, type_name: str, value: str, *, not_null: bool, constant: bool = True
) -> Statement:
    """Add it with a value that every row shares.

    Args:
        constant: it is a literal; else a function that gives one value for the whole statement, such as now().
    """
    required = " NOT NULL" if not_null else ""
    what = "a constant" if constant else "computed once"
    return Statement(
        f"ALTER TABLE {table}\n    ADD COLUMN {quote(column)} {type_name}{required} DEFAULT {value}",
        LockMode.ACCESS_EXCLUSIVE,
        f"the default is {what}, so the value is kept once in the catalog and no row is written",
    )


def set_default(table: QualifiedName, column: str, value: str | None, why: str = "catalog only") -> Statement:
    """SET DEFAULT; DROP DEFAULT where `value` is None."""
    action = "DROP DEFAULT" if value is None else f"SET DEFAULT {value}"
    return Statement(
        f"ALTER TABLE {table}\n    ALTER COLUMN {quote(column)} {action}", LockMode.ACCESS_EXCLUSIVE, why
    )


def take_away(table: QualifiedName, column: str) -> Statement:
    return Statement(
        f"ALTER TABLE {table}\n    DROP COLUMN {quote(column)}", LockMode.ACCESS_EXCLUSIVE, "catalog only"
    )


def no_nulls(table: QualifiedName, column: str) -> NoRows:
    """What `fill_nulls` brings about."""
    return NoRows(table, f"{quote(column)} IS NULL", f"{column} is null")


def fill_nulls(identifier: str, target: Target, column: str, value: str) -> Spec:
    """A backfill that gives each row without a value its own."""
    empty = no_nulls(target.table, column).predicate
    return Spec(
        identifier,
        target.table,
        ((column, value),),
        where=empty,
        key=target.other_key,
        mismatch=empty,
    )


def notes(target: Target) -> tuple[str, ...]:
    if not target.published:
        return ()
    return (
        f"The table is published by {', '.join(target.published)}: add the column on every subscriber before expand.",
    )

"""A column that was dropped, put back under another name with all that hung on it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.plan.carry import comment_and_grants
from evolve.plan.target import Target, TargetColumn, TargetConstraint
from evolve.sql.locks import LockMode
from evolve.sql.names import quote
from evolve.sql.parse import rename_in_definition
from evolve.sql.statements import Statement

_HELD = "under the lock that is held anyway"


def type_of(column: TargetColumn) -> str:
    """Its type with its collation, as ADD COLUMN takes it."""
    return f"{column.type} COLLATE {column.collation}" if column.collation else column.type


def hang_again(target: Target, column: str, name: str) -> Iterator[Statement]:
    """Indexes, comment, grants and all constraints of `column` but foreign keys, made on `name`; ADD COLUMN's lock is
    held.

    Each reads the whole table.
    """
    for index in target.indexes_on(column):
        if index.constraint is None:
            yield Statement(rename_in_definition(index.definition, column, name), LockMode.SHARE, _HELD)
    for constraint in target.constraints_on(column):
        if constraint.kind != "foreign key":
            yield Statement(_added(target, constraint, column, name), LockMode.ACCESS_EXCLUSIVE, _HELD)
    yield from comment_and_grants(target, column, name)


def point_again(target: Target, key: TargetConstraint, column: str, name: str) -> Statement:
    """A foreign key of `column`, made on `name`."""
    return Statement(
        _added(target, key, column, name),
        LockMode.SHARE_ROW_EXCLUSIVE,
        "it blocks writes of both tables until every row is checked",
    )


def _added(target: Target, constraint: TargetConstraint, column: str, name: str) -> str:
    sql = f"ALTER TABLE {target.table} ADD CONSTRAINT {quote(constraint.name)} {constraint.definition}"
    return rename_in_definition(sql, column, name).replace(" ADD CONSTRAINT ", "\n    ADD CONSTRAINT ", 1)

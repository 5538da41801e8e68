"""A unique index built while everybody writes, which then becomes a constraint without reading a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evolve.errors import Misuse
from evolve.plan import index_build
from evolve.plan.target import Target, known_column
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.statements import Statement

Nullness = Literal["distinct", "equal"]


class ColumnTwice(Misuse):
    def __init__(self, column: str) -> None:
        super().__init__(f'column "{column}" is named twice', fix="name each column once")


def known_columns(target: Target, names: Sequence[str]) -> None:
    """Raise `UnknownColumn`, or `ColumnTwice`."""
    for name in names:
        known_column(target, name)
        if names.count(name) > 1:
            raise ColumnTwice(name)


def duplicated(table: QualifiedName, names: Sequence[str], nulls: Nullness) -> str:
    """Predicate of a row that another one equals in these columns; the table is sorted or hashed once for it."""
    listed = index_build.columns_sql(names)
    twice = f"SELECT {listed} FROM {table.full} GROUP BY {listed} HAVING count(*) > 1"  # noqa: S608
    if nulls == "distinct":
        return f"({listed}) IN ({twice})"
    mine = quote(table.name)
    equal = " AND ".join(
        f"evolve_twice.{quote(name)} IS NOT DISTINCT FROM {mine}.{quote(name)}" for name in names
    )
    return f"EXISTS (SELECT FROM ({twice}) AS evolve_twice WHERE {equal})"


def build_unique(
    index: QualifiedName, table: QualifiedName, names: Sequence[str], nulls: Nullness = "distinct"
) -> tuple[Statement, ...]:
    return index_build.build(
        index,
        _create(index, table, names, nulls),
        "reads and writes go on while it is built; one that is interrupted leaves an invalid index, which may refuse "
        "duplicates all the same: what is left is cleared away first",
    )


def use_as_constraint(
    index: QualifiedName, table: QualifiedName, names: Sequence[str], nulls: Nullness, clause: str
) -> tuple[Statement, ...]:
    """Turn the index into a constraint; `clause` is what follows ADD CONSTRAINT and its name.

    The way back drops the index with the constraint, so that it is quick; the first statement builds it again then.
    """
    return (
        Statement(
            _create(index, table, names, nulls).replace(" CONCURRENTLY ", " CONCURRENTLY IF NOT EXISTS ", 1),
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "the index is there, so this does nothing, except where this revision was taken back and took it along; an "
            "invalid one the next statement would refuse",
            transactional=False,
            allow=("concurrent-if-not-exists",),
        ),
        Statement(
            f"ALTER TABLE {table}\n    ADD CONSTRAINT {quote(index.name)} {clause}",
            LockMode.ACCESS_EXCLUSIVE,
            "the index is there already, so no row is read and it takes an instant",
        ),
    )


def _create(index: QualifiedName, table: QualifiedName, names: Sequence[str], nulls: Nullness) -> str:
    distinct = " NULLS NOT DISTINCT" if nulls == "equal" else ""
    return (
        f"CREATE UNIQUE INDEX CONCURRENTLY {quote(index.name)}\n    ON {table} "
        f"({index_build.columns_sql(names)}){distinct}"
    )
